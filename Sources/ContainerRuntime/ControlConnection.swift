public import AgentProtocol
internal import CLinux
internal import Glibc
public import LinuxSystem

/// A connection to a machine's control socket, one request at a time.
public final class ControlConnection {
    private let socket: OwnedDescriptor
    private var decoder = FrameDecoder()
    private var nextRequest: UInt32 = 1

    /// For a loop that waits on it.
    public var rawValue: Int32 { socket.rawValue }

    public init(path: String) throws(SystemError) {
        // A socket's path has at most 107 bytes; a folder's descriptor makes any path short.
        if path.utf8.count < 100 {
            socket = try OwnedDescriptor.unixConnection(path: path)
        } else {
            let folder = try OwnedDescriptor(opening: String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]), flags: O_PATH | O_DIRECTORY)
            let name = path.split(separator: "/").last.map(String.init) ?? path
            socket = try OwnedDescriptor.unixConnection(path: "/proc/self/fd/\(folder.rawValue)/\(name)")
        }
    }

    /// Takes over a connected socket.
    public init(owning socket: consuming OwnedDescriptor) { self.socket = socket }

    /// Sends a request and returns its number.
    @discardableResult
    public func send(_ request: Request, descriptors: [Int32] = []) throws(RuntimeError) -> UInt32 {
        let number = nextRequest
        nextRequest &+= 1
        do throws(SystemError) {
            var rest = request.frame(request: number).encoded()[...]
            rest = rest.dropFirst(try socket.send(rest, descriptors: descriptors))
            while !rest.isEmpty { rest = rest.dropFirst(try socket.send(rest)) }
        } catch { throw RuntimeError("the machine does not take requests any more", error) }
        return number
    }

    /// The next message. nil at the end of the connection.
    /// - Parameter timeout: milliseconds; -1 waits for ever.
    /// - Throws: when the time is over.
    public func receive(timeout: Int32 = -1) throws(RuntimeError) -> (number: UInt32, reply: Reply)? {
        let deadline = timeout < 0 ? Int64.max : monotonicNanoseconds() + Int64(timeout) * 1_000_000
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            do throws(ProtocolError) {
                if let frame = try decoder.next() { return (frame.request, try Reply(frame)) }
            } catch { throw RuntimeError("the machine's answer cannot be understood: \(error)") }
            do throws(SystemError) {
                if timeout >= 0 {
                    let left = max(0, (deadline - monotonicNanoseconds()) / 1_000_000)
                    guard try waitReadable(socket.rawValue, milliseconds: Int32(left)) else { throw SystemError(.timedOut, "poll") }
                }
                var descriptors: [SharedDescriptor] = []
                let count = try socket.receive(into: &buffer, descriptors: &descriptors)
                if count == 0 { return nil }
                decoder.append(buffer[..<count])
            } catch where error.errno == .connectionReset {
                return nil
            } catch { throw RuntimeError("the machine does not answer", error) }
        }
    }

    /// Everything that has come, for a loop that knows that something has: several messages may have come at once, and only
    /// the first would wake it. nil at the end of the connection.
    public func receiveAvailable() throws(RuntimeError) -> [Reply]? {
        var buffer = [UInt8](repeating: 0, count: 65536)
        var replies: [Reply] = []
        do throws(SystemError) {
            var descriptors: [SharedDescriptor] = []
            let count = try socket.receive(into: &buffer, descriptors: &descriptors, nonBlocking: true)
            if count == 0 { return nil }
            decoder.append(buffer[..<count])
        } catch where error.errno == .wouldBlock {
        } catch where error.errno == .connectionReset {
            return nil
        } catch { throw RuntimeError("the machine does not answer", error) }
        do throws(ProtocolError) {
            while let frame = try decoder.next() { replies.append(try Reply(frame)) }
        } catch { throw RuntimeError("the machine's answer cannot be understood: \(error)") }
        return replies
    }

    /// Sends a request and waits for its answer.
    public func call(_ request: Request, descriptors: [Int32] = [], timeout: Int32 = -1) throws(RuntimeError) -> Reply? {
        try answer(to: try send(request, descriptors: descriptors), timeout: timeout)
    }

    /// Waits for the answer to a request that was sent; nil at the end of the connection.
    public func answer(to number: UInt32, timeout: Int32 = -1) throws(RuntimeError) -> Reply? {
        while let (answered, reply) = try receive(timeout: timeout) {
            if answered == number || answered == 0 { return reply }
        }
        return nil
    }

    /// A second descriptor of the connection, for a helper process.
    public func duplicate() throws(SystemError) -> OwnedDescriptor { try socket.duplicate() }
}
