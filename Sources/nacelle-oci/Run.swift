import ArgumentParser
import ContainerRuntime
import Glibc
import LinuxSystem
import OCISpec

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "run", abstract: "Create and start a container, wait for it and delete it.")
    @ParentCommand var parent: NacelleOCI
    @OptionGroup var options: BundleOptions
    @Flag(name: [.short, .long], help: "Do not wait.") var detach = false
    @Flag(help: "Do not delete the container when it has ended.") var keep = false
    @Flag(help: "Accepted as runc does; no orphans are taken over anyway.") var noSubreaper = false
    @Argument(help: "The container's name.") var id: String

    func run() throws {
        let container = try parent.container(id)
        let spec = try Container.configuration(bundle: options.path, log: parent.makeLog())
        let isolation = try parent.isolation(for: spec)
        if detach {
            let streams = try detachedStreams(spec.process, consoleSocket: options.consoleSocket, isolation)
            _ = try begin(container, spec, streams, isolation)
            return
        }
        if options.consoleSocket != nil { throw RuntimeError("cannot use console socket if runc will not detach or allocate tty") }
        let status: ExitStatus
        switch (spec.process, isolation) {
        case (let process?, .microVM) where process.terminal: status = try runOnTerminal(container, spec, process)
        case (let process?, .namespace) where process.terminal: status = try runOnOwnTerminal(container, spec)
        default: status = try runPlain(container, spec, isolation)
        }
        // No status of the process's own says this.
        if let message = container.machineError { try parent.makeLog().error(message) }
        if !keep { try container.delete(force: true) }
        throw ExitCode(status.shellCode)
    }

    /// Creates and starts; what cannot be started does not stay.
    private func begin(_ container: Container, _ spec: RuntimeSpec, _ streams: Container.Streams, _ isolation: Isolation) throws -> Int32 {
        let pid = try options.create(container, spec, streams, isolation)
        do {
            try container.start()
        } catch {
            try? container.delete(force: true)
            throw error
        }
        return pid
    }

    private func runPlain(_ container: Container, _ spec: RuntimeSpec, _ isolation: Isolation) throws -> ExitStatus {
        // Blocked before the machine starts, so that none is lost; the machine's process unblocks them for itself.
        let forwarder = try SignalForwarder()
        let pid = try begin(container, spec, .inherited, isolation)
        return try forwarder.wait(for: pid, of: container)
    }

    private func runOnTerminal(_ container: Container, _ spec: RuntimeSpec, _ process: ProcessSpec) throws -> ExitStatus {
        let pair = try terminalPair(process, user: true)
        let master = SharedDescriptor(try pair.master.duplicate())
        let slave = SharedDescriptor(try pair.slave.duplicate())
        _ = consume pair
        let forwarder = try SignalForwarder()
        let user = UserTerminal()
        defer { user.restore() }
        let loop = try EventLoop()
        let relay = try TerminalRelay(master, loop: loop, onResize: { _, _ in })
        let pid = try begin(container, spec, .terminal(slave), .microVM)
        let status = try forwarder.wait(for: pid, of: container, loop: loop)
        try relay.drain()
        return status
    }

    /// The terminal is of the container's own devpts, so it is there only when the container is.
    private func runOnOwnTerminal(_ container: Container, _ spec: RuntimeSpec) throws -> ExitStatus {
        var spec = spec
        if let size = UserTerminal.size { spec.process?.consoleSize = ConsoleSize(width: size.columns, height: size.rows) }
        let forwarder = try SignalForwarder()
        let user = UserTerminal()
        defer { user.restore() }
        let loop = try EventLoop()
        let shown = ShownTerminal(loop)
        let pid = try begin(container, spec, .newTerminal(deliver: shown.show), .namespace)
        let status = try forwarder.wait(for: pid, of: container, loop: loop)
        try shown.drain()
        return status
    }
}
