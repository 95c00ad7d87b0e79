import ContainerRuntime
import Foundation
import Glibc
import LinuxSystem
import Testing

/// Where the built programs are.
private let stage = ProcessInfo.processInfo.environment["NACELLE_STAGE"] ?? FileManager.default.currentDirectoryPath + "/.build/nacelle"
private let canRun = geteuid() == 0 && [stage + "/nacelle", stage + "/nacelle-oci", stage + "/nacelle-init", "/bin/busybox"].allSatisfy(FileManager.default.isExecutableFile)

/// An engine of its own, with a root directory of busybox.
private final class Machine {
    let folder = "/tmp/nacelle-engine-test-\(UUID().uuidString)"
    var root: String { folder + "/root" }

    init() throws {
        for name in ["bin", "etc", "tmp"] { try FileManager.default.createDirectory(atPath: "\(root)/\(name)", withIntermediateDirectories: true) }
        try FileManager.default.copyItem(atPath: "/bin/busybox", toPath: root + "/bin/busybox")
        for name in ["sh", "cat", "echo", "sleep", "true", "id", "seq", "test", "touch"] { try FileManager.default.createSymbolicLink(atPath: "\(root)/bin/\(name)", withDestinationPath: "busybox") }
        try "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44::/:/bin/sh\n".write(toFile: root + "/etc/passwd", atomically: false, encoding: .utf8)
    }

    deinit {
        _ = try? run(["rm", "-f", "-a"])
        try? FileManager.default.removeItem(atPath: folder)
    }

    struct Outcome {
        var status: Int32
        var output: String
        var errors: String
        var line: String { output.hasSuffix("\n") ? String(output.dropLast()) : output }
    }

    private func process(_ arguments: [String], input: String?, from file: FileHandle? = nil) throws -> (Process, out: String, err: String) {
        let name = folder + "/" + UUID().uuidString
        let process = Process()
        process.executableURL = URL(fileURLWithPath: stage + "/nacelle")
        process.arguments = ["--root", folder + "/data"] + arguments
        for kind in [".out", ".err"] { _ = FileManager.default.createFile(atPath: name + kind, contents: nil) }
        try input?.write(toFile: name + ".in", atomically: false, encoding: .utf8)
        process.standardInput = file ?? (input == nil ? FileHandle.nullDevice : FileHandle(forReadingAtPath: name + ".in"))
        process.standardOutput = FileHandle(forWritingAtPath: name + ".out")
        process.standardError = FileHandle(forWritingAtPath: name + ".err")
        try process.run()
        return (process, name + ".out", name + ".err")
    }

    /// Starts a command and does not wait for it.
    func begin(_ arguments: [String]) throws -> Process { try process(arguments, input: nil).0 }

    func run(_ arguments: [String], input: String? = nil, from file: FileHandle? = nil, to path: String? = nil) throws -> Outcome {
        let (process, out, err) = try process(arguments, input: input, from: file)
        process.waitUntilExit()
        if let path {
            try FileManager.default.moveItem(atPath: out, toPath: path)
            return Outcome(status: process.terminationStatus, output: "", errors: try String(contentsOfFile: err, encoding: .utf8))
        }
        let status = process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
        return Outcome(status: status, output: try String(contentsOfFile: out, encoding: .utf8), errors: try String(contentsOfFile: err, encoding: .utf8))
    }

    /// `run` in namespaces of this host, of the root directory.
    func start(_ flags: [String], _ command: [String], input: String? = nil) throws -> Outcome {
        try run(["run", "--isolation", "namespace", "--rootfs"] + flags + [root] + command, input: input)
    }

    func field(_ name: String, _ template: String) throws -> String { try run(["inspect", "--format", template, name]).line }

    /// Waits, for as long as it may take on a busy machine.
    func eventually(_ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ holds: () throws -> Bool) throws {
        for _ in 0..<3000 {
            if try holds() { return }
            usleep(20_000)
        }
        Issue.record("\(what) did not come to pass", sourceLocation: sourceLocation)
    }

    /// What is left of containers anywhere.
    func expectNothingLeft(sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(try run(["ps", "-aq"]).output == "", sourceLocation: sourceLocation)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/data/containers") == [], sourceLocation: sourceLocation)
        let mounts = try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)
        #expect(!mounts.contains(folder), sourceLocation: sourceLocation)
    }
}

