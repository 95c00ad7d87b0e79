internal import ControlGroups
internal import OCISpec

/// linux.intelRdt, which divides this host's caches: it holds for the container's process or, with its vCPUs, for the machine's.
enum HostResourceControl {
    /// Refuses what this host cannot do, before anything is made.
    static func check(_ spec: RuntimeSpec, _ state: StateDirectory) throws(RuntimeError) {
        do throws(ResourceControl.Problem) { try group(spec, state)?.check() } catch { throw RuntimeError("config.json: \(error)") }
    }

    /// Puts the process that stands for the container into its group, which is written down before it is made.
    static func apply(_ spec: RuntimeSpec, _ state: StateDirectory, _ record: inout ContainerRecord) throws(RuntimeError) {
        let group: ResourceControl
        do throws(ResourceControl.Problem) {
            guard let wanted = try Self.group(spec, state) else { return }
            try wanted.check()
            group = wanted
        } catch { throw RuntimeError("config.json: \(error)") }
        record.resourceGroups = group.ownDirectories
        try state.save(record)
        do throws(ResourceControl.Problem) {
            try group.make()
            try group.add(record.pid)
        } catch { throw RuntimeError("config.json: \(error)") }
    }

    static func delete(_ record: ContainerRecord) throws(RuntimeError) {
        do throws(ResourceControl.Problem) { try ResourceControl.delete(record.resourceGroups) } catch { throw RuntimeError("\(error)") }
    }

    private static func group(_ spec: RuntimeSpec, _ state: StateDirectory) throws(ResourceControl.Problem) -> ResourceControl? {
        try spec.linux?.intelRdt.map { (rdt) throws(ResourceControl.Problem) in try ResourceControl(rdt, container: state.id) }
    }
}
