internal import Glibc
public import LinuxSystem

/// Shows a terminal's master end on this process's standard streams.
///
/// Nothing here blocks but `drain`: a process that does not read while it writes, or a user who does the same, must not stop the
/// other direction.
public final class TerminalRelay {
    private static let limit = 65536

    private let loop: EventLoop
    private let control: SharedDescriptor
    private let master: HostStream
    private let input: HostStream
    private let output: HostStream
    private let signals: SignalDescriptor
    private var isInputOpen = true
    private var isMasterOpen = true
    private var isOutputOpen = true
    /// From the user, for the master.
    private var typed: [UInt8] = []
    /// From the master, for the user.
    private var shown: [UInt8] = []
    private var watched: [Int32: Readiness] = [:]
    /// The user's terminal changed its size.
    private let onResize: (UInt16, UInt16) -> Void

    /// SIGWINCH must not be handled otherwise; it is blocked here.
    /// - Parameters:
    ///   - input: a descriptor to read, standard input.
    ///   - output: a descriptor to write, standard output.
    public init(
        _ master: SharedDescriptor, input: Int32 = 0, output: Int32 = 1, loop: EventLoop, onResize: @escaping (UInt16, UInt16) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.onResize = onResize
        control = master
        let own = try OwnedDescriptor(opening: "/proc/self/fd", flags: O_RDONLY | O_DIRECTORY)
        self.master = try HostStream(try master.duplicate(), access: [.read, .write], processDescriptors: own)
        self.input = try HostStream(try OwnedDescriptor(duplicating: input), access: .read, processDescriptors: own)
        self.output = try HostStream(try OwnedDescriptor(duplicating: output), access: .write, processDescriptors: own)
        try blockSignals([SIGWINCH])
        signals = try SignalDescriptor([SIGWINCH])
        resize(from: input)
        try loop.add(signals.descriptor.rawValue, .readable) { [unowned self] _ in
            while signals.next() != nil {}
            resize(from: input)
        }
        move()
    }

    private func resize(from terminal: Int32) {
        guard let size = try? TerminalDevice.size(terminal) else { return }
        try? TerminalDevice.setSize(control.rawValue, columns: size.columns, rows: size.rows)
        onResize(size.columns, size.rows)
    }

    /// Moves what can be moved both ways, then waits for what can not.
    private func move() {
        while moveTyped() || moveShown() {}
        watch(input.rawValue, isInputOpen && typed.count < Self.limit && !input.isAlwaysReady ? .readable : [])
        watch(output.rawValue, isOutputOpen && !shown.isEmpty && !output.isAlwaysReady ? .writable : [])
        var interest: Readiness = []
        if isMasterOpen && shown.count < Self.limit { interest.insert(.readable) }
        if isMasterOpen && !typed.isEmpty { interest.insert(.writable) }
        watch(master.rawValue, interest)
    }

    /// One step from the user to the master; true when something happened.
    private func moveTyped() -> Bool {
        var moved = false
        if isInputOpen && typed.count < Self.limit {
            switch Self.read(input) {
            case .bytes(let bytes):
                typed += bytes
                moved = true
            case .end: isInputOpen = false
            case .nothing: break
            }
        }
        if isMasterOpen && !typed.isEmpty, let count = Self.write(typed, to: master) {
            typed.removeFirst(count)
            moved = moved || count > 0
        }
        return moved
    }

    /// One step from the master to the user; true when something happened.
    private func moveShown() -> Bool {
        var moved = false
        if isMasterOpen && shown.count < Self.limit {
            switch Self.read(master) {
            case .bytes(let bytes):
                // A user who has gone away does not make the process wait.
                if isOutputOpen { shown += bytes }
                moved = true
            case .end: isMasterOpen = false  // EIO: no process has the other end open
            case .nothing: break
            }
        }
        guard isOutputOpen && !shown.isEmpty else { return moved }
        if let count = Self.write(shown, to: output) {
            shown.removeFirst(count)
            return moved || count > 0
        }
        isOutputOpen = false
        shown = []
        return true
    }

    private enum Piece {
        case bytes([UInt8])
        case nothing
        case end
    }

    private static func read(_ stream: borrowing HostStream) -> Piece {
        do throws(SystemError) {
            let bytes = try stream.read(limit: 16384)
            return bytes.isEmpty ? .end : .bytes(bytes)
        } catch { return error.errno == .wouldBlock ? .nothing : .end }
    }

    /// How much was taken; nil when nothing ever will be.
    private static func write(_ bytes: [UInt8], to stream: borrowing HostStream) -> Int? {
        do throws(SystemError) { return try stream.write(bytes[...]) } catch { return error.errno == .wouldBlock ? 0 : nil }
    }

    /// Registers for exactly what is waited for: an empty interest would still wake for a hang-up, again and again.
    private func watch(_ descriptor: Int32, _ interest: Readiness) {
        guard watched[descriptor] ?? [] != interest else { return }
        if interest.isEmpty {
            loop.remove(descriptor)
        } else if watched[descriptor] == nil {
            try? loop.add(descriptor, interest) { [unowned self] _ in move() }
        } else {
            try? loop.modify(descriptor, interest)
        }
        watched[descriptor] = interest.isEmpty ? nil : interest
    }

    /// Shows what is still there after the process has ended; waits for the user to take it.
    public func drain() throws(SystemError) {
        move()
        while isOutputOpen && !shown.isEmpty {
            try loop.runOnce()
            move()
        }
    }
}
