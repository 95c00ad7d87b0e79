import Foundation
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

extension NamespaceTests { @Suite("Hooks of containers in namespaces")
struct HooksTests {
    /// Records its list, where it runs (mount namespace and root) and the state that it gets.
    private static func recorder(_ list: String, _ file: String) -> HookSpec {
        var hook = HookSpec()
        hook.path = "/bin/sh"
        hook.args = ["sh", "-c", "echo \(list) $A $(readlink /proc/self/ns/mnt) $([ -e /tmp/inside ] && echo inside || echo outside) $(cat) >> \(file)"]
        hook.env = ["A=\(list)", "PATH=/bin:/usr/bin"]
        return hook
    }

    private struct Line {
        var list: String, variable: String, namespace: String, place: String
        var state: StateSpec
    }

    private static func lines(_ text: String) throws -> [Line] {
        try text.split(separator: "\n").map { line in
            let fields = line.split(separator: " ", maxSplits: 4).map(String.init)
            let state = try JSONSerialization.jsonObject(with: Data(fields[4].utf8)) as? [String: Any]
            var spec = StateSpec()
            spec.status = StateSpec.Status(rawValue: state?["status"] as? String ?? "") ?? .paused
            (spec.pid, spec.id, spec.bundle) = (state?["pid"] as? Int ?? 0, state?["id"] as? String ?? "", state?["bundle"] as? String ?? "")
            return Line(list: fields[0], variable: fields[1], namespace: fields[2], place: fields[3], state: spec)
        }
    }

    @Test("all six run at their time, in their namespaces, with the state of that time")
    func all() throws {
        let bundle = try HostBundle("echo program > /tmp/program; while :; do sleep 0.05; done")
        let fixture = bundle.fixture
        // One file for all: in the container it is reached by a bind.
        let folder = fixture.folder + "/hooks"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        _ = FileManager.default.createFile(atPath: fixture.bundle + "/rootfs/tmp/inside", contents: nil)
        fixture.spec.mounts.append(MountSpec(destination: folder, type: "bind", source: folder, options: ["bind"]))
        var hooks = HooksSpec()
        func recorder(_ list: String) -> [HookSpec] { [Self.recorder(list, folder + "/log")] }
        (hooks.prestart, hooks.createRuntime, hooks.createContainer) = (recorder("prestart"), recorder("createRuntime"), recorder("createContainer"))
        (hooks.startContainer, hooks.poststart, hooks.poststop) = (recorder("startContainer"), recorder("poststart"), recorder("poststop"))
        fixture.spec.hooks = hooks
        func lines() throws -> [Line] { try Self.lines(fixture.text(of: "hooks/log") ?? "") }

        let pid = try bundle.create()
        #expect(try lines().map(\.list) == ["prestart", "createRuntime", "createContainer"])
        try bundle.container().start()
        let namespace = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/ns/mnt")
        try bundle.container().delete(force: true)
        _ = try waitForProcess(pid)
        let all = try lines()
        #expect(all.map(\.list) == ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"])
        #expect(all.map(\.variable) == all.map(\.list))
        #expect(all.map(\.state.status) == [.created, .creating, .creating, .created, .running, .stopped])
        #expect(all.map(\.state.pid) == [pid, pid, pid, pid, pid, 0].map(Int.init))
        #expect(all.allSatisfy { $0.state.id == "c" && $0.state.bundle == fixture.bundle })
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/mnt")
        #expect(all.map(\.namespace) == [own, own, namespace, namespace, own, own])
        #expect(all.map(\.place) == ["outside", "outside", "outside", "inside", "outside", "outside"])
        bundle.expectNothingLeft()
    }

    @Test("a hook that fails before the start undoes the create, and poststop runs", arguments: ["prestart", "createRuntime", "createContainer"])
    func failing(_ list: String) throws {
        let bundle = try HostBundle("sleep 100")
        var hooks = HooksSpec()
        let hook = [Fixture.hook("exit 3")]
        switch list {
        case "prestart": hooks.prestart = hook
        case "createRuntime": hooks.createRuntime = hook
        default: hooks.createContainer = hook
        }
        hooks.poststop = [Fixture.hook("echo ran > \(bundle.fixture.folder)/stopped")]
        bundle.fixture.spec.hooks = hooks
        #expect(message { () throws(RuntimeError) in try bundle.create() } == "error running \(list) hook #0: /bin/sh: exit status 3")
        #expect(bundle.fixture.text(of: "stopped") == "ran\n")
        bundle.expectNothingLeft()
    }

    @Test("a startContainer hook that fails or takes too long fails the start, and the program does not run", arguments: [false, true])
    func failingStart(_ isSlow: Bool) throws {
        let bundle = try HostBundle("echo program > /tmp/program")
        var hooks = HooksSpec()
        hooks.startContainer = [Fixture.hook(isSlow ? "sleep 100" : "exit 4", timeout: isSlow ? 1 : nil)]
        bundle.fixture.spec.hooks = hooks
        let pid = try bundle.create()
        let text = message { () throws(RuntimeError) in try bundle.container().start() }
        #expect(text?.contains("error running startContainer hook #0: /bin/sh: ") == true && text?.contains(isSlow ? "longer than 1 s" : "exit status 4") == true, "\(text ?? "")")
        _ = try waitForProcess(pid)
        #expect(!FileManager.default.fileExists(atPath: bundle.fixture.bundle + "/rootfs/tmp/program"))
        #expect(try bundle.container().currentState().status == .stopped)
        try bundle.container().delete(force: false)
        bundle.expectNothingLeft()
    }

    @Test("a poststart hook that fails stops the container")
    func poststart() throws {
        let bundle = try HostBundle("while :; do sleep 0.05; done")
        var hooks = HooksSpec()
        hooks.poststart = [Fixture.hook("exit 1")]
        bundle.fixture.spec.hooks = hooks
        let pid = try bundle.create()
        #expect(message { () throws(RuntimeError) in try bundle.container().start() }?.contains("error running poststart hook #0") == true)
        #expect(try waitForProcess(pid)?.status == .signaled(SIGKILL))
        try bundle.container().delete(force: false)
        bundle.expectNothingLeft()
    }
}}
