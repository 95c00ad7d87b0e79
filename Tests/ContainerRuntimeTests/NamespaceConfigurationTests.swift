import Foundation
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

extension NamespaceTests { @Suite("config.json in namespaces of this host", .requiresProgram)
struct ConfigurationTests {
    /// A seccomp agent: takes one state and its listener, says what it got, and answers every mkdir as if it had been done.
    private static let agent = """
        import fcntl, json, socket, struct, sys
        server = socket.socket(socket.AF_UNIX)
        server.bind(sys.argv[1])
        server.listen()
        connection, _ = server.accept()
        data, fds, _, _ = socket.recv_fds(connection, 65536, 4)
        while more := connection.recv(65536): data += more
        state = json.loads(data)
        print(len(fds), state["fds"], state["metadata"], state["state"]["id"], state["state"]["status"], state["pid"] == state["state"]["pid"], flush=True)
        for _ in range(2):
            notification = bytearray(80)
            fcntl.ioctl(fds[0], 0xC0502100, notification)  # SECCOMP_IOCTL_NOTIF_RECV
            identifier, pid, flags, number = struct.unpack_from("<QIIi", notification)
            fcntl.ioctl(fds[0], 0xC0182101, bytearray(struct.pack("<QqiI", identifier, 0, 0, 0)))  # SECCOMP_IOCTL_NOTIF_SEND
            print("answered", number, flush=True)
        """

    @Test("an agent on the host answers a container's system calls")
    func seccompAgent() throws {
        let bundle = try HostBundle("busybox mkdir /one && busybox mkdir /two && echo believed; ls -d /one 2>&1")
        let socket = bundle.fixture.folder + "/agent"
        let agent = Process()
        let pipe = Foundation.Pipe()
        agent.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        agent.arguments = ["-c", Self.agent, socket]
        agent.standardOutput = pipe
        try agent.run()
        defer { if agent.isRunning { agent.terminate() } }
        eventually("the agent's socket") { FileManager.default.fileExists(atPath: socket) }
        var rule = SeccompSpec.SystemCallRule()
        (rule.names, rule.action) = (["mkdir", "mkdirat"], .notify)
        var seccomp = SeccompSpec()
        (seccomp.listenerPath, seccomp.listenerMetadata, seccomp.syscalls, seccomp.flags) = (socket, "of the test", [rule], [.log])
        bundle.fixture.spec.linux?.seccomp = seccomp
        try bundle.fixture.save()
        let outcome = try bundle.oci("run", "c")
        #expect(outcome.status == 1 && outcome.output == "believed\nls: /one: No such file or directory\n", "\(outcome)")
        agent.waitUntilExit()
        let said = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(said == "1 ['seccompFd'] of the test c creating True\nanswered 83\nanswered 83\n", "\(said)")
        bundle.expectNothingLeft()
    }

    struct Refusal: CustomTestStringConvertible, Sendable {
        var message: String
        var change: @Sendable (inout RuntimeSpec) -> Void
        var testDescription: String { message }
        init(_ message: String, _ change: @escaping @Sendable (inout RuntimeSpec) -> Void) { (self.message, self.change) = (message, change) }
    }

    static let refusals: [Refusal] = [
        Refusal("linux.namespaces[0].path: /proc/self/ns/uts is no mount namespace: its kind is uts") { $0.linux?.namespaces = [NamespaceSpec(.mount, path: "/proc/self/ns/uts")] },
        Refusal("linux.namespaces: no mount namespace is listed") { $0.linux?.namespaces = [NamespaceSpec(.pid)] },
        Refusal("linux.netDevices: find the device nacelle-none: no such device") { $0.linux?.netDevices = ["nacelle-none": NetDeviceSpec()] },
        Refusal("linux.memoryPolicy: MPOL_BIND 999: set_mempolicy: invalid argument") {
            $0.linux?.memoryPolicy = MemoryPolicySpec()
            $0.linux?.memoryPolicy?.mode = .bind
            $0.linux?.memoryPolicy?.nodes = "999"
        },
        Refusal("vm: there is no machine in namespace isolation") { $0.vm = VMSpec() },
    ] + (SELinux.isEnabled ? [] : [
        Refusal("linux.mountLabel: SELinux is disabled or not supported on this host") { $0.linux?.mountLabel = "a:b:c:s0" },
        Refusal("process.selinuxLabel: selinux label is specified in config, but selinux is disabled or not supported") { $0.process?.selinuxLabel = "a:b:c:s0" },
    ]) + (AppArmor.isEnabled ? [] : [
        Refusal("process.apparmorProfile: apparmor: config provided but apparmor not supported") { $0.process?.apparmorProfile = "x" },
    ]) + (FileManager.default.fileExists(atPath: "/sys/fs/resctrl/schemata") ? [] : [
        Refusal("linux.intelRdt: no resctrl file system is mounted on this host") { $0.linux?.intelRdt = IntelRdtSpec() },
    ])

    @Test("what this host cannot do is refused by its path, and nothing stays", arguments: refusals)
    func refused(_ refusal: Refusal) throws {
        let bundle = try HostBundle("true")
        refusal.change(&bundle.fixture.spec)
        let text = message { () throws(RuntimeError) in try bundle.create() }
        #expect(text?.contains(refusal.message) == true, "\(text ?? "accepted")")
        bundle.expectNothingLeft()
    }

    @Test("a further process's label is refused as the container's is", .enabled(if: !SELinux.isEnabled, "this host has SELinux"))
    func labelOfAFurtherProcess() throws {
        let bundle = try HostBundle("sleep 100")
        let pid = try bundle.create()
        var process = ProcessSpec.shell("true")
        process.selinuxLabel = "a:b:c:s0"
        #expect(message { () throws(RuntimeError) in try bundle.container().exec(process, ExecOptions(streams: .inherited)) }?.contains("process.selinuxLabel: ") == true)
        try bundle.container().delete(force: true)
        _ = try waitForProcess(pid)
        bundle.expectNothingLeft()
    }
} }
