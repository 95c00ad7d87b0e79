public import OCISpec

/// One line to write into one file of a control group.
public struct ResourceWrite: Hashable, Sendable {
    /// The controller that the file belongs to, "memory" say. Empty: the file of version 2's `unified` map.
    public var controller: String
    public var file: String
    public var value: String
    /// A file to be used instead when `file` does not exist, with its own value.
    public var otherwise: Alternative?
    /// Kernels without the file lack nothing that was asked for.
    public var optional: Bool

    public struct Alternative: Hashable, Sendable {
        public var file: String
        public var value: String
    }

    public init(_ controller: String, _ file: String, _ value: String, otherwise: Alternative? = nil, optional: Bool = false) {
        self.controller = controller
        self.file = file
        self.value = value
        self.otherwise = otherwise
        self.optional = optional
    }
}

/// What linux.resources comes to as lines in files of a version 2 group, in the order of writing. Devices are not among them.
public func version2Writes(_ resources: ResourcesSpec) throws(ControlGroupError) -> [ResourceWrite] {
    var writes: [ResourceWrite] = []
    if let memory = resources.memory { writes += try version2Writes(memory) }
    if let cpu = resources.cpu { writes += try version2Writes(cpu) }
    if let pids = resources.pids, let limit = Conversions.limit(pids.limit) { writes.append(ResourceWrite("pids", "pids.max", limit)) }
    if let blockIO = resources.blockIO { writes += try version2Writes(blockIO) }
    for limit in resources.hugepageLimits {
        guard limit.hasPageSize else { throw .invalidValue(field: "hugepageLimits", reason: "invalid page size \(limit.pageSize)") }
        writes.append(ResourceWrite("hugetlb", "hugetlb.\(limit.pageSize).max", "\(limit.limit)"))
        writes.append(ResourceWrite("hugetlb", "hugetlb.\(limit.pageSize).rsvd.max", "\(limit.limit)", optional: true))
    }
    if let network = resources.network, network.classID ?? 0 != 0 {
        throw .unsupported(field: "network.classID", reason: "cgroup v2 has no net_cls controller")
    }
    if resources.network?.priorities.isEmpty == false {
        throw .unsupported(field: "network.priorities", reason: "cgroup v2 has no net_prio controller")
    }
    writes += try rdmaWrites(resources.rdma)
    for (file, value) in resources.unified.sorted(by: { $0.key < $1.key }) {
        guard !file.contains("/"), file.contains("."), !file.hasPrefix("."), !file.utf8.contains(0) else {
            throw .invalidValue(field: "unified", reason: "\"\(file)\" must be the name of a file without slashes")
        }
        for line in value.split(separator: "\n", omittingEmptySubsequences: true) {
            writes.append(ResourceWrite(String(file.prefix { $0 != "." }), file, String(line)))
        }
    }
    return writes
}

func version2Writes(_ memory: ResourcesSpec.MemorySpec) throws(ControlGroupError) -> [ResourceWrite] {
    var writes: [ResourceWrite] = []
    if memory.disableOOMKiller == true { throw .unsupported(field: "memory.disableOOMKiller", reason: "cgroup v2 cannot disable the OOM killer") }
    if memory.swappiness != nil { throw .unsupported(field: "memory.swappiness", reason: "cgroup v2 has no swappiness per group") }
    if (memory.kernel ?? 0) > 0 { throw .unsupported(field: "memory.kernel", reason: "cgroup v2 counts kernel memory as memory") }
    if memory.useHierarchy == false { throw .unsupported(field: "memory.useHierarchy", reason: "cgroup v2 is always hierarchical") }
    if (memory.kernelTCP ?? 0) > 0 { throw .unsupported(field: "memory.kernelTCP", reason: "cgroup v2 counts TCP memory as memory") }
    // Swap first: lowering memory.max may need somewhere to put pages.
    if let swap = try Conversions.swapMax(limit: memory.limit, swap: memory.swap) {
        writes.append(ResourceWrite("memory", "memory.swap.max", swap, optional: swap == "max" || swap == "0"))
    }
    if let limit = Conversions.limit(memory.limit) { writes.append(ResourceWrite("memory", "memory.max", limit)) }
    if let reservation = Conversions.limit(memory.reservation) { writes.append(ResourceWrite("memory", "memory.low", reservation)) }
    return writes
}

