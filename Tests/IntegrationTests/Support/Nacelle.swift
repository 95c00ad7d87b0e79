import Foundation
import Glibc
import KVM
import Testing

/// The programs under test and where they work.
enum Nacelle {
    /// The folder with the built programs (`make all`).
    static let stage = ProcessInfo.processInfo.environment["NACELLE_STAGE"] ?? ""
    static var program: String { stage + "/nacelle-oci" }

    /// Whether microVMs can run here; decided once, by running one of a few instructions.
    static let kvm = KVMProbe.run()
    static var canRun: Bool { kvm == .usable && FileManager.default.isExecutableFile(atPath: program) && geteuid() == 0 }
}

extension Trait where Self == ConditionTrait {
    /// The test boots virtual machines. With REQUIRE_KVM=1, `RequirementTests` fails where these are skipped.
    static var requiresKVM: Self {
        .enabled(if: Nacelle.canRun, "needs root, built programs (NACELLE_STAGE) and a KVM that can run a guest; this one: \(Nacelle.kvm)")
    }
}

@Suite("Requirements")
struct RequirementTests {
    @Test("with REQUIRE_KVM=1 nothing may be skipped", .enabled(if: ProcessInfo.processInfo.environment["REQUIRE_KVM"] == "1", "REQUIRE_KVM is not set"))
    func required() {
        #expect(Nacelle.kvm == .usable)
        #expect(Nacelle.canRun, "NACELLE_STAGE=\(Nacelle.stage), uid \(geteuid())")
    }
}

/// A bundle of busybox in a folder of its own, a state directory of its own, and what is left of both afterwards.
final class Bundle {
    let path: String
    let root: String
    var rootfs: String { path + "/rootfs" }
    var configuration: [String: Any]

    init(_ arguments: [String] = ["sh"]) throws {
        path = "/tmp/nacelle-test.\(UUID().uuidString)"
        root = path + "/state"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try shell(
            """
            mkdir -p \(path)/rootfs/bin \(path)/rootfs/etc \(path)/rootfs/proc \(path)/rootfs/sys \(path)/rootfs/dev \(path)/rootfs/tmp \(path)/rootfs/root
            cp /bin/busybox \(path)/rootfs/bin/busybox
            chroot \(path)/rootfs /bin/busybox --install -s /bin
            echo root:x:0:0:root:/root:/bin/sh > \(path)/rootfs/etc/passwd
            """)
        let outcome = try run(Nacelle.program, ["spec", "--bundle", path])
        #expect(outcome.status == 0, "\(outcome.errorText)")
        let data = try Data(contentsOf: URL(fileURLWithPath: path + "/config.json"))
        configuration = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
        process { $0["terminal"] = false; $0["args"] = arguments }
        root { $0["readonly"] = false }
    }

    deinit {
        _ = try? run(Nacelle.program, ["--root", root, "delete", "--force", "c"])
        _ = try? run("/bin/rm", ["-rf", path])
    }

    func process(_ change: (inout [String: Any]) -> Void) { edit("process", change) }
    func root(_ change: (inout [String: Any]) -> Void) { edit("root", change) }
    func linux(_ change: (inout [String: Any]) -> Void) { edit("linux", change) }

    private func edit(_ key: String, _ change: (inout [String: Any]) -> Void) {
        var object = configuration[key] as? [String: Any] ?? [:]
        change(&object)
        configuration[key] = object
    }

    func mount(_ destination: String, type: String = "bind", source: String, options: [String] = ["bind"]) {
        var mounts = configuration["mounts"] as? [[String: Any]] ?? []
        mounts.append(["destination": destination, "type": type, "source": source, "options": options])
        configuration["mounts"] = mounts
    }

    /// Writes config.json as it stands.
    func save() throws {
        try JSONSerialization.data(withJSONObject: configuration).write(to: URL(fileURLWithPath: path + "/config.json"))
    }

    /// nacelle-oci with this bundle's state directory.
    func nacelle(_ arguments: String..., input: Data? = nil, limit: Double = 120) throws -> Outcome {
        try NacelleTestsSupport.invoke(root, arguments, input, limit)
    }

    func start(_ arguments: String..., input: Data? = nil) throws -> Command {
        try Command(Nacelle.program, ["--root", root] + arguments, input: input)
    }

    /// Saves the configuration and runs the container `c` to its end.
    func runContainer(input: Data? = nil, limit: Double = 120) throws -> Outcome {
        try save()
        return try nacelle("run", "--bundle", path, "c", input: input, limit: limit)
    }

    /// Runs a shell script in the container.
    func runScript(_ script: String, input: Data? = nil, limit: Double = 120) throws -> Outcome {
        process { $0["args"] = ["sh", "-c", script] }
        return try runContainer(input: input, limit: limit)
    }

    func state() throws -> [String: Any] {
        try JSONSerialization.jsonObject(with: try nacelle("state", "c").output) as? [String: Any] ?? [:]
    }

    func status() throws -> String { try state()["status"] as? String ?? "" }
    func pid() throws -> Int32 { Int32(try state()["pid"] as? Int ?? 0) }

    /// Fails the test if anything of this bundle's containers is left: state, processes, mounts, cgroups.
    func expectNothingLeft(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let entries = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        #expect(entries.filter { !$0.hasPrefix(".") }.isEmpty, "state: \(entries)", sourceLocation: sourceLocation)
        try eventually("no nacelle-vmm of this test is left", limit: 10) { try vmmProcesses().isEmpty }
        let mounts = try String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)
        #expect(!mounts.contains(path), "a mount is left below \(path)", sourceLocation: sourceLocation)
    }

    /// Machines whose state lies in this bundle's folder (they hold its log file or socket open).
    func vmmProcesses() throws -> [Int32] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { Int32($0) }.filter { pid in
            guard let name = try? String(contentsOfFile: "/proc/\(pid)/comm", encoding: .utf8), name.hasPrefix("nacelle-vmm") else { return false }
            let descriptors = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd")) ?? []
            return descriptors.contains { ((try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/fd/\($0)")) ?? "").hasPrefix(path) }
        }
    }
}

private enum NacelleTestsSupport {
    static func invoke(_ root: String, _ arguments: [String], _ input: Data?, _ limit: Double) throws -> Outcome {
        try run(Nacelle.program, ["--root", root] + arguments, input: input, limit: limit)
    }
}
