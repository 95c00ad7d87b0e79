internal import JSONText

extension LinuxSpec {
    /// What is wrong with users, clocks, devices, sysctls and filters.
    func fieldProblems() -> [ConfigurationError.Problem] {
        var list = ProblemList(path: "linux")
        for (index, namespace) in namespaces.enumerated() { list.path(namespace.path, "namespaces[\(index)].path") }
        checkMappings(&list)
        for key in timeOffsets.keys.sorted() {
            list.check(timeOffsets[key]?.nanosecs ?? 0 < 1_000_000_000, memberPath("timeOffsets", key) + ".nanosecs", "must be from 0 to 999999999")
        }
        checkDevices(&list)
        list.path(cgroupsPath, "cgroupsPath")
        for (index, path) in maskedPaths.enumerated() { list.path(path, "maskedPaths[\(index)]") }
        for (index, path) in readonlyPaths.enumerated() { list.path(path, "readonlyPaths[\(index)]") }
        list.clean(mountLabel, "mountLabel")
        var names: Set<String> = []
        for key in sysctl.keys.sorted() {
            list.clean(sysctl[key], memberPath("sysctl", key))
            list.check(names.insert(key.replacing("/", with: ".")).inserted, memberPath("sysctl", key), "is given twice, with dots and with slashes")
        }
        if let seccomp { list.append(seccomp.problems(path: "linux.seccomp")) }
        if let resources { list.append(resources.problems(path: "linux.resources")) }
        return list.problems
    }

    private func checkMappings(_ list: inout ProblemList) {
        list.mappings(uidMappings, "uidMappings")
        list.mappings(gidMappings, "gidMappings")
        guard let user = namespace(.user), (user.path ?? "").isEmpty else { return }
        list.check(!uidMappings.isEmpty, "uidMappings", "is missing: a new user namespace has no users without")
        list.check(!gidMappings.isEmpty, "gidMappings", "is missing: a new user namespace has no groups without")
    }

    private func checkDevices(_ list: inout ProblemList) {
        var known: [String: DeviceSpec] = [:]
        for (index, device) in devices.enumerated() {
            let field = "devices[\(index)]"
            list.path(device.path, "\(field).path")
            list.identifier(device.uid, "\(field).uid")
            list.identifier(device.gid, "\(field).gid")
            if device.type != .fifo {
                list.check(device.major <= 0xFFF, "\(field).major", "must be from 0 to 4095")
                list.check(device.minor <= 0xF_FFFF, "\(field).minor", "must be from 0 to 1048575")
            }
            list.check(known.updateValue(device, forKey: device.path) ?? device == device, "\(field).path", "\(quoted(device.path)) is given twice, as different devices")
        }
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

extension SeccompSpec {
    func problems(path: String) -> [ConfigurationError.Problem] {
        var list = ProblemList(path: path)
        list.errnoRet(defaultErrnoRet, defaultAction, "defaultErrnoRet")
        list.path(listenerPath, "listenerPath")
        for (index, rule) in syscalls.enumerated() {
            list.clean(rule.names, "syscalls[\(index)].names")
            for (position, name) in rule.names.enumerated() { list.check(!name.isEmpty, "syscalls[\(index)].names[\(position)]", "is empty") }
            list.errnoRet(rule.errnoRet, rule.action, "syscalls[\(index)].errnoRet")
        }
        return list.problems
    }
}

extension ProblemList {
    fileprivate mutating func errnoRet(_ value: UInt32?, _ action: SeccompSpec.Action, _ field: String) {
        guard let value else { return }
        switch action {
        case .errno: check(value <= 4095, field, "must be from 0 to 4095")
        case .trace: check(value <= 65535, field, "must be from 0 to 65535")
        default: add(field, "\(action.rawValue) returns no errno")
        }
    }
}
