import AgentProtocol
import ContainerLaunch
import Glibc
import LinuxSystem
import OCISpec
import Testing

/// Images and configurations that mean ill, and what failures leave behind.
extension LaunchTests { @Suite struct HostilityTests {
    /// Symbolic links of the image that lead outside stay inside when something is mounted or made through them.
    @Test(arguments: ["/escape", "../../../../../../escape", "/proc/self/root/escape"])
    func linksDoNotLeadOut(target: String) throws {
        let bundle = try TestBundle()
        let name = "nacelle-escape-\(bundle.identifier)"
        let image = try OwnedDescriptor(opening: bundle.rootfs, flags: O_RDONLY | O_DIRECTORY)
        try image.makeSymbolicLink("link", to: target.replacing("escape", with: name))
        try image.makeSymbolicLink("top", to: "/../..")
        let outcome = try? run(
            bundle.script("true") { spec in
                spec.mounts += [
                    MountSpec(destination: "/link/a", type: "tmpfs", source: "tmpfs"),
                    MountSpec(destination: "/top/tmp/\(name)", type: "bind", source: "/etc/hostname", options: ["bind"]),
                ]
                spec.linux?.devices = [DeviceSpec("/link/dev", .fifo, 0, 0, mode: 0o600, uid: 0)]
                spec.linux?.maskedPaths.append("/link")
            }, bundle)
        for path in ["/" + name, "/tmp/" + name] { #expect(throws: SystemError.self) { try FileStatus(path: path) } }
        if let outcome { #expect(outcome.status == .exited(0)) }
    }

    static let refusedMounts = [
        MountSpec(destination: "/proc/self/attr", type: "tmpfs", source: "tmpfs"),
        MountSpec(destination: "/proc", type: "tmpfs", source: "tmpfs"),
        MountSpec(destination: "/link/fs", type: "tmpfs", source: "tmpfs"),
        MountSpec(destination: "/", type: "tmpfs", source: "tmpfs"),
        MountSpec(destination: "/x", type: "no-such-file-system", source: "x"),
        MountSpec(destination: "/x", type: "tmpfs", source: "x", options: ["no-such-option"]),
        MountSpec(destination: "/x", type: "bind", source: "/no/such/source", options: ["bind"]),
        MountSpec(destination: "/etc/passwd", type: "bind", source: "/etc", options: ["bind"]),
        MountSpec(destination: "/etc", type: "bind", source: "/etc/hostname", options: ["bind"]),
        MountSpec(destination: "/sys", type: "proc", source: "proc", options: ["remount", "no-such-option"]),
    ]

    @Test(arguments: refusedMounts)
    func mountsThatAreRefused(mount: MountSpec) throws {
        let bundle = try TestBundle()
        try OwnedDescriptor(opening: bundle.rootfs, flags: O_RDONLY | O_DIRECTORY).makeSymbolicLink("link", to: "/proc")
        #expect(throws: LaunchError.self) { try run(bundle.script("true") { $0.mounts.append(mount) }, bundle) }
    }

    @Test func aProcThatIsALinkIsRefused() throws {
        let bundle = try TestBundle()
        try removeDirectory(bundle.rootfs + "/proc")
        try OwnedDescriptor(opening: bundle.rootfs, flags: O_RDONLY | O_DIRECTORY).makeSymbolicLink("proc", to: "/tmp")
        #expect(throws: LaunchError.self) { try run(bundle.plan(["/bin/true"]), bundle) }
    }

    /// An image's own /dev/null is not what masked paths show.
    @Test func aFalseNullDeviceIsReplaced() throws {
        let bundle = try TestBundle()
        try bundle.write("/dev/null", "false")
        let outcome = try run(bundle.script("cat /proc/kallsyms /dev/null; stat -c %F /dev/null") { spec in
            spec.mounts.removeAll { $0.destination.hasPrefix("/dev") }
            spec.linux?.maskedPaths.append("/proc/kallsyms")
        }, bundle)
        #expect(outcome.output == "character special file\n", "\(outcome.error)")
    }

    typealias Change = @Sendable (inout RuntimeSpec) -> Void
    static let refused: [(String, Change)] = [
        ("rootfs", { $0.root?.path = "/no/such/rootfs" }),
        ("hook", { spec in
            var hooks = HooksSpec()
            hooks.createContainer = [HookSpec()]
            spec.hooks = hooks
        }),
        ("listener", { spec in
            var rule = SeccompSpec.SystemCallRule()
            (rule.names, rule.action) = (["mkdir"], .notify)
            spec.linux?.seccomp = SeccompSpec()
            spec.linux?.seccomp?.listenerPath = "/no/such/agent"
            spec.linux?.seccomp?.syscalls = [rule]
        }),
        ("device", { $0.linux?.netDevices = ["no-such-device": NetDeviceSpec()] }),
        ("node", { $0.linux?.memoryPolicy = MemoryPolicySpec(); $0.linux?.memoryPolicy?.nodes = "0" }),
        ("mapping", { $0.mounts.append(MountSpec(destination: "/m", type: "bind", source: "/tmp", options: ["bind", "idmap"])) }),
        ("systemd", { $0.linux?.cgroupsPath = "system.slice:a:b" }),
        ("climbing", { $0.linux?.cgroupsPath = "/../../x" }),
        ("label", { $0.process?.selinuxLabel = "system_u:system_r:container_t:s0" }),
        ("profile", { $0.process?.apparmorProfile = "no-such-profile" }),
        ("environment", { $0.process?.env = ["novalue"] }),
        ("limit", { $0.process?.rlimits = [RlimitSpec("RLIMIT_NOFILE", soft: 10, hard: 5)] }),
        ("limit name", { $0.process?.rlimits = [RlimitSpec("RLIMIT_NOTHING", soft: 1, hard: 1)] }),
        ("sysctl", { $0.linux?.sysctl = ["net.no.such": "1"] }),
        ("sysctl path", { $0.linux?.sysctl = ["net/../../self/comm": "1"] }),
        ("namespace", { $0.linux?.namespaces = [NamespaceSpec(.mount), NamespaceSpec(.network, path: "/no/such")] }),
        ("not a namespace", { $0.linux?.namespaces = [NamespaceSpec(.mount), NamespaceSpec(.network, path: "/dev/null")] }),
        ("no mount namespace", { $0.linux?.namespaces = [] }),
        ("unmapped", { $0.linux?.namespaces.append(NamespaceSpec(.user)) }),
        ("user", { spec in
            spec.linux?.namespaces.append(NamespaceSpec(.user))
            spec.linux?.uidMappings = [IDMappingSpec(0, 0, 10)]
            spec.linux?.gidMappings = [IDMappingSpec(0, 0, 10)]
            spec.process?.user = UserSpec(uid: 4000, gid: 0)
        }),
        ("unified", { $0.linux?.resources = ResourcesSpec(); $0.linux?.resources?.unified = ["../../x": "1"] }),
    ]

    @Test(arguments: refused.indices)
    func configurationsThatAreRefused(index: Int) throws {
        let (name, change) = HostilityTests.refused[index]
        let bundle = try TestBundle()
        #expect(throws: LaunchError.self, "\(name)") { try run(bundle.script("true", change), bundle) }
    }

    /// Successes and failures alike leave no mount, descriptor, process or control group. In a process of its own, where nothing else runs.
    @Test func nothingIsLeftBehind() async {
        await #expect(processExitsWith: .success) {
            let bundle = try TestBundle()
            try OwnedDescriptor(opening: bundle.rootfs, flags: O_RDONLY | O_DIRECTORY).makeSymbolicLink("link", to: "/proc")
            let before = try Leftovers()
            for _ in 0..<20 { #expect(try run(bundle.script("true"), bundle).status == .exited(0)) }
            #expect(try Leftovers() == before)
            for mount in HostilityTests.refusedMounts {
                #expect(throws: LaunchError.self) { try run(bundle.script("true") { $0.mounts.append(mount) }, bundle) }
                #expect(try Leftovers() == before, "\(mount.destination)")
            }
            for (name, change) in HostilityTests.refused {
                #expect(throws: LaunchError.self, "\(name)") { try run(bundle.script("true", change), bundle) }
                #expect(try Leftovers() == before, "\(name)")
            }
            let container = try launcher(bundle.plan(["/bin/sleep", "100"]), bundle).create(streams: try Capture().streams())
            try container.start()
            let running = try Leftovers()
            for _ in 0..<10 {
                let further = try container.exec(process: bundle.process(["/bin/true"]), streams: try Capture().streams())
                _ = try waitForProcess(further.pid)
                #expect(throws: LaunchError.self) { try container.exec(process: bundle.process(["/nope"]), streams: try Capture().streams()) }
            }
            #expect(try Leftovers() == running)
            try container.signal(SIGKILL)
            _ = try waitForProcess(container.pid)
            try container.delete()
        }
    }

    @Test func aDeadInitIsNoticed() throws {
        let bundle = try TestBundle()
        let launcher = ContainerLauncher(plan: bundle.plan(["/bin/true"]), identifier: bundle.identifier, initProgram: "/bin/true")
        #expect(throws: LaunchError(.other, "nacelle-init ended before the container was prepared")) {
            try launcher.create(streams: try Capture().streams())
        }
        let missing = ContainerLauncher(plan: bundle.plan(["/bin/true"]), identifier: bundle.identifier, initProgram: "/no/such/init")
        #expect(throws: LaunchError.self) { try missing.create(streams: try Capture().streams()) }
    }
}}

/// What could leak: mounts, descriptors, children, control groups.
struct Leftovers: Equatable {
    var mounts: Int
    var descriptors: Int
    var children: String
    var groups: [String]

    init() throws {
        mounts = String(decoding: try readFile("/proc/self/mountinfo"), as: UTF8.self).split(separator: "\n").count
        descriptors = try OwnedDescriptor(opening: "/proc/self/fd", flags: O_RDONLY | O_DIRECTORY).entries().count
        children = String(decoding: try readFile("/proc/self/task/\(getpid())/children"), as: UTF8.self)
        groups = ((try? OwnedDescriptor(opening: "/sys/fs/cgroup/pids/nacelle-tests", flags: O_RDONLY | O_DIRECTORY).entries()) ?? []).filter { $0.hasPrefix("nacelle-test-") }
    }
}
