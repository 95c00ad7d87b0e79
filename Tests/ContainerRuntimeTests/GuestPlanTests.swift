import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

@Suite("The plan for a guest")
struct GuestPlanTests {
    private func spec(_ change: (inout RuntimeSpec) -> Void = { _ in }) -> RuntimeSpec {
        var spec = RuntimeSpec.example()
        change(&spec)
        return spec
    }

    @Test("the root and every bind mount become shares, in the order of the mounts")
    func shares() throws {
        let plan = try GuestPlan(
            spec {
                $0.root = RootSpec(path: "rootfs", readonly: true)
                $0.mounts = [
                    MountSpec(destination: "/proc", type: "proc", source: "proc"),
                    MountSpec(destination: "/a", type: "bind", source: "/host/a", options: ["rbind", "ro"]),
                    MountSpec(destination: "/t", type: "tmpfs", source: "tmpfs"),
                    MountSpec(destination: "/b", type: "none", source: "relative", options: ["bind", "nosuid", "rslave"]),
                    MountSpec(destination: "/c", type: "bind", source: "/host/c", options: ["rro"]),
                ]
            }, bundle: "/bundle")
        #expect(plan.shares == [
            .init(name: "rootfs", path: "/bundle/rootfs", isReadOnly: false, field: "root.path"),
            .init(name: "volume-0", path: "/host/a", isReadOnly: true, field: "mounts[1].source"),
            .init(name: "volume-1", path: "/bundle/relative", isReadOnly: false, field: "mounts[3].source"),
            .init(name: "volume-2", path: "/host/c", isReadOnly: true, field: "mounts[4].source"),
        ])
        #expect(plan.spec.root == RootSpec(path: "/run/nacelle/share/rootfs", readonly: true))
        #expect(plan.spec.mounts.map(\.source) == ["proc", "/run/nacelle/share/volume-0", "tmpfs", "/run/nacelle/share/volume-1", "/run/nacelle/share/volume-2"])
        #expect(plan.spec.mounts[3].options == ["bind", "nosuid"])
        #expect(plan.spec.mounts[1].options == ["rbind", "ro"])
    }

    @Test("an absolute root stays where it is")
    func absoluteRoot() throws {
        #expect(try GuestPlan(spec { $0.root?.path = "/srv/root" }, bundle: "/bundle").shares.first?.path == "/srv/root")
    }

    @Test("what concerns the host does not reach the guest; what concerns the container does")
    func hostOnly() throws {
        var resources = ResourcesSpec()
        resources.memory = .init()
        resources.memory?.limit = 64 << 20
        let original = spec {
            $0.hooks = HooksSpec()
            $0.hooks?.poststop = [HookSpec()]
            $0.annotations = ["secret": "of the host"]
            $0.linux?.cgroupsPath = "/host/group"
            $0.linux?.resources = resources
            $0.vm = VMSpec()
        }
        let guest = try GuestPlan(original, bundle: "/b").spec
        #expect(guest.hooks == nil && guest.annotations.isEmpty && guest.vm == nil)
        #expect(guest.linux?.cgroupsPath == "/container")
        #expect(guest.linux?.resources == resources)
        #expect(guest.process == original.process && guest.hostname == original.hostname)
        #expect(guest.linux?.namespaces == original.linux?.namespaces)
    }

    @Test("a container always gets a mount namespace")
    func mountNamespace() throws {
        let listed = [NamespaceSpec(.pid), NamespaceSpec(.network)]
        #expect(try GuestPlan(spec { $0.linux?.namespaces = listed }, bundle: "/b").spec.linux?.namespaces == listed + [NamespaceSpec(.mount)])
    }

    @Test("the plan is read back as it was written")
    func roundTrip() throws {
        let plan = try GuestPlan(spec(), bundle: "/b")
        let (parsed, unknown) = try RuntimeSpec.parse(plan.json)
        #expect(parsed == plan.spec && unknown.isEmpty)
        try parsed.validate()
    }

    struct Refusal: CustomTestStringConvertible, Sendable {
        var path: String
        var change: @Sendable (inout RuntimeSpec) -> Void
        var testDescription: String { path }
        init(_ path: String, _ change: @escaping @Sendable (inout RuntimeSpec) -> Void) { (self.path, self.change) = (path, change) }
    }

    private static func hardware(_ change: (inout VMSpec.HardwareConfiguration) -> Void) -> VMSpec {
        var (vm, hardware) = (VMSpec(), VMSpec.HardwareConfiguration())
        change(&hardware)
        vm.hwConfig = hardware
        return vm
    }

    static let refusals: [Refusal] = [
        Refusal("linux.namespaces[0].path") { $0.linux?.namespaces = [NamespaceSpec(.pid, path: "/proc/1/ns/pid"), NamespaceSpec(.network)] },
        Refusal("linux.namespaces") { $0.linux?.namespaces = [NamespaceSpec(.pid), NamespaceSpec(.mount)] },
        Refusal("linux.namespaces") { $0.linux = nil },
        Refusal("linux.namespaces[1].path") { $0.linux?.namespaces = [NamespaceSpec(.pid), NamespaceSpec(.network, path: "/run/netns/x")] },
        Refusal("linux.netDevices") { $0.linux?.netDevices = ["eth0": NetDeviceSpec()] },
        Refusal("linux.mountLabel") { $0.linux?.mountLabel = "system_u:object_r:x:s0" },
        Refusal("linux.seccomp.syscalls[0].action") {
            $0.linux?.seccomp?.syscalls = [SeccompSpec.SystemCallRule()]
            $0.linux?.seccomp?.syscalls[0].action = .notify
        },
        Refusal("linux.resources.network.priorities") {
            $0.linux?.resources = ResourcesSpec()
            $0.linux?.resources?.network = .init()
            $0.linux?.resources?.network?.priorities = [.init()]
        },
        Refusal("mounts[0].options") { $0.mounts = [MountSpec(destination: "/a", type: "bind", source: "/a", options: ["rbind", "ridmap"])] },
        Refusal("linux.resources.network.classID") {
            $0.linux?.resources = ResourcesSpec()
            $0.linux?.resources?.network = .init()
            $0.linux?.resources?.network?.classID = 1
        },
        Refusal("process.selinuxLabel") { $0.process?.selinuxLabel = "x" },
        Refusal("mounts[0].options") { $0.mounts = [MountSpec(destination: "/a", type: "bind", source: "/a", options: ["rbind", "rshared"])] },
        Refusal("mounts[0].uidMappings") {
            $0.mounts = [MountSpec(destination: "/a", type: "bind", source: "/a", options: ["bind"])]
            $0.mounts[0].uidMappings = [IDMappingSpec()]
        },
        Refusal("vm.image") {
            $0.vm = VMSpec()
            $0.vm?.image = .init()
        },
        Refusal("vm.kernel.initrd") {
            $0.vm = VMSpec()
            $0.vm?.kernel = .init()
            $0.vm?.kernel?.initrd = "/boot/initrd"
        },
        Refusal("vm.hypervisor") {
            $0.vm = VMSpec()
            $0.vm?.hypervisor = .init()
        },
        Refusal("vm.hwConfig.deviceTree") { $0.vm = hardware { $0.deviceTree = "/x.dtb" } },
        Refusal("vm.hwConfig.dtdevs") { $0.vm = hardware { $0.dtdevs = ["/soc/x"] } },
        Refusal("vm.hwConfig.iomems") { $0.vm = hardware { $0.iomems = [.init()] } },
        Refusal("vm.hwConfig.irqs") { $0.vm = hardware { $0.irqs = [11] } },
        Refusal("vm.kernel.parameters[1]") {
            $0.vm = VMSpec()
            $0.vm?.kernel = .init()
            $0.vm?.kernel?.parameters = ["quiet", "a=\"b"]
        },
    ] + (AppArmor.isEnabled ? [] : [
        Refusal("process.apparmorProfile") { $0.process?.apparmorProfile = "x" },
    ])

    @Test("fields that a machine cannot honour are refused by their paths", arguments: refusals)
    func refused(_ refusal: Refusal) {
        let changed = spec {
            $0.linux?.seccomp = SeccompSpec()
            refusal.change(&$0)
        }
        #expect(GuestPlan.unsupportedFields(changed).map(\.path) == [refusal.path])
        #expect(message { () throws(RuntimeError) in try GuestPlan(changed, bundle: "/b") }?.contains("config.json: \(refusal.path): ") == true)
    }

    @Test("empty values ask for nothing")
    func empty() {
        let changed = spec {
            $0.linux?.namespaces = [NamespaceSpec(.pid, path: ""), NamespaceSpec(.network, path: ""), NamespaceSpec(.mount)]
            $0.linux?.mountLabel = ""
            $0.linux?.resources = ResourcesSpec()
            $0.linux?.resources?.network = .init()
            $0.process?.apparmorProfile = ""
            $0.linux?.rootfsPropagation = "rslave"
            // Nothing is to be sent there.
            $0.linux?.seccomp = SeccompSpec()
            $0.linux?.seccomp?.listenerPath = "/run/agent"
            $0.linux?.seccomp?.listenerMetadata = "m"
        }
        #expect(GuestPlan.unsupportedFields(changed).isEmpty)
        // What everything is where there is no AppArmor.
        let unconfined = spec { $0.process?.apparmorProfile = "unconfined" }
        #expect(GuestPlan.unsupportedFields(unconfined).isEmpty)
    }

    @Test("what the guest's kernel can do reaches it as it is; what is the host's does not")
    func passedOn() throws {
        let original = spec {
            $0.linux?.memoryPolicy = MemoryPolicySpec()
            $0.linux?.memoryPolicy?.mode = .bind
            $0.linux?.memoryPolicy?.nodes = "0"
            $0.linux?.rootfsPropagation = "rshared"
            $0.linux?.intelRdt = IntelRdtSpec()
            $0.linux?.seccomp = SeccompSpec()
            $0.linux?.seccomp?.listenerPath = "/run/agent"
            $0.linux?.namespaces.append(NamespaceSpec(.time))
            $0.linux?.timeOffsets = ["boottime": TimeOffsetSpec()]
            $0.process?.execCPUAffinity = ExecCPUAffinitySpec()
            $0.process?.scheduler = SchedulerSpec()
            $0.process?.ioPriority = IOPrioritySpec()
            $0.process?.apparmorProfile = "unconfined"
        }
        let guest = try GuestPlan(original, bundle: "/b").spec
        #expect(guest.linux?.memoryPolicy == original.linux?.memoryPolicy && guest.linux?.rootfsPropagation == "rshared")
        #expect(guest.linux?.timeOffsets == original.linux?.timeOffsets && guest.process?.scheduler == SchedulerSpec())
        #expect(guest.process?.execCPUAffinity != nil && guest.process?.ioPriority != nil)
        #expect(guest.linux?.intelRdt == nil && guest.linux?.seccomp == SeccompSpec() && guest.process?.apparmorProfile == nil)
    }

    @Test("shares that cannot be shown are refused by the path of their field", arguments: [
        ("/nonexistent/source", "mounts[0].source: invalid mount source /nonexistent/source: no such file or directory"),
        ("/dev/null", "mounts[0].source: invalid mount source /dev/null: a character device of the host cannot be reached from a machine"),
        ("socket", "socket: a Unix socket of the host cannot be reached from a machine"),
        ("fifo", "fifo: a FIFO of the host cannot be reached from a machine"),
    ])
    func badShares(_ source: String, _ expected: String) throws {
        let fixture = try Fixture()
        let listener = try OwnedDescriptor.unixListener(path: fixture.bundle + "/socket")
        defer { withExtendedLifetime(listener) {} }
        try makeNamedPipe(fixture.bundle + "/fifo", mode: 0o600)
        fixture.spec.mounts = [MountSpec(destination: "/a", type: "bind", source: source, options: ["bind"])]
        #expect(message { () throws(RuntimeError) in try fixture.create() }?.contains(expected) == true)
        fixture.expectNothingLeft()
    }

    @Test("a root that is missing or no directory is refused", arguments: [("absent", "no such file or directory"), ("/dev/null", "not a directory")])
    func badRoot(_ path: String, _ expected: String) throws {
        let fixture = try Fixture()
        fixture.spec.root?.path = path
        let text = message { () throws(RuntimeError) in try fixture.create() } ?? ""
        #expect(text.contains("root.path: invalid rootfs") && text.contains(expected), "\(text)")
        fixture.expectNothingLeft()
    }
}
