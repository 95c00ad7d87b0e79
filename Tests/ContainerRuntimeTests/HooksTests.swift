import Foundation
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

@Suite("Hooks of the host")
struct HooksTests {
    private func fixture(_ change: (inout HooksSpec, String) -> Void) throws -> Fixture {
        let fixture = try Fixture()
        var hooks = HooksSpec()
        change(&hooks, fixture.folder)
        fixture.spec.hooks = hooks
        return fixture
    }

    @Test("they run in the specification's order, with the state on standard input")
    func order() throws {
        let fixture = try fixture { hooks, folder in
            func note(_ name: String) -> HookSpec { Fixture.hook("echo \(name) $(sed 's/.*\"status\":\"\\([a-z]*\\)\".*/\\1/') >> \(folder)/order") }
            hooks.prestart = [note("prestart")]
            hooks.createRuntime = [note("createRuntime-0"), note("createRuntime-1")]
            hooks.createContainer = [note("createContainer")]
            hooks.poststart = [note("poststart")]
            hooks.poststop = [note("poststop")]
        }
        try fixture.create()
        #expect(fixture.text(of: "order") == "prestart created\ncreateRuntime-0 creating\ncreateRuntime-1 creating\ncreateContainer creating\n")
        try fixture.container().start()
        try fixture.container().delete(force: true)
        #expect(fixture.text(of: "order")?.hasSuffix("createContainer creating\npoststart running\npoststop stopped\n") == true, "\(fixture.text(of: "order") ?? "")")
    }

    @Test("without hooks for then, start and delete do not read the configuration")
    func none() throws {
        let fixture = try fixture { hooks, folder in hooks.createRuntime = [Fixture.hook("echo made > \(folder)/made")] }
        try fixture.create()
        #expect(fixture.text(of: "made") == "made\n")
        try Data("{".utf8).write(to: URL(fileURLWithPath: fixture.root + "/c/config.json"))
        try fixture.container().start()
        try fixture.container().delete(force: true)
        fixture.expectNothingLeft()
    }

    @Test("the state names the container, its bundle and the machine's pid")
    func state() throws {
        let fixture = try fixture { hooks, folder in hooks.createRuntime = [Fixture.hook("cat > \(folder)/seen")] }
        fixture.spec.annotations["org.example"] = "kept"
        let pid = try fixture.create()
        let seen = try JSONSerialization.jsonObject(with: Data((fixture.text(of: "seen") ?? "").utf8)) as? [String: Any]
        #expect(seen?["id"] as? String == "c" && seen?["pid"] as? Int == Int(pid) && seen?["bundle"] as? String == fixture.bundle)
        #expect((seen?["annotations"] as? [String: String])?["org.example"] == "kept")
        try fixture.container().delete(force: true)
    }

    @Test("only the environment that is asked for", arguments: [[], ["A=b c"]])
    func environment(_ wanted: [String]) throws {
        let fixture = try fixture { hooks, folder in
            var hook = HookSpec()
            // A shell adds a few of its own.
            let script = "/usr/bin/env | /bin/grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= > \(folder)/env; true"
            (hook.path, hook.args, hook.env) = ("/bin/sh", ["sh", "-c", script], wanted)
            hooks.prestart = [hook]
        }
        try fixture.create()
        #expect(fixture.text(of: "env") == wanted.map { $0 + "\n" }.joined())
        try fixture.container().delete(force: true)
    }

    @Test("the first argument is the name that the program finds as its own")
    func name() throws {
        let fixture = try fixture { hooks, folder in
            var hook = HookSpec()
            (hook.path, hook.args) = ("/bin/sh", ["another-name", "-c", "echo $0 > \(folder)/name"])
            hooks.prestart = [hook]
        }
        try fixture.create()
        #expect(fixture.text(of: "name") == "another-name\n")
        try fixture.container().delete(force: true)
    }

    @Test("one that fails before the start undoes the create, and poststop still runs", arguments: [
        ("exit 3", nil, ": exit status 3"), ("echo one; echo two >&2; exit 3", nil, ": exit status 3: one\ntwo"), ("kill -9 $$", nil, "was killed by signal 9"), ("sleep 100", 1, "hook ran longer than 1 s"),
    ] as [(String, Int?, String)])
    func failing(_ script: String, _ timeout: Int?, _ why: String) throws {
        let fixture = try fixture { hooks, folder in
            hooks.createRuntime = [Fixture.hook("true"), Fixture.hook(script, timeout: timeout)]
            hooks.createContainer = [Fixture.hook("touch \(folder)/late")]
            hooks.poststop = [Fixture.hook("echo stopped >> \(folder)/stop")]
        }
        let text = message { () throws(RuntimeError) in try fixture.create() } ?? ""
        #expect(text.contains("error running createRuntime hook #1: /bin/sh") && text.contains(why), "\(text)")
        #expect(fixture.text(of: "late") == nil && fixture.text(of: "stop") == "stopped\n")
        fixture.expectNothingLeft()
    }

    @Test("a program that does not exist is named")
    func missing() throws {
        let fixture = try fixture { hooks, _ in
            var hook = HookSpec()
            hook.path = "/nonexistent/hook"
            hooks.prestart = [hook]
        }
        let text = message { () throws(RuntimeError) in try fixture.create() } ?? ""
        #expect(text.contains("prestart hook #0: /nonexistent/hook") && text.contains("no such file or directory"), "\(text)")
        fixture.expectNothingLeft()
    }

    @Test("a poststart hook that fails stops the container")
    func poststart() throws {
        let fixture = try fixture { hooks, _ in hooks.poststart = [Fixture.hook("exit 1")] }
        let pid = try fixture.create()
        #expect(message { () throws(RuntimeError) in try fixture.container().start() }?.contains("error running poststart hook #0") == true)
        _ = try waitForProcess(pid)
        #expect(try fixture.container().currentState().status == .stopped)
        try fixture.container().delete(force: false)
        fixture.expectNothingLeft()
    }

    @Test("poststop hooks that fail are logged, and the others run")
    func poststop() throws {
        let fixture = try fixture { hooks, folder in hooks.poststop = [Fixture.hook("exit 9"), Fixture.hook("echo ran > \(folder)/second")] }
        try fixture.create()
        try fixture.container().delete(force: true)
        #expect(fixture.text(of: "second") == "ran\n")
        #expect(fixture.logText().contains("level=warning") && fixture.logText().contains("poststop hook #0"))
        fixture.expectNothingLeft()
    }

    @Test("changes to config.json after create concern neither hooks nor exec")
    func keptConfiguration() throws {
        let fixture = try fixture { hooks, folder in hooks.poststop = [Fixture.hook("echo first > \(folder)/which")] }
        try fixture.save()
        try fixture.create()
        fixture.spec.hooks?.poststop = [Fixture.hook("echo second > \(fixture.folder)/which")]
        fixture.spec.process?.cwd = "/changed"
        try fixture.save()
        #expect(try fixture.container().baseProcess().cwd == "/")
        try FileManager.default.removeItem(atPath: fixture.bundle)
        try fixture.container().delete(force: true)
        #expect(fixture.text(of: "which") == "first\n")
    }
}
