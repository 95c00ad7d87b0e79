/// Text that is not JSON, or more of it than is allowed.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Both count from 1; the column counts bytes.
    public var line: Int
    public var column: Int
    public var problem: String
    public var description: String { "line \(line), column \(column): \(problem)" }
}

/// What a parser puts up with.
public struct JSONLimits: Sendable {
    public var depth = 64
    public var bytes = 16 << 20
    public init() {}
}

extension JSONValue {
    /// Parses a whole text.
    public init(parsing text: [UInt8], limits: JSONLimits = JSONLimits()) throws(JSONError) {
        var parser = JSONParser(text: text, limits: limits)
        self = try parser.document()
    }
}

private struct JSONParser {
    private let text: [UInt8]
    private let limits: JSONLimits
    private var position = 0
    private var depth = 0

    init(text: [UInt8], limits: JSONLimits) {
        self.text = text
        self.limits = limits
    }

    private func failure(_ problem: String, at place: Int? = nil) -> JSONError {
        let place = min(place ?? position, text.count)
        let before = text[..<place]
        let line = before.reduce(1) { $1 == 0x0A ? $0 + 1 : $0 }
        let start = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
        return JSONError(line: line, column: place - start + 1, problem: problem)
    }

    mutating func document() throws(JSONError) -> JSONValue {
        guard text.count <= limits.bytes else { throw JSONError(line: 1, column: 1, problem: "the text has \(text.count) bytes, more than the limit of \(limits.bytes)") }
        skipBlanks()
        let value = try value()
        skipBlanks()
        guard position == text.count else { throw failure("unexpected text after the value") }
        return value
    }

    private mutating func skipBlanks() {
        while position < text.count, [0x20, 0x09, 0x0A, 0x0D].contains(text[position]) { position += 1 }
    }

    private mutating func value() throws(JSONError) -> JSONValue {
        guard position < text.count else { throw failure("the text ends where a value is expected") }
        switch text[position] {
        case UInt8(ascii: "{"): return .object(try object())
        case UInt8(ascii: "["): return .array(try array())
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw failure("a value is expected")
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        let expected = Array("\(word)".utf8)
        guard text[position...].starts(with: expected) else { throw failure("a value is expected") }
        position += expected.count
        return value
    }

    private mutating func enter() throws(JSONError) {
        depth += 1
        guard depth <= limits.depth else { throw failure("values are nested more than \(limits.depth) deep") }
        position += 1
        skipBlanks()
    }

    private mutating func object() throws(JSONError) -> JSONObject {
        try enter()
        defer { depth -= 1 }
        var object = JSONObject()
        var keys: Set<String> = []
        if take(UInt8(ascii: "}")) { return object }
        while true {
            guard position < text.count, text[position] == UInt8(ascii: "\"") else { throw failure("a member's name in quotes is expected") }
            let start = position
            let key = try string()
            guard keys.insert(key).inserted else { throw failure("the member \(quoted(key)) occurs twice", at: start) }
            skipBlanks()
            guard take(UInt8(ascii: ":")) else { throw failure("`:` is expected") }
            skipBlanks()
            object.append(key, try value())
            skipBlanks()
            if take(UInt8(ascii: "}")) { return object }
            guard take(UInt8(ascii: ",")) else { throw failure("`,` or `}` is expected") }
            skipBlanks()
        }
    }

    private mutating func array() throws(JSONError) -> [JSONValue] {
        try enter()
        defer { depth -= 1 }
        var values: [JSONValue] = []
        if take(UInt8(ascii: "]")) { return values }
        while true {
            values.append(try value())
            skipBlanks()
            if take(UInt8(ascii: "]")) { return values }
            guard take(UInt8(ascii: ",")) else { throw failure("`,` or `]` is expected") }
            skipBlanks()
        }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard position < text.count, text[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func string() throws(JSONError) -> String {
        let start = position
        position += 1
        var bytes: [UInt8] = []
        while true {
            guard position < text.count else { throw failure("a string does not end", at: start) }
            let byte = text[position]
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                guard let string = String(validating: bytes, as: UTF8.self) else { throw failure("a string is not valid UTF-8", at: start) }
                return string
            case UInt8(ascii: "\\"):
                position += 1
                bytes.append(contentsOf: try escape())
            case 0..<0x20: throw failure("a control character in a string must be escaped")
            default:
                bytes.append(byte)
                position += 1
            }
        }
    }

    private mutating func escape() throws(JSONError) -> [UInt8] {
        guard position < text.count else { throw failure("a string does not end") }
        let byte = text[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [8]
        case UInt8(ascii: "f"): return [12]
        case UInt8(ascii: "n"): return [10]
        case UInt8(ascii: "r"): return [13]
        case UInt8(ascii: "t"): return [9]
        case UInt8(ascii: "u"):
            var code = UInt32(try hexadecimal())
            if (0xD800..<0xDC00).contains(code) {
                guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else { throw failure("half of a surrogate pair") }
                let low = UInt32(try hexadecimal())
                guard (0xDC00..<0xE000).contains(low) else { throw failure("half of a surrogate pair") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw failure("half of a surrogate pair") }
            return Array(String(Character(scalar)).utf8)
        default: throw failure("an unknown escape", at: position - 1)
        }
    }

    private mutating func hexadecimal() throws(JSONError) -> UInt16 {
        guard position + 4 <= text.count, let value = UInt16(String(decoding: text[position..<(position + 4)], as: UTF8.self), radix: 16),
            text[position] != UInt8(ascii: "+")
        else { throw failure("four hexadecimal digits are expected") }
        position += 4
        return value
    }

    private mutating func digits() -> Int {
        let start = position
        while position < text.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[position]) { position += 1 }
        return position - start
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        _ = take(UInt8(ascii: "-"))
        let first = position
        let count = digits()
        guard count > 0, count == 1 || text[first] != UInt8(ascii: "0") else { throw failure("a malformed number", at: start) }
        var isInteger = true
        if take(UInt8(ascii: ".")) {
            isInteger = false
            guard digits() > 0 else { throw failure("a malformed number", at: start) }
        }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            isInteger = false
            _ = take(UInt8(ascii: "+")) || take(UInt8(ascii: "-"))
            guard digits() > 0 else { throw failure("a malformed number", at: start) }
        }
        guard position - start <= 400 else { throw failure("a number of too many digits", at: start) }
        let literal = String(decoding: text[start..<position], as: UTF8.self)
        if isInteger, let value = Int64(literal) { return .integer(value) }
        if isInteger, let value = UInt64(literal) { return .unsigned(value) }
        guard let value = Double(literal), value.isFinite else { throw failure("a number out of range", at: start) }
        // Go's encoder writes large integers as 1e+06: still integers.
        if let exact = Int64(exactly: value) { return .integer(exact) }
        return .number(value)
    }
}
