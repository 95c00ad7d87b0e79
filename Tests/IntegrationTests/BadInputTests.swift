import Foundation
import Glibc
import Testing

@Suite("Bad input is refused with the reason, and nothing stays", .requiresKVM, .serialized)
struct BadInputTests {
    private func expectFailure(_ bundle: Bundle, _ message: String, environment: [String: String] = [:], sourceLocation: SourceLocation = #_sourceLocation) throws {
        let log = bundle.path + "/log.json"
        let outcome = try run(
            Nacelle.program, ["--root", bundle.root, "--log", log, "--log-format", "json", "run", "--bundle", bundle.path, "c"], environment: environment)
        #expect(outcome.status == 1, sourceLocation: sourceLocation)
        #expect(outcome.errorText.contains(message), "stderr: \(outcome.errorText)", sourceLocation: sourceLocation)
        let lines = (try? String(contentsOfFile: log, encoding: .utf8))?.split(separator: "\n") ?? []
        let last = try lines.last.map { try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any] }
        let logged = (last as? [String: Any])?["msg"] as? String ?? ""
        #expect(logged.contains(message), "log: \(lines)", sourceLocation: sourceLocation)
        try bundle.expectNothingLeft(sourceLocation: sourceLocation)
    }

    @Test("kernels", arguments: [("absent", "no such file or directory"), ("text", "is not an ELF file"), ("truncated", "is truncated")])
    func kernel(_ kind: String, _ message: String) throws {
        let bundle = try Bundle(["true"])
        try bundle.save()
        let kernel = bundle.path + "/kernel"
        if kind == "text" { try "not a kernel".write(toFile: kernel, atomically: false, encoding: .utf8) }
        if kind == "truncated" { try shell("head -c 3000000 \(Nacelle.stage)/guest/vmlinux > \(kernel)") }
        try expectFailure(bundle, message, environment: ["NACELLE_KERNEL": kernel])
    }

    @Test("guest images", arguments: [("absent", "no such file or directory"), ("truncated", "multiple of 16 MiB"), ("zeroes", "not an EROFS image")])
    func image(_ kind: String, _ message: String) throws {
        let bundle = try Bundle(["true"])
        try bundle.save()
        let image = bundle.path + "/image"
        if kind == "truncated" { try shell("head -c 3000000 \(Nacelle.stage)/guest/root.erofs > \(image)") }
        if kind == "zeroes" { try shell("truncate -s 16M \(image)") }
        try expectFailure(bundle, message, environment: ["NACELLE_GUEST_IMAGE": image])
    }

    @Test("memory", arguments: [("20", "memory"), ("99999999", "memory")])
    func memory(_ mebibytes: String, _ message: String) throws {
        let bundle = try Bundle(["true"])
        bundle.configuration["annotations"] = ["dev.nacelle.memory": mebibytes]
        try bundle.save()
        try expectFailure(bundle, message)
    }

    @Test("a guest that panics")
    func panic() throws {
        let bundle = try Bundle(["true"])
        bundle.configuration["annotations"] = ["dev.nacelle.cmdline": "init=/nonexistent rdinit=/nonexistent"]
        try bundle.save()
        try expectFailure(bundle, "panicked")
    }

    @Test("config.json", arguments: [
        ("", "config.json"),
        ("[]", "config.json"),
        ("{", "config.json"),
        (#"{"ociVersion":"1.0.2"}"#, "root: is missing"),
        (#"{"ociVersion":"1.0.2","root":{"path":"rootfs"}}"#, "process: is missing"),
        (#"{"ociVersion":"9.0.0","process":{"args":["a"],"cwd":"/"},"root":{"path":"rootfs"}}"#, "ociVersion"),
        (#"{"ociVersion":"1.0.2","process":{"args":"a","cwd":"/"},"root":{"path":"rootfs"}}"#, "process.args"),
        (#"{"ociVersion":"1.0.2","process":{"args":["a"],"cwd":"x"},"root":{"path":"rootfs"}}"#, "process.cwd"),
        (#"{"ociVersion":"1.0.2","process":{"args":["a"],"cwd":"/"},"root":{"path":"absent"},"linux":{"namespaces":[{"type":"network"}]}}"#, "absent"),
    ])
    func configuration(_ text: String, _ message: String) throws {
        let bundle = try Bundle(["true"])
        try text.write(toFile: bundle.path + "/config.json", atomically: false, encoding: .utf8)
        try expectFailure(bundle, message)
    }

    @Test("container names", arguments: ["a/b", "..", "a b", ""])
    func names(_ name: String) throws {
        let bundle = try Bundle(["true"])
        try bundle.save()
        let outcome = try bundle.nacelle("run", "--bundle", bundle.path, name)
        #expect(outcome.status == 1)
        #expect(outcome.errorText.lowercased().contains("id"), "\(outcome.errorText)")
        try bundle.expectNothingLeft()
    }
}
