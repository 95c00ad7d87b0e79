import AgentProtocol
import ContainerRuntime
import Glibc
import LinuxSystem

/// Passes this process's signals on to the container's process, and waits for the end of the one that stands for it.
final class SignalForwarder {
    private let signals: SignalDescriptor
    private var connection: ControlConnection?
    private var isMachine = true

    /// Blocks the signals: before anything starts, so that none is lost.
    init() throws {
        try blockSignals(PassedSignals.all)
        signals = try SignalDescriptor(PassedSignals.all)
    }

    func wait(for pid: Int32, of container: Container, loop given: EventLoop? = nil) throws -> ExitStatus {
        let loop = try given ?? EventLoop()
        var status: ExitStatus?
        isMachine = try container.record().isolation == .microVM
        let process = try ProcessDescriptor(pid)
        try loop.add(process.descriptor.rawValue, .readable) { _ in status = status ?? (try? waitForProcess(pid, noHang: true))?.status }
        try loop.add(signals.descriptor.rawValue, .readable) { [self] _ in
            while let number = signals.next() { pass(number, to: container) }
        }
        while status == nil { try loop.runOnce() }
        loop.remove(process.descriptor.rawValue)
        loop.remove(signals.descriptor.rawValue)
        return status ?? .exited(255)
    }

    /// Answers are not waited for: a guest that does not obey must not stop the streams.
    private func pass(_ number: Int32, to container: Container) {
        if !isMachine { return container.pass(number) }
        let request = Request.signal(process: .container, number: number, everyProcess: false)
        if connection != nil, (try? connection?.send(request)) != nil { return }
        connection = try? container.connection()
        // Nobody there: the container has just ended.
        _ = try? connection?.send(request)
    }
}