@Suite("nacelle, as people use it", .serialized, .enabled(if: canRun, "needs root, /bin/busybox and a built nacelle (make build, or NACELLE_STAGE)"))
struct CommandTests {
    private let machine: Machine
    init() throws { machine = try Machine() }

    @Test("every verb explains itself")
    func help() throws {
        let overview = try machine.run(["--help"]).output
        // Behind the heading, at two blanks; what goes on is further in.
        let verbs = overview.split(separator: "\n").drop { $0 != "SUBCOMMANDS:" }.dropFirst().filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") && !$0.contains("'nacelle help") }
            .compactMap { $0.split(separator: " ").first.map(String.init) }
        #expect(verbs.count > 30 && verbs.contains("run"))
        for verb in verbs {
            let outcome = try machine.run([verb, "--help"])
            #expect(outcome.status == 0 && outcome.output.hasPrefix("OVERVIEW: ") && outcome.errors.isEmpty, "\(verb): \(outcome.errors)")
        }
        // Behind the image it is the command's.
        #expect(try machine.start(["--rm"], ["echo", "--help"]).output == "--help\n")
    }

    @Test("streams and status are the program's; --rm leaves nothing", arguments: [0, 1, 42, 125, 255])
    func status(code: Int32) throws {
        let outcome = try machine.start(["--rm", "-i", "-e", "A=b"], ["sh", "-c", "cat; echo $A; echo err >&2; exit \(code)"], input: "typed\n")
        #expect(outcome.status == code && outcome.output == "typed\nb\n" && outcome.errors == "err\n")
        try machine.expectNothingLeft()
    }

    @Test("what cannot be run, and what is wrong with the line", arguments: [
        (["run", "--isolation", "namespace", "--rootfs", "ROOT", "nosuch"], 127, "executable file not found"), (["run", "--isolation", "namespace", "--rootfs", "ROOT", "/etc/passwd"], 126, "permission denied"),
        (["run", "--rootfs", "/nonexistent", "true"], 125, "--rootfs takes a directory"), (["run"], 125, "Missing expected argument"), (["fly"], 125, "unknown verb \"fly\""),
        (["run", "-p", "80:80", "--rootfs", "ROOT", "true"], 125, "-p: ports are not published"), (["run", "--network", "host", "--rootfs", "ROOT", "true"], 125, "a machine has no network but its own loopback"),
        (["run", "--runtime", "nosuch", "--rootfs", "ROOT", "true"], 125, "the OCI runtime \"nosuch\" is not there"), (["exec", "nosuch", "true"], 125, "no such container"),
        (["run", "--pull", "never", "nosuch"], 125, "--pull never forbids"), (["stop"], 125, "no container is named"),
        (["run", "--fly", "--rootfs", "ROOT", "true"], 125, "unknown flag \"--fly\""), (["exec", "--fly", "x", "true"], 125, "unknown flag \"--fly\""),
    ] as [([String], Int32, String)])
    func failures(arguments: [String], status: Int32, words: String) throws {
        let outcome = try machine.run(arguments.map { $0 == "ROOT" ? machine.root : $0 })
        #expect(outcome.status == status && outcome.output == "" && outcome.errors.contains(words), "\(outcome)")
    }

