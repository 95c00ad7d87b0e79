import Foundation
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

@Suite("A container's life, with a machine that does as it is told")
struct LifecycleTests {
    @Test("create, start, kill, delete: each in its state only, in runc's words")
    func wholeLife() throws {
        let fixture = try Fixture()
        let container = try fixture.container()
        let absent = "container does not exist"
        #expect(message { () throws(RuntimeError) in try container.start() } == absent)
        #expect(message { () throws(RuntimeError) in try container.kill(SIGTERM, all: false) } == absent)
        #expect(message { () throws(RuntimeError) in try container.delete(force: false) } == absent)
        #expect(message { () throws(RuntimeError) in try container.currentState() } == absent)
        let pidFile = fixture.folder + "/pid"
        let pid = try fixture.create(pidFile: pidFile)
        #expect(fixture.text(of: "pid") == "\(pid)")
        var state = try container.currentState()
        #expect(state.status == .created && state.pid == Int(pid) && state.bundle == fixture.bundle && state.id == "c")
        #expect(message { () throws(RuntimeError) in try fixture.create() } == "container with given ID already exists")

        try container.start()
        #expect(try container.currentState().status == .running)
        #expect(message { () throws(RuntimeError) in try container.start() } == "cannot start an already running container")
        #expect(message { () throws(RuntimeError) in try container.delete(force: false) } == "cannot delete container c that is not stopped: running")

        try container.kill(SIGTERM, all: false)
        #expect(try waitForProcess(pid)?.status == .signaled(SIGTERM))
        state = try container.currentState()
        #expect(state.status == .stopped && state.pid == 0)
        #expect(message { () throws(RuntimeError) in try container.kill(SIGTERM, all: false) } == "container not running")
        #expect(message { () throws(RuntimeError) in try container.start() } == "cannot start a container that has stopped")
        try container.delete(force: false)
        fixture.expectNothingLeft()
    }

    @Test("a created container can be deleted, and a running one by force; without a container force is no error")
    func deletion() throws {
        let fixture = try Fixture()
        try fixture.create()
        try fixture.container().delete(force: false)
        fixture.expectNothingLeft()
        try fixture.create()
        try fixture.container().start()
        try fixture.container().delete(force: true)
        try fixture.container().delete(force: true)
        fixture.expectNothingLeft()
    }

    @Test("a create that fails says why and leaves nothing", arguments: [
        ("say-and-die", "vmlinux: is not an ELF file"),
        ("die-at-once", "the machine was killed by signal 9"),
        ("die-at-create", "the machine was killed by signal 9"),
        ("garbage", "the machine's answer cannot be understood"),
        ("refuse-create", "unable to start container process: exec: \"nope\": executable file not found in $PATH"),
    ])
    func failedCreate(_ scenario: String, _ expected: String) throws {
        let fixture = try Fixture(scenario)
        let pidFile = fixture.folder + "/pid"
        let text = message { () throws(RuntimeError) in try fixture.create(pidFile: pidFile) }
        #expect(text?.contains(expected) == true, "\(text ?? "nothing was thrown")")
        #expect(fixture.text(of: "pid") == nil)
        fixture.expectNothingLeft()
    }

    @Test("a machine that dies at the start is told, and its container can be deleted")
    func deathAtStart() throws {
        let fixture = try Fixture("die-at-start")
        let pid = try fixture.create()
        #expect(message { () throws(RuntimeError) in try fixture.container().start() }?.contains("the machine has ended while the container started") == true)
        _ = try waitForProcess(pid)
        #expect(try fixture.container().currentState().status == .stopped)
        try fixture.container().delete(force: false)
        fixture.expectNothingLeft()
    }

    @Test("a program that cannot be executed fails the start in runc's words")
    func refusedStart() throws {
        let fixture = try Fixture("refuse-start")
        try fixture.create()
        #expect(message { () throws(RuntimeError) in try fixture.container().start() } == "unable to start container process: exec: \"/x\": permission denied")
        try fixture.container().delete(force: true)
        fixture.expectNothingLeft()
    }

