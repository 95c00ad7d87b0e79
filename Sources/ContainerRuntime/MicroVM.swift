internal import AgentProtocol
internal import ControlGroups
internal import Glibc
internal import JSONText
internal import LinuxSystem
internal import OCISpec

/// A container in a machine of its own, which nacelle-vmm runs and stands for.
struct MicroVM: Sandbox {
    let state: StateDirectory
    let log: RuntimeLog

    func check(_ creation: Creation) throws(RuntimeError) {
        try creation.components.check()
        if creation.controlGroupDriver == .systemd { try SystemdScope.check() }
        if creation.controlGroupDriver == .disabled, let field = MachineResources.ofHostAlone(creation.spec.linux?.resources).field {
            throw RuntimeError("config.json: \(field): only the host's control group can do this for a machine, and there is to be none")
        }
        if creation.preservedDescriptors > 0 { throw RuntimeError("--preserve-fds, LISTEN_FDS: descriptors of the host cannot be passed into a machine") }
        _ = try GuestPlan(creation.spec, bundle: creation.bundle)
        _ = try MachineSettings(creation.spec, components: creation.components)
        try HostPlan.checkProfile(creation.process)
        try HostResourceControl.check(creation.spec, state)
    }

    func create(_ creation: Creation, _ record: inout ContainerRecord) throws(RuntimeError) {
        var plan = try GuestPlan(creation.spec, bundle: creation.bundle, state: record.state(.creating))
        let settings = try MachineSettings(creation.spec, components: creation.components)
        (record.machineMemory, record.machineVCPUs) = (settings.memory, settings.vcpus)
        let root = try plan.openRoot(memory: settings.memory)
        let group = creation.controlGroupDriver == .cgroupfs ? try HostControlGroup.makeForMachine(creation.spec, settings, &record, state, log) : nil
        let (pid, connection) = try MachineProcess.start(settings, plan: plan, root: root, state: state, components: creation.components)
        record.pid = pid
        record.startTime = ProcessIdentity.startTime(of: pid) ?? 0
        try state.save(record)
        // Before it has touched the guest's memory, which is charged to the group that touches it first.
        if creation.controlGroupDriver == .systemd { try HostControlGroup.makeScope(for: creation, settings, &record, state, log) }
        do throws(ControlGroupError) { try group?.add(pid) } catch { throw RuntimeError(machineFailure(record) ?? "\(error)") }
        try HostResourceControl.apply(creation.spec, state, &record)
        try prepare(plan, creation, record, connection)
        try creation.runRuntimeHooks(record)
        // Their paths are the host's, and so are the namespaces that a machine has.
        try creation.hooks.run(creation.hooks.spec.createContainer, "createContainer", state: record.state(.creating))
    }

    /// Has the container prepared in its machine, up to the start of its program.
    private func prepare(_ plan: GuestPlan, _ creation: Creation, _ record: ContainerRecord, _ connection: ControlConnection) throws(RuntimeError) {
        let process = creation.process
        let size = process.consoleSize.map { TerminalSize(columns: $0.width, rows: $0.height) } ?? TerminalSize(columns: 0, rows: 0)
        let request = Request.create(plan: plan.json, streams: ProcessStreams(terminal: process.terminal, size: size))
        defer { withExtendedLifetime(creation.streams) {} }
        let number: UInt32
        do throws(RuntimeError) {
            number = try connection.send(request, descriptors: creation.streams.descriptors)
        } catch {
            // It has ended before it took the request: what it says itself is worth more.
            throw RuntimeError(machineFailure(record) ?? error.message)
        }
        switch try connection.answer(to: number) {
        case .created: KnownKVM(root: state.root).remember()
        case .failed(let failure): throw RuntimeError(Self.startFailure(failure.code, failure.message))
        case nil: throw RuntimeError(machineFailure(record) ?? "the machine has ended while it started")
        default: throw RuntimeError("the machine's answer cannot be understood")
        }
    }

    /// Why the machine has ended, by its own words or by its exit status.
    private func machineFailure(_ record: ContainerRecord) -> String? {
        // Its socket may close before it has said why: the message is complete when the process has ended.
        let ended = MachineProcess.waitForEnd(record) ? try? waitForProcess(record.pid, noHang: true) : nil
        if let message = state.lastMachineError() { return message }
        guard let ended else { return nil }
        switch ended.status {
        case .exited(let code): return "the machine has ended with status \(code)"
        case .signaled(let signal): return "the machine was killed by signal \(signal)"
        }
    }

