import JSONText

/// An absolute URL of scheme http or https (RFC 3986), in the parts that a request needs.
struct HTTPAddress: Hashable, Sendable, CustomStringConvertible {
    var isSecure: Bool
    /// A name, an IPv4 address, or an IPv6 address in brackets; in lower case.
    var host: String
    var port: Int
    /// Begins with a slash.
    var path: String
    /// What follows the question mark.
    var query: String?

    /// What credentials belong to: another host, port or scheme is another origin (RFC 6454).
    struct Origin: Hashable, Sendable, CustomStringConvertible {
        let isSecure: Bool
        let host: String
        let port: Int
        var description: String { "\(isSecure ? "https" : "http")://\(host)\(port == (isSecure ? 443 : 80) ? "" : ":\(port)")" }
    }
    var origin: Origin { Origin(isSecure: isSecure, host: host, port: port) }

    /// - Parameter authority: `host[:port]`.
    init(isSecure: Bool, authority: String, path: String, query: String? = nil) throws(AddressError) {
        var bytes = Array(authority.utf8)[...]
        var port = isSecure ? 443 : 80
        let afterAddress = bytes.lastIndex(of: UInt8(ascii: "]")).map { $0 + 1 } ?? bytes.startIndex
        if let colon = bytes[afterAddress...].firstIndex(of: UInt8(ascii: ":")) {
            let digits = bytes[(colon + 1)...]
            guard (1...5).contains(digits.count), digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
                let number = Int(String(decoding: digits, as: UTF8.self)), (1...65535).contains(number)
            else { throw AddressError(text: authority) }
            port = number
            bytes = bytes[..<colon]
        }
        guard !bytes.isEmpty, bytes.count <= 255, Self.isHost(bytes) else { throw AddressError(text: authority) }
        self.isSecure = isSecure
        host = String(decoding: bytes, as: UTF8.self).lowercased()
        self.port = port
        self.path = path.isEmpty ? "/" : path
        self.query = query
        guard self.path.hasPrefix("/"), Self.isPlain(self.path), Self.isPlain(query ?? ""), self.path.utf8.count + (query ?? "").utf8.count <= 16384 else {
            throw AddressError(text: path)
        }
    }

    /// Reads an absolute URL, or one relative to `base`, without its fragment.
    init(_ text: String, relativeTo base: HTTPAddress? = nil) throws(AddressError) {
        let text = text.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).first.map(String.init) ?? ""
        func split(_ rest: Substring) -> (before: String, query: String?) {
            let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            return (parts.first ?? "", parts.count == 2 ? parts[1] : nil)
        }
        var isSecure: Bool?
        var rest = text[...]
        // Before a slash or a question mark a colon ends a scheme; after one it is text.
        if let colon = text.firstIndex(where: { ":/?".contains($0) }), text[colon] == ":" {
            guard text[text.index(after: colon)...].hasPrefix("//") else { throw AddressError(text: text) }
            switch text[..<colon].lowercased() {
            case "https": isSecure = true
            case "http": isSecure = false
            default: throw AddressError(text: text)
            }
            rest = text[text.index(after: colon)...]
        }
        guard let secure = isSecure ?? base?.isSecure else { throw AddressError(text: text) }
        if rest.hasPrefix("//") {
            let (before, query) = split(rest.dropFirst(2))
            let slash = before.firstIndex(of: "/") ?? before.endIndex
            try self.init(isSecure: secure, authority: String(before[..<slash]), path: String(before[slash...]), query: query)
            return
        }
        guard isSecure == nil, let base else { throw AddressError(text: text) }
        self = base
        let (path, query) = split(rest)
        self.query = query
        if path.hasPrefix("/") {
            self.path = Self.withoutDots(path)
        } else if !path.isEmpty {
            self.path = Self.withoutDots(base.path[...(base.path.lastIndex(of: "/") ?? base.path.startIndex)] + path)
        } else if query == nil {
            self.query = base.query
        }
        guard Self.isPlain(self.path), Self.isPlain(self.query ?? ""), self.path.utf8.count + (self.query ?? "").utf8.count <= 16384 else { throw AddressError(text: text) }
    }

    /// A path without components `.` and `..` (RFC 3986, 5.2.4).
    private static func withoutDots(_ path: String) -> String {
        var components: [Substring] = []
        let all = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        for (index, component) in all.enumerated() {
            let isLast = index == all.count - 1
            switch component {
            case ".": if isLast { components.append("") }
            case "..":
                _ = components.popLast()
                if isLast { components.append("") }
            default: components.append(component)
            }
        }
        return "/" + components.joined(separator: "/")
    }

    /// The URL as a request has it.
    var url: String { "\(origin)\(path)\(query.map { "?" + $0 } ?? "")" }

    /// The URL as a message has it: queries hold signatures and tokens.
    var description: String { "\(origin)\(path)" }

    /// With more parameters, each of which is escaped.
    func adding(_ parameters: [(name: String, value: String)]) -> HTTPAddress {
        var result = self
        let added = parameters.map { "\(Self.escaped($0.name))=\(Self.escaped($0.value))" }.joined(separator: "&")
        let parts = [query ?? "", added].filter { !$0.isEmpty }
        result.query = parts.isEmpty ? nil : parts.joined(separator: "&")
        return result
    }

    /// Percent-encoded, all but the unreserved characters (RFC 3986, 2.3).
    static func escaped(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var result: [UInt8] = []
        for byte in text.utf8 {
            if isUnreserved(byte) { result.append(byte) } else { result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"): true
        default: false
        }
    }

    /// No user's name, no blanks, nothing but ASCII: those would make another request of this one.
    private static func isHost(_ bytes: ArraySlice<UInt8>) -> Bool {
        if bytes.first == UInt8(ascii: "[") {
            return bytes.last == UInt8(ascii: "]") && bytes.count > 2
                && bytes.dropFirst().dropLast().allSatisfy { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".") || Character(Unicode.Scalar($0)).isHexDigit }
        }
        return bytes.allSatisfy { isUnreserved($0) && $0 != UInt8(ascii: "~") }
    }

    private static func isPlain(_ text: String) -> Bool { text.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") } }
}

struct AddressError: Error, Equatable, CustomStringConvertible {
    let text: String
    var description: String { "\(quoted(text)) is not an http or https URL" }
}
