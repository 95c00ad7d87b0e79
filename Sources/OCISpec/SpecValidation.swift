extension RuntimeSpec {
    /// The versions that are understood.
    public static let minimumVersion = "1.0.0"
    public static let version = "1.3.0"

    /// Everything that is wrong with the configuration as the specification sees it, each with its path.
    public func validate() throws(ConfigurationError) {
        var problems: [ConfigurationError.Problem] = []
        func check(_ condition: Bool, _ path: String, _ text: @autoclosure () -> String) {
            if !condition { problems.append(.init(path, text())) }
        }
        check(Self.isSupported(ociVersion), "ociVersion", "version \"\(ociVersion)\" is not supported: 1.0.0 to 1.3.x are")
        for section in foreignSections { check(false, section, "a configuration for another platform than Linux") }
        if let root { check(!root.path.isEmpty, "root.path", "is empty") } else { check(false, "root", "is missing") }
        if let process { problems += process.problems(path: "process") }
        let linux = self.linux ?? LinuxSpec()
        if let hostname, !hostname.isEmpty {
            check(linux.namespace(.uts) != nil, "hostname", "needs a uts namespace")
            check(hostname.utf8.count <= 64, "hostname", "is longer than 64 bytes")
        }
        if let domainname, !domainname.isEmpty {
            check(linux.namespace(.uts) != nil, "domainname", "needs a uts namespace")
            check(domainname.utf8.count <= 64, "domainname", "is longer than 64 bytes")
        }
        for (index, mount) in mounts.enumerated() { problems += mount.problems(path: "mounts[\(index)]") }
        for (name, hooks) in hooks?.all ?? [] {
            for (index, hook) in hooks.enumerated() {
                check(hook.path.hasPrefix("/"), "hooks.\(name)[\(index)].path", "\"\(hook.path)\" is not absolute")
                if let timeout = hook.timeout { check(timeout > 0, "hooks.\(name)[\(index)].timeout", "must be greater than 0") }
            }
        }
        for key in annotations.keys.sorted() where key.isEmpty { check(false, "annotations", "a key is empty") }
        problems += linux.problems()
        guard problems.isEmpty else { throw .invalid(problems) }
    }

    static func isSupported(_ version: String) -> Bool {
        let core = version.split(separator: "+", maxSplits: 1)[safe: 0]?.split(separator: "-", maxSplits: 1)[safe: 0] ?? ""
        let parts = core.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let major = UInt32(parts[0]), let minor = UInt32(parts[1]), UInt32(parts[2]) != nil else { return false }
        return major == 1 && minor <= 3
    }
}

extension Collection {
    fileprivate subscript(safe index: Index) -> Element? { indices.contains(index) ? self[index] : nil }
}

private func isClean(_ text: String) -> Bool { !text.utf8.contains(0) }

extension ProcessSpec {
    /// What is wrong with the process, wherever it comes from.
    public func problems(path: String) -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        func check(_ condition: Bool, _ field: String, _ text: @autoclosure () -> String) {
            if !condition { problems.append(.init("\(path).\(field)", text())) }
        }
        check(!args.isEmpty, "args", "must not be empty")
        check(cwd.hasPrefix("/"), "cwd", "\"\(cwd)\" is not an absolute path")
        for (index, text) in args.enumerated() { check(isClean(text), "args[\(index)]", "contains a NUL byte") }
        for (index, text) in env.enumerated() { check(isClean(text), "env[\(index)]", "contains a NUL byte") }
        for (name, capabilities) in capabilities?.all ?? [] {
            for (index, capability) in capabilities.enumerated() {
                check(Capability.named(capability) != nil, "capabilities.\(name)[\(index)]", "\"\(capability)\" is not a capability")
            }
        }
        var seen: Set<String> = []
        for (index, limit) in rlimits.enumerated() {
            check(ResourceLimit.number(limit.type) != nil, "rlimits[\(index)].type", "\"\(limit.type)\" is not a resource limit")
            check(seen.insert(limit.type).inserted, "rlimits[\(index)].type", "\(limit.type) occurs twice")
            check(limit.soft <= limit.hard, "rlimits[\(index)].soft", "is greater than the hard limit")
        }
        if let score = oomScoreAdj { check((-1000...1000).contains(score), "oomScoreAdj", "must be from -1000 to 1000") }
        if let umask = user.umask { check(umask <= 0o777, "user.umask", "is more than 0777") }
        if let priority = ioPriority { check((0...7).contains(priority.priority), "ioPriority.priority", "must be from 0 to 7") }
        return problems
    }
}

