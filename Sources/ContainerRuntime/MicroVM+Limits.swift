internal import AgentProtocol
internal import JSONText
internal import OCISpec

/// Limits and figures of a container in a machine: the guest's kernel enforces and counts.
extension MicroVM {
    func update(_ update: LimitsUpdate, _ record: ContainerRecord) throws(RuntimeError) {
        let problems = GuestPlan.unsupportedFields(update.spec) + Self.impossible(update.change, record)
        guard problems.isEmpty else { throw RuntimeError("\(ConfigurationError.invalid(problems))") }
        let undo = try HostControlGroup.changeForMachine(update.change, record, log)
        do throws(RuntimeError) {
            switch try connect(record).call(.update(resources: GuestPlan.inGuest(update.change).json.bytes()), timeout: 10_000) {
            case .done: break
            case .failed(let failure): throw RuntimeError(failure.message)
            case nil: throw RuntimeError("container not running")
            default: throw RuntimeError("the machine's answer cannot be understood")
            }
        } catch {
            undo()
            throw error
        }
    }

    /// What a machine that runs cannot be given.
    private static func impossible(_ change: ResourcesSpec, _ record: ContainerRecord) -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        if let limit = change.memory?.limit, limit > 0, UInt64(limit) > record.machineMemory << 20 {
            problems.append(.init(
                "linux.resources.memory.limit",
                "\(limit) bytes are more than the \(record.machineMemory) MiB that the running machine has; create it with more (annotation \(MachineSettings.Annotation.memory))"))
        }
        var asked = RuntimeSpec()
        asked.linux = LinuxSpec()
        asked.linux?.resources = change
        if let vcpus = MachineSettings.vcpus(for: asked), vcpus > record.machineVCPUs {
            problems.append(.init(
                "linux.resources.cpu.quota",
                "asks for \(vcpus) processors, and the running machine has \(record.machineVCPUs); create it with more (annotation \(MachineSettings.Annotation.vcpus))"))
        }
        return problems
    }

    func statistics(_ record: ContainerRecord) throws(RuntimeError) -> StatisticsSpec {
        switch try connect(record).call(.statistics, timeout: 10_000) {
        case .statistics(let json):
            do throws(ConfigurationError) { return try StatisticsSpec.parse(json) } catch { throw RuntimeError("the machine's answer cannot be understood: \(error)") }
        case .failed(let failure): throw RuntimeError(failure.message)
        case nil: throw RuntimeError("container not running")
        default: throw RuntimeError("the machine's answer cannot be understood")
        }
    }

    func watchOutOfMemory(_ record: ContainerRecord) throws(RuntimeError) -> OutOfMemoryEvents.Source {
        let connection = try connect(record)
        guard case .outOfMemory(let kills)? = try connection.call(.outOfMemory(after: nil), timeout: 10_000) else {
            throw RuntimeError("the machine's answer cannot be understood")
        }
        try connection.send(.outOfMemory(after: kills))
        return .machine(connection)
    }
}
