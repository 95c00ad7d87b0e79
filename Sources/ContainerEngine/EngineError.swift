public import LinuxSystem

/// What went wrong, as the user reads it, and with which status the program ends.
public struct EngineError: Error, Equatable, Sendable, CustomStringConvertible {
    public var message: String
    /// Docker's and podman's: 125 of the engine's own, 126 for a program that cannot be run, 127 for one that is not there.
    public var exitStatus: Int32

    public init(_ message: String, exitStatus: Int32 = Self.ownFailure) {
        self.message = message
        self.exitStatus = exitStatus
    }

    /// A system call that failed while doing `what`.
    public init(_ what: String, _ error: SystemError) { self.init("\(what): \(error)") }

    public static let ownFailure: Int32 = 125
    public static let cannotRun: Int32 = 126
    public static let notFound: Int32 = 127

    public var description: String { message }
}

/// A system call that fails while doing `what` is an engine's error.
func doing<Result: ~Copyable>(_ what: @autoclosure () -> String, _ body: () throws(SystemError) -> Result) throws(EngineError) -> Result {
    do throws(SystemError) { return try body() } catch { throw EngineError(what(), error) }
}