    func status(_ record: ContainerRecord) -> StateSpec.Status {
        guard let connection = try? ControlConnection(path: state.socketPath) else { return record.isAlive ? .running : .stopped }
        switch try? connection.call(.state, timeout: 5000) {
        case .state(let phase, _)?:
            switch phase {
            case .booting, .ready: return .creating
            case .created: return .created
            case .running: return .running
            case .stopped: return .stopped
            }
        default: return record.isAlive ? .running : .stopped
        }
    }

    func start(_ record: ContainerRecord) throws(RuntimeError) {
        switch try connect(record).call(.start) {
        case .done: break
        case .failed(let failure): throw RuntimeError("unable to start container process: \(failure.message)")
        case nil:
            _ = MachineProcess.waitForEnd(record)
            throw RuntimeError(state.lastMachineError() ?? "the machine has ended while the container started")
        default: throw RuntimeError("the machine's answer cannot be understood")
        }
    }

    func kill(_ signal: Int32, all: Bool, _ record: ContainerRecord) throws(RuntimeError) {
        let answer: Reply?
        do throws(RuntimeError) {
            answer = try connect(record).call(.signal(process: .container, number: signal, everyProcess: all), timeout: signal == SIGKILL ? 2000 : 10_000)
        } catch {
            guard signal == SIGKILL else { throw error }
            answer = nil
        }
        switch answer {
        case .done: return
        case .failed(let failure) where signal != SIGKILL:
            throw RuntimeError(failure.code == .noSuchProcess ? "container not running" : failure.message)
        default:
            // A guest that does not obey is ended from outside.
            if signal == SIGKILL { try MachineProcess.kill(record) }
        }
    }

    func processes(_ record: ContainerRecord) throws(RuntimeError) -> ContainerProcesses {
        switch try connect(record).call(.listProcesses, timeout: 10_000) {
        case .processes(let entries): return .guest(entries)
        case .failed(let failure): throw RuntimeError(failure.message)
        default: throw RuntimeError("the machine's answer cannot be understood")
        }
    }

    func exec(_ process: ProcessSpec, _ wanted: ExecOptions, _ record: ContainerRecord) throws(RuntimeError) -> ExecutedProcess {
        if wanted.preservedDescriptors > 0 { throw RuntimeError("--preserve-fds: descriptors of the host cannot be passed into a machine") }
        let problems = try GuestPlan.unsupportedFields(process) + otherProfile(process)
        guard problems.isEmpty else { throw RuntimeError(ConfigurationError.text(problems), exitStatus: 255) }
        var process = process
        process.apparmorProfile = nil
        guard wanted.subgroups.keys.allSatisfy(\.isEmpty) else { throw RuntimeError("--cgroup: a machine has cgroup v2: one path without controllers is expected") }
        let connection = try connect(record)
        defer { withExtendedLifetime(wanted) {} }
        let request = Request.exec(
            process: Container.execProcess, plan: process.json.bytes(), group: wanted.subgroups[""] ?? "", streams: ProcessStreams(terminal: process.terminal))
        switch try connection.call(request, descriptors: wanted.streams.descriptors) {
        case .created: return .inMachine(connection)
        case .failed(let failure): throw RuntimeError("exec failed: unable to start container process: \(failure.message)", exitStatus: 255)
        default: throw RuntimeError(state.lastMachineError() ?? "exec failed: the container has ended", exitStatus: 255)
        }
    }

    /// A profile other than the container's, which is that of the machine's process on the host: the guest's processes have none of their own.
    private func otherProfile(_ process: ProcessSpec) throws(RuntimeError) -> [ConfigurationError.Problem] {
        guard let wanted = process.apparmorProfile, !wanted.isEmpty else { return [] }
        let own = try state.configuration().process?.apparmorProfile ?? ""
        if wanted == (own.isEmpty ? "unconfined" : own) { return [] }
        let why = "\(quoted(wanted)) cannot hold for one process of a machine: a profile holds on the host, for the machine as a whole, and this one's is "
        return [.init("process.apparmorProfile", why + (own.isEmpty ? "none" : quoted(own)))]
    }

    /// A connection to the machine.
    func connect(_ record: ContainerRecord) throws(RuntimeError) -> ControlConnection {
        do throws(SystemError) { return try ControlConnection(path: state.socketPath) } catch {
            throw record.isAlive ? RuntimeError("cannot connect to the machine", error) : RuntimeError("container not running")
        }
    }
}
