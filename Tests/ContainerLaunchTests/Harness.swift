import ContainerLaunch
import Glibc
import JSONText
import LinuxSystem
import OCISpec
import Testing

/// nacelle-init as built beside the tests (or NACELLE_INIT).
let initProgram: String? = {
    if let path = unsafe getenv("NACELLE_INIT") { return unsafe String(cString: path) }
    var path = "/proc/self/exe"
    if let links = try? OwnedDescriptor(opening: "/proc/self", flags: O_PATH | O_DIRECTORY), let target = try? links.linkTarget(of: "exe") { path = target }
    var candidates: [String] = []
    for argument in CommandLine.arguments + [path] {
        var parts = argument.split(separator: "/", omittingEmptySubsequences: false)
        while parts.count > 1 {
            parts.removeLast()
            candidates.append(parts.joined(separator: "/") + "/nacelle-init")
        }
    }
    return candidates.first { (try? FileStatus(path: $0))?.isRegular ?? false }
}()

/// Whether containers can be made here.
let canLaunch = geteuid() == 0 && initProgram != nil

/// One after another: several count what is left behind, or look at the machine's control groups.
@Suite(.serialized, .enabled(if: canLaunch, "needs root and nacelle-init (swift build --product nacelle-init)"))
struct LaunchTests {}

/// A directory with a rootfs of busybox, removed in the end.
final class TestBundle {
    let directory: String
    var rootfs: String { directory + "/rootfs" }
    let identifier: String

    init() throws {
        var template = Array("/tmp/nacelle-test-XXXXXX".utf8CString)
        directory = unsafe template.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress, let made = unsafe mkdtemp(base) else { return "" }
            return unsafe String(cString: made)
        }
        try #require(!directory.isEmpty)
        // A mapped root must be able to enter.
        try OwnedDescriptor(opening: "/tmp", flags: O_RDONLY | O_DIRECTORY).setPermissions(of: String(directory.dropFirst(5)), 0o755)
        identifier = String(directory.split(separator: "/").last ?? "test")
        for name in ["", "/bin", "/etc", "/dev", "/proc", "/sys", "/tmp", "/root"] { try makeDirectory(directory + "/rootfs" + name) }
        try writeFile(directory + "/rootfs/bin/busybox", try readFile("/bin/busybox"), mode: 0o755)
        let bin = try OwnedDescriptor(opening: directory + "/rootfs/bin", flags: O_RDONLY | O_DIRECTORY)
        for name in ["sh", "cat", "id", "ls", "stat", "echo", "grep", "mount", "sleep", "hostname", "true", "tty", "stty", "readlink", "env", "mkdir", "chmod", "touch", "ps", "ip", "printf", "kill", "wc", "test", "sed", "umount", "mknod", "dd", "head", "ulimit", "nproc", "seq"] {
            try bin.makeSymbolicLink(name, to: "busybox")
        }
        try write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
    }

    func write(_ path: String, _ text: String, mode: UInt32 = 0o644) throws { try writeFile(rootfs + path, Array(text.utf8), mode: mode) }

    deinit { removeTree(directory) }

    /// A plan like `runc spec` makes.
    func plan(_ args: [String]) -> RuntimeSpec {
        var spec = RuntimeSpec()
        spec.ociVersion = "1.0.2"
        spec.process = process(args)
        spec.root = RootSpec(path: rootfs)
        spec.hostname = "nacelle-test"
        spec.mounts = RuntimeSpec.example().mounts.filter { $0.type != "cgroup" }
        var linux = LinuxSpec()
        linux.namespaces = [.pid, .network, .ipc, .uts, .mount].map { NamespaceSpec($0) }
        linux.maskedPaths = ["/proc/kcore", "/proc/scsi", "/proc/no-such-thing"]
        linux.readonlyPaths = ["/proc/sys", "/proc/sysrq-trigger"]
        linux.cgroupsPath = "/nacelle-tests/" + identifier
        spec.linux = linux
        return spec
    }

    func process(_ args: [String]) -> ProcessSpec {
        var process = ProcessSpec()
        process.args = args
        process.env = ["PATH=/usr/bin:/bin"]
        process.cwd = "/"
        var sets = CapabilitySets()
        sets.bounding = ["CAP_KILL", "CAP_NET_BIND_SERVICE"]
        sets.effective = sets.bounding
        sets.permitted = sets.bounding
        process.capabilities = sets
        process.noNewPrivileges = true
        return process
    }

    func script(_ text: String, _ change: (inout RuntimeSpec) -> Void = { _ in }) -> RuntimeSpec {
        var spec = plan(["/bin/sh", "-c", text])
        change(&spec)
        return spec
    }
}

func removeTree(_ path: String) {
    guard let directory = try? OwnedDescriptor(opening: path, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW) else { return }
    for name in (try? directory.entries()) ?? [] {
        if (try? directory.status(of: name))?.isDirectory == true { removeTree(path + "/" + name) } else { try? directory.remove(name) }
    }
    try? removeDirectory(path)
}

struct Outcome {
    var status: LinuxSystem.ExitStatus
    var output: String
    var error: String
    var warnings: [String]
    var lines: [Substring] { output.split(separator: "\n", omittingEmptySubsequences: false) }
}

/// The streams of one process: nothing in, both outputs into files that are read afterwards.
final class Capture {
    let output: SharedDescriptor
    let error: SharedDescriptor
    init() throws {
        output = try Capture.file()
        error = try Capture.file()
    }
    private static func file() throws -> SharedDescriptor {
        SharedDescriptor(try OwnedDescriptor(opening: "/tmp", flags: O_RDWR | O_TMPFILE, mode: 0o600))
    }
    func streams(preserved: [SharedDescriptor] = []) throws -> LaunchStreams {
        let null = SharedDescriptor(try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR))
        return LaunchStreams(input: null, output: output, error: error, preserved: preserved)
    }
    private static func text(_ file: SharedDescriptor) throws -> String {
        String(decoding: try readFile("/proc/self/fd/\(file.rawValue)"), as: UTF8.self)
    }
    func outcome(_ status: LinuxSystem.ExitStatus, _ warnings: [String]) throws -> Outcome {
        Outcome(status: status, output: try Capture.text(output), error: try Capture.text(error), warnings: warnings)
    }
}

func launcher(_ spec: RuntimeSpec, _ bundle: TestBundle) throws -> ContainerLauncher {
    ContainerLauncher(plan: spec, identifier: bundle.identifier, initProgram: try #require(initProgram))
}

/// Creates, starts, waits and deletes.
func run(_ spec: RuntimeSpec, _ bundle: TestBundle, preserved: [SharedDescriptor] = []) throws -> Outcome {
    let capture = try Capture()
    let container = try launcher(spec, bundle).create(streams: try capture.streams(preserved: preserved))
    do {
        try container.start()
    } catch {
        _ = try? waitForProcess(container.pid)
        try? container.delete()
        throw error
    }
    let ended = try #require(try waitForProcess(container.pid))
    try container.delete()
    return try capture.outcome(ended.status, container.process.warnings)
}
