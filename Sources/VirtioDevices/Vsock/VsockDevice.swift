internal import GuestRAM
public import LinuxSystem
internal import Synchronization
public import Virtio

// The guest's AF_VSOCK ends here: no host context identifiers, no kernel module. The guest connects to ports of context 2
// on which somebody in this process listens; everything else is refused.
//
// Threads. All state but `context` belongs to the event loop's thread and is touched with the transport's lock held
// (`perform`); notifications that come on another thread are handed over through `wake`. Activation and reset come on a
// vCPU's thread: they replace `context` and count up `generation`, and the loop's thread clears up when it next looks.
//
// Memory. The guest cannot make us keep more than: one entry per connection that a listener accepted, one receive
// buffer of data for each, and `Limits.refusals` resets. When the last fill up, the transmit queue stands still until
// the guest offers receive buffers.

/// virtio-vsock (VIRTIO 1.2, 5.10), stream sockets only.
public final class VsockDevice: VirtioDevice {
    /// The host's context identifier.
    public static let hostContext: UInt64 = 2

    private enum Queue {
        static let receive = 0
        static let transmit = 1
        /// The guest fills the first with buffers of 4 KiB at boot: each is a page made resident.
        static let sizes: [UInt16] = [64, 128, 16]
    }

    private enum Limits {
        static let connections = 4096
        /// Resets that wait for a receive buffer and belong to no connection.
        static let refusals = 256
        /// Packets per turn and direction, so that others on the event loop get theirs.
        static let packetsPerTurn = 512
    }

    private struct Listener {
        let once: Bool
        let accept: (VsockConnection) -> Void
    }

    private struct Key: Hashable {
        let guestPort: UInt32
        let hostPort: UInt32
    }

    /// The guest's context identifier.
    public let guestContext: UInt64
    let loop: EventLoop
    private let wake: EventDescriptor
    /// The transport's lock, known after the first activation.
    private let lock = Mutex<DeviceLock?>(nil)

    // Guarded by the lock.
    private var context: ActivationContext?
    private var generation = 0
    private var loopThread: ThreadIdentity?

    // The loop's thread only.
    private var isInside = false
    private var seenGeneration = 0
    private var listeners: [UInt32: Listener] = [:]
    private var connections: [Key: VsockConnection] = [:]
    private var scheduled: [VsockConnection] = []
    private var nextScheduled = 0
    private var refusals: [VsockHeader] = []
    private var deferred: [() -> Void] = []
    private var transmitIsPaused = false

    /// - Parameter loop: where everything happens. The device must live as long as it runs.
    public init(guestContext: UInt64 = 3, loop: EventLoop) throws(SystemError) {
        self.guestContext = guestContext
        self.loop = loop
        wake = try EventDescriptor()
        try loop.add(wake.descriptor.rawValue, .readable) { [unowned self] _ in woken() }
    }

    deinit { loop.remove(wake.descriptor.rawValue) }

    // MARK: Use

    /// Accepts connections of the guest to `port`: all of them, or only the first. Call on the loop's thread or before it runs.
    /// `accept` sets the connection's callbacks.
    public func listen(port: UInt32, once: Bool, accept: @escaping (VsockConnection) -> Void) {
        listeners[port] = Listener(once: once, accept: accept)
    }

    public func isListening(port: UInt32) -> Bool { listeners[port] != nil }

    /// Refuses further connections to `port`.
    public func stopListening(port: UInt32) { listeners[port] = nil }

    /// Connections that are not closed.
    public var connectionCount: Int { connections.count }

    /// Runs `work` on the loop's thread after what is ready now.
    func deferToNextTurn(_ work: @escaping () -> Void) {
        deferred.append(work)
        wake.signal()
    }

    /// Holds the lock (unless it is held already, further up this stack) and afterwards gives the guest what is due.
    /// On the loop's thread only.
    func perform(_ body: () -> Void) {
        if isInside { return body() }
        guard let lock = lock.withLock({ $0 }) else { return body() }
        lock.withLock { enter(body) }
    }

    private func enter(_ body: () -> Void) {
        isInside = true
        clearUpAfterReset()
        body()
        fillReceiveQueue()
        isInside = false
    }

    private func woken() {
        wake.drain()
        // Without a lock yet, what it guards is left alone; the activation wakes us again.
        let hasLock = lock.withLock { $0 != nil }
        perform {
            if hasLock { loopThread = .current }
            let work = deferred
            deferred = []
            for piece in work { piece() }
            if hasLock { drainTransmitQueue() }
        }
    }

    // MARK: The driver

