internal import Glibc
internal import JSONText
internal import LinuxSystem
internal import OCISpec

/// What `exec` is asked for.
public struct ExecOptions: Sendable {
    public var terminal = false
    public var interactive = false
    public var detaches = false
    public var environment: [String] = []
    public var workingDirectory: String?
    public var user: String?
    public var isPrivileged = false
    public var command: [String] = []
    public init() {}
}

extension Engine {
    /// Runs another process in a container that runs.
    /// - Returns: its exit status; 0 at once for one that detaches.
    public func exec(_ folder: ContainerFolder, _ options: ExecOptions) throws(EngineError) -> Int32 {
        let view = view(folder)
        guard view.isRunning else { throw EngineError("container \(view.record.name) does not run: start it first (nacelle start \(view.record.name))") }
        if view.status == .paused { throw EngineError("container \(view.record.name) is paused: let it go on first (nacelle unpause \(view.record.name))") }
        let runtime = try runtime(of: view.record)
        let process = try process(view, options)
        let logPath = "\(folder.path)/exec-\(getpid()).log"
        defer { if let directory = try? folder.open(), let name = try? EntryName("exec-\(getpid()).log") { try? directory.removeFile(name) } }
        let status: ExitStatus
        do throws(SystemError) {
            let description = try MemoryFile.make("process", process.json.bytes())
            let arguments = ["exec", "--process", "/proc/self/fd/3"] + (options.terminal ? ["--tty"] : []) + (options.detaches ? ["--detach"] : []) + [folder.id]
            func own(_ number: Int32) throws(SystemError) -> SharedDescriptor { SharedDescriptor(try OwnedDescriptor(duplicating: number)) }
            let input = options.interactive && !options.detaches ? try own(0) : nil
            let output = options.detaches ? nil : try own(1)
            // The terminal sends its signals to the runtime as well, which passes them on; this process is to tell the status afterwards.
            try blockSignals([SIGINT, SIGQUIT])
            status = try runtime.wait(runtime.start(arguments, descriptors: [input, output, options.detaches ? nil : try own(2), description], log: logPath))
        } catch { throw EngineError("cannot run \(runtime.path)", error) }
        // What failed before there was a process is in the log.
        if status != .exited(0), let text = try? readFile(logPath, limit: 1 << 20) {
            let message = OCIRuntime.lastMessage(String(decoding: text, as: UTF8.self))
            if !message.isEmpty && status.shellCode == 255 { throw EngineError("", exitStatus: OCIRuntime.failure(message, path: runtime.path).exitStatus) }
            if !message.isEmpty && options.detaches { throw OCIRuntime.failure(message, path: runtime.path) }
        }
        return status.shellCode
    }

    private func process(_ view: ContainerView, _ options: ExecOptions) throws(EngineError) -> ProcessSpec {
        let spec = try view.folder.configuration()
        guard var process = spec.process else { throw EngineError("container \(view.record.name) is damaged: its config.json has no process") }
        guard let program = options.command.first, !program.isEmpty else { throw EngineError("no command: name the program to run after the container") }
        (process.args, process.terminal, process.consoleSize) = (options.command, options.terminal, nil)
        var names = process.env.map { String($0.prefix { $0 != "=" }) }
        for entry in options.environment + (options.terminal && !names.contains("TERM") ? ["TERM=xterm"] : []) {
            let name = String(entry.prefix { $0 != "=" })
            if let index = names.firstIndex(of: name) { process.env[index] = entry } else {
                process.env.append(entry)
                names.append(name)
            }
        }
        if let folder = options.workingDirectory {
            guard folder.hasPrefix("/") else { throw EngineError("--workdir \(quoted(folder)): is not absolute") }
            process.cwd = cleanPath(folder)
        }
        if let user = options.user {
            let root = try openRoot(view.folder, view.record, isReadOnly: true)
            let directory = try doing("cannot look up user \(quoted(user))") { () throws(SystemError) in try root.duplicate() }
            process.user = try UserLookup(root: directory).identity(user).user
        }
        if options.isPrivileged {
            let all = Capability.all.map(\.name)
            var sets = CapabilitySets()
            (sets.bounding, sets.effective, sets.permitted) = (all, all, all)
            process.capabilities = sets
        }
        return process
    }
}
