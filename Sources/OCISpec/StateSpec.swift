public import JSONText

/// What a seccomp agent gets with a listener (config-linux.md, "The Container Process State").
public struct ContainerProcessState: SpecObject {
    public var ociVersion = ""
    /// The names of the descriptors that come with it, in their order.
    public var fds: [String] = []
    public var pid = 0
    public var metadata: String?
    public var state = StateSpec()
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("ociVersion", &ociVersion)
        try mapper.list("fds", &fds)
        try mapper.required("pid", &pid)
        try mapper.optional("metadata", &metadata)
        try mapper.required("state", &state)
    }
}

/// A container's state (runtime.md, "State").
public struct StateSpec: SpecObject {
    public enum Status: String, SpecWord { case creating, created, running, stopped, paused }
    public var ociVersion = ""
    public var id = ""
    public var status = Status.creating
    /// The process on the host that stands for the container; 0 when there is none.
    public var pid = 0
    public var bundle = ""
    public var annotations: [String: String] = [:]
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("ociVersion", &ociVersion)
        try mapper.required("id", &id)
        try mapper.required("status", &status)
        try mapper.defaulted("pid", &pid, 0)
        try mapper.required("bundle", &bundle)
        try mapper.map("annotations", &annotations)
    }

    /// Reads the JSON of a state.
    public static func parse(_ text: [UInt8]) throws(ConfigurationError) -> StateSpec {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: text) } catch { throw .notJSON(error) }
        var unknown: [String] = []
        do throws(JSONShapeError) { return try StateSpec(JSONCursor(value), unknown: &unknown) } catch { throw .shape(error) }
    }
}
