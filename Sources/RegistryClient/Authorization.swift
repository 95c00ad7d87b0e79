import AsyncHTTPClient
import JSONText
import NIOHTTP1
import OCIImage

/// What is asked of a repository (distribution's token specification, "scope").
struct Scope: Hashable, Sendable, CustomStringConvertible {
    let text: String
    var description: String { text }

    static func pull(_ endpoint: Endpoint) -> Scope { Scope(text: "repository:\(endpoint.path):pull") }
    static func push(_ endpoint: Endpoint) -> Scope { Scope(text: "repository:\(endpoint.path):pull,push") }
    static func delete(_ endpoint: Endpoint) -> Scope { Scope(text: "repository:\(endpoint.path):delete") }
}

/// Answers registries' challenges: credentials, and tokens that are bought with them and kept while they are good.
actor Authorizer {
    /// Fetches from a token server. The credentials in the request are for the realm's origin only.
    typealias Fetch = @Sendable (Request, Endpoint) async throws -> Answer

    private struct Registry: Hashable {
        let domain: String
        let transport: RegistryTransport
        init(_ endpoint: Endpoint) { (domain, transport) = (endpoint.domain, endpoint.transport) }
    }
    private struct TokenKey: Hashable {
        let registry: Registry
        let path: String
        let scopes: Set<Scope>
    }
    private struct Token {
        let value: String
        let expires: ContinuousClock.Instant
    }

    private let source: any CredentialSource
    private let limits: ClientLimits
    private let fetch: Fetch
    private var challenges: [Registry: Challenge] = [:]
    private let tokens = KeptValues<TokenKey, Token> { $0.expires > .now }
    private let credentials = KeptValues<String, Credential?> { _ in true }

    init(_ source: any CredentialSource, limits: ClientLimits, fetch: @escaping Fetch) {
        (self.source, self.limits, self.fetch) = (source, limits, fetch)
    }

    /// The Authorization header for a request; nil when the registry has not asked for one, or there is nothing to answer with.
    func header(for endpoint: Endpoint, _ scopes: Set<Scope>) async throws -> String? {
        guard let challenge = challenges[Registry(endpoint)] else { return nil }
        let credential = try await credential(for: endpoint)
        switch (challenge.scheme, credential) {
        case (_, .registryToken(let token)): return "Bearer \(token)"
        case ("basic", .password(let user, let password)): return Self.basic(user, password)
        case ("basic", _): return nil
        default: return "Bearer \(try await token(for: endpoint, scopes, challenge, credential).value)"
        }
    }

    /// Learns what a registry asks for.
    /// - Parameter refused: the header that it did not accept.
    /// - Returns: whether another try can have another outcome.
    func learn(_ all: [Challenge], from endpoint: Endpoint, refused: String?) async -> Bool {
        guard let challenge = all.first(where: { $0.scheme == "bearer" }) ?? all.first(where: { $0.scheme == "basic" }) else { return false }
        let registry = Registry(endpoint)
        challenges[registry] = challenge
        guard let refused else { return true }
        return await tokens.remove { $0.registry == registry && "Bearer \($1.value)" == refused }
    }

    /// Who this client is for a registry, for messages.
    func credential(for endpoint: Endpoint) async throws -> Credential? {
        let source = source
        return try await credentials.value(for: "\(endpoint.domain)/\(endpoint.path)") { try await source.credential(domain: endpoint.domain, path: endpoint.path) }
    }

    private static func basic(_ user: String, _ password: String) -> String { "Basic " + Base64.encode(Array("\(user):\(password)".utf8)) }

    private func token(for endpoint: Endpoint, _ scopes: Set<Scope>, _ challenge: Challenge, _ credential: Credential?) async throws -> Token {
        let key = TokenKey(registry: Registry(endpoint), path: endpoint.path, scopes: scopes)
        let (fetch, limits) = (fetch, limits)
        return try await tokens.value(for: key) { try await Self.buy(endpoint, scopes, challenge, credential, limits: limits, fetch: fetch) }
    }

    private static func buy(
        _ endpoint: Endpoint, _ scopes: Set<Scope>, _ challenge: Challenge, _ credential: Credential?, limits: ClientLimits, fetch: Fetch
    ) async throws -> Token {
        guard let text = challenge.parameters["realm"] else { throw RegistryError(.malformedAnswer, "\(endpoint.domain) asks for a token and does not say where to get one (realm)") }
        let realm: HTTPAddress
        do { realm = try HTTPAddress(text) } catch { throw RegistryError(.malformedAnswer, "\(endpoint.domain) asks for a token from a realm that is not usable: \(error)") }
        guard realm.isSecure || endpoint.transport != .tls else {
            throw RegistryError(.redirect, "\(endpoint.domain) asks to get a token from \(realm) without encryption; credentials are not sent there")
        }
        var parameters: [(name: String, value: String)] = []
        if let service = challenge.parameters["service"] { parameters.append(("service", service)) }
        let sorted = scopes.map(\.text).sorted()
        var request = Request(method: .GET, address: realm)
        switch credential {
        case .identityToken(let secret):
            parameters += [("grant_type", "refresh_token"), ("client_id", "nacelle"), ("scope", sorted.joined(separator: " ")), ("refresh_token", secret)]
            let form = parameters.map { "\(HTTPAddress.escaped($0.name))=\(HTTPAddress.escaped($0.value))" }.joined(separator: "&")
            request.method = .POST
            request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
            request.body = .bytes(Array(form.utf8))
        case .password(let user, let password):
            parameters += [("account", user)] + sorted.map { ("scope", $0) }
            request.address = realm.adding(parameters)
            request.headers.add(name: "Authorization", value: basic(user, password))
        default:
            request.address = realm.adding(parameters + sorted.map { ("scope", $0) })
        }
        let asked = ContinuousClock.now
        let answer = try await fetch(request, endpoint)
        return try token(from: try await answer.collect(limit: 1 << 20, limits: limits), asked: asked, request: answer.request)
    }

    /// Reads a token server's answer (distribution's token specification, "Token Response Fields").
    private static func token(from bytes: [UInt8], asked: ContinuousClock.Instant, request: String) throws -> Token {
        do {
            let members = try JSONCursor(JSONValue(parsing: bytes)).object()
            guard let value = try members["token"]?.string() ?? members["access_token"]?.string(), !value.isEmpty, value.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
                throw RegistryError(.malformedAnswer, request: request, "the answer has no token")
            }
            // 60 when it does not say. A little less, because the registry's clock runs while a request is on its way.
            let seconds = min(max(try members["expires_in"]?.integer(Int64.self) ?? 60, 0), 86400)
            return Token(value: value, expires: asked + .seconds(max(seconds - 10, seconds / 2)))
        } catch let error as RegistryError { throw error } catch { throw RegistryError(.malformedAnswer, request: request, "the token server's answer: \(error)") }
    }
}
