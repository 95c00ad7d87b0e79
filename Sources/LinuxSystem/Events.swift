internal import CLinux
internal import Glibc

/// An eventfd(2): a counter that wakes whoever polls it. Also the form in which KVM takes and gives events.
public struct EventDescriptor: ~Copyable, Sendable {
    public let descriptor: OwnedDescriptor

    public init() throws(SystemError) {
        descriptor = OwnedDescriptor(owning: Int32(try checked(clinux_eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)), "eventfd")))
    }

    /// Adds one. Never blocks; a saturated counter is signalled already.
    public func signal() {
        var one: UInt64 = 1
        _ = unsafe clinux_write(descriptor.rawValue, &one, 8)
    }

    /// Takes the counter back to zero and returns what it held.
    @discardableResult
    public func drain() -> UInt64 {
        var value: UInt64 = 0
        let result = unsafe clinux_read(descriptor.rawValue, &value, 8)
        return result == 8 ? value : 0
    }
}

/// What a descriptor is ready for: the bits of epoll(7).
public struct Readiness: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// EPOLLIN
    public static let readable = Readiness(rawValue: 0x1)
    /// EPOLLPRI: a file of cgroupfs that has changed.
    public static let urgent = Readiness(rawValue: 0x2)
    /// EPOLLOUT
    public static let writable = Readiness(rawValue: 0x4)
    /// EPOLLERR, always reported
    public static let error = Readiness(rawValue: 0x8)
    /// EPOLLHUP, always reported
    public static let hangup = Readiness(rawValue: 0x10)
    /// EPOLLRDHUP
    public static let peerClosed = Readiness(rawValue: 0x2000)
    /// EPOLLET
    public static let edgeTriggered = Readiness(rawValue: 1 << 31)
}

/// A single-threaded epoll(7) loop: descriptors and what to do when they are ready.
///
/// Handlers run on the thread that calls `run()`; registration is allowed only there or before it runs.
/// A descriptor must be removed before it is closed.
public final class EventLoop: @unchecked Sendable {
    public typealias Handler = (Readiness) -> Void
    private let epoll: OwnedDescriptor
    private var handlers: [UInt64: Handler] = [:]
    private var tokens: [Int32: UInt64] = [:]
    private var nextToken: UInt64 = 1
    private var stopped = false

    public init() throws(SystemError) {
        epoll = OwnedDescriptor(owning: Int32(try checked(clinux_epoll_create(), "epoll_create1")))
    }

    /// Watches a descriptor, level-triggered unless `.edgeTriggered` is asked for.
    /// - Throws: `EPERM` for a file that is always ready (a regular file).
    public func add(_ descriptor: Int32, _ interest: Readiness, handler: @escaping Handler) throws(SystemError) {
        let token = nextToken
        try checked(clinux_epoll_ctl(epoll.rawValue, EPOLL_CTL_ADD, descriptor, interest.rawValue, token), "epoll_ctl")
        nextToken &+= 1
        handlers[token] = handler
        tokens[descriptor] = token
    }

    /// Changes what to wait for. An empty set still reports errors and hang-ups.
    public func modify(_ descriptor: Int32, _ interest: Readiness) throws(SystemError) {
        guard let token = tokens[descriptor] else { throw SystemError(.noSuchFile, "epoll_ctl") }
        try checked(clinux_epoll_ctl(epoll.rawValue, EPOLL_CTL_MOD, descriptor, interest.rawValue, token), "epoll_ctl")
    }

    /// Stops watching. Events of this descriptor that are already in hand are dropped.
    public func remove(_ descriptor: Int32) {
        guard let token = tokens.removeValue(forKey: descriptor) else { return }
        handlers[token] = nil
        _ = clinux_epoll_ctl(epoll.rawValue, EPOLL_CTL_DEL, descriptor, 0, 0)
    }

    /// Makes `run()` return after the handler that is running.
    public func stop() { stopped = true }

    /// Waits once, at most `timeout` milliseconds (-1: for ever), and runs what is ready. Returns how many handlers ran.
    @discardableResult
    public func runOnce(timeout: Int32 = -1) throws(SystemError) -> Int {
        var readyTokens = [UInt64](repeating: 0, count: 64)
        var readyEvents = [UInt32](repeating: 0, count: 64)
        let result = unsafe clinux_epoll_wait(epoll.rawValue, &readyTokens, &readyEvents, 64, timeout)
        if result == -Int(EINTR) { return 0 }
        let count = try checked(result, "epoll_wait")
        var ran = 0
        for index in 0..<count {
            // Without one: an earlier handler has removed it.
            guard let handler = handlers[readyTokens[index]] else { continue }
            handler(Readiness(rawValue: readyEvents[index]))
            ran += 1
        }
        return ran
    }

    /// Runs until `stop()`.
    public func run() throws(SystemError) {
        while !stopped { try runOnce() }
    }
}

/// A timer that a loop can watch (timerfd(2), CLOCK_MONOTONIC).
public struct TimerDescriptor: ~Copyable, Sendable {
    public let descriptor: OwnedDescriptor

    public init() throws(SystemError) {
        descriptor = OwnedDescriptor(owning: Int32(try checked(clinux_timerfd_create(), "timerfd_create")))
    }

    /// Fires once after so many nanoseconds (0 disarms), then every `interval` nanoseconds if that is not 0.
    public func set(nanoseconds: Int64, interval: Int64 = 0) throws(SystemError) {
        try checked(clinux_timerfd_set(descriptor.rawValue, nanoseconds, interval), "timerfd_settime")
    }

    public func drain() {
        var value: UInt64 = 0
        _ = unsafe clinux_read(descriptor.rawValue, &value, 8)
    }
}

/// Signals as readable events (signalfd(2)). The signals must be blocked in every thread: `blockSignals` before threads start.
public struct SignalDescriptor: ~Copyable, Sendable {
    public let descriptor: OwnedDescriptor

    public init(_ signals: [Int32]) throws(SystemError) {
        descriptor = OwnedDescriptor(owning: Int32(try checked(unsafe clinux_signalfd(signals, Int32(signals.count)), "signalfd")))
    }

    /// The next pending signal's number, or nil.
    public func next() -> Int32? {
        var info = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        let result = unsafe clinux_read(descriptor.rawValue, &info, size)
        return result == size ? Int32(bitPattern: info.ssi_signo) : nil
    }
}

/// Blocks signals in the calling thread and in those that it starts later.
public func blockSignals(_ signals: [Int32]) throws(SystemError) {
    try checked(unsafe clinux_block_signals(signals, Int32(signals.count), 1), "pthread_sigmask")
}

/// Nanoseconds of CLOCK_MONOTONIC.
public func monotonicNanoseconds() -> Int64 { clinux_monotonic_nanoseconds() }
/// Nanoseconds since 1970 of CLOCK_REALTIME.
public func realtimeNanoseconds() -> Int64 { clinux_realtime_nanoseconds() }
