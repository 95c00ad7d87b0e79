internal import ContainerRuntime
internal import Glibc
internal import JSONText
public import LinuxSystem
internal import OCISpec

/// Holds one container while it runs: its streams, its log, who is attached, and its end. A process of its own (a hidden verb of `nacelle`) in a session of its own,
/// so that a container outlives the command that started it.
public final class Supervisor {
    private let folder: ContainerFolder
    private let engine: Engine
    private let record: ContainerRecord
    private let runtime: OCIRuntime
    private let loop: EventLoop
    private let clients: AttachServer
    private let log: LogFile
    private var state = ContainerState()

    private var input: Outlet?
    private var outputs: [Inlet] = []
    /// The container's terminal.
    private var terminal: SharedDescriptor?
    private var ended: ExitStatus?
    /// Held as long as the container runs.
    private var lock: SharedDescriptor?
    /// Output that was not logged, and why.
    private var logFailure: SystemError?

    private let complain: (String) -> Void

    /// - Parameter complain: takes what concerns nobody who waits.
    public init(_ engine: Engine, id: String, complain: @escaping (String) -> Void) throws(EngineError) {
        (self.engine, self.complain) = (engine, complain)
        folder = engine.store.folder(id)
        record = try folder.record()
        guard record.id == id else { throw EngineError("container \(id.prefix(12)) is not complete: `nacelle rm -f \(id.prefix(12))` removes it") }
        runtime = try engine.runtime(of: record)
        do throws(SystemError) {
            loop = try EventLoop()
            log = try LogFile(folder.logPath, record.log)
        } catch { throw EngineError("cannot supervise container \(id.prefix(12))", error) }
        clients = AttachServer(loop)
    }

    /// Runs the container to its end.
    /// - Parameters:
    ///   - attached: a connection that gets all output from the first byte on.
    ///   - report: called once: nil when the program runs, or why it does not.
    public func run(attached: SharedDescriptor?, report: (EngineError?) -> Void) throws(EngineError) {
        try doing("cannot supervise container \(record.name)") { () throws(SystemError) in
            try ignoreBrokenPipeSignal()
            if let attached { try clients.add(attached, wantsOutput: true) }
        }
        lock = try folder.lockSupervisor()
        guard lock != nil else {
            let error = EngineError("container \(record.name) runs already")
            report(error)
            return try doing("cannot tell") { () throws(SystemError) in try clients.end(error.exitStatus, error.message) }
        }
        do throws(EngineError) {
            let pid = try begin()
            report(nil)
            note()
            try serve(pid)
        } catch {
            state.error = error.message
            if state.status == .starting { (state.exitCode, ended) = (error.exitStatus, nil) }
            try finish()
            report(error)
        }
    }

    /// Tells whoever was to be attached why there is nothing.
    public static func refuse(_ connection: SharedDescriptor, _ error: EngineError) {
        // One that is gone need not know.
        try? connection.with { (end) throws(SystemError) in try end.writeAll(AttachMessage.ended(error.exitStatus, error.message).bytes) }
    }

    // MARK: Beginning

    private func begin() throws(EngineError) -> Int32 {
        state = try folder.state()
        (state.status, state.pid, state.supervisor, state.exitCode, state.error, state.finished) = (.starting, 0, getpid(), 0, "", 0)
        try folder.save(state)
        // What a supervisor that was killed left of the last run.
        try runtime.delete(record.id)
        try doing("cannot start container \(record.name)") { () throws(SystemError) in try folder.setPaused(false) }
        var spec = try folder.configuration()
        let roots = engine.roots(of: record)
        if let images = try engine.rootImages(folder, record) {
            // Mounted here as well, two kernels would write to the directories of one overlay.
            try roots.unmount(record)
            try folder.replace(RootImages.fileName, images.json)
        } else {
            try doing("cannot start container \(record.name)") { () throws(SystemError) in try forget(RootImages.fileName) }
            spec.root?.path = try roots.mount(record)
        }
        try folder.replace("config.json", spec.json)
        do throws(SystemError) {
            // Whoever ends this process means the container.
            try blockSignals([SIGTERM, SIGINT, SIGHUP, SIGCHLD])
            try OwnProcess.setChildSubreaper(true)
            try clients.listen(in: folder)
        } catch { throw EngineError("cannot supervise container \(record.name)", error) }
        let pid = try create()
        state.pid = pid
        try folder.save(state)
        let outcome = try runtime.run(["start", record.id])
        guard outcome.status == .exited(0) else { throw OCIRuntime.failure(outcome.errors, path: runtime.path) }
        (state.status, state.started) = (.running, realtimeNanoseconds())
        try folder.save(state)
        return pid
    }

