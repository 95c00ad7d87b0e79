import AgentProtocol
import LinuxSystem
import VirtioDevices

/// Gives each standard stream a vsock port of its own, which the agent connects to once. Ports are drawn at random: a container's process
/// that can make vsock sockets cannot guess one and connect to it before the agent.
final class StreamPorts {
    private let device: VsockDevice
    private let processDescriptors: SharedDescriptor

    init(_ device: VsockDevice, processDescriptors: SharedDescriptor) {
        self.device = device
        self.processDescriptors = processDescriptors
    }

    /// Listens for the streams of one process. The descriptors are three, or one terminal.
    func open(_ wanted: ProcessStreams, _ descriptors: [SharedDescriptor]) throws(SystemError) -> StreamSet {
        let set = StreamSet(device, terminal: wanted.terminal ? descriptors.first : nil)
        set.ports = wanted
        if wanted.terminal {
            guard let terminal = descriptors.first else { throw SystemError(.invalidArgument, "terminal") }
            try TerminalDevice.makeRaw(terminal.rawValue)
            let size = try TerminalDevice.size(terminal.rawValue)
            if size.columns > 0 && size.rows > 0 { set.ports.size = TerminalSize(columns: size.columns, rows: size.rows) }
            set.ports.input = try add(terminal, .both, to: set)
        } else {
            guard descriptors.count == 3 else { throw SystemError(.invalidArgument, "descriptors") }
            set.ports.input = try add(descriptors[0], .toGuest, to: set)
            set.ports.output = try add(descriptors[1], .toHost, to: set)
            set.ports.error = try add(descriptors[2], .toHost, to: set)
        }
        return set
    }

    private func add(_ descriptor: SharedDescriptor, _ direction: StreamRelay.Direction, to set: StreamSet) throws(SystemError) -> UInt32 {
        var port: UInt32
        repeat { port = UInt32.random(in: WellKnown.firstStreamPort..<UInt32.max) } while device.isListening(port: port)
        let relay: StreamRelay
        do throws(SystemError) {
            relay = try processDescriptors.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in
                try StreamRelay(device: device, descriptor: try descriptor.duplicate(), direction: direction, processDescriptors: directory, onFinished: {})
            }
        } catch {
            set.close()
            throw error
        }
        set.add(relay, port: port, carriesOutput: direction != .toGuest)
        device.listen(port: port, once: true) { relay.attach(to: $0) }
        return port
    }
}

/// The standard streams of one process.
final class StreamSet {
    /// The ports, as the agent is told.
    var ports = ProcessStreams(terminal: false)
    private let device: VsockDevice
    private let terminal: SharedDescriptor?
    private var relays: [(relay: StreamRelay, port: UInt32, carriesOutput: Bool)] = []
    private var drained: (() -> Void)?

    init(_ device: VsockDevice, terminal: SharedDescriptor?) {
        self.device = device
        self.terminal = terminal
    }

    func add(_ relay: StreamRelay, port: UInt32, carriesOutput: Bool) {
        relays.append((relay, port, carriesOutput))
        if carriesOutput { relay.onDrained = { [weak self] in self?.check() } }
    }

    /// Calls back once when everything that has come from the guest is in the host's hands.
    func whenDrained(_ body: @escaping () -> Void) {
        drained = body
        check()
    }

    private func check() {
        guard let body = drained, relays.allSatisfy({ !$0.carriesOutput || $0.relay.isDrained || $0.relay.isFinished }) else { return }
        drained = nil
        body()
    }

    /// The terminal's size now, if there is one.
    func terminalSize() -> TerminalSize? {
        guard let terminal, let size = try? TerminalDevice.size(terminal.rawValue) else { return nil }
        return TerminalSize(columns: size.columns, rows: size.rows)
    }

    /// Ends all streams and refuses connections that have not come.
    func close() {
        for (relay, port, _) in relays {
            device.stopListening(port: port)
            relay.onDrained = nil
            relay.cancel()
        }
        relays = []
    }
}
