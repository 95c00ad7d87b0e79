internal import LinuxSystem
public import OCISpec

extension ControlGroup {
    /// Puts linux.resources in force. Call before processes are in the group.
    /// - Parameter restrictsDevices: false leaves the group's access to devices as it is, whatever `resources.devices` says.
    public func apply(_ resources: ResourcesSpec, restrictsDevices: Bool = true) throws(ControlGroupError) {
        if restrictsDevices, layout.isUnified {
            guard let directory = unifiedDirectory else { throw .notMounted }
            try attachDeviceFilter(DeviceRule.effective(resources.devices), to: directory)
        }
        for (directory, write) in try writes(resources, restrictsDevices: restrictsDevices) { try perform(write, in: directory) }
    }

    /// Changes limits of a group in use: all or, when one of them is refused, none. What the group may do with devices stays.
    /// - Returns: what `restore` wants to undo it.
    @discardableResult
    public func change(_ resources: ResourcesSpec) throws(ControlGroupError) -> LimitsBefore {
        let writes = try writes(resources, restrictsDevices: false)
        var before = LimitsBefore()
        for (directory, write) in writes { before.note(write, in: directory) }
        try beforeChange?(writes.map(\.write))
        do throws(ControlGroupError) {
            for (directory, write) in writes { try perform(write, in: directory) }
        } catch {
            do throws(ControlGroupError) { try restore(before) } catch let second { throw .inconsistent("\(error)", setBack: "\(second)") }
            throw error
        }
        return before
    }

    /// Writes what was there before a change.
    public func restore(_ before: LimitsBefore) throws(ControlGroupError) {
        try beforeChange?(before.files.map { file in
            ResourceWrite("", String(file.path.split(separator: "/").last ?? ""), String(file.text.prefix { $0 != "\n" }))
        })
        do throws(SystemError) {
            // Backwards: limits that bound each other are undone in an order that the kernel takes.
            for (path, text) in before.files.reversed() {
                // A cpuset that was empty is an empty line; of a list of devices each line is written alone.
                let lines = text.split(separator: "\n")
                for line in lines.isEmpty && !text.isEmpty ? [""] : lines { try overwrite(path, line + "\n") }
            }
        } catch { throw .system(error) }
    }

    /// The lines of a configuration and the directory that each goes to, in order.
    private func writes(_ resources: ResourcesSpec, restrictsDevices: Bool) throws(ControlGroupError) -> [(directory: String, write: ResourceWrite)] {
        if layout.isUnified {
            guard let directory = unifiedDirectory else { throw .notMounted }
            try checkUsage(resources.memory, file: directory + "/memory.current")
            return ordered(try version2Writes(resources)).map { (directory, $0) }
        }
        if let memory = directory(of: "memory") { try checkUsage(resources.memory, file: memory + "/memory.usage_in_bytes") }
        var result: [(directory: String, write: ResourceWrite)] = []
        for write in ordered(try version1Writes(resources)) where restrictsDevices || write.controller != "devices" {
            guard let directory = directory(of: write.controller) else {
                if write.optional { continue }
                // Device rules are ours as well as the configuration's; the rest was asked for.
                throw .missingController(write.controller, file: write.file)
            }
            result.append((directory, write))
        }
        return result
    }

    /// linux.resources.memory.checkBeforeUpdate: a limit below the usage is refused instead of making the kernel reclaim and kill.
    private func checkUsage(_ memory: ResourcesSpec.MemorySpec?, file: String) throws(ControlGroupError) {
        guard let memory, memory.checkBeforeUpdate == true, let limit = memory.limit, limit > 0, let used = number(file) else { return }
        if UInt64(limit) < used { throw .invalidValue(field: "memory.limit", reason: "\(limit) is less than the \(used) bytes in use") }
    }

    /// The same in an order that the kernel takes: of two limits that bound each other the one that would be exceeded goes last.
    private func ordered(_ writes: [ResourceWrite]) -> [ResourceWrite] {
        var writes = writes
        func current(_ write: ResourceWrite) -> UInt64? {
            (unifiedDirectory ?? directory(of: write.controller)).flatMap { number($0 + "/" + write.file) }
        }
        func move(_ file: String, before other: String, if condition: (_ first: ResourceWrite, _ second: ResourceWrite) -> Bool) {
            guard let later = writes.firstIndex(where: { $0.file == file }), let earlier = writes.firstIndex(where: { $0.file == other }), earlier < later,
                condition(writes[later], writes[earlier]) else { return }
            writes.insert(writes.remove(at: later), at: earlier)
        }
        // Memory and swap together are never less than memory.
        move("memory.memsw.limit_in_bytes", before: "memory.limit_in_bytes") { swap, memory in
            guard let wanted = UInt64(swap.value) else { return true }
            return (current(memory) ?? 0) < wanted
        }
        // A burst is never more than the quota.
        for (burst, quota) in [("cpu.max.burst", "cpu.max"), ("cpu.cfs_burst_us", "cpu.cfs_quota_us")] {
            move(burst, before: quota) { burst, _ in (UInt64(burst.value) ?? 0) < (current(burst) ?? 0) }
        }
        return writes
    }

    /// A group below this one, which exists.
    /// - Parameter paths: its path below this group, by controller; "" for version 2. Controllers that are not named stay in this group.
    public func subgroup(_ paths: [String: String]) throws(ControlGroupError) -> ControlGroup {
        var places = places
        for (controller, path) in paths.sorted(by: { $0.key < $1.key }) {
            let found = places.firstIndex { controller.isEmpty ? $0.hierarchy.isVersion2 : $0.hierarchy.controllers.contains(controller) }
            guard let found, controller.isEmpty == layout.isUnified else { throw .invalidSubgroup(controller.isEmpty ? path : controller + ":" + path) }
            guard let relative = ControlGroupLayout.cleaned(path), !path.utf8.contains(0) else { throw .invalidSubgroup(path) }
            if relative.isEmpty { continue }
            let directory = self.places[found].directory + "/" + relative
            do throws(SystemError) { _ = try OwnedDescriptor(opening: directory + "/cgroup.procs", flags: 0) } catch { throw .system(error) }
            places[found] = Place(hierarchy: places[found].hierarchy, directory: directory)
        }
        return ControlGroup(layout: layout, places: places)
    }
}

/// What files of a group held before a change.
public struct LimitsBefore: Sendable {
    var files: [(path: String, text: String)] = []

    mutating func note(_ write: ResourceWrite, in directory: String) {
        for name in [write.file, write.otherwise?.file].compactMap({ $0 }) {
            guard let text = GroupFiles(directory).text(name) else { continue }
            // This one is read in another form than it is written.
            let isTable = name == "memory.oom_control"
            files.append((directory + "/" + name, isTable ? (GroupFiles(directory).keyed(name)["oom_kill_disable"].map { "\($0)" } ?? "0") : text))
            return
        }
    }
}
