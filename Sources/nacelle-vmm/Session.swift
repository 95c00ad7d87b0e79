import AgentProtocol
import LinuxSystem

/// The container's life as the VMM sees it: requests of runtimes on one side, the agent on the other, and the rule by which
/// this process ends.
///
/// Everything here runs on the event loop's thread.
final class Session {
    private struct Process {
        var relays: StreamSet
        var status: ExitStatus?
        var waiters: [(client: ControlClient, request: UInt32)] = []
        /// The status was told to the waiters: everything that the process wrote has arrived.
        var isFinished = false
    }

    private(set) var phase = ContainerPhase.booting
    private var guestPID: Int32 = 0
    private var agent: AgentLink?
    /// The agent's connection has ended, with the reason in words. What comes of it is for the owner to say.
    var onAgentLost: ((String) -> Void)?
    private var processes: [ProcessIdentifier: Process] = [:]
    private var nextProcess: UInt32 = 1
    private var creator: (client: ControlClient, request: UInt32)?
    private var deferredCreate: (() -> Void)?
    /// How many processes the guest has killed for want of memory, and who waits for more.
    private var outOfMemoryKills: UInt64 = 0
    private var outOfMemoryWaiters: [(client: ControlClient, request: UInt32)] = []
    private let streams: StreamPorts
    private let trace: Trace
    /// Ends the VMM.
    private let end: (ExitStatus) -> Never
    private let log: Log

    init(streams: StreamPorts, log: Log, trace: Trace, end: @escaping (ExitStatus) -> Never) {
        self.streams = streams
        self.log = log
        self.trace = trace
        self.end = end
    }

    // MARK: Runtime's side

    func handle(_ client: ControlClient, _ number: UInt32, _ request: Request) {
        switch request {
        case .create(let plan, let wanted): create(client, number, plan, wanted)
        case .start:
            guard phase == .created else { return refuse(client, number, "cannot start a container in the state \(phase)") }
            trace.mark("start requested")
            forward(.start, client, number) { [weak self] reply in
                if case .done = reply {
                    if self?.phase == .created { self?.phase = .running }
                    self?.trace.mark("process runs")
                }
            }
        case .exec(let process, let plan, let group, let wanted): exec(client, number, process, plan, group, wanted)
        case .signal(let process, let signal, let everyProcess):
            guard let target = client.processes[process] else { return refuse(client, number, "no such process", .noSuchProcess) }
            forward(.signal(process: target, number: signal, everyProcess: everyProcess), client, number)
        case .resize(let process, let size):
            guard let target = client.processes[process] else { return refuse(client, number, "no such process", .noSuchProcess) }
            forward(.resize(process: target, size: size), client, number)
        case .listProcesses, .update, .statistics: forward(request, client, number)
        case .outOfMemory(let after):
            if let after, after >= outOfMemoryKills {
                outOfMemoryWaiters.append((client, number))
            } else {
                client.reply(.outOfMemory(kills: outOfMemoryKills), to: number)
            }
        case .wait(let process):
            guard let target = client.processes[process], let record = processes[target] else {
                return refuse(client, number, "no such process", .noSuchProcess)
            }
            if record.isFinished, let status = record.status {
                client.reply(.exited(process: process, status: status), to: number)
            } else {
                processes[target]?.waiters.append((client, number))
            }
        case .state: client.reply(.state(phase: phase, pid: guestPID), to: number)
        case .shutDown:
            client.reply(.done, to: number)
            end(.signaled(9))
        }
    }

    private func refuse(_ client: ControlClient, _ number: UInt32, _ message: String, _ code: Failure.Code = .invalidState) {
        client.reply(.failed(Failure(code, message)), to: number)
    }

    /// Passes a request on to the agent and its reply back.
    private func forward(_ request: Request, _ client: ControlClient, _ number: UInt32, then: ((Reply) -> Void)? = nil) {
        guard let agent else { return refuse(client, number, "the guest is not ready") }
        agent.send(request) { reply in
            then?(reply)
            client.reply(reply, to: number)
        }
    }

    private func create(_ client: ControlClient, _ number: UInt32, _ plan: [UInt8], _ wanted: ProcessStreams) {
        guard creator == nil, phase == .booting || phase == .ready else { return refuse(client, number, "the machine has a container already") }
        guard let descriptors = client.takeDescriptors(wanted.terminal ? 1 : 3) else {
            return refuse(client, number, "the request came without its descriptors", .other)
        }
        creator = (client, number)
        let set: StreamSet
        do throws(SystemError) {
            set = try streams.open(wanted, descriptors)
        } catch { return refuse(client, number, "standard streams: \(error)", .other) }
        processes[.container] = Process(relays: set)
        // Changes of its size then reach this process as SIGWINCH. Not a session's leader: no such changes, no harm.
        if wanted.terminal { try? TerminalDevice.makeControlling(descriptors[0].rawValue) }
        let begin = { [unowned self] in
            trace.mark("container requested")
            agent?.send(.create(plan: plan, streams: set.ports)) { [unowned self] reply in
                trace.mark("container created")
                if case .created(let pid) = reply {
                    guestPID = pid
                    phase = .created
                    client.reply(reply, to: number)
                } else {
                    client.reply(reply, to: number)
                    end(.exited(1))
                }
            }
        }
        if phase == .ready { begin() } else { deferredCreate = begin }
    }