    @Test("the machine killed in any state leaves a stopped container that can be deleted", arguments: [false, true])
    func killed(_ isStarted: Bool) throws {
        let fixture = try Fixture()
        let pid = try fixture.create()
        if isStarted { try fixture.container().start() }
        kill(pid, SIGKILL)
        _ = try waitForProcess(pid)
        #expect(try fixture.container().currentState().status == .stopped)
        try fixture.container().delete(force: false)
        fixture.expectNothingLeft()
    }

    @Test("a machine that has ended and was not reaped is stopped")
    func zombie() throws {
        let fixture = try Fixture()
        let pid = try fixture.create()
        kill(pid, SIGKILL)
        eventually("the machine has ended") { ProcessIdentity.startTime(of: pid) == nil }
        #expect(try fixture.container().currentState().status == .stopped)
        try fixture.container().delete(force: false)
        _ = try waitForProcess(pid)
        fixture.expectNothingLeft()
    }

    @Test("SIGKILL ends a machine that does not obey")
    func deaf() throws {
        let fixture = try Fixture("deaf")
        let pid = try fixture.create()
        try fixture.container().kill(SIGKILL, all: false)
        #expect(try waitForProcess(pid)?.status == .signaled(SIGKILL))
        try fixture.container().delete(force: false)
        fixture.expectNothingLeft()
    }

    @Test("a pid that is used again is not taken for the machine")
    func reusedPid() throws {
        let fixture = try Fixture()
        let pid = try fixture.create()
        try MachineProcess.kill(try fixture.container().record())
        _ = try waitForProcess(pid)
        // This process has the recorded pid now, and another start time.
        var record = try fixture.container().record()
        record.pid = getpid()
        try fixture.container().state.save(record)
        #expect(try fixture.container().currentState().status == .stopped)
        try fixture.container().delete(force: true)
        fixture.expectNothingLeft()
    }

    @Test("of many creates, starts and deletes at once one wins")
    func races() throws {
        let fixture = try Fixture()
        func race(_ operation: @escaping @Sendable () throws -> Void) -> [String?] {
            let results = Results(count: 6)
            DispatchQueue.concurrentPerform(iterations: 6) { index in
                do { try operation() } catch { results.set(index, "\(error)") }
            }
            return results.values
        }
        let (root, bundle, components, spec) = (fixture.root, fixture.bundle, fixture.components, fixture.spec)
        @Sendable func container() throws -> Container { try Container(root: root, id: "c", log: RuntimeLog(path: nil, format: .text, debug: false)) }
        let creates = race { try container().create(spec, bundle: bundle, streams: .inherited, components: components, pidFile: nil) }
        #expect(creates.filter { $0 == nil }.count == 1)
        #expect(creates.compactMap { $0 }.allSatisfy { $0 == "container with given ID already exists" }, "\(creates)")
        #expect(fixture.machines().count == 1)
        let starts = race { try container().start() }
        #expect(starts.filter { $0 == nil }.count == 1)
        #expect(starts.compactMap { $0 }.allSatisfy { $0 == "cannot start an already running container" }, "\(starts)")
        #expect(race { try container().delete(force: true) }.allSatisfy { $0 == nil })
        fixture.expectNothingLeft()
        try fixture.create()
        let deletes = race { try container().delete(force: false) }
        #expect(deletes.filter { $0 == nil }.count == 1)
        #expect(deletes.compactMap { $0 }.allSatisfy { $0 == "container does not exist" }, "\(deletes)")
        fixture.expectNothingLeft()
    }