    /// Which isolation it got, for `ps`.
    private func note() {
        // It may have ended already, and then nobody knows.
        guard let isolation = try? runtime.isolation(record.id) else { return }
        state.isolation = isolation
        do throws(EngineError) { try folder.save(state) } catch { complain("\(error)") }
    }

    /// Has the runtime make the container, with our ends of its streams.
    private func create() throws(EngineError) -> Int32 {
        let arguments = ["create", "--bundle", folder.path, "--pid-file", folder.pidPath]
        do {
            try forget("runtime.log")
            try forget("pid")
            if record.terminal { try createOnTerminal(arguments) } else { try createOnPipes(arguments) }
            let text = String(decoding: try readFile(folder.pidPath, limit: 64), as: UTF8.self)
            guard let pid = Int32(text.filter { !$0.isWhitespace }), pid > 0 else { throw EngineError("\(runtime.path) wrote no pid but \(quoted(text))") }
            return pid
        } catch {
            throw error as? EngineError ?? EngineError("cannot make container \(record.name): \(error)")
        }
    }

    /// Removes a file of the last run.
    private func forget(_ name: String) throws(SystemError) { try Self.forget(try EntryName(name), in: folder.open()) }
    private static func forget(_ name: EntryName, in directory: borrowing OwnedDescriptor) throws(SystemError) {
        do throws(SystemError) { try directory.removeFile(name) } catch where error.errno == .noSuchFile {}
    }

    private func createOnPipes(_ arguments: [String]) throws {
        let (output, outputEnd) = try Pipe().split()
        let (errors, errorsEnd) = try Pipe().split()
        var inputEnd: SharedDescriptor?
        if record.interactive {
            let pipe = try Pipe().split()
            inputEnd = pipe.readEnd
            input = try Outlet(try pipe.writeEnd.duplicate(), loop, onClose: { [unowned self] in inputClosed() })
            input?.onRoom = { [unowned self] in clients.resumeInput() }
        }
        let status = try runtime.wait(runtime.start(arguments + [record.id], descriptors: [inputEnd, outputEnd, errorsEnd], log: folder.runtimeLogPath))
        outputs = [try inlet(output, .output), try inlet(errors, .errors)]
        guard status != .exited(0) else { return }
        // The runtime's words are on the container's standard error, and of a runtime that logs, in its log too.
        var words = [UInt8](repeating: 0, count: 65536)
        try errors.setNonBlocking(true)
        if case .bytes(let count) = errors.readSome(into: &words) { words.removeSubrange(count...) } else { words = [] }
        outputs = []
        throw failure(String(decoding: words, as: UTF8.self))
    }

