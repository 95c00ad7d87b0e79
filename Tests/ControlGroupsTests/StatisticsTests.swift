import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ControlGroups

/// A directory with files of given texts, as if it were a control group's; removed in the end.
final class FakeGroup {
    let path: String

    init(_ files: [String: String]) throws {
        var template = Array("/tmp/nacelle-group-XXXXXX".utf8CString)
        path = unsafe template.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress, let made = unsafe mkdtemp(base) else { return "" }
            return unsafe String(cString: made)
        }
        try #require(!path.isEmpty)
        for (name, text) in files { try writeFile(path + "/" + name, Array(text.utf8)) }
    }

    deinit {
        guard let directory = try? OwnedDescriptor(opening: path, flags: O_RDONLY | O_DIRECTORY) else { return }
        for name in (try? directory.entries()) ?? [] { try? directory.remove(name) }
        try? removeDirectory(path)
    }
}

@Suite struct StatisticsTests {
    @Test func version2() throws {
        let group = try FakeGroup([
            "memory.current": "4096\n", "memory.max": "8192\n", "memory.peak": "5000\n", "memory.stat": "anon 7\nfile 9\n",
            "memory.swap.current": "100\n", "memory.swap.max": "1000\n",
            "cpu.stat": "usage_usec 5\nuser_usec 2\nsystem_usec 3\nnr_periods 9\nnr_throttled 8\nthrottled_usec 7\n",
            "pids.current": "2\n", "pids.max": "max\n",
            "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n254:16 rbytes=1 wbytes=2\n",
            "hugetlb.2MB.current": "5\n", "hugetlb.2MB.rsvd.current": "6\n", "hugetlb.2MB.max": "7\n", "hugetlb.2MB.events": "max 3\n",
            "cpu.pressure": "some avg10=0.00 avg60=1.50 avg300=2.25 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=8\n",
        ])
        var expected = StatisticsSpec()
        (expected.memory.usage.usage, expected.memory.usage.limit, expected.memory.usage.max, expected.memory.cache) = (4096, 8192, 5000, 9)
        (expected.memory.swap.usage, expected.memory.swap.limit, expected.memory.raw) = (4196, 9192, ["anon": 7, "file": 9])
        (expected.cpu.usage.total, expected.cpu.usage.user, expected.cpu.usage.kernel) = (5000, 2000, 3000)
        (expected.cpu.throttling.periods, expected.cpu.throttling.throttledPeriods, expected.cpu.throttling.throttledTime) = (9, 8, 7000)
        var pressure = StatisticsSpec.Pressure()
        (pressure.some.average60, pressure.some.average300, pressure.some.total, pressure.full.total) = (1.5, 2.25, 77, 8)
        (expected.cpu.psi, expected.pids.current) = (pressure, 2)
        expected.blkio.serviceBytes = [.init(8, 0, "Read", 10), .init(8, 0, "Write", 20), .init(254, 16, "Read", 1), .init(254, 16, "Write", 2)]
        expected.blkio.serviced = [.init(8, 0, "Read", 1), .init(8, 0, "Write", 2)]
        var pages = StatisticsSpec.HugePages()
        (pages.usage, pages.failcnt) = (6, 3)
        expected.hugetlb = ["2MB": pages]
        #expect(Self.version2(group) == expected)
    }