    @Test("a detached container outlives its command: logs, exec, stop, start again, rm")
    func detached() throws {
        let id = try machine.start(["-d", "--name", "one", "--stop-timeout", "60"], ["sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"]).line
        #expect(id.utf8.count == 64)
        try machine.eventually("the program writes") { try machine.run(["logs", "one"]).output == "up\n" }
        #expect(try machine.run(["ps", "--format", "{{.Names}} {{.State}}"]).line == "one running")
        try machine.eventually("the isolation is known") { try machine.field("one", "{{.Isolation}}") == "namespace" }
        let exec = try machine.run(["exec", "-i", "-u", "web", "-w", "/tmp", "-e", "X=y", "one", "sh", "-c", "cat; id -u; echo $PWD $X; exit 9"], input: "in ")
        #expect(exec.status == 9 && exec.output == "in 33\n/tmp y\n", "\(exec)")
        #expect(try machine.run(["exec", "one", "nosuch"]).status == 127)
        #expect(try machine.run(["rm", "one"]).errors.contains("runs: stop it first"))
        #expect(try machine.run(["top", "one"]).output.contains("sleep 0.05") || machine.run(["top", "one"]).output.contains("trap"))
        #expect(try machine.run(["stop", String(id.prefix(10))]).status == 0)
        #expect(try machine.field("one", "{{.State.Status}} {{.State.ExitCode}}") == "exited 3")
        #expect(try machine.run(["logs", "one"]).output == "up\nbye\n")
        #expect(try machine.run(["start", "one"]).status == 0)
        #expect(try machine.run(["kill", "one"]).status == 0)
        #expect(try machine.run(["wait", "one"]).line == "137")
        #expect(try machine.run(["logs", "--tail", "1", "-f", "one"]).output == "up\n")
        #expect(try machine.run(["rm", "one"]).status == 0)
        try machine.expectNothingLeft()
    }

    @Test("a supervisor that is killed leaves what ps shows and rm -f removes", arguments: ["stop", "rm"])
    func killedSupervisor(verb: String) throws {
        _ = try machine.start(["-d", "--name", "orphan"], ["sleep", "1000"])
        let id = try machine.field("orphan", "{{.Id}}")
        let record = try String(contentsOfFile: "\(machine.folder)/data/containers/\(id)/state.json", encoding: .utf8)
        let supervisor = try #require(record.firstMatch(of: /"supervisor":(\d+)/).flatMap { Int32($0.1) })
        let pid = try #require(Int32(try machine.field("orphan", "{{.State.Pid}}")))
        #expect(kill(supervisor, SIGKILL) == 0)
        try machine.eventually("the supervisor is gone") { try machine.run(["ps", "--format", "{{.State}}"]).line == "unsupervised" }
        #expect(try machine.run(["attach", "orphan"]).errors.contains("nothing to attach to"))
        #expect(try machine.run(["exec", "orphan", "echo", "still"]).line == "still")
        if verb == "stop" {
            #expect(try machine.run(["stop", "-t", "0", "orphan"]).status == 0)
            #expect(try machine.run(["ps", "-a", "--format", "{{.State}} {{.ExitCode}}"]).line == "exited 255")
        }
        #expect(try machine.run(["rm", "-f", "orphan"]).status == 0)
        // Gone, or dead and waiting for whoever takes this machine's orphans.
        let state = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        #expect(state?.contains(") Z ") ?? true)
        try machine.expectNothingLeft()
    }

    @Test("what a killed create left is shown, and removed by force")
    func halfMade() throws {
        _ = try machine.run(["create", "--name", "x", "--rootfs", machine.root, "true"])
        let id = String(repeating: "ab", count: 32)
        try FileManager.default.createDirectory(atPath: "\(machine.folder)/data/containers/\(id)", withIntermediateDirectories: true)
        #expect(try machine.run(["ps", "-a", "--format", "{{.ID}} {{.Status}}"]).output.contains("abababababab Damaged"))
        #expect(try machine.run(["rm", "abab"]).status == 125)
        #expect(try machine.run(["rm", "-f", "abab", "x"]).status == 0)
        try machine.expectNothingLeft()
    }

