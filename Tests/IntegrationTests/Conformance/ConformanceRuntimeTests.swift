import Foundation
import Glibc
import Testing

extension ConformanceTests { @Suite("runtime.md: state, create, start, kill, delete")
struct RuntimeTests {
    /// Every operation that names a container.
    private static let operations = ["state", "start", "kill", "delete", "create"]

    @Test("an operation MUST generate an error if it is not provided the ID of a container", arguments: operations)
    func withoutID(_ operation: String) throws {
        let bundle = try Bundle(["true"])
        try bundle.save()
        for words in [[operation], [operation, ""]] {
            let flags = operation == "create" ? ["--bundle", bundle.path] : []
            let outcome = try run(Nacelle.program, ["--root", bundle.root, words[0]] + flags + words.dropFirst())
            #expect(outcome.status == 1 && !outcome.errorText.isEmpty && outcome.text.isEmpty, "\(words)")
        }
        try bundle.expectNothingLeft()
    }

    @Test("an operation on a container that does not exist MUST generate an error", arguments: ["state", "start", "kill", "delete"])
    func absent(_ operation: String) throws {
        let bundle = try Bundle(["true"])
        let outcome = try bundle.nacelle(operation, "c")
        #expect(outcome.status == 1 && outcome.errorText.contains("container does not exist"), "\(outcome.errorText)")
    }

    /// One life, looked at on the way: a machine takes seconds to start.
    @Test("create, start, kill and delete do what they MUST, in their order only", arguments: Isolation.available)
    func life(_ isolation: Isolation) throws {
        let bundle = try Bundle(Bundle.waiting("echo started >> /tmp/output; trap 'echo USR1 >> /tmp/output' USR1; trap 'echo TERM >> /tmp/output; exit 7' TERM"))
        let output = bundle.rootfs + "/tmp/output"
        func text() -> String { (try? String(contentsOfFile: output, encoding: .utf8)) ?? "" }
        func refuses(_ words: String..., sourceLocation: SourceLocation = #_sourceLocation) throws {
            let before = try bundle.state()
            let outcome = try run(Nacelle.program, ["--root", bundle.root, "--isolation", isolation.rawValue] + words)
            #expect(outcome.status == 1 && !outcome.errorText.isEmpty, "\(words)", sourceLocation: sourceLocation)
            // "MUST have no effect on the container"
            #expect(try bundle.state() as NSDictionary == before as NSDictionary, "\(words)", sourceLocation: sourceLocation)
        }
        bundle.configuration["annotations"] = ["org.example.key": "value"]
        // runtime.md, Lifecycle 2: updates of config.json after create MUST NOT affect the container.
        try bundle.create(isolation)
        bundle.process { $0["args"] = ["sh", "-c", "echo changed > /tmp/output"] }
        bundle.configuration["hostname"] = "changed"
        try bundle.save()

        // State: the fields that it MUST include.
        let state = try bundle.state()
        #expect(state["ociVersion"] is String && state["id"] as? String == "c" && state["status"] as? String == "created" && state["bundle"] as? String == bundle.path)
        #expect(kill(try bundle.pid(), 0) == 0)
        #expect(state["annotations"] as? [String: String] == ["org.example.key": "value"])
        // Create: the program MUST NOT run before start. The ID MUST be unique.
        #expect(text() == "")
        try refuses("create", "--bundle", bundle.path, "c")

        // Start MUST run the program; a second start is an error without an effect.
        try bundle.start(isolation)
        try eventually("the program runs") { text() == "started\n" }
        #expect(try bundle.status() == "running")
        try refuses("start", "c")
        // Delete of what is not stopped MUST be an error without an effect.
        try refuses("delete", "c")

        // Kill MUST send the signal that is named.
        #expect(try bundle.oci(isolation, "kill", "c", "USR1").status == 0)
        try eventually("the program has got the signal") { text() == "started\nUSR1\n" }
        #expect(try bundle.oci(isolation, "kill", "c", "TERM").status == 0)
        try bundle.waitForStatus("stopped")
        #expect(text() == "started\nUSR1\nTERM\n")
        // Of a stopped one: MUST be an error without an effect.
        try refuses("kill", "c", "KILL")
        try refuses("start", "c")
        #expect(text() == "started\nUSR1\nTERM\n")

        // Delete MUST delete what create made; then the ID may be used again.
        #expect(try bundle.oci(isolation, "delete", "c").status == 0)
        try bundle.expectNothingLeft()
        #expect(try bundle.nacelle("state", "c").status == 1)
        bundle.process { $0["args"] = ["true"] }
        try bundle.create(isolation)
        #expect(try bundle.oci(isolation, "delete", "--force", "c").status == 0)
        try bundle.expectNothingLeft()
    }

