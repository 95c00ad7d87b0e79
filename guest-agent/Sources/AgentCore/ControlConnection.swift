public import AgentProtocol
public import LinuxSystem

/// The agent's end of the control connection: frames in, frames out, without ever blocking.
public final class ControlConnection {
    /// While more than this is waiting to be sent, no request is read: the host must take its answers.
    private static let backlogLimit = 64 << 10

    private let loop: EventLoop
    private var socket: SharedDescriptor?
    private var decoder = FrameDecoder()
    private var buffer = [UInt8](repeating: 0, count: 16 << 10)
    private var outgoing: [UInt8] = []
    private var sent = 0

    /// What to do with a request; `identifier` goes into its reply.
    public var onRequest: (_ identifier: UInt32, _ request: Request) -> Void = { _, _ in }
    /// The connection has ended, with the reason when it was not merely closed. Nothing can be sent any more.
    public var onEnd: (_ reason: String?) -> Void = { _ in }

    public init(_ socket: SharedDescriptor, loop: EventLoop) throws(SystemError) {
        self.loop = loop
        self.socket = socket
        try socket.setNonBlocking(true)
        try loop.add(socket.rawValue, .readable) { [weak self] in self?.ready($0) }
    }

    /// Queues a reply (or with request 0 an event) and sends what can be sent.
    public func send(_ reply: Reply, request: UInt32) {
        guard socket != nil else { return }
        outgoing.append(contentsOf: reply.frame(request: request).encoded())
        flush()
    }

    private var isBacklogged: Bool { outgoing.count - sent > ControlConnection.backlogLimit }

    private func ready(_ readiness: Readiness) {
        if readiness.contains(.writable) { flush() }
        guard !readiness.isDisjoint(with: [.readable, .hangup, .error]), !isBacklogged, let socket else { return }
        switch socket.readSome(into: &buffer) {
        case .wouldBlock: return
        case .end: end(nil)
        case .failed(let errno): end("read: \(errno)")
        case .bytes(let count):
            decoder.append(buffer[..<count])
            serve()
        }
    }

    /// Hands on the requests that are complete.
    private func serve() {
        while socket != nil {
            let frame: Frame
            do throws(ProtocolError) {
                guard let next = try decoder.next() else { return }
                frame = next
            } catch {
                return end("\(error)")  // where the next frame would begin is unknown
            }
            do throws(ProtocolError) {
                onRequest(frame.request, try Request(frame))
            } catch {
                send(.failed(Failure(.other, "\(error)")), request: frame.request)
            }
        }
    }

    private func flush() {
        while let socket, sent < outgoing.count {
            switch socket.writeSome(outgoing, sent..<outgoing.count) {
            case .bytes(let count): sent += count
            case .wouldBlock, .end: return watch()
            case .failed(let errno): return end("write: \(errno)")
            }
        }
        outgoing.removeAll(keepingCapacity: false)
        sent = 0
        watch()
    }

    private var watchesWriting = false
    private var watchesReading = true

    private func watch() {
        guard let socket else { return }
        let writing = sent < outgoing.count
        let reading = !isBacklogged
        guard writing != watchesWriting || reading != watchesReading else { return }
        watchesWriting = writing
        watchesReading = reading
        do throws(SystemError) {
            try loop.modify(socket.rawValue, (reading ? Readiness.readable : []).union(writing ? .writable : []))
        } catch { end("\(error)") }
    }

    private func end(_ reason: String?) {
        guard let socket else { return }
        loop.remove(socket.rawValue)
        self.socket = nil
        onEnd(reason)
    }
}
