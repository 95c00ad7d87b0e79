internal import ContainerRuntime
internal import Glibc
internal import JSONText
internal import LinuxSystem
internal import OCISpec

/// What is known of a container, all at once.
public struct ContainerView: Sendable {
    public enum Status: String, CaseIterable, Sendable {
        case created, starting, running, paused, exited
        /// It runs, and its supervisor does not: its output goes nowhere, and nobody waits for it.
        case unsupervised
        /// Its files cannot be read.
        case damaged
    }
    public var folder: ContainerFolder
    public var record: ContainerRecord
    public var state: ContainerState
    public var status: Status
    /// Why it is damaged.
    public var problem = ""

    /// The one it has or had, or what was asked for.
    public var isolation: String { state.isolation.isEmpty ? record.isolation ?? "" : state.isolation }

    public var isRunning: Bool { status == .running || status == .paused || status == .starting || status == .unsupervised }
}

extension Engine {
    /// A container's state as it is: what a supervisor that was killed did not write down is found out.
    public func view(_ folder: ContainerFolder) -> ContainerView {
        var view = ContainerView(folder: folder, record: ContainerRecord(), state: ContainerState(), status: .damaged)
        do throws(EngineError) {
            view.record = try folder.record()
            guard view.record.id == folder.id else {
                view.record.id = folder.id
                view.problem = "it was not made whole, or not removed whole"
                return view
            }
            view.state = try folder.state()
            view.status = try status(folder, view.record, &view.state)
        } catch {
            view.record.id = folder.id
            view.problem = error.message
        }
        return view
    }

    private func status(_ folder: ContainerFolder, _ record: ContainerRecord, _ state: inout ContainerState) throws(EngineError) -> ContainerView.Status {
        switch state.status {
        case .created: return .created
        case .exited: return .exited
        case .starting, .running:
            if folder.hasSupervisor { return state.status == .starting ? .starting : folder.isPaused ? .paused : .running }
            // It may have ended since the state was read.
            state = try folder.state()
            if state.status == .exited { return .exited }
            if let now = try runtime(of: record).state(record.id), now.status != .stopped { return .unsupervised }
            // Its status is nobody's to know any more.
            (state.status, state.exitCode, state.error, state.pid) = (.exited, 255, "its supervisor was killed, so that its exit status is not known", 0)
            if let lock = try folder.lockSupervisor() {
                defer { withExtendedLifetime(lock) {} }
                try folder.save(state)
            }
            return .exited
        }
    }

    public func views() throws(EngineError) -> [ContainerView] {
        // One that was removed while it was looked at is none.
        try store.identifiers().map { view(store.folder($0)) }.filter { $0.status != .damaged || (try? $0.folder.open()) != nil }.sorted { $0.record.created > $1.record.created }
    }

    /// Opens a container's root directory for a look (O_PATH): what a running machine has for itself is shown read-only, as it is now.
    /// - Parameter isReadOnly: false is an error where that is so.
    func openRoot(_ folder: ContainerFolder, _ record: ContainerRecord, isReadOnly: Bool) throws(EngineError) -> SharedDescriptor {
        let roots = roots(of: record)
        let isShown = folder.hasRootImages && folder.hasSupervisor
        if isShown && !isReadOnly {
            throw EngineError("container \(record.name) runs in a machine that has its files for itself: stop it first, or write by nacelle exec (tar -x, cat)")
        }
        let path = isShown ? try roots.view(record) : try roots.mount(record)
        let root = try doing("cannot open the root of container \(record.name)") { () throws(SystemError) in
            SharedDescriptor(try OwnedDescriptor(opening: path, flags: O_PATH | O_DIRECTORY))
        }
        // What is open stays.
        if isShown { try roots.unmount(record) }
        return root
    }

    // MARK: Ending

    /// As it is when it has begun: one that another command is starting cannot get a signal yet.
    private func begun(_ folder: ContainerFolder) -> ContainerView {
        let deadline = monotonicNanoseconds() + 60_000_000_000
        while true {
            let view = view(folder)
            if view.status != .starting || monotonicNanoseconds() > deadline { return view }
            sleep(milliseconds: 20)
        }
    }

    public func kill(_ folder: ContainerFolder, signal: Int32) throws(EngineError) {
        let view = begun(folder)
        guard view.isRunning else { throw EngineError("container \(name(view)) does not run (it is \(view.status.rawValue)): only one that runs can get a signal") }
        try runtime(of: view.record).kill(folder.id, signal)
    }

