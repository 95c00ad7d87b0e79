internal import GuestRAM
internal import Virtio

/// A stream between a port of the guest and one of ours, with credit in both directions (VIRTIO 1.2, 5.10.6.3).
///
/// Everything here is called, and calls back, on the event loop's thread. The callbacks are released when the connection closes.
public final class VsockConnection {
    /// Bytes that the guest may send beyond what was consumed.
    public static let receiveBuffer = 256 << 10

    public let guestPort: UInt32
    public let hostPort: UInt32

    /// Bytes came. Whoever takes them calls `consume` when they are done with; until then they count against the guest's credit.
    public var onData: (([UInt8]) -> Void)?
    /// There is room to send again: the queue has shrunk, or the guest has given credit.
    public var onWritable: (() -> Void)?
    /// The guest has closed these directions (all that it has closed so far).
    public var onPeerShutdown: ((VsockShutdown) -> Void)?
    /// The connection is gone, by reset from either end, orderly close or the device's reset. Nothing is called after this.
    public var onClosed: (() -> Void)?
    /// Instead of `onData`: the payload where it lies in guest memory, valid only during the call.
    var onPayload: (([GuestSlice]) -> Void)?

    /// Bytes that `send` may queue beyond what the guest has taken.
    public var sendLimit = 256 << 10

    /// False as soon as it is closed or reset.
    public private(set) var isOpen = true

    private unowned let device: VsockDevice

    // What the guest may send.
    private var received: UInt32 = 0
    private var forwarded: UInt32 = 0
    private var advertisedForwarded: UInt32 = 0
    // What we may send.
    private var sent: UInt32 = 0
    private var peerBuffer: UInt32 = 0
    private var peerForwarded: UInt32 = 0
    private var outgoing = ByteQueue()
    // Half-closes: what the guest said, what we want to say, what we have said.
    private(set) var peerShutdown: VsockShutdown = []
    private var wantedShutdown: VsockShutdown = []
    private var sentShutdown: VsockShutdown = []
    // Packets owed to the guest.
    private var owesResponse = true
    private var owesCreditUpdate = false
    private(set) var owesReset = false
    /// Whether it stands in the device's round-robin queue.
    var isScheduled = false

    init(device: VsockDevice, guestPort: UInt32, hostPort: UInt32) {
        self.device = device
        self.guestPort = guestPort
        self.hostPort = hostPort
    }

    // MARK: Use

    /// Queues bytes for the guest and returns how many fitted (`sendLimit`); `onWritable` says when to go on.
    /// After `shutdownSend` or on a closed connection nothing is taken.
    @discardableResult
    public func send(_ bytes: [UInt8]) -> Int {
        guard isOpen, !wantedShutdown.contains(.send), !peerShutdown.contains(.receive) else { return 0 }
        let count = min(bytes.count, max(0, sendLimit - outgoing.count))
        outgoing.append(count == bytes.count ? bytes : Array(bytes[..<count]))
        device.perform { device.schedule(self) }
        return count
    }

    /// Bytes queued that have not gone to the guest.
    public var unsentCount: Int { outgoing.count }

    /// How many bytes could go to the guest right now: its credit less what is queued. For a source that should not be read ahead.
    public var sendSpace: Int { max(0, min(credit, sendLimit) - outgoing.count) }

    /// Bytes that the guest has room for.
    private var credit: Int { max(0, Int(peerBuffer) - Int(sent &- peerForwarded)) }

    /// Gives the guest credit for bytes that were received and are done with.
    public func consume(_ count: Int) {
        guard isOpen, count > 0 else { return }
        forwarded &+= UInt32(min(count, Int(received &- forwarded)))
        let assumedFree = VsockConnection.receiveBuffer - Int(received &- advertisedForwarded)
        guard forwarded != advertisedForwarded, assumedFree < VsockConnection.receiveBuffer / 2 else { return }
        owesCreditUpdate = true
        device.perform { device.schedule(self) }
    }

    /// Says, after all that is queued, that no more bytes come.
    public func shutdownSend() { shutDown(.send) }

    /// Says that no more bytes are wanted. What is still on its way is dropped.
    public func shutdownReceive() { shutDown(.receive) }

