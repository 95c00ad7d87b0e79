import Glibc
import LinuxSystem
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
            "memory.current": "4096\n", "memory.max": "8192\n", "memory.events": "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 5\n",
            "cpu.stat": "usage_usec 5\nuser_usec 2\nsystem_usec 3\nnr_periods 9\nnr_throttled 8\nthrottled_usec 7\n",
            "pids.current": "2\n", "pids.max": "max\n",
            "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2 rios=9 wios=9\n",
        ])
        var expected = ControlGroupStatistics()
        (expected.memoryUsage, expected.memoryLimit, expected.outOfMemoryKills) = (4096, 8192, 4)
        (expected.cpuTotal, expected.cpuUser, expected.cpuSystem) = (5000, 2000, 3000)
        (expected.cpuThrottledPeriods, expected.cpuThrottledTime) = (8, 7000)
        (expected.pids, expected.pidsLimit, expected.bytesRead, expected.bytesWritten) = (2, nil, 11, 22)
        #expect(Self.version2(group) == expected)
    }

    @Test func version1() throws {
        let group = try FakeGroup([
            "memory.usage_in_bytes": "4096\n", "memory.limit_in_bytes": "8192\n", "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
            "cpuacct.usage": "50\n", "cpuacct.usage_user": "20\n", "cpuacct.usage_sys": "30\n", "cpu.stat": "nr_periods 9\nnr_throttled 8\nthrottled_time 7\n",
            "pids.current": "2\n", "pids.max": "10\n",
        ])
        var expected = ControlGroupStatistics()
        (expected.memoryUsage, expected.memoryLimit, expected.outOfMemoryKills) = (4096, 8192, 2)
        (expected.cpuTotal, expected.cpuUser, expected.cpuSystem) = (50, 20, 30)
        (expected.cpuThrottledPeriods, expected.cpuThrottledTime) = (8, 7)
        (expected.pids, expected.pidsLimit) = (2, 10)
        #expect(Self.version1(group) == expected)
        var some = ControlGroupStatistics()
        some.readVersion1(["pids": group.path])
        #expect(some.pids == 2 && some.memoryUsage == nil && some.cpuTotal == nil)
    }

    /// What version 1 shows when there is no limit.
    @Test(arguments: [("9223372036854771712", nil), ("9223372036854775807", nil), ("18446744073709551615", nil), ("9223372036854771711", 9_223_372_036_854_771_711)] as [(String, UInt64?)])
    func noLimitOfVersion1(text: String, limit: UInt64?) throws {
        #expect(Self.version1(try FakeGroup(["memory.limit_in_bytes": text + "\n"])).memoryLimit == limit)
    }

    @Test func aGroupWithoutFilesCountsNothing() throws {
        let group = try FakeGroup([:])
        #expect(Self.version2(group) == ControlGroupStatistics())
        #expect(Self.version1(group) == ControlGroupStatistics())
    }

    private static let numbers = [
        "memory.current", "memory.max", "pids.current", "pids.max", "memory.usage_in_bytes", "memory.limit_in_bytes", "cpuacct.usage", "cpuacct.usage_user", "cpuacct.usage_sys",
    ]
    private static let tables = ["memory.events", "cpu.stat", "memory.oom_control"]

    @Test(arguments: [
        "", "\n", "max", "-1", "+", "0x10", "1 2", " 1", "1e3", "18446744073709551616", "\0", "é", "nr_throttled", "nr_throttled \n", "nr_throttled x", "oom_kill -1", "usage_usec 1 2",
        "user_usec\t1", String(repeating: "9", count: 5000), String(repeating: "usage_usec \n", count: 10_000),
    ])
    func garbageCountsNothing(text: String) throws {
        let group = try FakeGroup(Dictionary(uniqueKeysWithValues: (Self.numbers + Self.tables).map { ($0, text) }))
        #expect(Self.version2(group) == ControlGroupStatistics())
        #expect(Self.version1(group) == ControlGroupStatistics())
    }

    /// The largest numbers stay the largest: nothing wraps around, and nothing traps.
    @Test func hugeNumbersStayHuge() throws {
        let most = "18446744073709551615"
        let table = ["usage_usec", "user_usec", "system_usec", "nr_throttled", "throttled_usec", "throttled_time", "oom_kill"].map { "\($0) \(most)\n" }.joined()
        var files: [String: String] = ["io.stat": "8:0 rbytes=\(most) wbytes=\(most)\n8:1 rbytes=\(most) wbytes=1\n"]
        for name in Self.numbers { files[name] = most + "\n" }
        for name in Self.tables { files[name] = table }
        let group = try FakeGroup(files)
        let new = Self.version2(group)
        for number in [
            new.memoryUsage, new.memoryLimit, new.outOfMemoryKills, new.cpuTotal, new.cpuUser, new.cpuSystem, new.cpuThrottledPeriods, new.cpuThrottledTime, new.pids,
            new.pidsLimit, new.bytesRead, new.bytesWritten,
        ] { #expect(number == .max) }
        let old = Self.version1(group)
        #expect(old.memoryUsage == .max && old.cpuTotal == .max && old.cpuThrottledTime == .max && old.pids == .max && old.outOfMemoryKills == .max)
    }

    /// More than is ever read of one file.
    @Test func endlessFilesCountNothing() throws {
        let group = try FakeGroup([:])
        for name in Self.numbers + Self.tables + ["io.stat"] {
            let file = try OwnedDescriptor(opening: group.path + "/" + name, flags: O_WRONLY | O_CREAT, mode: 0o600)
            try file.truncate(to: 1 << 40)
        }
        #expect(Self.version2(group) == ControlGroupStatistics())
        #expect(Self.version1(group) == ControlGroupStatistics())
    }

    @Test(arguments: [
        ("", 0, 0), ("8:0", 0, 0), ("8:0 rbytes=1 wbytes=2", 1, 2), ("8:0 rbytes= wbytes=x", 0, 0), ("rbytes=-1 wbytes=1.5", 0, 0), ("xrbytes=5 rbytes=3", 3, 0),
        ("rbytes=18446744073709551616", 0, 0), ("254:0 rbytes=1\n254:1 rbytes=2\n8:0 wbytes=4", 3, 4),
    ] as [(String, UInt64, UInt64)])
    func totalsOfBlockDevices(text: String, read: UInt64, written: UInt64) {
        #expect(ControlGroupStatistics.ioTotals(text) == (read, written))
    }

    private static func version2(_ group: FakeGroup) -> ControlGroupStatistics {
        var result = ControlGroupStatistics()
        result.readVersion2(group.path)
        return result
    }

    private static func version1(_ group: FakeGroup) -> ControlGroupStatistics {
        var result = ControlGroupStatistics()
        result.readVersion1(Dictionary(uniqueKeysWithValues: ["memory", "cpuacct", "cpu", "pids"].map { ($0, group.path) }))
        return result
    }
}
