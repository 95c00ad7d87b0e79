internal import LinuxSystem
public import OCISpec

extension ControlGroup {
    /// What the group's processes have used.
    public func statistics() -> StatisticsSpec {
        var result = StatisticsSpec()
        if let directory = unifiedDirectory {
            result.readVersion2(directory)
        } else {
            let directories = Dictionary(
                places.flatMap { place in place.hierarchy.controllers.map { ($0, place.directory) } }, uniquingKeysWith: { first, _ in first })
            result.readVersion1(directories)
        }
        return result
    }
}

extension StatisticsSpec {
    mutating func readVersion2(_ directory: String) {
        let files = GroupFiles(directory)
        readVersion2CPU(files)
        readVersion2Memory(files)
        pids = Pids(files)
        readVersion2BlockIO(files)
        for size in files.hugePageSizes(suffix: ".current") {
            // What was reserved counts, where the kernel tells (5.7).
            var pages = HugePages()
            pages.usage = files.number("hugetlb.\(size).rsvd.current") ?? files.number("hugetlb.\(size).current") ?? 0
            pages.failcnt = files.keyed("hugetlb.\(size).events")["max"] ?? 0
            hugetlb[size] = pages
        }
    }

    private mutating func readVersion2CPU(_ files: GroupFiles) {
        let values = files.keyed("cpu.stat")
        func nanoseconds(_ key: String) -> UInt64 { saturated((values[key] ?? 0).multipliedReportingOverflow(by: 1000)) }
        (cpu.usage.total, cpu.usage.user, cpu.usage.kernel) = (nanoseconds("usage_usec"), nanoseconds("user_usec"), nanoseconds("system_usec"))
        (cpu.throttling.periods, cpu.throttling.throttledPeriods) = (values["nr_periods"] ?? 0, values["nr_throttled"] ?? 0)
        cpu.throttling.throttledTime = nanoseconds("throttled_usec")
        cpu.psi = files.pressure("cpu.pressure")
    }

    private mutating func readVersion2Memory(_ files: GroupFiles) {
        memory.raw = files.keyed("memory.stat")
        memory.cache = memory.raw["file"] ?? 0
        memory.usage.usage = files.number("memory.current") ?? 0
        memory.usage.limit = files.limit("memory.max") ?? 0
        memory.usage.max = files.number("memory.peak") ?? 0
        // Version 1's, and so runc's, are of memory and swap together.
        memory.swap.usage = saturated((files.number("memory.swap.current") ?? 0).addingReportingOverflow(memory.usage.usage))
        memory.swap.limit = saturated((files.limit("memory.swap.max") ?? 0).addingReportingOverflow(memory.usage.limit))
        memory.psi = files.pressure("memory.pressure")
    }

    private mutating func readVersion2BlockIO(_ files: GroupFiles) {
        for line in files.lines("io.stat") {
            let fields = line.split(separator: " ")
            guard let device = fields.first.flatMap({ deviceNumber($0) }) else { continue }
            for field in fields.dropFirst() {
                let parts = field.split(separator: "=", omittingEmptySubsequences: false)
                guard parts.count == 2, let value = UInt64(parts[1]) else { continue }
                switch parts[0] {
                case "rbytes": blkio.serviceBytes.append(.init(device.major, device.minor, "Read", value))
                case "wbytes": blkio.serviceBytes.append(.init(device.major, device.minor, "Write", value))
                case "rios": blkio.serviced.append(.init(device.major, device.minor, "Read", value))
                case "wios": blkio.serviced.append(.init(device.major, device.minor, "Write", value))
                default: break
                }
            }
        }
        blkio.psi = files.pressure("io.pressure")
    }
}

extension StatisticsSpec.Pids {
    /// The same in both versions.
    init(_ files: GroupFiles) {
        self.init()
        (current, limit) = (files.number("pids.current") ?? 0, files.number("pids.max") ?? 0)
    }
}

/// "8:0".
func deviceNumber(_ text: Substring) -> (major: UInt64, minor: UInt64)? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let major = UInt64(parts[0]), let minor = UInt64(parts[1]) else { return nil }
    return (major, minor)
}

func saturated(_ result: (partialValue: UInt64, overflow: Bool)) -> UInt64 { result.overflow ? .max : result.partialValue }

/// The files of one group's directory, as the kernel writes them.
struct GroupFiles {
    let directory: String
    init(_ directory: String) { self.directory = directory }

    func text(_ name: String) -> String? { (try? readFile(directory + "/" + name)).map { String(decoding: $0, as: UTF8.self) } }

    func lines(_ name: String) -> [Substring] { text(name)?.split(separator: "\n") ?? [] }

    func number(_ name: String) -> UInt64? { ControlGroups.number(directory + "/" + name) }

    /// "max" is the largest number.
    func limit(_ name: String) -> UInt64? { number(name) ?? (lines(name) == ["max"] ? .max : nil) }

    /// "key value" lines.
    func keyed(_ name: String) -> [String: UInt64] {
        var result: [String: UInt64] = [:]
        for line in lines(name) {
            let fields = line.split(separator: " ")
            if fields.count == 2, let value = UInt64(fields[1]) { result[String(fields[0])] = value }
        }
        return result
    }

    /// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and the same for "full". nil where the kernel does not tell.
    func pressure(_ name: String) -> StatisticsSpec.Pressure? {
        let lines = lines(name)
        guard !lines.isEmpty else { return nil }
        var result = StatisticsSpec.Pressure()
        for line in lines {
            let fields = line.split(separator: " ")
            var values: [Substring: Substring] = [:]
            for field in fields.dropFirst() {
                let parts = field.split(separator: "=", omittingEmptySubsequences: false)
                if parts.count == 2 { values[parts[0]] = parts[1] }
            }
            func average(_ key: Substring) -> Double { values[key].flatMap { Double($0) }.flatMap { $0.isFinite ? $0 : nil } ?? 0 }
            var found = StatisticsSpec.Pressure.Line()
            (found.average10, found.average60, found.average300) = (average("avg10"), average("avg60"), average("avg300"))
            found.total = values["total"].flatMap { UInt64($0) } ?? 0
            switch fields.first {
            case "some": result.some = found
            case "full": result.full = found
            default: return nil
            }
        }
        return result
    }

    /// The sizes of huge pages that the group counts: hugetlb.SIZE.current, say.
    func hugePageSizes(suffix: String) -> [String] {
        guard let handle = try? OwnedDescriptor(opening: directory, flags: 0), let names = try? handle.entries() else { return [] }
        return names.compactMap { name in
            guard name.hasPrefix("hugetlb."), name.hasSuffix(suffix) else { return nil }
            let size = String(name.dropFirst("hugetlb.".count).dropLast(suffix.count))
            return ResourcesSpec.HugepageLimitSpec.isPageSize(size) ? size : nil
        }
    }
}
