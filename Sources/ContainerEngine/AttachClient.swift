internal import ContainerRuntime
internal import Glibc
public import LinuxSystem

/// Shows a container on this process's standard streams.
public final class AttachClient {
    public struct Settings: Sendable {
        public var isTerminal: Bool
        public var passesInput: Bool
        public var passesSignals: Bool
        public init(isTerminal: Bool, passesInput: Bool, passesSignals: Bool) {
            (self.isTerminal, self.passesInput, self.passesSignals) = (isTerminal, passesInput, passesSignals)
        }
    }

    public enum End: Equatable, Sendable {
        case exited(Int32, String)
        /// The user let go of it (Ctrl-P Ctrl-Q).
        case detached
        /// This process got a signal that is not the container's.
        case interrupted(Int32)
        /// The supervisor went away without a word.
        case lost
    }

    private let settings: Settings
    private let loop: EventLoop
    private var connection: Outlet?
    private var fromContainer: Inlet?
    private var input: Inlet?
    private var output: Outlet?
    private var errors: Outlet?
    private var reader = AttachReader()
    private var end: End?
    /// Ctrl-P was typed, and may be the beginning of letting go.
    private var isLettingGo = false

    static func connect(_ folder: ContainerFolder, wantsOutput: Bool) throws(SystemError) -> SharedDescriptor {
        let directory = try folder.open()
        let connection = try OwnedDescriptor.unixConnection(path: ContainerFolder.shortPath("attach", in: directory))
        try connection.writeAll(AttachMessage.hello(wantsOutput: wantsOutput).bytes)
        return SharedDescriptor(connection)
    }

    /// A connection to a container that runs, which gets its output from now on.
    public static func connect(_ folder: ContainerFolder) throws(EngineError) -> SharedDescriptor {
        do throws(SystemError) { return try connect(folder, wantsOutput: true) } catch {
            if [.noSuchFile, .connectionRefused].contains(error.errno) { throw EngineError("container \(folder.id.prefix(12)) has no supervisor to attach to: does it run? (nacelle ps)") }
            throw EngineError("cannot attach to container \(folder.id.prefix(12))", error)
        }
    }

    public init(_ settings: Settings) throws(EngineError) {
        self.settings = settings
        do throws(SystemError) { loop = try EventLoop() } catch { throw EngineError("cannot attach", error) }
    }

    /// Until the container ends, or the user lets go.
    public func run(_ connection: SharedDescriptor) throws(EngineError) -> End {
        // Raw until the end, then as it was.
        let user = settings.isTerminal && settings.passesInput ? UserTerminal() : nil
        defer { user?.restore() }
        do throws(SystemError) {
            try ignoreBrokenPipeSignal()
            try begin(connection)
            // On a raw terminal these come from elsewhere, and must not leave it so.
            let ending = [SIGTERM, SIGHUP, SIGINT, SIGQUIT]
            let numbers = settings.isTerminal ? [SIGWINCH] + ending : settings.passesSignals ? PassedSignals.all : []
            try blockSignals(numbers)
            let signals = try SignalDescriptor(numbers)
            if settings.isTerminal { resize() }
            // Of the terminal its size; else what ends or stops processes goes to the container's.
            try loop.add(signals.descriptor.rawValue, .readable) { [unowned self] _ in
                while let number = signals.next() {
                    if number == SIGWINCH { resize() } else if settings.isTerminal { end = end ?? .interrupted(number) } else { send(.signal(number)) }
                }
            }
            while end == nil { try loop.runOnce() }
            // What came before the end is shown, however slow the reader is; whoever sends a signal does not wait for it.
            if case .interrupted = end { output?.close() }
            while output?.isEmpty == false || errors?.isEmpty == false {
                try loop.runOnce(timeout: 1000)
                output?.flush()
                errors?.flush()
            }
            loop.remove(signals.descriptor.rawValue)
        } catch { throw EngineError("cannot stay attached", error) }
        return end ?? .lost
    }

    private func begin(_ connection: SharedDescriptor) throws(SystemError) {
        output = try Outlet(try OwnedDescriptor(duplicating: 1), loop)
        errors = try Outlet(try OwnedDescriptor(duplicating: 2), loop)
        for outlet in [output, errors] { outlet?.onRoom = { [unowned self] in goOn() } }
        self.connection = try Outlet(try connection.duplicate(), loop)
        self.connection?.onRoom = { [unowned self] in resumeInput() }
        fromContainer = try Inlet(try connection.duplicate(), loop, onBytes: { [unowned self] in receive($0) }, onEnd: { [unowned self] in end = end ?? .lost })
        goOn()
        guard settings.passesInput else { return }
        input = try Inlet(try OwnedDescriptor(duplicating: 0), loop, onBytes: { [unowned self] in typed($0) }, onEnd: { [unowned self] in send(.inputEnd) })
        resumeInput()
    }

    private func goOn() {
        guard output?.isFull != true, errors?.isFull != true else { return }
        if (try? fromContainer?.resume()) == nil { fromContainer?.close() }
    }

    private func resumeInput() {
        guard connection?.isFull != true else { return }
        if (try? input?.resume()) == nil { input?.close() }
    }

    private func send(_ message: AttachMessage) {
        connection?.write(message.bytes)
        if connection?.isFull == true { input?.pause() }
    }

    private func receive(_ bytes: [UInt8]) {
        reader.add(bytes)
        do throws(AttachReader.Malformed) {
            while let message = try reader.next() {
                switch message {
                case .output(let bytes): output?.write(bytes)
                case .errors(let bytes): errors?.write(bytes)
                case .ended(let code, let text): end = end ?? .exited(code, text)
                case .hello, .input, .inputEnd, .resize, .signal: break
                }
            }
        } catch { end = end ?? .lost }
        if output?.isFull == true || errors?.isFull == true { fromContainer?.pause() }
    }

    private func typed(_ bytes: [UInt8]) {
        guard settings.isTerminal else { return send(.input(bytes)) }
        var passed: [UInt8] = []
        for byte in bytes {
            if isLettingGo {
                isLettingGo = false
                if byte == 0x11 {
                    if !passed.isEmpty { send(.input(passed)) }
                    return end = end ?? .detached
                }
                passed.append(0x10)
            }
            if byte == 0x10 { isLettingGo = true } else { passed.append(byte) }
        }
        if !passed.isEmpty { send(.input(passed)) }
    }

    private func resize() {
        guard let size = (try? TerminalDevice.size(0)) ?? (try? TerminalDevice.size(1)) else { return }
        send(.resize(columns: size.columns, rows: size.rows))
    }
}
