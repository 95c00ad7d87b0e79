public import AgentProtocol
internal import CLinux
internal import Glibc
internal import JSONText
public import LinuxSystem
public import OCISpec

/// A container in a microVM: the operations of the runtime (runtime.md, "Operations").
public final class Container {
    public let state: StateDirectory
    private let log: RuntimeLog

    public init(root: String, id: String, log: RuntimeLog) throws(RuntimeError) {
        state = try StateDirectory(root: root, id: id)
        self.log = log
    }

    // MARK: Create

    /// What a container's process gets for its standard streams.
    public enum Streams {
        /// This process's own.
        case inherited
        /// A terminal's slave end.
        case terminal(SharedDescriptor)

        /// Numbers: whoever takes them keeps the streams until they were sent.
        var descriptors: [Int32] {
            switch self {
            case .inherited: [0, 1, 2]
            case .terminal(let slave): [slave.rawValue]
            }
        }
    }

    /// Reads and checks a bundle's config.json.
    public static func configuration(bundle: String, log: RuntimeLog) throws(RuntimeError) -> RuntimeSpec {
        let path = bundle + "/config.json"
        let text: [UInt8]
        do throws(SystemError) { text = try readFile(path) } catch {
            throw RuntimeError(error.errno == .noSuchFile ? "JSON specification file \(path) not found" : "cannot read config.json: \(error)")
        }
        do throws(ConfigurationError) {
            let (spec, unknown) = try RuntimeSpec.parse(text)
            try spec.validate()
            for path in unknown { log.warning("config.json: \(path): unknown field, ignored") }
            return spec
        } catch { throw RuntimeError("\(error)") }
    }

    /// Creates the container: afterwards everything is prepared but the process's program.
    /// - Returns: the machine's pid, a child of this process.
    @discardableResult
    public func create(_ spec: RuntimeSpec, bundle: String, streams: Streams, components: Components, pidFile: String?) throws(RuntimeError) -> Int32 {
        guard let process = spec.process else { throw RuntimeError("config.json: process: is missing") }
        try components.check()
        let plan = try GuestPlan(spec, bundle: bundle)
        let settings = try MachineSettings(spec, components: components)
        let lock = try state.lock()
        defer { withExtendedLifetime(lock) {} }
        try state.create()
        var record = ContainerRecord()
        (record.id, record.bundle, record.ociVersion, record.annotations) = (state.id, bundle, spec.ociVersion, spec.annotations)
        record.rootfs = plan.shares.first?.path ?? ""
        (record.created, record.owner) = (Timestamp.precise(), getuid())
        var poststop: Hooks?
        do throws(RuntimeError) {
            try state.save(configuration: spec)
            try state.save(record)
            let (pid, connection) = try MachineProcess.start(settings, plan: plan, state: state, components: components)
            record.pid = pid
            record.startTime = ProcessIdentity.startTime(of: pid) ?? 0
            try state.save(record)
            try prepare(plan, process, streams, record, connection)
            let hooks = Hooks(spec: spec.hooks ?? HooksSpec(), log: log)
            poststop = hooks
            try runCreateHooks(hooks, record)
            if let pidFile { try Self.write(pid: pid, to: pidFile) }
            return pid
        } catch {
            log.debug("create failed: \(error)")
            try? MachineProcess.kill(record)
            if record.pid > 0 { _ = try? waitForProcess(record.pid) }
            try? state.remove()
            // A container that got as far as its hooks is destroyed by the book (runtime.md, "Lifecycle", 12 and 13).
            poststop?.runPoststop(state: specState(record, .stopped))
            throw error
        }
    }

    /// Has the container prepared in its machine, up to the start of its program.
    private func prepare(
        _ plan: GuestPlan, _ process: ProcessSpec, _ streams: Streams, _ record: ContainerRecord, _ connection: ControlConnection
    ) throws(RuntimeError) {
        let size = process.consoleSize.map { TerminalSize(columns: $0.width, rows: $0.height) } ?? TerminalSize(columns: 0, rows: 0)
        let request = Request.create(plan: plan.json, streams: ProcessStreams(terminal: process.terminal, size: size))
        defer { withExtendedLifetime(streams) {} }
        let number: UInt32
        do throws(RuntimeError) {
            number = try connection.send(request, descriptors: streams.descriptors)
        } catch {
            // It has ended before it took the request: what it says itself is worth more.
            throw RuntimeError(machineFailure(record) ?? error.message)
        }
        switch try connection.answer(to: number) {
        case .created: KnownKVM(root: state.root).remember()
        case .failed(let failure): throw RuntimeError(Self.startFailure(failure))
        case nil: throw RuntimeError(machineFailure(record) ?? "the machine has ended while it started")
        default: throw RuntimeError("the machine's answer cannot be understood")
        }
    }

    /// In runc's words, which engines match on, when the program is what cannot be started.
    private static func startFailure(_ failure: Failure) -> String {
        switch failure.code {
        case .executableNotFound, .permissionDenied: "unable to start container process: \(failure.message)"
        default: failure.message
        }
    }

