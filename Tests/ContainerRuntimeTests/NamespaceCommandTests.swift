import CLinux
import Foundation
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

extension NamespaceTests { @Suite("nacelle-oci --isolation namespace, as engines call it", .requiresProgram)
struct CommandTests {
    @Test("run gives the process's output and status, and leaves nothing", arguments: [("exit 0", 0), ("exit 42", 42), ("exit 255", 255), ("kill -9 $$; sleep 9", 137)])
    func run(_ script: String, _ status: Int32) throws {
        let bundle = try HostBundle("echo out; echo err >&2; \(script)")
        // The first of a pid namespace cannot kill itself.
        bundle.fixture.spec.linux?.namespaces.removeAll { $0.type == .pid }
        try bundle.fixture.save()
        let outcome = try bundle.oci("run", "c")
        #expect(outcome.status == status && outcome.output == "out\n" && outcome.error == "err\n", "\(outcome)")
        bundle.expectNothingLeft()
    }

    @Test("run passes standard input and signals on")
    func streams() throws {
        let bundle = try HostBundle("trap 'echo got; exit 5' TERM; echo ready; cat; while :; do sleep 0.05; done")
        let pipe = Pipe()
        let command = try HostCommand(bundle, ["run", "c"], input: pipe.fileHandleForReading)
        try pipe.fileHandleForWriting.write(contentsOf: Data("typed\n".utf8))
        try pipe.fileHandleForWriting.close()
        eventually("what was typed") { command.output == "ready\ntyped\n" }
        kill(command.process.processIdentifier, SIGTERM)
        #expect(command.wait() == 5)
        #expect(command.output == "ready\ntyped\ngot\n")
        bundle.expectNothingLeft()
    }

    @Test("after create the process is a child of the engine, holds the engine's streams and waits")
    func reparented() throws {
        // As conmon and containerd's shim do. Not for longer: a pid namespace does not end before its last zombie is waited for.
        #expect(clinux_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
        defer { _ = clinux_prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }
        let bundle = try HostBundle("echo hello; exit 6")
        let create = try HostCommand(bundle, ["create", "--pid-file", "pid", "c"])
        #expect(create.wait() == 0, "\(create.error)")
        let pid = try #require(Int32(try String(contentsOfFile: bundle.fixture.bundle + "/pid", encoding: .utf8)))
        #expect(try bundle.container().currentState().pid == Int(pid))
        let parent = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8).split(separator: ")").last?.split(separator: " ")[1]
        #expect(parent == "\(getpid())")
        #expect(create.output == "")
        let links = try (0...2).map { try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/fd/\($0)") }
        #expect(links[0] == "/dev/null" && links[1].hasSuffix(".out") && links[2].hasSuffix(".err"), "\(links)")
        #expect(try bundle.oci("start", "c").status == 0)
        #expect(try waitForProcess(pid)?.status == .exited(6))
        #expect(create.output == "hello\n")
        #expect(try bundle.oci("delete", "c").status == 0)
        bundle.expectNothingLeft()
    }

    @Test("the program's name chooses as well, and state, list and log tell")
    func programName() throws {
        let bundle = try HostBundle("sleep 100")
        let link = bundle.fixture.folder + "/nacelle-oci-namespace"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: Built.program ?? "")
        let command = try HostCommand(bundle, ["--debug", "--log", bundle.fixture.folder + "/command.log", "run", "-d", "c"], program: link, isolation: nil)
        #expect(command.wait() == 0, "\(command.error)")
        #expect(try bundle.oci("state", "c").output.contains("\"isolation\": \"namespace\""))
        #expect(try bundle.oci("list").output.contains(" namespace\n"))
        #expect(try bundle.oci("list", "-f", "json").output.contains("\"isolation\":\"namespace\""))
        #expect(bundle.fixture.text(of: "command.log")?.contains("container c: isolation namespace") == true)
        #expect(try bundle.oci("delete", "-f", "c").status == 0)
        bundle.expectNothingLeft()
    }

