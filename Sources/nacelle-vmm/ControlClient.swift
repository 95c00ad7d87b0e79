import AgentProtocol
import LinuxSystem

/// One connection of a runtime to the control socket.
final class ControlClient {
    private let socket: OwnedDescriptor
    private let loop: EventLoop
    private var decoder = FrameDecoder()
    private var descriptors: [SharedDescriptor] = []
    private var outgoing: [UInt8] = []
    private var isClosed = false
    /// What its own process numbers mean.
    var processes: [ProcessIdentifier: ProcessIdentifier] = [.container: .container]
    private let onRequest: (ControlClient, UInt32, Request) -> Void
    private let onClose: (ControlClient) -> Void

    private enum Limit {
        static let descriptors = 16
        static let outgoing = 1 << 20
    }

    init(
        _ socket: consuming OwnedDescriptor, loop: EventLoop, onRequest: @escaping (ControlClient, UInt32, Request) -> Void,
        onClose: @escaping (ControlClient) -> Void
    ) throws(SystemError) {
        self.socket = socket
        self.loop = loop
        self.onRequest = onRequest
        self.onClose = onClose
        try loop.add(self.socket.rawValue, .readable) { [weak self] readiness in self?.ready(readiness) }
    }

    /// Takes the descriptors that came with a request: `count` of them, or nil when they are not there.
    func takeDescriptors(_ count: Int) -> [SharedDescriptor]? {
        guard descriptors.count >= count else { return nil }
        defer { descriptors.removeFirst(count) }
        return Array(descriptors.prefix(count))
    }

    func reply(_ reply: Reply, to request: UInt32) {
        guard !isClosed else { return }
        outgoing.append(contentsOf: reply.frame(request: request).encoded())
        if outgoing.count > Limit.outgoing { return close() }
        flush()
    }

    /// Nothing is left to send.
    var isFlushed: Bool { outgoing.isEmpty || isClosed }

    private func ready(_ readiness: Readiness) {
        if readiness.contains(.writable) { flush() }
        if !readiness.isDisjoint(with: [.readable, .hangup, .error]) { receive() }
    }

    private func receive() {
        var buffer = [UInt8](repeating: 0, count: 65536)
        do throws(SystemError) {
            let count = try socket.receive(into: &buffer, descriptors: &descriptors, nonBlocking: true)
            guard count > 0, descriptors.count <= Limit.descriptors else { return close() }
            decoder.append(buffer[..<count])
        } catch where error.errno == .wouldBlock {
            return
        } catch {
            return close()
        }
        do throws(ProtocolError) {
            while !isClosed, let frame = try decoder.next() {
                onRequest(self, frame.request, try Request(frame))
            }
        } catch {
            reply(.failed(Failure(.other, "\(error)")), to: 0)
            close()
        }
    }

    private func flush() {
        while !outgoing.isEmpty && !isClosed {
            do throws(SystemError) {
                outgoing.removeFirst(try socket.send(outgoing, nonBlocking: true))
            } catch where error.errno == .wouldBlock {
                break
            } catch {
                return close()
            }
        }
        if !isClosed { try? loop.modify(socket.rawValue, outgoing.isEmpty ? .readable : [.readable, .writable]) }
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        loop.remove(socket.rawValue)
        onClose(self)
    }
}
