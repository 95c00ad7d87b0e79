import Foundation
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

/// nacelle-oci --isolation namespace as a user without rights.
extension NamespaceTests { @Suite("An ordinary user's containers", .requiresProgram)
struct RootlessTests {
    private static let user: UInt32 = 54_321

    /// A bundle that belongs to the user, configured as `runc spec --rootless` does, and programs where the user may execute them: the checkout may lie
    /// in somebody's own folder.
    private func bundle(_ script: String, _ change: (inout RuntimeSpec) -> Void = { _ in }) throws -> HostBundle {
        let bundle = try HostBundle(script)
        let fixture = bundle.fixture
        var spec = RuntimeSpec.example(rootless: true)
        spec.process?.terminal = false
        spec.process?.args = ["/bin/sh", "-c", script]
        spec.root?.readonly = false
        spec.linux?.uidMappings = [Self.mapping(0, Self.user, 1)]
        spec.linux?.gidMappings = [Self.mapping(0, Self.user, 1)]
        change(&spec)
        fixture.spec = spec
        try fixture.save()
        try FileManager.default.createDirectory(atPath: fixture.root, withIntermediateDirectories: true)
        for (program, name) in [(Built.program ?? "", "nacelle-oci"), (HostBundle.initProgram, "nacelle-init")] {
            try FileManager.default.copyItem(atPath: program, toPath: fixture.folder + "/" + name)
        }
        for path in [fixture.folder] + (try FileManager.default.subpathsOfDirectory(atPath: fixture.folder)).map({ fixture.folder + "/" + $0 }) {
            #expect(unsafe lchown(path, Self.user, Self.user) == 0)
        }
        return bundle
    }

    private static func mapping(_ container: UInt32, _ host: UInt32, _ size: UInt32) -> IDMappingSpec {
        var mapping = IDMappingSpec()
        (mapping.containerID, mapping.hostID, mapping.size) = (container, host, size)
        return mapping
    }

    private struct Outcome {
        var status: Int32
        var output: String
        var error: String
    }

