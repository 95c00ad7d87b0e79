internal import AgentProtocol
internal import LinuxSystem
internal import OCISpec

/// The hooks that run in the container's namespaces (runtime.md, "Lifecycle"); the others are the runtime's to run.
enum Hooks {
    /// While the outside's files can still be reached: their paths are the runtime's.
    static func createContainer(_ process: InitProcess) throws(SetupError) {
        try run(process.spec.hooks?.createContainer ?? [], "createContainer", state: process.createState)
    }

    /// As the container's process and in its root, where their paths lead.
    static func startContainer(_ process: InitProcess) throws(SetupError) {
        try run(process.spec.hooks?.startContainer ?? [], "startContainer", state: process.startState)
    }

    private static func run(_ hooks: [HookSpec], _ list: String, state: [UInt8]) throws(SetupError) {
        for (index, hook) in hooks.enumerated() {
            let program = HookProgram(running: hook.path, arguments: hook.args, environment: hook.env, input: state, timeout: hook.timeout)
            if let why = program.failure { throw SetupError("error running \(list) hook #\(index): \(hook.path): \(why)") }
        }
    }
}
