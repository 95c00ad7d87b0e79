public import JSONText

/// What `--format` takes of Go's templates: text, `{{.Field.Field}}` and `{{json .Field}}`, with `table ` in front for columns with a header.
public struct OutputTemplate: Equatable, Sendable {
    enum Part: Equatable, Sendable {
        case text(String)
        case field([String], isJSON: Bool)
    }

    let parts: [Part]
    public let isTable: Bool

    public init(_ text: String) throws(EngineError) {
        var rest = text[...]
        isTable = rest == "table" || rest.hasPrefix("table ") || rest.hasPrefix("table\t")
        if isTable { rest = rest.dropFirst(5).drop { $0 == " " } }
        var parts: [Part] = []
        while let start = rest.firstRange(of: "{{") {
            if start.lowerBound != rest.startIndex { parts.append(.text(Self.unescaped(rest[..<start.lowerBound]))) }
            guard let end = rest[start.upperBound...].firstRange(of: "}}") else { throw EngineError("--format \(quoted(text)): `}}` is missing") }
            parts.append(try Self.action(rest[start.upperBound..<end.lowerBound], in: text))
            rest = rest[end.upperBound...]
        }
        if !rest.isEmpty { parts.append(.text(Self.unescaped(rest))) }
        self.parts = parts
    }

    private static func action(_ text: Substring, in whole: String) throws(EngineError) -> Part {
        var words = text.split(whereSeparator: \.isWhitespace)
        let isJSON = words.first == "json"
        if isJSON { words.removeFirst() }
        guard words.count == 1, let path = words.first, path.hasPrefix(".") else {
            throw EngineError("--format \(quoted(whole)): of templates there are {{.Field}}, {{json .Field}} and {{json .}}, not {{\(text)}}")
        }
        return .field(path.split(separator: ".").map(String.init), isJSON: isJSON)
    }

    /// `\t` and `\n`, as a shell leaves them.
    private static func unescaped(_ text: Substring) -> String { String(text.replacing("\\t", with: "\t").replacing("\\n", with: "\n")) }

    /// The names of the columns of a table.
    public var header: String {
        parts.map { part in
            switch part {
            case .text(let text): text
            case .field(let path, _): path.last.map { $0.uppercased() } ?? ""
            }
        }.joined()
    }

    public func text(_ value: JSONValue) throws(EngineError) -> String {
        var result = ""
        for part in parts {
            switch part {
            case .text(let text): result += text
            case .field(let path, let isJSON): result += Self.shown(try Self.find(path, value), isJSON: isJSON)
            }
        }
        return result
    }

    private static func shown(_ value: JSONValue, isJSON: Bool) -> String {
        guard !isJSON else { return value.text() }
        return switch value {
        case .string(let text): text
        case .null: ""
        default: value.text()
        }
    }

    private static func find(_ path: [String], _ value: JSONValue) throws(EngineError) -> JSONValue {
        var value = value
        for name in path {
            guard case .object(let object) = value else { throw EngineError("--format: .\(path.joined(separator: ".")): \(quoted(name)) is asked of what has no fields") }
            guard let member = object[name] else {
                throw EngineError("--format: there is no field \(quoted(name)): there are \(object.members.map(\.key).joined(separator: ", "))")
            }
            value = member
        }
        return value
    }
}

/// Rows under a header, each column as wide as it needs.
public enum TextTable {
    public static func lines(_ rows: [[String]]) -> [String] {
        let count = rows.map(\.count).max() ?? 0
        let widths = (0..<count).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { $0.offset == row.count - 1 ? $0.element : $0.element + String(repeating: " ", count: widths[$0.offset] - $0.element.count + 2) }.joined()
        }
    }
}

/// Quantities as people read them.
public enum HumanText {
    /// How long, in Docker's words.
    public static func duration(seconds: Int64) -> String {
        switch seconds {
        case ..<1: "Less than a second"
        case 1: "1 second"
        case ..<60: "\(seconds) seconds"
        case ..<120: "About a minute"
        case ..<3600: "\(seconds / 60) minutes"
        case ..<7200: "About an hour"
        case ..<(48 * 3600): "\(seconds / 3600) hours"
        case ..<(14 * 86400): "\(seconds / 86400) days"
        case ..<(60 * 86400): "\(seconds / (7 * 86400)) weeks"
        case ..<(2 * 365 * 86400): "\(seconds / (30 * 86400)) months"
        default: "\(seconds / (365 * 86400)) years"
        }
    }

    /// Bytes with a unit of 1024.
    public static func bytes(_ count: UInt64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(count)
        var unit = 0
        while value >= 1024 && unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return (unit == 0 ? "\(count)" : decimal(value, 2)) + units[unit]
    }

    /// With so many digits after the point, at most three.
    public static func decimal(_ value: Double, _ digits: Int) -> String {
        let scale = [1, 10, 100, 1000][max(0, min(3, digits))]
        guard value.isFinite, abs(value) < 1e15 else { return "-" }
        let whole = Int64((value * Double(scale)).rounded())
        let fraction = "\(abs(whole % Int64(scale)) + Int64(scale))".dropFirst()
        return (whole < 0 && whole / Int64(scale) == 0 ? "-" : "") + "\(whole / Int64(scale))" + (digits > 0 ? "." + fraction : "")
    }
}
