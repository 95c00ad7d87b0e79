public import JSONText

/// A value of the specification that has one JSON form.
public protocol SpecValue: Equatable, Sendable {
    init(_ cursor: JSONCursor, unknown: inout [String]) throws(JSONShapeError)
    var json: JSONValue { get }
    /// Appends the paths of all fields that a value of this type can have below `path`.
    static func listFields(below path: String, into paths: inout [String])
}

extension SpecValue {
    public static func listFields(below path: String, into paths: inout [String]) {}
}

/// An object of the specification. One listing of its fields serves both directions.
public protocol SpecObject: SpecValue {
    init()
    /// Names every field once.
    mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError)
}

extension SpecObject {
    public init(_ cursor: JSONCursor, unknown: inout [String]) throws(JSONShapeError) {
        self.init()
        var mapper = SpecMapper(reading: try cursor.object(), unknown: unknown)
        // The mapper's alone meanwhile: adding to an array that two have would copy it each time.
        unknown = []
        try map(&mapper)
        unknown = mapper.unknownFields()
    }

    public var json: JSONValue {
        var copy = self
        var mapper = SpecMapper()
        // Writing reads no input, so nothing can be of the wrong shape.
        try? copy.map(&mapper)
        return .object(mapper.output)
    }

    public static func listFields(below path: String, into paths: inout [String]) {
        var mapper = SpecMapper(listing: path)
        var object = Self()
        // Listing reads no input, either.
        try? object.map(&mapper)
        paths += mapper.listed
    }

    /// The paths of every field, with `[]` for an array's elements and `*` for a key that the user chooses.
    public static var fieldPaths: [String] {
        var paths: [String] = []
        listFields(below: "", into: &paths)
        return paths
    }
}

/// Moves the fields of one object from or to JSON, or lists them.
public struct SpecMapper {
    /// When listing: the path of the object.
    private let prefix: String?
    private(set) var listed: [String] = []
    private let input: JSONMembers?
    private var known: [String] = []
    private var unknown: [String]
    private(set) var output = JSONObject()

    init() {
        (prefix, input) = (nil, nil)
        unknown = []
    }

    init(listing path: String) {
        (prefix, input) = (path, nil)
        unknown = []
    }

    init(reading input: JSONMembers, unknown: [String]) {
        prefix = nil
        self.input = input
        self.unknown = unknown
    }

    /// Notes a field and those beneath it. False when this mapper does not list.
    private mutating func list<Value: SpecValue>(_ key: String, _ type: Value.Type, isMap: Bool = false) -> Bool {
        guard let prefix else { return false }
        let path = prefix.isEmpty ? key : prefix + "." + key
        listed.append(path)
        Value.listFields(below: isMap ? path + ".*" : path, into: &listed)
        return true
    }

    /// The paths of all fields that were not asked for, here and below.
    mutating func unknownFields() -> [String] {
        input?.addUnknown(besides: known, to: &unknown)
        return unknown
    }

    /// An optional field: nil is absent.
    public mutating func optional<Value: SpecValue>(_ key: String, _ field: inout Value?) throws(JSONShapeError) {
        if list(key, Value.self) { return }
        guard let input else { return output[key] = field?.json }
        known.append(key)
        field = nil
        if let cursor = input[key] { field = try Value(cursor, unknown: &unknown) }
    }

    /// A field that must be there.
    public mutating func required<Value: SpecValue>(_ key: String, _ field: inout Value) throws(JSONShapeError) {
        if list(key, Value.self) { return }
        guard let input else { return output[key] = field.json }
        known.append(key)
        field = try Value(try input.required(key), unknown: &unknown)
    }

    /// A field whose absence means `standard`, which is then not written.
    public mutating func defaulted<Value: SpecValue>(_ key: String, _ field: inout Value, _ standard: Value) throws(JSONShapeError) {
        if list(key, Value.self) { return }
        guard let input else {
            if field != standard { output[key] = field.json }
            return
        }
        known.append(key)
        field = standard
        if let cursor = input[key] { field = try Value(cursor, unknown: &unknown) }
    }

