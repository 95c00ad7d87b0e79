internal import AgentProtocol
internal import CLinux
internal import Glibc
internal import JSONText
internal import LinuxSystem
public import OCISpec

/// What the guest is to do: the bundle's configuration rewritten for the guest, and what of the host it may see.
public struct GuestPlan: Sendable {
    /// A directory or file of the host that the guest sees under a name.
    public struct Share: Equatable, Sendable {
        public var name: String
        /// Absolute, on the host.
        public var path: String
        public var isReadOnly: Bool
        /// The path of the field that asks for it, of config.json or root-images.json.
        public var field: String
    }

    public private(set) var spec: RuntimeSpec
    public let shares: [Share]
    /// What the root is put together of in the guest; nil if it is a directory of the host.
    let rootImages: RootImages?

    /// The plan as the agent reads it.
    public var json: [UInt8] { spec.json.bytes() }

    /// Rewrites a validated configuration. `bundle` is absolute; `state` is for hooks in the guest.
    /// - Throws: with the path of a field that a machine cannot honour.
    public init(_ spec: RuntimeSpec, bundle: String, state: StateSpec? = nil) throws(RuntimeError) {
        let problems = Self.unsupportedFields(spec)
        guard problems.isEmpty else { throw RuntimeError("\(ConfigurationError.invalid(problems))") }
        let rootImages = try RootImages.read(bundle: bundle)
        self.rootImages = rootImages
        var guest = spec
        let root = spec.root ?? RootSpec(path: "rootfs")
        var shares: [Share] = []
        func shareRoot(_ path: String, _ field: String) { shares.append(Share(name: WellKnown.rootfsShare, path: path, isReadOnly: false, field: field)) }
        guest.root = RootSpec(path: WellKnown.shareMountPoint + "/" + WellKnown.rootfsShare, readonly: root.readonly)
        if let rootImages {
            if case .shared(let path) = rootImages.upper { shareRoot(path, "writable") }
            guest.root?.path = WellKnown.rootMountPoint
        } else { shareRoot(Creation.absolute(root.path, bundle), "root.path") }
        var volumes = 0
        for index in guest.mounts.indices where guest.mounts[index].isBind {
            let mount = guest.mounts[index]
            let name = WellKnown.volumeShare(volumes)
            volumes += 1
            shares.append(Share(name: name, path: Creation.absolute(mount.source ?? "", bundle), isReadOnly: mount.isReadOnly, field: "mounts[\(index)].source"))
            guest.mounts[index].source = WellKnown.shareMountPoint + "/" + name
            // A share holds what is mounted below it, and has no peers on the host to propagate to.
            guest.mounts[index].options.removeAll { ["rslave", "slave", "rshared", "shared"].contains($0) }
        }
        guest.hooks = nil
        if let hooks = spec.hooks?.startContainer, !hooks.isEmpty {
            // Their paths are the container's.
            var own = HooksSpec()
            own.startContainer = hooks
            guest.hooks = own
        }
        guest.vm = nil
        guest.annotations = [:]
        if guest.hooks != nil, let state { guest.annotations[WellKnown.stateAnnotation] = state.json.text() }
        if guest.linux == nil { guest.linux = LinuxSpec() }
        guest.linux?.cgroupsPath = "/container"
        guest.linux?.resources = spec.linux?.resources.map(Self.inGuest)
        // Without one the container's mounts would be the agent's; the host sees neither.
        if guest.linux?.namespace(.mount) == nil { guest.linux?.namespaces.append(NamespaceSpec(.mount)) }
        // An empty path asks for a new one, as no path does. Others were refused.
        for index in (guest.linux?.namespaces ?? []).indices { guest.linux?.namespaces[index].path = nil }
        // The host's, for the machine's process: the guest's kernel has none.
        guest.process?.apparmorProfile = nil
        // On the host, for the machine's process.
        guest.linux?.intelRdt = nil
        // Without a rule that notifies it is to be ignored (config-linux.md, "Seccomp").
        guest.linux?.seccomp?.listenerPath = nil
        guest.linux?.seccomp?.listenerMetadata = nil
        self.spec = guest
        self.shares = shares
    }

    /// Opens what the root is put together of, and tells the guest how it finds it.
    /// - Parameter memory: the machine's, in MiB.
    /// - Returns: nil if the root is a directory of the host.
    mutating func openRoot(memory: UInt64) throws(RuntimeError) -> RootAttachment? {
        guard let rootImages else { return nil }
        let attachment = try RootAttachment(rootImages, memory: memory)
        spec.annotations[WellKnown.rootAnnotation] = attachment.layout.text
        return attachment
    }

    /// What of the limits is the guest's: processors, memory nodes and disks are named by the host's numbers, and hold there for the
    /// machine (`MachineResources.ofHostAlone`).
    static func inGuest(_ resources: ResourcesSpec) -> ResourcesSpec {
        var result = resources
        result.cpu?.cpus = nil
        result.cpu?.mems = nil
        result.blockIO = nil
        return result
    }

