internal import CLinux
internal import Glibc

/// How a process ended.
public enum ExitStatus: Hashable, Sendable {
    /// exit(3) with this code, 0 to 255.
    case exited(UInt8)
    /// Killed by this signal.
    case signaled(Int32)

    /// From a raw wait status of waitpid(2).
    public init(waitStatus: Int32) {
        let signal = clinux_status_signal(waitStatus)
        self = signal != 0 ? .signaled(signal) : .exited(UInt8(truncatingIfNeeded: clinux_status_code(waitStatus)))
    }

    /// The shell's number for it: the code, or 128 plus the signal.
    public var shellCode: Int32 {
        switch self {
        case .exited(let code): Int32(code)
        case .signaled(let signal): 128 + signal
        }
    }
}

/// Waits for one child (or any, with -1). nil when `noHang` and none has ended, or there is no child.
public func waitForProcess(_ pid: Int32, noHang: Bool = false) throws(SystemError) -> (pid: Int32, status: ExitStatus)? {
    var status: Int32 = 0
    let result: Int
    do throws(SystemError) {
        result = try retried("waitpid") { unsafe clinux_waitpid(pid, &status, noHang ? WNOHANG : 0) }
    } catch where error.errno == .noChild { return nil }
    return result == 0 ? nil : (Int32(result), ExitStatus(waitStatus: status))
}

/// A process named by a descriptor, which cannot come to mean another one (pidfd_open(2)).
public struct ProcessDescriptor: ~Copyable, Sendable {
    public let descriptor: OwnedDescriptor
    public init(_ pid: Int32) throws(SystemError) {
        descriptor = OwnedDescriptor(owning: Int32(try checked(clinux_pidfd_open(pid), "pidfd_open", path: "\(pid)")))
    }
    public func signal(_ number: Int32) throws(SystemError) {
        try checked(clinux_pidfd_send_signal(descriptor.rawValue, number), "pidfd_send_signal")
    }
}

extension OwnedDescriptor {
    /// A copy of a descriptor of the process that this pidfd names, close-on-exec (pidfd_getfd(2)).
    public func copyDescriptor(_ number: Int32) throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(owning: Int32(try checked(clinux_pidfd_getfd(rawValue, number), "pidfd_getfd")))
    }
}

/// Ends this process as `status` says: a signal death stays a signal death, without a core file.
public func exitProcess(as status: ExitStatus) -> Never {
    switch status {
    case .exited(let code):
        exit(Int32(code))
    case .signaled(let signal):
        _ = clinux_setrlimit(Int32(RLIMIT_CORE.rawValue), 0, 0)
        _ = clinux_default_signal(signal)
        _ = clinux_unblock_all_signals()
        // To this thread: one that another thread gets may come after this one's exit.
        _ = raise(signal)
        // A signal that cannot kill (it was ignored by default) still must end the process.
        exit(128 + signal)
    }
}

/// The fields of /proc/PID/stat (proc(5)) from the third on: state, parent's pid, and so forth; nil when there is no such process.
public func processFields(_ pid: Int32) -> [ArraySlice<UInt8>]? {
    // The second field, the name in parentheses, may hold anything; fields count from the last parenthesis.
    guard let text = try? readFile("/proc/\(pid)/stat", limit: 4096), let end = text.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    return text[(end + 1)...].split(separator: UInt8(ascii: " "))
}
