import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// What came to a server of the tests.
struct SeenRequest: Sendable, CustomStringConvertible {
    let method: String
    /// Path and query.
    let target: String
    let headers: HTTPHeaders
    let body: [UInt8]
    /// How many requests with this method and path came before.
    let earlier: Int

    var path: String { String(target.prefix { $0 != "?" }) }
    var description: String { "\(method) \(target)" }
}

/// What the server does with a request.
struct Reaction: Sendable {
    var status = 200
    var headers = HTTPHeaders()
    var body: [UInt8] = []
    /// What Content-Length says, when that is not the body's length; -1: nothing, and the body ends with the connection.
    var statedLength: Int?
    /// How many bytes of the body are sent before the connection is closed.
    var cutAfter: Int?
    /// How many bytes of the body are sent before nothing more is, until the client goes.
    var stallAfter: Int?
    /// How many milliseconds pass after each byte of the body.
    var dripMilliseconds: Int?
    /// Sent as it is, instead of an HTTP answer.
    var raw: [UInt8]?

    static func answer(_ status: Int, _ body: String = "", _ headers: [(String, String)] = []) -> Reaction { Reaction(status: status, headers: HTTPHeaders(headers), body: Array(body.utf8)) }
    static func bytes(_ body: [UInt8], _ headers: [(String, String)] = []) -> Reaction { Reaction(headers: HTTPHeaders(headers), body: body) }

    /// A server of files: answers a range with that range.
    static func file(_ content: [UInt8], for request: SeenRequest, _ headers: [(String, String)] = []) -> Reaction {
        guard let range = request.headers.first(name: "range")?.dropFirst("bytes=".count).split(separator: "-", omittingEmptySubsequences: false), let first = Int(range[0]) else {
            return .bytes(content, headers)
        }
        let last = Int(range[1]) ?? content.count - 1
        return Reaction(status: 206, headers: HTTPHeaders(headers + [("Content-Range", "bytes \(first)-\(last)/\(content.count)")]), body: Array(content[first...last]))
    }
}

/// An HTTP server on loopback whose every answer is the test's, or another server's with a fault put in.
final class FaultServer: Sendable {
    typealias Handler = @Sendable (SeenRequest, FaultServer) async throws -> Reaction

    private struct State {
        var port = 0
        var seen: [SeenRequest] = []
        var connections: [any Channel] = []
        var answers: [Task<Void, Never>] = []
    }
    private let state = Mutex(State())
    private let handler: Handler

    var port: Int { state.withLock { $0.port } }
    var authority: String { "localhost:\(port)" }
    /// How many connections were made, and how many of them are open.
    var connections: (made: Int, open: Int) { state.withLock { ($0.connections.count, $0.connections.filter(\.isActive).count) } }
    var requests: [SeenRequest] { state.withLock { $0.seen } }

    private init(_ handler: @escaping Handler) { self.handler = handler }

    /// Runs `body` with a server that is gone afterwards.
    @discardableResult
    static func with<Value>(_ handler: @escaping Handler, _ body: (FaultServer) async throws -> Value) async throws -> Value {
        let server = FaultServer(handler)
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    server.state.withLock { $0.connections.append(channel) }
                    try channel.pipeline.syncOperations.addHandlers(ByteToMessageHandler(HTTPRequestDecoder()), Connection(server))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        server.state.withLock { $0.port = listener.localAddress?.port ?? 0 }
        let outcome = await settled { try await body(server) }
        try await listener.close()
        let (answers, connections) = server.state.withLock { ($0.answers, $0.connections) }
        for answer in answers { answer.cancel() }
        for answer in answers { await answer.value }
        // Most are closed already, by the client.
        for connection in connections { try? await connection.close() }
        return try outcome.get()
    }

    /// Collects each request of a connection, and has it answered.
    private final class Connection: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        let server: FaultServer
        var head: HTTPRequestHead?
        var body: [UInt8] = []

        init(_ server: FaultServer) { self.server = server }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let it): (head, body) = (it, [])
            case .body(let buffer): body += Array(buffer.readableBytesView)
            case .end:
                guard let head else { return }
                server.answer(head, body, on: context.channel)
            }
        }

        /// A client that goes away is what many tests are about.
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }

    private func answer(_ head: HTTPRequestHead, _ body: [UInt8], on channel: any Channel) {
        let request = state.withLock { state in
            let path = head.uri.prefix { $0 != "?" }
            let earlier = state.seen.filter { $0.method == head.method.rawValue && $0.target.prefix { $0 != "?" } == path }.count
            state.seen.append(SeenRequest(method: head.method.rawValue, target: head.uri, headers: head.headers, body: body, earlier: earlier))
            return state.seen[state.seen.count - 1]
        }
        let task = Task {
            var stays = false
            do { stays = try await send(try await handler(request, self), to: channel, isHead: head.method == .HEAD) } catch {}
            if !stays { try? await channel.close() }
        }
        state.withLock { $0.answers.append(task) }
    }

    /// - Returns: whether the connection can be used further.
    private func send(_ reaction: Reaction, to channel: any Channel, isHead: Bool) async throws -> Bool {
        if let raw = reaction.raw {
            try await channel.writeAndFlush(ByteBuffer(bytes: raw))
            return false
        }
        var text = "HTTP/1.1 \(reaction.status) \(HTTPResponseStatus(statusCode: reaction.status).reasonPhrase)\r\n"
        for (name, value) in reaction.headers { text += "\(name): \(value)\r\n" }
        let length = reaction.statedLength ?? reaction.body.count
        if length >= 0, reaction.headers.first(name: "content-length") == nil, reaction.status != 204 { text += "Content-Length: \(length)\r\n" }
        try await channel.writeAndFlush(ByteBuffer(string: text + "\r\n"))
        if isHead { return true }
        if let milliseconds = reaction.dripMilliseconds {
            for byte in reaction.body {
                try await channel.writeAndFlush(ByteBuffer(bytes: [byte]))
                try await Task.sleep(for: .milliseconds(milliseconds))
            }
            return true
        }
        let sent = min(reaction.cutAfter ?? .max, reaction.stallAfter ?? .max, reaction.body.count)
        try await channel.writeAndFlush(ByteBuffer(bytes: reaction.body[..<sent]))
        if reaction.stallAfter != nil { try await Task.sleep(for: .seconds(600)) }
        return reaction.cutAfter == nil && length == reaction.body.count
    }

    /// The answer of another server on loopback to the same request.
    static func forward(_ request: SeenRequest, toPort port: Int) async throws -> Reaction {
        var outgoing = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(request.target)")
        outgoing.method = HTTPMethod(rawValue: request.method)
        // With the Host header too, so that what the registry calls itself is the proxy.
        outgoing.headers = request.headers
        outgoing.headers.remove(name: "Content-Length")
        outgoing.headers.remove(name: "Transfer-Encoding")
        if ["PUT", "POST", "PATCH"].contains(request.method) { outgoing.body = .bytes(request.body) }
        let response = try await HTTPClient.shared.execute(outgoing, timeout: .seconds(30))
        let body = try await response.body.collect(upTo: 256 << 20)
        var headers = response.headers
        headers.remove(name: "Transfer-Encoding")
        if request.method != "HEAD" { headers.remove(name: "Content-Length") }
        return Reaction(status: Int(response.status.code), headers: headers, body: Array(body.readableBytesView))
    }
}