    @Test("exec: streams, status, user, environment, directory, pid file")
    func exec() throws {
        let bundle = try HostBundle("while :; do sleep 0.05; done")
        #expect(try bundle.oci("run", "-d", "c").status == 0)
        var outcome = try bundle.oci("exec", "c", "sh", "-c", "echo out; echo err >&2; exit 3")
        #expect(outcome.status == 3 && outcome.output == "out\n" && outcome.error == "err\n", "\(outcome)")
        outcome = try bundle.oci("exec", "-e", "A=b", "--cwd", "/tmp", "-u", "5:6", "c", "sh", "-c", "echo $A $(pwd) $(id -u) $(id -g) $$; readlink /proc/self/ns/pid")
        let namespace = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(try bundle.container().record().pid)/ns/pid")
        #expect(outcome.output.hasPrefix("b /tmp 5 6 ") && outcome.output.hasSuffix("\n\(namespace)\n"), "\(outcome)")
        outcome = try bundle.oci("exec", "c", "nope")
        #expect(outcome.status == 255)
        #expect(outcome.error == "ERRO[0000] exec failed: unable to start container process: exec: \"nope\": executable file not found in $PATH\n")
        for (arguments, text) in [
            ([], "process args cannot be empty"),
            (["--process", "/nonexistent"], "cannot read the process file: open /nonexistent: no such file or directory"),
            (["--process", "/dev/null"], "/dev/null: is not JSON: line 1, column 1: the text ends where a value is expected"),
        ] {
            let command = try HostCommand(bundle, ["exec"] + arguments + ["c"])
            command.process.waitUntilExit()
            outcome = (command.process.terminationStatus, command.output, command.error)
            #expect(outcome.status == 255 && outcome.error == "ERRO[0000] exec failed: \(text)\n", "\(outcome)")
        }
        outcome = try bundle.oci("exec", "c", "sh", "-c", "kill -15 $$; sleep 9")
        #expect(outcome.status == 143)
        #expect(try bundle.oci("exec", "-d", "--pid-file", "exec-pid", "c", "sleep", "77").status == 0)
        let pid = try String(contentsOfFile: bundle.fixture.bundle + "/exec-pid", encoding: .utf8)
        #expect(try String(contentsOfFile: "/proc/\(pid)/cmdline", encoding: .utf8) == "sleep\u{0}77\u{0}")
        #expect(try bundle.oci("delete", "-f", "c").status == 0)
        bundle.expectNothingLeft()
    }

    @Test("descriptors from 3 on are passed by --preserve-fds, and no others")
    func preserved() throws {
        let bundle = try HostBundle("echo three >&3; ls /proc/self/fd")
        #expect(try bundle.oci("run", "--preserve-fds", "9", "c").error.contains("is not open"))
        let script = "exec 3>\(bundle.fixture.folder)/three 7>/dev/null; exec \(Built.program ?? "") --root \(bundle.fixture.root) --isolation namespace run --preserve-fds 1 c"
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.arguments = ["-c", script]
        shell.environment = ["NACELLE_INIT": HostBundle.initProgram]
        shell.currentDirectoryURL = URL(fileURLWithPath: bundle.fixture.bundle)
        let output = Pipe()
        shell.standardOutput = output
        try shell.run()
        shell.waitUntilExit()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        // 4 is the directory that ls reads.
        #expect(text.split(separator: "\n") == ["0", "1", "2", "3", "4"])
        #expect(bundle.fixture.text(of: "three") == "three\n")
        bundle.expectNothingLeft()
    }

