// Until the specification's types land: names as in the specification's JSON.
public struct RuntimeSpec: Equatable, Sendable {
    public var ociVersion = "1.0.2"
    public var process: ProcessSpec?
    public var root: RootSpec?
    public var hostname: String?
    public var domainname: String?
    public var mounts: [MountSpec] = []
    public var linux: LinuxSpec?
    public init() {}
}
public struct RootSpec: Equatable, Sendable {
    public var path = ""
    public var readonly = false
    public init() {}
}
public struct ProcessSpec: Equatable, Sendable {
    public var terminal = false
    public var consoleSize: (ConsoleSize)?
    public var user = UserSpec()
    public var args: [String] = []
    public var env: [String] = []
    public var cwd = "/"
    public var capabilities: CapabilitiesSpec?
    public var rlimits: [RlimitSpec] = []
    public var noNewPrivileges = false
    public var apparmorProfile: String?
    public var oomScoreAdj: Int?
    public var selinuxLabel: String?
    public var ioPriority: IOPrioritySpec?
    public var scheduler: SchedulerSpec?
    public init() {}
}
public struct ConsoleSize: Equatable, Sendable { public var height: UInt = 0, width: UInt = 0; public init() {} }
public struct UserSpec: Equatable, Sendable {
    public var uid: UInt32 = 0, gid: UInt32 = 0
    public var umask: UInt32?
    public var additionalGids: [UInt32] = []
    public init() {}
}
public struct CapabilitiesSpec: Equatable, Sendable {
    public var bounding: [String] = [], effective: [String] = [], permitted: [String] = [], inheritable: [String] = [], ambient: [String] = []
    public init() {}
}
public struct RlimitSpec: Equatable, Sendable { public var type = ""; public var soft: UInt64 = 0, hard: UInt64 = 0; public init() {} }
public struct IOPrioritySpec: Equatable, Sendable { public var `class` = ""; public var priority = 0; public init() {} }
public struct SchedulerSpec: Equatable, Sendable {
    public var policy = ""
    public var nice: Int32?
    public var priority: Int32?
    public var flags: [String] = []
    public var runtime: UInt64?, deadline: UInt64?, period: UInt64?
    public init() {}
}
public struct MountSpec: Equatable, Sendable {
    public var destination = ""
    public var type: String?
    public var source: String?
    public var options: [String] = []
    public var uidMappings: [IDMappingSpec] = [], gidMappings: [IDMappingSpec] = []
    public init() {}
}
public struct IDMappingSpec: Equatable, Sendable { public var containerID: UInt32 = 0, hostID: UInt32 = 0, size: UInt32 = 0; public init() {} }
public struct NamespaceSpec: Equatable, Sendable { public var type = ""; public var path: String?; public init() {} }
public struct DeviceSpec: Equatable, Sendable {
    public var type = "", path = ""
    public var major: Int64?, minor: Int64?
    public var fileMode: UInt32?
    public var uid: UInt32?, gid: UInt32?
    public init() {}
}
public struct LinuxSpec: Equatable, Sendable {
    public var uidMappings: [IDMappingSpec] = [], gidMappings: [IDMappingSpec] = []
    public var sysctl: [String: String] = [:]
    public var cgroupsPath: String?
    public var namespaces: [NamespaceSpec] = []
    public var devices: [DeviceSpec] = []
    public var seccomp: SeccompSpec?
    public var rootfsPropagation: String?
    public var maskedPaths: [String] = [], readonlyPaths: [String] = []
    public var mountLabel: String?
    public var personality: PersonalitySpec?
    public var timeOffsets: [String: TimeOffsetSpec] = [:]
    public var resources: ResourcesSpec?
    public init() {}
}
public struct TimeOffsetSpec: Equatable, Sendable { public var secs: Int64?; public var nanosecs: UInt32?; public init() {} }
public struct PersonalitySpec: Equatable, Sendable { public var domain = ""; public var flags: [String] = []; public init() {} }
public struct SeccompSpec: Equatable, Sendable {
    public var defaultAction = ""
    public var defaultErrnoRet: UInt32?
    public var architectures: [String] = []
    public var flags: [String] = []
    public var listenerPath: String?, listenerMetadata: String?
    public var syscalls: [SyscallSpec] = []
    public init() {}
}
public struct SyscallSpec: Equatable, Sendable {
    public var names: [String] = []
    public var action = ""
    public var errnoRet: UInt32?
    public var args: [SyscallArgSpec] = []
    public init() {}
}
public struct SyscallArgSpec: Equatable, Sendable { public var index: UInt32 = 0; public var value: UInt64 = 0; public var valueTwo: UInt64?; public var op = ""; public init() {} }
public struct ResourcesSpec: Equatable, Sendable {
    public var devices: [DeviceRuleSpec] = []
    public var memory: MemorySpec?
    public var cpu: CPUSpec?
    public var pids: PidsSpec?
    public var blockIO: BlockIOSpec?
    public var hugepageLimits: [HugepageLimitSpec] = []
    public var network: NetworkSpec?
    public var rdma: [String: RdmaSpec] = [:]
    public var unified: [String: String] = [:]
    public init() {}
}
public struct DeviceRuleSpec: Equatable, Sendable { public var allow = false; public var type: String?; public var major: Int64?, minor: Int64?; public var access: String?; public init() {} }
public struct MemorySpec: Equatable, Sendable {
    public var limit: Int64?, reservation: Int64?, swap: Int64?, kernel: Int64?, kernelTCP: Int64?
    public var swappiness: UInt64?
    public var disableOOMKiller: Bool?, useHierarchy: Bool?, checkBeforeUpdate: Bool?
    public init() {}
}
public struct CPUSpec: Equatable, Sendable {
    public var shares: UInt64?, period: UInt64?, realtimePeriod: UInt64?, burst: UInt64?
    public var quota: Int64?, realtimeRuntime: Int64?, idle: Int64?
    public var cpus: String?, mems: String?
    public init() {}
}
public struct PidsSpec: Equatable, Sendable { public var limit: Int64?; public init() {} }
public struct BlockIOSpec: Equatable, Sendable {
    public var weight: UInt16?, leafWeight: UInt16?
    public var weightDevice: [WeightDeviceSpec] = []
    public var throttleReadBpsDevice: [ThrottleDeviceSpec] = [], throttleWriteBpsDevice: [ThrottleDeviceSpec] = []
    public var throttleReadIOPSDevice: [ThrottleDeviceSpec] = [], throttleWriteIOPSDevice: [ThrottleDeviceSpec] = []
    public init() {}
}
public struct WeightDeviceSpec: Equatable, Sendable { public var major: Int64 = 0, minor: Int64 = 0; public var weight: UInt16?, leafWeight: UInt16?; public init() {} }
public struct ThrottleDeviceSpec: Equatable, Sendable { public var major: Int64 = 0, minor: Int64 = 0; public var rate: UInt64 = 0; public init() {} }
public struct HugepageLimitSpec: Equatable, Sendable { public var pageSize = ""; public var limit: UInt64 = 0; public init() {} }
public struct NetworkSpec: Equatable, Sendable { public var classID: UInt32?; public init() {} }
public struct RdmaSpec: Equatable, Sendable { public var hcaHandles: UInt32?, hcaObjects: UInt32?; public init() {} }