    /// Fields that a machine cannot honour. None is ignored; docs/oci.md has them all.
    public static func unsupportedFields(_ spec: RuntimeSpec) -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        func refuse(_ condition: Bool, _ path: String, _ why: String) { if condition { problems.append(.init(path, why)) } }
        let linux = spec.linux ?? LinuxSpec()
        for (index, namespace) in linux.namespaces.enumerated() {
            let path = namespace.path ?? ""
            refuse(!path.isEmpty && namespace.type != .network, "linux.namespaces[\(index)].path", "a machine cannot join a namespace of the host (\(namespace.type.rawValue))")
            refuse(!path.isEmpty && namespace.type == .network, "linux.namespaces[\(index)].path", "joining a network namespace is not supported yet: leave the path out for a network of its own")
        }
        refuse(
            linux.namespace(.network) == nil, "linux.namespaces",
            "no network namespace is listed, which asks for the host's network, and a machine cannot have that: list one without a path (engines: --network none)")
        refuse(!linux.netDevices.isEmpty, "linux.netDevices", "a network device of the host cannot be moved into a machine: it has a kernel of its own")
        refuse(!(linux.mountLabel ?? "").isEmpty, "linux.mountLabel", "the guest's kernel has no SELinux")
        for (index, rule) in (linux.seccomp?.syscalls ?? []).enumerated() {
            refuse(
                rule.action == .notify, "linux.seccomp.syscalls[\(index)].action",
                "SCMP_ACT_NOTIFY: the listener belongs to the guest's kernel and cannot be handed to an agent on the host")
        }
        refuse((linux.resources?.network?.classID ?? 0) != 0, "linux.resources.network.classID", "the guest has cgroup v2, which has no net_cls controller")
        refuse(linux.resources?.network?.priorities.isEmpty == false, "linux.resources.network.priorities", "the guest has cgroup v2, which has no net_prio controller")
        if let process = spec.process { problems += unsupportedFields(process) }
        // Where there is no AppArmor everything is unconfined.
        if !["", "unconfined"].contains(spec.process?.apparmorProfile ?? "") && !AppArmor.isEnabled { problems.append(HostPlan.noAppArmor) }
        for (index, mount) in spec.mounts.enumerated() {
            refuse(
                mount.isIdentityMapped, mount.uidMappings.isEmpty ? "mounts[\(index)].options" : "mounts[\(index)].uidMappings",
                "the guest's kernel cannot map the owners of files that the host shares with it (virtio-fs)")
            if let shared = mount.options.first(where: { $0 == "shared" || $0 == "rshared" }), mount.isBind {
                refuse(true, "mounts[\(index)].options", "`\(shared)`: a machine cannot share mounts with the host")
            }
        }
        if let vm = spec.vm {
            refuse(vm.hypervisor != nil, "vm.hypervisor", "the machine monitor is Nacelle's own; leave this out")
            refuse(vm.image != nil, "vm.image", "is not supported: the container's root is root.path")
            refuse(vm.kernel?.initrd != nil, "vm.kernel.initrd", "is not supported: the guest's root image takes its place")
            refuse(vm.hwConfig?.deviceTree != nil, "vm.hwConfig.deviceTree", "is not supported: the machine's device tree is made for it")
            refuse(!(vm.hwConfig?.dtdevs ?? []).isEmpty, "vm.hwConfig.dtdevs", "the host's devices cannot be passed through")
            refuse(!(vm.hwConfig?.iomems ?? []).isEmpty, "vm.hwConfig.iomems", "the host's I/O memory cannot be passed through")
            refuse(!(vm.hwConfig?.irqs ?? []).isEmpty, "vm.hwConfig.irqs", "the host's interrupts cannot be passed through")
            for (index, parameter) in (vm.kernel?.parameters ?? []).enumerated() {
                refuse(
                    parameter.isEmpty || parameter.contains { $0 == "\"" || $0.isNewline } || parameter.utf8.contains(0), "vm.kernel.parameters[\(index)]",
                    "is empty, or has a character that a kernel's command line cannot hold (a quote, a newline, NUL)")
            }
        }
        return problems
    }

    /// The same of a process, the container's own or a further one.
    static func unsupportedFields(_ process: ProcessSpec) -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        func refuse(_ condition: Bool, _ field: String, _ why: String) { if condition { problems.append(.init("process.\(field)", why)) } }
        refuse(!(process.selinuxLabel ?? "").isEmpty, "selinuxLabel", "the guest's kernel has no SELinux (engines: --security-opt label=disable)")
        return problems
    }

    /// Opens every share with O_PATH, in order.
    func openShares() throws(RuntimeError) -> [SharedDescriptor] {
        var descriptors: [SharedDescriptor] = []
        for share in shares {
            let isRoot = share.name == WellKnown.rootfsShare
            let place = "\(isRoot && rootImages != nil ? RootImages.fileName : "config.json"): \(share.field)"
            var status = stat()
            do throws(SystemError) {
                let descriptor = try OwnedDescriptor(opening: share.path, flags: O_PATH)
                try checked(unsafe clinux_fstatat(descriptor.rawValue, "", &status, AT_EMPTY_PATH), "fstat", path: share.path)
                descriptors.append(SharedDescriptor(descriptor))
            } catch { throw RuntimeError("\(place): invalid \(isRoot ? "rootfs" : "mount source") \(share.path): \(error.errno)") }
            let kind = status.st_mode & S_IFMT
            if isRoot && kind != S_IFDIR { throw RuntimeError("\(place): invalid rootfs \(share.path): not a directory") }
            guard kind == S_IFDIR || kind == S_IFREG else {
                throw RuntimeError(
                    "\(place): invalid mount source \(share.path): \(Self.kind(kind)) of the host cannot be reached from a machine, which has a kernel of its own; directories and regular files can")
            }
        }
        return descriptors
    }

    private static func kind(_ type: mode_t) -> String {
        switch type {
        case S_IFSOCK: "a Unix socket"
        case S_IFIFO: "a FIFO"
        case S_IFBLK: "a block device"
        case S_IFCHR: "a character device"
        default: "a file of this type"
        }
    }
}

extension MountSpec {
    var isReadOnly: Bool { parsedOptions().flags & MountOption.Flag.readOnly != 0 || parsedOptions().recursiveSet & MountOption.Attribute.readOnly != 0 }
}
