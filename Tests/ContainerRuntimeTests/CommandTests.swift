import Foundation
import CLinux
import Glibc
import JSONText
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

/// nacelle-oci as engines call it, over a machine that does as it is told.
@Suite("nacelle-oci", .requiresProgram)
struct CommandTests {
    struct Outcome {
        var status: Int32
        var output: String
        var error: String
    }

    /// A command that runs.
    final class Running {
        let process = Process()
        private let folder: String
        private let name = UUID().uuidString

        init(_ fixture: Fixture, _ arguments: [String], input: FileHandle = .nullDevice) throws {
            folder = fixture.folder
            process.executableURL = URL(fileURLWithPath: Built.program ?? "/nonexistent")
            process.arguments = ["--root", fixture.root] + arguments
            process.environment = ["NACELLE_VMM": Built.fakeMachine, "NACELLE_GUEST_IMAGE": "/dev/null", "NACELLE_KERNEL": "/dev/null"]
            process.standardInput = input
            for kind in ["out", "err"] { _ = FileManager.default.createFile(atPath: "\(folder)/\(name).\(kind)", contents: nil) }
            process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: "\(folder)/\(name).out"))
            process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: "\(folder)/\(name).err"))
            try process.run()
        }

        var output: String { (try? String(contentsOfFile: "\(folder)/\(name).out", encoding: .utf8)) ?? "" }
        var error: String { (try? String(contentsOfFile: "\(folder)/\(name).err", encoding: .utf8)) ?? "" }

        func wait() -> Outcome {
            eventually("the end of \(process.arguments ?? [])") { !process.isRunning }
            if process.isRunning { kill(process.processIdentifier, SIGKILL) }
            process.waitUntilExit()
            return Outcome(status: process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus, output: output, error: error)
        }
    }

    func oci(_ fixture: Fixture, _ arguments: String...) throws -> Outcome { try Running(fixture, arguments).wait() }

    func started(_ scenario: String = "") throws -> Fixture {
        let fixture = try Fixture(scenario)
        try fixture.save()
        let outcome = try oci(fixture, "run", "--detach", "--bundle", fixture.bundle, "c")
        #expect(outcome.status == 0, "\(outcome.error)")
        return fixture
    }

    @Test("run gives the process's output and status, and leaves nothing", arguments: [("exit=0", 0), ("exit=42", 42), ("exit=255", 255), ("signal=9", 137), ("signal=15", 143)])
    func run(_ scenario: String, _ status: Int32) throws {
        let fixture = try Fixture(scenario)
        try fixture.save()
        let outcome = try oci(fixture, "run", "--bundle", fixture.bundle, "c")
        #expect(outcome.status == status && outcome.output == "started\n" && outcome.error == "", "\(outcome)")
        fixture.expectNothingLeft()
    }

    @Test("run --keep leaves a stopped container")
    func keep() throws {
        let fixture = try Fixture("exit=3")
        try fixture.save()
        #expect(try oci(fixture, "run", "--keep", "--bundle", fixture.bundle, "c").status == 3)
        #expect(try fixture.container().currentState().status == .stopped)
        #expect(try oci(fixture, "delete", "c").status == 0)
        fixture.expectNothingLeft()
    }

    @Test("run that fails ends with 1, says why, and leaves nothing", arguments: [
        ("say-and-die", "is not an ELF file"), ("die-at-create", "killed by signal 9"), ("die-at-start", "the machine has ended"),
        ("refuse-create", "unable to start container process: exec: \"nope\": executable file not found in $PATH"),
        ("refuse-start", "unable to start container process: exec: \"/x\": permission denied"),
    ])
    func failedRun(_ scenario: String, _ expected: String) throws {
        let fixture = try Fixture(scenario)
        try fixture.save()
        let log = fixture.folder + "/oci.log"
        let outcome = try oci(fixture, "--log", log, "--log-format", "json", "run", "--bundle", fixture.bundle, "c")
        #expect(outcome.status == 1 && outcome.error.contains(expected), "\(outcome)")
        let last = (fixture.text(of: "oci.log") ?? "").split(separator: "\n").last ?? ""
        let object = try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: String]
        #expect(object?["level"] == "error" && object?["msg"]?.contains(expected) == true, "\(last)")
        fixture.expectNothingLeft()
    }

    @Test("run passes signals on", arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR2, SIGVTALRM, 40])
    func passedSignals(_ signal: Int32) throws {
        let fixture = try Fixture()
        try fixture.save()
        let command = try Running(fixture, ["run", "--bundle", fixture.bundle, "c"])
        eventually("the process runs") { command.output.contains("started") }
        kill(command.process.processIdentifier, SIGUSR1)
        eventually("the process has got the signal") { command.output.contains("got USR1") }
        kill(command.process.processIdentifier, signal)
        #expect(command.wait().status == 128 + signal)
        fixture.expectNothingLeft()
    }

    @Test("a create that is killed leaves no machine, and what it left can be deleted")
    func killedCreate() throws {
        let fixture = try Fixture("hang-at-create")
        try fixture.save()
        let command = try Running(fixture, ["create", "--bundle", fixture.bundle, "c"])
        eventually("the machine runs") { (try? fixture.container().record())?.pid ?? 0 > 0 && fixture.machines().count == 1 }
        kill(command.process.processIdentifier, SIGKILL)
        #expect(command.wait().status == 137)
        eventually("the machine has ended") { fixture.machines().isEmpty }
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
        fixture.expectNothingLeft()
    }

    @Test("exec: status, output, and failures with 255 in runc's words")
    func exec() throws {
        let fixture = try started()
        for (command, status) in [(["exit", "7"], 7), (["exit", "0"], 0), (["signal", "9"], 137)] as [([String], Int32)] {
            #expect(try Running(fixture, ["exec", "c"] + command).wait().status == status)
        }
        #expect(try oci(fixture, "exec", "c", "print", "hello").output == "hello\n")
        for (arguments, text) in [
            (["c", "nope"], "exec failed: unable to start container process: exec: \"nope\": executable file not found in $PATH"),
            (["absent", "x"], "exec failed: container does not exist"), (["-p", "/nonexistent", "absent"], "exec failed: container does not exist"), (["c"], "exec failed: process args cannot be empty"),
            (["--user", "root", "c", "x"], "exec failed: parsing root as int for uid failed"), (["--cwd", "rel", "c", "x"], "process.cwd"),
            (["--apparmor", "p", "c", "x"], "process.apparmorProfile: \"p\" cannot hold for one process of a machine: a profile holds on the host, for the machine as a whole, and this one's is none"), (["--preserve-fds", "1", "c", "x"], "--preserve-fds"),
            (["--tty", "--detach", "c", "x"], "cannot allocate tty if runc will detach without setting console socket"),
            (["--console-socket", "/s", "c", "x"], "cannot use console socket if runc will not detach or allocate tty"),
            (["--process", "/nonexistent", "c"], "no such file or directory"), (["--cap", "CAP_X", "c", "x"], "is not a capability"),
        ] {
            let outcome = try Running(fixture, ["exec"] + arguments).wait()
            #expect(outcome.status == 255 && outcome.error.contains(text), "\(arguments): \(outcome)")
        }
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
        fixture.expectNothingLeft()
    }

    @Test("exec starts from the container's process and changes what its flags say")
    func execProcess() throws {
        let fixture = try started()
        func process(_ flags: String...) throws -> ProcessSpec {
            let outcome = try Running(fixture, ["exec"] + flags + ["c", "process", "-x", "--", "y"]).wait()
            #expect(outcome.status == 0, "\(outcome.error)")
            return try ProcessSpec.parse(Array(outcome.output.utf8)).process
        }
        let own = try #require(fixture.spec.process)
        let plain = try process()
        #expect(plain.args == ["process", "-x", "--", "y"])
        #expect(plain.env == own.env && plain.cwd == own.cwd && plain.user == own.user && plain.capabilities == own.capabilities && plain.rlimits == own.rlimits)
        let changed = try process(
            "--env", "A=b c", "-e", "D=", "--cwd", "/tmp", "-u", "5:6", "-g", "7", "--additional-gids", "8", "--cap", "CAP_CHOWN", "--no-new-privs")
        #expect(changed.env == own.env + ["A=b c", "D="] && changed.cwd == "/tmp" && changed.user.uid == 5 && changed.user.gid == 6)
        #expect(changed.user.additionalGids == [7, 8] && changed.noNewPrivileges)
        #expect(changed.capabilities?.bounding.contains("CAP_CHOWN") == true && changed.capabilities?.inheritable.contains("CAP_CHOWN") == false)
        // What holds anyway is no wish for another profile, and nothing of it reaches the guest.
        #expect(try process("--apparmor", "unconfined") == plain)
        var given = ProcessSpec()
        (given.args, given.cwd, given.env) = (["process"], "/given", ["ONLY=this"])
        try Data(given.json.text().utf8).write(to: URL(fileURLWithPath: fixture.folder + "/process.json"))
        let read = try Running(fixture, ["exec", "--process", fixture.folder + "/process.json", "c"]).wait()
        #expect(try ProcessSpec.parse(Array(read.output.utf8)).process == given, "\(read)")
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
    }

    @Test("exec --detach returns at once; its helper stands for the process, passes signals on and ends as it does")
    func detachedExec() throws {
        let fixture = try started()
        // Detached processes come to the one that reaps for their family, as an engine does.
        _ = clinux_prctl(Int32(PR_SET_CHILD_SUBREAPER), 1, 0, 0, 0)
        defer { _ = clinux_prctl(Int32(PR_SET_CHILD_SUBREAPER), 0, 0, 0, 0) }
        for (command, signal, expected) in [(["exit", "5"], nil, .exited(5)), (["signal", "6"], nil, .signaled(6)), (["wait"], SIGTERM, .signaled(SIGTERM))]
            as [([String], Int32?, LinuxSystem.ExitStatus)]
        {
            let pidFile = fixture.folder + "/exec-pid"
            let outcome = try Running(fixture, ["exec", "--detach", "--pid-file", pidFile, "c"] + command).wait()
            #expect(outcome.status == 0, "\(outcome)")
            let pid = try #require(Int32(fixture.text(of: "exec-pid") ?? ""))
            if let signal { kill(pid, signal) }
            let status = try waitForProcess(pid)?.status
            #expect(status == expected, "\(command)")
        }
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
        fixture.expectNothingLeft()
    }

    @Test("exec ends when the machine does")
    func execOfDeadMachine() throws {
        let fixture = try started()
        let command = try Running(fixture, ["exec", "c", "wait"])
        let pid = try fixture.container().record().pid
        // The machine has the connection's three streams once it runs the process.
        eventually("the process runs") { ((try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(command.process.processIdentifier)/fd"))?.count ?? 0) > 4 }
        kill(pid, SIGKILL)
        let outcome = command.wait()
        #expect(outcome.status == 137 || outcome.status == 255, "\(outcome)")
        #expect(try oci(fixture, "delete", "c").status == 0)
    }

    @Test("create with a terminal gives its master to the console socket; without one it is refused")
    func console() throws {
        let fixture = try Fixture()
        fixture.spec.process?.terminal = true
        var size = ConsoleSize()
        (size.width, size.height) = (90, 40)
        fixture.spec.process?.consoleSize = size
        try fixture.save()
        let refused = try oci(fixture, "create", "--bundle", fixture.bundle, "c")
        #expect(refused.status == 1 && refused.error.contains("cannot allocate tty if runc will detach without setting console socket"))
        let foreground = try oci(fixture, "run", "--console-socket", "/s", "--bundle", fixture.bundle, "c")
        #expect(foreground.status == 1 && foreground.error.contains("cannot use console socket if runc will not detach or allocate tty"))
        fixture.expectNothingLeft()
        let socket = fixture.folder + "/console"
        let listener = try OwnedDescriptor.unixListener(path: socket)
        #expect(try oci(fixture, "create", "--console-socket", socket, "--bundle", fixture.bundle, "c").status == 0)
        let connection = try listener.accept()
        var buffer = [UInt8](repeating: 0, count: 100)
        var descriptors: [SharedDescriptor] = []
        _ = try connection.receive(into: &buffer, descriptors: &descriptors)
        let master = try #require(descriptors.first)
        let got = try TerminalDevice.size(master.rawValue)
        #expect(got.columns == 90 && got.rows == 40)
        #expect(try oci(fixture, "start", "c").status == 0)
        let count = try master.with { (end: borrowing OwnedDescriptor) throws in try end.read(into: &buffer) }
        #expect(String(decoding: buffer[..<count], as: UTF8.self) == "started\n")
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
        fixture.spec.process?.terminal = false
        try fixture.save()
        let needless = try oci(fixture, "create", "--console-socket", socket, "--bundle", fixture.bundle, "c")
        #expect(needless.status == 1 && needless.error.contains("cannot use console socket if runc will not detach or allocate tty"))
        fixture.expectNothingLeft()
    }

    @Test("in the foreground a terminal's output is shown to the end, and the status is the process's")
    func foregroundTerminal() throws {
        let fixture = try Fixture("exit=7")
        fixture.spec.process?.terminal = true
        try fixture.save()
        for _ in 0..<5 {
            let outcome = try oci(fixture, "run", "--bundle", fixture.bundle, "c")
            #expect(outcome.status == 7 && outcome.output == "started\n", "\(outcome)")
            fixture.expectNothingLeft()
        }
        // What is typed before the machine is there is echoed by the guest's terminal only, which this machine has not.
        let waiting = try Fixture("hang-at-create")
        waiting.spec.process?.terminal = true
        try waiting.save()
        let pipe = Pipe()
        let early = try Running(waiting, ["run", "--bundle", waiting.bundle, "c"], input: pipe.fileHandleForReading)
        try pipe.fileHandleForWriting.write(contentsOf: Data("typed\n".utf8))
        eventually("the machine runs") { waiting.machines().count == 1 }
        usleep(300_000)
        #expect(early.output == "")
        kill(early.process.processIdentifier, SIGKILL)
        #expect(early.wait().status == 137)
        eventually("the machine has ended") { waiting.machines().isEmpty }
        #expect(try oci(waiting, "delete", "--force", "c").status == 0)
        let running = try started()
        let outcome = try oci(running, "exec", "--tty", "c", "print", "hello")
        #expect(outcome.status == 0 && outcome.output == "hello\n", "\(outcome)")
        #expect(try oci(running, "delete", "--force", "c").status == 0)
    }

    @Test("kill takes names and numbers", arguments: [("TERM", 15), ("SIGTERM", 15), ("sigint", 2), ("9", 9), ("RTMIN+1", 35), ("SIGRTMAX-1", 63), ("POLL", 29)])
    func killSignals(_ name: String, _ number: Int32) throws {
        let fixture = try Fixture()
        try fixture.save()
        let command = try Running(fixture, ["run", "--bundle", fixture.bundle, "c"])
        eventually("the process runs") { command.output.contains("started") }
        #expect(try oci(fixture, "kill", "c", name).status == 0)
        #expect(command.wait().status == 128 + number)
    }

    @Test("kill refuses what is no signal", arguments: ["FOO", "0", "65", "-1", "SIG", "RTMIN-1", "RTMAX+1", "RTMIN+99"])
    func badSignals(_ name: String) throws {
        let fixture = try Fixture()
        let outcome = try oci(fixture, "kill", "--", "c", name)
        #expect(outcome.status == 1 && outcome.error.contains("unknown signal \"\(name)\""), "\(outcome)")
    }

    @Test("state and list: the specification's fields, runc's columns")
    func listing() throws {
        let empty = try Fixture()
        #expect(try oci(empty, "list").output == "ID          PID         STATUS      BUNDLE      CREATED     OWNER       ISOLATION\n")
        #expect(try oci(empty, "list", "--format", "json").output == "null\n")
        let fixture = try started()
        let state = try JSONSerialization.jsonObject(with: Data(try oci(fixture, "state", "c").output.utf8)) as? [String: Any]
        let pid = try fixture.container().record().pid
        #expect(state?["status"] as? String == "running" && state?["pid"] as? Int == Int(pid) && state?["id"] as? String == "c")
        #expect(state?["bundle"] as? String == fixture.bundle && state?["isolation"] as? String == "microvm" && state?["ociVersion"] is String)
        #expect(state?["rootfs"] as? String == fixture.bundle + "/rootfs")
        #expect(try oci(fixture, "list", "-q").output == "c\n")
        let table = try oci(fixture, "list").output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(table.count == 2 && table[0] == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER", "ISOLATION"])
        #expect(Array(table[1].prefix(4)) == ["c", "\(pid)", "running", fixture.bundle], "\(table)")
        let list = try JSONSerialization.jsonObject(with: Data(try oci(fixture, "list", "-f", "json").output.utf8)) as? [[String: Any]]
        #expect(list?.count == 1 && list?.first?["isolation"] as? String == "microvm" && (list?.first?["annotations"] as? [String: String]) == nil)
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
    }

    @Test("ps: a machine's own processes for people, the pid on this host for engines")
    func processes() throws {
        let fixture = try started()
        #expect(try oci(fixture, "ps", "c").output == "UID         PID    PPID CMD\n1000         40       1 sleep 1000\n")
        #expect(try oci(fixture, "ps", "--format", "json", "c").output == "[\(try fixture.container().record().pid)]\n")
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
    }

    @Test("whoever listens at --pidfd-socket gets the process that stands for a container and for an exec'd one")
    func processSocket() throws {
        let fixture = try Fixture()
        try fixture.save()
        let path = fixture.folder + "/pidfd"
        let listener = try OwnedDescriptor.unixListener(path: path)
        /// The word that came, and the pid of the process that its descriptor names.
        func told() throws -> (word: String, pid: Int32) {
            let connection = try listener.accept()
            var buffer = [UInt8](repeating: 0, count: 100)
            var descriptors: [SharedDescriptor] = []
            let count = try connection.receive(into: &buffer, descriptors: &descriptors)
            let descriptor = try #require(descriptors.first)
            let line = try String(contentsOfFile: "/proc/self/fdinfo/\(descriptor.rawValue)", encoding: .utf8).split(separator: "\n").first { $0.hasPrefix("Pid:") }
            return (String(decoding: buffer[..<count], as: UTF8.self), try #require(line.flatMap { Int32($0.dropFirst("Pid:\t".count)) }))
        }
        #expect(try oci(fixture, "create", "--pidfd-socket", path, "--bundle", fixture.bundle, "c").status == 0)
        let container = try told()
        #expect(try container == ("standard", fixture.container().record().pid))
        #expect(try oci(fixture, "start", "c").status == 0)
        let exec = try Running(fixture, ["exec", "--pidfd-socket", path, "c", "wait"])
        let process = try told()
        #expect(process == ("setns", exec.process.processIdentifier))
        kill(process.pid, SIGTERM)
        #expect(exec.wait().status == 143)
        let refused = try oci(fixture, "exec", "--pidfd-socket", "/nonexistent", "c", "wait")
        #expect(refused.status == 255 && refused.error.contains("cannot connect to the pidfd socket /nonexistent"), "\(refused)")
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
        #expect(try oci(fixture, "create", "--pidfd-socket", "/nonexistent", "--bundle", fixture.bundle, "c").status == 1)
        fixture.expectNothingLeft()
    }

    @Test("a bundle's path is absolute and without symbolic links")
    func bundlePath() throws {
        let fixture = try Fixture()
        try fixture.save()
        try FileManager.default.createSymbolicLink(atPath: fixture.folder + "/link", withDestinationPath: fixture.bundle)
        #expect(try oci(fixture, "create", "--bundle", fixture.folder + "/../" + (fixture.folder as NSString).lastPathComponent + "/link", "c").status == 0)
        #expect(try fixture.container().record().bundle == fixture.bundle)
        #expect(try oci(fixture, "delete", "c").status == 0)
    }

    @Test("wrong use ends with 1 and a message", arguments: [
        ["bogus"], ["create"], ["state"], ["state", "a", "b"], ["start"], ["list", "--format", "xml"], ["create", "--preserve-fds", "2", "c"], ["state", "a/b"],
        ["--log-format", "xml", "list"], ["--nonsense", "list"], ["exec", "--nonsense", "c", "x"],
    ])
    func usage(_ arguments: [String]) throws {
        let fixture = try Fixture()
        let outcome = try Running(fixture, arguments).wait()
        #expect(outcome.status == 1 && !outcome.error.isEmpty && outcome.output.isEmpty, "\(outcome)")
    }

    @Test("version, help, features, spec")
    func information() throws {
        let fixture = try Fixture()
        for flag in ["--version", "-v"] {
            let process = try run(flag)
            #expect(process.status == 0 && process.output.hasPrefix("nacelle-oci version ") && process.output.contains("\nspec: 1.3.0\n"), "\(process)")
        }
        let help = try run("--help")
        #expect(help.status == 0)
        for verb in ["create", "start", "state", "kill", "delete", "run", "exec", "list", "pause", "resume", "ps", "update", "events", "spec", "features", "doctor", "checkpoint", "restore"] { #expect(help.output.contains("\n  \(verb) ")) }
        let features = try JSONSerialization.jsonObject(with: Data(try oci(fixture, "features").output.utf8)) as? [String: Any]
        #expect(features?["ociVersionMin"] as? String == "1.0.0" && features?["ociVersionMax"] as? String == "1.3.0")
        #expect(try oci(fixture, "spec", "--bundle", fixture.folder).status == 0)
        let text = Array((fixture.text(of: "config.json") ?? "").utf8)
        try RuntimeSpec.parse(text).spec.validate()
        try FileManager.default.createDirectory(atPath: fixture.folder + "/rootless", withIntermediateDirectories: true)
        #expect(try oci(fixture, "spec", "--rootless", "--bundle", fixture.folder + "/rootless").status == 0)
        #expect(try RuntimeSpec.parse(Array((fixture.text(of: "rootless/config.json") ?? "").utf8)).spec.linux?.namespace(.user) != nil)
        let again = try oci(fixture, "spec", "--bundle", fixture.folder)
        #expect(again.status == 1 && again.error.contains("config.json exists. Remove it first"))
    }

    /// Without `--root`.
    private func run(_ argument: String) throws -> Outcome {
        let process = Process()
        let pipe = Foundation.Pipe()
        process.executableURL = URL(fileURLWithPath: Built.program ?? "")
        process.arguments = [argument]
        process.standardOutput = pipe
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Outcome(status: process.terminationStatus, output: String(decoding: output, as: UTF8.self), error: "")
    }
}
