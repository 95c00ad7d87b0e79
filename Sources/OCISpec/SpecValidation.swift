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
        let isMapped = linux.namespace(.user).map { !linux.uidMappings.isEmpty || !($0.path ?? "").isEmpty } ?? false
        for (index, mount) in mounts.enumerated() { problems += mount.problems(path: "mounts[\(index)]", inUserNamespace: isMapped) }
        for (name, hooks) in hooks?.all ?? [] {
            for (index, hook) in hooks.enumerated() {
                check(hook.path.hasPrefix("/"), "hooks.\(name)[\(index)].path", "\"\(hook.path)\" is not absolute")
                if let timeout = hook.timeout { check(timeout > 0, "hooks.\(name)[\(index)].timeout", "must be greater than 0") }
            }
        }
        for key in annotations.keys.sorted() where key.isEmpty { check(false, "annotations", "a key is empty") }
        problems += linux.problems()
        problems += vm?.problems() ?? []
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

func isClean(_ text: String) -> Bool { !text.utf8.contains(0) }

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
        if let scheduler {
            for problem in scheduler.problems { check(false, "scheduler.\(problem.path)", problem.text) }
        }
        for (name, list) in [("initial", execCPUAffinity?.initial), ("final", execCPUAffinity?.final)] {
            guard let list, !list.isEmpty else { continue }
            check(NumberList.parse(list) != nil, "execCPUAffinity.\(name)", "\"\(list)\" is not a list of CPUs like 0-3,7")
        }
        if let priority = ioPriority { check((0...7).contains(priority.priority), "ioPriority.priority", "must be from 0 to 7") }
        return problems
    }
}

extension SchedulerSpec {
    /// The kernel would pass over some of these and do something else.
    fileprivate var problems: [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        func check(_ condition: Bool, _ field: String, _ text: String) { if !condition { problems.append(.init(field, text)) } }
        if policy == .other || policy == .batch { check((-20...19).contains(nice), "nice", "must be from -20 to 19") }
        if policy == .fifo || policy == .roundRobin {
            check((1...99).contains(priority), "priority", "must be from 1 to 99 with \(policy.rawValue)")
        } else {
            check(priority == 0, "priority", "is for SCHED_FIFO and SCHED_RR only")
        }
        if policy != .deadline {
            check(runtime == 0, "runtime", "is for SCHED_DEADLINE only")
            check(deadline == 0, "deadline", "is for SCHED_DEADLINE only")
            check(period == 0, "period", "is for SCHED_DEADLINE only")
        }
        return problems
    }
}

extension MountSpec {
    func problems(path: String, inUserNamespace: Bool) -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        func check(_ condition: Bool, _ field: String, _ text: @autoclosure () -> String) {
            if !condition { problems.append(.init("\(path).\(field)", text())) }
        }
        check(!destination.isEmpty, "destination", "is empty")
        check(isClean(destination), "destination", "contains a NUL byte")
        if isBind { check(!(source ?? "").isEmpty, "source", "a bind mount needs a source") }
        else { check(!(type ?? "").isEmpty, "type", "is missing, and the mount is no bind mount") }
        check(uidMappings.isEmpty == gidMappings.isEmpty, "uidMappings", "uidMappings and gidMappings go together")
        for (name, mappings) in [("uidMappings", uidMappings), ("gidMappings", gidMappings)] {
            for (index, mapping) in mappings.enumerated() { check(mapping.size > 0, "\(name)[\(index)].size", "is 0") }
        }
        if isIdentityMapped {
            check(isBind, uidMappings.isEmpty ? "options" : "uidMappings", "only bind mounts can be id-mapped")
            check(!options.contains("remount"), "options", "a remount cannot be id-mapped")
            if uidMappings.isEmpty && gidMappings.isEmpty {
                check(inUserNamespace, "options", "an id-mapped mount needs uidMappings and gidMappings, its own or the container's")
            }
        }
        return problems
    }
}

extension VMSpec {
    func problems() -> [ConfigurationError.Problem] {
        let paths = [
            ("hypervisor.path", hypervisor?.path), ("kernel.path", kernel?.path), ("kernel.initrd", kernel?.initrd), ("image.path", image?.path),
        ]
        return paths.compactMap { (field, path) in
            path.flatMap { $0.hasPrefix("/") ? nil : ConfigurationError.Problem("vm.\(field)", "\"\($0)\" is not an absolute path") }
        }
    }
}
