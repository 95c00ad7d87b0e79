import Foundation
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

extension NamespaceTests { @Suite("A container's life in namespaces of this host")
struct LifecycleTests {
    private static let sleeper = "while :; do sleep 0.05; done"
    private static let obedient = "trap 'exit 9' TERM; while :; do sleep 0.05; done"

    @Test("create, start, kill, delete: each in its state only, in runc's words")
    func wholeLife() throws {
        let bundle = try HostBundle("trap 'exit 9' TERM; : > /ready; while :; do sleep 0.05; done")
        let container = try bundle.container()
        let pidFile = bundle.fixture.folder + "/pid"
        let pid = try bundle.create(pidFile: pidFile)
        #expect(bundle.fixture.text(of: "pid") == "\(pid)")
        var state = try container.currentState()
        #expect(state.status == .created && state.pid == Int(pid) && state.bundle == bundle.fixture.bundle && state.id == "c")
        #expect(try container.record().isolation == .namespace && !bundle.groups.isEmpty)
        #expect(message { () throws(RuntimeError) in try bundle.create() } == "container with given ID already exists")
        #expect(!FileManager.default.fileExists(atPath: bundle.fixture.bundle + "/rootfs/ready"))

        try container.start()
        #expect(try container.currentState().status == .running)
        #expect(message { () throws(RuntimeError) in try container.start() } == "cannot start an already running container")
        #expect(message { () throws(RuntimeError) in try container.delete(force: false) } == "cannot delete container c that is not stopped: running")
        eventually("the container's trap") { FileManager.default.fileExists(atPath: bundle.fixture.bundle + "/rootfs/ready") }

        try container.kill(SIGTERM, all: false)
        #expect(try waitForProcess(pid)?.status == .exited(9))
        state = try container.currentState()
        #expect(state.status == .stopped && state.pid == 0)
        #expect(message { () throws(RuntimeError) in try container.kill(SIGTERM, all: false) } == "container not running")
        #expect(message { () throws(RuntimeError) in try container.start() } == "cannot start a container that has stopped")
        #expect(message { () throws(RuntimeError) in try container.exec(ProcessSpec.shell("true"), ExecOptions(streams: .inherited)) } == "cannot exec in a stopped container")
        try container.delete(force: false)
        bundle.expectNothingLeft()
    }

    @Test("a created container can be deleted, and a running one by force; without a container force is no error")
    func deletion() throws {
        let bundle = try HostBundle(Self.sleeper)
        let first = try bundle.create()
        try bundle.container().delete(force: false)
        #expect(try waitForProcess(first)?.status == .signaled(SIGKILL))
        bundle.expectNothingLeft()
        let second = try bundle.create()
        try bundle.container().start()
        try bundle.container().delete(force: true)
        #expect(try waitForProcess(second)?.status == .signaled(SIGKILL))
        try bundle.container().delete(force: true)
        bundle.expectNothingLeft()
    }

    @Test("a create that fails says why and leaves nothing", arguments: ["program", "directory", "mount", "root", "pid file", "init", "field", "vm", "annotation", "limit"])
    func failedCreate(_ what: String) throws {
        let bundle = try HostBundle(Self.sleeper)
        let fixture = bundle.fixture
        var pidFile = fixture.folder + "/pid"
        var components = Components.locate()
        let expected: String
        switch what {
        case "program":
            fixture.spec.process?.args = ["nope"]
            expected = "unable to start container process: exec: \"nope\": executable file not found in $PATH"
        case "directory":
            fixture.spec.process?.args = ["/tmp"]
            expected = "exec: \"/tmp\": is a directory: permission denied"
        case "mount":
            fixture.spec.mounts.append(MountSpec(destination: "/m", type: "bind", source: "/nonexistent/source", options: ["bind"]))
            expected = "/nonexistent/source"
        case "root":
            fixture.spec.root?.path = "elsewhere"
            expected = "elsewhere"
        case "pid file":
            pidFile = "/nonexistent/pid"
            expected = "cannot write the pid file"
        case "init":
            components.initProgram = "/nonexistent/nacelle-init"
            expected = "/nonexistent/nacelle-init: no such file or directory"
        case "field":
            fixture.spec.linux?.mountLabel = "system_u:object_r:x"
            expected = "linux.mountLabel: SELinux is disabled or not supported on this host"
        case "vm":
            fixture.spec.vm = VMSpec()
            expected = "vm: there is no machine in namespace isolation"
        case "annotation":
            fixture.spec.annotations["dev.nacelle.memory"] = "512"
            expected = "annotations.dev.nacelle.memory: there is no machine"
        default:
            var pids = ResourcesSpec.PidsSpec()
            pids.limit = 10
            fixture.spec.linux?.resources?.pids = pids
            fixture.spec.linux?.resources?.unified = ["no.such": "1"]
            expected = "cgroup: "
        }
        let text = message { () throws(RuntimeError) in try bundle.create(pidFile: pidFile, components: components) }
        #expect(text?.contains(expected) == true, "\(text ?? "nothing was thrown")")
        #expect(fixture.text(of: "pid") == nil)
        bundle.expectNothingLeft()
    }

