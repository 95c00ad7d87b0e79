import CLinux
import Foundation
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

/// Whether containers can be made in namespaces of this host.
private let canIsolate = geteuid() == 0 && [HostBundle.initProgram, "/bin/busybox"].allSatisfy(FileManager.default.isExecutableFile)

extension Trait where Self == ConditionTrait {
    static var requiresNamespaces: Self { .enabled(if: canIsolate, "needs root, /bin/busybox and nacelle-init (swift build --product nacelle-init, or NACELLE_INIT)") }
}

/// One after another: they count what is left behind on this machine, and one of them takes orphans.
@Suite(.serialized, .requiresNamespaces)
struct NamespaceTests {}

/// A bundle of busybox, for containers in namespaces of this host.
final class HostBundle {
    static let initProgram = Components.locate().initProgram

    let fixture: Fixture
    let controlGroup = "/nacelle-tests-\(UUID().uuidString)"

    /// - Parameter script: what the container's shell runs.
    init(_ script: String) throws {
        fixture = try Fixture()
        let rootfs = fixture.bundle + "/rootfs"
        for name in ["bin", "proc", "dev", "sys", "tmp"] { try FileManager.default.createDirectory(atPath: "\(rootfs)/\(name)", withIntermediateDirectories: true) }
        try FileManager.default.copyItem(atPath: "/bin/busybox", toPath: rootfs + "/bin/busybox")
        for name in ["sh", "cat", "echo", "id", "ls", "sleep", "tty", "kill", "stty", "readlink", "hostname", "true", "head", "tr", "wc"] {
            try FileManager.default.createSymbolicLink(atPath: "\(rootfs)/bin/\(name)", withDestinationPath: "busybox")
        }
        fixture.spec.root?.readonly = false
        fixture.spec.process?.args = ["sh", "-c", script]
        fixture.spec.linux?.cgroupsPath = controlGroup
        try fixture.save()
    }

    func container(_ id: String = "c") throws(RuntimeError) -> Container { try fixture.container(id) }

    @discardableResult
    func create(_ id: String = "c", pidFile: String? = nil, components: Components = .locate(), streams: Container.Streams = .inherited) throws(RuntimeError) -> Int32 {
        try container(id).create(fixture.spec, bundle: fixture.bundle, streams: streams, components: components, pidFile: pidFile, isolation: .namespace)
    }

    /// The group's directories that exist.
    var groups: [String] {
        let mounts = ((try? FileManager.default.contentsOfDirectory(atPath: "/sys/fs/cgroup")) ?? []).map { "/sys/fs/cgroup/" + $0 } + ["/sys/fs/cgroup"]
        return mounts.map { $0 + controlGroup }.filter { FileManager.default.fileExists(atPath: $0) }
    }

    /// Fails the test if anything is left: state, control groups, mounts.
    func expectNothingLeft(sourceLocation: SourceLocation = #_sourceLocation) {
        fixture.expectNothingLeft(sourceLocation: sourceLocation)
        #expect(groups == [], sourceLocation: sourceLocation)
        let mounts = (try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)) ?? ""
        #expect(!mounts.contains(fixture.folder), sourceLocation: sourceLocation)
    }
}

/// nacelle-oci with `--isolation namespace`.
final class HostCommand {
    let process = Process()
    private let base: String

    init(_ bundle: HostBundle, _ arguments: [String], program: String? = nil, isolation: String? = "namespace", input: FileHandle = .nullDevice) throws {
        base = bundle.fixture.folder + "/" + UUID().uuidString
        process.executableURL = URL(fileURLWithPath: program ?? Built.program ?? "/nonexistent")
        process.arguments = ["--root", bundle.fixture.root] + (isolation.map { ["--isolation", $0] } ?? []) + arguments
        process.environment = ["NACELLE_INIT": HostBundle.initProgram]
        process.standardInput = input
        for kind in ["out", "err"] { _ = FileManager.default.createFile(atPath: "\(base).\(kind)", contents: nil) }
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: base + ".out"))
        process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: base + ".err"))
        process.currentDirectoryURL = URL(fileURLWithPath: bundle.fixture.bundle)
        try process.run()
    }

    var output: String { (try? String(contentsOfFile: base + ".out", encoding: .utf8)) ?? "" }
    var error: String { (try? String(contentsOfFile: base + ".err", encoding: .utf8)) ?? "" }

    /// Waits for its end; the status as a shell has it.
    @discardableResult
    func wait() -> Int32 {
        eventually("the end of \(process.arguments ?? [])") { !process.isRunning }
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
        return process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
    }
}

extension HostBundle {
    /// Runs a command to its end.
    func oci(_ arguments: String...) throws -> (status: Int32, output: String, error: String) {
        let command = try HostCommand(self, arguments)
        let status = command.wait()
        return (status, command.output, command.error)
    }
}
