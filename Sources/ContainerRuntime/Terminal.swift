internal import CLinux
internal import Glibc
public import LinuxSystem

/// A pseudoterminal of the host: the engine (or the user's own terminal) holds the master, the machine the other end.
public struct ConsolePair: ~Copyable {
    public let master: OwnedDescriptor
    public let slave: OwnedDescriptor
    /// `/dev/pts/N`
    public let name: String

    public init() throws(SystemError) {
        let master = try OwnedDescriptor(opening: "/dev/ptmx", flags: O_RDWR | O_NOCTTY)
        var number: Int32 = 0
        try checked(unsafe clinux_ioctl_pointer(master.rawValue, UInt(0x8004_5430), &number), "ioctl(TIOCGPTN)")
        slave = try PseudoTerminal.openPeer(of: master)
        self.master = master
        name = "/dev/pts/\(number)"
    }

    /// Gives the master to whoever listens at the Unix socket `path`, with the terminal's name, as runc does (`--console-socket`).
    public func sendMaster(to path: String) throws(RuntimeError) {
        do throws(SystemError) {
            let socket = try OwnedDescriptor.unixConnection(path: path)
            _ = try socket.send(Array(name.utf8), descriptors: [master.rawValue])
        } catch { throw RuntimeError("cannot send the terminal to the console socket \(path)", error) }
    }
}

/// The user's own terminal while a container's is shown on it: raw, and as it was afterwards.
public final class UserTerminal {
    private let saved: termios?

    /// Does nothing when standard input is no terminal.
    public init() {
        var settings = termios()
        saved = unsafe tcgetattr(0, &settings) == 0 ? settings : nil
        if saved != nil { try? TerminalDevice.makeRaw(0) }
    }

    public func restore() {
        guard var settings = saved else { return }
        unsafe tcsetattr(0, TCSANOW, &settings)
    }

    deinit { restore() }
}

/// Shows a terminal's master end on this process's standard streams.
public final class TerminalRelay {
    private let loop: EventLoop
    private let master: SharedDescriptor
    private let signals: SignalDescriptor
    private var isInputOpen = true
    /// True when the other end is closed and everything was shown.
    public private(set) var isFinished = false
    /// The user's terminal changed its size.
    private let onResize: (UInt16, UInt16) -> Void

    /// SIGWINCH must not be handled otherwise; it is blocked here.
    public init(_ master: SharedDescriptor, loop: EventLoop, onResize: @escaping (UInt16, UInt16) -> Void) throws(SystemError) {
        self.loop = loop
        self.master = master
        self.onResize = onResize
        try blockSignals([SIGWINCH])
        signals = try SignalDescriptor([SIGWINCH])
        resize()
        try loop.add(signals.descriptor.rawValue, .readable) { [unowned self] _ in
            while signals.next() != nil {}
            resize()
        }
        try loop.add(master.rawValue, .readable) { [unowned self] _ in output() }
        do throws(SystemError) {
            try loop.add(0, .readable) { [unowned self] _ in input() }
        } catch where error.errno == .notPermitted {
            // A regular file: read it at once, its content is there.
            while isInputOpen { input() }
        }
    }

    private func resize() {
        guard let size = try? TerminalDevice.size(0) else { return }
        try? TerminalDevice.setSize(master.rawValue, columns: size.columns, rows: size.rows)
        onResize(size.columns, size.rows)
    }

    private func output() {
        var buffer = [UInt8](repeating: 0, count: 16384)
        let count = master.with { (descriptor: borrowing OwnedDescriptor) in (try? descriptor.read(into: &buffer)) ?? 0 }
        if count == 0 {
            loop.remove(master.rawValue)
            isFinished = true
            loop.stop()
            return
        }
        Self.write(1, Array(buffer[..<count]))
    }

    private func input() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe clinux_read(0, &buffer, buffer.count)
        guard count > 0 else {
            isInputOpen = false
            return loop.remove(0)
        }
        Self.write(master.rawValue, Array(buffer[..<count]))
    }

    /// Shows what is still there after the other end's process has ended.
    public func drain() {
        var ready: Int16 = 0
        while !isFinished, unsafe clinux_poll(master.rawValue, Int16(POLLIN), 0, &ready) > 0 { output() }
    }

    private static func write(_ descriptor: Int32, _ bytes: [UInt8]) {
        guard let copy = try? OwnedDescriptor(duplicating: descriptor) else { return }
        try? copy.writeAll(bytes)
    }
}
