internal import JSONText

extension ResourcesSpec {
    /// What is wrong with limits, on any kernel. What this one's control groups cannot do is said by whoever sets them.
    public func problems(path: String) -> [ConfigurationError.Problem] {
        var list = ProblemList(path: path)
        for (index, rule) in devices.enumerated() {
            list.check(["a", "b", "c", nil, ""].contains(rule.type), "devices[\(index)].type", "\(quoted(rule.type ?? "")) is not a (all), b or c")
            list.check((rule.access ?? "").allSatisfy { "rwm".contains($0) }, "devices[\(index)].access", "\(quoted(rule.access ?? "")) has other letters than r, w and m")
            for (name, number) in [("major", rule.major), ("minor", rule.minor)] {
                list.check((-1...Int64(UInt32.max)).contains(number ?? -1), "devices[\(index)].\(name)", "must be -1, for all, or from 0 to \(UInt32.max)")
            }
        }
        if let memory { Self.check(memory, &list) }
        if let cpu { Self.check(cpu, &list) }
        if let blockIO { Self.check(blockIO, &list) }
        var sizes: Set<String> = []
        for (index, limit) in hugepageLimits.enumerated() {
            list.check(limit.hasPageSize, "hugepageLimits[\(index)].pageSize", "\(quoted(limit.pageSize)) is not a page size like 2MB: a number and KB, MB or GB are expected")
            list.check(sizes.insert(limit.pageSize).inserted, "hugepageLimits[\(index)].pageSize", "\(quoted(limit.pageSize)) occurs twice")
        }
        for (index, priority) in (network?.priorities ?? []).enumerated() { list.check(!priority.name.isEmpty, "network.priorities[\(index)].name", "is empty") }
        for key in rdma.keys.sorted() {
            list.check(!key.isEmpty && !key.contains(where: \.isWhitespace) && !key.utf8.contains(0), memberPath("rdma", key), "is not the name of a device")
            list.check(rdma[key]?.hcaHandles != nil || rdma[key]?.hcaObjects != nil, memberPath("rdma", key), "needs hcaHandles or hcaObjects")
        }
        for key in unified.keys.sorted() {
            let isFile = !key.contains("/") && key.dropFirst().contains(".") && !key.hasPrefix(".") && !key.utf8.contains(0)
            list.check(isFile, memberPath("unified", key), "is not the name of a cgroup v2 file, as memory.high is")
            list.clean(unified[key], memberPath("unified", key))
        }
        return list.problems
    }

    private static func check(_ memory: MemorySpec, _ list: inout ProblemList) {
        for (name, value) in [("limit", memory.limit), ("reservation", memory.reservation), ("swap", memory.swap), ("kernel", memory.kernel), ("kernelTCP", memory.kernelTCP)] {
            list.check(value ?? 0 >= -1, "memory.\(name)", "must be -1, for no limit, or a number of bytes")
        }
        list.check(memory.swappiness ?? 0 <= 100, "memory.swappiness", "must be from 0 to 100")
        guard let swap = memory.swap, swap > 0 else { return }
        let limit = memory.limit ?? 0
        list.check(limit > 0, "memory.swap", "is memory and swap together, so it needs memory.limit")
        list.check(swap >= limit, "memory.swap", "is memory and swap together, so it cannot be less than memory.limit")
    }

    private static func check(_ cpu: CPUSpec, _ list: inout ProblemList) {
        let quota = cpu.quota ?? 0
        list.check(quota == 0 || quota == -1 || quota >= 1000, "cpu.quota", "must be -1, for no limit, or 1000 microseconds at least")
        list.check(cpu.period ?? 0 == 0 || (1000...1_000_000).contains(cpu.period ?? 0), "cpu.period", "must be from 1000 to 1000000 microseconds")
        if let burst = cpu.burst, quota > 0 { list.check(burst <= UInt64(quota), "cpu.burst", "is greater than cpu.quota") }
        if let runtime = cpu.realtimeRuntime, let period = cpu.realtimePeriod, runtime > 0, period > 0 {
            list.check(UInt64(runtime) <= period, "cpu.realtimeRuntime", "is greater than cpu.realtimePeriod")
        }
        for (name, text) in [("cpus", cpu.cpus), ("mems", cpu.mems)] {
            list.check((text ?? "").isEmpty || NumberList.parse(text ?? "") != nil, "cpu.\(name)", "\(quoted(text ?? "")) is not a list like 0-3,5")
        }
        list.check((0...1).contains(cpu.idle ?? 0), "cpu.idle", "must be 0 or 1")
    }

    private static func check(_ blockIO: BlockIOSpec, _ list: inout ProblemList) {
        func check(_ weight: UInt16?, _ field: String, _ list: inout ProblemList) {
            list.check(weight ?? 0 == 0 || (10...1000).contains(weight ?? 0), field, "must be from 10 to 1000")
        }
        func check(_ major: Int64, _ minor: Int64, _ field: String, _ list: inout ProblemList) {
            for (name, number) in [("major", major), ("minor", minor)] {
                list.check((0...Int64(UInt32.max)).contains(number), "\(field).\(name)", "must be from 0 to \(UInt32.max)")
            }
        }
        check(blockIO.weight, "blockIO.weight", &list)
        check(blockIO.leafWeight, "blockIO.leafWeight", &list)
        for (index, device) in blockIO.weightDevice.enumerated() {
            let field = "blockIO.weightDevice[\(index)]"
            check(device.major, device.minor, field, &list)
            check(device.weight, "\(field).weight", &list)
            check(device.leafWeight, "\(field).leafWeight", &list)
            list.check(device.weight != nil || device.leafWeight != nil, field, "needs weight or leafWeight")
        }
        let throttles = [
            ("throttleReadBpsDevice", blockIO.throttleReadBpsDevice), ("throttleWriteBpsDevice", blockIO.throttleWriteBpsDevice),
            ("throttleReadIOPSDevice", blockIO.throttleReadIOPSDevice), ("throttleWriteIOPSDevice", blockIO.throttleWriteIOPSDevice),
        ]
        for (name, devices) in throttles {
            for (index, device) in devices.enumerated() { check(device.major, device.minor, "blockIO.\(name)[\(index)]", &list) }
        }
    }
}

extension ResourcesSpec.HugepageLimitSpec {
    public var hasPageSize: Bool { Self.isPageSize(pageSize) }

    /// Whether it is `64KB`, `2MB`, `1GB` …: how the kernel names its files.
    public static func isPageSize(_ text: String) -> Bool {
        guard let unit = ["KB", "MB", "GB"].first(where: { text.hasSuffix($0) }) else { return false }
        let digits = text.dropLast(unit.count)
        return digits.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } && UInt64(digits) ?? 0 > 0
    }
}