    public var type: DeviceType { .vsock }
    public var features: UInt64 { 0 }
    public var queueSizes: [UInt16] { Queue.sizes }
    public var configuration: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: guestContext >> UInt64(8 * $0)) } }
    public func writeConfiguration(_ bytes: [UInt8], at offset: Int) {}

    public func activate(_ context: ActivationContext) {
        self.context = context
        generation += 1
        lock.withLock { $0 = context.lock }
        wake.signal()
    }

    public func reset() {
        context = nil
        generation += 1
        wake.signal()
    }

    public func process(queue: Int) {
        guard loopThread == .current else { return wake.signal() }
        enter { if queue == Queue.transmit || transmitIsPaused { drainTransmitQueue() } }
    }

    private func clearUpAfterReset() {
        guard generation != seenGeneration else { return }
        seenGeneration = generation
        let lost = connections.values
        connections = [:]
        scheduled = []
        nextScheduled = 0
        refusals = []
        transmitIsPaused = false
        for connection in lost { connection.didClose() }
    }

    private func breakDevice() {
        context?.needsReset()
        context = nil
    }

    // MARK: Guest to host

    private func drainTransmitQueue() {
        guard let context, context.queues.count > Queue.transmit, let queue = context.queues[Queue.transmit] else { return }
        var left = Limits.packetsPerTurn
        transmitIsPaused = false
        do throws(VirtqueueError) {
            while refusals.count < Limits.refusals && left > 0 {
                guard let chain = try queue.pop() else { break }
                left -= 1
                handle(chain.readable)
                queue.push(chain.head, written: 0)
            }
        } catch {
            return breakDevice()
        }
        if queue.needsInterrupt() { context.interrupt.raiseUsedBuffers() }
        if left == 0 { wake.signal() }
        transmitIsPaused = refusals.count >= Limits.refusals
    }

    private func handle(_ buffers: [GuestSlice]) {
        guard let header = VsockHeader(buffers.bytes(count: VsockHeader.size)), header.sourceContext == guestContext else { return }
        let payload = buffers.part(from: VsockHeader.size, count: Int(header.length))
        let operation = VsockHeader.Operation(rawValue: header.operation)
        let key = Key(guestPort: header.sourcePort, hostPort: header.destinationPort)
        guard header.destinationContext == VsockDevice.hostContext, header.type == VsockHeader.streamType,
            let connection = connections[key]
        else { return handleUnknown(header, operation, key) }
        // Its reset is on the way: whatever still comes is void.
        guard connection.isOpen else { return }
        connection.noteCredit(header)
        guard connection.isOpen else { return }
        switch operation {
        case .data where payload.byteCount == Int(header.length):
            if !connection.receive(payload, count: payload.byteCount) { connection.reset() }
        case .creditUpdate: break
        case .creditRequest: connection.oweCreditUpdate()
        case .shutdown:
            connection.peerShutDown(VsockShutdown(rawValue: header.flags))
            // Linux's close waits for this reset (or 8 s).
            if connection.isOpen && connection.peerShutdown == .both { connection.reset() }
        case .reset:
            connections[key] = nil
            connection.didClose()
        case .request, .response, .data, nil:
            connection.reset()
        }
    }

    /// A packet for no connection: a request that is accepted, or something that is answered by a reset.
    private func handleUnknown(_ header: VsockHeader, _ operation: VsockHeader.Operation?, _ key: Key) {
        guard operation != .reset else { return }
        guard operation == .request, header.destinationContext == VsockDevice.hostContext, header.type == VsockHeader.streamType,
            let listener = listeners[key.hostPort], connections.count < Limits.connections
        else {
            var refusal = VsockHeader(
                from: VsockAddress(context: header.destinationContext, port: header.destinationPort),
                to: VsockAddress(context: header.sourceContext, port: header.sourcePort), .reset)
            refusal.type = header.type
            refusals.append(refusal)
            return
        }
        if listener.once { listeners[key.hostPort] = nil }
        let connection = VsockConnection(device: self, guestPort: key.guestPort, hostPort: key.hostPort)
        connections[key] = connection
        schedule(connection)
        listener.accept(connection)
        if connection.isOpen { connection.noteCredit(header) }
    }

    // MARK: Host to guest

    func hostAddress(_ port: UInt32) -> VsockAddress { VsockAddress(context: VsockDevice.hostContext, port: port) }
    func guestAddress(_ port: UInt32) -> VsockAddress { VsockAddress(context: guestContext, port: port) }

    /// Puts a connection at the end of those that are served in turn, if it has something to send.
    func schedule(_ connection: VsockConnection) {
        guard !connection.isScheduled, connection.hasPacket else { return }
        connection.isScheduled = true
        scheduled.append(connection)
    }

    /// The connection whose turn it is, without taking the turn away.
    private func nextConnection() -> VsockConnection? {
        while nextScheduled < scheduled.count {
            if scheduled[nextScheduled].hasPacket { return scheduled[nextScheduled] }
            endTurn()
        }
        return nil
    }

    private func endTurn() {
        scheduled[nextScheduled].isScheduled = false
        nextScheduled += 1
        scheduled.forget(&nextScheduled, atLeast: 256)
    }

    /// Sends what is due while there are buffers: refusals first, then a packet of each connection in turn.
    private func fillReceiveQueue() {
        guard let context, context.queues.count > Queue.receive, let queue = context.queues[Queue.receive] else { return }
        var left = Limits.packetsPerTurn
        do throws(VirtqueueError) {
            while left > 0, try sendOnePacket(queue) { left -= 1 }
        } catch {
            return breakDevice()
        }
        if queue.needsInterrupt() { context.interrupt.raiseUsedBuffers() }
        if left == 0 || (transmitIsPaused && refusals.count < Limits.refusals) { wake.signal() }
    }

    /// False when nothing is due or no buffer is left.
    private func sendOnePacket(_ queue: Virtqueue) throws(VirtqueueError) -> Bool {
        let connection = refusals.isEmpty ? nextConnection() : nil
        guard !refusals.isEmpty || connection != nil, let chain = try queue.pop() else { return false }
        let space = chain.writable.byteCount
        guard space >= VsockHeader.size else { throw .invalidBuffer }
        guard let connection else {
            queue.push(chain.head, written: chain.writable.write(refusals.removeFirst().bytes))
            return true
        }
        endTurn()
        queue.push(chain.head, written: connection.writePacket(to: chain.writable, space: space))
        if !connection.isOpen && !connection.owesReset {
            connections[Key(guestPort: connection.guestPort, hostPort: connection.hostPort)] = nil
        }
        schedule(connection)
        connection.didSend()
        return true
    }
}
