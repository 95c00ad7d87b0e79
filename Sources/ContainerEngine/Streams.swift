internal import Glibc
internal import LinuxSystem

/// A descriptor that an event loop reads, never waiting.
final class Inlet {
    private let stream: HostStream
    private let loop: EventLoop
    private var isWatched = false
    private(set) var isOpen = true
    private var isPaused = true
    private let onBytes: ([UInt8]) -> Void
    private let onEnd: () -> Void

    /// Paused at first.
    init(_ descriptor: consuming OwnedDescriptor, access: HostStream.Access = .read, _ loop: EventLoop, onBytes: @escaping ([UInt8]) -> Void, onEnd: @escaping () -> Void) throws(SystemError) {
        let own = try OwnedDescriptor(opening: "/proc/self/fd", flags: O_RDONLY | O_DIRECTORY)
        stream = try HostStream(descriptor, access: access, processDescriptors: own)
        (self.loop, self.onBytes, self.onEnd) = (loop, onBytes, onEnd)
    }

    deinit { if isWatched { loop.remove(stream.rawValue) } }

    func resume() throws(SystemError) {
        guard isOpen, isPaused else { return }
        isPaused = false
        // What is always ready cannot be watched.
        if stream.isAlwaysReady { return pump(bounded: false) }
        try loop.add(stream.rawValue, .readable) { [weak self] _ in self?.pump(bounded: true) }
        isWatched = true
    }

    func pause() {
        isPaused = true
        if isWatched { loop.remove(stream.rawValue) }
        isWatched = false
    }

    /// Reads what is there, at most a few pieces, so that others get their turn.
    private func pump(bounded: Bool) {
        var pieces = 0
        while isOpen, !isPaused, !bounded || pieces < 4 {
            pieces += 1
            do throws(SystemError) {
                let bytes = try stream.read(limit: 32768)
                if bytes.isEmpty { return close() }
                onBytes(bytes)
            } catch {
                if error.errno == .wouldBlock { return }
                // EIO: nobody has the other end of a terminal open; all else is the end as well.
                return close()
            }
        }
    }

    /// Reads all that is there now, paused or not.
    func drain() {
        let wasPaused = isPaused
        isPaused = false
        pump(bounded: false)
        if wasPaused { isPaused = true }
    }

    func close() {
        guard isOpen else { return }
        pause()
        isOpen = false
        onEnd()
    }
}

/// A descriptor that an event loop writes: what does not fit waits.
final class Outlet {
    private let stream: HostStream
    private let loop: EventLoop
    private var pending: [UInt8] = []
    private var isWatched = false
    /// False when nobody will read any more.
    private(set) var isOpen = true
    private var closesWhenEmpty = false
    /// Called when what waited has gone, or nobody will read it any more.
    var onRoom: () -> Void = {}
    private let onClose: () -> Void

    /// Bytes that may wait before whoever writes ought to pause.
    static let limit = 256 << 10

    init(_ descriptor: consuming OwnedDescriptor, access: HostStream.Access = .write, _ loop: EventLoop, onClose: @escaping () -> Void = {}) throws(SystemError) {
        let own = try OwnedDescriptor(opening: "/proc/self/fd", flags: O_RDONLY | O_DIRECTORY)
        stream = try HostStream(descriptor, access: access, processDescriptors: own)
        (self.loop, self.onClose) = (loop, onClose)
    }

    deinit { if isWatched { loop.remove(stream.rawValue) } }

    var isFull: Bool { isOpen && pending.count >= Self.limit }
    var isEmpty: Bool { !isOpen || pending.isEmpty }

    func write(_ bytes: [UInt8]) {
        guard isOpen, !closesWhenEmpty else { return }
        pending += bytes
        flush()
    }

    /// Closes after what waits has gone.
    func finish() {
        closesWhenEmpty = true
        flush()
    }

    func flush() {
        let wasFull = isFull
        while isOpen, !pending.isEmpty {
            do throws(SystemError) {
                let count = try stream.write(pending[...])
                pending.removeFirst(count)
            } catch {
                if error.errno == .wouldBlock { break }
                close()
            }
        }
        if pending.isEmpty && closesWhenEmpty { close() }
        watch(isOpen && !pending.isEmpty && !stream.isAlwaysReady)
        if wasFull && !isFull { onRoom() }
    }

    private func watch(_ on: Bool) {
        guard on != isWatched else { return }
        if on {
            // What cannot be watched is tried again by the next write.
            guard (try? loop.add(stream.rawValue, .writable, handler: { [weak self] _ in self?.flush() })) != nil else { return }
        } else {
            loop.remove(stream.rawValue)
        }
        isWatched = on
    }

    func close() {
        guard isOpen else { return }
        isOpen = false
        pending = []
        watch(false)
        onClose()
    }
}
