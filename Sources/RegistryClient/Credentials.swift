import OCIImage

/// What proves who asks.
public enum Credential: Sendable, Hashable, CustomStringConvertible {
    case password(user: String, password: String)
    /// A refresh token of OAuth 2, which a token server exchanges for others (`identitytoken`).
    case identityToken(String)
    /// A token that the registry itself takes (`registrytoken`).
    case registryToken(String)

    /// Without the secret.
    public var description: String {
        switch self {
        case .password(let user, _): "the password of \(user)"
        case .identityToken: "an identity token"
        case .registryToken: "a registry token"
        }
    }
}

/// Where credentials come from.
public protocol CredentialSource: Sendable {
    /// The credential for a repository, or nil when there is none. Asked once for each repository.
    /// - Parameters:
    ///   - domain: the registry's host and port: `docker.io`, `localhost:5000`.
    ///   - path: the repository's name there; empty when the registry itself is asked.
    func credential(domain: String, path: String) async throws -> Credential?
}

/// No credentials at all.
public struct NoCredentials: CredentialSource {
    public init() {}
    public func credential(domain: String, path: String) async throws -> Credential? { nil }
}

/// One credential for one registry: what a person has just typed.
public struct GivenCredential: CredentialSource {
    public let domain: String
    public let credential: Credential

    public init(domain: String, _ credential: Credential) { (self.domain, self.credential) = (domain, credential) }
    public func credential(domain: String, path: String) async throws -> Credential? { domain == (self.domain == "index.docker.io" ? Reference.defaultDomain : self.domain) ? credential : nil }
}
