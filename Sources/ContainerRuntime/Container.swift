public import AgentProtocol
internal import CLinux
internal import Glibc
internal import JSONText
public import LinuxSystem
public import OCISpec

/// A container: the operations of the runtime (runtime.md, "Operations"), in whichever isolation it has.
public final class Container {
    public let state: StateDirectory
    let log: RuntimeLog
    private let configuration: ConfigurationFile
    /// Whether it is made as an ordinary user's (`Rootless`); nil: as is found.
    public var isRootless: Bool?
    public var controlGroupDriver = ControlGroupDriver.cgroupfs

    public init(root: String, id: String, log: RuntimeLog, configuration: ConfigurationFile = ConfigurationFile()) throws(RuntimeError) {
        state = try StateDirectory(root: root, id: id)
        self.log = log
        self.configuration = configuration
    }

    // MARK: Create

    /// What a container's process gets for its standard streams.
    public enum Streams {
        /// This process's own.
        case inherited
        /// A terminal's slave end, for a machine.
        case terminal(SharedDescriptor)
        /// A terminal of the container's own devpts, whose master end `deliver` gets. For a process of this host.
        case newTerminal(deliver: (SharedDescriptor) throws(RuntimeError) -> Void)

        /// Numbers: whoever takes them keeps the streams until they were sent.
        var descriptors: [Int32] {
            switch self {
            case .inherited: [0, 1, 2]
            case .terminal(let slave): [slave.rawValue]
            case .newTerminal: []
            }
        }
    }

    /// Bytes of the longest config.json. What is written of it later (the state, the guest's plan) is longer, and has 16 MiB.
    static let longestConfiguration = 4 << 20

    /// Reads and checks a bundle's config.json.
    public static func configuration(bundle: String, log: RuntimeLog) throws(RuntimeError) -> RuntimeSpec {
        let path = bundle + "/config.json"
        let text: [UInt8]
        do throws(SystemError) { text = try readFile(path, limit: longestConfiguration) } catch {
            switch error.errno {
            case .noSuchFile: throw RuntimeError("JSON specification file \(path) not found")
            case .fileTooLarge: throw RuntimeError("\(path) is longer than \(longestConfiguration >> 20) MiB")
            default: throw RuntimeError("cannot read config.json: \(error)")
            }
        }
        do throws(ConfigurationError) {
            let (spec, unknown) = try RuntimeSpec.parse(text)
            try spec.validate()
            for path in unknown { log.warning("config.json: \(path): unknown field, ignored") }
            return spec
        } catch { throw RuntimeError("\(error)") }
    }

    /// Creates the container: afterwards everything is prepared but the process's program.
    /// - Parameter preservedDescriptors: how many of this process's from 3 on the container's process inherits.
    /// - Returns: the pid that stands for the container, a child of this process.
    @discardableResult
    public func create(
        _ spec: RuntimeSpec, bundle: String, streams: Streams, components given: Components? = nil, pidFile: String?, isolation: Isolation = .microVM,
        preservedDescriptors: Int = 0
    ) throws(RuntimeError) -> Int32 {
        guard let process = spec.process else { throw RuntimeError("config.json: process: is missing") }
        let components = given ?? .locate(configuration)
        let sandbox = sandbox(isolation)
        let hooks = Hooks(spec: spec.hooks ?? HooksSpec(), log: log)
        let creation = Creation(
            spec, process, bundle: bundle, streams: streams, preservedDescriptors: preservedDescriptors, isRootless: isRootless,
            controlGroupDriver: controlGroupDriver, components: components, hooks: hooks)
        try sandbox.check(creation)
        let lock = try state.lock()
        defer { withExtendedLifetime(lock) {} }
        try state.create()
        var record = ContainerRecord()
        (record.id, record.bundle, record.ociVersion, record.annotations) = (state.id, bundle, spec.ociVersion, spec.annotations)
        record.rootfs = Creation.absolute(spec.root?.path ?? "rootfs", bundle)
        (record.created, record.owner, record.isolation) = (Timestamp.precise(), getuid(), isolation)
        record.hasLaterHooks = !hooks.spec.poststart.isEmpty || !hooks.spec.poststop.isEmpty
        log.debug("container \(state.id): isolation \(isolation.rawValue)")
        do throws(RuntimeError) {
            try state.save(configuration: spec)
            try state.save(record)
            try sandbox.create(creation, &record)
            record.isCreated = true
            try state.save(record)
            if let pidFile { try Self.write(pid: record.pid, to: pidFile) }
            return record.pid
        } catch {
            log.debug("create failed: \(error)")
            do throws(RuntimeError) { try sandbox.destroy(record) } catch { log.warning("create failed: \(error)") }
            if record.pid > 0 { _ = try? waitForProcess(record.pid) }
            try? state.remove()
            // A container that got as far as its hooks is destroyed by the book (runtime.md, "Lifecycle", 12 and 13).
            if creation.hasRunHooks { hooks.runPoststop(state: record.state(.stopped)) }
            throw error
        }
    }