extension MountSpec {
    func problems(path: String) -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        func check(_ condition: Bool, _ field: String, _ text: @autoclosure () -> String) {
            if !condition { problems.append(.init("\(path).\(field)", text())) }
        }
        check(!destination.isEmpty, "destination", "is empty")
        check(isClean(destination), "destination", "contains a NUL byte")
        if isBind { check(!(source ?? "").isEmpty, "source", "a bind mount needs a source") }
        else { check(!(type ?? "").isEmpty, "type", "is missing, and the mount is no bind mount") }
        check(uidMappings.isEmpty == gidMappings.isEmpty, "uidMappings", "uidMappings and gidMappings go together")
        return problems
    }
}

extension LinuxSpec {
    func problems() -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        func check(_ condition: Bool, _ field: String, _ text: @autoclosure () -> String) {
            if !condition { problems.append(.init("linux.\(field)", text())) }
        }
        var kinds: Set<NamespaceSpec.Kind> = []
        for (index, namespace) in namespaces.enumerated() {
            check(kinds.insert(namespace.type).inserted, "namespaces[\(index)]", "the \(namespace.type.rawValue) namespace occurs twice")
            if let path = namespace.path, !path.isEmpty { check(path.hasPrefix("/"), "namespaces[\(index)].path", "\"\(path)\" is not absolute") }
        }
        if !uidMappings.isEmpty || !gidMappings.isEmpty { check(kinds.contains(.user), "uidMappings", "need a user namespace") }
        for (index, mapping) in (uidMappings + gidMappings).enumerated() { check(mapping.size > 0, "uidMappings[\(index)].size", "is 0") }
        if !timeOffsets.isEmpty { check(kinds.contains(.time), "timeOffsets", "need a time namespace") }
        for key in timeOffsets.keys.sorted() { check(["monotonic", "boottime"].contains(key), "timeOffsets.\(key)", "is not a clock that can be offset") }
        for (index, device) in devices.enumerated() {
            check(device.path.hasPrefix("/"), "devices[\(index)].path", "\"\(device.path)\" is not absolute")
            if device.type != .fifo { check(device.major >= 0 && device.minor >= 0, "devices[\(index)].major", "device numbers must not be negative") }
        }
        for (index, path) in maskedPaths.enumerated() { check(path.hasPrefix("/"), "maskedPaths[\(index)]", "\"\(path)\" is not absolute") }
        for (index, path) in readonlyPaths.enumerated() { check(path.hasPrefix("/"), "readonlyPaths[\(index)]", "\"\(path)\" is not absolute") }
        if let propagation = rootfsPropagation, !propagation.isEmpty {
            let words = ["shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"]
            check(words.contains(propagation), "rootfsPropagation", "\"\(propagation)\" is not one of \(words.joined(separator: ", "))")
        }
        if let path = cgroupsPath { check(!path.split(separator: "/").contains(".."), "cgroupsPath", "must not contain `..`") }
        for key in sysctl.keys.sorted() { if let problem = sysctlProblem(key, kinds) { check(false, "sysctl.\(key)", problem) } }
        for (index, rule) in (seccomp?.syscalls ?? []).enumerated() {
            check(!rule.names.isEmpty, "seccomp.syscalls[\(index)].names", "must not be empty")
            for (position, argument) in rule.args.enumerated() {
                check(argument.index <= 5, "seccomp.syscalls[\(index)].args[\(position)].index", "must be from 0 to 5")
            }
        }
        for (index, rule) in (resources?.devices ?? []).enumerated() {
            check(["a", "b", "c", nil, ""].contains(rule.type), "resources.devices[\(index)].type", "must be a, b or c")
            check((rule.access ?? "").allSatisfy { "rwm".contains($0) }, "resources.devices[\(index)].access", "must be some of rwm")
        }
        return problems
    }

    /// Only what belongs to a namespace of the container may be set: anything else would change the host.
    private func sysctlProblem(_ key: String, _ kinds: Set<NamespaceSpec.Kind>) -> String? {
        let name = key.replacing("/", with: ".")
        guard !name.isEmpty, !name.split(separator: ".", omittingEmptySubsequences: false).contains(where: { $0.isEmpty }), isClean(key) else { return "is malformed" }
        let ipc: Set<String> = [
            "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
        ]
        if ipc.contains(name) || name.hasPrefix("fs.mqueue.") { return kinds.contains(.ipc) ? nil : "needs an ipc namespace" }
        if name.hasPrefix("net.") { return kinds.contains(.network) ? nil : "needs a network namespace" }
        if name == "kernel.domainname" { return kinds.contains(.uts) ? nil : "needs a uts namespace" }
        if name == "kernel.hostname" { return "is set by `hostname`" }
        return "is not in a separate kernel namespace"
    }
}
