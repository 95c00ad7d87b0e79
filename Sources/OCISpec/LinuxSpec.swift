public import JSONText

/// The Linux section (config-linux.md).
public struct LinuxSpec: SpecObject {
    public var namespaces: [NamespaceSpec] = []
    public var uidMappings: [IDMappingSpec] = []
    public var gidMappings: [IDMappingSpec] = []
    public var timeOffsets: [String: TimeOffsetSpec] = [:]
    public var devices: [DeviceSpec] = []
    public var netDevices: [String: NetDeviceSpec] = [:]
    public var cgroupsPath: String?
    public var resources: ResourcesSpec?
    public var rootfsPropagation: String?
    public var maskedPaths: [String] = []
    public var readonlyPaths: [String] = []
    public var mountLabel: String?
    public var personality: PersonalitySpec?
    public var sysctl: [String: String] = [:]
    public var intelRdt: IntelRdtSpec?
    public var memoryPolicy: MemoryPolicySpec?
    public var seccomp: SeccompSpec?
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.list("namespaces", &namespaces)
        try mapper.list("uidMappings", &uidMappings)
        try mapper.list("gidMappings", &gidMappings)
        try mapper.map("timeOffsets", &timeOffsets)
        try mapper.list("devices", &devices)
        try mapper.map("netDevices", &netDevices)
        try mapper.optional("cgroupsPath", &cgroupsPath)
        try mapper.optional("resources", &resources)
        try mapper.optional("rootfsPropagation", &rootfsPropagation)
        try mapper.list("maskedPaths", &maskedPaths)
        try mapper.list("readonlyPaths", &readonlyPaths)
        try mapper.optional("mountLabel", &mountLabel)
        try mapper.optional("personality", &personality)
        try mapper.map("sysctl", &sysctl)
        try mapper.optional("intelRdt", &intelRdt)
        try mapper.optional("memoryPolicy", &memoryPolicy)
        try mapper.optional("seccomp", &seccomp)
    }

    /// The namespace of a kind, if the container gets or joins one.
    public func namespace(_ type: NamespaceSpec.Kind) -> NamespaceSpec? { namespaces.first { $0.type == type } }
}

public struct NamespaceSpec: SpecObject {
    public enum Kind: String, SpecWord {
        case pid, network, mount, ipc, uts, user, cgroup, time

        /// CLONE_NEW* of clone(2).
        public var cloneFlag: UInt64 {
            switch self {
            case .pid: 0x2000_0000
            case .network: 0x4000_0000
            case .mount: 0x2_0000
            case .ipc: 0x800_0000
            case .uts: 0x400_0000
            case .user: 0x1000_0000
            case .cgroup: 0x200_0000
            case .time: 0x80
            }
        }

        /// The name below /proc/PID/ns.
        public var procName: String {
            switch self {
            case .network: "net"
            case .mount: "mnt"
            default: rawValue
            }
        }
    }
    public var type = Kind.pid
    /// A namespace to join; without it a new one is made.
    public var path: String?
    public init() {}
    public init(_ type: Kind, path: String? = nil) {
        self.type = type
        self.path = path
    }
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("type", &type)
        try mapper.optional("path", &path)
    }
}

/// An offset of a time namespace's clock.
public struct TimeOffsetSpec: SpecObject {
    public var secs: Int64 = 0
    public var nanosecs: UInt32 = 0
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.defaulted("secs", &secs, 0)
        try mapper.defaulted("nanosecs", &nanosecs, 0)
    }
}

public struct DeviceSpec: SpecObject {
    public enum Kind: String, SpecWord { case character = "c", block = "b", unbuffered = "u", fifo = "p" }
    public var path = ""
    public var type = Kind.character
    public var major: Int64 = 0
    public var minor: Int64 = 0
    public var fileMode: UInt32?
    public var uid: UInt32?
    public var gid: UInt32?
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("path", &path)
        try mapper.required("type", &type)
        if type == .fifo {
            try mapper.defaulted("major", &major, 0)
            try mapper.defaulted("minor", &minor, 0)
        } else {
            try mapper.required("major", &major)
            try mapper.required("minor", &minor)
        }
        try mapper.optional("fileMode", &fileMode)
        try mapper.optional("uid", &uid)
        try mapper.optional("gid", &gid)
    }
}

/// A network device that moves into the container.
public struct NetDeviceSpec: SpecObject {
    public var name: String?
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) { try mapper.optional("name", &name) }
}

/// personality(2)
public struct PersonalitySpec: SpecObject {
    public enum Domain: String, SpecWord { case linux = "LINUX", linux32 = "LINUX32" }
    public var domain = Domain.linux
    public var flags: [String] = []
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("domain", &domain)
        try mapper.list("flags", &flags)
    }
}

/// Intel Resource Director Technology
public struct IntelRdtSpec: SpecObject {
    public var closID: String?
    public var schemata: [String] = []
    public var l3CacheSchema: String?
    public var memBwSchema: String?
    public var enableMonitoring = false
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.optional("closID", &closID)
        try mapper.list("schemata", &schemata)
        try mapper.optional("l3CacheSchema", &l3CacheSchema)
        try mapper.optional("memBwSchema", &memBwSchema)
        try mapper.defaulted("enableMonitoring", &enableMonitoring, false)
    }
}

/// set_mempolicy(2)
public struct MemoryPolicySpec: SpecObject {
    public enum Mode: String, SpecWord {
        case standard = "MPOL_DEFAULT", preferred = "MPOL_PREFERRED", bind = "MPOL_BIND", interleave = "MPOL_INTERLEAVE", local = "MPOL_LOCAL"
        case preferredMany = "MPOL_PREFERRED_MANY", weightedInterleave = "MPOL_WEIGHTED_INTERLEAVE"
    }
    public enum Flag: String, SpecWord {
        case numaBalancing = "MPOL_F_NUMA_BALANCING", relativeNodes = "MPOL_F_RELATIVE_NODES", staticNodes = "MPOL_F_STATIC_NODES"
    }
    public var mode = Mode.standard
    /// "0-3,7"
    public var nodes: String?
    public var flags: [Flag] = []
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("mode", &mode)
        try mapper.optional("nodes", &nodes)
        try mapper.list("flags", &flags)
    }
}
