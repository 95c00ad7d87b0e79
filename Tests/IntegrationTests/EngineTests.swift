import Foundation
import Testing

/// nacelle, the engine, with microVMs beneath.
@Suite("nacelle run: machines", .requiresKVM, .serialized)
struct EngineTests {
    private let folder = "/tmp/nacelle-engine.\(UUID().uuidString)"
    private var root: String { folder + "/root" }

    init() throws {
        try shell("mkdir -p \(root)/bin \(root)/etc && cp /bin/busybox \(root)/bin/ && for name in sh cat uname id echo sleep hostname grep; do ln -s busybox \(root)/bin/$name; done")
        try shell("echo 'web:x:33:44::/:/bin/sh' > \(root)/etc/passwd")
    }

    private func nacelle(_ arguments: [String], input: Data? = nil) throws -> Outcome {
        try run(Nacelle.stage + "/nacelle", ["--root", folder + "/data"] + arguments, input: input)
    }

    private func clean() throws {
        #expect(try nacelle(["ps", "-aq"]).text == "")
        try shell("rm -rf \(folder)")
    }

    @Test("a program runs on a kernel of its own, with streams, user, volume and status")
    func foreground() throws {
        try shell("mkdir \(folder)/volume && echo shared > \(folder)/volume/file")
        let outcome = try nacelle(
            ["run", "--rm", "-i", "-u", "web", "-m", "128m", "-v", "\(folder)/volume:/v:ro", "--rootfs", root, "sh", "-c", "uname -r; id -u; cat; cat /v/file; echo err >&2; exit 9"], input: Data("typed\n".utf8))
        #expect(outcome.status == 9, "\(outcome.errorText)")
        let lines = outcome.text.split(separator: "\n").map(String.init)
        #expect(lines.first != (try shell("uname -r")) && Array(lines.dropFirst()) == ["33", "typed", "shared"])
        #expect(outcome.errorText == "err\n")
        try clean()
    }

    @Test("detached: exec, logs, stop; an image of a tar")
    func detached() throws {
        try shell("tar -C \(root) -cf \(folder)/base.tar .")
        #expect(try nacelle(["import", folder + "/base.tar", "base"]).status == 0)
        let started = try nacelle(["run", "-d", "--name", "one", "base", "sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done"])
        #expect(started.status == 0, "\(started.errorText)")
        try eventually("it writes") { (try? nacelle(["logs", "one"]).text) == "up\n" }
        #expect(try nacelle(["exec", "one", "sh", "-c", "echo in; exit 5"]).status == 5)
        try eventually("its isolation is known") { (try? nacelle(["inspect", "--format", "{{.Isolation}}", "one"]).line) == "microvm" }
        #expect(try nacelle(["stop", "one"]).status == 0)
        #expect(try nacelle(["wait", "one"]).line == "3")
        #expect(try nacelle(["rm", "one"]).status == 0)
        #expect(try nacelle(["run", "--network", "host", "base", "id"]).status == 125)
        try clean()
    }
}