    @Test func version1() throws {
        let group = try FakeGroup([
            "memory.usage_in_bytes": "4096\n", "memory.limit_in_bytes": "8192\n", "memory.max_usage_in_bytes": "5000\n", "memory.failcnt": "3\n",
            "memory.memsw.usage_in_bytes": "1\n", "memory.memsw.limit_in_bytes": "9223372036854771712\n", "memory.stat": "cache 9\n",
            "cpuacct.usage": "50\n", "cpuacct.usage_user": "20\n", "cpuacct.usage_sys": "30\n", "cpu.stat": "nr_periods 9\nnr_throttled 8\nthrottled_time 7\n",
            "cpuacct.usage_percpu": "40 10 \n", "cpuacct.usage_all": "cpu user system\n0 15 25\n1 5 5\n",
            "pids.current": "2\n", "pids.max": "10\n", "cpuset.cpus": "0-2,7\n", "cpuset.mems": "0\n", "cpuset.sched_load_balance": "1\n",
            "cpuset.sched_relax_domain_level": "-1\n", "blkio.throttle.io_service_bytes": "8:0 Read 5\n8:0 Write 6\nTotal 11\n", "blkio.throttle.io_serviced": "8:0 Read 1\nTotal 1\n",
            "hugetlb.2MB.usage_in_bytes": "5\n", "hugetlb.2MB.max_usage_in_bytes": "6\n", "hugetlb.2MB.failcnt": "7\n", "hugetlb.2MB.limit_in_bytes": "8\n",
        ])
        var expected = StatisticsSpec()
        (expected.memory.usage.usage, expected.memory.usage.limit, expected.memory.usage.max, expected.memory.usage.failcnt) = (4096, 8192, 5000, 3)
        (expected.memory.swap.usage, expected.memory.swap.limit, expected.memory.cache, expected.memory.raw) = (1, 9_223_372_036_854_771_712, 9, ["cache": 9])
        (expected.cpu.usage.total, expected.cpu.usage.user, expected.cpu.usage.kernel) = (50, 20, 30)
        (expected.cpu.usage.percpu, expected.cpu.usage.percpuUser, expected.cpu.usage.percpuKernel) = ([40, 10], [15, 5], [25, 5])
        (expected.cpu.throttling.periods, expected.cpu.throttling.throttledPeriods, expected.cpu.throttling.throttledTime) = (9, 8, 7)
        (expected.pids.current, expected.pids.limit) = (2, 10)
        (expected.cpuset.cpus, expected.cpuset.mems, expected.cpuset.schedLoadBalance, expected.cpuset.schedRelaxDomainLevel) = ([0, 1, 2, 7], [0], 1, -1)
        (expected.blkio.serviceBytes, expected.blkio.serviced) = ([.init(8, 0, "Read", 5), .init(8, 0, "Write", 6)], [.init(8, 0, "Read", 1)])
        var pages = StatisticsSpec.HugePages()
        (pages.usage, pages.max, pages.failcnt) = (5, 6, 7)
        expected.hugetlb = ["2MB": pages]
        #expect(Self.version1(group) == expected)
        var some = StatisticsSpec()
        some.readVersion1(["pids": group.path])
        #expect(some.pids.current == 2 && some.memory == .init() && some.cpu == .init())
    }

    /// The scheduler's own figures come before those of the throttle, and sums over groups beneath before the group's own.
    @Test func blockDevicesOfVersion1() throws {
        let group = try FakeGroup([
            "blkio.throttle.io_service_bytes": "8:0 Read 1\n", "blkio.throttle.io_service_bytes_recursive": "8:0 Read 2\n", "blkio.throttle.io_serviced_recursive": "8:0 Read 3\n",
        ])
        #expect(Self.version1(group).blkio.serviceBytes == [.init(8, 0, "Read", 2)] && Self.version1(group).blkio.serviced == [.init(8, 0, "Read", 3)])
        try writeFile(group.path + "/blkio.bfq.io_service_bytes_recursive", Array("8:0 Sync 4\nTotal 4\n".utf8))
        try writeFile(group.path + "/blkio.bfq.time_recursive", Array("8:0 5\n".utf8))
        let figures = Self.version1(group).blkio
        #expect(figures.serviceBytes == [.init(8, 0, "Sync", 4)] && figures.serviced == [] && figures.time == [.init(8, 0, "", 5)])
    }

    @Test func noLimitIsTheLargestNumber() throws {
        let group = try FakeGroup(["memory.current": "5\n", "memory.max": "max\n", "memory.swap.max": "100\n"])
        #expect(Self.version2(group).memory.usage.limit == .max && Self.version2(group).memory.swap.limit == .max)
    }