    @Test("the machine has its own session, no descriptors of ours, and streams that its log does not share")
    func machineProcess() throws {
        let fixture = try Fixture()
        // Not close-on-exec, as an engine's may be.
        let leaked = dup(0)
        defer { close(leaked) }
        let highest = fcntl(0, F_DUPFD, 300)
        defer { close(highest) }
        let pid = try fixture.create()
        #expect(getsid(pid) == pid)
        let descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").compactMap { Int32($0) }.sorted()
        // 0 to 5, the share, its own epoll, the connection and the three streams that came over it.
        #expect(descriptors.count <= 12 && descriptors.allSatisfy { $0 < 20 }, "\(descriptors)")
        let targets = descriptors.map { (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/fd/\($0)")) ?? "" }
        #expect(targets[0] == "/dev/null" && targets[1] == "/dev/null" && targets[2] == fixture.root + "/c/vmm.log", "\(targets)")
        #expect(targets[6] == fixture.bundle + "/rootfs")
        try fixture.container().delete(force: true)
    }

    @Test("many shares keep their order")
    func manyShares() throws {
        let fixture = try Fixture()
        for index in 0..<250 {
            let path = fixture.folder + "/v\(index)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            fixture.spec.mounts.append(MountSpec(destination: "/v\(index)", type: "bind", source: path, options: ["bind"]))
        }
        let pid = try fixture.create()
        for index in [0, 100, 190, 191, 192, 193, 200, 249] {
            let target = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/fd/\(7 + index)")
            #expect(target == fixture.folder + "/v\(index)")
        }
        try fixture.container().delete(force: true)
        fixture.expectNothingLeft()
    }

    @Test("what a create left that was killed can be deleted, and does not block the name", arguments: ["folder", "record"])
    func leftovers(_ kind: String) throws {
        let fixture = try Fixture()
        let container = try fixture.container()
        try StateDirectory.makeFolders(fixture.root)
        try container.state.create()
        if kind == "record" {
            var record = ContainerRecord()
            (record.id, record.bundle, record.ociVersion) = ("c", fixture.bundle, "1.2.0")
            try container.state.save(record)
            #expect(try container.currentState().status == .creating)
            #expect(message { () throws(RuntimeError) in try fixture.create() } == "container with given ID already exists")
            try container.delete(force: true)
        } else {
            #expect(message { () throws(RuntimeError) in try container.delete(force: false) } == "container does not exist")
        }
        try fixture.create()
        try container.delete(force: true)
        fixture.expectNothingLeft()
        // Also a folder alone goes.
        try container.state.create()
        try container.delete(force: true)
        fixture.expectNothingLeft()
    }

    @Test("a state directory that cannot be written to is told and nothing starts")
    func unwritable() throws {
        let fixture = try Fixture()
        try Data().write(to: URL(fileURLWithPath: fixture.root))
        #expect(message { () throws(RuntimeError) in try fixture.create() }?.contains("not a directory") == true)
        #expect(fixture.machines() == [])
    }

    @Test("a missing monitor or image is told before anything is made", arguments: ["monitor", "image"])
    func missingFiles(_ which: String) throws {
        let fixture = try Fixture()
        var components = fixture.components
        if which == "monitor" { components.monitor = "/nonexistent/vmm" } else { components.image = "/nonexistent/root.erofs" }
        let text = message { () throws(RuntimeError) in
            try fixture.container().create(fixture.spec, bundle: fixture.bundle, streams: .inherited, components: components, pidFile: nil)
        }
        #expect(text?.contains("no such file or directory") == true && text?.contains("/nonexistent/") == true, "\(text ?? "")")
        fixture.expectNothingLeft()
    }

    @Test("a pid file that cannot be written undoes the create")
    func pidFile() throws {
        let fixture = try Fixture()
        let text = message { () throws(RuntimeError) in try fixture.create(pidFile: "/nonexistent/pid") }
        #expect(text?.contains("cannot write the pid file") == true)
        fixture.expectNothingLeft()
    }
}

/// Results of concurrent operations, one place each.
final class Results: @unchecked Sendable {
    private let lock = NSLock()
    private var storage: [String?]
    init(count: Int) { storage = Array(repeating: nil, count: count) }
    func set(_ index: Int, _ value: String) { lock.withLock { storage[index] = value } }
    var values: [String?] { lock.withLock { storage } }
}
