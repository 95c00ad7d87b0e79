import Glibc
import LinuxSystem
import OCISpec
import Synchronization
import Testing

@testable import ControlGroups

/// The machine's own control groups.
private let machine: ControlGroupLayout? = geteuid() == 0 ? (try? ControlGroupLayout.current()).flatMap { $0.hierarchies.isEmpty ? nil : $0 } : nil
private let unified = machine?.hierarchies.first { $0.isVersion2 }
private let counter = Atomic<Int>(0)

/// A process that does nothing until it is killed, or what a script says after it was let go on.
private struct Child {
    let pid: Int32

    init(script: String = "exec sleep infinity", isStopped: Bool = false) throws {
        pid = try ProgramStart.start("/bin/sh", arguments: ["-c", isStopped ? "kill -STOP $$; \(script)" : script], descriptors: [nil, nil, nil], newSession: false)
        if isStopped { try waitUntilStopped() }
    }

    func waitUntilStopped() throws {
        var status: Int32 = 0
        try #require(unsafe waitpid(pid, &status, WUNTRACED) == pid && status & 0xFF == 0x7F)
    }

    func end() throws -> LinuxSystem.ExitStatus? { try waitForProcess(pid)?.status }
}

/// Groups of the machine are one resource: one test after the other.
@Suite(.serialized, .enabled(if: machine != nil, "needs root and a mounted cgroup file system")) struct MachineTests {
    private static func path() -> String { "/nacelle-tests/unit-\(getpid())-\(counter.wrappingAdd(1, ordering: .relaxed).newValue)" }
    private static func exists(_ path: String) -> Bool { (try? FileStatus(path: path)) != nil }

    private static func remove(_ group: ControlGroup) {
        do { try group.delete() } catch { Issue.record("\(error)") }
        for place in group.places { #expect(!exists(place.directory)) }
    }

    /// A group in the layout that the machine has; deleted, and nothing left of it, when the body is done.
    private func withGroup(_ body: (ControlGroup) throws -> Void) throws {
        let group = try ControlGroup.create(path: Self.path(), identifier: "x")
        defer {
            Self.remove(group)
        }
        try body(group)
    }

    @Test func aGroupIsMadeInEveryHierarchy() throws {
        try withGroup { (group) throws in
            #expect(group.places.count == machine?.hierarchies.count)
            for place in group.places {
                #expect(Self.exists(place.directory + "/cgroup.procs"))
                #expect(place.directory.hasPrefix(place.hierarchy.mountPoint + "/nacelle-tests/unit-"))
            }
            #expect(try group.processes() == [])
            // Making it again is no error while it is empty, and finds the same one.
            let path = String(group.places[0].directory.dropFirst(group.places[0].hierarchy.mountPoint.count))
            #expect(try ControlGroup.create(path: path, identifier: "y").places == group.places)
            #expect(try ControlGroup.locate(path: path, identifier: "y").places == group.places)
        }
    }

    @Test func limitsAreInForceAndShown() throws {
        try withGroup { (group) throws in
            let isUnified = group.layout.isUnified
            let json = #"{"memory":{"limit":67108864},"cpu":{"shares":512,"quota":50000,"period":100000},"pids":{"limit":20}}"#
            try group.apply(try ResourceWritesTests.resources(json))
            let statistics = group.statistics()
            #expect(statistics.memory.usage.limit == 67_108_864 && statistics.pids.limit == 20 && statistics.pids.current == 0)
            #expect(!statistics.memory.raw.isEmpty && statistics.cpu.throttling.throttledPeriods == 0)
            func content(_ controller: String, _ file: String) throws -> String {
                let place = try #require(group.places.first { isUnified || $0.hierarchy.controllers.contains(controller) })
                return String(decoding: try readFile(place.directory + "/" + file), as: UTF8.self)
            }
            if isUnified {
                #expect(try content("cpu", "cpu.max") == "50000 100000\n" && content("cpu", "cpu.weight") == "20\n")
            } else {
                #expect(try content("cpu", "cpu.cfs_quota_us") == "50000\n" && content("cpu", "cpu.cfs_period_us") == "100000\n" && content("cpu", "cpu.shares") == "512\n")
            }
            // -1 takes the limits away again.
            try group.apply(try ResourceWritesTests.resources(#"{"memory":{"limit":-1},"cpu":{"quota":-1},"pids":{"limit":-1}}"#))
            #expect(Self.hasNoMemoryLimit(group) && group.statistics().pids.limit == 0)
        }
    }

    /// Version 1 shows the largest page-aligned number.
    private static func hasNoMemoryLimit(_ group: ControlGroup) -> Bool { group.statistics().memory.usage.limit >= 0x7FFF_FFFF_FFFF_F000 }

    /// Limits that bound each other can be raised and lowered in any direction, and a refusal takes nothing half.
    @Test func limitsOfAGroupInUseChange() throws {
        try withGroup { (group) throws in
            var limits = ResourcesSpec()
            func change(_ json: String) throws {
                let wanted = try ResourceWritesTests.resources(json).asChange
                let whole = limits.updated(by: wanted)
                try group.change(wanted.completed(from: whole))
                limits = whole
            }
            func memory() -> [UInt64] { [group.statistics().memory.usage.limit >> 20, group.statistics().memory.swap.limit >> 20] }
            for (limit, swap) in [(64, 96), (128, 192), (32, 40), (256, 256), (16, 32)] as [(Int, Int)] {
                try change(#"{"memory":{"limit":\#(limit << 20),"swap":\#(swap << 20)}}"#)
                #expect(memory() == [UInt64(limit), UInt64(swap)])
            }
            try change(#"{"cpu":{"quota":50000,"burst":40000}}"#)
            try change(#"{"cpu":{"quota":10000,"burst":5000}}"#)
            try change(#"{"cpu":{"quota":90000,"burst":80000}}"#)
            #expect(throws: ControlGroupError.self) { try change(#"{"memory":{"limit":67108864,"swap":134217728},"pids":{"limit":7},"cpu":{"cpus":"nonsense"}}"#) }
            #expect(memory() == [16, 32] && group.statistics().pids.limit == 0)
            let before = try group.change(try ResourceWritesTests.resources(#"{"memory":{"limit":67108864,"swap":134217728},"pids":{"limit":7},"cpu":{"idle":1,"cpus":"0"}}"#))
            #expect(memory() == [64, 128] && group.statistics().pids.limit == 7)
            try group.restore(before)
            #expect(memory() == [16, 32] && group.statistics().pids.limit == 0)
            try change(#"{"memory":{"limit":-1}}"#)
            #expect(Self.hasNoMemoryLimit(group) && group.statistics().memory.swap.limit >= 0x7FFF_FFFF_FFFF_F000)
        }
    }

    /// Whoever writes the same files is told before each change, also of what undoes one; what it refuses is not done.
    @Test func changesAreToldBefore() throws {
        try withGroup { (group) throws in
            var told: [[String]] = []
            group.beforeChange = { lines in told.append(lines.map { "\($0.file)=\($0.value)" } + ["\(group.statistics().pids.limit)"]) }
            let before = try group.change(try ResourceWritesTests.resources(#"{"pids":{"limit":7}}"#))
            #expect(told == [["pids.max=7", "0"]] && group.statistics().pids.limit == 7)
            #expect(throws: ControlGroupError.self) { try group.change(try ResourceWritesTests.resources(#"{"pids":{"limit":9},"cpu":{"cpus":"nonsense"}}"#)) }
            #expect(told.count == 3 && told[1].contains("pids.max=9") && told[2].contains("pids.max=7") && group.statistics().pids.limit == 7, "\(told)")
            try group.restore(before)
            #expect(told.last == ["pids.max=max", "7"] && group.statistics().pids.limit == 0)
            group.beforeChange = { (_) throws(ControlGroupError) in throw .systemd("no") }
            #expect(throws: ControlGroupError.systemd("no")) { try group.change(try ResourceWritesTests.resources(#"{"pids":{"limit":8}}"#)) }
            #expect(group.statistics().pids.limit == 0)
        }
    }

    @Test func killsForWantOfMemoryAreReported() throws {
        try withGroup { (group) throws in
            try group.apply(try ResourceWritesTests.resources(#"{"memory":{"limit":8388608,"swap":8388608}}"#))
            let loop = try EventLoop()
            let watch = try group.watchOutOfMemory()
            #expect(!watch.take())
            var reports = 0
            try loop.add(watch.rawValue, watch.interest) { _ in if watch.take() { reports += 1 } }
            defer { loop.remove(watch.rawValue) }
            for round in 1...2 {
                // Not this test's own process: it would be the largest.
                let child = try Child(script: "x=$(head -c 30000000 /dev/zero | tr '\\0' x); exit 0", isStopped: true)
                try group.add(child.pid)
                try sendSignal(SIGCONT, to: child.pid)
                #expect(try child.end() == .signaled(SIGKILL))
                for _ in 0..<50 where reports < round { try loop.runOnce(timeout: 100) }
                #expect(reports == round && watch.kills >= UInt64(round))
            }
        }
    }

    @Test func groupsBeneath() throws {
        try withGroup { (group) throws in
            for place in group.places { try makeDirectory(place.directory + "/inner") }
            let controller = group.layout.isUnified ? "" : "memory"
            let inner = try group.subgroup([controller: "x/../inner/"])
            #expect(inner.directories.filter { $0.hasSuffix("/inner") }.count == 1 && inner.places.count == group.places.count)
            #expect(try group.subgroup([controller: "/"]).places == group.places)
            #expect(throws: ControlGroupError.invalidSubgroup("../x")) { try group.subgroup([controller: "../x"]) }
            #expect(throws: ControlGroupError.self) { try group.subgroup([controller: "absent"]) }
            #expect(throws: ControlGroupError.self) { try group.subgroup([controller.isEmpty ? "memory" : "": "inner"]) }
            #expect(throws: ControlGroupError.self) { try group.subgroup(["nonsense": "inner"]) }
        }
    }

    @Test func aMissingFileIsAMissingController() throws {
        try withGroup { (group) throws in
            let file = group.layout.isUnified ? "hugetlb.3KB.max" : "hugetlb.3KB.limit_in_bytes"
            #expect(throws: ControlGroupError.missingController("hugetlb", file: file)) {
                try group.apply(try ResourceWritesTests.resources(#"{"hugepageLimits":[{"pageSize":"3KB","limit":1}]}"#))
            }
            #expect(throws: ControlGroupError.self) { try group.apply(try ResourceWritesTests.resources(#"{"cpu":{"cpus":"nonsense"}}"#)) }
        }
    }

    /// A limit below what is used is refused before anything is changed.
    @Test func usageIsCheckedWhenAsked() throws {
        try withGroup { (group) throws in
            let child = try Child(script: "x=$(head -c 2000000 /dev/zero | tr '\\0' x); kill -STOP $$; echo $x >/dev/null", isStopped: true)
            defer { _ = try? waitForProcess(child.pid) }
            try group.add(child.pid)
            try sendSignal(SIGCONT, to: child.pid)
            try child.waitUntilStopped()
            #expect(throws: ControlGroupError.self) { try group.apply(try ResourceWritesTests.resources(#"{"memory":{"limit":4096,"checkBeforeUpdate":true}}"#)) }
            #expect(Self.hasNoMemoryLimit(group))
            try group.signalAll(SIGKILL)
        }
    }

    @Test func processesAreCountedFrozenAndKilled() throws {
        try withGroup { (group) throws in
            let children = [try Child(), try Child()]
            for child in children { try group.add(child.pid) }
            #expect(try group.processes() == children.map(\.pid).sorted())
            #expect(group.statistics().pids.current == 2)
            try group.setFrozen(true)
            try group.setFrozen(true)
            try group.setFrozen(false)
            try group.signalAll(SIGKILL)
            for child in children { #expect(try child.end() == .signaled(SIGKILL)) }
            #expect(try group.processes() == [])
        }
    }

    @Test func otherSignalsReachEveryProcess() throws {
        try withGroup { (group) throws in
            let children = [try Child(), try Child()]
            for child in children { try group.add(child.pid) }
            try group.signalAll(SIGTERM)
            for child in children { #expect(try child.end() == .signaled(SIGTERM)) }
        }
    }

    @Test func aGroupWithProcessesIsNotTaken() throws {
        try withGroup { (group) throws in
            let child = try Child()
            try group.add(child.pid)
            let path = String(group.places[0].directory.dropFirst(group.places[0].hierarchy.mountPoint.count))
            #expect { try ControlGroup.create(path: path, identifier: "y") } throws: { error in
                if case .notEmpty? = error as? ControlGroupError { true } else { false }
            }
            #expect(try group.processes() == [child.pid])
            try group.signalAll(SIGKILL)
            _ = try child.end()
        }
    }

    @Test func deletingKillsAndTakesGroupsBeneath() throws {
        let group = try ControlGroup.create(path: Self.path(), identifier: "x")
        let inner = try Child(), outer = try Child()
        try group.add(outer.pid)
        for place in group.places {
            try makeDirectory(place.directory + "/inner")
            try makeDirectory(place.directory + "/inner/most")
            if place.hierarchy.controllers.contains("cpuset") {
                for name in ["inner", "inner/most"] { for file in ["cpuset.cpus", "cpuset.mems"] {
                    try overwrite(place.directory + "/\(name)/" + file, String(decoding: try readFile(place.directory + "/" + file), as: UTF8.self))
                } }
            }
            try overwrite(place.directory + "/inner/most/cgroup.procs", "\(inner.pid)")
        }
        #expect(try group.processes() == [inner.pid, outer.pid].sorted())
        // Zombies do not keep a group, so nobody need reap meanwhile.
        try group.delete()
        for place in group.places { #expect(!Self.exists(place.directory)) }
        #expect(try inner.end() == .signaled(SIGKILL) && outer.end() == .signaled(SIGKILL))
        // What is gone has nothing and can be deleted again.
        #expect(try group.processes() == [])
        try group.delete()
        #expect(group.statistics() == StatisticsSpec())
    }

    @Test func aProcessThatIsGoneCannotBeAdded() throws {
        try withGroup { (group) throws in
            let child = try Child(script: "exit 3")
            #expect(try child.end() == .exited(3))
            #expect(throws: ControlGroupError.self) { try group.add(child.pid) }
        }
    }

    /// What a script can open, as its status: 2 when it could open the kernel's log.
    private static let probe = "true </dev/null || exit 1; true 2>/dev/null </dev/kmsg && exit 2; exit 0"

    @Test(.enabled(if: (try? Child(script: probe).end()) == .exited(2), "needs a /dev/kmsg that can be opened"), arguments: [false, true])
    func devicesThatAreNotAllowedCannotBeOpened(isAllowed: Bool) throws {
        try withGroup { (group) throws in
            let rules = isAllowed ? #"{"devices":[{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}"# : "{}"
            try group.apply(try ResourceWritesTests.resources(rules))
            try Self.expectProbe(in: group, toExitWith: isAllowed ? 2 : 0)
        }
    }

    private static func expectProbe(in group: ControlGroup, toExitWith code: UInt8) throws {
        let child = try Child(script: probe, isStopped: true)
        try group.add(child.pid)
        try sendSignal(SIGCONT, to: child.pid)
        #expect(try child.end() == .exited(code))
    }

    /// The version 2 tree by itself, which a hybrid layout has beside version 1's controllers.
    @Test(.enabled(if: unified != nil, "needs a mounted cgroup2 file system"))
    func theUnifiedTree() throws {
        let hierarchy = try #require(unified)
        let directory = hierarchy.mountPoint + Self.path()
        let group = ControlGroup(layout: ControlGroupLayout(hierarchies: [hierarchy]), places: [.init(hierarchy: hierarchy, directory: directory)])
        try makeDirectory(hierarchy.mountPoint + "/nacelle-tests")
        try makeDirectory(directory)
        defer {
            Self.remove(group)
        }
        #expect(group.unifiedDirectory == directory)
        #expect(throws: ControlGroupError.missingController("nonsense", file: "nonsense.max")) {
            try group.apply(try ResourceWritesTests.resources(#"{"unified":{"nonsense.max":"1"}}"#))
        }
        let children = [try Child(), try Child()]
        for child in children { try group.add(child.pid) }
        #expect(try group.processes() == children.map(\.pid).sorted())
        try group.setFrozen(true)
        #expect(String(decoding: try readFile(directory + "/cgroup.events"), as: UTF8.self).contains("frozen 1"))
        // Frozen processes can be killed in version 2.
        try group.signalAll(SIGKILL)
        for child in children { #expect(try child.end() == .signaled(SIGKILL)) }
        try group.setFrozen(false)
    }

    @Test(.enabled(if: unified != nil, "needs a mounted cgroup2 file system"), .enabled(if: (try? Child(script: probe).end()) == .exited(2), "needs a /dev/kmsg that can be opened"))
    func theUnifiedTreeHasDeviceFilters() throws {
        let hierarchy = try #require(unified)
        let directory = hierarchy.mountPoint + Self.path()
        let group = ControlGroup(layout: ControlGroupLayout(hierarchies: [hierarchy]), places: [.init(hierarchy: hierarchy, directory: directory)])
        try makeDirectory(hierarchy.mountPoint + "/nacelle-tests")
        try makeDirectory(directory)
        defer { Self.remove(group) }
        do throws(ControlGroupError) {
            try group.apply(ResourcesSpec())
        } catch .unsupported(let field, _) {
            // A kernel without CONFIG_CGROUP_BPF is refused by name.
            #expect(field == "devices")
            return
        }
        try Self.expectProbe(in: group, toExitWith: 0)
    }
}
