import AgentProtocol
import ArgumentParser
import ContainerRuntime
import Glibc
import LinuxSystem
import OCISpec

struct Exec: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "exec", abstract: "Run another process in a container.")
    @ParentCommand var parent: NacelleOCI
    @Option(help: "Unix socket that gets the terminal's master end.") var consoleSocket: String?
    @Option(help: "Unix socket that gets a descriptor of the process that stands for it.") var pidfdSocket: String?
    @Option(help: "The process's working directory.") var cwd: String?
    @Option(name: [.short, .long], help: "NAME=VALUE; repeatable.") var env: [String] = []
    @Flag(name: [.short, .long], help: "Give it a terminal.") var tty = false
    @Option(name: [.short, .long], help: "UID or UID:GID.") var user: String?
    @Option(name: [.customShort("g"), .long], help: "Further group id; repeatable.") var additionalGids: [UInt32] = []
    @Option(name: [.short, .long], help: "A file with the specification's process object.") var process: String?
    @Flag(name: [.short, .long], help: "Do not wait.") var detach = false
    @Option(help: "File for the pid of the process that stands for it.") var pidFile: String?
    @Option(help: "SELinux label; refused for a machine and where the host has no SELinux.") var processLabel: String?
    @Option(help: "AppArmor profile; for a machine only the container's own.") var apparmor: String?
    @Flag(help: "It cannot gain privileges.") var noNewPrivs = false
    @Option(name: [.short, .long], help: "A capability to add; repeatable.") var cap: [String] = []
    @Option(help: "Pass so many further descriptors on, from 3: not possible into a machine.") var preserveFds = 0
    @Option(help: "An existing control group below the container's to run in; repeatable for cgroup v1, as controller[,controller]:path.") var cgroup: [String] = []
    @Flag(help: "Also in a paused container; not in a paused machine.") var ignorePaused = false
    @Argument(help: "The container's name.") var id: String
    @Argument(parsing: .captureForPassthrough, help: "The program and its arguments.") var command: [String] = []

    func run() throws {
        do {
            try execute()
        } catch let error as RuntimeError {
            // runc ends with 255 whatever the reason, so that no status of a process is mistaken for it.
            throw RuntimeError(error.message.hasPrefix("exec failed: ") ? error.message : "exec failed: " + error.message, exitStatus: 255)
        }
    }

    private func execute() throws {
        if preserveFds < 0 { throw RuntimeError("--preserve-fds: \(preserveFds) is no number of descriptors") }
        let container = try parent.container(id)
        let isolation = try container.record().isolation
        let process = try description(container)
        if isolation == .namespace { return try executeOnHost(container, process) }
        if preserveFds > 0 { throw RuntimeError("--preserve-fds: descriptors of the host cannot be passed into a machine") }
        if process.terminal && !detach { return try runOnTerminal(container, process) }
        if process.terminal || consoleSocket != nil {
            return try runDetachedTerminal(container, process)
        }
        let listener = try processListener()
        let connection = try connection(container, process, .inherited)
        if detach {
            let pid = try ExecHelper.start(connection, pidFile: pidFile.map(absolutePath))
            try listener?.tell(pid, Self.processKind)
        } else {
            try tellOwnPid(listener)
            throw ExitCode(try ExecWaiter(connection).wait().shellCode)
        }
    }

    /// runc's word for a further process.
    static let processKind = "setns"

    func processListener() throws(RuntimeError) -> ProcessListener? { try pidfdSocket.map { (path) throws(RuntimeError) in try ProcessListener(path) } }

    /// This process stands for the one in the machine.
    private func tellOwnPid(_ listener: ProcessListener?) throws(RuntimeError) {
        if let pidFile { try Container.write(pid: getpid(), to: absolutePath(pidFile)) }
        try listener?.tell(getpid(), Self.processKind)
    }

    private func connection(_ container: Container, _ process: ProcessSpec, _ streams: Container.Streams) throws(RuntimeError) -> ControlConnection {
        guard case .inMachine(let connection) = try container.exec(process, options(streams)) else { throw RuntimeError("the container has another isolation") }
        return connection
    }

    /// What the process gets beside its description.
    func options(_ streams: Container.Streams) throws(RuntimeError) -> ExecOptions {
        var result = ExecOptions(streams: streams)
        (result.preservedDescriptors, result.ignoresPause) = (preserveFds, ignorePaused)
        result.subgroups = try Self.subgroups(cgroup)
        return result
    }

    /// `--cgroup`: one path, or for cgroup v1 some of controller[,controller…]:path.
    static func subgroups(_ arguments: [String]) throws(RuntimeError) -> [String: String] {
        var paths: [String: String] = [:]
        for argument in arguments {
            guard let colon = argument.firstIndex(of: ":") else {
                guard arguments.count == 1 else { throw RuntimeError("invalid --cgroup argument: \(argument) (missing <controller>: prefix)") }
                return ["": argument]
            }
            for controller in argument[..<colon].split(separator: ",", omittingEmptySubsequences: false).map(String.init) {
                if controller.isEmpty { throw RuntimeError("invalid --cgroup argument: \(argument) (empty <controller> prefix)") }
                if paths[controller] != nil { throw RuntimeError("invalid --cgroup argument(s): controller \(controller) specified multiple times") }
                paths[controller] = String(argument[argument.index(after: colon)...])
            }
        }
        return paths
    }

    /// The process as flags, `--process` and the container's own process say.
    private func description(_ container: Container) throws(RuntimeError) -> ProcessSpec {
        if let process {
            let text: [UInt8]
            do throws(SystemError) { text = try readFile(absolutePath(process)) } catch { throw RuntimeError("cannot read the process file", error) }
            do throws(ConfigurationError) { return try ProcessSpec.parse(text).process } catch { throw RuntimeError("\(process): \(error.reason)") }
        }
        guard !command.isEmpty else { throw RuntimeError("process args cannot be empty") }
        var result = try container.baseProcess()
        result.args = command.first == "--" ? Array(command.dropFirst()) : command
        result.terminal = tty
        result.consoleSize = nil
        if let cwd { result.cwd = cwd }
        if let apparmor { result.apparmorProfile = apparmor }
        if let processLabel { result.selinuxLabel = processLabel }
        result.env += env
        if noNewPrivs { result.noNewPrivileges = true }
        if let user { try Self.apply(user, to: &result) }
        result.user.additionalGids += additionalGids
        if !cap.isEmpty {
            var sets = result.capabilities ?? CapabilitySets()
            for name in cap {
                for path in [\CapabilitySets.bounding, \.effective, \.permitted, \.ambient] where !sets[keyPath: path].contains(name) { sets[keyPath: path].append(name) }
            }
            result.capabilities = sets
        }
        return result
    }

    private static func apply(_ user: String, to process: inout ProcessSpec) throws(RuntimeError) {
        let parts = user.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, let uid = UInt32(parts[0]) else { throw RuntimeError("parsing \(user) as int for uid failed: UID or UID:GID is expected") }
        process.user.uid = uid
        if parts.count == 2 {
            guard let gid = UInt32(parts[1]) else { throw RuntimeError("parsing \(user) as int for gid failed: UID or UID:GID is expected") }
            process.user.gid = gid
        }
    }

    private func runOnTerminal(_ container: Container, _ process: ProcessSpec) throws {
        if consoleSocket != nil { throw RuntimeError("cannot use console socket if runc will not detach or allocate tty") }
        let listener = try processListener()
        let pair = try terminalPair(process, user: true)
        let master = SharedDescriptor(try pair.master.duplicate())
        let slave = SharedDescriptor(try pair.slave.duplicate())
        _ = consume pair
        let connection = try connection(container, process, .terminal(slave))
        try tellOwnPid(listener)
        let user = UserTerminal()
        defer { user.restore() }
        let loop = try EventLoop()
        let relay = try TerminalRelay(master, loop: loop) { columns, rows in
            _ = try? connection.send(Request.resize(process: Container.execProcess, size: TerminalSize(columns: columns, rows: rows)))
        }
        let status = try ExecWaiter(connection).wait(loop: loop)
        try relay.drain()
        user.restore()
        throw ExitCode(status.shellCode)
    }

    private func runDetachedTerminal(_ container: Container, _ process: ProcessSpec) throws {
        guard process.terminal else { throw RuntimeError("cannot use console socket if runc will not detach or allocate tty") }
        guard let consoleSocket else { throw RuntimeError("cannot allocate tty if runc will detach without setting console socket") }
        let listener = try processListener()
        let pair = try terminalPair(process)
        try pair.sendMaster(to: consoleSocket)
        let slave = SharedDescriptor(try pair.slave.duplicate())
        let connection = try connection(container, process, .terminal(slave))
        let pid = try ExecHelper.start(connection, terminal: slave, pidFile: pidFile.map(absolutePath))
        try listener?.tell(pid, Self.processKind)
    }
}