    private func runCreateHooks(_ hooks: Hooks, _ record: ContainerRecord) throws(RuntimeError) {
        let document = specState(record, .creating)
        try hooks.run(hooks.spec.prestart, "prestart", state: document)
        try hooks.run(hooks.spec.createRuntime, "createRuntime", state: document)
        try hooks.run(hooks.spec.createContainer, "createContainer", state: document)
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

    /// Writes a pid file.
    public static func write(pid: Int32, to path: String) throws(RuntimeError) {
        do throws(SystemError) {
            // Engines watch for the file: it appears whole.
            let new = path + ".new"
            try writeFile(new, Array("\(pid)".utf8))
            let result = unsafe clinux_renameat2(AT_FDCWD, new, AT_FDCWD, path, 0)
            if result < 0 { _ = unsafe clinux_unlinkat(AT_FDCWD, new, 0) }
            try checked(result, "rename", path: path)
        } catch { throw RuntimeError("cannot write the pid file", error) }
    }

    // MARK: State

    /// The container's state as the specification has it.
    public func currentState() throws(RuntimeError) -> StateSpec {
        let record = try state.load()
        return specState(record, status(record))
    }

    public func record() throws(RuntimeError) -> ContainerRecord { try state.load() }

    public func status(_ record: ContainerRecord) -> StateSpec.Status {
        if record.pid == 0 { return .creating }
        guard MachineProcess.isAlive(record) else { return .stopped }
        guard let connection = try? ControlConnection(path: state.socketPath) else { return MachineProcess.isAlive(record) ? .running : .stopped }
        switch try? connection.call(.state, timeout: 5000) {
        case .state(let phase, _)?:
            switch phase {
            case .booting, .ready: return .creating
            case .created: return .created
            case .running: return .running
            case .stopped: return .stopped
            }
        default: return MachineProcess.isAlive(record) ? .running : .stopped
        }
    }

    private func specState(_ record: ContainerRecord, _ status: StateSpec.Status) -> StateSpec {
        var document = StateSpec()
        (document.ociVersion, document.id, document.status, document.bundle) = (record.ociVersion, record.id, status, record.bundle)
        document.pid = status == .stopped ? 0 : Int(record.pid)
        document.annotations = record.annotations
        return document
    }

    // MARK: Start, kill, delete

    public func start() throws(RuntimeError) {
        let lock = try state.lock()
        defer { withExtendedLifetime(lock) {} }
        let record = try state.load()
        let status = status(record)
        guard status == .created else {
            throw RuntimeError(status == .stopped ? "cannot start a container that has stopped" : "cannot start an already running container")
        }
        switch try connect(record).call(.start) {
        case .done: break
        case .failed(let failure): throw RuntimeError("unable to start container process: \(failure.message)")
        case nil:
            _ = MachineProcess.waitForEnd(record)
            throw RuntimeError(state.lastMachineError() ?? "the machine has ended while the container started")
        default: throw RuntimeError("the machine's answer cannot be understood")
        }
        do throws(RuntimeError) {
            let hooks = try hooks()
            try hooks.run(hooks.spec.poststart, "poststart", state: specState(record, .running))
        } catch {
            // runtime.md, "Lifecycle", 9: the container is stopped; `delete` does the rest.
            try? MachineProcess.kill(record)
            throw error
        }
    }

    /// Sends a signal to the container's process, or to all processes in it.
    public func kill(_ signal: Int32, all: Bool) throws(RuntimeError) {
        let record = try state.load()
        let status = status(record)
        guard status == .created || status == .running else { throw RuntimeError("container not running") }
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

    public func delete(force: Bool) throws(RuntimeError) {
        guard state.exists else {
            if force { return }
            throw RuntimeError("container does not exist")
        }
        let lock = try state.lock()
        defer { withExtendedLifetime(lock) {} }
        let record: ContainerRecord
        do throws(RuntimeError) { record = try state.load() } catch {
            guard force else { throw error }
            // What a killed `create` left behind.
            return try state.remove()
        }
        let status = status(record)
        guard force || status == .stopped || status == .created || status == .creating else {
            throw RuntimeError("cannot delete container \(state.id) that is not stopped: \(status.rawValue)")
        }
        // Its configuration may be what a killed `create` did not come to write.
        let hooks = try? hooks()
        try MachineProcess.kill(record)
        try state.remove()
        hooks?.runPoststop(state: specState(record, .stopped))
    }

    private func hooks() throws(RuntimeError) -> Hooks { Hooks(spec: try state.configuration().hooks ?? HooksSpec(), log: log) }

    /// A connection to the container's machine.
    public func connection() throws(RuntimeError) -> ControlConnection { try connect(try state.load()) }

    private func connect(_ record: ContainerRecord) throws(RuntimeError) -> ControlConnection {
        do throws(SystemError) { return try ControlConnection(path: state.socketPath) } catch {
            throw MachineProcess.isAlive(record) ? RuntimeError("cannot connect to the machine", error) : RuntimeError("container not running")
        }
    }

    // MARK: Exec

    /// The number by which this runtime's connection names the process that it runs.
    public static let execProcess = ProcessIdentifier(rawValue: 1)

    /// Runs a process in the container; the connection goes on to its end (`.wait`).
    public func exec(_ process: ProcessSpec, streams: Streams) throws(RuntimeError) -> ControlConnection {
        let record = try state.load()
        let status = status(record)
        guard status == .running || status == .created else {
            throw RuntimeError("cannot exec in a stopped container", exitStatus: 255)
        }
        let problems = process.problems(path: "process") + GuestPlan.unsupportedFields(process)
        guard problems.isEmpty else { throw RuntimeError("\(ConfigurationError.invalid(problems))", exitStatus: 255) }
        let connection = try connect(record)
        defer { withExtendedLifetime(streams) {} }
        let request = Request.exec(process: Self.execProcess, plan: process.json.bytes(), streams: ProcessStreams(terminal: process.terminal))
        switch try connection.call(request, descriptors: streams.descriptors) {
        case .created: return connection
        case .failed(let failure): throw RuntimeError("exec failed: unable to start container process: \(failure.message)", exitStatus: 255)
        default: throw RuntimeError(state.lastMachineError() ?? "exec failed: the container has ended", exitStatus: 255)
        }
    }

    /// The process that `exec` starts from: the container's own.
    public func baseProcess() throws(RuntimeError) -> ProcessSpec {
        _ = try state.load()
        return try state.configuration().process ?? ProcessSpec()
    }
}
