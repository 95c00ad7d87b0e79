internal import JSONText

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
        check(Self.isSupported(ociVersion), "ociVersion", "version \(quoted(ociVersion)) is not supported: 1.0.0 to 1.3.x are")
        for section in foreignSections { check(false, section, "a configuration for another platform than Linux") }
        if let root {
            check(!root.path.isEmpty, "root.path", "is empty")
            problems += root.problems()
        } else { check(false, "root", "is missing") }
        if let process { problems += process.problems(path: "process") }
        let linux = self.linux ?? LinuxSpec()
        if let hostname, !hostname.isEmpty {
            check(linux.namespace(.uts) != nil, "hostname", "needs a uts namespace in linux.namespaces")
            check(hostname.utf8.count <= 64, "hostname", "is longer than 64 bytes")
            check(isClean(hostname), "hostname", "contains a NUL byte")
        }
        if let domainname, !domainname.isEmpty {
            check(linux.namespace(.uts) != nil, "domainname", "needs a uts namespace in linux.namespaces")
            check(domainname.utf8.count <= 64, "domainname", "is longer than 64 bytes")
            check(isClean(domainname), "domainname", "contains a NUL byte")
        }
        for (index, mount) in mounts.enumerated() { problems += mount.problems(path: "mounts[\(index)]") }
        for (name, hooks) in hooks?.all ?? [] {
            for (index, hook) in hooks.enumerated() {
                check(hook.path.hasPrefix("/"), "hooks.\(name)[\(index)].path", "\(quoted(hook.path)) is not absolute")
                problems += hook.fieldProblems(path: "hooks.\(name)[\(index)]")
                if let timeout = hook.timeout { check(timeout > 0, "hooks.\(name)[\(index)].timeout", "must be greater than 0") }
            }
        }
        for key in annotations.keys.sorted() where key.isEmpty { check(false, "annotations", "a key is empty") }
        problems += linux.problems() + linux.fieldProblems()
        if let vm { problems += vm.problems() }
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
        check(cwd.hasPrefix("/"), "cwd", "\(quoted(cwd)) is not an absolute path")
        problems += fieldProblems(path: path)
        for (name, capabilities) in capabilities?.all ?? [] {
            for (index, capability) in capabilities.enumerated() {
                check(Capability.named(capability) != nil, "capabilities.\(name)[\(index)]", "\(quoted(capability)) is not a capability")
            }
        }
        var seen: Set<String> = []
        for (index, limit) in rlimits.enumerated() {
            check(ResourceLimit.number(limit.type) != nil, "rlimits[\(index)].type", "\(quoted(limit.type)) is not a resource limit")
            check(seen.insert(limit.type).inserted, "rlimits[\(index)].type", "\(quoted(limit.type)) occurs twice")
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
        problems += fieldProblems(path: path)
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
            if let path = namespace.path, !path.isEmpty { check(path.hasPrefix("/"), "namespaces[\(index)].path", "\(quoted(path)) is not absolute") }
        }
        for (name, mappings) in [("uidMappings", uidMappings), ("gidMappings", gidMappings)] where !mappings.isEmpty {
            check(kinds.contains(.user), name, "need a user namespace in linux.namespaces")
        }
        if !timeOffsets.isEmpty { check(kinds.contains(.time), "timeOffsets", "need a time namespace in linux.namespaces") }
        for key in timeOffsets.keys.sorted() { check(["monotonic", "boottime"].contains(key), memberPath("timeOffsets", key), "is not a clock that can be offset: monotonic and boottime are") }
        for (index, device) in devices.enumerated() {
            check(device.path.hasPrefix("/"), "devices[\(index)].path", "\(quoted(device.path)) is not absolute")
            if device.type != .fifo { check(device.major >= 0 && device.minor >= 0, "devices[\(index)].major", "device numbers must not be negative") }
        }
        for (index, path) in maskedPaths.enumerated() { check(path.hasPrefix("/"), "maskedPaths[\(index)]", "\(quoted(path)) is not absolute") }
        for (index, path) in readonlyPaths.enumerated() { check(path.hasPrefix("/"), "readonlyPaths[\(index)]", "\(quoted(path)) is not absolute") }
        if let propagation = rootfsPropagation, !propagation.isEmpty {
            let words = ["shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"]
            check(words.contains(propagation), "rootfsPropagation", "\(quoted(propagation)) is not one of \(words.joined(separator: ", "))")
        }
        if let path = cgroupsPath { check(!path.split(separator: "/").contains(".."), "cgroupsPath", "must not contain `..`") }
        for key in sysctl.keys.sorted() { if let problem = sysctlProblem(key, kinds) { check(false, memberPath("sysctl", key), problem) } }
        for (index, rule) in (seccomp?.syscalls ?? []).enumerated() {
            check(!rule.names.isEmpty, "seccomp.syscalls[\(index)].names", "must not be empty")
            for (position, argument) in rule.args.enumerated() {
                check(argument.index <= 5, "seccomp.syscalls[\(index)].args[\(position)].index", "must be from 0 to 5")
            }
        }
        for (index, rule) in (resources?.devices ?? []).enumerated() {
            check(["a", "b", "c", nil, ""].contains(rule.type), "resources.devices[\(index)].type", "\(quoted(rule.type ?? "")) is not a (all), b or c")
            check((rule.access ?? "").allSatisfy { "rwm".contains($0) }, "resources.devices[\(index)].access", "\(quoted(rule.access ?? "")) has other letters than r, w and m")
        }
        return problems
    }

    /// Only what belongs to a namespace of the container may be set: anything else would change the host.
    private func sysctlProblem(_ key: String, _ kinds: Set<NamespaceSpec.Kind>) -> String? {
        let name = key.replacing("/", with: ".")
        guard !name.isEmpty, !name.split(separator: ".", omittingEmptySubsequences: false).contains(where: { $0.isEmpty }), isClean(key) else { return "is malformed" }
        if name == "kernel.hostname" { return "is set by `hostname`" }
        switch Self.namespace(ofSysctl: key) {
        case .ipc where !kinds.contains(.ipc): return "needs an ipc namespace in linux.namespaces"
        case .network where !kinds.contains(.network): return "needs a network namespace in linux.namespaces"
        case .uts where !kinds.contains(.uts): return "needs a uts namespace in linux.namespaces"
        case nil: return "is not in a separate kernel namespace"
        default: return nil
        }
    }

    /// The namespace that a sysctl belongs to; nil for one that is the whole kernel's.
    public static func namespace(ofSysctl key: String) -> NamespaceSpec.Kind? {
        let name = key.replacing("/", with: ".")
        let ipc: Set<String> = [
            "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
        ]
        if ipc.contains(name) || name.hasPrefix("fs.mqueue.") { return .ipc }
        if name.hasPrefix("net.") { return .network }
        return name == "kernel.domainname" || name == "kernel.hostname" ? .uts : nil
    }
}
