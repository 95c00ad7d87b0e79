/// A value that is not of the shape that is asked for, with its path (`process.args[2]`).
public struct JSONShapeError: Error, Equatable, Sendable, CustomStringConvertible {
    public var path: String
    public var problem: String
    public var description: String { path.isEmpty ? problem : "\(path): \(problem)" }
    public init(path: String, problem: String) {
        self.path = path
        self.problem = problem
    }
}

/// A value in a document, which knows where it stands.
public struct JSONCursor: Sendable {
    public let value: JSONValue
    public let path: String

    public init(_ value: JSONValue, path: String = "") {
        self.value = value
        self.path = path
    }

    private func mismatch(_ expected: String) -> JSONShapeError {
        JSONShapeError(path: path, problem: "expected \(expected), found \(value.kind)")
    }

    public func string() throws(JSONShapeError) -> String {
        guard case .string(let string) = value else { throw mismatch("a string") }
        return string
    }

    public func bool() throws(JSONShapeError) -> Bool {
        guard case .bool(let bool) = value else { throw mismatch("a boolean") }
        return bool
    }

    /// An integer that fits the type.
    public func integer<Integer: FixedWidthInteger>(_ type: Integer.Type = Integer.self) throws(JSONShapeError) -> Integer {
        let result: Integer?
        switch value {
        case .integer(let integer): result = Integer(exactly: integer)
        case .unsigned(let integer): result = Integer(exactly: integer)
        case .number(let number): throw JSONShapeError(path: path, problem: "expected an integer, found \(number)")
        default: throw mismatch("an integer")
        }
        guard let result else { throw JSONShapeError(path: path, problem: "\(value.text()) is not from \(Integer.min) to \(Integer.max)") }
        return result
    }

    /// An object's members. `null` members count as absent, as they do in Go.
    public func object() throws(JSONShapeError) -> JSONMembers {
        guard case .object(let object) = value else { throw mismatch("an object") }
        return JSONMembers(object, path: path)
    }

    /// An array's elements, each converted.
    public func array<Element>(_ convert: (JSONCursor) throws(JSONShapeError) -> Element) throws(JSONShapeError) -> [Element] {
        guard case .array(let values) = value else { throw mismatch("an array") }
        var result: [Element] = []
        result.reserveCapacity(values.count)
        for (index, element) in values.enumerated() { result.append(try convert(JSONCursor(element, path: "\(path)[\(index)]"))) }
        return result
    }

    public func strings() throws(JSONShapeError) -> [String] {
        try array { (element) throws(JSONShapeError) in try element.string() }
    }

    /// An object used as a map from strings.
    public func map<Element>(_ convert: (JSONCursor) throws(JSONShapeError) -> Element) throws(JSONShapeError) -> [(key: String, value: Element)] {
        guard case .object(let object) = value else { throw mismatch("an object") }
        var result: [(key: String, value: Element)] = []
        for member in object.members { result.append((member.key, try convert(JSONCursor(member.value, path: memberPath(path, member.key))))) }
        return result
    }
}

/// The members of one object.
public struct JSONMembers: Sendable {
    private let object: JSONObject
    public let path: String

    init(_ object: JSONObject, path: String) {
        self.object = object
        self.path = path
    }

    /// The member, or nil when it is absent or null.
    public subscript(key: String) -> JSONCursor? {
        guard let value = object[key], value != .null else { return nil }
        return JSONCursor(value, path: memberPath(path, key))
    }

    /// - Throws: when the member is absent.
    public func required(_ key: String) throws(JSONShapeError) -> JSONCursor {
        guard let cursor = self[key] else { throw JSONShapeError(path: memberPath(path, key), problem: "is missing") }
        return cursor
    }

    /// Adds the paths of members that are not among those named.
    public func addUnknown(besides known: [String], to paths: inout [String]) {
        for member in object.members where !known.contains(member.key) { paths.append(memberPath(path, member.key)) }
    }

    public var keys: [String] { object.members.map(\.key) }
}
