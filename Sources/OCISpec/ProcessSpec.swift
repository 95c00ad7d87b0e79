public import JSONText

/// A process of the container (config.md, "Process").
public struct ProcessSpec: SpecObject {
    public var terminal = false
    public var consoleSize: ConsoleSize?
    public var user = UserSpec()
    public var args: [String] = []
    public var env: [String] = []
    /// The working directory, absolute.
    public var cwd = ""
    public var capabilities: CapabilitySets?
    public var rlimits: [RlimitSpec] = []
    public var noNewPrivileges = false
    public var apparmorProfile: String?
    public var oomScoreAdj: Int?
    public var selinuxLabel: String?
    public var ioPriority: IOPrioritySpec?
    public var scheduler: SchedulerSpec?
    public var execCPUAffinity: ExecCPUAffinitySpec?
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.defaulted("terminal", &terminal, false)
        try mapper.optional("consoleSize", &consoleSize)
        try mapper.defaulted("user", &user, UserSpec())
        try mapper.list("args", &args)
        try mapper.list("env", &env)
        try mapper.required("cwd", &cwd)
        try mapper.optional("capabilities", &capabilities)
        try mapper.list("rlimits", &rlimits)
        try mapper.defaulted("noNewPrivileges", &noNewPrivileges, false)
        try mapper.optional("apparmorProfile", &apparmorProfile)
        try mapper.optional("oomScoreAdj", &oomScoreAdj)
        try mapper.optional("selinuxLabel", &selinuxLabel)
        try mapper.optional("ioPriority", &ioPriority)
        try mapper.optional("scheduler", &scheduler)
        try mapper.optional("execCPUAffinity", &execCPUAffinity)
    }

    /// Reads a process object by itself, as `exec --process FILE` gets it.
    public static func parse(_ text: [UInt8]) throws(ConfigurationError) -> (process: ProcessSpec, unknown: [String]) {
        var unknown: [String] = []
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: text) } catch { throw .notJSON(error) }
        do throws(JSONShapeError) {
            return (try ProcessSpec(JSONCursor(value, path: "process"), unknown: &unknown), unknown)
        } catch { throw .shape(error) }
    }
}

/// A terminal's size in characters.
public struct ConsoleSize: SpecObject {
    public var height: UInt16 = 0
    public var width: UInt16 = 0
    public init() {}
    public init(width: UInt16, height: UInt16) { (self.width, self.height) = (width, height) }
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("height", &height)
        try mapper.required("width", &width)
    }
}

public struct UserSpec: SpecObject {
    public var uid: UInt32 = 0
    public var gid: UInt32 = 0
    public var umask: UInt32?
    public var additionalGids: [UInt32] = []
    public init() {}
    public init(uid: UInt32, gid: UInt32) {
        self.uid = uid
        self.gid = gid
    }
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.defaulted("uid", &uid, 0)
        try mapper.defaulted("gid", &gid, 0)
        try mapper.optional("umask", &umask)
        try mapper.list("additionalGids", &additionalGids)
        // For Windows only; engines write it empty.
        var username: String?
        try mapper.optional("username", &username)
    }
}

/// The five sets of capabilities(7), by name (`CAP_KILL`).
public struct CapabilitySets: SpecObject {
    public var bounding: [String] = []
    public var effective: [String] = []
    public var inheritable: [String] = []
    public var permitted: [String] = []
    public var ambient: [String] = []
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.list("bounding", &bounding)
        try mapper.list("effective", &effective)
        try mapper.list("inheritable", &inheritable)
        try mapper.list("permitted", &permitted)
        try mapper.list("ambient", &ambient)
    }
    public var all: [(name: String, capabilities: [String])] {
        [("bounding", bounding), ("effective", effective), ("inheritable", inheritable), ("permitted", permitted), ("ambient", ambient)]
    }
}

/// A resource limit (getrlimit(2)), `RLIMIT_NOFILE` …
public struct RlimitSpec: SpecObject {
    public var type = ""
    public var soft: UInt64 = 0
    public var hard: UInt64 = 0
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("type", &type)
        try mapper.required("soft", &soft)
        try mapper.required("hard", &hard)
    }
}

/// ioprio_set(2)
public struct IOPrioritySpec: SpecObject {
    public enum Class: String, SpecWord { case realTime = "IOPRIO_CLASS_RT", bestEffort = "IOPRIO_CLASS_BE", idle = "IOPRIO_CLASS_IDLE" }
    public var `class` = Class.bestEffort
    public var priority = 0
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("class", &`class`)
        try mapper.defaulted("priority", &priority, 0)
    }
}

/// sched_setattr(2)
public struct SchedulerSpec: SpecObject {
    public enum Policy: String, SpecWord {
        case other = "SCHED_OTHER", fifo = "SCHED_FIFO", roundRobin = "SCHED_RR", batch = "SCHED_BATCH", iso = "SCHED_ISO", idle = "SCHED_IDLE", deadline = "SCHED_DEADLINE"
    }
    public enum Flag: String, SpecWord {
        case resetOnFork = "SCHED_FLAG_RESET_ON_FORK", reclaim = "SCHED_FLAG_RECLAIM", overrun = "SCHED_FLAG_DL_OVERRUN"
        case keepPolicy = "SCHED_FLAG_KEEP_POLICY", keepParameters = "SCHED_FLAG_KEEP_PARAMS", clampMinimum = "SCHED_FLAG_UTIL_CLAMP_MIN", clampMaximum = "SCHED_FLAG_UTIL_CLAMP_MAX"
    }
    public var policy = Policy.other
    public var nice: Int32 = 0
    public var priority: Int32 = 0
    public var flags: [Flag] = []
    /// Nanoseconds, as the other two.
    public var runtime: UInt64 = 0
    public var deadline: UInt64 = 0
    public var period: UInt64 = 0
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("policy", &policy)
        try mapper.defaulted("nice", &nice, 0)
        try mapper.defaulted("priority", &priority, 0)
        try mapper.list("flags", &flags)
        try mapper.defaulted("runtime", &runtime, 0)
        try mapper.defaulted("deadline", &deadline, 0)
        try mapper.defaulted("period", &period, 0)
    }
}

/// CPU lists for exec'd processes, before and after they move into the container's cgroup.
public struct ExecCPUAffinitySpec: SpecObject {
    public var initial: String?
    public var final: String?
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.optional("initial", &initial)
        try mapper.optional("final", &final)
    }
}
