import AgentProtocol
import ContainerRuntime
import Glibc
import LinuxSystem

/// Signals by name (signal(7)).
enum SignalName {
    private static let names = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD",
        "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ]
    private static let aliases = ["IOT": "ABRT", "POLL": "IO", "CLD": "CHLD"]
    static let realTime: ClosedRange<Int32> = 34...64

    static func number(_ text: String) -> Int32? {
        if let number = Int32(text) { return (1...64).contains(number) ? number : nil }
        var name = text.uppercased()
        if name.hasPrefix("SIG") { name.removeFirst(3) }
        if let number = realTimeNumber(name) { return number }
        return names.firstIndex(of: aliases[name] ?? name).map { Int32($0 + 1) }
    }

    /// RTMIN, RTMIN+n, RTMAX, RTMAX-n
    private static func realTimeNumber(_ name: String) -> Int32? {
        for (word, base, sign) in [("RTMIN", realTime.lowerBound, "+"), ("RTMAX", realTime.upperBound, "-")] where name.hasPrefix(word) {
            let rest = name.dropFirst(word.count)
            if rest.isEmpty { return base }
            guard rest.hasPrefix(sign), let offset = Int32(rest.dropFirst()), (0...30).contains(offset) else { return nil }
            return sign == "+" ? base + offset : base - offset
        }
        return nil
    }
}

/// The signals that a waiting command passes on to the process it waits for: all but those that concern this process alone
/// (SIGCHLD, SIGPIPE, SIGURG, SIGWINCH, the terminal's SIGTTIN and SIGTTOU), that report its own faults, or that cannot be caught.
enum PassedSignals {
    static let all: [Int32] =
        [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGCONT, SIGTSTP, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGIO, SIGPWR]
        + Array(SignalName.realTime)
}

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
