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
        do throws(SystemError) {
            switch try run(hook, state: state.json.bytes()) {
            case .exited(0): return
            case .exited(let code): throw SystemError(Errno(rawValue: 0), "exit status \(code)")
            case .signaled(let signal): throw SystemError(Errno(rawValue: 0), "was killed by signal \(signal)")
            }
        } catch {
            let why = error.errno.rawValue == 0 ? error.operation : "\(error)"
            throw RuntimeError("error running \(list) hook #\(index): \(hook.path): \(why)")
        }
    }

    /// Runs the `poststop` hooks. Failures are only logged: nothing is left that could be undone (runtime.md, "Lifecycle", 13).
    func runPoststop(state: StateSpec) {
        for index in spec.poststop.indices {
            do throws(RuntimeError) { try run(spec.poststop, index, "poststop", state: state) } catch { log.warning(error.message) }
        }
    }

    private func run(_ hook: HookSpec, state: [UInt8]) throws(SystemError) -> ExitStatus {
        let input = try MemoryFile.make("hook-state", state)
        let output = SharedDescriptor(try OwnedDescriptor(duplicating: 2))
        let arguments = hook.args.isEmpty ? [] : Array(hook.args.dropFirst())
        let pid = try ProgramStart.start(hook.path, arguments: arguments, environment: hook.env, descriptors: [input, output, output], newSession: false)
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
