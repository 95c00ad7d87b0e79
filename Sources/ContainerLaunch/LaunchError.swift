public import AgentProtocol
internal import LinuxSystem

/// Why a container or a process could not be made. `message` is final: what the user reads, worded as runc words it.
public struct LaunchError: Error, Equatable, Sendable, CustomStringConvertible {
    public typealias Code = Failure.Code
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
