public import LinuxSystem

/// Why the handshake with nacelle-init cannot go on.
public enum InitChannelError: Error, Equatable, Sendable, CustomStringConvertible {
    case system(SystemError)
    case malformed(ProtocolError)
    /// The other end said nothing for so many milliseconds.
    case timedOut(Int32)

    public var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .malformed(let error): "\(error)"
        case .timedOut(let milliseconds): "no answer within \(milliseconds) ms"
        }
    }
}

/// One end of the handshake's socket: whole messages, sent and received by blocking.
public final class InitChannel {
    public private(set) var socket: SharedDescriptor
    private var decoder = FrameDecoder()
    private var received: [SharedDescriptor] = []
    /// What `receivePlain` reads instead of the socket.
    private var input: SharedDescriptor?
    /// The socket that pipes have replaced: kept, for a filter may forbid close(2); execve closes it.
    private var replaced: SharedDescriptor?

    public init(_ socket: SharedDescriptor) { self.socket = socket }

    /// Moves the socket to a descriptor of at least `minimum`, close-on-exec, so that lower numbers become free.
    public func moveSocket(above minimum: Int32) throws(SystemError) {
        socket = SharedDescriptor(try OwnedDescriptor(duplicating: socket.rawValue, above: minimum))
    }

    /// From now on plain messages are read from one pipe and written to another.
    public func replaceSocket(input: SharedDescriptor, output: SharedDescriptor) {
        replaced = socket
        socket = output
        self.input = input
    }

    /// Sends a message. Descriptors travel with its first byte.
    public func send(_ message: InitMessage, descriptors: [SharedDescriptor] = []) throws(InitChannelError) {
        let bytes = message.frame().encoded()
        do throws(SystemError) {
            var rest = bytes[...]
            var attached = descriptors.map(\.rawValue)
            while !rest.isEmpty {
                let count = try socket.with { (end) throws(SystemError) in try end.send(rest, descriptors: attached) }
                rest = rest.dropFirst(count)
                attached = []
            }
        } catch { throw .system(error) }
    }

    /// Sends with write(2) alone: see `receivePlain`.
    public func sendPlain(_ message: InitMessage) throws(InitChannelError) {
        do throws(SystemError) {
            try socket.with { (end) throws(SystemError) in try end.writeAll(message.frame().encoded()) }
        } catch { throw .system(error) }
    }

    /// Receives the next message and the descriptors that came up to its end, or nil when the other end has closed.
    /// - Parameter timeout: milliseconds without any byte; -1 waits for ever.
    public func receive(timeout: Int32) throws(InitChannelError) -> (message: InitMessage, descriptors: [SharedDescriptor])? {
        var buffer = [UInt8](repeating: 0, count: 8192)
        while true {
            do throws(ProtocolError) {
                if let frame = try decoder.next() {
                    defer { received = [] }
                    return (try InitMessage(frame), received)
                }
            } catch { throw .malformed(error) }
            let count: Int
            do throws(SystemError) {
                var readable = true
                if timeout >= 0 { readable = try waitReadable(socket.rawValue, milliseconds: timeout) }
                count = try !readable ? -1 : socket.with { (end) throws(SystemError) in try end.receive(into: &buffer, descriptors: &received) }
            } catch {
                // The other end closed with bytes of ours unread.
                if error.errno == .connectionReset { return nil }
                throw .system(error)
            }
            if count < 0 { throw .timedOut(timeout) }
            if count == 0 { return nil }
            decoder.append(buffer[..<count])
        }
    }

    /// Receives with read(2) alone, which is all that a seccomp filter is sure to allow a program.
    public func receivePlain() throws(InitChannelError) -> InitMessage? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let source = input ?? socket
        while true {
            do throws(ProtocolError) {
                if let frame = try decoder.next() { return try InitMessage(frame) }
            } catch { throw .malformed(error) }
            do throws(SystemError) {
                let count = try source.with { (end) throws(SystemError) in try end.read(into: &buffer) }
                if count == 0 { return nil }
                decoder.append(buffer[..<count])
            } catch { throw .system(error) }
        }
    }
}
