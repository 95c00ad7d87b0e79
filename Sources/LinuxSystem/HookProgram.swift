internal import Glibc

/// A program that is run to its end with something to read: a hook (config.md, "POSIX-platform Hooks").
public struct HookProgram {
    /// Why it did not succeed, with what it wrote; nil when it did.
    public private(set) var failure: String?
    /// The last of what it wrote to either output, which is where programs say why they fail.
    public private(set) var output = ""

    /// Runs it with `input` on standard input.
    /// - Parameters:
    ///   - arguments: with `execv`'s meaning: the first is the name by which some programs choose what to do. Docker's daemon does, as its own hook.
    ///   - timeout: seconds, after which it is killed; nil waits for ever.
    public init(running path: String, arguments: [String], environment: [String], input: [UInt8], timeout: Int?) {
        do throws(SystemError) {
            let state = try MemoryFile.make("hook-state", input)
            // A file and not a pipe: it takes what is written whether or not somebody reads.
            let written = try MemoryFile.make("hook-output", [])
            defer { output = Self.end(of: written) }
            let pid = try ProgramStart.start(
                path, name: arguments.first, arguments: Array(arguments.dropFirst()), environment: environment, descriptors: [state, written, written],
                newSession: false)
            switch try Self.wait(pid, timeout) {
            case .exited(0): break
            case .exited(let code): failure = "exit status \(code)"
            case .signaled(let signal): failure = "was killed by signal \(signal)"
            }
        } catch { failure = "\(error)" }
        if let why = failure, !output.isEmpty { failure = "\(why): \(output)" }
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

    private static func end(of output: SharedDescriptor) -> String {
        let limit: Int64 = 1000
        let bytes = try? output.with { (file: borrowing OwnedDescriptor) throws(SystemError) -> [UInt8] in
            let length = try file.seek(to: 0, whence: SEEK_END)
            _ = try file.seek(to: max(0, length - limit), whence: SEEK_SET)
            return try file.readAll(limit: Int(limit))
        }
        return String(decoding: bytes ?? [], as: UTF8.self).split(whereSeparator: \.isNewline).joined(separator: "\n")
    }
}
