public import OCISpec

/// What linux.resources comes to as lines in files of version 1 groups, in the order of writing.
public func version1Writes(_ resources: ResourcesSpec) throws(ControlGroupError) -> [ResourceWrite] {
    var writes: [ResourceWrite] = []
    if !resources.unified.isEmpty { throw .unsupported(field: "unified", reason: "this machine limits by cgroup v1") }
    try DeviceRule.checkVersion1(resources.devices.map(DeviceRule.init))
    for rule in DeviceRule.effective(resources.devices) {
        writes += rule.version1Lines.map { ResourceWrite("devices", rule.allow ? "devices.allow" : "devices.deny", $0) }
    }
    if let memory = resources.memory { writes += version1Writes(memory) }
    if let cpu = resources.cpu { writes += version1Writes(cpu) }
    if let pids = resources.pids, let limit = Conversions.limit(pids.limit) { writes.append(ResourceWrite("pids", "pids.max", limit)) }
    if let blockIO = resources.blockIO { writes += version1Writes(blockIO) }
    for limit in resources.hugepageLimits {
        guard limit.hasPageSize else { throw .invalidValue(field: "hugepageLimits", reason: "invalid page size \(limit.pageSize)") }
        writes.append(ResourceWrite("hugetlb", "hugetlb.\(limit.pageSize).limit_in_bytes", "\(limit.limit)"))
        writes.append(ResourceWrite("hugetlb", "hugetlb.\(limit.pageSize).rsvd.limit_in_bytes", "\(limit.limit)", optional: true))
    }
    if let network = resources.network, let classID = network.classID, classID != 0 {
        writes.append(ResourceWrite("net_cls", "net_cls.classid", "\(classID)"))
    }
    for priority in resources.network?.priorities ?? [] {
        guard !priority.name.isEmpty, !priority.name.contains(where: \.isWhitespace) else {
            throw .invalidValue(field: "network.priorities", reason: "\"\(priority.name)\" is not the name of a network device")
        }
        writes.append(ResourceWrite("net_prio", "net_prio.ifpriomap", "\(priority.name) \(priority.priority)"))
    }
    writes += try rdmaWrites(resources.rdma)
    return writes
}

func version1Writes(_ memory: ResourcesSpec.MemorySpec) -> [ResourceWrite] {
    var writes: [ResourceWrite] = []
    // A new group's limits are all unlimited, so the lower one (memory alone) goes first. Without any, swap has none either.
    if let limit = memory.limit, limit < 0, memory.swap ?? 0 == 0 { writes.append(ResourceWrite("memory", "memory.memsw.limit_in_bytes", "-1", optional: true)) }
    if let limit = memory.limit, limit != 0 { writes.append(ResourceWrite("memory", "memory.limit_in_bytes", "\(limit)")) }
    if let swap = memory.swap, swap != 0 { writes.append(ResourceWrite("memory", "memory.memsw.limit_in_bytes", "\(swap)", optional: swap < 0)) }
    if let reservation = memory.reservation, reservation != 0 { writes.append(ResourceWrite("memory", "memory.soft_limit_in_bytes", "\(reservation)")) }
    if let kernel = memory.kernel, kernel > 0 { writes.append(ResourceWrite("memory", "memory.kmem.limit_in_bytes", "\(kernel)")) }
    if let kernelTCP = memory.kernelTCP, kernelTCP != 0 { writes.append(ResourceWrite("memory", "memory.kmem.tcp.limit_in_bytes", "\(kernelTCP)")) }
    if let swappiness = memory.swappiness { writes.append(ResourceWrite("memory", "memory.swappiness", "\(swappiness)")) }
    if let hierarchy = memory.useHierarchy {
        // Newer kernels know no other value, and some no file.
        writes.append(ResourceWrite("memory", "memory.use_hierarchy", hierarchy ? "1" : "0", optional: hierarchy))
    }
    if memory.disableOOMKiller == true { writes.append(ResourceWrite("memory", "memory.oom_control", "1")) }
    return writes
}

func version1Writes(_ cpu: ResourcesSpec.CPUSpec) -> [ResourceWrite] {
    var writes: [ResourceWrite] = []
    if let period = cpu.realtimePeriod, period != 0 { writes.append(ResourceWrite("cpu", "cpu.rt_period_us", "\(period)")) }
    if let runtime = cpu.realtimeRuntime, runtime != 0 { writes.append(ResourceWrite("cpu", "cpu.rt_runtime_us", "\(runtime)")) }
    if let shares = cpu.shares, shares != 0 { writes.append(ResourceWrite("cpu", "cpu.shares", "\(shares)")) }
    if let period = cpu.period, period != 0 { writes.append(ResourceWrite("cpu", "cpu.cfs_period_us", "\(period)")) }
    if let quota = cpu.quota, quota != 0 { writes.append(ResourceWrite("cpu", "cpu.cfs_quota_us", "\(quota)")) }
    if let burst = cpu.burst { writes.append(ResourceWrite("cpu", "cpu.cfs_burst_us", "\(burst)")) }
    if let idle = cpu.idle { writes.append(ResourceWrite("cpu", "cpu.idle", "\(idle)")) }
    if let cpus = cpu.cpus, !cpus.isEmpty { writes.append(ResourceWrite("cpuset", "cpuset.cpus", cpus)) }
    if let mems = cpu.mems, !mems.isEmpty { writes.append(ResourceWrite("cpuset", "cpuset.mems", mems)) }
    return writes
}

func version1Writes(_ blockIO: ResourcesSpec.BlockIOSpec) -> [ResourceWrite] {
    var writes: [ResourceWrite] = []
    if let weight = blockIO.weight, weight != 0 {
        writes.append(ResourceWrite("blkio", "blkio.weight", "\(weight)", otherwise: .init(file: "blkio.bfq.weight", value: "\(weight)")))
    }
    if let weight = blockIO.leafWeight, weight != 0 { writes.append(ResourceWrite("blkio", "blkio.leaf_weight", "\(weight)")) }
    for device in blockIO.weightDevice {
        let name = "\(device.major):\(device.minor)"
        if let weight = device.weight, weight != 0 {
            writes.append(ResourceWrite(
                "blkio", "blkio.weight_device", "\(name) \(weight)", otherwise: .init(file: "blkio.bfq.weight_device", value: "\(name) \(weight)")))
        }
        if let weight = device.leafWeight, weight != 0 { writes.append(ResourceWrite("blkio", "blkio.leaf_weight_device", "\(name) \(weight)")) }
    }
    let throttles: [(String, [ResourcesSpec.BlockIOSpec.ThrottleDevice])] = [
        ("read_bps", blockIO.throttleReadBpsDevice), ("write_bps", blockIO.throttleWriteBpsDevice),
        ("read_iops", blockIO.throttleReadIOPSDevice), ("write_iops", blockIO.throttleWriteIOPSDevice),
    ]
    for (key, devices) in throttles {
        for device in devices {
            writes.append(ResourceWrite("blkio", "blkio.throttle.\(key)_device", "\(device.major):\(device.minor) \(device.rate)"))
        }
    }
    return writes
}
