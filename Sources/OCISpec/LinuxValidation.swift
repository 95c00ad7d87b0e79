internal import JSONText

extension LinuxSpec {
    /// What is wrong with namespaces, users, clocks, devices, paths, sysctls and what belongs to one kernel's features.
    func problems() -> [ConfigurationError.Problem] {
        var list = ProblemList(path: "linux")
        var kinds: [NamespaceSpec.Kind] = []
        for (index, namespace) in namespaces.enumerated() {
            list.check(!kinds.contains(namespace.type), "namespaces[\(index)]", "the \(namespace.type.rawValue) namespace occurs twice")
            kinds.append(namespace.type)
            if let path = namespace.path, !path.isEmpty { list.absolutePath(path, "namespaces[\(index)].path") }
        }
        checkMappings(kinds, &list)
        checkTimeOffsets(kinds, &list)
        checkDevices(&list)
        for (index, path) in maskedPaths.enumerated() { list.absolutePath(path, "maskedPaths[\(index)]") }
        for (index, path) in readonlyPaths.enumerated() { list.absolutePath(path, "readonlyPaths[\(index)]") }
        if let propagation = rootfsPropagation, !propagation.isEmpty {
            let words = ["shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"]
            list.check(words.contains(propagation), "rootfsPropagation", "\(quoted(propagation)) is not one of \(words.joined(separator: ", "))")
        }
        list.path(cgroupsPath, "cgroupsPath")
        if let path = cgroupsPath { list.check(!path.split(separator: "/").contains(".."), "cgroupsPath", "must not contain `..`") }
        checkSysctls(kinds, &list)
        if let seccomp { list.append(seccomp.problems(path: "linux.seccomp")) }
        if let memoryPolicy { list.append(memoryPolicy.problems(path: "linux.memoryPolicy")) }
        if let intelRdt { list.append(intelRdt.problems(path: "linux.intelRdt")) }
        list.check(personality?.flags.isEmpty ?? true, "personality.flags", "the specification has none: leave them out")
        list.clean(mountLabel, "mountLabel")
        if !netDevices.isEmpty { list.check(kinds.contains(.network), "netDevices", "need a network namespace in linux.namespaces") }
        for (name, device) in netDevices.sorted(by: { $0.key < $1.key }) {
            let field = memberPath("netDevices", name)
            list.check(NetDeviceSpec.isName(name), field, "is not the name of a network device")
            if let new = device.name { list.check(NetDeviceSpec.isName(new), "\(field).name", "\(quoted(new)) is not a name for a network device") }
        }
        if let resources { list.append(resources.problems(path: "linux.resources")) }
        return list.problems
    }

    private func checkMappings(_ kinds: [NamespaceSpec.Kind], _ list: inout ProblemList) {
        for (name, mappings) in [("uidMappings", uidMappings), ("gidMappings", gidMappings)] where !mappings.isEmpty {
            list.check(kinds.contains(.user), name, "need a user namespace in linux.namespaces")
        }
        list.mappings(uidMappings, "uidMappings")
        list.mappings(gidMappings, "gidMappings")
        guard let user = namespace(.user), (user.path ?? "").isEmpty else { return }
        list.check(!uidMappings.isEmpty, "uidMappings", "is missing: a new user namespace has no users without")
        list.check(!gidMappings.isEmpty, "gidMappings", "is missing: a new user namespace has no groups without")
    }

    private func checkTimeOffsets(_ kinds: [NamespaceSpec.Kind], _ list: inout ProblemList) {
        if !timeOffsets.isEmpty { list.check(kinds.contains(.time), "timeOffsets", "need a time namespace in linux.namespaces") }
        for (key, offset) in timeOffsets.sorted(by: { $0.key < $1.key }) {
            let field = memberPath("timeOffsets", key)
            list.check(["monotonic", "boottime"].contains(key), field, "is not a clock that can be offset: monotonic and boottime are")
            list.check(offset.nanosecs < 1_000_000_000, "\(field).nanosecs", "must be from 0 to 999999999")
        }
    }

