internal import LinuxSystem

/// Who is attached to a container: gives them its output, and takes their input. Whoever does not read makes the container wait, as a terminal does.
final class AttachServer {
    private final class Client {
        var inlet: Inlet?
        var outlet: Outlet?
        var reader = AttachReader()
        var wantsOutput = false
        /// Its input is waiting for the container to read.
        var isHeld = false
    }

    private let loop: EventLoop
    private var listener: SharedDescriptor?
    private var clients: [ObjectIdentifier: Client] = [:]
    /// More than people attach; each takes a descriptor or two.
    private static let mostClients = 64

    /// A message of a client's that concerns the container.
    var onMessage: (AttachMessage) -> Void = { _ in }
    /// Somebody who was slow has caught up, or is gone.
    var onRoom: () -> Void = {}
    /// Whether the container's input has room.
    var takesInput: () -> Bool = { true }

    init(_ loop: EventLoop) { self.loop = loop }

    /// Listens at a socket, in place of one that a supervisor before this one left.
    func listen(in folder: ContainerFolder) throws(SystemError) {
        let directory = try folder.open()
        do throws(SystemError) { try directory.removeFile(try EntryName("attach")) } catch where error.errno == .noSuchFile {}
        let listener = SharedDescriptor(try OwnedDescriptor.unixListener(path: ContainerFolder.shortPath("attach", in: directory)))
        try listener.setNonBlocking(true)
        self.listener = listener
        try loop.add(listener.rawValue, .readable) { [unowned self] _ in
            let connection = try? listener.with { (end) throws(SystemError) in SharedDescriptor(try end.accept()) }
            // One that has gone again is nobody's loss.
            if let connection { try? add(connection) }
        }
    }

    /// - Parameter wantsOutput: known already, before its first message is read: nothing of the output may be missed.
    func add(_ connection: SharedDescriptor, wantsOutput: Bool = false) throws(SystemError) {
        guard clients.count < Self.mostClients else { return }
        let client = Client()
        client.wantsOutput = wantsOutput
        let id = ObjectIdentifier(client)
        client.outlet = try Outlet(try connection.duplicate(), loop, onClose: { [unowned self] in remove(id) })
        client.outlet?.onRoom = { [unowned self] in onRoom() }
        client.inlet = try Inlet(
            try connection.duplicate(), loop, onBytes: { [unowned self, unowned client] in receive($0, client, id) }, onEnd: { [unowned self] in remove(id) })
        clients[id] = client
        try client.inlet?.resume()
    }

    private func receive(_ bytes: [UInt8], _ client: Client, _ id: ObjectIdentifier) {
        client.reader.add(bytes)
        do throws(AttachReader.Malformed) {
            while let message = try client.reader.next() {
                if case .hello(let wantsOutput) = message { client.wantsOutput = wantsOutput } else { onMessage(message) }
            }
        } catch { return remove(id) }
        if !takesInput() {
            client.isHeld = true
            client.inlet?.pause()
        }
    }

    /// The container reads again.
    func resumeInput() {
        for client in clients.values where client.isHeld {
            client.isHeld = false
            // A loop that cannot watch any more descriptors loses this client, nothing else.
            if (try? client.inlet?.resume()) == nil { client.inlet?.close() }
        }
    }

    private func remove(_ id: ObjectIdentifier) {
        guard let client = clients.removeValue(forKey: id) else { return }
        removed.append(client)
        client.inlet?.pause()
        client.outlet?.close()
        onRoom()
    }

    /// Kept until the handlers that are running have returned.
    private var removed: [Client] = []
    func forgetRemoved() { removed = [] }

    var isFull: Bool { clients.values.contains { $0.outlet?.isFull == true } }

    func show(_ bytes: [UInt8], _ make: ([UInt8]) -> AttachMessage) {
        guard clients.values.contains(where: \.wantsOutput) else { return }
        let message = make(bytes).bytes
        for client in clients.values where client.wantsOutput { client.outlet?.write(message) }
    }

    /// Tells all how it ended, and waits until they have taken everything, or are gone.
    func end(_ code: Int32, _ text: String) throws(SystemError) {
        if let listener { loop.remove(listener.rawValue) }
        listener = nil
        for client in Array(clients.values) {
            client.inlet?.pause()
            client.outlet?.write(AttachMessage.ended(code, text).bytes)
        }
        while clients.values.contains(where: { $0.outlet?.isEmpty == false }) {
            try loop.runOnce()
            forgetRemoved()
        }
    }
}