    /// The stop signal, then after `timeout` seconds SIGKILL. One that does not run is no error.
    public func stop(_ folder: ContainerFolder, timeout: Int?) throws(EngineError) {
        let view = begun(folder)
        guard view.isRunning else {
            if view.status == .damaged { throw EngineError("container \(folder.id.prefix(12)) is damaged: \(view.problem)") }
            return
        }
        let runtime = try runtime(of: view.record)
        let end = EndWatch(folder)
        do throws(EngineError) {
            if folder.isPaused { try setPaused(folder, false) }
            try runtime.kill(folder.id, view.record.stopSignal)
            if try end.wait(seconds: timeout ?? view.record.stopTimeout, or: { () throws(EngineError) in try hasEnded(folder, runtime) }) { return try settle(folder, runtime) }
            try runtime.kill(folder.id, SIGKILL)
        } catch {
            // It may have ended by itself meanwhile.
            guard try hasEnded(folder, runtime) else { throw error }
        }
        guard try end.wait(seconds: 20, or: { () throws(EngineError) in try hasEnded(folder, runtime) }) else {
            throw EngineError("container \(name(view)) did not end within 20 seconds of SIGKILL: `nacelle rm -f` removes it")
        }
        try settle(folder, runtime)
    }

    private func hasEnded(_ folder: ContainerFolder, _ runtime: OCIRuntime) throws(EngineError) -> Bool {
        if folder.hasSupervisor { return false }
        return try runtime.state(folder.id).map { $0.status == .stopped } ?? true
    }

    /// Without a supervisor nobody else tidies up.
    private func settle(_ folder: ContainerFolder, _ runtime: OCIRuntime) throws(EngineError) {
        try folder.waitForSupervisor()
        let after = view(folder)
        // `--rm` has removed it.
        guard after.status == .exited else { return }
        if after.state.finished == 0 { try runtime.delete(folder.id) }
    }

    /// Waits until it does not run.
    /// - Returns: its exit status; nil when it removed itself and was gone before anybody could ask.
    public func wait(_ folder: ContainerFolder) throws(EngineError) -> Int32? {
        let end = EndWatch(folder)
        let before = view(folder)
        guard before.isRunning else {
            if before.status == .damaged { throw EngineError("container \(folder.id.prefix(12)) is damaged: \(before.problem)") }
            return before.state.exitCode
        }
        let runtime = try runtime(of: before.record)
        while !(try end.wait(seconds: 3600, or: { () throws(EngineError) in try hasEnded(folder, runtime) })) {}
        if let code = end.code { return code }
        try folder.waitForSupervisor()
        let after = view(folder)
        return after.status == .exited ? after.state.exitCode : nil
    }

    // MARK: Removing

    public func remove(_ folder: ContainerFolder, force: Bool) throws(EngineError) {
        // One that has removed itself since it was found.
        if (try? folder.open()) == nil { return }
        let view = force ? begun(folder) : view(folder)
        if view.isRunning && !force {
            throw EngineError("container \(name(view)) runs: stop it first (nacelle stop \(name(view))), or end and remove it at once (nacelle rm -f \(name(view)))")
        }
        if view.status == .damaged && !force { throw EngineError("container \(folder.id.prefix(12)) is damaged: \(view.problem): nacelle rm -f \(folder.id.prefix(12)) removes it") }
        if view.isRunning {
            let end = EndWatch(folder)
            // What the runtime cannot kill, `delete` tells of.
            try? runtime(of: view.record).kill(folder.id, SIGKILL)
            if folder.hasSupervisor, !(try end.wait(seconds: 10, or: { () throws(EngineError) in !folder.hasSupervisor })) { try endSupervisor(folder) }
            try? folder.waitForSupervisor()
        }
        if (try? folder.open()) == nil { return }
        // So that nobody starts it meanwhile. A supervisor that has told of the end is soon gone.
        var lock = try folder.lockSupervisor()
        for _ in 0..<100 where lock == nil {
            sleep(milliseconds: 20)
            if (try? folder.open()) == nil { return }
            lock = try folder.lockSupervisor()
        }
        guard let lock else { throw EngineError("container \(name(view)) is being started, or removed, by another command") }
        defer { withExtendedLifetime(lock) {} }
        try discard(folder, view.record)
    }