    private func shutDown(_ direction: VsockShutdown) {
        guard isOpen, !wantedShutdown.contains(direction) else { return }
        wantedShutdown.insert(direction)
        device.perform { device.schedule(self) }
    }

    /// Ends the connection at once, dropping what is queued. `onClosed` is called.
    public func reset() {
        guard isOpen else { return }
        owesReset = true
        outgoing.removeAll()
        didClose()
        device.perform { device.schedule(self) }
    }

    // MARK: From the guest

    /// Takes note of the guest's credit, which every packet carries.
    func noteCredit(_ header: VsockHeader) {
        let before = credit
        peerBuffer = header.bufferSize
        peerForwarded = header.forwarded
        guard isOpen, credit > before else { return }
        device.schedule(self)
        if outgoing.count * 2 <= sendLimit { onWritable?() }
    }

    /// Payload arrived. False when the guest sends more than it may, or after it said that it would not.
    func receive(_ payload: [GuestSlice], count: Int) -> Bool {
        guard !peerShutdown.contains(.send), count <= VsockConnection.receiveBuffer - Int(received &- forwarded) else { return false }
        guard count > 0 else { return true }
        received &+= UInt32(count)
        // What comes after we said that we want no more gets no credit back, so it ends by itself.
        if wantedShutdown.contains(.receive) { return true }
        if let onPayload { onPayload(payload) } else if let onData { onData(payload.bytes()) }
        return true
    }

    func peerShutDown(_ directions: VsockShutdown) {
        peerShutdown.formUnion(directions.intersection(.both))
        if peerShutdown.contains(.receive) { outgoing.removeAll() }
        onPeerShutdown?(peerShutdown)
    }

    func oweCreditUpdate() {
        owesCreditUpdate = true
        device.schedule(self)
    }

    func didClose() {
        guard isOpen else { return }
        isOpen = false
        let last = onClosed
        (onData, onWritable, onPeerShutdown, onClosed, onPayload) = (nil, nil, nil, nil, nil)
        last?()
    }

    // MARK: To the guest

    var hasPacket: Bool {
        if owesReset { return true }
        guard isOpen else { return false }
        return owesResponse || owesCreditUpdate || canSendData || dueShutdown != sentShutdown
    }

    private var canSendData: Bool { !outgoing.isEmpty && credit > 0 }

    /// What we may say to have shut down: sending only when everything has been sent.
    private var dueShutdown: VsockShutdown {
        outgoing.isEmpty ? wantedShutdown : wantedShutdown.subtracting(.send)
    }

    /// Writes the next packet into a chain of `space` writable bytes; returns the number written.
    func writePacket(to buffers: [GuestSlice], space: Int) -> Int {
        var header = VsockHeader(from: device.hostAddress(hostPort), to: device.guestAddress(guestPort), .creditUpdate)
        var payload: ArraySlice<UInt8> = []
        if owesReset {
            header.operation = VsockHeader.Operation.reset.rawValue
            owesReset = false
        } else if owesResponse {
            header.operation = VsockHeader.Operation.response.rawValue
            owesResponse = false
        } else if dueShutdown != sentShutdown {
            header.operation = VsockHeader.Operation.shutdown.rawValue
            sentShutdown = dueShutdown
            header.flags = sentShutdown.rawValue
        } else if canSendData {
            header.operation = VsockHeader.Operation.data.rawValue
            payload = outgoing.front.prefix(max(0, min(credit, space - VsockHeader.size)))
            header.length = UInt32(payload.count)
        }
        header.bufferSize = UInt32(VsockConnection.receiveBuffer)
        header.forwarded = forwarded
        advertisedForwarded = forwarded
        owesCreditUpdate = false
        var written = buffers.write(header.bytes)
        if !payload.isEmpty {
            written += buffers.write(Array(payload), at: VsockHeader.size)
            sent &+= UInt32(payload.count)
            outgoing.removeFirst(payload.count)
        }
        return written
    }

    /// Called when a packet has gone and the connection may take more.
    func didSend() {
        if isOpen && outgoing.count * 2 <= sendLimit { onWritable?() }
    }
}
