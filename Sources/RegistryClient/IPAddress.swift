/// The bytes of an IPv4 address (4) or an IPv6 address (16).
struct IPAddress: Equatable, Sendable {
    let bytes: [UInt8]

    init?(_ text: String) {
        guard let bytes = text.contains(":") ? Self.version6(text) : Self.version4(text) else { return nil }
        self.bytes = bytes
    }

    var isLoopback: Bool { bytes.count == 4 ? bytes[0] == 127 : bytes == [UInt8](repeating: 0, count: 15) + [1] }

    /// - Parameter bits: how many at the start are the network's.
    func isIn(_ network: IPAddress, bits: Int) -> Bool {
        guard bytes.count == network.bytes.count, (0...bytes.count * 8).contains(bits) else { return false }
        for bit in 0..<bits {
            let mask: UInt8 = 0x80 >> (bit % 8)
            guard bytes[bit / 8] & mask == network.bytes[bit / 8] & mask else { return false }
        }
        return true
    }

    private static func version4(_ text: String) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { part in part.utf8.count <= 3 && part.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt8(part) : nil }
        return parts.count == 4 && bytes.count == 4 ? bytes : nil
    }

    /// Groups of up to four hexadecimal digits, of which `::` stands for as many of zero as are missing (RFC 4291, 2.2).
    private static func version6(_ text: String) -> [UInt8]? {
        func groups(_ text: Substring) -> [UInt16]? {
            if text.isEmpty { return [] }
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            let numbers = parts.compactMap { part in part.utf8.count <= 4 && part.allSatisfy(\.isHexDigit) ? UInt16(part, radix: 16) : nil }
            return numbers.count == parts.count ? numbers : nil
        }
        var numbers: [UInt16]
        if let gap = text.firstRange(of: "::") {
            guard let before = groups(text[..<gap.lowerBound]), let after = groups(text[gap.upperBound...]), before.count + after.count < 8 else { return nil }
            numbers = before + [UInt16](repeating: 0, count: 8 - before.count - after.count) + after
        } else {
            guard let all = groups(text[...]), all.count == 8 else { return nil }
            numbers = all
        }
        return numbers.flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] }
    }
}
