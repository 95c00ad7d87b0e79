public import JSONText

/// A bundle's config.json (runtime-spec 1.3.0, config.md).
public struct RuntimeSpec: SpecObject {
    /// The version of the specification that the text follows.
    public var ociVersion = ""
    public var process: ProcessSpec?
    public var root: RootSpec?
    public var hostname: String?
    public var domainname: String?
    public var mounts: [MountSpec] = []
    public var hooks: HooksSpec?
    public var annotations: [String: String] = [:]
    public var linux: LinuxSpec?
    public var vm: VMSpec?
    /// Platforms that are not ours, if the text has their sections.
    public var foreignSections: [String] = []

    public init() {}

    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("ociVersion", &ociVersion)
        try mapper.optional("process", &process)
        try mapper.optional("root", &root)
        try mapper.optional("hostname", &hostname)
        try mapper.optional("domainname", &domainname)
        try mapper.list("mounts", &mounts)
        try mapper.optional("hooks", &hooks)
        try mapper.map("annotations", &annotations)
        try mapper.optional("linux", &linux)
        try mapper.optional("vm", &vm)
    }

    /// Reads config.json.
    /// - Returns: the value, and the paths of fields that the specification does not have.
    public static func parse(_ text: [UInt8]) throws(ConfigurationError) -> (spec: RuntimeSpec, unknown: [String]) {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: text) } catch { throw .notJSON(error) }
        var unknown: [String] = []
        do throws(JSONShapeError) {
            var spec = try RuntimeSpec(JSONCursor(value), unknown: &unknown)
            let foreign = ["windows", "solaris", "zos", "freebsd"]
            spec.foreignSections = unknown.filter(foreign.contains)
            unknown.removeAll(where: foreign.contains)
            return (spec, unknown)
        } catch { throw .shape(error) }
    }
}

/// Why a config.json cannot be used.
public enum ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    case notJSON(JSONError)
    case shape(JSONShapeError)
    /// Everything that is wrong with it, each with its path.
    case invalid([Problem])

    /// A value that the specification or this runtime does not allow.
    public struct Problem: Equatable, Sendable, CustomStringConvertible {
        public var path: String
        public var text: String
        public init(_ path: String, _ text: String) {
            self.path = path
            self.text = text
        }
        public var description: String { "\(path): \(text)" }
    }

    public var description: String { "config.json: \(reason)" }

    /// What is wrong, without the name of the file.
    public var reason: String {
        switch self {
        case .notJSON(let error): "is not JSON: \(error)"
        case .shape(let error): "\(error)"
        case .invalid(let problems): Self.text(problems)
        }
    }

    /// All of them on one line, but for so many that nobody would read them.
    public static func text(_ problems: [Problem]) -> String {
        let most = 20
        let shown = problems.prefix(most).map(\.description).joined(separator: "; ")
        return problems.count > most ? "\(shown); and \(problems.count - most) more" : shown
    }
}

/// The container's root file system.
public struct RootSpec: SpecObject {
    /// Relative to the bundle, or absolute.
    public var path = ""
    public var readonly = false
    public init() {}
    public init(path: String, readonly: Bool = false) {
        self.path = path
        self.readonly = readonly
    }
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("path", &path)
        try mapper.defaulted("readonly", &readonly, false)
    }
}

/// Hooks by the point of the lifecycle at which they run (config.md, "POSIX-platform Hooks").
public struct HooksSpec: SpecObject {
    public var prestart: [HookSpec] = []
    public var createRuntime: [HookSpec] = []
    public var createContainer: [HookSpec] = []
    public var startContainer: [HookSpec] = []
    public var poststart: [HookSpec] = []
    public var poststop: [HookSpec] = []
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.list("prestart", &prestart)
        try mapper.list("createRuntime", &createRuntime)
        try mapper.list("createContainer", &createContainer)
        try mapper.list("startContainer", &startContainer)
        try mapper.list("poststart", &poststart)
        try mapper.list("poststop", &poststop)
    }

    /// All hooks with the name of their list.
    public var all: [(name: String, hooks: [HookSpec])] {
        [("prestart", prestart), ("createRuntime", createRuntime), ("createContainer", createContainer),
         ("startContainer", startContainer), ("poststart", poststart), ("poststop", poststop)]
    }
}

public struct HookSpec: SpecObject {
    public var path = ""
    /// With the program's own name first, as execve(2) takes them.
    public var args: [String] = []
    public var env: [String] = []
    /// Seconds.
    public var timeout: Int?
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("path", &path)
        try mapper.list("args", &args)
        try mapper.list("env", &env)
        try mapper.optional("timeout", &timeout)
    }
}
