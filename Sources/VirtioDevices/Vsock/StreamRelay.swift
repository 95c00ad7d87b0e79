public import LinuxSystem
internal import GuestRAM
internal import Virtio

/// Carries bytes between a descriptor of the host and a vsock connection, binary-clean, with back-pressure both ways.
///
/// From the host it reads only what the guest has room for; to the guest it gives credit only for what the host's
/// descriptor has taken. So a slow end slows the other one down, and no more than one window waits here.
///
/// | on the one side | on the other |
/// |---|---|
/// | end of the host's input | SHUTDOWN(send) |
/// | the host's reader is gone, even while nothing is written | SHUTDOWN(receive), from which the guest's process gets EPIPE |
/// | the guest's SHUTDOWN(send) | everything is written, then the descriptor is closed |
/// | the guest's SHUTDOWN(receive) | reading stops |
/// | reset by the guest | as both shutdowns |
///
/// Used on the event loop's thread.
public final class StreamRelay {
    public enum Direction: Sendable {
        /// A process's standard input.
        case toGuest
        /// A process's standard output or error.
        case toHost
        /// A terminal.
        case both
    }

    private enum Limits {
        /// Bytes read at once, and read ahead of the guest's receive buffers.
        static let chunk = 64 << 10
        /// Turns of reading or writing before others on the loop get theirs.
        static let turns = 8
    }

    private let device: VsockDevice
    private var stream: HostStream?
    private var connection: VsockConnection?
    /// Called once, when nothing will be carried any more and the descriptor is closed.
    private var onFinished: (() -> Void)?

    private let direction: Direction
    private var isReading: Bool
    private var isWriting: Bool
    private var mayRead = true
    private var mayWrite = true
    private var isRegistered = false
    private var isDeferred = false
    private var guestHasEnded = false
    private var hasHungUp = false
    private var pending = ByteQueue()

    /// Called whenever everything that the guest has sent so far is in the host's hands.
    public var onDrained: (() -> Void)?

    /// True when all that the guest has sent so far is in the host's hands, or the host does not want it.
    public var isDrained: Bool { pending.isEmpty }
    /// True when nothing will be carried any more.
    public private(set) var isFinished = false

    /// Takes the descriptor over. `processDescriptors` is the directory /proc/self/fd.
    /// A pipe whose reader is gone already is no error: the guest's process finds out as it would have.
    public init(
        device: VsockDevice, descriptor: consuming OwnedDescriptor, direction: Direction, processDescriptors: borrowing OwnedDescriptor,
        onFinished: @escaping () -> Void
    ) throws(SystemError) {
        self.device = device
        self.onFinished = onFinished
        self.direction = direction
        isReading = direction != .toHost
        isWriting = direction != .toGuest
        let access: HostStream.Access = direction == .both ? [.read, .write] : direction == .toGuest ? .read : .write
        do throws(SystemError) {
            stream = try HostStream(descriptor, access: access, processDescriptors: processDescriptors)
        } catch where error.errno == .noReader {
            stream = nil
        }
        try register()
    }

    /// Watches the descriptor, edge-triggered: an idle pipe's end of file or lost reader is told once and costs nothing before.
    private func register() throws(SystemError) {
        guard let descriptor = stream?.rawValue, stream?.isAlwaysReady == false else { return }
        var interest: Readiness = .edgeTriggered
        if isReading { interest.insert(.readable) }
        if isWriting { interest.insert(.writable) }
        try device.loop.add(descriptor, interest) { [self] readiness in
            device.perform { isReady(readiness) }
        }
        isRegistered = true
    }

    /// Starts carrying. Called from the `accept` of a listener.
    public func attach(to connection: VsockConnection) {
        guard self.connection == nil else { return connection.reset() }
        if isFinished { return endDirection(of: connection) }
        self.connection = connection
        connection.sendLimit = Limits.chunk
        connection.onPayload = { [self] in received($0) }
        connection.onWritable = { [self] in pump() }
        connection.onPeerShutdown = { [self] in guestShutDown($0) }
        connection.onClosed = { [self] in
            self.connection = nil
            guestShutDown(.both)
        }
        if stream == nil { hostIsGone() }
        pump()
    }

    /// Tells the guest that the host's end is closed. Never both directions before the guest has said anything:
    /// Linux's connect(2), not yet awake, would take that for no connection at all and wait until it times out.
    private func endDirection(of connection: VsockConnection) {
        if direction == .toHost { connection.shutdownReceive() } else { connection.shutdownSend() }
    }