    /// Runs nacelle-oci as the user; with `root: nil` without `--root`.
    private func oci(_ bundle: HostBundle, root: String?? = .none, environment: [String: String] = [:], _ arguments: String...) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/setpriv")
        let folder = (root ?? bundle.fixture.root).map { ["--root", $0] } ?? []
        process.arguments = ["--reuid", "\(Self.user)", "--regid", "\(Self.user)", "--clear-groups", bundle.fixture.folder + "/nacelle-oci"] + folder + ["--isolation", "namespace"] + arguments
        process.environment = environment.merging(["NACELLE_INIT": bundle.fixture.folder + "/nacelle-init", "NACELLE_CONFIG": "/dev/null"]) { $1 }
        process.currentDirectoryURL = URL(fileURLWithPath: bundle.fixture.bundle)
        process.standardInput = FileHandle.nullDevice
        let base = bundle.fixture.folder + "/" + UUID().uuidString
        for kind in ["out", "err"] {
            _ = FileManager.default.createFile(atPath: "\(base).\(kind)", contents: nil, attributes: [.posixPermissions: 0o666])
            #expect(unsafe chown("\(base).\(kind)", Self.user, Self.user) == 0)
        }
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: base + ".out"))
        process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: base + ".err"))
        try process.run()
        eventually("the end of \(arguments)") { !process.isRunning }
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
        func text(_ kind: String) throws -> String { try String(contentsOfFile: "\(base).\(kind)", encoding: .utf8) }
        return Outcome(status: process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus, output: try text("out"), error: try text("err"))
    }

    @Test("run: root of a user namespace of one id, with devices, terminals and files that are the user's")
    func run() throws {
        let bundle = try bundle("id -u; cat /proc/self/uid_map; echo lost > /dev/null; ls /dev/pts /dev/mqueue; ls /sys/kernel > /dev/null && : > /made; exit 7")
        let outcome = try oci(bundle, "run", "c")
        #expect(outcome.status == 7 && outcome.error == "", "\(outcome)")
        #expect(outcome.output.hasPrefix("0\n         0      54321          1\n"), "\(outcome)")
        #expect(try FileStatus(path: bundle.fixture.bundle + "/rootfs/made").user == Self.user)
        bundle.expectNothingLeft()
    }

    @Test("create, state, start, ps, exec, kill --all, delete; a pause that cannot be says so")
    func wholeLife() throws {
        let bundle = try bundle("trap '' TERM; sleep 1000 & : > /ready; while :; do sleep 0.05; done")
        #expect(try oci(bundle, "create", "c").status == 0)
        #expect(try oci(bundle, "state", "c").output.contains("\"status\": \"created\""))
        let tooEarly = try oci(bundle, "exec", "c", "/bin/sh", "-c", "exit 3")
        #expect(tooEarly.status == 3, "\(tooEarly)")
        #expect(try oci(bundle, "start", "c").status == 0)
        eventually("the script's children") { FileManager.default.fileExists(atPath: bundle.fixture.bundle + "/rootfs/ready") }
        #expect(try oci(bundle, "list").output.contains(" running "))
        let processes = try oci(bundle, "ps", "c").output
        #expect(processes.contains("sleep 1000") && processes.contains("trap"), "\(processes)")
        let further = try oci(bundle, "exec", "c", "/bin/sh", "-c", "readlink /proc/self/ns/pid; readlink /proc/1/ns/pid; readlink /proc/self/ns/user; readlink /proc/1/ns/user; id -u")
        let lines = further.output.split(separator: "\n")
        #expect(further.status == 0 && lines.count == 5 && lines[0] == lines[1] && lines[2] == lines[3] && lines[4] == "0", "\(further)")
        let record = try bundle.container().record()
        if record.controlGroups.isEmpty {
            let paused = try oci(bundle, "pause", "c")
            #expect(paused.status == 1 && paused.error.contains("container c has no control group, by which it could be paused"), "\(paused)")
        }
        #expect(try oci(bundle, "kill", "--all", "c", "KILL").status == 0)
        eventually("the end") { !record.isAlive }
        #expect(try oci(bundle, "delete", "c").status == 0)
        bundle.expectNothingLeft()
    }

    @Test("what a user namespace cannot mount is the outside's, or is made without what is not mapped")
    func mounts() throws {
        let bundle = try bundle("ls -d /sys/kernel /proc/1 /dev/pts/ptmx; (: > /sys/kernel/x) || echo read-only") { spec in
            // The namespaces that these belong to are the outside's.
            spec.linux?.namespaces.removeAll { $0.type == .ipc || $0.type == .network }
            for index in spec.mounts.indices where spec.mounts[index].destination == "/sys" {
                spec.mounts[index] = MountSpec(destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"])
            }
            for index in spec.mounts.indices where spec.mounts[index].destination == "/dev/pts" { spec.mounts[index].options.append("gid=5") }
            if !FileManager.default.fileExists(atPath: "/dev/mqueue") { spec.mounts.removeAll { $0.type == "mqueue" } }
            spec.mounts.removeAll { $0.type == "cgroup" }
        }
        let outcome = try oci(bundle, "run", "c")
        #expect(outcome.status == 0 && outcome.output == "/dev/pts/ptmx\n/proc/1\n/sys/kernel\nread-only\n", "\(outcome)")
        #expect(outcome.error.contains("devpts: gid=5 is left out: the group is not mapped in the container's user namespace"), "\(outcome)")
        bundle.expectNothingLeft()
    }

    @Test("what an ordinary user cannot have is refused in runc's words", arguments: [
        "user namespace", "uid mapping", "gid mapping", "root", "groups", "uid", "limits", "path", "range", "network",
    ])
    func refused(_ what: String) throws {
        var expected = ""
        let bundle = try bundle("true") { spec in
            switch what {
            case "user namespace":
                spec.linux?.namespaces.removeAll { $0.type == .user }
                spec.linux?.uidMappings = []
                spec.linux?.gidMappings = []
                expected = "rootless container requires user namespaces"
            case "uid mapping":
                spec.linux?.uidMappings = []
                expected = "config.json: linux.uidMappings: is missing: a new user namespace has no users without"
            case "gid mapping":
                spec.linux?.gidMappings = []
                expected = "config.json: linux.gidMappings: is missing: a new user namespace has no groups without"
            case "root":
                spec.linux?.uidMappings = [Self.mapping(1, Self.user, 1)]
                expected = "root is not mapped in linux.uidMappings and linux.gidMappings"
            case "groups":
                spec.process?.user.additionalGids = [5]
                expected = "cannot set any additional groups in a rootless container"
            case "uid":
                spec.process?.user.uid = 1000
                expected = "cannot set uid to unmapped user in user namespace"
            case "limits":
                var pids = ResourcesSpec.PidsSpec()
                pids.limit = 10
                spec.linux?.resources = ResourcesSpec()
                spec.linux?.resources?.pids = pids
                expected = "rootless needs no limits + no cgrouppath when no permission is granted for cgroups"
            case "path":
                spec.linux?.cgroupsPath = "/nacelle-rootless-test"
                expected = "cgroup: mkdir /sys/fs/cgroup"
            case "range":
                // An ordinary user without an entry of its own in /etc/subuid.
                spec.linux?.uidMappings = [Self.mapping(0, Self.user, 1), Self.mapping(1, 700_000, 1000)]
                expected = "map the user namespace: newuidmap"
            default:
                spec.linux?.namespaces.removeAll { $0.type == .network }
                spec.linux?.namespaces.append(NamespaceSpec(.network, path: "/proc/self/ns/net"))
                expected = "join namespaces: setns net: operation not permitted"
            }
        }
        let outcome = try oci(bundle, "run", "c")
        #expect(outcome.status == 1 && outcome.error.contains(expected), "\(outcome)")
        bundle.expectNothingLeft()
    }

    @Test("states are in $XDG_RUNTIME_DIR/nacelle, sticky, or in a folder of the user's own in /tmp")
    func defaultRoot() throws {
        let bundle = try bundle("while :; do sleep 0.05; done")
        let folder = bundle.fixture.folder
        #expect(try oci(bundle, root: .some(nil), environment: ["XDG_RUNTIME_DIR": folder], "create", "c").status == 0)
        let status = try FileStatus(path: folder + "/nacelle")
        #expect(status.permissions == 0o1700 && status.user == Self.user)
        #expect(try FileStatus(path: folder + "/nacelle/c/state.json").isRegular)
        #expect(try oci(bundle, root: .some(nil), environment: ["XDG_RUNTIME_DIR": folder], "delete", "--force", "c").status == 0)
        let missing = try oci(bundle, root: .some(nil), environment: ["XDG_RUNTIME_DIR": "/nonexistent"], "list")
        #expect(missing.status == 1 && missing.error.contains("set XDG_RUNTIME_DIR to a folder of yours, or use --root"), "\(missing)")

        let fallback = "/tmp/nacelle-\(Self.user)"
        try? FileManager.default.removeItem(atPath: fallback)
        defer { try? FileManager.default.removeItem(atPath: fallback) }
        #expect(try oci(bundle, root: .some(nil), "list").status == 0)
        #expect(try FileStatus(path: fallback).permissions == 0o700)
        // Anybody could have made it.
        #expect(unsafe chown(fallback, 0, 0) == 0)
        let foreign = try oci(bundle, root: .some(nil), "list")
        #expect(foreign.status == 1 && foreign.error.contains("\(fallback): operation not permitted"), "\(foreign)")
        try FileManager.default.removeItem(atPath: fallback)
        try FileManager.default.createSymbolicLink(atPath: fallback, withDestinationPath: folder)
        #expect(try oci(bundle, root: .some(nil), "list").status == 1)
    }

    @Test("--rootless: its words, and what it changes for root")
    func flag() throws {
        let bundle = try HostBundle("cat /dev/null; echo ok")
        for word in ["true", "auto", "false", "0", "T"] {
            let outcome = try bundle.oci("--rootless", word, "run", "c")
            #expect(outcome.status == 0 && outcome.output == "ok\n", "\(outcome)")
        }
        let wrong = try bundle.oci("--rootless", "maybe", "run", "c")
        #expect(wrong.status == 1 && wrong.error.contains("--rootless: \"maybe\" is not one of true, false, auto"), "\(wrong)")
        bundle.expectNothingLeft()
    }
} }
