internal import ControlGroups
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// Who makes a container's control group.
public enum ControlGroupDriver: String, Sendable, CaseIterable {
    /// This runtime, in the file system.
    case cgroupfs
    /// systemd, as a scope (`--systemd-cgroup`).
    case systemd
    /// Nobody: the container stays in its caller's.
    case disabled
}

/// A container's unit in systemd's driver: a transient scope below a slice.
struct SystemdScope {
    let unit: String
    let slice: String
    private let description: String
    private let isRootless: Bool

    static func check() throws(RuntimeError) {
        if !SystemdManager.isRunning { throw RuntimeError("systemd not running on this host, cannot use systemd cgroups manager") }
    }

    /// - Parameter path: linux.cgroupsPath: `slice:prefix:name`; empty for a default.
    init(path: String?, id: String, isRootless: Bool) throws(RuntimeError) {
        self.isRootless = isRootless
        description = "nacelle container \(id)"
        var parts = [isRootless ? "user.slice" : "system.slice", "nacelle", id]
        if let path, !path.isEmpty {
            let given = path.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            guard given.count == 3, !path.contains("/") else {
                throw RuntimeError("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"\(path)\" instead")
            }
            (parts[1], parts[2]) = (given[1], given[2])
            if !given[0].isEmpty { parts[0] = given[0] }
        }
        slice = parts[0]
        unit = "\(parts[1])-\(parts[2]).scope"
        for name in [slice, unit] where !Self.isUnitName(name) {
            throw RuntimeError("linux.cgroupsPath: \"\(name)\" cannot be a unit's name")
        }
        guard slice.hasSuffix(".slice") else { throw RuntimeError("linux.cgroupsPath: \"\(slice)\" is no slice: its name must end in .slice") }
    }

    /// systemd.unit(5)
    private static func isUnitName(_ name: String) -> Bool {
        let marks = Set(":-_.\\@".utf8)
        return (1...255).contains(name.utf8.count) && name.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || marks.contains($0)
        }
    }

    /// Refuses a scope that is there, which must never be taken for this container's.
    func reserve() throws(RuntimeError) { try SystemdManager(forUser: isRootless).reserve(unit) }

    /// Starts the scope with a process in it. Its limits are told to systemd, too, which would otherwise undo them one day.
    func start(_ pid: Int32, _ resources: ResourcesSpec) throws(RuntimeError) -> ControlGroup {
        let writes: [ResourceWrite]
        do throws(ControlGroupError) {
            // In version 1 systemd's limits have other names and meanings: there they are written directly alone.
            writes = try ControlGroupLayout.current().isUnified ? version2Writes(resources) : []
        } catch { throw RuntimeError("\(error)") }
        let manager = try SystemdManager(forUser: isRootless)
        try manager.startScope(unit) { properties in
            properties.add("Description", description)
            properties.add("Slice", slice)
            properties.add("Delegate", true)
            properties.add("DefaultDependencies", false)
            for controller in ["CPU", "Memory", "Tasks", "IO"] { properties.add(controller + "Accounting", true) }
            for write in writes { Self.add(write, &properties) }
            properties.add("PIDs", processes: [UInt32(bitPattern: pid)])
        }
        do throws(ControlGroupError) { return try ControlGroup.adopting(pid) } catch { throw RuntimeError("\(error)") }
    }

    private static let names = ["memory.max": "MemoryMax", "memory.low": "MemoryLow", "memory.swap.max": "MemorySwapMax", "cpu.weight": "CPUWeight", "pids.max": "TasksMax"]

    /// The properties that a line of a version 2 group comes to, if any.
    private static func add(_ write: ResourceWrite, _ properties: inout SystemdProperties) {
        func number(_ text: some StringProtocol) -> UInt64? { text == "max" ? .max : UInt64(text) }
        if let name = names[write.file], let value = number(write.value) { properties.add(name, value) }
        guard write.file == "cpu.max" else { return }
        let parts = write.value.split(separator: " ")
        guard let quota = parts.first.flatMap({ number($0) }) else { return }
        let period = parts.count > 1 ? UInt64(parts[1]) ?? 100_000 : 100_000
        let (scaled, overflow) = quota.multipliedReportingOverflow(by: 1_000_000)
        // It keeps whole per cents, so as under runc these are rounded up: what is written into the group itself must not be more.
        properties.add("CPUQuotaPerSecUSec", quota == .max || overflow || period == 0 ? .max : (scaled / period + 9_999) / 10_000 * 10_000)
        if parts.count > 1 { properties.add("CPUQuotaPeriodUSec", period) }
    }

    /// Tells systemd of limits that are about to be written into the scope's group; else it would undo them one day (daemon-reload).
    static func update(_ record: ContainerRecord, _ lines: [ResourceWrite]) throws(RuntimeError) {
        try update(record.systemdUnit, lines) { () throws(RuntimeError) in try SystemdManager(forUser: Rootless.isAssumed) }
    }

    /// - Parameter connect: only called when one of the lines is a property.
    static func update(_ unit: String, _ lines: [ResourceWrite], connect: () throws(RuntimeError) -> SystemdManager) throws(RuntimeError) {
        let known = lines.filter { names[$0.file] != nil || $0.file == "cpu.max" }
        if known.isEmpty { return }
        try connect().setProperties(of: unit) { properties in
            for line in known { add(line, &properties) }
        }
    }

    /// Puts a further process into a container's scope.
    static func attach(_ pid: Int32, _ record: ContainerRecord) throws(RuntimeError) {
        try SystemdManager(forUser: Rootless.isAssumed).attach(UInt32(bitPattern: pid), to: record.systemdUnit)
    }

    /// Stops a container's scope, with all that is in it.
    static func stop(_ record: ContainerRecord) throws(RuntimeError) {
        guard !record.systemdUnit.isEmpty else { return }
        try SystemdManager(forUser: Rootless.isAssumed).stop(record.systemdUnit)
    }
}
