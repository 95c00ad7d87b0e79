public import JSONText

/// What a container has used: the `data` of runc's `events`, whose names, order and omissions these are (its types/events.go).
/// Zero where a kernel does not count.
public struct StatisticsSpec: SpecObject {
    public var cpu = CPU()
    public var cpuset = CPUSet()
    public var memory = Memory()
    public var pids = Pids()
    public var blkio = BlockIO()
    /// By the size of the pages, "2MB" say.
    public var hugetlb: [String: HugePages] = [:]
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("cpu", &cpu)
        try mapper.required("cpuset", &cpuset)
        try mapper.required("memory", &memory)
        try mapper.required("pids", &pids)
        try mapper.required("blkio", &blkio)
        try mapper.map("hugetlb", &hugetlb)
    }

    /// Reads what `json` gives; fields that are not known are dropped.
    public static func parse(_ text: [UInt8]) throws(ConfigurationError) -> StatisticsSpec {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: text) } catch { throw .notJSON(error) }
        var unknown: [String] = []
        do throws(JSONShapeError) { return try StatisticsSpec(JSONCursor(value), unknown: &unknown) } catch { throw .shape(error) }
    }

    /// The event as runc prints it. It always has the last three, which say nothing here.
    public func event(id: String) -> JSONValue {
        guard case .object(var data) = json else { return .null }
        if hugetlb.isEmpty { data["hugetlb"] = .object(JSONObject()) }
        data["intel_rdt"] = .object(JSONObject())
        data["network_interfaces"] = .null
        var event = JSONObject()
        (event["type"], event["id"], event["data"]) = (.string("stats"), .string(id), .object(data))
        return .object(event)
    }

    public struct CPU: SpecObject {
        public var usage = Usage()
        public var throttling = Throttling()
        public var psi: Pressure?
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.required("usage", &usage)
            try mapper.required("throttling", &throttling)
            try mapper.optional("psi", &psi)
        }

        /// Nanoseconds.
        public struct Usage: SpecObject {
            public var total: UInt64 = 0
            public var percpu: [UInt64] = []
            public var percpuKernel: [UInt64] = []
            public var percpuUser: [UInt64] = []
            public var kernel: UInt64 = 0
            public var user: UInt64 = 0
            public init() {}
            public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
                try mapper.defaulted("total", &total, 0)
                try mapper.list("percpu", &percpu)
                try mapper.list("percpu_kernel", &percpuKernel)
                try mapper.list("percpu_user", &percpuUser)
                try mapper.required("kernel", &kernel)
                try mapper.required("user", &user)
            }
        }

        public struct Throttling: SpecObject {
            public var periods: UInt64 = 0
            public var throttledPeriods: UInt64 = 0
            /// Nanoseconds.
            public var throttledTime: UInt64 = 0
            public init() {}
            public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
                try mapper.defaulted("periods", &periods, 0)
                try mapper.defaulted("throttledPeriods", &throttledPeriods, 0)
                try mapper.defaulted("throttledTime", &throttledTime, 0)
            }
        }
    }

    /// Of cgroup v1 only, as under runc.
    public struct CPUSet: SpecObject {
        public var cpus: [UInt16] = []
        public var cpuExclusive: UInt64 = 0
        public var mems: [UInt16] = []
        public var memHardwall: UInt64 = 0
        public var memExclusive: UInt64 = 0
        public var memoryMigrate: UInt64 = 0
        public var memorySpreadPage: UInt64 = 0
        public var memorySpreadSlab: UInt64 = 0
        public var memoryPressure: UInt64 = 0
        public var schedLoadBalance: UInt64 = 0
        public var schedRelaxDomainLevel: Int64 = 0
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.list("cpus", &cpus)
            try mapper.required("cpu_exclusive", &cpuExclusive)
            try mapper.list("mems", &mems)
            try mapper.required("mem_hardwall", &memHardwall)
            try mapper.required("mem_exclusive", &memExclusive)
            try mapper.required("memory_migrate", &memoryMigrate)
            try mapper.required("memory_spread_page", &memorySpreadPage)
            try mapper.required("memory_spread_slab", &memorySpreadSlab)
            try mapper.required("memory_pressure", &memoryPressure)
            try mapper.required("sched_load_balance", &schedLoadBalance)
            try mapper.required("sched_relax_domain_level", &schedRelaxDomainLevel)
        }
    }

    /// Bytes.
    public struct Memory: SpecObject {
        public var cache: UInt64 = 0
        public var usage = Entry()
        /// Memory and swap together.
        public var swap = Entry()
        public var kernel = Entry()
        public var kernelTCP = Entry()
        /// The lines of memory.stat.
        public var raw: [String: UInt64] = [:]
        public var psi: Pressure?
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.defaulted("cache", &cache, 0)
            try mapper.required("usage", &usage)
            try mapper.required("swap", &swap)
            try mapper.required("kernel", &kernel)
            try mapper.required("kernelTCP", &kernelTCP)
            try mapper.map("raw", &raw)
            try mapper.optional("psi", &psi)
        }

        public struct Entry: SpecObject {
            /// The largest number there is when there is none.
            public var limit: UInt64 = 0
            public var usage: UInt64 = 0
            /// The most that was ever used.
            public var max: UInt64 = 0
            /// How often the limit was hit.
            public var failcnt: UInt64 = 0
            public init() {}
            public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
                try mapper.required("limit", &limit)
                try mapper.defaulted("usage", &usage, 0)
                try mapper.defaulted("max", &max, 0)
                try mapper.required("failcnt", &failcnt)
            }
        }
    }

    /// Processes and threads.
    public struct Pids: SpecObject {
        public var current: UInt64 = 0
        /// 0: none.
        public var limit: UInt64 = 0
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.defaulted("current", &current, 0)
            try mapper.defaulted("limit", &limit, 0)
        }
    }

    public struct BlockIO: SpecObject {
        public var serviceBytes: [Entry] = []
        public var serviced: [Entry] = []
        public var queued: [Entry] = []
        public var serviceTime: [Entry] = []
        public var waitTime: [Entry] = []
        public var merged: [Entry] = []
        public var time: [Entry] = []
        public var sectors: [Entry] = []
        public var psi: Pressure?
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.list("ioServiceBytesRecursive", &serviceBytes)
            try mapper.list("ioServicedRecursive", &serviced)
            try mapper.list("ioQueueRecursive", &queued)
            try mapper.list("ioServiceTimeRecursive", &serviceTime)
            try mapper.list("ioWaitTimeRecursive", &waitTime)
            try mapper.list("ioMergedRecursive", &merged)
            try mapper.list("ioTimeRecursive", &time)
            try mapper.list("sectorsRecursive", &sectors)
            try mapper.optional("psi", &psi)
        }

        /// Of one device and one operation ("Read", "Write" …).
        public struct Entry: SpecObject {
            public var major: UInt64 = 0
            public var minor: UInt64 = 0
            public var op = ""
            public var value: UInt64 = 0
            public init() {}
            public init(_ major: UInt64, _ minor: UInt64, _ op: String, _ value: UInt64) {
                (self.major, self.minor, self.op, self.value) = (major, minor, op, value)
            }
            public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
                try mapper.defaulted("major", &major, 0)
                try mapper.defaulted("minor", &minor, 0)
                try mapper.defaulted("op", &op, "")
                try mapper.defaulted("value", &value, 0)
            }
        }
    }

    public struct HugePages: SpecObject {
        /// Bytes.
        public var usage: UInt64 = 0
        public var max: UInt64 = 0
        public var failcnt: UInt64 = 0
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.defaulted("usage", &usage, 0)
            try mapper.defaulted("max", &max, 0)
            try mapper.required("failcnt", &failcnt)
        }
    }

    /// Pressure stall information.
    public struct Pressure: SpecObject {
        public var some = Line()
        public var full = Line()
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.required("some", &some)
            try mapper.required("full", &full)
        }

        /// Per cent of the last 10, 60 and 300 seconds, and microseconds in all.
        public struct Line: SpecObject {
            public var average10 = 0.0
            public var average60 = 0.0
            public var average300 = 0.0
            public var total: UInt64 = 0
            public init() {}
            public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
                try mapper.required("avg10", &average10)
                try mapper.required("avg60", &average60)
                try mapper.required("avg300", &average300)
                try mapper.required("total", &total)
            }
        }
    }
}

extension Double: SpecValue {
    public init(_ cursor: JSONCursor, unknown: inout [String]) throws(JSONShapeError) {
        switch cursor.value {
        case .number(let value): self = value
        case .integer(let value): self = Double(value)
        case .unsigned(let value): self = Double(value)
        default: throw JSONShapeError(path: cursor.path, problem: "expected a number, found \(cursor.value.kind)")
        }
    }

    /// A whole number has no point, as Go writes it.
    public var json: JSONValue { Int64(exactly: self).map { .integer($0) } ?? .number(self) }
}
