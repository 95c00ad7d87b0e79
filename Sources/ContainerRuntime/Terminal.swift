internal import CLinux
internal import Glibc
public import LinuxSystem

/// A pseudoterminal of the host: the engine (or the user's own terminal) holds the master, the machine the other end.
public struct ConsolePair: ~Copyable {
    public let master: OwnedDescriptor
    public let slave: OwnedDescriptor
    /// `/dev/pts/N`
    public let name: String

    /// - Parameter size: columns and rows; zero leaves the kernel's.
    public init(columns: UInt16 = 0, rows: UInt16 = 0) throws(SystemError) {
        let master = try OwnedDescriptor(opening: "/dev/ptmx", flags: O_RDWR | O_NOCTTY)
        var number: Int32 = 0
        try checked(unsafe clinux_ioctl_pointer(master.rawValue, UInt(0x8004_5430), &number), "ioctl(TIOCGPTN)")
        if columns > 0 && rows > 0 { try TerminalDevice.setSize(master.rawValue, columns: columns, rows: rows) }
        slave = try PseudoTerminal.openPeer(of: master)
        self.master = master
        name = "/dev/pts/\(number)"
    }

    /// Gives the master to whoever listens at the Unix socket `path`, with the terminal's name, as runc does (`--console-socket`).
    public func sendMaster(to path: String) throws(RuntimeError) {
        let copy: SharedDescriptor
        do throws(SystemError) { copy = SharedDescriptor(try master.duplicate()) } catch { throw RuntimeError("cannot send the terminal", error) }
        try Self.send(copy, named: name, to: path)
    }

    /// The same with a master that comes from elsewhere.
    public static func send(_ master: SharedDescriptor, named name: String, to path: String) throws(RuntimeError) {
        do throws(SystemError) {
            let socket = try OwnedDescriptor.unixConnection(path: path)
            defer { withExtendedLifetime(master) {} }
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

    /// Its size, if standard input is a terminal.
    public static var size: (columns: UInt16, rows: UInt16)? { try? TerminalDevice.size(0) }
}
