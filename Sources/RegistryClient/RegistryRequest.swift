import AsyncHTTPClient
import NIOHTTP1

/// A request to a registry, with what it takes to be allowed.
struct RegistryRequest: Sendable {
    var method: HTTPMethod
    var endpoint: Endpoint
    /// Where; nil: `path` at the endpoint's registry.
    var address: HTTPAddress?
    var path: String
    var parameters: [(name: String, value: String)] = []
    var headers = HTTPHeaders()
    var scopes: Set<Scope>
    /// Made anew for each attempt.
    var body: (@Sendable () -> HTTPClientRequest.Body)?
    /// In bytes.
    var bodyLength: Int64 = 0
    /// What is an answer and not a refusal.
    var accepted: Set<Int> = [200]

    init(_ method: HTTPMethod, _ endpoint: Endpoint, path: String, scopes: Set<Scope>, accepted: Set<Int> = [200]) {
        (self.method, self.endpoint, self.path, self.scopes, self.accepted) = (method, endpoint, path, scopes, accepted)
    }

    /// - Parameter suffix: what follows the repository's name.
    init(_ method: HTTPMethod, _ endpoint: Endpoint, _ suffix: String, scopes: Set<Scope>, accepted: Set<Int> = [200]) {
        self.init(method, endpoint, path: "/v2/\(endpoint.path)\(suffix)", scopes: scopes, accepted: accepted)
    }
}

extension RegistryClient {
    /// Makes a request, again where that may help.
    func perform(_ request: RegistryRequest) async throws -> Answer {
        try await retrying(configuration) { try await performOnce(request) }
    }

    /// Makes a request, and once more with what the registry asks for.
    func performOnce(_ request: RegistryRequest) async throws -> Answer {
        let exchange = Exchange(connections: connections, configuration: configuration, endpoint: request.endpoint)
        let registry = try request.endpoint.address(isSecure: try await isSecure(request.endpoint), path: request.path)
        let address = (request.address ?? registry).adding(request.parameters)
        var scopes = request.scopes
        var attempt = 0
        while true {
            var outgoing = Request(method: request.method, address: address, headers: request.headers, body: request.body?(), bodyLength: request.bodyLength)
            // An upload may go on at another host, which has no claim to this registry's credentials.
            let isOwn = address.origin == registry.origin
            let authorization = isOwn ? try await authorizer.header(for: request.endpoint, scopes) : nil
            if let authorization { outgoing.headers.replaceOrAdd(name: "Authorization", value: authorization) }
            let answer = try await exchange.follow(outgoing)
            if answer.status == 401, attempt == 0, answer.address.origin == registry.origin {
                attempt += 1
                let challenges = Challenge.parse(answer.headers["www-authenticate"])
                let asked = challenges.first { $0.scheme == "bearer" }?.parameters["scope"]?.split(separator: " ").map { Scope(text: String($0)) } ?? []
                // What this client asks for covers what a registry says for the same thing; another thing it must ask for besides.
                let more = asked.filter { one in !scopes.contains { $0.text.hasPrefix(one.text) } }
                scopes.formUnion(more)
                let isNew = await authorizer.learn(challenges, from: request.endpoint, refused: authorization)
                if isNew || !more.isEmpty, try await authorizer.header(for: request.endpoint, scopes) != nil {
                    await answer.drain(limits: limits)
                    continue
                }
            }
            if request.accepted.contains(answer.status) { return answer }
            throw await explained(try await exchange.refusal(of: answer), request.endpoint)
        }
    }

    /// With what to do about missing or wrong credentials.
    private func explained(_ error: RegistryError, _ endpoint: Endpoint) async -> RegistryError {
        guard error.code == .unauthorized || error.code == .denied else { return error }
        var result = error
        if let credential = try? await authorizer.credential(for: endpoint) {
            result = RegistryError(error.code, request: error.request, "\(error.problem) (asked with \(credential) for \(endpoint.domain))")
        } else {
            result = RegistryError(error.code, request: error.request, "\(error.problem) (there are no credentials for \(endpoint.domain): log in first, if the repository's name is right)")
        }
        result.registryCodes = error.registryCodes
        return result
    }
}
