internal import LinuxSystem

/// What a group's processes have used. nil: this kernel does not count it.
public struct ControlGroupStatistics: Equatable, Sendable {
    /// Bytes in use now.
    public var memoryUsage: UInt64?
    /// The limit in bytes; nil also when there is none.
    public var memoryLimit: UInt64?
    /// Processes killed for want of memory.
    public var outOfMemoryKills: UInt64?
    /// Nanoseconds of processor time: all, in user mode, in the kernel.
    public var cpuTotal: UInt64?
    public var cpuUser: UInt64?
    public var cpuSystem: UInt64?
    /// How many periods were throttled, and for how many nanoseconds.
    public var cpuThrottledPeriods: UInt64?
    public var cpuThrottledTime: UInt64?
    /// Processes and threads now, and their limit.
    public var pids: UInt64?
    public var pidsLimit: UInt64?
    /// Bytes read and written, of all block devices together.
    public var bytesRead: UInt64?
    public var bytesWritten: UInt64?
    public init() {}
}

extension ControlGroup {
    public func statistics() -> ControlGroupStatistics {
        var result = ControlGroupStatistics()
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

extension ControlGroupStatistics {
    mutating func readVersion2(_ directory: String) {
        memoryUsage = number(directory + "/memory.current")
        memoryLimit = number(directory + "/memory.max")
        outOfMemoryKills = keyed(directory + "/memory.events")["oom_kill"]
        let cpu = keyed(directory + "/cpu.stat")
        cpuTotal = cpu["usage_usec"].map(nanoseconds)
        cpuUser = cpu["user_usec"].map(nanoseconds)
        cpuSystem = cpu["system_usec"].map(nanoseconds)
        cpuThrottledPeriods = cpu["nr_throttled"]
        cpuThrottledTime = cpu["throttled_usec"].map(nanoseconds)
        pids = number(directory + "/pids.current")
        pidsLimit = number(directory + "/pids.max")
        if let text = try? readFile(directory + "/io.stat") {
            (bytesRead, bytesWritten) = ControlGroupStatistics.ioTotals(String(decoding: text, as: UTF8.self))
        }
    }

    mutating func readVersion1(_ directories: [String: String]) {
        if let memory = directories["memory"] {
            memoryUsage = number(memory + "/memory.usage_in_bytes")
            // Without a limit the kernel shows the largest page-aligned number.
            memoryLimit = number(memory + "/memory.limit_in_bytes").flatMap { $0 >= 0x7FFF_FFFF_FFFF_F000 ? nil : $0 }
            outOfMemoryKills = keyed(memory + "/memory.oom_control")["oom_kill"]
        }
        if let accounting = directories["cpuacct"] {
            cpuTotal = number(accounting + "/cpuacct.usage")
            cpuUser = number(accounting + "/cpuacct.usage_user")
            cpuSystem = number(accounting + "/cpuacct.usage_sys")
        }
        if let cpu = directories["cpu"] {
            let values = keyed(cpu + "/cpu.stat")
            cpuThrottledPeriods = values["nr_throttled"]
            cpuThrottledTime = values["throttled_time"]
        }
        if let processes = directories["pids"] {
            pids = number(processes + "/pids.current")
            pidsLimit = number(processes + "/pids.max")
        }
    }

    /// "key value" lines.
    private func keyed(_ path: String) -> [String: UInt64] {
        guard let bytes = try? readFile(path) else { return [:] }
        var result: [String: UInt64] = [:]
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let fields = line.split(separator: " ")
            if fields.count == 2, let value = UInt64(fields[1]) { result[String(fields[0])] = value }
        }
        return result
    }

    /// Sums of rbytes and wbytes over the lines of io.stat.
    static func ioTotals(_ text: String) -> (UInt64, UInt64) {
        var read: UInt64 = 0
        var written: UInt64 = 0
        for field in text.split(whereSeparator: \.isWhitespace) {
            if field.hasPrefix("rbytes=") { read = sum(read, UInt64(field.dropFirst(7)) ?? 0) }
            if field.hasPrefix("wbytes=") { written = sum(written, UInt64(field.dropFirst(7)) ?? 0) }
        }
        return (read, written)
    }

    private static func sum(_ first: UInt64, _ second: UInt64) -> UInt64 {
        let (sum, isTooLarge) = first.addingReportingOverflow(second)
        return isTooLarge ? .max : sum
    }
}

private func nanoseconds(microseconds: UInt64) -> UInt64 {
    let (product, isTooLarge) = microseconds.multipliedReportingOverflow(by: 1000)
    return isTooLarge ? .max : product
}
