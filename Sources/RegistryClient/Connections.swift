import AsyncHTTPClient
import LinuxSystem
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import OCIImage
import Synchronization

/// One request, as it goes to one server.
struct Request: Sendable {
    var method: HTTPMethod
    var address: HTTPAddress
    var headers = HTTPHeaders()
    var body: HTTPClientRequest.Body?
    /// How many bytes the body has.
    var bodyLength: Int64 = 0

    /// For messages.
    var description: String { "\(method.rawValue) \(address)" }
}

/// The head of an answer, and its body as it comes.
struct Answer: Sendable {
    let status: Int
    let headers: HTTPHeaders
    let body: HTTPClientResponse.Body
    let address: HTTPAddress
    let request: String

    func header(_ name: String) -> String? { headers.first(name: name) }
}

/// The HTTP clients: one for what goes directly, and one for each proxy. HTTP/1.1, because parts that come in parallel shall have connections of their own.
final class Connections: Sendable {
    private let configuration: ClientConfiguration
    private let direct: HTTPClient
    private let proxied: [ProxySettings.Proxy: HTTPClient]
    private struct TLSKey: Hashable {
        let name: String
        let verifies: Bool
    }
    private let settings = Mutex<[TLSKey: TLSConfiguration]>([:])

    init(_ configuration: ClientConfiguration) {
        self.configuration = configuration
        let limits = configuration.limits
        func make(_ proxy: ProxySettings.Proxy?) -> HTTPClient {
            var http = HTTPClient.Configuration(redirectConfiguration: .disallow)
            http.timeout = .init(connect: limits.connectTimeout.amount, read: limits.idleTimeout.amount, write: limits.idleTimeout.amount)
            http.httpVersion = .http1Only
            // Whether a connection is tried again is decided once, above.
            http.connectionPool.retryConnectionEstablishment = false
            http.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = max(8, limits.parallelBlobs * limits.parallelParts + 2)
            http.connectionPool.idleTimeout = .seconds(30)
            if let proxy {
                let secret = proxy.credential.map { HTTPClient.Authorization.basic(credentials: Base64.encode(Array($0.utf8))) }
                switch proxy.kind {
                case .http: http.proxy = .server(host: proxy.host, port: proxy.port, authorization: secret)
                case .socks5: http.proxy = .socksServer(host: proxy.host, port: proxy.port)
                }
            }
            return HTTPClient(eventLoopGroupProvider: .singleton, configuration: http)
        }
        direct = make(nil)
        let proxies = Set([configuration.proxies.http, configuration.proxies.https].compactMap { $0 })
        proxied = Dictionary(uniqueKeysWithValues: proxies.map { ($0, make($0)) })
    }