    @Test func aGroupWithoutFilesCountsNothing() throws {
        let group = try FakeGroup([:])
        #expect(Self.version2(group) == StatisticsSpec())
        #expect(Self.version1(group) == StatisticsSpec())
    }

    private static let numbers = [
        "memory.current", "memory.peak", "memory.swap.current", "pids.current", "pids.max", "memory.usage_in_bytes", "memory.limit_in_bytes", "cpuacct.usage", "cpuacct.usage_user", "cpuacct.usage_sys",
        "cpuset.cpu_exclusive",
    ]
    private static let tables = ["memory.stat", "cpu.stat", "io.stat", "blkio.throttle.io_service_bytes", "cpuacct.usage_all"]

    @Test(arguments: [
        "", "\n", "-1", "+", "0x10", " 1", "1e3", "18446744073709551616", "\0", "é", "nr_throttled", "nr_throttled \n", "nr_throttled x", "usage_usec -1",
        "user_usec\t1", String(repeating: "9", count: 5000), String(repeating: "usage_usec \n", count: 10_000), "8:0 rbytes=", "8: rbytes=1", ":0 rbytes=1", "8:0:0 rbytes=1", "8:0 rbytes",
        "8:0 Read x", "8 Read 1", "0-", "-", "3-1", "0-65536",
    ])
    func garbageCountsNothing(text: String) throws {
        let group = try FakeGroup(Dictionary(uniqueKeysWithValues: (Self.numbers + Self.tables + ["cpuset.cpus", "memory.max", "memory.pressure"]).map { ($0, text) }))
        #expect(Self.version2(group) == StatisticsSpec())
        #expect(Self.version1(group) == StatisticsSpec())
    }

    /// The largest numbers stay the largest: nothing wraps around, and nothing traps.
    @Test func hugeNumbersStayHuge() throws {
        let most = "18446744073709551615"
        let table = ["usage_usec", "user_usec", "system_usec", "nr_throttled", "throttled_usec", "throttled_time"].map { "\($0) \(most)\n" }.joined()
        var files: [String: String] = ["io.stat": "8:0 rbytes=\(most)\n\(most):\(most) rbytes=1\n", "cpu.stat": table]
        for name in Self.numbers { files[name] = most + "\n" }
        let group = try FakeGroup(files)
        let new = Self.version2(group)
        for number in [new.memory.usage.usage, new.memory.swap.usage, new.cpu.usage.total, new.cpu.usage.user, new.cpu.usage.kernel, new.cpu.throttling.throttledTime, new.pids.limit] {
            #expect(number == .max)
        }
        #expect(new.blkio.serviceBytes == [.init(8, 0, "Read", .max), .init(.max, .max, "Read", 1)])
        let old = Self.version1(group)
        #expect(old.memory.usage.usage == .max && old.cpu.usage.total == .max && old.cpu.throttling.throttledTime == .max && old.pids.current == .max)
    }

    /// More than is ever read of one file.
    @Test func endlessFilesCountNothing() throws {
        let group = try FakeGroup([:])
        for name in Self.numbers + Self.tables {
            let file = try OwnedDescriptor(opening: group.path + "/" + name, flags: O_WRONLY | O_CREAT, mode: 0o600)
            try file.truncate(to: 1 << 40)
        }
        #expect(Self.version2(group) == StatisticsSpec())
        #expect(Self.version1(group) == StatisticsSpec())
    }

    private static func version2(_ group: FakeGroup) -> StatisticsSpec {
        var result = StatisticsSpec()
        result.readVersion2(group.path)
        return result
    }

    private static func version1(_ group: FakeGroup) -> StatisticsSpec {
        var result = StatisticsSpec()
        result.readVersion1(Dictionary(uniqueKeysWithValues: ["memory", "cpuacct", "cpu", "cpuset", "pids", "blkio", "hugetlb"].map { ($0, group.path) }))
        return result
    }
}
