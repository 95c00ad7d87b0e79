import Foundation
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

/// Kills nacelle-oci at one stop after the other: at the entry to, and at the return from, each system call (Tests/kill-at.py).
enum KilledCommand {
    static let helper = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path + "/kill-at.py"
    /// How many stops are tried of each command. With NACELLE_KILL_STEPS=100000 it is every single one.
    static let steps = ProcessInfo.processInfo.environment["NACELLE_KILL_STEPS"].flatMap { Int($0) } ?? 10

    /// Runs it; returns how many stops there were, and whether it was killed at `stop` rather than through before.
    static func run(_ arguments: [String], stop: Int, environment: [String]) throws -> (stops: Int, isKilled: Bool, text: String) {
        let result = try MemoryFile.make("result", [])
        let error = try MemoryFile.make("err", [])
        let pid = try ProgramStart.start(
            "/usr/bin/python3", arguments: [helper, "\(stop)", Built.program ?? ""] + arguments, environment: environment, descriptors: [nil, nil, error, result])
        let end = try waitForProcess(pid)?.status
        func text(_ file: SharedDescriptor) throws -> String { String(decoding: try readFile("/proc/self/fd/\(file.rawValue)"), as: UTF8.self) }
        let (counted, message) = (try text(result), try text(error))
        // Who kills by a pid that is another's by now hits the helper, and with it what it runs: that is a kill as well.
        if stop > 0, counted.isEmpty, case .signaled? = end { return (0, true, message) }
        let last = counted.split(separator: " ").compactMap { Int($0) }
        try #require(last.count == 2, "\(String(describing: end)): \(counted), \(message)")
        return (last[0], last[1] == -9, message)
    }

    /// Calls `body` with the stops to try: first 0, for none, whose result is how many there are.
    static func each(_ body: (Int) throws -> Int) throws {
        let all = try body(0)
        #expect(all > 50)
        for number in 1...min(steps, all) { _ = try body(max(1, all * number / min(steps, all))) }
    }
}

