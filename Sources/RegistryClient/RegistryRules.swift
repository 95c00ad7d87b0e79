import OCIImage

/// How a registry is spoken to.
public enum RegistryTransport: String, Sendable, Hashable {
    /// HTTPS with a certificate that is verified.
    case tls
    /// HTTPS with any certificate, or HTTP where nothing speaks TLS.
    case insecure
    /// HTTP.
    case plain
}

/// Another place that may have a registry's images.
public struct RegistryMirror: Sendable, Hashable {
    /// Which pulls go to a mirror first.
    public enum Pulls: String, Sendable, Hashable { case all, digestOnly = "digest-only", tagOnly = "tag-only" }

    /// `host[:port][/path]`, which replaces the prefix.
    public var location: String
    /// How it is spoken to.
    public var transport: RegistryTransport
    /// Which pulls go to it first.
    public var pulls: Pulls

    public init(location: String, transport: RegistryTransport = .tls, pulls: Pulls = .all) {
        (self.location, self.transport, self.pulls) = (location, transport, pulls)
    }
}

/// What is said about the repositories whose names begin with a prefix (as in containers-registries.conf(5)).
public struct RegistryRule: Sendable, Hashable {
    /// `host[:port][/path]`, which ends at the end of a component, or `*.domain`.
    public var prefix: String
    /// What replaces the prefix; nil: nothing does.
    public var location: String?
    /// How the registry itself is spoken to.
    public var transport: RegistryTransport
    /// Nothing is asked there.
    public var isBlocked: Bool
    /// Asked first, in this order; only for pulls.
    public var mirrors: [RegistryMirror]

    public init(prefix: String, location: String? = nil, transport: RegistryTransport = .tls, isBlocked: Bool = false, mirrors: [RegistryMirror] = []) {
        (self.prefix, self.location, self.transport, self.isBlocked, self.mirrors) = (prefix, location, transport, isBlocked, mirrors)
    }

    /// How long a part of the name it describes; nil: it does not describe it.
    fileprivate func match(_ name: String, domain: String) -> Int? {
        // A host's name is the same in any case, and all else is in lower case.
        let (prefix, name, domain) = (prefix.lowercased(), name.lowercased(), domain.lowercased())
        if prefix.hasPrefix("*.") {
            let suffix = prefix.dropFirst()
            let host = domain.split(separator: ":").first.map(String.init) ?? domain
            return host.hasSuffix(suffix) && host.count > suffix.count ? domain.utf8.count : nil
        }
        guard name == prefix || name.hasPrefix(prefix + "/") else { return nil }
        return prefix.utf8.count
    }
}

/// The rules of which each repository has at most one: the one with the longest prefix.
public struct RegistryRules: Sendable, Hashable {
    public var rules: [RegistryRule]

    public init(_ rules: [RegistryRule] = []) { self.rules = rules }

    /// The host that answers for `docker.io`.
    static let dockerHost = "registry-1.docker.io"

    private func rule(for name: String, domain: String) -> (length: Int, rule: RegistryRule)? {
        var found: (length: Int, rule: RegistryRule)?
        for rule in rules {
            if let length = rule.match(name, domain: domain), length > found?.length ?? -1 { found = (length, rule) }
        }
        return found
    }

    /// How a host is spoken to that is asked for no repository.
    /// - Throws: when it is blocked.
    func transport(of address: HTTPAddress) throws(RegistryError) -> RegistryTransport {
        let domain = address.host + (address.port == (address.isSecure ? 443 : 80) ? "" : ":\(address.port)")
        guard let rule = rule(for: domain, domain: domain)?.rule else { return .tls }
        guard !rule.isBlocked else { throw RegistryError(.blocked, "\(address): the configuration blocks \(rule.prefix)") }
        return rule.transport
    }

    /// Where the repository is, the mirrors first.
    /// - Throws: when the repository is blocked, or a location is no repository's name.
    func endpoints(for reference: Reference, mirrors: Bool) throws(RegistryError) -> [Endpoint] {
        let name = reference.name
        guard let (length, rule) = rule(for: name, domain: reference.domain) else { return [try Endpoint(name, transport: .tls)] }
        guard !rule.isBlocked else { throw RegistryError(.blocked, "\(name): the configuration blocks \(rule.prefix)") }
        let rest = String(decoding: Array(name.utf8.dropFirst(length)), as: UTF8.self)
        var endpoints: [Endpoint] = []
        for mirror in mirrors ? rule.mirrors : [] {
            switch mirror.pulls {
            case .digestOnly where reference.digest == nil, .tagOnly where reference.digest != nil: continue
            default: endpoints.append(try Endpoint(mirror.location + rest, transport: mirror.transport))
            }
        }
        endpoints.append(try Endpoint(rule.location.map { $0 + rest } ?? name, transport: rule.transport))
        return endpoints
    }
}

/// A repository at one registry.
struct Endpoint: Sendable, Hashable {
    /// The registry as people name it and credentials are kept: `docker.io`.
    let domain: String
    let path: String
    let transport: RegistryTransport

    /// - Parameter name: `host[:port]/path`.
    init(_ name: String, transport: RegistryTransport) throws(RegistryError) {
        let parsed: Reference
        do throws(ReferenceError) { parsed = try Reference(name) } catch { throw RegistryError(.configuration, "the location \(name): \(error)") }
        // A first component that is no host would be a path at docker.io, which nobody means here.
        guard name.hasPrefix(parsed.domain + "/") else { throw RegistryError(.configuration, "the location \(name) does not begin with a registry's host") }
        guard parsed.tag == nil, parsed.digest == nil else { throw RegistryError(.configuration, "the location \(name) has a tag or a digest") }
        (domain, path, self.transport) = (parsed.domain, parsed.path, transport)
    }

    private init(domain: String, path: String, transport: RegistryTransport) { (self.domain, self.path, self.transport) = (domain, path, transport) }

    /// The registry itself.
    var registry: Endpoint { Endpoint(domain: domain, path: "", transport: transport) }

    private var authority: String { domain == Reference.defaultDomain ? RegistryRules.dockerHost : domain }

    /// - Parameter suffix: what follows the repository's name: `/manifests/latest`.
    func address(isSecure: Bool, _ suffix: String) throws(RegistryError) -> HTTPAddress {
        try address(isSecure: isSecure, path: "/v2/\(path)\(suffix)")
    }

    func address(isSecure: Bool, path: String) throws(RegistryError) -> HTTPAddress {
        do throws(AddressError) { return try HTTPAddress(isSecure: isSecure, authority: authority, path: path) } catch { throw RegistryError(.configuration, "\(error)") }
    }
}
