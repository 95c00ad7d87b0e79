internal import ControlGroups
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// Where a container's control group is on this host.
struct HostControlGroup {
    /// Absolute below each hierarchy's root, or relative to the caller's group, as linux.cgroupsPath is.
    let path: String
    /// The group's directories, one a hierarchy.
    let directories: [String]

    /// - Parameter isOptional: nil where there can be no group, instead of an error.
    /// - Throws: when the place cannot be used: it has processes already, which a later `delete` would kill.
    static func locate(_ spec: RuntimeSpec, _ state: StateDirectory, isOptional: Bool) throws(RuntimeError) -> HostControlGroup? {
        do throws(ControlGroupError) { return try find(spec, state) } catch {
            if isOptional && error.meansNone { return nil }
            throw RuntimeError("\(error)")
        }
    }

    private static func find(_ spec: RuntimeSpec, _ state: StateDirectory) throws(ControlGroupError) -> HostControlGroup {
        let path = spec.linux?.cgroupsPath.flatMap { $0.isEmpty ? nil : $0 } ?? defaultPath(state)
        let group = try ControlGroup.locate(path: path, identifier: state.id)
        let processes = try group.processes()
        guard processes.isEmpty else { throw .notEmpty(path: group.directories.first ?? path) }
        return HostControlGroup(path: path, directories: group.directories)
    }

    /// Two folders of states may have containers of one name, so the folder is in it (by its FNV-1a hash).
    private static func defaultPath(_ state: StateDirectory) -> String {
        let hash = state.root.utf8.reduce(UInt32(0x811C_9DC5)) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
        return "\(state.id).\(String(hash, radix: 16))"
    }
}

extension HostControlGroup {
    /// Makes the group that a machine's process is put into, and writes its place down before it is made.
    ///
    /// The guest enforces most limits; the host's are a second line. So where this user or this machine has no control groups, the
    /// machine runs without, and the log says so. What only the host can enforce is refused then.
    /// - Returns: nil where there can be none.
    static func makeForMachine(
        _ spec: RuntimeSpec, _ settings: MachineSettings, _ record: inout ContainerRecord, _ state: StateDirectory, _ log: RuntimeLog
    ) throws(RuntimeError) -> ControlGroup? {
        let place: HostControlGroup
        let own = MachineResources.ofHostAlone(spec.linux?.resources)
        do throws(ControlGroupError) { place = try find(spec, state) } catch {
            guard isAbsence(error), own.field == nil else { throw failure(own.field, error) }
            tell(error, spec, log)
            return nil
        }
        record.controlGroups = place.directories
        try state.save(record)
        do throws(ControlGroupError) {
            let group = try ControlGroup.create(path: place.path, identifier: state.id)
            // What the container may do with devices concerns the guest's; the machine's process opens /dev/kvm.
            do throws(ControlGroupError) { try group.apply(own.resources, restrictsDevices: false) } catch {
                try? group.delete()
                throw error
            }
            try limit(group, MachineResources.onHost(spec.linux?.resources, settings.memory), log)
            return group
        } catch {
            guard isAbsence(error), own.field == nil else { throw failure(own.field, error) }
            tell(error, spec, log)
            record.controlGroups = []
            try state.save(record)
            return nil
        }
    }

    /// A warning where a group was to be expected: an ordinary user asks for one by a path or a limit.
    private static func tell(_ error: ControlGroupError, _ spec: RuntimeSpec, _ log: RuntimeLog) {
        var limits = spec.linux?.resources ?? ResourcesSpec()
        limits.devices = []
        let isExpected = Rootless.isAssumed && (spec.linux?.cgroupsPath ?? "").isEmpty && limits == ResourcesSpec()
        let text = "the machine stays in its caller's control group: \(error)"
        if isExpected { log.debug(text) } else { log.warning(text) }
    }

