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
        self.spec = plan
    }

    static func unsupportedFields(_ spec: RuntimeSpec) -> [ConfigurationError.Problem] {
        var problems = ContainerLauncher.unsupportedFields(of: spec).map { ConfigurationError.Problem($0, "is not supported yet") }
        if spec.linux?.namespace(.mount) == nil {
            problems.append(.init("linux.namespaces", "no mount namespace is listed, and without one the mounts would be the host's: add {\"type\": \"mount\"}"))
        }
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
}
