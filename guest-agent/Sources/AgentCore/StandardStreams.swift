public import AgentProtocol
internal import Glibc
public import LinuxSystem

/// Opens a stream to one of the host's ports: vsock in a guest, anything in a test.
public typealias StreamConnector = (_ port: UInt32) throws(SystemError) -> OwnedDescriptor

/// The ends of a process's standard streams that the process gets as its descriptors 0, 1 and 2.
public struct ChildStreams {
    public let input: SharedDescriptor
    public let output: SharedDescriptor
    public let error: SharedDescriptor
}

/// The agent's part of a process's standard streams: the host's sockets and the relays between them and the process.
///
/// The process gets pipes and not the sockets, because programs open /dev/stdout again, which a socket refuses.
public final class StandardStreams {
    private let loop: EventLoop
    private let buffer: RelayBuffer
    /// Towards the process.
    private var inputs: [StreamRelay] = []
    /// From the process.
    private var outputs: [StreamRelay] = []
    /// The host's end of a terminal, until there is a terminal.
    private var terminalSocket: SharedDescriptor?
    private var master: SharedDescriptor?

    /// Connects every stream that has a port. `owner` is the process's user as the kernel's root user namespace sees it: the
    /// pipes are made its own, so that it may open /dev/stdout again.
    ///
    /// - Returns: the streams and, without a terminal, what the process inherits.
    public static func connect(
        _ streams: ProcessStreams, owner: (user: UInt32, group: UInt32), connector: StreamConnector, loop: EventLoop, buffer: RelayBuffer
    ) throws(SystemError) -> (StandardStreams, ChildStreams?) {
        let result = StandardStreams(loop: loop, buffer: buffer)
        if streams.terminal {
            if streams.input != 0 { result.terminalSocket = try socket(streams.input, connector) }
            return (result, nil)
        }
        do throws(SystemError) {
            let child = ChildStreams(
                input: try result.openInput(streams.input, owner, connector),
                output: try result.openOutput(streams.output, owner, connector),
                error: try result.openOutput(streams.error, owner, connector))
            return (result, child)
        } catch {
            result.cancel()
            throw error
        }
    }

    private init(loop: EventLoop, buffer: RelayBuffer) {
        self.loop = loop
        self.buffer = buffer
    }

    private static func socket(_ port: UInt32, _ connector: StreamConnector) throws(SystemError) -> SharedDescriptor {
        let socket = SharedDescriptor(try connector(port))
        try socket.setNonBlocking(true)
        return socket
    }

    private static func null() throws(SystemError) -> SharedDescriptor {
        SharedDescriptor(try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR))
    }

    private func openInput(_ port: UInt32, _ owner: (user: UInt32, group: UInt32), _ connector: StreamConnector) throws(SystemError) -> SharedDescriptor {
        if port == 0 { return try StandardStreams.null() }
        let socket = try StandardStreams.socket(port, connector)
        let (childEnd, ownEnd) = try Pipe().split()
        try ownEnd.setNonBlocking(true)
        try childEnd.setOwner(user: owner.user, group: owner.group)
        inputs.append(try StreamRelay(from: socket, to: ownEnd, .pipe, loop: loop, buffer: buffer))
        return childEnd
    }

    private func openOutput(_ port: UInt32, _ owner: (user: UInt32, group: UInt32), _ connector: StreamConnector) throws(SystemError) -> SharedDescriptor {
        if port == 0 { return try StandardStreams.null() }
        let socket = try StandardStreams.socket(port, connector)
        let (ownEnd, childEnd) = try Pipe().split()
        try ownEnd.setNonBlocking(true)
        try childEnd.setOwner(user: owner.user, group: owner.group)
        outputs.append(try StreamRelay(from: ownEnd, to: socket, .oneWaySocket, loop: loop, buffer: buffer))
        return childEnd
    }

    /// Joins the process's terminal to the host's stream. Either end's hang-up ends both directions; closing the master sends
    /// SIGHUP to the terminal's session.
    public func attach(terminal: SharedDescriptor, size: TerminalSize) throws(SystemError) {
        master = terminal
        try terminal.setNonBlocking(true)
        if size.columns != 0 || size.rows != 0 { try resize(size) }
        guard let socket = terminalSocket else { return }
        terminalSocket = nil
        // The loop knows a descriptor once, so each direction has descriptors of its own.
        let output = try StreamRelay(
            from: SharedDescriptor(try terminal.duplicate()), to: SharedDescriptor(try socket.duplicate()), .twoWaySocket, loop: loop, buffer: buffer)
        outputs.append(output)
        let input = try StreamRelay(from: socket, to: terminal, .pipe, loop: loop, buffer: buffer)
        inputs.append(input)
        output.whenEnded { [weak self, weak input] in
            self?.master = nil
            input?.cancel()
        }
        input.whenEnded { [weak self, weak output] in
            // The terminal may have hung up with output in it, which must arrive; a host that has gone takes none.
            guard let self, let output else { return }
            if self.hostHasGone(socket) { output.cancel() }
        }
    }

    /// Whether the peer of a terminal's socket has closed (as against the terminal having done so).
    private func hostHasGone(_ socket: SharedDescriptor) -> Bool {
        var probe: [UInt8] = [0]
        switch socket.readSome(into: &probe) {
        case .end, .failed: return true
        case .bytes, .wouldBlock: return false
        }
    }

    /// - Throws: `ENOTTY` when the process has no terminal (any more).
    public func resize(_ size: TerminalSize) throws(SystemError) {
        guard let master else { throw SystemError(.notTerminal, "TIOCSWINSZ") }
        try master.setWindowSize(columns: size.columns, rows: size.rows)
    }

    /// Runs `action` when what the process has written so far is on its way to the host or, if `toTheEnd`, when no writer is left.
    public func whenOutputsDrained(toTheEnd: Bool, _ action: @escaping () -> Void) {
        var remaining = outputs.count
        if remaining == 0 { return action() }
        for output in outputs {
            let countDown = {
                remaining -= 1
                if remaining == 0 { action() }
            }
            if toTheEnd { output.whenEnded(countDown) } else { output.whenDrained(countDown) }
        }
    }

    /// Whether nothing is left to relay.
    public var ended: Bool { inputs.allSatisfy(\.ended) && outputs.allSatisfy(\.ended) }

    /// Runs `action` after each end of a relay.
    public func whenAnyEnds(_ action: @escaping () -> Void) {
        for relay in inputs + outputs { relay.whenEnded(action) }
    }

    /// Closes everything; what was not relayed yet is lost.
    public func cancel() {
        for relay in inputs + outputs { relay.cancel() }
        terminalSocket = nil
        master = nil
    }
}