    private func exec(_ client: ControlClient, _ number: UInt32, _ name: ProcessIdentifier, _ plan: [UInt8], _ group: String, _ wanted: ProcessStreams) {
        guard let descriptors = client.takeDescriptors(wanted.terminal ? 1 : 3) else {
            return refuse(client, number, "the request came without its descriptors", .other)
        }
        guard phase == .created || phase == .running, let agent else { return refuse(client, number, "container not running") }
        guard name != .container, client.processes[name] == nil else { return refuse(client, number, "the process number is in use", .other) }
        let process = ProcessIdentifier(rawValue: nextProcess)
        nextProcess &+= 1
        if nextProcess == 0 { nextProcess = 1 }
        let set: StreamSet
        do throws(SystemError) {
            set = try streams.open(wanted, descriptors)
        } catch { return refuse(client, number, "standard streams: \(error)", .other) }
        client.processes[name] = process
        processes[process] = Process(relays: set)
        agent.send(.exec(process: process, plan: plan, group: group, streams: set.ports)) { [unowned self] reply in
            if case .failed = reply {
                set.close()
                processes[process] = nil
                client.processes[name] = nil
            }
            client.reply(reply, to: number)
        }
    }

    /// A runtime's connection has ended. Without the one that creates the container nobody would ever know of it.
    func closed(_ client: ControlClient) {
        if client === creator?.client && (phase == .booting || phase == .ready) { end(.exited(1)) }
        for process in processes.keys { processes[process]?.waiters.removeAll { $0.client === client } }
        outOfMemoryWaiters.removeAll { $0.client === client }
        for (_, process) in client.processes where process != .container && processes[process]?.isFinished == true { processes[process] = nil }
    }

    // MARK: Agent's side

    func connected(_ link: AgentLink) {
        agent = link
        link.onEvent = { [unowned self] event in handle(event) }
        link.onClosed = { [unowned self] why in onAgentLost?("the guest has halted or its agent has ended (\(why))") }
    }

    private func handle(_ event: Reply) {
        switch event {
        case .ready where phase == .booting:
            phase = .ready
            trace.mark("agent ready")
            deferredCreate?()
            deferredCreate = nil
        case .outOfMemory(let kills) where kills > outOfMemoryKills:
            outOfMemoryKills = kills
            let waiting = outOfMemoryWaiters
            outOfMemoryWaiters = []
            for waiter in waiting { waiter.client.reply(event, to: waiter.request) }
        case .exited(let process, let status):
            guard processes[process]?.status == nil else { return }
            processes[process]?.status = status
            if process == .container { trace.mark("process ended") }
            // What the process wrote arrived before this message; it still has to reach the engine.
            processes[process]?.relays.whenDrained { [unowned self] in finish(process) }
        default: break
        }
    }

    private func finish(_ process: ProcessIdentifier) {
        guard let record = processes[process], let status = record.status, !record.isFinished else { return }
        processes[process]?.isFinished = true
        record.relays.close()
        for waiter in record.waiters {
            let name = waiter.client.processes.first { $0.value == process }?.key ?? process
            waiter.client.reply(.exited(process: name, status: status), to: waiter.request)
        }
        if process == .container {
            phase = .stopped
            trace.mark("vmm ends")
            end(status)
        }
    }

    /// The terminal of the container's process may have changed its size.
    func resizeTerminal() {
        guard phase == .created || phase == .running, let size = processes[.container]?.relays.terminalSize() else { return }
        agent?.send(.resize(process: .container, size: size)) { _ in }
    }

    /// A signal that was sent to this process, which stands for the container's.
    func passOn(signal: Int32) {
        guard phase == .running, let agent else { end(.signaled(signal)) }
        agent.send(.signal(process: .container, number: signal, everyProcess: false)) { _ in }
    }

    /// The machine cannot go on: tell everybody why, then end.
    func fail(_ message: String) {
        log.error(message)
        let failure = Reply.failed(Failure(.other, message))
        agent?.failAll(failure)
        if phase == .booting || phase == .ready, let creator { creator.client.reply(failure, to: creator.request) }
        for record in processes.values {
            for waiter in record.waiters { waiter.client.reply(failure, to: waiter.request) }
        }
        end(phase == .running ? .exited(255) : .exited(1))
    }
}
