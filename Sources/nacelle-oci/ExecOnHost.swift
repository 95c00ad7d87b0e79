import ArgumentParser
import ContainerRuntime
import Glibc
import LinuxSystem
import OCISpec

/// `exec` into a container of this host's kernel: the process is a child of this one, or after `--detach` of whoever takes orphans.
extension Exec {
    func executeOnHost(_ container: Container, _ described: ProcessSpec) throws {
        var process = described
        let pidPath = pidFile.map(absolutePath)
        if !process.terminal {
            if consoleSocket != nil { throw RuntimeError("cannot use console socket if runc will not detach or allocate tty") }
            // Blocked before it starts, so that none is lost; the process unblocks them for itself.
            let waiter = detach ? nil : try ChildWaiter()
            let pid = try start(container, process, .inherited, pidPath)
            if let waiter { throw ExitCode(try waiter.wait(for: pid).shellCode) }
            return
        }
        if detach {
            guard let consoleSocket else { throw RuntimeError("cannot allocate tty if runc will detach without setting console socket") }
            _ = try start(container, process, sendingTerminal(to: consoleSocket), pidPath)
            return
        }
        if consoleSocket != nil { throw RuntimeError("cannot use console socket if runc will not detach or allocate tty") }
        if let size = UserTerminal.size { process.consoleSize = ConsoleSize(width: size.columns, height: size.rows) }
        let waiter = try ChildWaiter()
        let loop = try EventLoop()
        let user = UserTerminal()
        defer { user.restore() }
        let shown = ShownTerminal(loop)
        let pid = try start(container, process, .newTerminal(deliver: shown.show), pidPath)
        let status = try waiter.wait(for: pid, loop: loop)
        try shown.drain()
        user.restore()
        throw ExitCode(status.shellCode)
    }

    private func start(_ container: Container, _ process: ProcessSpec, _ streams: Container.Streams, _ pidPath: String?) throws(RuntimeError) -> Int32 {
        let listener = try processListener()
        guard case .child(let pid) = try container.exec(process, options(streams)) else {
            throw RuntimeError("the container has another isolation")
        }
        do throws(RuntimeError) {
            if let pidPath { try Container.write(pid: pid, to: pidPath) }
            try listener?.tell(pid, Self.processKind)
        } catch {
            // Nobody would know of it.
            try? sendSignal(SIGKILL, to: pid)
            throw error
        }
        return pid
    }
}

/// Streams whose terminal goes to a console socket.
func sendingTerminal(to socket: String) -> Container.Streams {
    .newTerminal { (master) throws(RuntimeError) in try ConsolePair.send(master, named: "/dev/ptmx", to: socket) }
}

/// A container's terminal on the user's own, from the moment on when there is one.
final class ShownTerminal {
    private let loop: EventLoop
    private var relay: TerminalRelay?

    init(_ loop: EventLoop) { self.loop = loop }

    func show(_ master: SharedDescriptor) throws(RuntimeError) {
        do throws(SystemError) { relay = try TerminalRelay(master, loop: loop, onResize: { _, _ in }) } catch { throw RuntimeError("cannot show the terminal", error) }
    }

    func drain() throws(SystemError) { try relay?.drain() }
}

/// Waits for a child and passes this process's signals on to it.
final class ChildWaiter {
    private let signals: SignalDescriptor

    /// Blocks the signals: before the child starts, so that none is lost.
    init() throws(SystemError) {
        try blockSignals(PassedSignals.all)
        signals = try SignalDescriptor(PassedSignals.all)
    }

    func wait(for pid: Int32, loop given: EventLoop? = nil) throws -> ExitStatus {
        let loop = try given ?? EventLoop()
        var status: ExitStatus?
        let process = try ProcessDescriptor(pid)
        try loop.add(process.descriptor.rawValue, .readable) { _ in status = status ?? (try? waitForProcess(pid, noHang: true))?.status }
        try loop.add(signals.descriptor.rawValue, .readable) { [unowned self] _ in
            // It is a child that was not waited for: the number is still its own.
            while let number = signals.next() { if status == nil { try? sendSignal(number, to: pid) } }
        }
        while status == nil { try loop.runOnce() }
        loop.remove(process.descriptor.rawValue)
        loop.remove(signals.descriptor.rawValue)
        return status ?? .exited(255)
    }
}
