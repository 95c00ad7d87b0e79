/// The grammar of github.com/distribution/reference, part by part. Everything is ASCII; each function looks at a whole part.
enum ReferenceGrammar {
    /// A reference before defaults are applied.
    struct Parts: Equatable {
        var domain: String?
        var path: String
        var tag: String?
        var digest: String?
    }

    /// `name [":" tag] ["@" digest]`, or nil.
    static func parts(of text: String) -> Parts? {
        var rest = Array(text.utf8)[...]
        var parts = Parts(path: "")
        // Neither a name nor a tag has an @.
        if let at = rest.firstIndex(of: UInt8(ascii: "@")) {
            guard isDigest(rest[(at + 1)...]) else { return nil }
            parts.digest = string(rest[(at + 1)...])
            rest = rest[..<at]
        }
        // A colon after the last slash begins a tag; one before it, a port.
        let last = rest.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? rest.startIndex
        if let colon = rest[last...].lastIndex(of: UInt8(ascii: ":")) {
            guard isTag(rest[(colon + 1)...]) else { return nil }
            parts.tag = string(rest[(colon + 1)...])
            rest = rest[..<colon]
        }
        if let slash = rest.firstIndex(of: UInt8(ascii: "/")), isDomain(rest[..<slash]), isPath(rest[(slash + 1)...]) {
            parts.domain = string(rest[..<slash])
            rest = rest[(slash + 1)...]
        }
        guard isPath(rest) else { return nil }
        parts.path = string(rest)
        return parts
    }

    /// `/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}/`
    static func isTag(_ bytes: some Collection<UInt8>) -> Bool {
        func isWord(_ byte: UInt8) -> Bool { byte.isLetter || byte.isDigit || byte == UInt8(ascii: "_") }
        guard bytes.count <= 128, let first = bytes.first, isWord(first) else { return false }
        return bytes.dropFirst().allSatisfy { isWord($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") }
    }

    /// `path-component ["/" path-component]*`
    static func isPath(_ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy(isPathComponent)
    }

    /// Lower-case letters and digits, between them one period, one or two underscores, or dashes.
    private static func isPathComponent(_ bytes: ArraySlice<UInt8>) -> Bool {
        var separator: [UInt8] = [UInt8(ascii: ".")]
        for byte in bytes {
            if byte.isLowercaseLetter || byte.isDigit {
                separator = []
                continue
            }
            switch byte {
            case UInt8(ascii: "."): guard separator.isEmpty else { return false }
            case UInt8(ascii: "_"): guard separator.isEmpty || separator == [byte] else { return false }
            case UInt8(ascii: "-"): guard separator.isEmpty || separator[0] == byte else { return false }
            default: return false
            }
            if separator.count < 2 { separator.append(byte) }
        }
        return separator.isEmpty
    }

    /// `host [":" port]`; the host is a domain name, an IPv4 address or an IPv6 address in brackets.
    static func isDomain(_ bytes: ArraySlice<UInt8>) -> Bool {
        if bytes.first == UInt8(ascii: "[") {
            guard let end = bytes.firstIndex(of: UInt8(ascii: "]")) else { return false }
            let address = bytes[(bytes.startIndex + 1)..<end]
            return !address.isEmpty && address.allSatisfy { $0.isHexadecimal || $0 == UInt8(ascii: ":") } && isPort(bytes[(end + 1)...])
        }
        let colon = bytes.firstIndex(of: UInt8(ascii: ":")) ?? bytes.endIndex
        return isPort(bytes[colon...])
            && bytes[..<colon].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { label in
                func isAlphanumeric(_ byte: UInt8?) -> Bool { byte.map { $0.isLetter || $0.isDigit } ?? false }
                return isAlphanumeric(label.first) && isAlphanumeric(label.last) && label.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
            }
    }

    /// Nothing, or a colon and digits.
    private static func isPort(_ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.isEmpty || bytes.first == UInt8(ascii: ":") && bytes.count > 1 && bytes.dropFirst().allSatisfy(\.isDigit)
    }

    /// `algorithm ":" hex{32,}`; which algorithms there are is for `Digest` to say.
    private static func isDigest(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else { return false }
        let hex = bytes[(colon + 1)...]
        guard hex.count >= 32, hex.allSatisfy(\.isHexadecimal) else { return false }
        var begins = true
        for byte in bytes[..<colon] {
            switch byte {
            case _ where byte.isLetter: begins = false
            case _ where byte.isDigit: guard !begins else { return false }
            case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "+"), UInt8(ascii: "."):
                guard !begins else { return false }
                begins = true
            default: return false
            }
        }
        return !begins
    }

    private static func string(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
}
