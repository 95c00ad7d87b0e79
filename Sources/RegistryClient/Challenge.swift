/// What a registry wants to see before it answers (RFC 9110, 11.6.1).
struct Challenge: Equatable, Sendable {
    /// In lower case: `basic`, `bearer`.
    var scheme: String
    /// Names in lower case.
    var parameters: [String: String]

    /// Reads the values of all WWW-Authenticate headers. What is not understood ends the reading of its header.
    static func parse(_ headers: [String]) -> [Challenge] {
        var challenges: [Challenge] = []
        for header in headers.prefix(16) {
            var parser = Parser(bytes: Array(header.utf8.prefix(8192)))
            challenges += parser.challenges()
        }
        return challenges
    }

    private struct Parser {
        let bytes: [UInt8]
        var position = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        mutating func challenges() -> [Challenge] {
            var result: [Challenge] = []
            while true {
                skip { $0 == UInt8(ascii: ",") || Self.isBlank($0) }
                guard let word = token() else { return result }
                skip(Self.isBlank)
                if take(UInt8(ascii: "=")), !result.isEmpty {
                    skip(Self.isBlank)
                    guard let value = value() else { return result }
                    // Twice the same name is a reason to doubt the second.
                    let name = word.lowercased()
                    if result[result.count - 1].parameters[name] == nil { result[result.count - 1].parameters[name] = value }
                } else {
                    result.append(Challenge(scheme: word.lowercased(), parameters: [:]))
                }
            }
        }

        private mutating func skip(_ condition: (UInt8) -> Bool) {
            while position < bytes.count, condition(bytes[position]) { position += 1 }
        }

        private mutating func take(_ byte: UInt8) -> Bool {
            guard position < bytes.count, bytes[position] == byte else { return false }
            position += 1
            return true
        }

        private mutating func token() -> String? {
            let start = position
            skip { (0x21...0x7E).contains($0) && !Array("\"(),/:;<=>?@[\\]{}".utf8).contains($0) }
            return start == position ? nil : String(decoding: bytes[start..<position], as: UTF8.self)
        }

        private mutating func value() -> String? {
            guard take(UInt8(ascii: "\"")) else { return token() }
            var text: [UInt8] = []
            while position < bytes.count {
                var byte = bytes[position]
                position += 1
                if byte == UInt8(ascii: "\"") { return String(decoding: text, as: UTF8.self) }
                if byte == UInt8(ascii: "\\"), position < bytes.count {
                    byte = bytes[position]
                    position += 1
                }
                text.append(byte)
            }
            return nil
        }

        private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
    }
}
