internal import CLinux
internal import Glibc

/// A descriptor that somebody else gave and may share, read and written without ever blocking the caller
/// and without changing the open file's flags, which its other holders would see.
@safe public struct HostStream: ~Copyable, Sendable {
    /// How blocking is avoided.
    private enum Mode {
        /// Our own open file with O_NONBLOCK.
        case nonBlocking
        /// MSG_DONTWAIT.
        case socket
        /// poll(2) first; then a read takes what is there and a write of PIPE_BUF bytes has room.
        case polled
        /// A regular file or a device without poll: always ready, never waits for another process.
        case alwaysReady
    }

    /// Which ways bytes go.
    public struct Access: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let read = Access(rawValue: 1)
        public static let write = Access(rawValue: 2)
    }

    private let descriptor: OwnedDescriptor
    private let mode: Mode
    /// What was given, beside an open file of our own: a pipe given for reading and writing counts as its own other end,
    /// as it would in a process that inherited it, so it has no end of file and never loses its reader while it is open.
    private let original: OwnedDescriptor?
    /// True for what epoll(7) refuses because it is always ready.
    public var isAlwaysReady: Bool { mode == .alwaysReady }
    /// For registration in an event loop.
    public var rawValue: Int32 { descriptor.rawValue }

    private static let atomicPipeWrite = 4096  // PIPE_BUF

    /// Takes the descriptor over. A pipe or terminal is opened a second time through `processDescriptors`, the directory
    /// /proc/self/fd, to get an open file of our own that may be non-blocking.
    /// - Throws: `ENXIO` when a named pipe that is to be written has no reader any more.
    public init(_ given: consuming OwnedDescriptor, access: Access, processDescriptors: borrowing OwnedDescriptor) throws(SystemError) {
        let raw = given.rawValue
        let type = mode_t(try checked(clinux_file_type(raw), "fstat"))
        let isTerminal = type == S_IFCHR && clinux_is_terminal(raw) != 0
        if type == S_IFSOCK {
            mode = .socket
            descriptor = given
            original = nil
        } else if isTerminal && clinux_is_terminal_master(raw) != 0 {
            // Opening it again would make another terminal; whoever holds a master does not share it.
            try given.setNonBlocking(true)
            mode = .nonBlocking
            descriptor = given
            original = nil
        } else if type == S_IFIFO || isTerminal {
            let way = access == [.read, .write] ? O_RDWR : access == .read ? O_RDONLY : O_WRONLY
            let own: OwnedDescriptor?
            do throws(SystemError) {
                own = try OwnedDescriptor(opening: "\(raw)", at: processDescriptors, flags: way | O_NONBLOCK | O_NOCTTY)
            } catch where error.errno == .noReader && type == S_IFIFO {
                throw error
            } catch {
                own = nil
            }
            if let own {
                mode = .nonBlocking
                descriptor = own
                original = consume given
            } else {
                mode = .polled
                descriptor = given
                original = nil
            }
        } else {
            mode = type == S_IFCHR && HostStream.canBePolled(raw) ? .polled : .alwaysReady
            descriptor = given
            original = nil
        }
    }

    /// Asks epoll itself: poll(2) calls a file without the operation ready.
    private static func canBePolled(_ raw: Int32) -> Bool {
        guard let epoll = try? checked(clinux_epoll_create(), "epoll_create1") else { return false }
        let probe = OwnedDescriptor(owning: Int32(epoll))
        return clinux_epoll_ctl(probe.rawValue, EPOLL_CTL_ADD, raw, 0, 0) >= 0
    }

    /// Throws EAGAIN unless the descriptor is ready (or broken: then the call itself says how).
    private func waitless(_ events: Int32) throws(SystemError) {
        var returned: Int16 = 0
        try checked(unsafe clinux_poll(rawValue, Int16(events), 0, &returned), "poll")
        if returned == 0 { throw SystemError(.wouldBlock, "poll") }
        if events == POLLOUT && Int32(returned) & POLLERR != 0 { throw SystemError(.brokenPipe, "poll") }
    }

    /// Up to `limit` bytes; empty at the end of the file.
    /// - Throws: `EAGAIN` when there is nothing now.
    public func read(limit: Int) throws(SystemError) -> [UInt8] {
        if mode == .polled { try waitless(POLLIN) }
        let raw = rawValue
        let isSocket = mode == .socket
        var failure: SystemError?
        let result = unsafe [UInt8](unsafeUninitializedCapacity: limit) { buffer, initialized in
            // SAFETY: the kernel writes at most `buffer.count` bytes and says how many.
            do throws(SystemError) {
                initialized = try retried("read") {
                    isSocket ? unsafe clinux_recv(raw, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT)) : unsafe clinux_read(raw, buffer.baseAddress, buffer.count)
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
        return result
    }

    /// Writes some of `bytes` and returns how many.
    /// - Throws: `EAGAIN` when there is no room now; `EPIPE` when nobody will read.
    public func write(_ bytes: ArraySlice<UInt8>) throws(SystemError) -> Int {
        if mode == .polled { try waitless(POLLOUT) }
        let raw = rawValue
        let isSocket = mode == .socket
        let limit = mode == .polled ? HostStream.atomicPipeWrite : Int.max
        return try retried("write") {
            unsafe bytes.withUnsafeBytes { buffer in
                let count = min(buffer.count, limit)
                return isSocket
                    ? unsafe clinux_send(raw, buffer.baseAddress, count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
                    : unsafe clinux_write(raw, buffer.baseAddress, count)
            }
        }
    }

    /// How many bytes writev(2) on the descriptor may be given now without blocking; 0 where only `write` can do it.
    /// - Throws: `EAGAIN` when there is no room now; `EPIPE` when nobody will read.
    public func directWriteLimit() throws(SystemError) -> Int {
        switch mode {
        case .nonBlocking, .alwaysReady: return .max
        case .socket: return 0
        case .polled:
            try waitless(POLLOUT)
            return HostStream.atomicPipeWrite
        }
    }
}

/// Makes writing to a pipe without readers an error (EPIPE) instead of the process's death.
public func ignoreBrokenPipeSignal() throws(SystemError) { try checked(clinux_ignore_signal(SIGPIPE), "signal") }

/// `count` bytes from the kernel's random number generator.
public func randomBytes(_ count: Int) throws(SystemError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
        let position = done
        done += try retried("getrandom") {
            unsafe bytes.withUnsafeMutableBytes { buffer in
                // SAFETY: `position` is below `count`, the buffer's size.
                guard let base = buffer.baseAddress else { return 0 }
                return unsafe clinux_getrandom(base + position, count - position)
            }
        }
    }
    return bytes
}

/// Names the calling thread, for comparison.
public struct ThreadIdentity: Equatable, Sendable {
    private let value: UInt
    private init(_ value: UInt) { self.value = value }
    public static var current: ThreadIdentity { ThreadIdentity(clinux_current_thread()) }
}

extension Errno {
    /// ENXIO: what opening a pipe without readers for non-blocking writing says.
    public static let noReader = Errno(rawValue: ENXIO)
}