    @Test("files go in and out, and links lead nowhere out of a container")
    func copying() throws {
        _ = try machine.run(["create", "--name", "x", "--rootfs", machine.root, "true"])
        try "text".write(toFile: machine.folder + "/file", atomically: false, encoding: .utf8)
        try FileManager.default.createSymbolicLink(atPath: machine.root + "/out", withDestinationPath: machine.folder)
        // In the container the link leads to a folder that is not there.
        #expect(try machine.run(["cp", machine.folder + "/file", "x:/out/stolen"]).status == 125)
        #expect(!FileManager.default.fileExists(atPath: machine.folder + "/stolen"))
        #expect(try machine.run(["cp", machine.folder + "/file", "x:/tmp/"]).status == 0)
        #expect(try String(contentsOfFile: machine.root + "/tmp/file", encoding: .utf8) == "text")
        #expect(try machine.run(["cp", "x:/etc", machine.folder + "/etc"]).status == 0)
        #expect(FileManager.default.fileExists(atPath: machine.folder + "/etc/passwd"))
        // The same as an archive, in pieces that lead nowhere either.
        #expect(try machine.run(["cp", "x:/etc", "-"], to: machine.folder + "/etc.tar").status == 0)
        let archive = try #require(FileHandle(forReadingAtPath: machine.folder + "/etc.tar"))
        #expect(try machine.run(["cp", "-", "x:/tmp"], from: archive).status == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: machine.root + "/tmp").sorted() == ["etc", "file"])
        #expect(FileManager.default.contentsEqual(atPath: machine.root + "/tmp/etc/passwd", andPath: machine.root + "/etc/passwd"))
        let again = try #require(FileHandle(forReadingAtPath: machine.folder + "/etc.tar"))
        #expect(try machine.run(["cp", "-", "x:/out/etc"], from: again).status == 125)
        #expect(try machine.run(["cp", "-", machine.folder]).errors.contains("CONTAINER:PATH is expected"))
        #expect(try machine.run(["cp", "x:/proc/cpuinfo", machine.folder]).errors.contains("lies on a proc"))
    }

    @Test("named volumes: filled, shared, kept, and not removed while a container has them")
    func volumes() throws {
        try FileManager.default.createDirectory(atPath: machine.root + "/data", withIntermediateDirectories: true)
        try "filled\n".write(toFile: machine.root + "/data/file", atomically: false, encoding: .utf8)
        #expect(try machine.start(["--rm", "-v", "shared:/data"], ["sh", "-c", "cat /data/file; echo more > /data/more"]).output == "filled\n")
        #expect(try machine.start(["--name", "x", "--mount", "source=shared,target=/s,readonly"], ["sh", "-c", "cat /s/more; touch /s/no || exit 4"]).status == 4)
        #expect(try machine.run(["logs", "x"]).output.hasPrefix("more\n"))
        #expect(try machine.run(["volume", "rm", "shared"]).errors.contains("volume shared is used by container x"))
        #expect(try machine.field("x", "{{json .Mounts}}") == "[{\"Type\":\"volume\",\"Name\":\"shared\",\"Source\":\"\(machine.folder)/data/volumes/shared/data\",\"Destination\":\"/s\",\"RW\":false,\"Propagation\":\"rprivate\"}]")
        #expect(try machine.run(["ps", "-a", "--filter", "volume=shared", "--format", "{{.Names}}"]).line == "x")
        #expect(try machine.run(["volume", "create", "--label", "a=b", "other"]).line == "other")
        #expect(try machine.run(["volume", "ls", "-q", "--filter", "label=a=b"]).line == "other")
        #expect(try machine.run(["volume", "ls", "-q", "--filter", "dangling=false"]).line == "shared")
        #expect(try machine.run(["volume", "inspect", "--format", "{{.Labels.a}}", "other"]).line == "b")
        #expect(try machine.run(["volume", "prune"]).line == "other")
        #expect(try machine.run(["rm", "x"]).status == 0)
        #expect(try machine.run(["prune", "--volumes"]).output.hasPrefix("shared\n"))
        #expect(try machine.run(["volume", "ls", "-q"]).output == "")
        try machine.expectNothingLeft()
    }

    @Test("paused, unpaused, renamed, replaced, stopped while paused")
    func pausing() throws {
        _ = try machine.start(["-d", "--name", "one"], ["sleep", "1000"])
        #expect(try machine.run(["pause", "one"]).line == "one")
        #expect(try machine.run(["ps", "--format", "{{.State}} {{.Status}}"]).line.hasSuffix("(Paused)"))
        #expect(try machine.run(["pause", "one"]).errors.contains("paused already"))
        #expect(try machine.run(["exec", "one", "true"]).errors.contains("nacelle unpause one"))
        #expect(try machine.run(["unpause", "one"]).status == 0)
        #expect(try machine.run(["exec", "one", "echo", "on"]).line == "on")
        #expect(try machine.run(["rename", "one", "two"]).status == 0)
        #expect(try machine.run(["pause", "-a"]).status == 0)
        #expect(try machine.run(["stop", "-t", "0", "two"]).status == 0)
        #expect(try machine.run(["ps", "-l", "--format", "{{.Names}} {{.State}}"]).line == "two exited")
        #expect(try machine.start(["-d", "--replace", "--name", "two"], ["sleep", "1000"]).status == 0)
        #expect(try machine.run(["ps", "-a", "--format", "{{.Names}} {{.State}}"]).line == "two running")
        #expect(try machine.run(["start", "two"]).line == "two")
        #expect(try machine.run(["rm", "-f", "two"]).status == 0)
        try machine.expectNothingLeft()
    }