    /// An array; empty and absent are the same.
    public mutating func list<Value: SpecValue>(_ key: String, _ field: inout [Value]) throws(JSONShapeError) {
        try defaulted(key, &field, [])
    }

    /// A map from strings, in the order of the text; empty and absent are the same.
    public mutating func map(_ key: String, _ field: inout [String: String]) throws(JSONShapeError) {
        if list(key, String.self, isMap: true) { return }
        guard let input else {
            if !field.isEmpty { output[key] = SpecMapper.object(field) { .string($0) } }
            return
        }
        known.append(key)
        field = [:]
        for (name, value) in try input[key]?.map({ (cursor) throws(JSONShapeError) in try cursor.string() }) ?? [] { field[name] = value }
    }

    /// A map from strings to objects.
    public mutating func map<Value: SpecValue>(_ key: String, _ field: inout [String: Value]) throws(JSONShapeError) {
        if list(key, Value.self, isMap: true) { return }
        guard let input else {
            if !field.isEmpty { output[key] = SpecMapper.object(field) { $0.json } }
            return
        }
        known.append(key)
        field = [:]
        var found = unknown
        unknown = []
        for (name, value) in try input[key]?.map({ (cursor) throws(JSONShapeError) in try Value(cursor, unknown: &found) }) ?? [] { field[name] = value }
        unknown = found
    }

    private static func object<Value>(_ values: [String: Value], _ convert: (Value) -> JSONValue) -> JSONValue {
        var object = JSONObject()
        for key in values.keys.sorted() { if let value = values[key] { object[key] = convert(value) } }
        return .object(object)
    }
}

extension String: SpecValue {
    public init(_ cursor: JSONCursor, unknown: inout [String]) throws(JSONShapeError) { self = try cursor.string() }
    public var json: JSONValue { .string(self) }
}

extension Bool: SpecValue {
    public init(_ cursor: JSONCursor, unknown: inout [String]) throws(JSONShapeError) { self = try cursor.bool() }
    public var json: JSONValue { .bool(self) }
}

extension SpecValue where Self: FixedWidthInteger {
    public init(_ cursor: JSONCursor, unknown: inout [String]) throws(JSONShapeError) { self = try cursor.integer() }
    public var json: JSONValue { Int64(exactly: self).map { .integer($0) } ?? .unsigned(UInt64(truncatingIfNeeded: self)) }
}
extension Int: SpecValue {}
extension Int32: SpecValue {}
extension Int64: SpecValue {}
extension UInt16: SpecValue {}
extension UInt32: SpecValue {}
extension UInt64: SpecValue {}

extension Array: SpecValue where Element: SpecValue {
    public init(_ cursor: JSONCursor, unknown: inout [String]) throws(JSONShapeError) {
        var found = unknown
        unknown = []
        self = try cursor.array { (element) throws(JSONShapeError) in try Element(element, unknown: &found) }
        unknown = found
    }
    public var json: JSONValue { .array(map(\.json)) }
    public static func listFields(below path: String, into paths: inout [String]) { Element.listFields(below: path + "[]", into: &paths) }
}

/// A field of the specification that takes one of a few words.
public protocol SpecWord: SpecValue, RawRepresentable, CaseIterable where RawValue == String {}

extension SpecWord {
    public init(_ cursor: JSONCursor, unknown: inout [String]) throws(JSONShapeError) {
        let word = try cursor.string()
        guard let value = Self(rawValue: word) else {
            throw JSONShapeError(path: cursor.path, problem: "\(quoted(word)) is not one of \(Self.allCases.map { $0.rawValue }.joined(separator: ", "))")
        }
        self = value
    }
    public var json: JSONValue { .string(rawValue) }
}