extension HostBundle {
    /// Processes that have a file of this test open: its streams, its pipes, its log.
    func processes() -> [Int32] {
        ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { Int32($0) }.filter { pid in
            pid != getpid() && ((try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd")) ?? []).contains { number in
                ((try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/fd/\(number)")) ?? "").hasPrefix(fixture.folder)
            }
        }
    }

    /// What `delete --force` promises, whatever was killed before.
    func expectDeleted(_ what: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let pid = (try? container().record().pid) ?? 0
        let deletion = try oci("delete", "--force", "c")
        #expect(deletion.status == 0, "\(what): \(deletion.error)", sourceLocation: sourceLocation)
        if pid > 0 { _ = try? waitForProcess(pid) }
        eventually("the process's end after \(what)", sourceLocation: sourceLocation) { pid == 0 || ProcessIdentity.startTime(of: pid) == nil }
        eventually("no process is left after \(what)", sourceLocation: sourceLocation) { processes().isEmpty }
        expectNothingLeft(sourceLocation: sourceLocation)
        #expect(try oci("state", "c").error.contains("container does not exist"), sourceLocation: sourceLocation)
    }
}

extension NamespaceTests { @Suite("Killed in any state, a container in namespaces can be deleted by force, and nothing is left", .requiresProgram)
struct KillTests {
    /// What precedes each command.
    enum Before { case nothing, created, running, paused, stopped }

    private static let commands: [(words: [String], before: Before)] = [
        (["create", "c"], .nothing), (["run", "--detach", "c"], .nothing), (["start", "c"], .created), (["exec", "--detach", "c", "sleep", "1000"], .running),
        (["kill", "c", "KILL"], .running), (["pause", "c"], .running), (["resume", "c"], .paused), (["delete", "c"], .stopped), (["delete", "--force", "c"], .running),
    ]

    private func prepare(_ bundle: HostBundle, _ before: Before) throws {
        if before == .nothing { return }
        let pid = try bundle.create()
        if before == .created { return }
        try bundle.container().start()
        if before == .paused { try bundle.container().pause() }
        if before == .stopped {
            kill(pid, SIGKILL)
            _ = try waitForProcess(pid)
        }
    }

    @Test("the runtime, at its system calls", arguments: commands.indices)
    func runtime(_ index: Int) throws {
        let (words, before) = Self.commands[index]
        let bundle = try HostBundle("trap '' TERM; while :; do sleep 0.05; done")
        try KilledCommand.each { stop in
            try prepare(bundle, before)
            let outcome = try KilledCommand.run(
                ["--root", bundle.fixture.root, "--isolation", "namespace"] + words + (words[0] == "create" || words[0] == "run" ? ["--bundle", bundle.fixture.bundle] : []),
                stop: stop, environment: ["NACELLE_INIT=\(HostBundle.initProgram)"])
            let what = "\(words) at stop \(stop) of \(outcome.stops)"
            if stop == 0 { #expect(!outcome.isKilled && outcome.text == "", "\(what): \(outcome.text)") }
            try bundle.expectDeleted(what)
            return outcome.stops
        }
    }

    @Test("the container's process, in each state", arguments: [Before.created, .running, .paused])
    func process(_ before: Before) throws {
        let bundle = try HostBundle("while :; do sleep 0.05; done")
        try prepare(bundle, before)
        let pid = try bundle.container().record().pid
        kill(pid, SIGKILL)
        // A frozen process of version 1 does not even die.
        if before != .paused {
            eventually("it is stopped") { (try? bundle.container().currentState().status) == .stopped }
            #expect(try bundle.oci("start", "c").status == 1)
        }
        try bundle.expectDeleted("\(before)")
    }

    @Test("the container's process while it is created: the create fails and leaves nothing")
    func processBeingCreated() throws {
        let bundle = try HostBundle("sleep 1000")
        let state = bundle.fixture.folder + "/state.of.hook"
        bundle.fixture.spec.hooks = HooksSpec()
        bundle.fixture.spec.hooks?.createRuntime = [Fixture.hook("cat > \(state).new; mv \(state).new \(state); while [ ! -e \(state).go ]; do sleep 0.01; done")]
        try bundle.fixture.save()
        let command = try HostCommand(bundle, ["create", "c"])
        eventually("the hook runs") { FileManager.default.fileExists(atPath: state) }
        let pid = try StateSpec.parse(try readFile(state)).pid
        #expect(try bundle.container().currentState().status == .creating)
        kill(Int32(pid), SIGKILL)
        try Data().write(to: URL(fileURLWithPath: state + ".go"))
        #expect(command.wait() == 1 && command.error.hasPrefix("ERRO[0000] "), "\(command.error)")
        eventually("nothing runs") { bundle.processes().isEmpty }
        bundle.expectNothingLeft()
    }

    @Test("who runs a hook, by the hook", arguments: ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"])
    func hook(_ list: String) throws {
        let bundle = try HostBundle("while :; do sleep 0.05; done")
        let hook = Fixture.hook("kill -9 $PPID")
        var hooks = HooksSpec()
        switch list {
        case "prestart": hooks.prestart = [hook]
        case "createRuntime": hooks.createRuntime = [hook]
        case "createContainer": hooks.createContainer = [hook]
        case "startContainer": hooks.startContainer = [hook]
        case "poststart": hooks.poststart = [hook]
        default: hooks.poststop = [hook]
        }
        bundle.fixture.spec.hooks = hooks
        try bundle.fixture.save()
        var statuses: [Int32] = []
        for words in [["create", "c"], ["start", "c"], ["delete", "--force", "c"]] { statuses.append(try HostCommand(bundle, words).wait()) }
        // In the container it is nacelle-init, which is the pid namespace's first process and so cannot be killed from within it.
        let expected: [Int32] = switch list {
        case "prestart", "createRuntime": [137, 1, 0]
        case "createContainer", "startContainer": [0, 0, 0]
        case "poststart": [0, 137, 0]
        default: [0, 0, 137]
        }
        #expect(statuses == expected)
        bundle.fixture.spec.hooks = nil
        try bundle.expectDeleted(list)
    }

    @Test("a process that exec waits for, and exec itself")
    func executed() throws {
        let bundle = try HostBundle("while :; do sleep 0.05; done")
        try prepare(bundle, .running)
        let first = try HostCommand(bundle, ["exec", "--pid-file", "pid", "c", "sleep", "1000"])
        eventually("it runs") { FileManager.default.fileExists(atPath: bundle.fixture.bundle + "/pid") }
        kill(try #require(Int32(try String(contentsOfFile: bundle.fixture.bundle + "/pid", encoding: .utf8))), SIGKILL)
        #expect(first.wait() == 137)
        try FileManager.default.removeItem(atPath: bundle.fixture.bundle + "/pid")
        let second = try HostCommand(bundle, ["exec", "--pid-file", "pid", "c", "sleep", "1000"])
        eventually("it runs") { FileManager.default.fileExists(atPath: bundle.fixture.bundle + "/pid") }
        let left = try #require(Int32(try String(contentsOfFile: bundle.fixture.bundle + "/pid", encoding: .utf8)))
        kill(second.process.processIdentifier, SIGKILL)
        #expect(second.wait() == 137)
        #expect(ProcessIdentity.startTime(of: left) != nil)
        #expect(try bundle.container().currentState().status == .running)
        try bundle.expectDeleted("exec")
        #expect(ProcessIdentity.startTime(of: left) == nil)
    }
}}

/// The same with a machine that does as it is told.
@Suite("Killed in any state, a machine's container can be deleted by force, and nothing is left", .requiresProgram, .serialized)
struct MachineKillTests {
    private static let environment = ["NACELLE_VMM=\(Built.fakeMachine)", "NACELLE_GUEST_IMAGE=/dev/null", "NACELLE_KERNEL=/dev/null"]
    private static let commands: [(words: [String], isCreated: Bool)] = [
        (["create", "c"], false), (["run", "--detach", "c"], false), (["start", "c"], true), (["exec", "--detach", "c", "wait"], true), (["kill", "c", "KILL"], true),
        (["delete", "c"], true), (["delete", "--force", "c"], true),
    ]

    @Test("the runtime, at its system calls", arguments: commands.indices)
    func runtime(_ index: Int) throws {
        let (words, isCreated) = Self.commands[index]
        let fixture = try Fixture()
        try fixture.save()
        try KilledCommand.each { stop in
            if isCreated { try fixture.create() }
            let outcome = try KilledCommand.run(
                ["--root", fixture.root] + words + (isCreated ? [] : ["--bundle", fixture.bundle]), stop: stop, environment: Self.environment)
            let what = "\(words) at stop \(stop) of \(outcome.stops)"
            if stop == 0 { #expect(!outcome.isKilled && outcome.text == "", "\(what): \(outcome.text)") }
            let pid = (try? fixture.container().record().pid) ?? 0
            #expect(throws: Never.self, "\(what)") { try fixture.container().delete(force: true) }
            if pid > 0 { _ = try? waitForProcess(pid) }
            eventually("no machine is left after \(what)") { fixture.machines().isEmpty }
            fixture.expectNothingLeft()
            return outcome.stops
        }
    }

    @Test("the process that stands for an exec'd one")
    func waiter() throws {
        let fixture = try Fixture()
        try fixture.save()
        let machine = try fixture.create()
        try fixture.container().start()
        let pidFile = fixture.folder + "/pid"
        let outcome = try KilledCommand.run(["--root", fixture.root, "exec", "--detach", "--pid-file", pidFile, "c", "wait"], stop: 0, environment: Self.environment)
        #expect(!outcome.isKilled)
        let waiter = try #require(Int32(try String(contentsOfFile: pidFile, encoding: .utf8)))
        #expect(ProcessIdentity.startTime(of: waiter) != nil)
        kill(waiter, SIGKILL)
        eventually("its end") { ProcessIdentity.startTime(of: waiter) == nil }
        #expect(try fixture.container().currentState().status == .running)
        try fixture.container().delete(force: true)
        _ = try? waitForProcess(machine)
        fixture.expectNothingLeft()
    }
}
