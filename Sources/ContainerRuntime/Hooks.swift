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
        let program = HookProgram(running: hook.path, arguments: hook.args, environment: hook.env, input: state.json.bytes(), timeout: hook.timeout)
        if let why = program.failure { throw RuntimeError("error running \(list) hook #\(index): \(hook.path): \(why)") }
        if !program.output.isEmpty { log.debug("\(list) hook #\(index): \(hook.path): \(program.output)") }
    }

    /// Runs the `poststop` hooks. Failures are only logged: nothing is left that could be undone (runtime.md, "Lifecycle", 13).
    func runPoststop(state: StateSpec) {
        for index in spec.poststop.indices {
            do throws(RuntimeError) { try run(spec.poststop, index, "poststop", state: state) } catch { log.warning(error.message) }
        }
    }
}
