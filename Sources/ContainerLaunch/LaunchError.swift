internal import LinuxSystem

/// Why a container or a process could not be made. `message` is final: what the user reads, worded as runc words it.
public struct LaunchError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Code: UInt16, Sendable {
        /// Anything without a code of its own.
        case other = 1
        /// The executable does not exist; engines make exit status 127 of it.
        case executableNotFound
        /// The executable exists and cannot be executed (126).
        case permissionDenied
        /// The container is not in a state that allows it.
        case invalidState
        /// The container's process has ended.
        case noSuchProcess
        /// The plan asks for something that is not supported here.
        case unsupported
    }
    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// A system call of the launching side that failed while doing `what`.
    init(_ what: String, _ error: SystemError) {
        self.init(.other, "\(what): \(error)")
    }

    public var description: String { message }
}
