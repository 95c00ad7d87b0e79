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
        let isMapped = linux.namespace(.user).map { !linux.uidMappings.isEmpty || !($0.path ?? "").isEmpty } ?? false
        for (index, mount) in mounts.enumerated() { problems += mount.problems(path: "mounts[\(index)]", inUserNamespace: isMapped) }
        for (name, hooks) in hooks?.all ?? [] {
            for (index, hook) in hooks.enumerated() {
                check(hook.path.hasPrefix("/"), "hooks.\(name)[\(index)].path", "\(quoted(hook.path)) is not absolute")
                problems += hook.fieldProblems(path: "hooks.\(name)[\(index)]")
                if let timeout = hook.timeout { check(timeout > 0, "hooks.\(name)[\(index)].timeout", "must be greater than 0") }
            }
        }
        for key in annotations.keys.sorted() where key.isEmpty { check(false, "annotations", "a key is empty") }
        problems += linux.problems()
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

func isClean(_ text: String) -> Bool { !text.utf8.contains(0) }

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
        for (name, list) in [("initial", execCPUAffinity?.initial), ("final", execCPUAffinity?.final)] {
            guard let list, !list.isEmpty else { continue }
            check(NumberList.parse(list) != nil, "execCPUAffinity.\(name)", "\(quoted(list)) is not a list of CPUs like 0-3,7")
        }
        if let priority = ioPriority { check((0...7).contains(priority.priority), "ioPriority.priority", "must be from 0 to 7") }
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
        problems += fieldProblems(path: path)
        if isBind { check(!(source ?? "").isEmpty, "source", "a bind mount needs a source") }
        else { check(!(type ?? "").isEmpty, "type", "is missing, and the mount is no bind mount") }
        check(uidMappings.isEmpty == gidMappings.isEmpty, "uidMappings", "uidMappings and gidMappings go together")
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
