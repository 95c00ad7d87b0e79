public import OCISpec

extension ContainerLauncher {
    /// The fields of a configuration that container set-up does not honour, by their JSON paths: a runtime refuses them.
    ///
    /// Of hooks, `prestart`, `createRuntime`, `poststart` and `poststop` are the runtime's own to run.
    public static func unsupportedFields(of spec: RuntimeSpec) -> [String] {
        var fields: [String] = []
        func refuse(_ condition: Bool, _ path: String) { if condition { fields.append(path) } }
        if let process = spec.process {
            refuse(process.execCPUAffinity != nil, "process.execCPUAffinity")
        }
        guard let linux = spec.linux else { return fields }
        for (index, namespace) in linux.namespaces.enumerated() where namespace.type == .mount {
            refuse(!(namespace.path ?? "").isEmpty, "linux.namespaces[\(index)].path")
        }
        refuse(!linux.netDevices.isEmpty, "linux.netDevices")
        refuse(!(linux.mountLabel ?? "").isEmpty, "linux.mountLabel")
        refuse(linux.intelRdt != nil, "linux.intelRdt")
        refuse(linux.memoryPolicy != nil, "linux.memoryPolicy")
        refuse(linux.personality?.flags.isEmpty == false, "linux.personality.flags")
        if let seccomp = linux.seccomp {
            refuse(!(seccomp.listenerPath ?? "").isEmpty, "linux.seccomp.listenerPath")
            refuse(!(seccomp.listenerMetadata ?? "").isEmpty, "linux.seccomp.listenerMetadata")
            refuse(seccomp.defaultAction == .notify, "linux.seccomp.defaultAction")
            for (index, rule) in seccomp.syscalls.enumerated() { refuse(rule.action == .notify, "linux.seccomp.syscalls[\(index)].action") }
        }
        if let resources = linux.resources {
            refuse(resources.network?.priorities.isEmpty == false, "linux.resources.network.priorities")
        }
        return fields
    }
}