    @Test("resources that are associated with the container, but not created by it, MUST NOT be deleted", arguments: Isolation.available)
    func foreignResources(_ isolation: Isolation) throws {
        let bundle = try Bundle(["true"])
        let group = "nacelle-conformance-\(getpid())"
        // On cgroup v2 one group; on version 1 one a hierarchy.
        let roots = try shell("ls -d /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs 2>/dev/null || true").split(separator: "\n").map { String($0.dropLast("/cgroup.procs".count)) }
            .filter { root in (try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8))?.contains(" \(root) cgroup") == true }
        for root in roots { try FileManager.default.createDirectory(atPath: "\(root)/\(group)", withIntermediateDirectories: true) }
        defer { for root in roots { _ = unsafe rmdir("\(root)/\(group)") } }
        bundle.linux { $0["cgroupsPath"] = "/\(group)/own" }
        try shell("mkdir \(bundle.path)/volume && touch \(bundle.path)/volume/kept")
        bundle.mount("/tmp", source: bundle.path + "/volume")
        try bundle.save()
        #expect(try bundle.oci(isolation, "run", "--bundle", bundle.path, "c").status == 0)
        for root in roots {
            #expect(FileManager.default.fileExists(atPath: "\(root)/\(group)"))
            #expect(!FileManager.default.fileExists(atPath: "\(root)/\(group)/own"))
        }
        #expect(!roots.isEmpty && FileManager.default.fileExists(atPath: bundle.path + "/volume/kept"))
        try bundle.expectNothingLeft()
    }

    @Test("hooks MUST be called at their time, in their order, with the state on standard input", arguments: Isolation.available)
    func hooks(_ isolation: Isolation) throws {
        let bundle = try Bundle(["sh", "-c", "echo program >> /log/log; sleep 1000"])
        let log = bundle.path + "/log/log"
        try shell("mkdir -m 777 \(bundle.path)/log \(bundle.rootfs)/log")
        bundle.mount("/log", source: bundle.path + "/log")
        // Of the container's own only the path inside is there.
        func hook(_ name: String, _ file: String) -> [String: Any] {
            ["path": "/bin/sh", "args": ["sh", "-c", "state=$(cat); case $state in *'\"id\":\"c\"'*) echo \(name) >> \(file);; esac"], "env": ["PATH=/bin:/usr/bin"], "timeout": 20]
        }
        func text() -> [String] { ((try? String(contentsOfFile: log, encoding: .utf8)) ?? "").split(separator: "\n").map(String.init) }
        var hooks: [String: Any] = [:]
        for name in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] { hooks[name] = [hook("\(name)-1", log), hook("\(name)-2", log)] }
        hooks["startContainer"] = [hook("startContainer-1", "/log/log"), hook("startContainer-2", "/log/log")]
        bundle.configuration["hooks"] = hooks
        try bundle.create(isolation)
        let created = ["prestart-1", "prestart-2", "createRuntime-1", "createRuntime-2", "createContainer-1", "createContainer-2"]
        #expect(text() == created)
        try bundle.start(isolation)
        // poststart: after the program is executed, before start returns. The program's own line may come at any time after startContainer.
        #expect(text().filter { $0 != "program" } == created + ["startContainer-1", "startContainer-2", "poststart-1", "poststart-2"])
        try eventually("the program has run") { text().contains("program") }
        #expect((text().firstIndex(of: "program") ?? 0) > (text().firstIndex(of: "startContainer-2") ?? 99))
        #expect(try bundle.oci(isolation, "delete", "--force", "c").status == 0)
        #expect(Array(text().suffix(2)) == ["poststop-1", "poststop-2"])
        try bundle.expectNothingLeft()
    }
}}
