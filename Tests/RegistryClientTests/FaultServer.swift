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

    let port: Int
    private let seen = Mutex<[SeenRequest]>([])
    var authority: String { "localhost:\(port)" }
    var requests: [SeenRequest] { seen.withLock { $0 } }

    private init(port: Int) { self.port = port }

    /// Runs `body` with a server that is gone afterwards.
    @discardableResult
    static func with<Value: Sendable>(_ handler: @escaping Handler, _ body: @escaping @Sendable (FaultServer) async throws -> Value) async throws -> Value {
        let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(HTTPRequestDecoder()))
                    return try NIOAsyncChannel<HTTPServerRequestPart, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        let server = FaultServer(port: channel.channel.localAddress?.port ?? 0)
        return try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask {
                try await channel.executeThenClose { connections in
                    await withDiscardingTaskGroup { group in
                        do {
                            for try await connection in connections {
                                // A client that goes away is what many tests are about.
                                group.addTask { try? await server.serve(connection, handler) }
                            }
                        } catch {}
                        group.cancelAll()
                    }
                }
                return nil
            }
            group.addTask { try await body(server) }
            defer { group.cancelAll() }
            while let value = try await group.next() { if let value { return value } }
            throw CancellationError()
        }
    }

    private func serve(_ connection: NIOAsyncChannel<HTTPServerRequestPart, ByteBuffer>, _ handler: Handler) async throws {
        try await connection.executeThenClose { inbound, outbound in
            var head: HTTPRequestHead?
            var body: [UInt8] = []
            for try await part in inbound {
                switch part {
                case .head(let it): (head, body) = (it, [])
                case .body(let buffer): body += Array(buffer.readableBytesView)
                case .end:
                    guard let it = head else { return }
                    let (bytes, method) = (body, it.method.rawValue)
                    let request = seen.withLock { seen in
                        let path = it.uri.prefix { $0 != "?" }
                        let earlier = seen.filter { $0.method == method && $0.target.prefix { $0 != "?" } == path }.count
                        seen.append(SeenRequest(method: method, target: it.uri, headers: it.headers, body: bytes, earlier: earlier))
                        return seen[seen.count - 1]
                    }
                    guard try await send(try await handler(request, self), to: outbound, isHead: it.method == .HEAD) else { return }
                }
            }
        }
    }

    /// - Returns: whether the connection can be used further.
    private func send(_ reaction: Reaction, to outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>, isHead: Bool) async throws -> Bool {
        if let raw = reaction.raw {
            try await outbound.write(ByteBuffer(bytes: raw))
            return false
        }
        var text = "HTTP/1.1 \(reaction.status) \(HTTPResponseStatus(statusCode: reaction.status).reasonPhrase)\r\n"
        for (name, value) in reaction.headers { text += "\(name): \(value)\r\n" }
        let length = reaction.statedLength ?? reaction.body.count
        if length >= 0, reaction.headers.first(name: "content-length") == nil, reaction.status != 204 { text += "Content-Length: \(length)\r\n" }
        try await outbound.write(ByteBuffer(string: text + "\r\n"))
        if isHead { return true }
        if let milliseconds = reaction.dripMilliseconds {
            for byte in reaction.body {
                try await outbound.write(ByteBuffer(bytes: [byte]))
                try await Task.sleep(for: .milliseconds(milliseconds))
            }
            return true
        }
        let sent = min(reaction.cutAfter ?? .max, reaction.stallAfter ?? .max, reaction.body.count)
        try await outbound.write(ByteBuffer(bytes: reaction.body[..<sent]))
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
