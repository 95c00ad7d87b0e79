import Glibc
import JSONText
import LinuxSystem
import OCIImage

/// The credentials that Docker and podman keep in files, and in the helpers that the files name (containers-auth.json(5)).
public struct CredentialFiles: CredentialSource {
    /// Looked at in this order; those that are not there are passed over.
    public let paths: [String]
    /// How long a credential helper may take.
    public var helperTimeout: Duration = .seconds(60)
    private let environment: [String: String]

    /// The files of the user whose environment this is: `$REGISTRY_AUTH_FILE` alone when it is set, or else podman's `auth.json` and Docker's `config.json`.
    public init(environment: [String: String]) {
        self.environment = environment
        func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        if let file = value("REGISTRY_AUTH_FILE") {
            paths = [file]
            return
        }
        let home = value("HOME")
        paths = [
            value("XDG_RUNTIME_DIR").map { "\($0)/containers/auth.json" },
            (value("XDG_CONFIG_HOME") ?? home.map { "\($0)/.config" }).map { "\($0)/containers/auth.json" },
            (value("DOCKER_CONFIG") ?? home.map { "\($0)/.docker" }).map { "\($0)/config.json" },
        ].compactMap { $0 }
    }

    /// - Parameters:
    ///   - paths: of files, which are looked at in this order.
    ///   - environment: for credential helpers; `PATH` says where they are.
    public init(paths: [String], environment: [String: String]) { (self.paths, self.environment) = (paths, environment) }

    /// The environment that this process was started with.
    public static func processEnvironment() throws(RegistryError) -> [String: String] {
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try readFile("/proc/self/environ", limit: 4 << 20) } catch { throw RegistryError(.configuration, "\(error)") }
        var result: [String: String] = [:]
        for entry in bytes.split(separator: 0) {
            guard let equals = entry.firstIndex(of: UInt8(ascii: "=")) else { continue }
            result[String(decoding: entry[..<equals], as: UTF8.self)] = String(decoding: entry[(equals + 1)...], as: UTF8.self)
        }
        return result
    }

    public func credential(domain: String, path: String) async throws -> Credential? {
        for file in paths {
            guard let members = try Self.read(file) else { continue }
            if let found = try await credential(in: members, file, domain: domain, path: path) { return found }
        }
        return nil
    }

    private func credential(in members: JSONMembers, _ file: String, domain: String, path: String) async throws -> Credential? {
        let names = Self.names(of: domain)
        var helper: (key: String, name: String)?
        var found: Credential?
        do {
            if let helpers = try members["credHelpers"]?.object() {
                for key in Self.prefixes(domain, path) + names { if helper == nil, let name = try helpers[key]?.string() { helper = (key, name) } }
            }
            if helper == nil, let auths = try members["auths"]?.object() { found = try Self.entry(in: auths, domain: domain, path: path).flatMap(Self.credential) }
        } catch { throw RegistryError(.credentials, "\(file): \(error)") }
        // A helper of a namespace is asked for that, and then for the registry: most know registries only.
        if let helper { return try await get(helper.name, (names.contains(helper.key) ? [] : [helper.key]) + names) }
        if let found { return found }
        guard let store = try? members["credsStore"]?.string(), !store.isEmpty else { return nil }
        return try await get(store, names)
    }

    private func get(_ name: String, _ servers: [String]) async throws -> Credential? {
        let helper = try CredentialHelper(name, environment: environment, timeout: helperTimeout)
        for server in servers { if let found = try await helper.get(server) { return found } }
        return nil
    }

    /// The names that a registry's credentials are kept by.
    private static func names(of domain: String) -> [String] {
        domain == Reference.defaultDomain ? ["https://index.docker.io/v1/", "index.docker.io", domain] : [domain]
    }

    /// The repository, and what it is in: `h/a/b/c`, `h/a/b`, `h/a`; without the registry itself.
    private static func prefixes(_ domain: String, _ path: String) -> [String] {
        let parts = path.split(separator: "/")
        return (0..<parts.count).map { "\(domain)/\(parts.dropLast($0).joined(separator: "/"))" }
    }

    /// The entry with the longest part of the repository's name; or one whose key is a URL, as older versions of Docker wrote it.
    private static func entry(in auths: JSONMembers, domain: String, path: String) throws(JSONShapeError) -> JSONMembers? {
        let names = names(of: domain)
        for name in prefixes(domain, path) + names { if let found = auths[name] { return try found.object() } }
        for key in auths.keys {
            guard let start = key.firstRange(of: "://")?.upperBound else { continue }
            let host = String(key[start...].prefix { $0 != "/" })
            if host == domain || names.contains(host) { return try auths[key]?.object() }
        }
        return nil
    }

    private static func credential(_ entry: JSONMembers) throws(JSONShapeError) -> Credential? {
        if let token = try entry["registrytoken"]?.string(), !token.isEmpty { return .registryToken(token) }
        if let token = try entry["identitytoken"]?.string(), !token.isEmpty { return .identityToken(token) }
        guard let auth = entry["auth"], case let text = try auth.string(), !text.isEmpty else { return nil }
        guard let bytes = Base64.decode(text), let pair = String(validating: bytes, as: UTF8.self), let colon = pair.firstIndex(of: ":") else {
            throw JSONShapeError(path: auth.path, problem: "is not the base64 of USER:PASSWORD")
        }
        return .password(user: String(pair[..<colon]), password: String(pair[pair.index(after: colon)...]))
    }

    /// The file's object; nil when there is no file.
    private static func read(_ path: String) throws(RegistryError) -> JSONMembers? {
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try readFile(path, limit: 1 << 20) } catch {
            if [.noSuchFile, .notDirectory].contains(error.errno) { return nil }
            throw RegistryError(.credentials, "\(error)")
        }
        // podman and Docker take an empty file for one that says nothing.
        if bytes.allSatisfy({ $0 == 0x20 || $0 == 0x0A }) { return nil }
        do { return try JSONCursor(JSONValue(parsing: bytes)).object() } catch { throw RegistryError(.credentials, "\(path): \(error)") }
    }
}