    /// Ends all connections. Requests that still run fail.
    func shutdown() async throws {
        var failure: (any Error)?
        for client in [direct] + proxied.values {
            do { try await client.shutdown() } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    /// - Parameters:
    ///   - certificates: the directory of certificates for the server.
    ///   - verifies: whether the server's certificate must be good.
    func send(_ request: Request, certificates: String, verifies: Bool) async throws -> Answer {
        var outgoing = HTTPClientRequest(url: request.address.url)
        outgoing.method = request.method
        outgoing.headers = request.headers
        outgoing.headers.replaceOrAdd(name: "User-Agent", value: configuration.userAgent)
        // Digests and ranges are of the content itself; without this a server may send it otherwise.
        outgoing.headers.replaceOrAdd(name: "Accept-Encoding", value: "identity")
        outgoing.body = request.body
        if request.address.isSecure { outgoing.tlsConfiguration = try tls(certificates, verifies: verifies) }
        let client = configuration.proxies.proxy(for: request.address).flatMap { proxied[$0] } ?? direct
        do {
            let response = try await client.execute(outgoing, timeout: configuration.limits.answerTime(after: request.bodyLength).amount)
            return Answer(
                status: Int(response.status.code), headers: response.headers, body: response.body, address: request.address, request: request.description)
        } catch { throw Self.failure(error, request: request.description) }
    }

    private func tls(_ name: String, verifies: Bool) throws -> TLSConfiguration {
        let key = TLSKey(name: name, verifies: verifies)
        if let known = settings.withLock({ $0[key] }) { return known }
        let made = try TLSFiles.settings(for: name, in: configuration.certificateDirectories, verifies: verifies)
        return settings.withLock {
            // The first one made stays: connections are reused only with equal settings.
            if let known = $0[key] { return known }
            $0[key] = made
            return made
        }
    }

    /// What went wrong on the way, in this module's words. Cancellation stays what it is.
    static func failure(_ error: any Error, request: String) -> any Error {
        if error is CancellationError || error is RegistryError { return error }
        if Task.isCancelled { return CancellationError() }
        if let error = error as? HTTPClientError {
            switch error {
            case .cancelled: return CancellationError()
            case .readTimeout, .writeTimeout, .deadlineExceeded, .getConnectionFromPoolTimeout: return RegistryError(.tooSlow, request: request, "no answer in time")
            case .connectTimeout, .tlsHandshakeTimeout, .httpProxyHandshakeTimeout, .socksHandshakeTimeout: return unreachable("no connection in time", request)
            case .remoteConnectionClosed: return RegistryError(.connection, request: request, "the connection was closed before the answer was complete")
            case .proxyAuthenticationRequired: return RegistryError(.configuration, request: request, "the proxy asks for a user's name and password")
            case .invalidProxyResponse: return unreachable("the proxy does not make the connection", request)
            default: return RegistryError(.connection, request: request, "\(error)")
            }
        }
        switch error {
        case let error as NIOConnectionError:
            if let why = error.connectionErrors.first?.error { return unreachable(text(why), request) }
            return unreachable("the name \(error.host) has no address", request)
        case let error as NIOSSLError: return RegistryError(.tls, request: request, tlsProblem("\(error)"))
        case is NIOSSLExtraError: return RegistryError(.tls, request: request, "the server's certificate is not for this host")
        case HTTPParserError.invalidEOFState: return RegistryError(.connection, request: request, "the connection was closed before the answer was complete")
        case is HTTPParserError: return RegistryError(.malformedAnswer, request: request, "the answer is not HTTP")
        default: return RegistryError(.connection, request: request, text(error))
        }
    }

    private static func unreachable(_ problem: String, _ request: String) -> RegistryError {
        var error = RegistryError(.connection, request: request, problem)
        error.isUnreachable = true
        return error
    }

    /// BoringSSL's words for what most often goes wrong, in others.
    private static func tlsProblem(_ text: String) -> String {
        if text.contains("WRONG_VERSION_NUMBER") || text.contains("HTTP_REQUEST") { return "the server does not speak TLS; if it shall be asked in plain HTTP, the configuration must say so" }
        if text.contains("CERTIFICATE_VERIFY_FAILED") { return "the server's certificate is not from an authority that is trusted here (\(certificateDirectoriesHint))" }
        if text.contains("CERTIFICATE_REQUIRED") || text.contains("BAD_CERTIFICATE") { return "the server wants a client certificate, or another one (\(certificateDirectoriesHint))" }
        return "no TLS connection: \(text)"
    }
    private static let certificateDirectoriesHint = "certificates for one registry belong in /etc/containers/certs.d/HOST:PORT"

    private static func text(_ error: any Error) -> String {
        if let error = error as? IOError { return Errno(rawValue: error.errnoCode).description }
        return "\(error)"
    }
}

extension Duration {
    /// The same as NIO has it.
    var amount: TimeAmount {
        let (seconds, attoseconds) = components
        return .nanoseconds(seconds.multipliedReportingOverflow(by: 1_000_000_000).partialValue &+ attoseconds / 1_000_000_000)
    }
}
