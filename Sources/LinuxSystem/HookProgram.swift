internal import Glibc

/// A program that is run to its end with something to read: a hook (config.md, "POSIX-platform Hooks").
public enum HookProgram {
    /// Runs it with `input` on standard input and this process's standard error as both outputs.
    /// - Parameters:
    ///   - arguments: without the program's own name.
    ///   - timeout: seconds, after which it is killed; nil waits for ever.
    /// - Returns: nil when it succeeded, else why it did not.
    public static func run(_ path: String, arguments: [String], environment: [String], input: [UInt8], timeout: Int?) -> String? {
        do throws(SystemError) {
            let state = try MemoryFile.make("hook-state", input)
            let output = SharedDescriptor(try OwnedDescriptor(duplicating: 2))
            let pid = try ProgramStart.start(
                path, arguments: arguments, environment: environment, descriptors: [state, output, output], newSession: false)
            switch try wait(pid, timeout) {
            case .exited(0): return nil
            case .exited(let code): return "exit status \(code)"
            case .signaled(let signal): return "was killed by signal \(signal)"
            }
        } catch { return "\(error)" }
    }

    private static func wait(_ pid: Int32, _ timeout: Int?) throws(SystemError) -> ExitStatus {
        guard let timeout else { return try waitForProcess(pid)?.status ?? .exited(0) }
        let process = try ProcessDescriptor(pid)
        let longest = Int(Int32.max) - 1
        let (milliseconds, overflow) = timeout.multipliedReportingOverflow(by: 1000)
        if try !waitReadable(process.descriptor.rawValue, milliseconds: Int32(overflow ? longest : min(milliseconds, longest))) {
            try process.signal(SIGKILL)
            _ = try waitForProcess(pid)
            throw SystemError(.timedOut, "hook ran longer than \(timeout) s")
        }
        return try waitForProcess(pid)?.status ?? .exited(0)
    }
}
