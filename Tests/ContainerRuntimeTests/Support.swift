import Foundation
import Glibc
import JSONText
import LinuxSystem
import OCISpec
import Synchronization
import Testing

@testable import ContainerRuntime

/// Where the test programs were built: beside this one.
enum Built {
    static let folder = Components.programFolder() + "/"
    static let fakeMachine = folder + "fake-machine"
    /// nacelle-oci, if it was built: `make` stages it, `swift build` puts it beside the tests.
    static let program: String? = {
        let staged = ProcessInfo.processInfo.environment["NACELLE_STAGE"].map { $0 + "/nacelle-oci" }
        return [staged, folder + "nacelle-oci"].compactMap { $0 }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }()
}

extension Trait where Self == ConditionTrait {
    static var requiresProgram: Self { .enabled(if: Built.program != nil, "needs nacelle-oci: build it, or name its folder by NACELLE_STAGE") }
}

/// A bundle and a state directory of one test, and a machine that does as it is told (Tests/FakeMachine).
final class Fixture {
    let folder: String
    var root: String { folder + "/state" }
    var bundle: String { folder + "/bundle" }
    var spec: RuntimeSpec
    let log: RuntimeLog

    /// - Parameter scenario: what the machine shall do, in the words of Tests/FakeMachine.
    init(_ scenario: String = "") throws {
        folder = "/tmp/nacelle-runtime-test.\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder + "/bundle/rootfs", withIntermediateDirectories: true)
        spec = RuntimeSpec.example()
        spec.process?.terminal = false
        spec.annotations["dev.nacelle.cmdline"] = scenario.isEmpty ? nil : scenario
        log = try RuntimeLog(path: folder + "/log", format: .text, debug: true)
        Fixture.count.withLock { $0 += 1 }
    }

    /// How many there are.
    private static let count = Mutex(0)

    /// Waits for machines that no test has waited for: a dead child keeps the test library from seeing that its own children have ended.
    private static func reapMachines() {
        for pid in ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap({ Int32($0) }) {
            guard let bytes = try? readFile("/proc/\(pid)/stat") else { continue }
            // proc_pid_stat(5): the pid, the name in parentheses, the state, the parent.
            let fields = String(decoding: bytes, as: UTF8.self).split(separator: " ")
            guard fields.count > 3, fields[1] == "(fake-machine)", fields[3] == "\(getpid())" else { continue }
            try? sendSignal(SIGKILL, to: pid)
            _ = try? waitForProcess(pid)
        }
    }

    deinit {
        // Whatever a failed test left running.
        for id in (try? StateDirectory.identifiers(root: root)) ?? [] {
            try? container(id).delete(force: true)
        }
        try? FileManager.default.removeItem(atPath: folder)
        Fixture.count.withLock { count in
            count -= 1
            // Nobody is left who could wait for one.
            if count == 0 { Fixture.reapMachines() }
        }
    }

    var components: Components { Components(monitor: Built.fakeMachine, kernel: "/nonexistent/vmlinux", image: "/dev/null") }
    func container(_ id: String = "c") throws(RuntimeError) -> Container { try Container(root: root, id: id, log: log) }

    /// Writes config.json as `spec` says and returns the bundle's folder.
    @discardableResult
    func save() throws -> String {
        try Data(spec.json.bytes()).write(to: URL(fileURLWithPath: bundle + "/config.json"))
        return bundle
    }

    @discardableResult
    func create(_ id: String = "c", pidFile: String? = nil) throws(RuntimeError) -> Int32 {
        try container(id).create(spec, bundle: bundle, streams: .inherited, components: components, pidFile: pidFile)
    }

    func logText() -> String { (try? String(contentsOfFile: folder + "/log", encoding: .utf8)) ?? "" }
    func text(of name: String) -> String? { try? String(contentsOfFile: folder + "/" + name, encoding: .utf8) }

    /// Fails the test if the state directory holds anything, or a machine of this test runs.
    func expectNothingLeft(sourceLocation: SourceLocation = #_sourceLocation) {
        let entries = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        // What is known of this machine's KVM stays.
        #expect(entries.filter { $0 != ".kvm@usable" } == [], sourceLocation: sourceLocation)
        #expect(machines() == [], "a machine still runs", sourceLocation: sourceLocation)
    }

    /// The running machines of this test, known by their logs.
    func machines() -> [Int32] {
        let processes = ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { Int32($0) }
        return processes.filter { pid in
            guard ProcessIdentity.startTime(of: pid) != nil else { return false }
            let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/fd/5")
            return target?.hasPrefix(root) == true && (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/exe")) == Built.fakeMachine
        }
    }

    /// A hook that runs a shell script.
    static func hook(_ script: String, timeout: Int? = nil) -> HookSpec {
        var hook = HookSpec()
        (hook.path, hook.args, hook.timeout) = ("/bin/sh", ["sh", "-c", script], timeout)
        return hook
    }
}

/// What `body` throws, as its message.
func message<T>(_ body: () throws(RuntimeError) -> T) -> String? {
    do throws(RuntimeError) {
        _ = try body()
        return nil
    } catch { return error.message }
}

/// Waits for a condition that another process brings about; the test fails if it has not come after a minute.
func eventually(_ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () throws -> Bool) rethrows {
    for _ in 0..<6000 {
        if try condition() { return }
        usleep(10_000)
    }
    Issue.record("did not come: \(what)", sourceLocation: sourceLocation)
}
