internal import AgentProtocol
internal import LinuxSystem

/// Why a step failed; what the user reads.
struct SetupError: Error, Sendable {
    var code: Failure.Code
    var message: String

    init(_ code: Failure.Code, _ message: String) {
        self.code = code
        self.message = message
    }

    init(_ message: String) { self.init(.other, message) }

    init(_ what: String, _ error: SystemError) { self.init(.other, "\(what): \(error)") }
}

/// Runs system calls, naming what they were for when one fails.
func doing<R: ~Copyable>(_ what: @autoclosure () -> String, _ body: () throws(SystemError) -> R) throws(SetupError) -> R {
    do throws(SystemError) {
        return try body()
    } catch { throw SetupError(what(), error) }
}
