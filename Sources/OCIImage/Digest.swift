import JSONText

/// The name of content: an algorithm and the hash of the bytes (image-spec, descriptor.md, "Digests"). Whoever has bytes hashes them; this type only
/// says which hash is expected.
public struct Digest: Sendable, Hashable, CustomStringConvertible {
    /// The registered algorithms that implementations know (descriptor.md, "Registered algorithms").
    public enum Algorithm: String, Sendable, Hashable, CaseIterable {
        case sha256, sha512

        /// The length of a hash in bytes.
        public var byteCount: Int { self == .sha256 ? 32 : 64 }
    }

    public let algorithm: Algorithm
    /// The hash in lower-case hexadecimal digits, two for each byte.
    public let hex: String

    /// `sha256:6c3c624b…`
    public var description: String { "\(algorithm.rawValue):\(hex)" }

    /// Reads `algorithm:hex`.
    /// - Throws: when it is no digest, its algorithm is not supported, or the hash is not as long as the algorithm's or not in lower case.
    public init(_ text: String) throws(DigestError) {
        let bytes = Array(text.utf8)
        guard bytes.count <= 1024, let colon = bytes.firstIndex(of: UInt8(ascii: ":")), Self.isAlgorithm(bytes[..<colon]) else { throw .malformed(text) }
        let encoded = bytes[(colon + 1)...]
        guard !encoded.isEmpty, encoded.allSatisfy({ $0.isLetter || $0.isDigit || [UInt8(ascii: "="), UInt8(ascii: "_"), UInt8(ascii: "-")].contains($0) }) else {
            throw .malformed(text)
        }
        guard let algorithm = Algorithm(rawValue: String(decoding: bytes[..<colon], as: UTF8.self)) else { throw .unsupportedAlgorithm(text) }
        guard encoded.count == algorithm.byteCount * 2 else { throw .wrongLength(text, expected: algorithm.byteCount * 2) }
        guard encoded.allSatisfy({ $0.isDigit || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0) }) else { throw .malformed(text) }
        self.algorithm = algorithm
        hex = String(decoding: encoded, as: UTF8.self)
    }

    /// The digest of a hash that was computed. Nil when the hash is not as long as the algorithm's.
    public init?(_ algorithm: Algorithm, hash: some Sequence<UInt8>) {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in hash { text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
        guard text.count == algorithm.byteCount * 2 else { return nil }
        self.algorithm = algorithm
        hex = String(decoding: text, as: UTF8.self)
    }

    /// The hash.
    public var hash: [UInt8] {
        var result: [UInt8] = []
        var digits = hex.utf8.makeIterator()
        while let high = digits.next(), let low = digits.next() { result.append(Self.value(high) << 4 | Self.value(low)) }
        return result
    }

    private static func value(_ digit: UInt8) -> UInt8 { digit.isDigit ? digit - UInt8(ascii: "0") : digit - UInt8(ascii: "a") + 10 }

    /// Components of lower-case letters and digits, between them one of `+._-`.
    private static func isAlgorithm(_ bytes: ArraySlice<UInt8>) -> Bool {
        var expectsMore = true
        for byte in bytes {
            let separates = [UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-")].contains(byte)
            guard separates ? !expectsMore : byte.isLowercaseLetter || byte.isDigit else { return false }
            expectsMore = separates
        }
        return !expectsMore
    }
}

/// Text that names no content.
public enum DigestError: Error, Equatable, Sendable, CustomStringConvertible {
    case malformed(String)
    case unsupportedAlgorithm(String)
    /// The number of hexadecimal digits is not the algorithm's.
    case wrongLength(String, expected: Int)

    public var description: String {
        switch self {
        case .malformed(let text): "\(quoted(text)) is not a digest; one is `sha256:` and 64 hexadecimal digits in lower case"
        case .unsupportedAlgorithm(let text): "the digest \(quoted(text)) is of an algorithm that is not supported; sha256 and sha512 are"
        case .wrongLength(let text, let expected): "the digest \(quoted(text)) does not have \(expected) hexadecimal digits"
        }
    }
}

extension UInt8 {
    var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
    var isLowercaseLetter: Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self) }
    var isLetter: Bool { isLowercaseLetter || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self) }
    var isHexadecimal: Bool { isDigit || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(self) || (UInt8(ascii: "A")...UInt8(ascii: "F")).contains(self) }
}
