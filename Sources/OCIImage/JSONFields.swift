import JSONText

/// Reads fields of one object; an absent list or map is an empty one.
extension JSONMembers {
    func string(_ key: String) throws(JSONShapeError) -> String? { try self[key]?.string() }

    func strings(_ key: String) throws(JSONShapeError) -> [String] { try self[key]?.strings() ?? [] }

    func flag(_ key: String) throws(JSONShapeError) -> Bool { try self[key]?.bool() ?? false }

    func integer<Integer: FixedWidthInteger>(_ key: String) throws(JSONShapeError) -> Integer? { try self[key]?.integer() }

    func list<Element>(_ key: String, _ read: (JSONCursor) throws(JSONShapeError) -> Element) throws(JSONShapeError) -> [Element] { try self[key]?.array(read) ?? [] }

    func object<Value>(_ key: String, _ read: (JSONCursor) throws(JSONShapeError) -> Value) throws(JSONShapeError) -> Value? {
        guard let cursor = self[key] else { return nil }
        return try read(cursor)
    }

    func stringMap(_ key: String) throws(JSONShapeError) -> [String: String] {
        var result: [String: String] = [:]
        for (name, value) in try self[key]?.map({ (cursor) throws(JSONShapeError) in try cursor.string() }) ?? [] { result[name] = value }
        return result
    }

    /// The keys of an object whose values are empty objects: Go's way to write a set.
    func set(_ key: String) throws(JSONShapeError) -> Set<String> {
        guard let cursor = self[key] else { return [] }
        let members = try cursor.map { (cursor) throws(JSONShapeError) in if cursor.value != .null { _ = try cursor.object() } }
        return Set(members.map(\.key))
    }

    func mediaType(_ key: String) throws(JSONShapeError) -> MediaType? {
        guard let cursor = self[key] else { return nil }
        let type = MediaType(try cursor.string())
        // Go writes an absent one so.
        if type.rawValue.isEmpty { return nil }
        guard type.isWellFormed else { throw JSONShapeError(path: cursor.path, problem: "\(quoted(type.rawValue)) is not a media type") }
        return type
    }
}

extension JSONCursor {
    func digest() throws(JSONShapeError) -> Digest {
        let text = try string()
        do throws(DigestError) { return try Digest(text) } catch { throw JSONShapeError(path: path, problem: "\(error)") }
    }
}

/// Builds an object; what is absent, empty or false is not written.
struct ObjectWriter {
    private(set) var object = JSONObject()

    mutating func add(_ key: String, _ value: JSONValue?) { object[key] = value }
    mutating func add(_ key: String, _ value: String?) { object[key] = value.map { .string($0) } }
    mutating func add(_ key: String, _ value: MediaType?) { add(key, value?.rawValue) }
    mutating func add(_ key: String, _ value: Int64?) { object[key] = value.map { .integer($0) } }
    mutating func add(_ key: String, flag: Bool) { object[key] = flag ? .bool(true) : nil }
    mutating func add(_ key: String, list: [String]) { object[key] = list.isEmpty ? nil : .array(list.map { .string($0) }) }
    mutating func add(_ key: String, list: [some ImageDocument]) { object[key] = list.isEmpty ? nil : .array(list.map(\.json)) }

    mutating func add(_ key: String, map: [String: String]) {
        var result = JSONObject()
        for name in map.keys.sorted() { result[name] = map[name].map { .string($0) } }
        object[key] = map.isEmpty ? nil : .object(result)
    }

    mutating func add(_ key: String, set: Set<String>) {
        var result = JSONObject()
        for name in set.sorted() { result[name] = .object(JSONObject()) }
        object[key] = set.isEmpty ? nil : .object(result)
    }

    var value: JSONValue { .object(object) }
}
