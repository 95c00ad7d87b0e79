public import JSONText

/// Limits by control groups (config-linux.md, "Control groups").
public struct ResourcesSpec: SpecObject {
    public var devices: [DeviceRuleSpec] = []
    public var memory: MemorySpec?
    public var cpu: CPUSpec?
    public var pids: PidsSpec?
    public var blockIO: BlockIOSpec?
    public var hugepageLimits: [HugepageLimitSpec] = []
    public var network: NetworkSpec?
    public var rdma: [String: RDMASpec] = [:]
    /// Files of cgroup v2 and what to write to them.
    public var unified: [String: String] = [:]
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.list("devices", &devices)
        try mapper.optional("memory", &memory)
        try mapper.optional("cpu", &cpu)
        try mapper.optional("pids", &pids)
        try mapper.optional("blockIO", &blockIO)
        try mapper.list("hugepageLimits", &hugepageLimits)
        try mapper.optional("network", &network)
        try mapper.map("rdma", &rdma)
        try mapper.map("unified", &unified)
    }

    /// Reads a resources object that stands alone.
    /// - Returns: the value, and the paths of fields that the specification does not have.
    public static func parse(_ text: [UInt8]) throws(ConfigurationError) -> (resources: ResourcesSpec, unknown: [String]) {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: text) } catch { throw .notJSON(error) }
        var unknown: [String] = []
        do throws(JSONShapeError) { return (try ResourcesSpec(JSONCursor(value), unknown: &unknown), unknown) } catch { throw .shape(error) }
    }

    public struct DeviceRuleSpec: SpecObject {
        public var allow = false
        /// `a` (all), `c` or `b`.
        public var type: String?
        public var major: Int64?
        public var minor: Int64?
        /// Some of `rwm`.
        public var access: String?
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.required("allow", &allow)
            try mapper.optional("type", &type)
            try mapper.optional("major", &major)
            try mapper.optional("minor", &minor)
            try mapper.optional("access", &access)
        }
    }

    /// Bytes; -1 is unlimited.
    public struct MemorySpec: SpecObject {
        public var limit: Int64?
        public var reservation: Int64?
        /// Memory and swap together.
        public var swap: Int64?
        public var kernel: Int64?
        public var kernelTCP: Int64?
        public var swappiness: UInt64?
        public var disableOOMKiller: Bool?
        public var useHierarchy: Bool?
        public var checkBeforeUpdate: Bool?
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.optional("limit", &limit)
            try mapper.optional("reservation", &reservation)
            try mapper.optional("swap", &swap)
            try mapper.optional("kernel", &kernel)
            try mapper.optional("kernelTCP", &kernelTCP)
            try mapper.optional("swappiness", &swappiness)
            try mapper.optional("disableOOMKiller", &disableOOMKiller)
            try mapper.optional("useHierarchy", &useHierarchy)
            try mapper.optional("checkBeforeUpdate", &checkBeforeUpdate)
        }
    }

    public struct CPUSpec: SpecObject {
        public var shares: UInt64?
        /// Microseconds per period; -1 is unlimited.
        public var quota: Int64?
        public var burst: UInt64?
        public var period: UInt64?
        public var realtimeRuntime: Int64?
        public var realtimePeriod: UInt64?
        public var cpus: String?
        public var mems: String?
        public var idle: Int64?
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.optional("shares", &shares)
            try mapper.optional("quota", &quota)
            try mapper.optional("burst", &burst)
            try mapper.optional("period", &period)
            try mapper.optional("realtimeRuntime", &realtimeRuntime)
            try mapper.optional("realtimePeriod", &realtimePeriod)
            try mapper.optional("cpus", &cpus)
            try mapper.optional("mems", &mems)
            try mapper.optional("idle", &idle)
        }
    }

    public struct PidsSpec: SpecObject {
        public var limit: Int64?
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) { try mapper.optional("limit", &limit) }
    }

    public struct BlockIOSpec: SpecObject {
        public var weight: UInt16?
        public var leafWeight: UInt16?
        public var weightDevice: [WeightDevice] = []
        public var throttleReadBpsDevice: [ThrottleDevice] = []
        public var throttleWriteBpsDevice: [ThrottleDevice] = []
        public var throttleReadIOPSDevice: [ThrottleDevice] = []
        public var throttleWriteIOPSDevice: [ThrottleDevice] = []
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.optional("weight", &weight)
            try mapper.optional("leafWeight", &leafWeight)
            try mapper.list("weightDevice", &weightDevice)
            try mapper.list("throttleReadBpsDevice", &throttleReadBpsDevice)
            try mapper.list("throttleWriteBpsDevice", &throttleWriteBpsDevice)
            try mapper.list("throttleReadIOPSDevice", &throttleReadIOPSDevice)
            try mapper.list("throttleWriteIOPSDevice", &throttleWriteIOPSDevice)
        }

        public struct WeightDevice: SpecObject {
            public var major: Int64 = 0
            public var minor: Int64 = 0
            public var weight: UInt16?
            public var leafWeight: UInt16?
            public init() {}
            public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
                try mapper.required("major", &major)
                try mapper.required("minor", &minor)
                try mapper.optional("weight", &weight)
                try mapper.optional("leafWeight", &leafWeight)
            }
        }

        public struct ThrottleDevice: SpecObject {
            public var major: Int64 = 0
            public var minor: Int64 = 0
            public var rate: UInt64 = 0
            public init() {}
            public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
                try mapper.required("major", &major)
                try mapper.required("minor", &minor)
                try mapper.required("rate", &rate)
            }
        }
    }

    public struct HugepageLimitSpec: SpecObject {
        public var pageSize = ""
        public var limit: UInt64 = 0
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.required("pageSize", &pageSize)
            try mapper.required("limit", &limit)
        }
    }

    public struct NetworkSpec: SpecObject {
        public var classID: UInt32?
        public var priorities: [Priority] = []
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.optional("classID", &classID)
            try mapper.list("priorities", &priorities)
        }
        public struct Priority: SpecObject {
            public var name = ""
            public var priority: UInt32 = 0
            public init() {}
            public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
                try mapper.required("name", &name)
                try mapper.required("priority", &priority)
            }
        }
    }

    public struct RDMASpec: SpecObject {
        public var hcaHandles: UInt32?
        public var hcaObjects: UInt32?
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.optional("hcaHandles", &hcaHandles)
            try mapper.optional("hcaObjects", &hcaObjects)
        }
    }
}