    @Test("sockets of a service manager are passed, with their number, if they are this process's")
    func listenSockets() throws {
        let bundle = try HostBundle("echo $LISTEN_FDS/$LISTEN_PID; cat <&3")
        func run(_ pid: String) throws -> String {
            let shell = Process()
            shell.executableURL = URL(fileURLWithPath: "/bin/sh")
            let command = "\(Built.program ?? "") --root \(bundle.fixture.root) --isolation namespace run c"
            shell.arguments = ["-c", "echo passed >\(bundle.fixture.folder)/three; LISTEN_FDS=1 LISTEN_PID=\(pid) exec \(command) 3<\(bundle.fixture.folder)/three"]
            shell.environment = ["NACELLE_INIT": HostBundle.initProgram]
            shell.currentDirectoryURL = URL(fileURLWithPath: bundle.fixture.bundle)
            let output = Pipe()
            shell.standardOutput = output
            shell.standardError = FileHandle.nullDevice
            try shell.run()
            shell.waitUntilExit()
            return String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        }
        #expect(try run("$$") == "1/1\npassed\n")
        #expect(try run("1") == "/\n")
        bundle.expectNothingLeft()
    }

    @Test("the terminal's master goes to the console socket, of create and of exec")
    func consoleSocket() throws {
        let bundle = try HostBundle("tty; stty size; while :; do sleep 0.05; done")
        bundle.fixture.spec.process?.terminal = true
        bundle.fixture.spec.process?.consoleSize = ConsoleSize(width: 91, height: 33)
        try bundle.fixture.save()
        #expect(try bundle.oci("create", "c").error == "ERRO[0000] cannot allocate tty if runc will detach without setting console socket\n")
        let listener = try OwnedDescriptor.unixListener(path: bundle.fixture.folder + "/console")
        #expect(try bundle.oci("create", "--console-socket", bundle.fixture.folder + "/console", "c").status == 0)
        let first = try Self.master(of: listener)
        #expect(try bundle.oci("start", "c").status == 0)
        #expect(try Self.text(first, until: "33 91").contains("/dev/pts/0\r\n33 91\r\n"))
        #expect(try bundle.oci("exec", "-t", "-d", "--console-socket", bundle.fixture.folder + "/console", "c", "tty").status == 0)
        let second = try Self.master(of: listener)
        #expect(try Self.text(second, until: "/dev/pts/1") == "/dev/pts/1\r\n")
        #expect(try bundle.oci("delete", "-f", "c").status == 0)
        bundle.expectNothingLeft()
        // A socket that nobody listens at fails the create whole.
        #expect(try bundle.oci("create", "--console-socket", "/nonexistent/socket", "c").error.contains("/nonexistent/socket"))
        bundle.expectNothingLeft()
    }

    private static func master(of listener: borrowing OwnedDescriptor) throws -> SharedDescriptor {
        let connection = try listener.accept()
        var buffer = [UInt8](repeating: 0, count: 100)
        var descriptors: [SharedDescriptor] = []
        _ = try connection.receive(into: &buffer, descriptors: &descriptors)
        return try #require(descriptors.first)
    }

    private static func text(_ master: SharedDescriptor, until expected: String) throws -> String {
        var text = ""
        var buffer = [UInt8](repeating: 0, count: 4096)
        // "\r\n" is one character.
        while !text.contains(expected) || !text.hasSuffix("\r\n") {
            let count = try master.with { (end: borrowing OwnedDescriptor) throws in
                try waitReadable(end.rawValue, milliseconds: 20_000) ? try end.read(into: &buffer) : 0
            }
            if count == 0 { break }
            text += String(decoding: buffer[..<count], as: UTF8.self)
        }
        return text
    }

    @Test("a create that is killed at any moment leaves nothing that delete --force does not remove")
    func killedCreate() throws {
        for delay in stride(from: 0, to: 60, by: 5) {
            let bundle = try HostBundle("sleep 100")
            let command = try HostCommand(bundle, ["create", "c"])
            usleep(UInt32(delay) * 1000)
            kill(command.process.processIdentifier, SIGKILL)
            command.wait()
            let pid = (try? bundle.container().record().pid) ?? 0
            #expect(try bundle.oci("delete", "--force", "c").status == 0)
            eventually("the process's end") { pid == 0 || ProcessIdentity.startTime(of: pid) == nil }
            bundle.expectNothingLeft()
        }
    }
}}
