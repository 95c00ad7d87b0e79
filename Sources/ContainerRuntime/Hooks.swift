internal import CLinux
internal import Glibc
internal import JSONText
internal import LinuxSystem
internal import OCISpec

/// Runs hooks on the host: state on standard input, one after the other (runtime.md, "Lifecycle"; config.md, "POSIX-platform Hooks").
struct Hooks {
    let spec: HooksSpec
    let log: RuntimeLog

    /// - Throws: when a hook fails, which ends the operation. Names the list and the hook.
    func run(_ hooks: [HookSpec], _ list: String, state: StateSpec) throws(RuntimeError) {
        for index in hooks.indices { try run(hooks, index, list, state: state) }
    }

    private func run(_ hooks: [HookSpec], _ index: Int, _ list: String, state: StateSpec) throws(RuntimeError) {
        let hook = hooks[index]
        var said = ""
        do throws(SystemError) {
            // A file and not a pipe: it takes what is written whether or not somebody reads.
            let output = try MemoryFile.make("hook-output", [])
            defer { said = Self.end(of: output) }
            switch try run(hook, state: state.json.bytes(), output: output) {
            case .exited(0): break
            case .exited(let code): throw SystemError(Errno(rawValue: 0), "exit status \(code)")
            case .signaled(let signal): throw SystemError(Errno(rawValue: 0), "was killed by signal \(signal)")
            }
        } catch {
            let why = error.errno.rawValue == 0 ? error.operation : "\(error)"
            throw RuntimeError("error running \(list) hook #\(index): \(hook.path): \(why)" + (said.isEmpty ? "" : ": \(said)"))
        }
        if !said.isEmpty { log.debug("\(list) hook #\(index): \(hook.path): \(said)") }
    }

    /// The last of what a hook wrote, which is where programs say why they fail.
    private static func end(of output: SharedDescriptor) -> String {
        let limit: Int64 = 1000
        let bytes = try? output.with { (file: borrowing OwnedDescriptor) throws(SystemError) -> [UInt8] in
            let length = try file.seek(to: 0, whence: SEEK_END)
            _ = try file.seek(to: max(0, length - limit), whence: SEEK_SET)
            return try file.readAll(limit: Int(limit))
        }
        return String(decoding: bytes ?? [], as: UTF8.self).split(whereSeparator: \.isNewline).joined(separator: "\n")
    }

    /// Runs the `poststop` hooks. Failures are only logged: nothing is left that could be undone (runtime.md, "Lifecycle", 13).
    func runPoststop(state: StateSpec) {
        for index in spec.poststop.indices {
            do throws(RuntimeError) { try run(spec.poststop, index, "poststop", state: state) } catch { log.warning(error.message) }
        }
    }

    private func run(_ hook: HookSpec, state: [UInt8], output: SharedDescriptor) throws(SystemError) -> ExitStatus {
        let input = try MemoryFile.make("hook-state", state)
        // `args` has execv's meaning: its first is the name, by which some programs choose what to do. Docker's daemon does, as its own hook.
        let pid = try ProgramStart.start(
            hook.path, name: hook.args.first, arguments: Array(hook.args.dropFirst()), environment: hook.env, descriptors: [input, output, output],
            newSession: false)
        guard let timeout = hook.timeout else { return try waitForProcess(pid)?.status ?? .exited(0) }
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
