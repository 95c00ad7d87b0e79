public import AgentProtocol
internal import Glibc
public import LinuxSystem

/// Serves the control protocol for one container: its process, the processes exec'd into it, their streams and their ends.
///
/// Single-threaded: everything happens in the event loop. **Order of an exit:** the bytes that a process wrote before it ended are
/// handed to its sockets before `Reply.exited` is handed to the control connection, and vsock's one transmit queue keeps that
/// order. So whoever has received the event has received the output. A consequence is that a host which does not take a
/// process's output does not learn of its end.
public final class Agent {
    /// A process that the host knows.
    private final class Process {
        let pid: Int32
        let streams: StandardStreams
        let endsNamespace: Bool
        var hasEnded = false
        init(pid: Int32, streams: StandardStreams, endsNamespace: Bool) {
            self.pid = pid
            self.streams = streams
            self.endsNamespace = endsNamespace
        }
    }

    private let loop: EventLoop
    private let control: ControlConnection
    private let connector: StreamConnector
    private let backend: any ContainerBackend
    private let buffer = RelayBuffer()
    private var processes: [ProcessIdentifier: Process] = [:]
    private var identifiers: [Int32: ProcessIdentifier] = [:]
    private var isStarted = false

    /// Why containers cannot be created, when the guest could not be prepared.
    public var obstacle: Failure?
    /// End the machine; called for `shutDown`, after its reply was queued.
    public var onShutDown: () -> Void = {}

    public init(control: ControlConnection, loop: EventLoop, backend: any ContainerBackend, connector: @escaping StreamConnector) {
        self.control = control
        self.loop = loop
        self.backend = backend
        self.connector = connector
        control.onRequest = { [weak self] in self?.serve($0, $1) }
    }

    private func serve(_ identifier: UInt32, _ request: Request) {
        do throws(Failure) {
            control.send(try reply(to: request), request: identifier)
        } catch {
            control.send(.failed(error), request: identifier)
        }
        if case .shutDown = request { onShutDown() }
    }

    private func reply(to request: Request) throws(Failure) -> Reply {
        switch request {
        case .create(let plan, let streams): return .created(pid: try create(plan, streams))
        case .start: try start()
        case .exec(let process, let plan, let group, let streams): return .created(pid: try execute(process, plan, group, streams))
        case .signal(let process, let number, let everyProcess): try signal(process, number, everyProcess)
        case .resize(let process, let size): try resize(process, size)
        case .listProcesses: return .processes(ProcessList.entries(of: try backend.processes()))
        case .update(let resources): try backend.update(resources: resources)
        case .statistics: return .statistics(try backend.statistics())
        case .wait, .state, .outOfMemory: throw Failure(.unsupported, "the VMM answers this request itself")
        case .shutDown: break
        }
        return .done
    }

    // MARK: Requests

    private func create(_ plan: [UInt8], _ streams: ProcessStreams) throws(Failure) -> Int32 {
        if let obstacle { throw obstacle }
        guard processes[.container] == nil else { throw Failure(.invalidState, "this machine has a container already") }
        let traits = try backend.configure(plan: plan)
        let pid = try launch(.container, streams, traits) { (child) throws(Failure) in
            try backend.create(streams: child)
        }
        try backend.watchOutOfMemory(loop) { [weak self] kills in self?.control.send(.outOfMemory(kills: kills), request: 0) }
        return pid
    }

    private func start() throws(Failure) {
        guard let process = processes[.container] else { throw Failure(.invalidState, "there is no container yet") }
        guard !isStarted, !process.hasEnded else { throw Failure(.invalidState, "cannot start a container that was started before") }
        isStarted = true
        try backend.start()
    }

    private func execute(_ identifier: ProcessIdentifier, _ plan: [UInt8], _ group: String, _ streams: ProcessStreams) throws(Failure) -> Int32 {
        guard let container = processes[.container], !container.hasEnded else {
            throw Failure(.invalidState, "cannot exec in a stopped container")
        }
        guard processes[identifier] == nil else { throw Failure(.invalidState, "process \(identifier.rawValue) exists already") }
        let traits = try backend.traits(processPlan: plan)
        return try launch(identifier, streams, traits) { (child) throws(Failure) in
            try backend.execute(processPlan: plan, group: group, streams: child)
        }
    }

