import AgentProtocol
import ContainerRuntime
import Glibc
import LinuxSystem

/// Waits for the end of an exec'd process and passes this process's signals on to it.
final class ExecWaiter {
    private let connection: ControlConnection
    private let signals: SignalDescriptor
    private var status: ExitStatus?

    init(_ connection: ControlConnection) throws {
        self.connection = connection
        try blockSignals(PassedSignals.all)
        signals = try SignalDescriptor(PassedSignals.all)
        try connection.send(.wait(process: Container.execProcess))
    }

    func wait(loop given: EventLoop? = nil) throws -> ExitStatus {
        let loop = try given ?? EventLoop()
        try loop.add(signals.descriptor.rawValue, .readable) { [unowned self] _ in
            while let number = signals.next() {
                _ = try? connection.send(.signal(process: Container.execProcess, number: number, everyProcess: false))
            }
        }
        try loop.add(connection.rawValue, .readable) { [unowned self] _ in receive() }
        while status == nil { try loop.runOnce() }
        loop.remove(connection.rawValue)
        return status ?? .exited(255)
    }

    private func receive() {
        guard let replies = try? connection.receiveAvailable() else {
            // The machine is gone, and the process with it.
            status = status ?? .signaled(SIGKILL)
            return
        }
        for reply in replies {
            switch reply {
            case .exited(_, let ended): status = status ?? ended
            // A signal or a size that came when the process had just ended: its status comes next.
            case .failed(let failure) where failure.code != .noSuchProcess: status = status ?? .signaled(SIGKILL)
            default: break
            }
        }
    }
}

/// The process that stands for an exec'd one after a detached `exec` has returned: the engine waits for it, and it ends as the
/// process in the guest does. It is this program under another verb.
enum ExecHelper {
    static let verb = "__wait-for-exec"

    static func start(_ connection: ControlConnection, terminal: SharedDescriptor? = nil, pidFile: String?) throws(RuntimeError) -> Int32 {
        let pid: Int32
        do throws(SystemError) {
            let own = SharedDescriptor(try connection.duplicate())
            pid = try ProgramStart.start(Components.programPath(), arguments: [verb], descriptors: [nil, nil, nil, own, terminal],
                // The engine may signal it as soon as it knows its pid.
                blockedSignals: PassedSignals.all)
        } catch { throw RuntimeError("cannot start the waiting process", error) }
        if let pidFile { try Container.write(pid: pid, to: pidFile) }
        return pid
    }

    /// Descriptor 3 is the connection, 4 the terminal (or /dev/null).
    static func run(_ arguments: [String]) -> Never {
        do {
            let connection = ControlConnection(owning: OwnedDescriptor(owning: 3))
            let loop = try EventLoop()
            let resize = try ResizeWatch(terminal: 4, connection: connection, loop: loop)
            let status = try ExecWaiter(connection).wait(loop: loop)
            _ = resize
            exitProcess(as: status)
        } catch {
            exit(255)
        }
    }
}

/// Tells the machine when a terminal's size changes. Its process must lead a session of its own.
private final class ResizeWatch {
    private let signals: SignalDescriptor

    init(terminal: Int32, connection: ControlConnection, loop: EventLoop) throws {
        try blockSignals([SIGWINCH, SIGHUP])
        signals = try SignalDescriptor([SIGWINCH])
        guard (try? TerminalDevice.makeControlling(terminal)) != nil else { return }
        func tell() {
            guard let size = try? TerminalDevice.size(terminal), size.columns > 0 else { return }
            _ = try? connection.send(.resize(process: Container.execProcess, size: TerminalSize(columns: size.columns, rows: size.rows)))
        }
        tell()
        try loop.add(signals.descriptor.rawValue, .readable) { [unowned self] _ in
            while signals.next() != nil {}
            tell()
        }
    }
}
