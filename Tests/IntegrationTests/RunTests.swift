import Foundation
import Testing

@Suite("run: streams and status", .requiresKVM, .serialized)
struct RunTests {
    @Test("the process runs on a kernel of its own, as pid 1")
    func guestKernel() throws {
        let bundle = try Bundle()
        let outcome = try bundle.runScript("uname -r; echo $$; awk '$2==\"/\"{print $3}' /proc/mounts; hostname")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        let lines = outcome.text.split(separator: "\n").map(String.init)
        #expect(lines.count == 4)
        #expect(lines.first != (try shell("uname -r")))
        #expect(Array(lines.dropFirst()) == ["1", "virtiofs", "nacelle"])
        try bundle.expectNothingLeft()
    }

    @Test("the exit status is the process's", arguments: [0, 1, 42, 127, 128, 255])
    func exitStatus(_ status: Int32) throws {
        let bundle = try Bundle()
        #expect(try bundle.runScript("exit \(status)").status == status)
        try bundle.expectNothingLeft()
    }

    @Test("death by a signal is 128 plus its number")
    func signalDeath() throws {
        // The first process of a pid namespace is spared signals that it does not handle, all but SIGKILL from outside.
        let bundle = try Bundle(["sh", "-c", "echo up; while true; do sleep 1; done"])
        try bundle.save()
        let command = try bundle.start("run", "--bundle", bundle.path, "c")
        try eventually("the process is up") { command.outputSoFar().contains("up") }
        #expect(try bundle.nacelle("kill", "c", "KILL").status == 0)
        #expect(try command.wait().status == 137)
        try bundle.expectNothingLeft()
    }

    @Test("without a pid namespace every deadly signal kills", arguments: [1, 2, 6, 9, 11, 15])
    func everySignal(_ signal: Int32) throws {
        let bundle = try Bundle(["sh", "-c", "kill -\(signal) $$; sleep 5"])
        bundle.linux { linux in
            let namespaces = linux["namespaces"] as? [[String: Any]] ?? []
            linux["namespaces"] = namespaces.filter { $0["type"] as? String != "pid" }
        }
        #expect(try bundle.runContainer().status == 128 + signal)
    }

    @Test("bytes pass unchanged in both directions, and standard error apart")
    func binaryClean() throws {
        var generator = SystemRandomNumberGenerator()
        let data = Data((0..<(4 << 20)).map { _ in UInt8.random(in: 0...255, using: &generator) })
        let bundle = try Bundle()
        let outcome = try bundle.runScript("cat; echo done >&2", input: data)
        #expect(outcome.status == 0, "\(outcome.errorText)")
        #expect(outcome.output == data)
        #expect(outcome.errorText == "done\n")
    }

    @Test("a closed reader ends the writer by SIGPIPE")
    func closedReader() throws {
        // Not as the first of its pid namespace, which the signal does not kill.
        let bundle = try Bundle(["sh", "-c", "yes; exit $?"])
        try bundle.save()
        let outcome = try run(
            "/bin/bash", ["-c", "'\(Nacelle.program)' --root '\(bundle.root)' run --bundle '\(bundle.path)' c | head -c 100000 | wc -c; echo ${PIPESTATUS[0]}"])
        #expect(outcome.text == "100000\n141\n")
        try bundle.expectNothingLeft()
    }

    @Test("the end of standard input reaches the process")
    func endOfInput() throws {
        let bundle = try Bundle()
        #expect(try bundle.runScript("wc -c", input: Data("12345".utf8)).line == "5")
        #expect(try bundle.runScript("wc -c").line == "0")
    }

    @Test("what cannot be executed fails as under runc", arguments: [
        (["nope"], "exec: \"nope\": executable file not found in $PATH"),
        (["/nope"], "exec: \"/nope\": stat /nope: no such file or directory"),
        (["/etc/passwd"], "exec: \"/etc/passwd\": permission denied"),
    ])
    func cannotExecute(_ arguments: [String], _ message: String) throws {
        let bundle = try Bundle(arguments)
        let outcome = try bundle.runContainer()
        #expect(outcome.status == 1)
        #expect(outcome.errorText.contains(message), "\(outcome.errorText)")
        try bundle.expectNothingLeft()
    }

    @Test("several vCPUs and the asked-for memory are there")
    func size() throws {
        let bundle = try Bundle()
        bundle.configuration["annotations"] = ["dev.nacelle.vcpus": "3", "dev.nacelle.memory": "300"]
        let lines = try bundle.runScript("nproc; awk '/MemTotal/{print int($2/1024)}' /proc/meminfo").text.split(separator: "\n")
        #expect(lines.first == "3")
        let memory = Int(lines.last ?? "") ?? 0
        #expect((250...300).contains(memory), "\(memory) MiB")
    }
}
