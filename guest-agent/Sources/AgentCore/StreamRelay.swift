public import LinuxSystem

/// The memory that bytes pass through: one for all relays, so that an idle stream holds none.
public final class RelayBuffer {
    /// Bytes moved at once, and the most that one relay ever holds back.
    public static let capacity = 64 << 10
    fileprivate var bytes = [UInt8](repeating: 0, count: RelayBuffer.capacity)
    public init() {}
}

/// Copies one direction of a standard stream, from `source` to `sink`, both non-blocking.
///
/// Back-pressure: nothing is read while the sink has not taken what was read before. The end of the source closes the sink
/// after everything was written to it; a sink that nobody reads any more closes the source, so that its writer learns of it.
public final class StreamRelay {
    /// What tells that the sink's reader has gone while there is nothing to write.
    public enum SinkKind {
        /// A pipe or terminal: the kernel reports an error or hang-up.
        case pipe
        /// A socket whose peer has nothing to say: its half-close means that it has gone altogether.
        case oneWaySocket
        /// A socket whose other direction is in use: only a hang-up counts.
        case twoWaySocket
    }

    private let loop: EventLoop
    private let buffer: RelayBuffer
    private let sinkInterest: Readiness
    private var source: SharedDescriptor?
    private var sink: SharedDescriptor?
    /// Read and not written yet; while there is any, the source is not watched.
    private var pending: [UInt8] = []
    private var pendingStart = 0
    private var drain: (remaining: Int, action: () -> Void)?
    private var endActions: [() -> Void] = []
    private var reading = false

    /// Whether both descriptors are closed.
    public var ended: Bool { source == nil }

    /// Starts to copy. On an error both descriptors are closed.
    public init(from source: SharedDescriptor, to sink: SharedDescriptor, _ sinkKind: SinkKind, loop: EventLoop, buffer: RelayBuffer) throws(SystemError) {
        self.loop = loop
        self.buffer = buffer
        self.source = source
        self.sink = sink
        sinkInterest = sinkKind == .oneWaySocket ? .peerClosed : []
        try loop.add(sink.rawValue, sinkInterest) { [weak self] in self?.sinkReady($0) }
        do throws(SystemError) {
            try watchSource()
        } catch {
            loop.remove(sink.rawValue)
            throw error
        }
    }

    /// Runs `action` when both descriptors are closed, or now if they are.
    public func whenEnded(_ action: @escaping () -> Void) {
        if ended { action() } else { endActions.append(action) }
    }

    /// Runs `action` once the bytes that are in the source now have been handed to the sink (or the relay has ended).
    /// What others write to the source in the meantime prolongs it by one buffer at most.
    public func whenDrained(_ action: @escaping () -> Void) {
        guard let source else { return action() }
        // A terminal's count does not include what its line discipline has not processed; its first empty read does.
        let waiting = (try? source.readableByteCount()) ?? 0
        drain = (pending.count - pendingStart + max(waiting, RelayBuffer.capacity), action)
        if reading { copy() }
    }

    /// Closes both descriptors at once; what was not written yet is lost.
    public func cancel() { finish() }

    private func watchSource() throws(SystemError) {
        guard let source else { return }
        reading = true
        try loop.add(source.rawValue, .readable) { [weak self] _ in self?.copy() }
    }

    /// The source has something, or has ended.
    private func copy() {
        // Bounded, so that one busy stream does not starve the others; readiness is level-triggered.
        for _ in 0..<8 {
            guard let source, let sink else { return }
            switch source.readSome(into: &buffer.bytes) {
            case .wouldBlock:
                return fireDrain()
            case .end, .failed:  // a terminal without processes fails with EIO, a connection may be reset
                return finish()
            case .bytes(let count):
                guard let written = write(buffer.bytes, 0..<count, to: sink) else { return finish() }
                if written < count { return holdBack(Array(buffer.bytes[written..<count])) }
                if drain == nil && count < RelayBuffer.capacity { return }
            }
        }
    }

    /// Writes what fits and returns how much, or nil when nobody reads any more.
    private func write(_ bytes: [UInt8], _ range: Range<Int>, to sink: SharedDescriptor) -> Int? {
        var position = range.lowerBound
        while position < range.upperBound {
            switch sink.writeSome(bytes, position..<range.upperBound) {
            case .bytes(let count): position += count
            case .wouldBlock, .end:
                countDrained(position - range.lowerBound)
                return position
            case .failed: return nil
            }
        }
        countDrained(position - range.lowerBound)
        return position
    }

    private func holdBack(_ rest: [UInt8]) {
        guard let source, let sink else { return }
        pending = rest
        pendingStart = 0
        // Not merely uninterested: a hang-up of the source would be reported again and again.
        loop.remove(source.rawValue)
        reading = false
        do throws(SystemError) {
            try loop.modify(sink.rawValue, sinkInterest.union(.writable))
        } catch { finish() }
    }

    private func sinkReady(_ readiness: Readiness) {
        guard let sink else { return }
        let gone: Readiness = sinkInterest.union([.error, .hangup])
        if !readiness.isDisjoint(with: gone) { return finish() }
        guard !reading, readiness.contains(.writable) else { return }
        guard let position = write(pending, pendingStart..<pending.count, to: sink) else { return finish() }
        pendingStart = position
        guard position == pending.count else { return }
        pending = []
        pendingStart = 0
        do throws(SystemError) {
            try loop.modify(sink.rawValue, sinkInterest)
            try watchSource()
        } catch { finish() }
    }

    private func countDrained(_ count: Int) {
        guard let remaining = drain?.remaining else { return }
        drain?.remaining = remaining - count
        if remaining - count <= 0 { fireDrain() }
    }

    private func fireDrain() {
        guard let action = drain?.action else { return }
        drain = nil
        action()
    }

    private func finish() {
        guard let source, let sink else { return }
        loop.remove(source.rawValue)
        loop.remove(sink.rawValue)
        reading = false
        pending = []
        // Closing a stream socket delivers what was written to it and then its end.
        self.source = nil
        self.sink = nil
        fireDrain()
        let actions = endActions
        endActions = []
        for action in actions { action() }
    }
}
