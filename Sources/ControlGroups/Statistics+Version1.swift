internal import OCISpec

extension StatisticsSpec {
    /// - Parameter directories: the group's, by controller.
    mutating func readVersion1(_ directories: [String: String]) {
        if let directory = directories["cpuacct"] { readVersion1Accounting(GroupFiles(directory)) }
        if let directory = directories["cpu"] {
            let values = GroupFiles(directory).keyed("cpu.stat")
            (cpu.throttling.periods, cpu.throttling.throttledPeriods) = (values["nr_periods"] ?? 0, values["nr_throttled"] ?? 0)
            cpu.throttling.throttledTime = values["throttled_time"] ?? 0
        }
        if let directory = directories["cpuset"] { cpuset = CPUSet(GroupFiles(directory)) }
        if let directory = directories["memory"] { readVersion1Memory(GroupFiles(directory)) }
        if let directory = directories["pids"] { pids = Pids(GroupFiles(directory)) }
        if let directory = directories["blkio"] { readVersion1BlockIO(GroupFiles(directory)) }
        if let directory = directories["hugetlb"] {
            let files = GroupFiles(directory)
            for size in files.hugePageSizes(suffix: ".limit_in_bytes") {
                // What was reserved counts, where the kernel tells (5.7).
                func value(_ name: String) -> UInt64 { files.number("hugetlb.\(size).rsvd.\(name)") ?? files.number("hugetlb.\(size).\(name)") ?? 0 }
                var pages = HugePages()
                (pages.usage, pages.max, pages.failcnt) = (value("usage_in_bytes"), value("max_usage_in_bytes"), value("failcnt"))
                hugetlb[size] = pages
            }
        }
    }

    private mutating func readVersion1Accounting(_ files: GroupFiles) {
        cpu.usage.total = files.number("cpuacct.usage") ?? 0
        cpu.usage.user = files.number("cpuacct.usage_user") ?? 0
        cpu.usage.kernel = files.number("cpuacct.usage_sys") ?? 0
        cpu.usage.percpu = (files.text("cpuacct.usage_percpu") ?? "").split(whereSeparator: \.isWhitespace).compactMap { UInt64($0) }
        // A header, then a line for each processor: its number, user, system.
        for line in files.lines("cpuacct.usage_all").dropFirst() {
            let values = line.split(separator: " ").compactMap { UInt64($0) }
            guard values.count >= 3 else { continue }
            cpu.usage.percpuUser.append(values[1])
            cpu.usage.percpuKernel.append(values[2])
        }
    }

    private mutating func readVersion1Memory(_ files: GroupFiles) {
        memory.raw = files.keyed("memory.stat")
        memory.cache = memory.raw["cache"] ?? 0
        memory.usage = .init(files, "memory")
        memory.swap = .init(files, "memory.memsw")
        memory.kernel = .init(files, "memory.kmem")
        memory.kernelTCP = .init(files, "memory.kmem.tcp")
    }

    /// The first set of files that this kernel has, whatever its scheduler.
    private mutating func readVersion1BlockIO(_ files: GroupFiles) {
        for prefix in ["blkio.bfq.", "blkio.", "blkio.throttle."] {
            let recursive = Self.entries(files, prefix + "io_service_bytes_recursive")
            let bytes = recursive ?? Self.entries(files, prefix + "io_service_bytes")
            guard let bytes else { continue }
            blkio.serviceBytes = bytes
            func read(_ name: String) -> [BlockIO.Entry] { Self.entries(files, prefix + name + (recursive == nil ? "" : "_recursive")) ?? [] }
            blkio.serviced = read("io_serviced")
            (blkio.queued, blkio.serviceTime, blkio.waitTime) = (read("io_queued"), read("io_service_time"), read("io_wait_time"))
            (blkio.merged, blkio.time, blkio.sectors) = (read("io_merged"), read("time"), read("sectors"))
            return
        }
    }

    /// "8:0 Read 5", or without a word; the total at the end is not of a device. nil: no such file.
    static func entries(_ files: GroupFiles, _ name: String) -> [BlockIO.Entry]? {
        guard let text = files.text(name) else { return nil }
        return text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            guard (2...3).contains(fields.count), let device = deviceNumber(fields[0]), let value = UInt64(fields[fields.count - 1]) else { return nil }
            return BlockIO.Entry(device.major, device.minor, fields.count == 3 ? String(fields[1]) : "", value)
        }
    }
}

extension StatisticsSpec.Memory.Entry {
    init(_ files: GroupFiles, _ prefix: String) {
        self.init()
        guard let used = files.number(prefix + ".usage_in_bytes") else { return }
        usage = used
        max = files.number(prefix + ".max_usage_in_bytes") ?? 0
        failcnt = files.number(prefix + ".failcnt") ?? 0
        limit = files.number(prefix + ".limit_in_bytes") ?? 0
    }
}

extension StatisticsSpec.CPUSet {
    init(_ files: GroupFiles) {
        self.init()
        func number(_ name: String) -> UInt64 { files.number("cpuset." + name) ?? 0 }
        cpus = Self.list(files.text("cpuset.cpus") ?? "")
        mems = Self.list(files.text("cpuset.mems") ?? "")
        (cpuExclusive, memHardwall, memExclusive) = (number("cpu_exclusive"), number("mem_hardwall"), number("mem_exclusive"))
        (memoryMigrate, memorySpreadPage, memorySpreadSlab) = (number("memory_migrate"), number("memory_spread_page"), number("memory_spread_slab"))
        (memoryPressure, schedLoadBalance) = (number("memory_pressure"), number("sched_load_balance"))
        schedRelaxDomainLevel = files.text("cpuset.sched_relax_domain_level").flatMap { Int64($0.prefix { $0 != "\n" }) } ?? 0
    }

    /// "0-2,7".
    static func list(_ text: String) -> [UInt16] {
        var result: [UInt16] = []
        for part in text.split(whereSeparator: { $0 == "," || $0 == "\n" }) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
            guard let first = ends[0], let last = ends[ends.count - 1], ends.count <= 2, first <= last else { return [] }
            result += first...last
        }
        return result
    }
}