    @Test("bench: measures what there is, says what there is not, and leaves nothing", arguments: [[], ["--rootfs", "ROOT"]])
    func bench(more: [String]) throws {
        let outcome = try machine.run(["bench", "-n", "1", "--json", "--runtime", "nosuch"] + more.map { $0 == "ROOT" ? machine.root : $0 })
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains("Not measured: nosuch: is not there"))
        let report = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        let results = try #require(report["results"] as? [[String: Any]])
        let own = try #require(results.first { $0["isolation"] as? String == "namespace" })
        #expect((own["memoryBytes"] as? Int ?? 0) > 0)
        #expect(((own["lifeNanoseconds"] as? [String: Any])?["samples"] as? [Int])?.count == 1)
        #expect((own["firstByteNanoseconds"] is [String: Any]) == more.isEmpty)
        try machine.expectNothingLeft()
    }

    @Test("a signal that ends the command leaves the terminal as it was, and the container running", arguments: [SIGTERM, SIGHUP])
    func terminal(number: Int32) throws {
        let terminal = try ConsolePair()
        let end = SharedDescriptor(try terminal.slave.duplicate())
        func isRaw() -> Bool {
            var settings = termios()
            return unsafe tcgetattr(end.rawValue, &settings) == 0 && settings.c_lflag & tcflag_t(ICANON) == 0
        }
        #expect(!isRaw())
        let arguments = ["--root", machine.folder + "/data", "run", "-it", "--name", "x", "--isolation", "namespace", "--rootfs", machine.root, "sleep", "1000"]
        let pid = try ProgramStart.start(stage + "/nacelle", arguments: arguments, environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], descriptors: [end, end, end])
        try machine.eventually("the terminal is raw, and the container runs") { try isRaw() && machine.run(["ps", "-q", "--filter", "status=running"]).output != "" }
        #expect(kill(pid, number) == 0)
        #expect(try waitForProcess(pid)?.status.shellCode == 128 + number)
        #expect(!isRaw())
        #expect(try machine.run(["ps", "--format", "{{.Names}} {{.State}}"]).line == "x running")
        #expect(try machine.run(["rm", "-f", "x"]).status == 0)
        try machine.expectNothingLeft()
    }

    @Test("stopped, killed and removed while it is being started", arguments: [["stop", "-t0"], ["kill"], ["rm", "-f"]])
    func early(verb: [String]) throws {
        for _ in 0..<3 {
            let id = try machine.run(["create", "--name", "x", "--isolation", "namespace", "--rootfs", machine.root, "sleep", "1000"]).line
            let start = try machine.begin(["start", "x"])
            try machine.eventually("it is being started") { try machine.run(["ps", "-aq", "--no-trunc", "--filter", "status=created"]).line != id }
            let outcome = try machine.run(verb + ["x"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            start.waitUntilExit()
            if verb[0] != "rm" { #expect(try machine.run(["wait", "x"]).line == "137") }
            _ = try machine.run(["rm", "-f", "x"])
            try machine.expectNothingLeft()
        }
    }

    @Test("one that is removed and started at once is either gone or runs")
    func race() throws {
        for _ in 0..<8 {
            _ = try machine.run(["create", "--name", "x", "--isolation", "namespace", "--rootfs", machine.root, "sleep", "1000"])
            let start = try machine.begin(["start", "x"])
            let removed = try machine.run(["rm", "x"]).status == 0
            start.waitUntilExit()
            if removed { #expect(start.terminationStatus != 0) } else { #expect(try machine.run(["rm", "-f", "x"]).status == 0) }
            try machine.expectNothingLeft()
        }
    }

    @Test("flags as fingers write them")
    func fingers() throws {
        #expect(try machine.start(["--rm", "-w/tmp", "-u33", "-hbox", "--net", "none"], ["sh", "-c", "echo $PWD $(id -u) $HOSTNAME"]).output == "/tmp 33 box\n")
        #expect(try machine.start(["--rm", "-eA=b"], ["true"]).errors.contains("write -e A=b, with a blank"))
        #expect(try machine.start(["--rm", "--net", "host"], ["cat", "/etc/resolv.conf"]).output == (try? String(contentsOfFile: "/etc/resolv.conf", encoding: .utf8)) ?? "")
        #expect(try machine.start(["--rm", "--device", "/dev/full:/dev/x"], ["sh", "-c", "test -c /dev/x"]).status == 0)
        #expect(try machine.run(["run", "--rootfs", "--device", "/dev/full", machine.root, "true"]).errors.contains("a machine has devices of its own"))
        // What failed leaves nothing in the way of the next attempt.
        let file = machine.folder + "/cid"
        #expect(try machine.start(["--cidfile", file, "-v", "/nonexistent:/x"], ["true"]).errors.contains("make it first"))
        #expect(try machine.start(["--rm", "--cidfile", file], ["true"]).status == 0)
        let outcome = try machine.run(["inspect", "nosuch", "neither"])
        #expect(outcome.status == 125 && outcome.errors.contains("\"nosuch\"") && outcome.errors.contains("\"neither\""))
        #expect(try machine.run(["build", "."]).errors.contains("buildah"))
        try machine.expectNothingLeft()
    }

    @Test("an image: made of a tar, run, changed, committed, saved, removed, loaded")
    func images() throws {
        #expect(try machine.run(["create", "--name", "x", "--rootfs", machine.root, "true"]).status == 0)
        #expect(try machine.run(["export", "-o", machine.folder + "/base.tar", "x"]).status == 0)
        #expect(try machine.run(["rm", "x"]).status == 0)
        #expect(try machine.run(["import", "-c", "CMD [\"sh\",\"-c\",\"id -u; echo $V\"]", "-c", "USER web", "-c", "ENV V=w", machine.folder + "/base.tar", "base:1"]).status == 0)
        #expect(try machine.run(["run", "--rm", "--isolation", "namespace", "base:1"]).output == "33\nw\n")
        #expect(try machine.run(["run", "--name", "c", "--isolation", "namespace", "-u", "0", "base:1", "sh", "-c", "echo new > /etc/new"]).status == 0)
        #expect(try machine.run(["diff", "c"]).output.contains("A /etc/new\n"))
        #expect(try machine.run(["commit", "c", "derived"]).status == 0)
        #expect(try machine.run(["rmi", "base:1"]).errors.contains("what container c was made of"))
        #expect(try machine.run(["rm", "c"]).status == 0)
        #expect(try machine.run(["save", "-o", machine.folder + "/saved.tar", "derived"]).status == 0)
        #expect(try machine.run(["rmi", "base:1", "derived"]).status == 0)
        #expect(try machine.run(["images", "-q"]).output == "")
        let archive = try #require(FileHandle(forReadingAtPath: machine.folder + "/saved.tar"))
        #expect(try machine.run(["load"], from: archive).line == "Loaded image: docker.io/library/derived:latest")
        #expect(try machine.run(["history", "--format", "{{.CreatedBy}}", "derived"]).output.hasPrefix("sh -c echo new"))
        #expect(try machine.run(["images", "--format", "{{.Repository}}", "--filter", "reference=der*"]).line == "derived")
        #expect(try machine.run(["images", "-q", "--filter", "dangling=true"]).output == "")
        #expect(try machine.run(["run", "--rm", "--isolation", "namespace", "derived", "cat", "/etc/new"]).output == "new\n")
        #expect(try machine.run(["rmi", "--all"]).output.contains("Untagged: docker.io/library/derived:latest"))
        #expect(try machine.run(["info", "--format", "{{.Images}} {{.Containers}}"]).line == "0 0")
        try machine.expectNothingLeft()
    }
}
