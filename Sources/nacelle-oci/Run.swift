import ArgumentParser
import ContainerRuntime
import Glibc
import LinuxSystem
import OCISpec

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Create and start a container, wait for it and delete it.")
    @ParentCommand var parent: NacelleOCI
    @OptionGroup var options: BundleOptions
    @Flag(name: [.short, .long], help: "Do not wait.") var detach = false
    @Flag(help: "Do not delete the container when it has ended.") var keep = false
    @Argument(help: "The container's name.") var id: String

    func run() throws {
        let container = try parent.container(id)
        let spec = try Container.configuration(bundle: options.path, log: parent.makeLog())
        let wantsTerminal = spec.process?.terminal ?? false
        if detach {
            let streams = try detachedStreams(terminal: wantsTerminal, consoleSocket: options.consoleSocket)
            _ = try begin(container, spec, streams)
            return
        }
        if options.consoleSocket != nil { throw RuntimeError("cannot use console socket if runc will not detach or allocate tty") }
        let status = wantsTerminal ? try runOnTerminal(container, spec) : try runPlain(container, spec)
        if !keep { try container.delete(force: true) }
        throw ExitCode(status.shellCode)
    }

    /// Creates and starts; what cannot be started does not stay.
    private func begin(_ container: Container, _ spec: RuntimeSpec, _ streams: Container.Streams) throws -> Int32 {
        let pid = try container.create(spec, bundle: options.path, streams: streams, components: .locate(), pidFile: options.pidFile.map(absolutePath))
        do {
            try container.start()
        } catch {
            try? container.delete(force: true)
            throw error
        }
        return pid
    }

    private func runPlain(_ container: Container, _ spec: RuntimeSpec) throws -> ExitStatus {
        // Blocked before the machine starts, so that none is lost; the machine's process unblocks them for itself.
        let forwarder = try SignalForwarder()
        let pid = try begin(container, spec, .inherited)
        return try forwarder.wait(for: pid)
    }

    private func runOnTerminal(_ container: Container, _ spec: RuntimeSpec) throws -> ExitStatus {
        let pair = try terminalPair()
        let master = SharedDescriptor(try pair.master.duplicate())
        let slave = SharedDescriptor(try pair.slave.duplicate())
        _ = consume pair
        let forwarder = try SignalForwarder()
        let user = UserTerminal()
        defer { user.restore() }
        let loop = try EventLoop()
        let relay = try TerminalRelay(master, loop: loop, onResize: { _, _ in })
        let pid = try begin(container, spec, .terminal(slave))
        let status = try forwarder.wait(for: pid, loop: loop)
        relay.drain()
        return status
    }
}

/// Passes this process's signals on to the one that stands for the container, and waits for its end.
final class SignalForwarder {
    private static let passed: [Int32] = [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGCONT, SIGALRM, SIGTSTP]
    private let signals: SignalDescriptor

    init() throws {
        try blockSignals(Self.passed + [SIGCHLD])
        signals = try SignalDescriptor(Self.passed + [SIGCHLD])
    }

    func wait(for pid: Int32, loop given: EventLoop? = nil) throws -> ExitStatus {
        let loop = try given ?? EventLoop()
        var status: ExitStatus?
        let process = try ProcessDescriptor(pid)
        func reap() throws { if status == nil { status = try waitForProcess(pid, noHang: true)?.status } }
        try loop.add(process.descriptor.rawValue, .readable) { _ in
            try? reap()
        }
        try loop.add(signals.descriptor.rawValue, .readable) { [self] _ in
            while let number = signals.next() { if number != SIGCHLD { try? process.signal(number) } }
        }
        while status == nil { try loop.runOnce() }
        return status ?? .exited(0)
    }
}