    func sandbox(_ isolation: Isolation) -> any Sandbox {
        switch isolation {
        case .microVM: MicroVM(state: state, log: log)
        case .namespace: HostNamespaces(state: state, log: log, configuration: configuration)
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

    /// Why a container's machine has ended before its process, if it has.
    public var machineError: String? { state.lastMachineError() }

    /// The container's state as the specification has it.
    public func currentState() throws(RuntimeError) -> StateSpec {
        let record = try state.load()
        return record.state(status(record))
    }

    public func record() throws(RuntimeError) -> ContainerRecord { try state.load() }

    public func status(_ record: ContainerRecord) -> StateSpec.Status {
        if record.pid == 0 { return .creating }
        guard record.isAlive else { return .stopped }
        // First: a machine that is paused does not answer.
        return HostControlGroup.isFrozen(record) ? .paused : sandbox(record.isolation).status(record)
    }

    // MARK: Start, kill, delete

    public func start() throws(RuntimeError) {
        let lock = try state.lock()
        defer { withExtendedLifetime(lock) {} }
        let record = try state.load()
        let status = status(record)
        guard status == .created else {
            switch status {
            case .stopped: throw RuntimeError("cannot start a container that has stopped")
            case .running: throw RuntimeError("cannot start an already running container")
            default: throw RuntimeError("cannot start a container in the \(status.rawValue) state")
            }
        }
        let sandbox = sandbox(record.isolation)
        try sandbox.start(record)
        do throws(RuntimeError) {
            let hooks = try hooks(record)
            try hooks.run(hooks.spec.poststart, "poststart", state: record.state(.running))
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
        guard status == .created || status == .running || status == .paused else {
            // Engines sweep up with it what may have outlived the container's process; nothing left is no error.
            if status == .stopped && all { return try HostControlGroup.signalAll(signal, record) }
            throw RuntimeError("container not running")
        }
        if status == .paused {
            // Only what cannot be refused is of use to a process that cannot run; others wait for it, as under runc.
            if signal == SIGKILL { return try MachineProcess.kill(record) }
            if record.isolation == .microVM { throw RuntimeError("container is paused") }
        }
        try sandbox(record.isolation).kill(signal, all: all, record)
    }

    public func delete(force: Bool) throws(RuntimeError) {
        guard state.exists else {
            if force { return try state.removeStaleLock() }
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
        let hooks = try? hooks(record)
        try sandbox(record.isolation).destroy(record)
        try state.remove()
        hooks?.runPoststop(state: record.state(.stopped))
    }

    private func hooks(_ record: ContainerRecord) throws(RuntimeError) -> Hooks {
        Hooks(spec: record.hasLaterHooks ? try state.configuration().hooks ?? HooksSpec() : HooksSpec(), log: log)
    }

    /// Passes a signal on to the container's process, for a command that waits for it.
    public func pass(_ signal: Int32) { try? kill(signal, all: false) }

    /// A connection to the container's machine.
    public func connection() throws(RuntimeError) -> ControlConnection { try MicroVM(state: state, log: log).connect(try state.load()) }

    // MARK: Pause, processes

    /// Stops all of the container's processes; for a machine, its vCPUs and all the rest of it.
    public func pause() throws(RuntimeError) {
        let lock = try state.lock()
        defer { withExtendedLifetime(lock) {} }
        let record = try state.load()
        let status = status(record)
        guard status == .running || status == .created else { throw RuntimeError("container not running") }
        try HostControlGroup.setFrozen(true, record)
    }

    /// Lets the processes of a paused container go on.
    public func resume() throws(RuntimeError) {
        let lock = try state.lock()
        defer { withExtendedLifetime(lock) {} }
        let record = try state.load()
        guard status(record) == .paused else { throw RuntimeError("container not paused") }
        try HostControlGroup.setFrozen(false, record)
    }

    public func processes() throws(RuntimeError) -> ContainerProcesses {
        let record = try state.load()
        let status = status(record)
        if status == .paused && record.isolation == .microVM { throw RuntimeError("container is paused") }
        guard status == .running || status == .created || status == .paused else { throw RuntimeError("container not running") }
        return try sandbox(record.isolation).processes(record)
    }

    // MARK: Exec

    /// The number by which this runtime's connection names the process that it runs.
    public static let execProcess = ProcessIdentifier(rawValue: 1)

    /// Runs a further process in the container.
    public func exec(_ process: ProcessSpec, _ wanted: ExecOptions) throws(RuntimeError) -> ExecutedProcess {
        let record = try state.load()
        let status = status(record)
        if status == .paused && (!wanted.ignoresPause || record.isolation == .microVM) {
            throw RuntimeError("cannot exec in a paused container (use --ignore-paused to override)", exitStatus: 255)
        }
        guard status == .running || status == .created || status == .paused else {
            throw RuntimeError("cannot exec in a stopped container", exitStatus: 255)
        }
        let problems = process.problems(path: "process")
        guard problems.isEmpty else { throw RuntimeError(ConfigurationError.text(problems), exitStatus: 255) }
        return try sandbox(record.isolation).exec(process, wanted, record)
    }

    /// The process that `exec` starts from: the container's own.
    public func baseProcess() throws(RuntimeError) -> ProcessSpec {
        _ = try state.load()
        return try state.configuration().process ?? ProcessSpec()
    }
}