    private func failure(_ words: String) -> EngineError {
        let logged = (try? readFile(folder.runtimeLogPath, limit: 1 << 20)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return OCIRuntime.failure(OCIRuntime.lastMessage(logged).isEmpty ? words : logged, path: runtime.path)
    }

    private func createOnTerminal(_ arguments: [String]) throws {
        // Short enough for a socket whatever the folders' names are; the random half of an id, so that no other has it.
        let path = "\(engine.store.folders.run)/\(record.id.prefix(16)).tty"
        let name = try EntryName("\(record.id.prefix(16)).tty")
        let directory = try OwnedDescriptor(opening: engine.store.folders.run, flags: O_PATH | O_DIRECTORY)
        try Self.forget(name, in: directory)
        let listener = try OwnedDescriptor.unixListener(path: path)
        let errors = try MemoryFile.make("errors", [])
        let status = try runtime.wait(
            runtime.start(arguments + ["--console-socket", path, record.id], descriptors: [nil, nil, errors], log: folder.runtimeLogPath))
        try directory.removeFile(name)
        guard status == .exited(0) else { throw failure(String(decoding: try readFile("/proc/self/fd/\(errors.rawValue)"), as: UTF8.self)) }
        try listener.setNonBlocking(true)
        let connection = try listener.accept()
        var buffer = [UInt8](repeating: 0, count: 4096)
        var descriptors: [SharedDescriptor] = []
        _ = try connection.receive(into: &buffer, descriptors: &descriptors)
        guard let master = descriptors.first else { throw EngineError("\(runtime.path) sent no terminal") }
        terminal = master
        input = try Outlet(try master.duplicate(), access: [.read, .write], loop)
        input?.onRoom = { [unowned self] in clients.resumeInput() }
        outputs = [try inlet(master, .output)]
    }

    private func inlet(_ end: SharedDescriptor, _ stream: LogLine.Stream) throws(SystemError) -> Inlet {
        try Inlet(try end.duplicate(), access: record.terminal ? [.read, .write] : .read, loop, onBytes: { [unowned self] in took($0, stream) }, onEnd: {})
    }

    // MARK: Running

    private func serve(_ pid: Int32) throws(EngineError) {
        clients.onMessage = { [unowned self] in obey($0) }
        clients.onRoom = { [unowned self] in goOn() }
        clients.takesInput = { [unowned self] in input?.isFull != true }
        do throws(SystemError) {
            let signals = try SignalDescriptor([SIGTERM, SIGINT, SIGHUP, SIGCHLD])
            try loop.add(signals.descriptor.rawValue, .readable) { [unowned self] _ in
                while let number = signals.next() {
                    if number == SIGCHLD { reap(pid) } else if number != SIGHUP { kill(record.stopSignal) }
                }
            }
            goOn()
            reap(pid)
            while ended == nil {
                try loop.runOnce()
                forgetClosed()
            }
            loop.remove(signals.descriptor.rawValue)
            try takeRest()
        } catch { throw EngineError("cannot supervise container \(record.name) any further", error) }
        try finish()
    }

    /// What the container had written when it ended, no more than its pipes hold; a process that got out of it with its streams is not waited for long.
    private func takeRest() throws(SystemError) {
        let deadline = monotonicNanoseconds() + 2_000_000_000
        while true {
            for output in outputs { output.drain() }
            guard outputs.contains(where: \.isOpen), monotonicNanoseconds() < deadline else { return }
            try loop.runOnce(timeout: 50)
            forgetClosed()
        }
    }

    private func reap(_ pid: Int32) {
        while let child = try? waitForProcess(-1, noHang: true) { if child.pid == pid { ended = child.status } }
    }

    private func took(_ bytes: [UInt8], _ stream: LogLine.Stream) {
        do throws(SystemError) { try log.write(bytes, stream) } catch {
            // A full disk must not stop the container: what is lost is told once.
            if logFailure == nil { logFailure = error }
        }
        clients.show(bytes) { stream == .output ? .output($0) : .errors($0) }
        if clients.isFull && ended == nil { for output in outputs { output.pause() } }
    }

    private func goOn() {
        guard !clients.isFull else { return }
        for output in outputs { if (try? output.resume()) == nil { output.close() } }
    }

    private func obey(_ message: AttachMessage) {
        switch message {
        case .input(let bytes): input?.write(bytes)
        case .inputEnd: if !record.terminal { input?.finish() }
        case .resize(let columns, let rows): try? terminal?.setWindowSize(columns: columns, rows: rows)
        case .signal(let number): kill(number)
        case .hello, .output, .errors, .ended: break
        }
    }

    /// The end of the pipe is the container's end of input.
    private func inputClosed() {
        closing = input
        input = nil
        clients.resumeInput()
    }
    /// Kept until its own handler has returned; only then is the pipe closed.
    private var closing: Outlet?

    private func forgetClosed() {
        closing = nil
        clients.forgetRemoved()
    }

    private func kill(_ number: Int32) {
        // It may have ended just now, which the loop will see.
        do throws(EngineError) { try runtime.kill(record.id, number) } catch { complain("signal \(number): \(error)") }
    }

    // MARK: The end

    private func finish() throws(EngineError) {
        let code = ended?.shellCode ?? state.exitCode
        var problems: [String] = state.error.isEmpty ? [] : [state.error]
        func attempt(_ body: () throws(EngineError) -> Void) { do throws(EngineError) { try body() } catch { problems.append(error.message) } }
        if let logFailure { problems.append("some output is not in the log: \(logFailure)") }
        attempt { () throws(EngineError) in try runtime.delete(record.id) }
        attempt { () throws(EngineError) in try engine.roots(of: record).unmount(record) }
        (state.status, state.pid, state.supervisor, state.exitCode, state.finished) = (.exited, 0, 0, code, realtimeNanoseconds())
        state.error = problems.joined(separator: "; ")
        // One that never ran and was to remove itself leaves nothing, as a `run` that fails must.
        attempt { () throws(EngineError) in try folder.save(state) }
        if record.removesItself { attempt { () throws(EngineError) in try engine.discard(folder, record) } }
        // From here on it can be started again; who is slow to take the rest of the output does not hinder that.
        lock = nil
        do throws(SystemError) { try clients.end(code, state.error) } catch { throw EngineError("cannot tell of the end of container \(record.name)", error) }
    }
}
