import JSONText

/// Through which proxies requests go: HTTP_PROXY, HTTPS_PROXY and NO_PROXY as most programs read them. All requests, those of plain HTTP too, go through HTTP proxies by
/// CONNECT.
public struct ProxySettings: Sendable, Hashable {
    /// A proxy that is spoken to in plain HTTP, or by SOCKS.
    public struct Proxy: Sendable, Hashable {
        /// HTTP; or SOCKS 5 without a user, where names are looked up by the proxy.
        public enum Kind: Sendable, Hashable { case http, socks5 }

        /// How it is spoken to.
        public var kind = Kind.http
        public var host: String
        public var port: Int
        /// `user:password`
        public var credential: String?

        /// Reads `[http://][user:password@]host[:port]` or `socks5://host[:port]` (`socks5h` is the same).
        /// - Throws: when it is none, or of another kind (`https`, `socks4`).
        public init(_ text: String) throws(RegistryError) {
            var rest = text[...]
            for (scheme, kind) in [("http://", Kind.http), ("socks5://", .socks5), ("socks5h://", .socks5)] where text.lowercased().hasPrefix(scheme) {
                (rest, self.kind) = (text.dropFirst(scheme.count), kind)
            }
            guard !rest.contains("://") else { throw Self.malformed() }
            if let at = rest.lastIndex(of: "@") {
                guard kind == .http, let user = Self.unescaped(rest[..<at]) else { throw Self.malformed() }
                credential = user
                rest = rest[rest.index(after: at)...]
            }
            if rest.hasSuffix("/") { rest = rest.dropLast() }
            guard !rest.contains("/") else { throw Self.malformed() }
            // Not with the text: it may hold a password.
            do throws(AddressError) {
                let address = try HTTPAddress(isSecure: false, authority: String(rest), path: "/")
                let hasPort = rest.drop { $0 != "]" }.contains(":") || !rest.hasPrefix("[") && rest.contains(":")
                (host, port) = (address.host.trimmingBrackets, kind == .socks5 && !hasPort ? 1080 : address.port)
            } catch { throw Self.malformed() }
        }

        private static func malformed() -> RegistryError {
            RegistryError(.configuration, "a proxy of the environment (HTTP_PROXY, HTTPS_PROXY) is neither http://[USER:PASSWORD@]HOST[:PORT] nor socks5://HOST[:PORT]")
        }

        private static func unescaped(_ text: Substring) -> String? {
            var bytes: [UInt8] = []
            var rest = Array(text.utf8)[...]
            while let byte = rest.popFirst() {
                guard byte == UInt8(ascii: "%") else {
                    bytes.append(byte)
                    continue
                }
                guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { return nil }
                bytes.append(value)
                rest = rest.dropFirst(2)
            }
            return String(validating: bytes, as: UTF8.self)
        }
    }

    public var http: Proxy?
    public var https: Proxy?
    /// Hosts that are spoken to directly: names (with all below them), addresses, networks in CIDR notation, `*`; each may have a port.
    public var exceptions: [String] = []

    public init() {}

    /// Reads `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, or the same in lower case.
    /// - Throws: when a proxy is not what it should be.
    public init(environment: [String: String]) throws(RegistryError) {
        func value(_ name: String) -> String? {
            let value = environment[name] ?? environment[name.lowercased()]
            return value?.isEmpty == false ? value : nil
        }
        if let text = value("HTTP_PROXY") { http = try Proxy(text) }
        if let text = value("HTTPS_PROXY") { https = try Proxy(text) }
        exceptions = value("NO_PROXY")?.split(whereSeparator: { $0 == "," || $0 == " " }).map(String.init) ?? []
    }

    func proxy(for address: HTTPAddress) -> Proxy? {
        guard let proxy = address.isSecure ? https : http else { return nil }
        let host = address.host.trimmingBrackets
        // As everywhere: this machine is not reached through a proxy.
        if host == "localhost" || host.hasSuffix(".localhost") || IPAddress(host)?.isLoopback == true { return nil }
        return exceptions.contains { Self.excepts($0, host: host, port: address.port) } ? nil : proxy
    }

    private static func excepts(_ entry: String, host: String, port: Int) -> Bool {
        var entry = entry.lowercased()
        if entry == "*" { return true }
        let address = IPAddress(host)
        if let slash = entry.firstIndex(of: "/") {
            guard let network = IPAddress(String(entry[..<slash])), let bits = Int(entry[entry.index(after: slash)...]), let address else { return false }
            return address.isIn(network, bits: bits)
        }
        if IPAddress(entry.trimmingBrackets) == nil, let colon = entry.lastIndex(of: ":") {
            guard Int(entry[entry.index(after: colon)...]) == port else { return false }
            entry = String(entry[..<colon])
        }
        if let other = IPAddress(entry.trimmingBrackets) { return other == address }
        let name = entry.hasPrefix("*.") ? String(entry.dropFirst()) : entry
        if name.hasPrefix(".") { return host.hasSuffix(name) }
        return host == name || host.hasSuffix("." + name)
    }
}

extension String {
    /// An IPv6 address without the brackets that URLs put around it.
    var trimmingBrackets: String { hasPrefix("[") && hasSuffix("]") ? String(dropFirst().dropLast()) : self }
}
