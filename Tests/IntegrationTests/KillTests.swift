import Foundation
import Glibc
import Testing

/// What ContainerRuntimeTests cannot kill: a real machine, its agent, and the processes that wait for those in it.
@Suite("Killed in any state, a machine can be deleted by force, and nothing is left", .requiresKVM, .serialized)
struct KillTests {
    private func expectDeleted(_ bundle: Bundle, sourceLocation: SourceLocation = #_sourceLocation) throws {
        // What the record knows of; a command that was killed half way may have removed it.
        let record = try? JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: bundle.root + "/c/state.json"))) as? [String: Any]
        let deletion = try bundle.nacelle("delete", "--force", "c")
        #expect(deletion.status == 0, "\(deletion.errorText)", sourceLocation: sourceLocation)
        try bundle.expectNothingLeft(sourceLocation: sourceLocation)
        for group in record?["cgroups"] as? [String] ?? [] { #expect(!FileManager.default.fileExists(atPath: group), sourceLocation: sourceLocation) }
        #expect(try shell("pgrep -af '[n]acelle.*\(bundle.root)' || true") == "", sourceLocation: sourceLocation)
    }

    /// A container that sees the guest's processes, with the rights to write to their memory.
    private func intruder() throws -> Bundle {
        let bundle = try Bundle(Bundle.waiting())
        let rights = ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"]
        bundle.process { $0["capabilities"] = ["bounding": rights, "effective": rights, "permitted": rights] }
        bundle.linux {
            $0["namespaces"] = ["mount", "network", "ipc", "uts"].map { ["type": $0] }
            ($0["maskedPaths"], $0["readonlyPaths"]) = ([String](), [String]())
        }
        return bundle
    }

    /// No signal from inside kills a kernel's first process, but its own code can be taken away from it.
    private static let murder = """
        start=$(grep ' r-xp ' /proc/1/maps | head -1 | cut -d- -f1)
        dd if=/dev/zero of=/proc/1/mem bs=4096 count=2000 seek=$((0x$start / 4096)) conv=notrunc
        """

    @Test("the agent", arguments: ["created", "running"])
    func agent(_ state: String) throws {
        let bundle = try intruder()
        try bundle.create(.microvm)
        if state == "running" { try bundle.start(.microvm) }
        let outcome = try bundle.oci(.microvm, "exec", "c", "sh", "-c", Self.murder)
        #expect(outcome.status != 0, "\(outcome.errorText)")
        try bundle.waitForStatus("stopped")
        #expect(try bundle.nacelle("start", "c").status == 1)
        try expectDeleted(bundle)
    }

    @Test("the VMM of a paused machine")
    func paused() throws {
        let bundle = try Bundle(Bundle.waiting())
        try bundle.create(.microvm)
        try bundle.start(.microvm)
        #expect(try bundle.nacelle("pause", "c").status == 0)
        #expect(try bundle.status() == "paused")
        kill(try bundle.pid(), SIGKILL)
        try expectDeleted(bundle)
    }

    /// Runs a command and kills it at a part of its system calls.
    private func killed(_ bundle: Bundle, _ part: Double, _ words: String...) throws {
        let helper = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path + "/kill-at.py"
        let stops = ["start": 170, "exec": 320, "kill": 170, "pause": 170, "resume": 160, "delete": 170][words[0]] ?? 100
        let line = ["-c", "exec /usr/bin/python3 \"$@\" 3>\(bundle.path)/killed", "sh", helper, "\(Int(Double(stops) * part))", Nacelle.program, "--root", bundle.root]
        _ = try run("/bin/sh", line + words)
        #expect(try String(contentsOfFile: bundle.path + "/killed", encoding: .utf8).contains(" "), "\(words) under kill-at.py")
    }

    @Test("the runtime, at several moments of each command, and the process that stands for an exec'd one")
    func runtime() throws {
        let bundle = try Bundle(Bundle.waiting("trap : USR1"))
        try bundle.create(.microvm)
        for part in [0.3, 0.6, 0.9] { try killed(bundle, part, "start", "c") }
        if try bundle.status() == "created" { try bundle.start(.microvm) }
        for part in [0.3, 0.5, 0.7, 0.9] { try killed(bundle, part, "exec", "--detach", "c", "sleep", "1000") }
        for part in [0.5, 0.8] { try killed(bundle, part, "kill", "c", "USR1") }
        let exec = try bundle.nacelle("exec", "--detach", "--pid-file", bundle.path + "/waiter", "c", "sleep", "1000")
        #expect(exec.status == 0, "\(exec.errorText)")
        let waiter = try #require(Int32(try String(contentsOfFile: bundle.path + "/waiter", encoding: .utf8)))
        kill(waiter, SIGKILL)
        // The container does not mind.
        #expect(try bundle.nacelle("exec", "c", "echo", "alive").text == "alive\n")
        for part in [0.5, 0.9] { try killed(bundle, part, "pause", "c") }
        if try bundle.status() == "paused" { try killed(bundle, 0.7, "resume", "c") }
        try killed(bundle, 0.5, "delete", "--force", "c")
        try expectDeleted(bundle)
    }
}
