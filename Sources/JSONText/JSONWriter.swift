extension JSONValue {
    /// The text, on one line or (`indent`) with one such string per level, as `runc spec` writes it with tabs.
    public func text(indent: String? = nil) -> String {
        var writer = JSONWriter(indent: indent)
        writer.write(self, level: 0)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    /// The text on one line as UTF-8.
    public func bytes() -> [UInt8] {
        var writer = JSONWriter(indent: nil)
        writer.write(self, level: 0)
        return writer.bytes
    }
}

private struct JSONWriter {
    let indent: String?
    var bytes: [UInt8] = []

    init(indent: String?) { self.indent = indent }

    mutating func add(_ text: String) { bytes.append(contentsOf: text.utf8) }

    mutating func newLine(_ level: Int) {
        guard let indent else { return }
        add("\n")
        for _ in 0..<level { add(indent) }
    }

    mutating func write(_ value: JSONValue, level: Int) {
        switch value {
        case .null: add("null")
        case .bool(let value): add(value ? "true" : "false")
        case .integer(let value): add("\(value)")
        case .unsigned(let value): add("\(value)")
        case .number(let value): add("\(value)")
        case .string(let value): write(value)
        case .array(let values):
            add("[")
            for (index, element) in values.enumerated() {
                if index > 0 { add(",") }
                newLine(level + 1)
                write(element, level: level + 1)
            }
            if !values.isEmpty { newLine(level) }
            add("]")
        case .object(let object):
            add("{")
            for (index, member) in object.members.enumerated() {
                if index > 0 { add(",") }
                newLine(level + 1)
                write(member.key)
                add(indent == nil ? ":" : ": ")
                write(member.value, level: level + 1)
            }
            if !object.members.isEmpty { newLine(level) }
            add("}")
        }
    }

    mutating func write(_ string: String) {
        let digits = Array("0123456789abcdef".utf8)
        bytes.append(UInt8(ascii: "\""))
        defer { bytes.append(UInt8(ascii: "\"")) }
        guard string.utf8.contains(where: { $0 < 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }) else { return add(string) }
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case 10: add("\\n")
            case 13: add("\\r")
            case 9: add("\\t")
            // No text may grow by being read and written: these were written with one letter.
            case 8: add("\\b")
            case 12: add("\\f")
            case 0..<0x20: bytes += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: bytes.append(byte)
            }
        }
    }
}
