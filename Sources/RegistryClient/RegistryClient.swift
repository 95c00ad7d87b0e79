import OCIImage
import NIOHTTP1
import Synchronization

/// A client of registries (OCI distribution-spec 1.1; Docker Registry HTTP API V2).
///
/// It verifies what it gets: a manifest or a blob that it hands over has the digest and the size that were asked for. It retries what fails for reasons that
/// may pass, and sends credentials to no other host than they are for. Use `withClient`, or call `shutdown()` at the end.
///
///     let image = try await RegistryClient.withClient(configuration) { client in
///         try await client.pull(Reference("docker.io/library/busybox").tagged, platform: .current, into: store)
///     }
public final class RegistryClient: Sendable {
    public let configuration: ClientConfiguration
    let connections: Connections
    let authorizer: Authorizer
    /// Of insecure registries: which of them speak TLS.
    private let speaksTLS = Mutex<[String: Bool]>([:])

    var limits: ClientLimits { configuration.limits }

    public init(_ configuration: ClientConfiguration = ClientConfiguration()) {
        let connections = Connections(configuration)
        self.configuration = configuration
        self.connections = connections
        authorizer = Authorizer(configuration.credentials, limits: configuration.limits) { request, endpoint in
            try await Exchange(connections: connections, configuration: configuration, endpoint: endpoint).tokenAnswer(request)
        }
    }

    /// Ends all connections. The client cannot be used afterwards; without this call, connections stay open.
    public func shutdown() async throws { try await connections.shutdown() }

    /// Runs `body` with a client that is shut down afterwards.
    @discardableResult
    public static func withClient<Value>(_ configuration: ClientConfiguration = ClientConfiguration(), _ body: (RegistryClient) async throws -> Value) async throws -> Value {
        let client = RegistryClient(configuration)
        let value: Value
        do { value = try await body(client) } catch {
            // What failed first is what to tell.
            try? await client.shutdown()
            throw error
        }
        try await client.shutdown()
        return value
    }

    /// Asks whether a registry is there, speaks this protocol, and accepts this client's credentials (distribution-spec, "Determining Support").
    /// - Parameter domain: its host and port: `docker.io`, `localhost:5000`.
    /// - Throws: `RegistryError`, with the code `unauthorized` when it wants other credentials.
    public func ping(_ domain: String) async throws {
        // A name must be there to be looked up in the rules, and is not asked for.
        let reference: Reference
        do { reference = try Reference("\(domain)/ping") } catch { throw RegistryError(.configuration, "\(domain) is not a registry's host and port") }
        guard reference.domain == domain || domain == "index.docker.io" else { throw RegistryError(.configuration, "\(domain) is not a registry's host and port") }
        guard let endpoint = try configuration.registries.endpoints(for: reference, mirrors: false).last else { return }
        let registry = endpoint.registry
        let answer = try await perform(RegistryRequest(.GET, registry, path: "/v2/", scopes: []))
        await answer.drain(limits: limits)
    }

    /// Whether to speak TLS with an endpoint; of an insecure one it is found out, once.
    func isSecure(_ endpoint: Endpoint) async throws -> Bool {
        switch endpoint.transport {
        case .tls: return true
        case .plain: return false
        case .insecure: break
        }
        if let known = speaksTLS.withLock({ $0[endpoint.domain] }) { return known }
        let exchange = Exchange(connections: connections, configuration: configuration, endpoint: endpoint)
        var answers = true
        do {
            await (try exchange.send(Request(method: .GET, address: try endpoint.address(isSecure: true, path: "/v2/")))).drain(limits: limits)
        } catch let error as RegistryError where [.connection, .tooSlow, .tls].contains(error.code) { answers = false }
        if !answers {
            // When nothing answers in plain HTTP either, that failure is the one to tell, and the next request tries again.
            await (try exchange.send(Request(method: .GET, address: try endpoint.address(isSecure: false, path: "/v2/")))).drain(limits: limits)
        }
        let found = answers
        speaksTLS.withLock { $0[endpoint.domain] = found }
        return found
    }
}