    private func checkDevices(_ list: inout ProblemList) {
        var known: [String: DeviceSpec] = [:]
        for (index, device) in devices.enumerated() {
            let field = "devices[\(index)]"
            list.absolutePath(device.path, "\(field).path")
            list.identifier(device.uid, "\(field).uid")
            list.identifier(device.gid, "\(field).gid")
            if device.type != .fifo {
                list.check((0...0xFFF).contains(device.major), "\(field).major", "must be from 0 to 4095")
                list.check((0...0xF_FFFF).contains(device.minor), "\(field).minor", "must be from 0 to 1048575")
            }
            list.check(known.updateValue(device, forKey: device.path) ?? device == device, "\(field).path", "\(quoted(device.path)) is given twice, as different devices")
        }
    }

    private func checkSysctls(_ kinds: [NamespaceSpec.Kind], _ list: inout ProblemList) {
        var names: Set<String> = []
        for key in sysctl.keys.sorted() {
            let field = memberPath("sysctl", key)
            if let problem = sysctlProblem(key, kinds) { list.add(field, problem) }
            list.clean(sysctl[key], field)
            list.check(names.insert(key.replacing("/", with: ".")).inserted, field, "is given twice, with dots and with slashes")
        }
    }

    /// Only what belongs to a namespace of the container may be set: anything else would change the host.
    private func sysctlProblem(_ key: String, _ kinds: [NamespaceSpec.Kind]) -> String? {
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

extension ProblemList {
    /// Ranges of a user namespace: none empty, none beyond the last number, none in another's place, and no more than the kernel takes.
    mutating func mappings(_ mappings: [IDMappingSpec], _ field: String) {
        let most = 340
        check(mappings.count <= most, field, "has more than \(most) ranges, which is all that the kernel takes")
        for (index, mapping) in mappings.enumerated() {
            check(mapping.size > 0, "\(field)[\(index)].size", "is 0")
            for (name, first) in [("containerID", mapping.containerID), ("hostID", mapping.hostID)] {
                check(UInt64(first) + UInt64(mapping.size) <= UInt64(UInt32.max), "\(field)[\(index)].\(name)", "the range ends beyond \(UInt32.max - 1)")
            }
        }
        for (name, first) in [("containerID", \IDMappingSpec.containerID), ("hostID", \.hostID)] {
            let order = mappings.indices.sorted { mappings[$0][keyPath: first] < mappings[$1][keyPath: first] }
            for (earlier, later) in zip(order, order.dropFirst())
            where UInt64(mappings[earlier][keyPath: first]) + UInt64(mappings[earlier].size) > UInt64(mappings[later][keyPath: first]) {
                add("\(field)[\(later)].\(name)", "the range overlaps that of [\(earlier)]")
            }
        }
    }
}

extension NetDeviceSpec {
    /// The kernel's rule for names (dev_valid_name).
    static func isName(_ name: String) -> Bool {
        (1...15).contains(name.utf8.count) && name != "." && name != ".." && !name.utf8.contains { $0 <= 0x20 || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ":") }
    }
}

extension MemoryPolicySpec {
    fileprivate func problems(path: String) -> [ConfigurationError.Problem] {
        var list = ProblemList(path: path)
        let nodes = nodes ?? ""
        if !nodes.isEmpty && NumberList.parse(nodes) == nil {
            list.add("nodes", "\(quoted(nodes)) is not a list of nodes like 0-3,7")
            return list.problems
        }
        switch mode {
        case .standard, .local: list.check(nodes.isEmpty, "nodes", "must be empty with \(mode.rawValue)")
        case .preferred: break
        default: list.check(!nodes.isEmpty, "nodes", "\(mode.rawValue) needs at least one node")
        }
        return list.problems
    }
}

extension IntelRdtSpec {
    fileprivate func problems(path: String) -> [ConfigurationError.Problem] {
        var list = ProblemList(path: path)
        if let closID, closID != "/" {
            let isName = !closID.isEmpty && closID != "." && closID != ".." && !closID.contains("/") && !closID.contains("\n") && isClean(closID)
            list.check(isName, "closID", "\(quoted(closID)) is not the name of a directory, and not \"/\"")
        }
        let lines = [("l3CacheSchema", l3CacheSchema ?? ""), ("memBwSchema", memBwSchema ?? "")] + schemata.enumerated().map { ("schemata[\($0.offset)]", $0.element) }
        for (field, line) in lines { list.check(!line.contains { $0.isNewline } && isClean(line), field, "must be one line") }
        list.check((memBwSchema ?? "").isEmpty || memBwSchema?.hasPrefix("MB:") == true, "memBwSchema", "must start with MB:")
        return list.problems
    }
}
