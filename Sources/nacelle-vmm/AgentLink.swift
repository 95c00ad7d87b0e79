import AgentProtocol
import VirtioDevices

/// The control connection of the guest's agent. What comes from it is hostile.
final class AgentLink {
    private let connection: VsockConnection
    private var decoder = FrameDecoder()
    private var nextRequest: UInt32 = 1
    private var pending: [UInt32: (Reply) -> Void] = [:]
    /// Something happened that answers no request.
    var onEvent: (Reply) -> Void = { _ in }
    var onClosed: (String) -> Void = { _ in }

    init(_ connection: VsockConnection) {
        self.connection = connection
        connection.onData = { [weak self] bytes in self?.received(bytes) }
        connection.onClosed = { [weak self] in self?.onClosed("the guest closed it") }
        // A container's configuration is one message.
        connection.sendLimit = 2 * Frame.maximumPayload
    }

    func send(_ request: Request, reply: @escaping (Reply) -> Void) {
        let number = nextRequest
        nextRequest = nextRequest == .max ? 1 : nextRequest + 1
        pending[number] = reply
        let bytes = request.frame(request: number).encoded()
        if connection.send(bytes) < bytes.count { onClosed("it takes no more requests") }
    }

    /// Answers everything that still waits.
    func failAll(_ reply: Reply) {
        let waiting = pending
        pending = [:]
        for answer in waiting.values { answer(reply) }
    }

    private func received(_ bytes: [UInt8]) {
        decoder.append(bytes)
        connection.consume(bytes.count)
        do throws(ProtocolError) {
            while let frame = try decoder.next() {
                let reply = try Reply(frame)
                if frame.request == 0 {
                    onEvent(reply)
                } else {
                    pending.removeValue(forKey: frame.request)?(reply)
                }
            }
        } catch {
            onClosed("\(error)")
        }
    }
}
