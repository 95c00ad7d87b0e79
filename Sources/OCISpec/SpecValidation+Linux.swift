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
        for (key, offset) in timeOffsets.sorted(by: { $0.key < $1.key }) {
            check(offset.nanosecs < 1_000_000_000, "timeOffsets.\(key).nanosecs", "must be less than 1000000000")
        }
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
        problems += seccomp?.problems() ?? []
        problems += memoryPolicy?.problems() ?? []
        problems += intelRdt?.problems() ?? []
        check(personality?.flags.isEmpty ?? true, "personality.flags", "the specification has none")
        check(isClean(mountLabel ?? ""), "mountLabel", "contains a NUL byte")
        if !netDevices.isEmpty { check(kinds.contains(.network), "netDevices", "need a network namespace") }
        for (name, device) in netDevices.sorted(by: { $0.key < $1.key }) {
            check(NetDeviceSpec.isName(name), "netDevices.\(name)", "is not the name of a network device")
            if let new = device.name { check(NetDeviceSpec.isName(new), "netDevices.\(name).name", "\"\(new)\" is not a name for a network device") }
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

extension NetDeviceSpec {
    /// The kernel's rule for names (dev_valid_name).
    static func isName(_ name: String) -> Bool {
        (1...15).contains(name.utf8.count) && name != "." && name != ".." && !name.utf8.contains { $0 <= 0x20 || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ":") }
    }
}

extension MemoryPolicySpec {
    fileprivate func problems() -> [ConfigurationError.Problem] {
        let list = nodes ?? ""
        if !list.isEmpty && NumberList.parse(list) == nil { return [.init("linux.memoryPolicy.nodes", "\"\(list)\" is not a list of nodes like 0-3,7")] }
        switch mode {
        case .standard, .local: return list.isEmpty ? [] : [.init("linux.memoryPolicy.nodes", "must be empty with \(mode.rawValue)")]
        case .preferred: return []
        default: return list.isEmpty ? [.init("linux.memoryPolicy.nodes", "\(mode.rawValue) needs at least one node")] : []
        }
    }
}

extension IntelRdtSpec {
    fileprivate func problems() -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        func check(_ condition: Bool, _ field: String, _ text: String) { if !condition { problems.append(.init("linux.intelRdt.\(field)", text)) } }
        if let closID, closID != "/" {
            let isName = !closID.isEmpty && closID != "." && closID != ".." && !closID.contains("/") && !closID.contains("\n") && isClean(closID)
            check(isName, "closID", "\"\(closID)\" is not the name of a directory, and not \"/\"")
        }
        let lines = [("l3CacheSchema", l3CacheSchema ?? ""), ("memBwSchema", memBwSchema ?? "")] + schemata.enumerated().map { ("schemata[\($0.offset)]", $0.element) }
        for (field, line) in lines { check(!line.contains { $0.isNewline } && isClean(line), field, "must be one line") }
        check((memBwSchema ?? "").isEmpty || memBwSchema?.hasPrefix("MB:") == true, "memBwSchema", "must start with MB:")
        return problems
    }
}

extension SeccompSpec {
    fileprivate func problems() -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        func check(_ condition: Bool, _ field: String, _ text: @autoclosure () -> String) {
            if !condition { problems.append(.init("linux.seccomp.\(field)", text())) }
        }
        check(defaultAction != .notify, "defaultAction", "SCMP_ACT_NOTIFY cannot be the default action")
        if let number = defaultErrnoRet, let problem = defaultAction.problem(with: number) { check(false, "defaultErrnoRet", problem) }
        let path = listenerPath ?? ""
        if notifies {
            check(path.hasPrefix("/"), "listenerPath", path.isEmpty ? "SCMP_ACT_NOTIFY needs the path of an agent's socket" : "\"\(path)\" is not absolute")
        }
        if !(listenerMetadata ?? "").isEmpty { check(!path.isEmpty, "listenerMetadata", "needs listenerPath") }
        for (index, rule) in syscalls.enumerated() {
            let field = "syscalls[\(index)]"
            check(!rule.names.isEmpty, "\(field).names", "must not be empty")
            // The descriptor of the listener is announced by write(2), which must not wait for who is to get it.
            check(rule.action != .notify || !rule.names.contains("write"), "\(field).action", "SCMP_ACT_NOTIFY cannot be used for the write syscall")
            if let number = rule.errnoRet, let problem = rule.action.problem(with: number) { check(false, "\(field).errnoRet", problem) }
            for (position, argument) in rule.args.enumerated() {
                check(argument.index <= 5, "\(field).args[\(position)].index", "must be from 0 to 5")
            }
        }
        return problems
    }
}

extension SeccompSpec.Action {
    /// What is wrong with a number for this action.
    fileprivate func problem(with number: UInt32) -> String? {
        switch self {
        case .errno: number <= 4095 ? nil : "\(number) is not an error number"
        case .trace: number <= 0xFFFF ? nil : "\(number) is too large"
        default: "\(rawValue) takes no number"
        }
    }
}