    private func launch(
        _ identifier: ProcessIdentifier, _ wanted: ProcessStreams, _ traits: ProcessTraits,
        _ body: (ChildStreams?) throws(Failure) -> StartedProcess
    ) throws(Failure) -> Int32 {
        guard wanted.terminal == traits.terminal else {
            throw Failure(.other, "process.terminal is \(traits.terminal), but its streams are \(wanted.terminal ? "a terminal" : "none")")
        }
        if wanted.terminal && wanted.input == 0 { throw Failure(.other, "a terminal needs a stream") }
        let streams: StandardStreams
        let child: ChildStreams?
        do throws(SystemError) {
            (streams, child) = try StandardStreams.connect(wanted, owner: traits.owner, connector: connector, loop: loop, buffer: buffer)
        } catch { throw Failure(.other, "standard streams: \(error)") }
        let launched: StartedProcess
        do throws(Failure) {
            launched = try body(child)
        } catch {
            streams.cancel()
            throw error
        }
        let process = Process(pid: launched.pid, streams: streams, endsNamespace: traits.endsNamespace)
        processes[identifier] = process
        identifiers[launched.pid] = identifier
        if let terminal = launched.terminal {
            do throws(SystemError) {
                try streams.attach(terminal: terminal, size: wanted.size)
            } catch {
                // The process exists; without its terminal it would be unreachable.
                streams.cancel()
                try? sendSignal(SIGKILL, to: launched.pid)
                throw Failure(.other, "terminal: \(error)")
            }
        }
        streams.whenAnyEnds { [weak self] in self?.forgetIfDone(identifier) }
        return launched.pid
    }

    private func signal(_ identifier: ProcessIdentifier, _ number: Int32, _ everyProcess: Bool) throws(Failure) {
        guard (0...64).contains(number) else { throw Failure(.other, "invalid signal \(number)") }
        if everyProcess { return try backend.signalEveryProcess(number) }
        guard let process = processes[identifier], !process.hasEnded else { throw Failure(.noSuchProcess, "process not running") }
        do throws(SystemError) {
            // The process was not reaped yet, so the pid is still its own.
            try sendSignal(number, to: process.pid)
        } catch {
            throw Failure(error.errno == .noSuchProcess ? .noSuchProcess : .other, "\(error)")
        }
    }

    private func resize(_ identifier: ProcessIdentifier, _ size: TerminalSize) throws(Failure) {
        guard let process = processes[identifier] else { throw Failure(.noSuchProcess, "process not running") }
        do throws(SystemError) {
            try process.streams.resize(size)
        } catch { throw Failure(.other, "\(error)") }
    }

    // MARK: Ends of processes

    /// Takes over the status of every child that has ended: the host's processes and, for PID 1, orphans.
    public func reap() {
        while let (pid, status) = (try? waitForProcess(-1, noHang: true)) ?? nil { ended(pid, status) }
    }

    /// A child has ended and was waited for.
    public func ended(_ pid: Int32, _ status: ExitStatus) {
        guard let identifier = identifiers.removeValue(forKey: pid), let process = processes[identifier] else { return }
        process.hasEnded = true
        // It may be why it has ended, so it is told first.
        backend.checkOutOfMemory()
        process.streams.whenOutputsDrained(toTheEnd: process.endsNamespace) { [weak self] in
            if identifier == .container { self?.backend.saveFiles() }
            self?.control.send(.exited(process: identifier, status: status), request: 0)
        }
        forgetIfDone(identifier)
    }

    /// Lets go of a process that has ended and whose streams have. The container's own stays known: it cannot be made twice.
    private func forgetIfDone(_ identifier: ProcessIdentifier) {
        guard identifier != .container, let process = processes[identifier], process.hasEnded, process.streams.ended else { return }
        processes[identifier] = nil
    }
}
