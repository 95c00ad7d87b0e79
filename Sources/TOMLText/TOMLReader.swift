/// The part of TOML 1.0 that a list of settings needs: comments, `[table]`, `[[array.of.tables]]`, `key = value` with bare keys, and for values strings
/// of one line, decimal integers, and booleans. Everything else is an error that names its line; nothing is skipped.
public struct TOMLReader {
    public enum Value: Equatable, Sendable {
        case string(String)
        case integer(Int64)
        case boolean(Bool)
    }

    public struct Entry: Equatable, Sendable {
        /// `table.key`, `array[0].key`, `array[0].inner[2].key`, or `key` before the first table.
        public var name: String
        public var value: Value
        public var line: Int
    }

    public struct Problem: Error, Equatable {
        public var line: Int
        public var text: String
        public init(line: Int, text: String) { (self.line, self.text) = (line, text) }
    }

    /// Settings are few; what is larger is no list of them.
    public static let largestFile = 64 << 10

    private var line = 0
    private var rest = Substring.UnicodeScalarView()

    /// The entries in their order. A table of an array that has no entries is one all the same: its entry has the name `array[0]` and the value true.
    public static func entries(_ bytes: [UInt8]) throws(Problem) -> [Entry] {
        var lines: [Substring] = []
        for (index, piece) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            guard let text = String(validating: piece.last == UInt8(ascii: "\r") ? piece.dropLast() : piece, as: UTF8.self) else {
                throw Problem(line: index + 1, text: "is not UTF-8")
            }
            lines.append(Substring(text))
        }
        var result: [Entry] = []
        var table = ""
        var tables: Set<String> = []
        var names: Set<String> = []
        var counts: [String: Int] = [:]
        for (index, text) in lines.enumerated() {
            var reader = TOMLReader()
            (reader.line, reader.rest) = (index + 1, text.unicodeScalars)
            if let control = text.unicodeScalars.first(where: { ($0.value < 0x20 && $0 != "\t") || $0.value == 0x7F }) {
                throw reader.problem("contains the control character \(control.value)")
            }
            reader.skipBlanks()
            guard let first = reader.rest.first, first != "#" else { continue }
            if reader.rest.starts(with: "[[".unicodeScalars) {
                table = try reader.arrayHeader(&counts)
                guard !tables.contains(String(table.prefix { $0 != "[" })) else { throw reader.problem("\(table) is a table already") }
                result.append(Entry(name: table, value: .boolean(true), line: reader.line))
            } else if first == "[" {
                table = try reader.header()
                guard counts[table] == nil else { throw reader.problem("[\(table)] is an array of tables already") }
                guard tables.insert(table).inserted else { throw reader.problem("[\(table)] is there already") }
            } else {
                let entry = try reader.entry(in: table)
                guard names.insert(entry.name).inserted else { throw reader.problem("\(entry.name): is set already") }
                result.append(entry)
            }
            try reader.end()
        }
        return result
    }

    private func problem(_ text: String) -> Problem { Problem(line: line, text: text) }

    private mutating func skipBlanks() { rest = rest.drop { $0 == " " || $0 == "\t" } }

    private mutating func end() throws(Problem) {
        skipBlanks()
        if let next = rest.first, next != "#" { throw problem("unexpected `\(String(rest))`") }
    }

    private mutating func header() throws(Problem) -> String {
        rest.removeFirst()
        skipBlanks()
        let name = try bareKey("a table's name")
        skipBlanks()
        guard rest.popFirst() == "]" else { throw problem("[\(name): `]` is missing") }
        return name
    }

    /// `[[array]]` begins another table of the array, `[[array.inner]]` one of an array in the array's last table.
    private mutating func arrayHeader(_ counts: inout [String: Int]) throws(Problem) -> String {
        rest = rest.dropFirst(2)
        var path = ""
        while true {
            skipBlanks()
            path += (path.isEmpty ? "" : ".") + (try bareKey("a table's name"))
            skipBlanks()
            guard rest.first == "." else { break }
            rest.removeFirst()
            guard let count = counts[path] else { throw problem("[[\(path)]] must come before its part") }
            path += "[\(count - 1)]"
        }
        guard rest.popFirst() == "]", rest.popFirst() == "]" else { throw problem("[[\(path): `]]` is missing") }
        counts[path, default: 0] += 1
        return "\(path)[\((counts[path] ?? 1) - 1)]"
    }

    private mutating func entry(in table: String) throws(Problem) -> Entry {
        let key = try bareKey("a setting's name")
        let name = table.isEmpty ? key : "\(table).\(key)"
        skipBlanks()
        guard rest.popFirst() == "=" else { throw problem("\(name): `=` is missing") }
        skipBlanks()
        return Entry(name: name, value: try value(of: name), line: line)
    }

    private mutating func bareKey(_ what: String) throws(Problem) -> String {
        let key = rest.prefix { $0.isASCII && ($0.properties.isAlphabetic || ("0"..."9").contains($0) || $0 == "_" || $0 == "-") }
        guard !key.isEmpty else { throw problem("\(what) is expected, of letters, digits, `_` and `-`: `\(String(rest))`") }
        rest = rest.dropFirst(key.count)
        return String(key)
    }

    private mutating func value(of name: String) throws(Problem) -> Value {
        if String(rest).hasPrefix("\"\"\"") || String(rest).hasPrefix("'''") { throw problem("\(name): strings of several lines are not supported here") }
        switch rest.first {
        case "\"": return .string(try basicString(name))
        case "'": return .string(try literalString(name))
        default: break
        }
        let word = String(rest.prefix { $0 != " " && $0 != "\t" && $0 != "#" })
        rest = rest.dropFirst(word.unicodeScalars.count)
        switch word {
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        default: break
        }
        guard let number = Self.integer(word) else {
            throw problem("\(name): `\(word)` is no value: a string in quotes, a whole number, true or false is expected")
        }
        return .integer(number)
    }

    /// Digits with single underscores between them, no leading zeros.
    private static func integer(_ word: String) -> Int64? {
        let digits = word.first == "-" || word.first == "+" ? word.dropFirst() : Substring(word)
        let groups = digits.split(separator: "_", omittingEmptySubsequences: false)
        guard groups.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }), digits == "0" || !digits.hasPrefix("0") else { return nil }
        return Int64((word.first == "-" ? "-" : "") + groups.joined())
    }

    private mutating func literalString(_ name: String) throws(Problem) -> String {
        rest.removeFirst()
        let text = rest.prefix { $0 != "'" }
        rest = rest.dropFirst(text.count)
        guard rest.popFirst() != nil else { throw problem("\(name): the string does not end") }
        return String(text)
    }

    private mutating func basicString(_ name: String) throws(Problem) -> String {
        rest.removeFirst()
        var text = String.UnicodeScalarView()
        while let scalar = rest.popFirst() {
            switch scalar {
            case "\"": return String(text)
            case "\\": text.append(try escape(name))
            default: text.append(scalar)
            }
        }
        throw problem("\(name): the string does not end")
    }

    private mutating func escape(_ name: String) throws(Problem) -> Unicode.Scalar {
        let simple: [Unicode.Scalar: Unicode.Scalar] = ["b": "\u{8}", "t": "\t", "n": "\n", "f": "\u{C}", "r": "\r", "\"": "\"", "\\": "\\"]
        let letter = rest.popFirst()
        if let letter, let scalar = simple[letter] { return scalar }
        if letter == "u" || letter == "U" {
            let digits = String(rest.prefix(letter == "u" ? 4 : 8))
            rest = rest.dropFirst(digits.unicodeScalars.count)
            if digits.utf8.count == (letter == "u" ? 4 : 8), digits.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
                let value = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(value) { return scalar }
        }
        throw problem("\(name): an escape that TOML does not have")
    }
}