func version2Writes(_ cpu: ResourcesSpec.CPUSpec) throws(ControlGroupError) -> [ResourceWrite] {
    var writes: [ResourceWrite] = []
    if (cpu.realtimeRuntime ?? 0) != 0 || (cpu.realtimePeriod ?? 0) != 0 {
        throw .unsupported(field: "cpu.realtimeRuntime", reason: "cgroup v2 has no realtime limits")
    }
    if let idle = cpu.idle { writes.append(ResourceWrite("cpu", "cpu.idle", "\(idle)")) }
    // An idle group's weight cannot be set.
    if let shares = cpu.shares, shares != 0, cpu.idle != 1 { writes.append(ResourceWrite("cpu", "cpu.weight", "\(Conversions.cpuWeight(shares: shares))")) }
    if let maximum = Conversions.cpuMax(quota: cpu.quota, period: cpu.period) { writes.append(ResourceWrite("cpu", "cpu.max", maximum)) }
    if let burst = cpu.burst { writes.append(ResourceWrite("cpu", "cpu.max.burst", "\(burst)")) }
    if let cpus = cpu.cpus, !cpus.isEmpty { writes.append(ResourceWrite("cpuset", "cpuset.cpus", cpus)) }
    if let mems = cpu.mems, !mems.isEmpty { writes.append(ResourceWrite("cpuset", "cpuset.mems", mems)) }
    return writes
}

func version2Writes(_ blockIO: ResourcesSpec.BlockIOSpec) throws(ControlGroupError) -> [ResourceWrite] {
    var writes: [ResourceWrite] = []
    if (blockIO.leafWeight ?? 0) != 0 { throw .unsupported(field: "blockIO.leafWeight", reason: "cgroup v2 has no leaf weight") }
    if let weight = blockIO.weight, weight != 0 {
        writes.append(ResourceWrite(
            "io", "io.bfq.weight", "\(weight)",
            otherwise: .init(file: "io.weight", value: "default \(Conversions.ioWeight(blockIOWeight: weight))")))
    }
    for device in blockIO.weightDevice {
        if (device.leafWeight ?? 0) != 0 { throw .unsupported(field: "blockIO.weightDevice.leafWeight", reason: "cgroup v2 has no leaf weight") }
        guard let weight = device.weight, weight != 0 else { continue }
        let name = "\(device.major):\(device.minor)"
        writes.append(ResourceWrite(
            "io", "io.bfq.weight", "\(name) \(weight)",
            otherwise: .init(file: "io.weight", value: "\(name) \(Conversions.ioWeight(blockIOWeight: weight))")))
    }
    let throttles: [(String, [ResourcesSpec.BlockIOSpec.ThrottleDevice])] = [
        ("rbps", blockIO.throttleReadBpsDevice), ("wbps", blockIO.throttleWriteBpsDevice),
        ("riops", blockIO.throttleReadIOPSDevice), ("wiops", blockIO.throttleWriteIOPSDevice),
    ]
    for (key, devices) in throttles {
        for device in devices {
            writes.append(ResourceWrite("io", "io.max", "\(device.major):\(device.minor) \(key)=\(device.rate == 0 ? "max" : "\(device.rate)")"))
        }
    }
    return writes
}

/// rdma.max is the same in both versions.
func rdmaWrites(_ rdma: [String: ResourcesSpec.RDMASpec]) throws(ControlGroupError) -> [ResourceWrite] {
    var writes: [ResourceWrite] = []
    for (device, limits) in rdma.sorted(by: { $0.key < $1.key }) {
        guard limits.hcaHandles != nil || limits.hcaObjects != nil, !device.isEmpty, !device.contains(where: \.isWhitespace) else {
            throw .invalidValue(field: "rdma", reason: "device \"\(device)\" has no limit or an invalid name")
        }
        var line = device
        if let handles = limits.hcaHandles { line += " hca_handle=\(handles)" }
        if let objects = limits.hcaObjects { line += " hca_object=\(objects)" }
        writes.append(ResourceWrite("rdma", "rdma.max", line))
    }
    return writes
}