    /// Stops at once: the descriptor is closed, the connection reset, what waits is dropped.
    public func cancel() {
        pending.removeAll()
        (isReading, isWriting) = (false, false)
        let connection = connection
        finish()
        connection?.reset()
    }

    // MARK: Events

    private func isReady(_ readiness: Readiness) {
        if !readiness.isDisjoint(with: [.readable, .hangup, .error]) { mayRead = true }
        if readiness.contains(.writable) { mayWrite = true }
        // A pipe's write end without readers; a socket or terminal whose other end is closed altogether.
        if isWriting && !readiness.isDisjoint(with: [.error, .hangup]) {
            if !isReading { return hostIsGone() }
            // What it sent before comes first.
            hasHungUp = true
        }
        pump()
    }

    private func received(_ payload: [GuestSlice]) {
        guard isWriting, stream != nil else { return }
        var rest = payload
        if pending.isEmpty && mayWrite {
            let written = writeDirectly(payload)
            connection?.consume(written)
            rest = payload.part(from: written)
        }
        if isWriting && !rest.isEmpty { pending.append(rest.bytes()) }
        pump()
    }

    private func guestShutDown(_ directions: VsockShutdown) {
        if directions.contains(.receive) { isReading = false }
        if directions.contains(.send) { guestHasEnded = true }
        pump()
    }

    // MARK: Carrying

    private func pump() {
        guard !isFinished, !isDeferred else { return }
        var turns = Limits.turns
        while turns > 0 && ((isWriting && !pending.isEmpty && mayWrite && writeSome()) || (isReading && mayRead && readSome())) { turns -= 1 }
        if pending.isEmpty { onDrained?() }
        if isWriting && hasHungUp && !isReading { return hostIsGone() }
        if isWriting && guestHasEnded && pending.isEmpty { isWriting = false }
        if !isReading && !isWriting { return finish() }
        if turns == 0 {
            isDeferred = true
            device.deferToNextTurn { [self] in
                isDeferred = false
                pump()
            }
        }
    }

    /// False when it makes no sense to go on now.
    private func readSome() -> Bool {
        guard let connection, let space = Optional(min(connection.sendSpace, Limits.chunk)), space > 0 else { return false }
        do throws(SystemError) {
            guard let bytes = try stream?.read(limit: space) else { return false }
            if bytes.isEmpty {
                hostHasEnded()
                return false
            }
            connection.send(bytes)
            return true
        } catch where error.errno == .wouldBlock {
            mayRead = false
        } catch {
            // EIO is a terminal's way to say that its other end is closed.
            hostHasEnded()
        }
        return false
    }

    private func writeSome() -> Bool {
        do throws(SystemError) {
            guard let count = try stream?.write(pending.front) else { return false }
            pending.removeFirst(count)
            connection?.consume(count)
            return count > 0
        } catch where error.errno == .wouldBlock {
            mayWrite = false
        } catch {
            hostIsGone()
        }
        return false
    }

    /// Guest memory straight to the descriptor; returns how many bytes went.
    private func writeDirectly(_ payload: [GuestSlice]) -> Int {
        do throws(SystemError) {
            guard let descriptor = stream?.rawValue, let limit = try stream?.directWriteLimit(), limit > 0 else { return 0 }
            return try payload.part(from: 0, count: limit).write(to: descriptor)
        } catch where error.errno == .wouldBlock {
            mayWrite = false
        } catch {
            hostIsGone()
        }
        return 0
    }

    // MARK: Ends

    private func hostHasEnded() {
        guard isReading else { return }
        isReading = false
        connection?.shutdownSend()
    }

    /// The host will not take any more.
    private func hostIsGone() {
        hostHasEnded()
        if isWriting {
            isWriting = false
            pending.removeAll()
            connection?.shutdownReceive()
        }
        finish()
    }

    private func finish() {
        guard !isFinished else { return }
        isFinished = true
        if let descriptor = stream?.rawValue, isRegistered { device.loop.remove(descriptor) }
        stream = nil
        if let connection {
            // The guest answers both directions' end with a reset when it has read all.
            if connection.peerShutdown.isEmpty { endDirection(of: connection) } else {
                connection.shutdownSend()
                connection.shutdownReceive()
            }
            (connection.onPayload, connection.onWritable, connection.onPeerShutdown, connection.onClosed) = (nil, nil, nil, nil)
            self.connection = nil
        }
        let last = onFinished
        let drained = onDrained
        (onFinished, onDrained) = (nil, nil)
        drained?()
        last?()
    }
}