    /// The same by systemd, which wants the process to be there.
    static func makeScope(
        for creation: Creation, _ settings: MachineSettings, _ record: inout ContainerRecord, _ state: StateDirectory, _ log: RuntimeLog
    ) throws(RuntimeError) {
        let scope = try SystemdScope(path: creation.spec.linux?.cgroupsPath, id: state.id, isRootless: Rootless.isAssumed)
        try scope.reserve()
        record.systemdUnit = scope.unit
        try state.save(record)
        let resources = MachineResources.onHost(creation.spec.linux?.resources, settings.memory)
        let group = try scope.start(record.pid, resources)
        record.controlGroups = group.directories
        try state.save(record)
        let own = MachineResources.ofHostAlone(creation.spec.linux?.resources)
        do throws(ControlGroupError) { try group.apply(own.resources, restrictsDevices: false) } catch { throw failure(own.field, error) }
        do throws(ControlGroupError) { try limit(group, resources, log) } catch { throw RuntimeError("\(error)") }
    }

    private static func limit(_ group: ControlGroup, _ resources: ResourcesSpec, _ log: RuntimeLog) throws(ControlGroupError) {
        do throws(ControlGroupError) {
            try group.apply(resources, restrictsDevices: false)
        } catch {
            switch error {
            case .missingController, .unsupported: log.warning("the machine has not all limits on the host: \(error)")
            default:
                try? group.delete()
                throw error
            }
        }
    }

    /// - Parameter field: one that needs the group.
    private static func failure(_ field: String?, _ error: ControlGroupError) -> RuntimeError {
        RuntimeError(field.map { "config.json: \($0): only the host's control group can do this for a machine: \(error)" } ?? "\(error)")
    }

    private static func isAbsence(_ error: ControlGroupError) -> Bool {
        if case .systemdPath = error { return true }
        return error.meansNone
    }
}

extension HostControlGroup {
    /// Removes a container's group, if it has one.
    static func delete(_ record: ContainerRecord) throws(RuntimeError) {
        do throws(ControlGroupError) {
            let group = try ControlGroup.existing(record.controlGroups)
            if !record.systemdUnit.isEmpty {
                // systemd would ask what is left to end, and wait.
                try group?.signalAll(SIGKILL)
                try stopScope(record)
            }
            try group?.delete()
        } catch { throw RuntimeError("\(error)") }
    }

    private static func stopScope(_ record: ContainerRecord) throws(ControlGroupError) {
        do throws(RuntimeError) { try SystemdScope.stop(record) } catch { throw .systemd(error.message) }
    }

    /// Sends a signal to whatever is in the group still.
    static func signalAll(_ signal: Int32, _ record: ContainerRecord) throws(RuntimeError) {
        do throws(ControlGroupError) { try ControlGroup.existing(record.controlGroups)?.signalAll(signal) } catch { throw RuntimeError("\(error)") }
    }

    /// The group of a container.
    /// - Throws: when it has none.
    static func existing(_ record: ContainerRecord) throws(RuntimeError) -> ControlGroup {
        do throws(ControlGroupError) {
            if let group = try changeable(record) { return group }
        } catch { throw RuntimeError("\(error)") }
        throw RuntimeError("the container has no control group")
    }

    /// The group of a container, of whose changes systemd is told if the group is one of its scopes.
    private static func changeable(_ record: ContainerRecord) throws(ControlGroupError) -> ControlGroup? {
        let group = try ControlGroup.existing(record.controlGroups)
        if let group, !record.systemdUnit.isEmpty, group.layout.isUnified {
            group.beforeChange = { (lines) throws(ControlGroupError) in
                do throws(RuntimeError) { try SystemdScope.update(record, lines) } catch { throw .systemd(error.message) }
            }
        }
        return group
    }

    /// Changes the second line of a machine's limits, if there is one.
    /// - Returns: what undoes it.
    static func changeForMachine(_ change: ResourcesSpec, _ record: ContainerRecord, _ log: RuntimeLog) throws(RuntimeError) -> () -> Void {
        let own = MachineResources.ofHostAlone(change)
        do throws(ControlGroupError) {
            guard let group = try changeable(record) else {
                guard own.field == nil else { throw .notMounted }
                return {}
            }
            var whole = MachineResources.onHost(change, record.machineMemory)
            whole.blockIO = own.resources.blockIO
            if let list = own.resources.cpu {
                whole.cpu = whole.cpu ?? ResourcesSpec.CPUSpec()
                whole.cpu?.cpus = list.cpus
                whole.cpu?.mems = list.mems
            }
            let before = try group.change(whole)
            return {
                do throws(ControlGroupError) { try group.restore(before) } catch { log.warning("setting the limits on the host back failed: \(error)") }
            }
        } catch {
            switch error {
            case .missingController where own.field == nil, .unsupported where own.field == nil: log.warning("the machine has not all limits on the host: \(error)")
            default: throw failure(own.field, error)
            }
            return {}
        }
    }

