public import LinuxSystem

/// What went wrong, as the user reads it, and with which status the program ends.
public struct RuntimeError: Error, Equatable, Sendable, CustomStringConvertible {
    public var message: String
    /// runc's: 1, and 255 for `exec`.
    public var exitStatus: Int32

    public init(_ message: String, exitStatus: Int32 = 1) {
        self.message = message
        self.exitStatus = exitStatus
    }

    /// A system call that failed while doing `what`.
    public init(_ what: String, _ error: SystemError) { self.init("\(what): \(error)") }

    public var description: String { message }
}