/// What `login` and `logout` do.
extension CredentialFiles {
    /// The file that is written: `$REGISTRY_AUTH_FILE`, or podman's `~/.config/containers/auth.json`, which outlives a reboot.
    private var ownPath: String? { paths.count > 1 ? paths[paths.count - 2] : paths.first }

    /// The files that have something to say of a registry and are looked at before that one, and that one. Podman's in `$XDG_RUNTIME_DIR` would hide what is stored after it.
    private func ownPaths(_ domain: String) throws(RegistryError) -> [String] {
        guard let own = ownPath else { return [] }
        var found: [String] = []
        for path in paths.prefix(while: { $0 != own }) {
            let object = try Self.object(path)
            let auths = Self.auths(object)
            if try helper(for: domain, in: object) != nil || ([domain] + Self.names(of: domain)).contains(where: { auths[$0] != nil }) { found.append(path) }
        }
        return found + [own]
    }

    /// Keeps a credential for a registry, with the credential helper that the file names for it, or in the file itself (which then only its owner can read).
    /// - Returns: where it is kept now.
    @discardableResult
    public func store(_ credential: Credential, for domain: String) async throws -> String {
        guard let path = try ownPaths(domain).first else { throw RegistryError(.credentials, "there is no file for credentials: neither REGISTRY_AUTH_FILE nor HOME is set") }
        var object = try Self.object(path)
        if let helper = try helper(for: domain, in: object) {
            try await helper.store(credential, for: Self.names(of: domain)[0])
            return "docker-credential-\(helper.name)"
        }
        var entry = JSONObject()
        switch credential {
        case .password(let user, let password):
            guard !user.contains(":") else { throw RegistryError(.credentials, "a user's name cannot have a colon") }
            entry["auth"] = .string(Base64.encode(Array("\(user):\(password)".utf8)))
        case .identityToken(let token): entry["identitytoken"] = .string(token)
        case .registryToken(let token): entry["registrytoken"] = .string(token)
        }
        var auths = Self.auths(object)
        auths[domain] = .object(entry)
        object["auths"] = .object(auths)
        try Self.write(path, .object(object))
        return path
    }

    /// Forgets the credential for a registry.
    /// - Returns: false when there was none that this method can remove: in the file that `store` writes, those before it, or with the helpers that they name.
    public func remove(_ domain: String) async throws -> Bool {
        var isRemoved = false
        for path in try ownPaths(domain) where try await remove(domain, from: path) { isRemoved = true }
        return isRemoved
    }

    private func remove(_ domain: String, from path: String) async throws -> Bool {
        var object = try Self.object(path)
        if let helper = try helper(for: domain, in: object) {
            let server = Self.names(of: domain)[0]
            guard try await helper.get(server) != nil else { return false }
            try await helper.erase(server)
            return true
        }
        var auths = Self.auths(object)
        let keys = ([domain] + Self.names(of: domain)).filter { auths[$0] != nil }
        guard !keys.isEmpty else { return false }
        for key in keys { auths[key] = nil }
        object["auths"] = .object(auths)
        try Self.write(path, .object(object))
        return true
    }

    private static func object(_ path: String) throws(RegistryError) -> JSONObject {
        guard let members = try read(path) else { return JSONObject() }
        var object = JSONObject()
        for key in members.keys { object[key] = members[key]?.value }
        return object
    }

    private static func auths(_ object: JSONObject) -> JSONObject {
        if case .object(let auths)? = object["auths"] { auths } else { JSONObject() }
    }

    private func helper(for domain: String, in object: JSONObject) throws(RegistryError) -> CredentialHelper? {
        var name: String?
        if case .object(let helpers)? = object["credHelpers"] {
            for key in Self.names(of: domain) { if name == nil, case .string(let text)? = helpers[key] { name = text } }
        }
        if name == nil, case .string(let text)? = object["credsStore"], !text.isEmpty { name = text }
        guard let name else { return nil }
        return try CredentialHelper(name, environment: environment, timeout: helperTimeout)
    }

    /// Puts a new file in the old one's place, so that nobody reads half of one.
    private static func write(_ path: String, _ value: JSONValue) throws(RegistryError) {
        do throws(SystemError) {
            let parts = path.split(separator: "/", omittingEmptySubsequences: false)
            guard path.hasPrefix("/"), let name = parts.last else { throw SystemError(.invalidArgument, "credentials", path: "\(path) (not absolute)") }
            for count in stride(from: 2, to: parts.count, by: 1) { try makeDirectory(parts[..<count].joined(separator: "/"), mode: 0o700) }
            let directory = try OwnedDescriptor(opening: parts.dropLast().joined(separator: "/") + "/", flags: O_RDONLY | O_DIRECTORY)
            let temporary = "\(name).\(UInt64.random(in: 0...(.max)))"
            do throws(SystemError) {
                try writeFile(parts.dropLast().joined(separator: "/") + "/" + temporary, Array((value.text(indent: "\t") + "\n").utf8), mode: 0o600, exclusive: true)
                try directory.rename(try EntryName(temporary), to: directory, try EntryName(String(name)), flags: 0)
            } catch {
                if let entry = try? EntryName(temporary) { try? directory.removeFile(entry) }
                throw error
            }
        } catch { throw RegistryError(.credentials, "\(error)") }
    }
}
