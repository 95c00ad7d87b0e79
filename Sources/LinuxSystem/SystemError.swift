internal import Glibc

/// An error number of the kernel, as in errno(3).
public struct Errno: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let notPermitted = Errno(rawValue: EPERM)
    public static let noSuchFile = Errno(rawValue: ENOENT)
    public static let noSuchProcess = Errno(rawValue: ESRCH)
    public static let interrupted = Errno(rawValue: EINTR)
    public static let ioError = Errno(rawValue: EIO)
    public static let badDescriptor = Errno(rawValue: EBADF)
    public static let wouldBlock = Errno(rawValue: EAGAIN)
    public static let noMemory = Errno(rawValue: ENOMEM)
    public static let permissionDenied = Errno(rawValue: EACCES)
    public static let busy = Errno(rawValue: EBUSY)
    public static let fileExists = Errno(rawValue: EEXIST)
    public static let notDirectory = Errno(rawValue: ENOTDIR)
    public static let isDirectory = Errno(rawValue: EISDIR)
    public static let invalidArgument = Errno(rawValue: EINVAL)
    public static let notTerminal = Errno(rawValue: ENOTTY)
    public static let fileTooLarge = Errno(rawValue: EFBIG)
    public static let noSpace = Errno(rawValue: ENOSPC)
    public static let readOnly = Errno(rawValue: EROFS)
    public static let brokenPipe = Errno(rawValue: EPIPE)
    public static let nameTooLong = Errno(rawValue: ENAMETOOLONG)
    public static let notImplemented = Errno(rawValue: ENOSYS)
    public static let notEmpty = Errno(rawValue: ENOTEMPTY)
    public static let symbolicLinkLoop = Errno(rawValue: ELOOP)
    public static let notSupported = Errno(rawValue: EOPNOTSUPP)
    public static let connectionReset = Errno(rawValue: ECONNRESET)
    public static let connectionRefused = Errno(rawValue: ECONNREFUSED)
    public static let timedOut = Errno(rawValue: ETIMEDOUT)
    public static let noChild = Errno(rawValue: ECHILD)
    public static let noSuchDevice = Errno(rawValue: ENODEV)
    public static let badFormat = Errno(rawValue: ENOEXEC)

    /// The C library's words for it, in lower case as runc prints them.
    public var description: String {
        guard let text = unsafe strerror(rawValue) else { return "errno \(rawValue)" }
        return unsafe String(cString: text).lowercased()
    }
}

/// A system call that failed: which one, on what, and why.
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    public let errno: Errno
    /// The system call or operation, in the field's own word ("openat", "KVM_CREATE_VM").
    public let operation: String
    /// The path or object that it was about, when there is one.
    public let path: String?

    public init(_ errno: Errno, _ operation: String, path: String? = nil) {
        self.errno = errno
        self.operation = operation
        self.path = path
    }

    public var description: String {
        path.map { "\(operation) \($0): \(errno)" } ?? "\(operation): \(errno)"
    }
}

/// Turns a shim's result (non-negative, or -errno) into a value or a thrown error.
@inlinable
@discardableResult
public func checked(_ result: Int, _ operation: @autoclosure () -> String, path: @autoclosure () -> String? = nil) throws(SystemError) -> Int {
    if result >= 0 { return result }
    throw SystemError(Errno(rawValue: Int32(truncatingIfNeeded: -result)), operation(), path: path())
}

/// Calls again while a signal interrupts: the one EINTR rule. Not for close(2), where Linux has closed already.
@inlinable
@discardableResult
public func retried(_ operation: @autoclosure () -> String, path: @autoclosure () -> String? = nil, _ body: () -> Int) throws(SystemError) -> Int {
    while true {
        let result = body()
        if result == -4 { continue }  // -EINTR
        return try checked(result, operation(), path: path())
    }
}
