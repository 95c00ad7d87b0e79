/// Appends little-endian fields.
public struct ByteWriter: Sendable {
    public private(set) var bytes: [UInt8] = []
    public init() {}

    public mutating func append<Integer: FixedWidthInteger>(_ value: Integer) {
        var rest = value
        for _ in 0..<(Integer.bitWidth / 8) {
            bytes.append(UInt8(truncatingIfNeeded: rest))
            rest = Integer.bitWidth > 8 ? rest >> 8 : 0
        }
    }

    public mutating func append(_ value: Bool) { append(UInt8(value ? 1 : 0)) }

    /// A length (u32) and the bytes.
    public mutating func append(counted value: [UInt8]) {
        append(UInt32(truncatingIfNeeded: value.count))
        bytes.append(contentsOf: value)
    }

    public mutating func append(_ value: String) { append(counted: Array(value.utf8)) }
}

/// Takes little-endian fields off, checking bounds; `what` names the field in errors.
public struct ByteReader: Sendable {
    private var rest: ArraySlice<UInt8>
    public init(_ bytes: some Collection<UInt8>) { rest = ArraySlice(bytes) }

    public mutating func integer<Integer: FixedWidthInteger>(_ type: Integer.Type, _ what: String) throws(ProtocolError) -> Integer {
        let size = Integer.bitWidth / 8
        guard rest.count >= size else { throw .truncated(what) }
        var value: Integer = 0
        for byte in rest.prefix(size).reversed() { value = (size > 1 ? value << 8 : 0) | Integer(truncatingIfNeeded: byte) }
        rest = rest.dropFirst(size)
        return value
    }

    public mutating func bool(_ what: String) throws(ProtocolError) -> Bool {
        switch try integer(UInt8.self, what) {
        case 0: return false
        case 1: return true
        default: throw .invalid(what)
        }
    }

    public mutating func counted(_ what: String) throws(ProtocolError) -> [UInt8] {
        let count = Int(try integer(UInt32.self, what))
        guard rest.count >= count else { throw .truncated(what) }
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }

    public mutating func string(_ what: String) throws(ProtocolError) -> String {
        guard let text = String(validating: try counted(what), as: UTF8.self) else { throw .invalid(what) }
        return text
    }

    /// Refuses trailing bytes.
    public func end() throws(ProtocolError) {
        guard rest.isEmpty else { throw .invalid("length: \(rest.count) bytes too many") }
    }
}