    // MARK: Pausing, naming

    /// Stops all of it where it is, or lets it go on.
    public func setPaused(_ folder: ContainerFolder, _ on: Bool) throws(EngineError) {
        let view = begun(folder)
        guard view.isRunning else { throw EngineError("container \(name(view)) does not run (it is \(view.status.rawValue)): only one that runs can be \(on ? "paused" : "unpaused")") }
        if on == folder.isPaused { throw EngineError("container \(name(view)) is \(on ? "paused already" : "not paused")") }
        try runtime(of: view.record).succeed([on ? "pause" : "resume", folder.id])
        do throws(SystemError) { try folder.setPaused(on) } catch { throw EngineError("container \(name(view))", error) }
    }

    public func rename(_ folder: ContainerFolder, to name: String) throws(EngineError) {
        if view(folder).status == .damaged { throw EngineError("container \(folder.id.prefix(12)) is damaged: it can be removed, nothing else") }
        try store.rename(folder, to: name)
    }

    /// One that does not do its work any more: while it holds its lock the number is its own.
    private func endSupervisor(_ folder: ContainerFolder) throws(EngineError) {
        do throws(SystemError) {
            let state: ContainerState
            do throws(EngineError) { state = try folder.state() } catch { throw SystemError(.ioError, error.message) }
            guard state.supervisor > 0 else { return }
            let process = try ProcessDescriptor(state.supervisor)
            if folder.hasSupervisor { try process.signal(SIGKILL) }
        } catch {
            if error.errno == .noSuchProcess { return }
            throw EngineError("cannot end the supervisor of container \(folder.id.prefix(12))", error)
        }
    }

    /// Removes all that there is of one that does not run.
    func discard(_ folder: ContainerFolder, _ record: ContainerRecord) throws(EngineError) {
        var record = record
        record.id = folder.id
        try runtime(of: record).delete(folder.id)
        try roots(of: record).unmount(record)
        try roots(of: record).remove(record)
        try folder.remove()
    }

    private func name(_ view: ContainerView) -> String { view.record.name.isEmpty ? String(view.folder.id.prefix(12)) : view.record.name }
}

/// Waits for a container's end by its supervisor's socket.
final class EndWatch {
    private var connection: SharedDescriptor?
    private var reader = AttachReader()
    /// What the supervisor told.
    private(set) var code: Int32?

    /// Connects at once, so that no end is missed.
    init(_ folder: ContainerFolder) {
        connection = try? AttachClient.connect(folder, wantsOutput: false)
    }

    /// - Parameter hasEnded: asked where no supervisor can tell.
    /// - Returns: whether it ended within so many seconds.
    func wait(seconds: Int, or hasEnded: () throws(EngineError) -> Bool) throws(EngineError) -> Bool {
        let deadline = monotonicNanoseconds() + Int64(seconds) * 1_000_000_000
        do throws(SystemError) {
            let loop = try EventLoop()
            while true {
                let left = (deadline - monotonicNanoseconds()) / 1_000_000
                if let connection {
                    var isReady = false
                    try loop.add(connection.rawValue, .readable) { _ in isReady = true }
                    try loop.runOnce(timeout: Int32(clamping: max(0, left)))
                    loop.remove(connection.rawValue)
                    if isReady, try take() { return true }
                } else {
                    let ended: Bool
                    do throws(EngineError) { ended = try hasEnded() } catch { throw SystemError(.ioError, error.message) }
                    if ended { return true }
                    try loop.runOnce(timeout: Int32(clamping: max(0, min(left, 50))))
                }
                if monotonicNanoseconds() >= deadline { return false }
            }
        } catch { throw EngineError("cannot wait for the container", error) }
    }

    /// True when the end was told. A supervisor that is gone without a word tells nothing any more.
    private func take() throws(SystemError) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count: Int
        do throws(SystemError) { count = try connection?.with { (end) throws(SystemError) in try end.read(into: &buffer) } ?? 0 } catch where error.errno == .connectionReset { count = 0 }
        if count == 0 {
            connection = nil
            return false
        }
        reader.add(Array(buffer[..<count]))
        while let message = try? reader.next() {
            if case .ended(let code, _) = message {
                self.code = code
                return true
            }
        }
        return false
    }
}
