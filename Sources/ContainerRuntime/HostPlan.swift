internal import ContainerLaunch
internal import JSONText
internal import LinuxSystem
internal import OCISpec

/// What namespaces on this host are to hold: the bundle's configuration with absolute paths, without what is the runtime's own.
struct HostPlan {
    let spec: RuntimeSpec

    /// - Throws: with the path of a field that is not supported.
    init(_ spec: RuntimeSpec, bundle: String) throws(RuntimeError) {
        let problems = Self.unsupportedFields(spec)
        guard problems.isEmpty else { throw RuntimeError("\(ConfigurationError.invalid(problems))") }
        var plan = spec
        let root = spec.root ?? RootSpec(path: "rootfs")
        plan.root = RootSpec(path: Creation.absolute(root.path, bundle), readonly: root.readonly)
        for index in plan.mounts.indices where plan.mounts[index].isBind {
            plan.mounts[index].source = Creation.absolute(plan.mounts[index].source ?? "", bundle)
        }
        // The others are the runtime's to run.
        var hooks = HooksSpec()
        (hooks.createContainer, hooks.startContainer) = (spec.hooks?.createContainer ?? [], spec.hooks?.startContainer ?? [])
        plan.hooks = hooks
        plan.annotations = [:]
        // The runtime's own, which knows the container's name.
        plan.linux?.intelRdt = nil
        self.spec = plan
    }

    static func unsupportedFields(_ spec: RuntimeSpec) -> [ConfigurationError.Problem] {
        var problems = ContainerLauncher.unsupportedFields(of: spec)
        if !(spec.linux?.mountLabel ?? "").isEmpty && !SELinux.isEnabled { problems.append(.init("linux.mountLabel", "SELinux is disabled or not supported on this host")) }
        if let process = spec.process { problems += unsupportedFields(process) }
        if spec.vm != nil { problems.append(.init("vm", "there is no machine in namespace isolation")) }
        for key in spec.annotations.keys.sorted() where key.hasPrefix("dev.nacelle.") && key != MachineSettings.Annotation.isolation {
            problems.append(.init(memberPath("annotations", key), "there is no machine in namespace isolation"))
        }
        return problems
    }

    /// What would change the host, since the namespace that it is for is joined, and is the host's own.
    static func changesOfHost(_ spec: RuntimeSpec) -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        for (index, namespace) in (spec.linux?.namespaces ?? []).enumerated() {
            guard let path = namespace.path, !path.isEmpty, let joined = try? FileStatus(path: path),
                let own = try? FileStatus(path: "/proc/self/ns/" + namespace.type.procName), (joined.inode, joined.fileSystem) == (own.inode, own.fileSystem)
            else { continue }
            let why = "would change the host: linux.namespaces[\(index)].path is this host's own \(namespace.type.rawValue) namespace"
            if namespace.type == .uts {
                if !(spec.hostname ?? "").isEmpty { problems.append(.init("hostname", why)) }
                if !(spec.domainname ?? "").isEmpty { problems.append(.init("domainname", why)) }
            }
            for key in (spec.linux?.sysctl ?? [:]).keys.sorted() where LinuxSpec.namespace(ofSysctl: key) == namespace.type {
                problems.append(.init(memberPath("linux.sysctl", key), why))
            }
        }
        return problems
    }

    /// The same of a process, the container's own or a further one, in runc's words.
    static func unsupportedFields(_ process: ProcessSpec) -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        if !(process.selinuxLabel ?? "").isEmpty && !SELinux.isEnabled {
            problems.append(.init("process.selinuxLabel", "selinux label is specified in config, but selinux is disabled or not supported"))
        }
        if !(process.apparmorProfile ?? "").isEmpty && !AppArmor.isEnabled { problems.append(noAppArmor) }
        return problems
    }

    static let noAppArmor = ConfigurationError.Problem("process.apparmorProfile", "apparmor: config provided but apparmor not supported")

    /// Refuses a profile that this host does not have. When a process is to be made, not later: one that is taken away must not keep anybody from
    /// ending the container.
    static func checkProfile(_ process: ProcessSpec) throws(RuntimeError) {
        guard let profile = process.apparmorProfile, !profile.isEmpty, AppArmor.isEnabled, !AppArmor.isLoaded(profile) else { return }
        let why = "unable to apply apparmor profile \(quoted(profile)): it is not loaded on this host (apparmor_parser loads profiles)"
        throw RuntimeError("\(ConfigurationError.invalid([.init("process.apparmorProfile", why)]))")
    }
}
