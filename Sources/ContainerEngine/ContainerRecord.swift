public import JSONText
public import OCISpec

/// How the output of a container is kept.
public struct LogSettings: Equatable, Sendable {
    /// Bytes of one file before the next is begun.
    public var size: Int64 = 10 << 20
    /// How many there are at most, the current one included.
    public var files = 3
    public var isKept = true
    public static let smallestSize: Int64 = 4096
    public init() {}
}

/// What does not change about a container: `container.json`.
public struct ContainerRecord: SpecObject {
    public var id = ""
    public var name = ""
    /// Nanoseconds since 1970.
    public var created: Int64 = 0
    /// As the user named it; for a directory its path.
    public var image = ""
    /// Of the image's configuration; empty for a directory.
    public var imageID = ""
    /// A directory of the host that is the root file system, or empty: then the image's.
    public var rootfs = ""
    /// The program and its arguments.
    public var command: [String] = []
    /// A name or an absolute path.
    public var runtime = ""
    public var isolation: String?
    public var terminal = false
    public var interactive = false
    public var removesItself = false
    public var labels: [String: String] = [:]
    public var stopSignal: Int32 = 15
    /// Seconds
    public var stopTimeout = 10
    public var logSize: Int64 = 0
    public var logFiles = 0
    public var network = ""
    /// Of a container in a machine.
    public var upper = UpperPlace.shared
    /// Bytes; 0 is none, or of a tmpfs half of the memory.
    public var upperSize: Int64 = 0
    /// Names of volumes.
    public var volumes: [String] = []

    public init() {}

    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("id", &id)
        try mapper.required("name", &name)
        try mapper.required("created", &created)
        try mapper.defaulted("image", &image, "")
        try mapper.defaulted("imageID", &imageID, "")
        try mapper.defaulted("rootfs", &rootfs, "")
        try mapper.list("command", &command)
        try mapper.required("runtime", &runtime)
        try mapper.optional("isolation", &isolation)
        try mapper.defaulted("terminal", &terminal, false)
        try mapper.defaulted("interactive", &interactive, false)
        try mapper.defaulted("removesItself", &removesItself, false)
        try mapper.map("labels", &labels)
        try mapper.required("stopSignal", &stopSignal)
        try mapper.required("stopTimeout", &stopTimeout)
        try mapper.required("logSize", &logSize)
        try mapper.required("logFiles", &logFiles)
        try mapper.defaulted("network", &network, "")
        try mapper.defaulted("upper", &upper, .shared)
        try mapper.defaulted("upperSize", &upperSize, 0)
        try mapper.list("volumes", &volumes)
    }

    /// 0 files is no log.
    public var log: LogSettings {
        var settings = LogSettings()
        (settings.size, settings.files, settings.isKept) = (logSize, logFiles, logFiles > 0)
        return settings
    }
}

/// What changes about it: `state.json`.
public struct ContainerState: SpecObject {
    public enum Status: String, SpecWord {
        /// It has never been started.
        case created
        /// A supervisor has begun; the runtime may have made something.
        case starting
        case running, exited
    }
    public var status = Status.created
    /// The process on the host that stands for the container.
    public var pid: Int32 = 0
    public var supervisor: Int32 = 0
    /// Nanoseconds since 1970; 0 is never.
    public var started: Int64 = 0
    public var finished: Int64 = 0
    /// The shell's number: the code, or 128 plus the signal.
    public var exitCode: Int32 = 0
    /// Which one nacelle-oci gave it: `microvm` or `namespace`.
    public var isolation = ""
    /// Why it did not start, or what the engine has to say of its end.
    public var error = ""

    public init() {}

    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("status", &status)
        try mapper.defaulted("pid", &pid, 0)
        try mapper.defaulted("supervisor", &supervisor, 0)
        try mapper.defaulted("started", &started, 0)
        try mapper.defaulted("finished", &finished, 0)
        try mapper.defaulted("exitCode", &exitCode, 0)
        try mapper.defaulted("isolation", &isolation, "")
        try mapper.defaulted("error", &error, "")
    }
}