    @Test("the process killed in any state leaves a stopped container that can be deleted", arguments: [false, true])
    func killed(_ isStarted: Bool) throws {
        let bundle = try HostBundle(Self.sleeper)
        let pid = try bundle.create()
        if isStarted { try bundle.container().start() }
        kill(pid, SIGKILL)
        eventually("the end") { ProcessIdentity.startTime(of: pid) == nil }
        #expect(try bundle.container().currentState().status == .stopped)
        if !isStarted { #expect(message { () throws(RuntimeError) in try bundle.container().start() } == "cannot start a container that has stopped") }
        _ = try waitForProcess(pid)
        try bundle.container().delete(force: false)
        bundle.expectNothingLeft()
    }

    @Test("a pid that is used again is not taken for the container")
    func reusedPid() throws {
        let bundle = try HostBundle(Self.sleeper)
        let pid = try bundle.create()
        kill(pid, SIGKILL)
        _ = try waitForProcess(pid)
        var record = try bundle.container().record()
        record.pid = getpid()
        try bundle.container().state.save(record)
        #expect(try bundle.container().currentState().status == .stopped)
        #expect(message { () throws(RuntimeError) in try bundle.container().kill(SIGKILL, all: false) } == "container not running")
        // What is in the group still gets it, and that is not this process.
        try bundle.container().kill(SIGKILL, all: true)
        try bundle.container().delete(force: true)
        bundle.expectNothingLeft()
    }

    @Test("kill --all reaches every process; delete ends those that a process without a pid namespace left")
    func everyProcess() throws {
        let bundle = try HostBundle("sleep 1000 & sleep 1001 & exit 0")
        bundle.fixture.spec.linux?.namespaces.removeAll { $0.type == .pid }
        let pid = try bundle.create()
        try bundle.container().start()
        #expect(try waitForProcess(pid)?.status == .exited(0))
        let group = try #require(bundle.groups.first)
        func processes() -> Int { ((try? String(contentsOfFile: group + "/cgroup.procs", encoding: .utf8)) ?? "").split(separator: "\n").count }
        eventually("two are left") { processes() == 2 }
        try bundle.container().delete(force: false)
        bundle.expectNothingLeft()

        let other = try HostBundle("trap '' TERM; sleep 1000 & wait; wait")
        let first = try other.create()
        try other.container().start()
        eventually("both run") { ((try? String(contentsOfFile: (other.groups.first ?? "") + "/cgroup.procs", encoding: .utf8)) ?? "").split(separator: "\n").count == 2 }
        try other.container().kill(SIGKILL, all: true)
        #expect(try waitForProcess(first)?.status == .signaled(SIGKILL))
        try other.container().delete(force: false)
        other.expectNothingLeft()
    }

    @Test("pause stops the processes until resume; SIGKILL and delete --force end them all the same")
    func pause() throws {
        let bundle = try HostBundle("trap 'exit 9' TERM; : > /ready; while :; do sleep 0.05; done")
        let container = try bundle.container()
        var pid = try bundle.create()
        try container.start()
        eventually("the container's trap") { FileManager.default.fileExists(atPath: bundle.fixture.bundle + "/rootfs/ready") }
        #expect(message { () throws(RuntimeError) in try container.resume() } == "container not paused")
        try container.pause()
        #expect(try container.currentState().status == .paused)
        #expect(message { () throws(RuntimeError) in try container.pause() } == "container not running")
        #expect(message { () throws(RuntimeError) in try container.delete(force: false) } == "cannot delete container c that is not stopped: paused")
        #expect(message { () throws(RuntimeError) in try container.exec(.shell("true"), ExecOptions(streams: .inherited)) }?.hasPrefix("cannot exec in a paused container") == true)
        guard case .host(let pids) = try container.processes() else { throw RuntimeError("no pids of the host") }
        #expect(pids.contains(pid))
        try container.kill(SIGTERM, all: false)
        usleep(200_000)
        #expect(try container.currentState().status == .paused)
        try container.resume()
        #expect(try waitForProcess(pid)?.status == .exited(9))
        #expect(message { () throws(RuntimeError) in try container.processes() } == "container not running")
        try container.delete(force: false)
        bundle.expectNothingLeft()

        for isKilled in [true, false] {
            pid = try bundle.create()
            try container.start()
            try container.pause()
            if isKilled { try container.kill(SIGKILL, all: false) }
            try container.delete(force: !isKilled)
            #expect(try waitForProcess(pid)?.status == .signaled(SIGKILL))
            bundle.expectNothingLeft()
        }
    }

    @Test("of many creates, starts and deletes at once one wins")
    func races() throws {
        let bundle = try HostBundle(Self.obedient)
        let fixture = bundle.fixture
        func race(_ operation: @escaping @Sendable () throws -> Void) -> [String?] {
            let results = Results(count: 6)
            DispatchQueue.concurrentPerform(iterations: 6) { index in
                do { try operation() } catch { results.set(index, "\(error)") }
            }
            return results.values
        }
        let (root, path, spec) = (fixture.root, fixture.bundle, fixture.spec)
        @Sendable func container() throws -> Container { try Container(root: root, id: "c", log: RuntimeLog(path: nil, format: .text, debug: false)) }
        let creates = race { try container().create(spec, bundle: path, streams: .inherited, components: .locate(), pidFile: nil, isolation: .namespace) }
        #expect(creates.filter { $0 == nil }.count == 1)
        #expect(creates.compactMap { $0 }.allSatisfy { $0 == "container with given ID already exists" }, "\(creates)")
        let starts = race { try container().start() }
        #expect(starts.filter { $0 == nil }.count == 1)
        #expect(starts.compactMap { $0 }.allSatisfy { $0 == "cannot start an already running container" }, "\(starts)")
        let pid = try container().record().pid
        #expect(race { try container().delete(force: true) }.allSatisfy { $0 == nil })
        _ = try waitForProcess(pid)
        bundle.expectNothingLeft()
    }

    @Test("a group of somebody else's processes is refused, and left alone")
    func foreignGroup() throws {
        let bundle = try HostBundle(Self.sleeper)
        let pid = try bundle.create("first")
        #expect(message { () throws(RuntimeError) in try bundle.create("second") }?.contains("container's cgroup is not empty") == true)
        #expect(ProcessIdentity.startTime(of: pid) != nil)
        try bundle.container("first").delete(force: true)
        _ = try waitForProcess(pid)
        bundle.expectNothingLeft()
    }

    @Test("which isolation a container gets", arguments: [
        (nil, nil, "nacelle-oci", "microvm"), (nil, nil, "nacelle-oci-namespace", "namespace"), (nil, "namespace", "nacelle-oci", "namespace"),
        (nil, "microvm", "nacelle-oci-namespace", "microvm"), ("microvm", "namespace", "nacelle-oci", "microvm"), ("namespace", nil, "nacelle-oci", "namespace"),
        ("auto", nil, "nacelle-oci", "namespace"), (nil, "auto", "nacelle-oci", "namespace"), ("namespace", "microvm", "nacelle-oci", "asks for microvm"),
        ("auto", "microvm", "nacelle-oci", "asks for microvm"), (nil, "gvisor", "nacelle-oci", "is no isolation"),
    ] as [(String?, String?, String, String)])
    func choice(_ flag: String?, _ annotation: String?, _ name: String, _ expected: String) throws {
        var spec = RuntimeSpec()
        spec.annotations["dev.nacelle.isolation"] = annotation
        let log = try RuntimeLog(path: "/dev/null", format: .text, debug: false)
        do throws(RuntimeError) {
            let isolation = try IsolationChoice.resolve(flag: flag.flatMap { IsolationChoice(rawValue: $0) }, spec, programName: name, log: log) { "none here" }
            #expect(isolation.rawValue == expected)
        } catch { #expect(error.message.contains(expected)) }
    }
}}

extension ProcessSpec {
    static func shell(_ script: String) -> ProcessSpec {
        var process = ProcessSpec()
        (process.args, process.env, process.cwd) = (["sh", "-c", script], ["PATH=/bin"], "/")
        return process
    }
}