    static func isFrozen(_ record: ContainerRecord) -> Bool { (try? ControlGroup.existing(record.controlGroups))?.isFrozen ?? false }

    /// Stops all that runs in the group, a machine with its vCPUs included, or lets it go on.
    static func setFrozen(_ frozen: Bool, _ record: ContainerRecord) throws(RuntimeError) {
        do throws(ControlGroupError) {
            if let group = try ControlGroup.existing(record.controlGroups) { return try group.setFrozen(frozen) }
        } catch { throw RuntimeError("\(error)") }
        throw RuntimeError("container \(record.id) has no control group, by which it could be \(frozen ? "paused" : "resumed")")
    }
}

/// What of linux.resources holds for a machine's process on the host.
enum MachineResources {
    /// What nacelle-vmm needs beside the guest's memory, in MiB: itself, its queues' and files' buffers …
    static let overhead: UInt64 = 64
    /// … and page tables, of the guest's memory in KVM and of its own mapping: one part in so many.
    static let pageTableShare: UInt64 = 64

    /// - Parameter machineMemory: in MiB.
    ///
    /// - Memory: a limit becomes the machine's whole memory and what the VMM needs beside it; less would let the host kill a guest
    ///   that keeps to its own limit. The guest's kernel enforces the limit itself. Swap likewise.
    /// - CPU: as it is, for the vCPUs and the file servers are what the container uses. (The rest is `ofHostAlone`.)
    /// - Left to the guest: pids (of another kernel), devices, huge pages, RDMA, network classes, `unified`.
    static func onHost(_ resources: ResourcesSpec?, _ machineMemory: UInt64) -> ResourcesSpec {
        var result = ResourcesSpec()
        guard let resources else { return result }
        result.cpu = resources.cpu
        // Of these the guest has its own kinds: no realtime on the host, which vCPUs do not ask for.
        result.cpu?.realtimeRuntime = nil
        result.cpu?.realtimePeriod = nil
        result.cpu?.cpus = nil
        result.cpu?.mems = nil
        if let limit = resources.memory?.limit, limit > 0 {
            let whole = machineMemory + overhead + machineMemory / pageTableShare
            var memory = ResourcesSpec.MemorySpec()
            memory.limit = Int64(clamping: whole << 20)
            if let swap = resources.memory?.swap { memory.swap = swap > 0 ? Int64(clamping: whole << 20) + max(0, swap - limit) : swap }
            result.memory = memory
        } else if let limit = resources.memory?.limit, limit < 0 {
            // The machine never takes more than its own; its swap is not limited any more.
            result.memory = ResourcesSpec.MemorySpec()
            result.memory?.swap = -1
        }
        return result
    }

    /// What names CPUs, memory nodes and disks of the host, which the guest's kernel does not see; with the first field that asks for something.
    static func ofHostAlone(_ resources: ResourcesSpec?) -> (resources: ResourcesSpec, field: String?) {
        var result = ResourcesSpec()
        var fields: [String] = []
        for (name, list) in [("cpus", \ResourcesSpec.CPUSpec.cpus), ("mems", \.mems)] {
            guard let value = resources?.cpu?[keyPath: list], !value.isEmpty else { continue }
            var cpu = result.cpu ?? ResourcesSpec.CPUSpec()
            cpu[keyPath: list] = value
            result.cpu = cpu
            fields.append("linux.resources.cpu.\(name)")
        }
        if let blockIO = resources?.blockIO, blockIO != ResourcesSpec.BlockIOSpec() {
            result.blockIO = blockIO
            fields.append("linux.resources.blockIO")
        }
        return (result, fields.first)
    }
}
