import GuestRAM
import LinuxSystem
import Virtio
@testable import VirtioDevices

/// A guest with a vsock driver, driven step by step on the test's thread, which is also the event loop's.
final class VsockGuest {
    struct Packet {
        let header: VsockHeader
        let payload: [UInt8]
        var operation: VsockHeader.Operation? { VsockHeader.Operation(rawValue: header.operation) }
    }

    static let receiveSlot = 4096
    static let transmitSlot = 8192
    let loop: EventLoop
    let device: VsockDevice
    let transport: MMIOTransport
    let memory: GuestMemory
    let receiveRing: DriverRing
    let transmitRing: DriverRing
    private var receiveSlots: [UInt16: UInt64] = [:]
    private var freeReceiveSlots: [UInt64] = []
    private var transmitSlots: [UInt16: UInt64] = [:]
    private var freeTransmitSlots: [UInt64] = []
    private var streams: [UInt64: GuestStream] = [:]
    /// Packets for no known stream.
    private(set) var strays: [Packet] = []
    /// When true, used receive buffers are not offered again.
    var holdsReceiveBuffers = false
    var isBroken: Bool { transport.read(0x70, count: 4) & 64 != 0 }

    init(receiveBuffers: Int = 64) throws {
        loop = try EventLoop()
        device = try VsockDevice(loop: loop)
        let mapping = try Mapping(nil, count: 4 << 20, protection: 3, flags: 2)  // PROT_READ|PROT_WRITE, MAP_PRIVATE
        memory = GuestMemory(regions: [.init(base: GuestAddress(0), mapping: mapping)])
        transport = try MMIOTransport(device, memory: memory)
        receiveRing = DriverRing(memory, base: 0x10000, size: 64)
        transmitRing = DriverRing(memory, base: 0x20000, size: 128)
        freeReceiveSlots = (0..<receiveBuffers).map { 0x100000 + UInt64($0 * VsockGuest.receiveSlot) }
        freeTransmitSlots = (0..<60).map { 0x200000 + UInt64($0 * VsockGuest.transmitSlot) }
        start()
    }

    func start() {
        initialize(transport, rings: [receiveRing, transmitRing])
        runLoop()
        refill()
    }

    func resetDevice() { transport.write(0x70, value: 0, count: 4) }

    func runLoop() { while let count = try? loop.runOnce(timeout: 0), count > 0 {} }

    func refill() {
        while !holdsReceiveBuffers, let slot = freeReceiveSlots.last,
            let head = receiveRing.offer([(slot, VsockGuest.receiveSlot, true)])
        {
            freeReceiveSlots.removeLast()
            receiveSlots[head] = slot
        }
        transport.notify(queue: 0)
    }

    /// False when the transmit queue is full.
    @discardableResult
    func transmit(_ header: VsockHeader, _ payload: [UInt8] = [], length: Int? = nil) -> Bool {
        var header = header
        header.length = UInt32(length ?? payload.count)
        return transmitRaw(header.bytes + payload, headerCount: VsockHeader.size)
    }

    @discardableResult
    func transmitRaw(_ bytes: [UInt8], headerCount: Int) -> Bool {
        collectTransmitted()
        guard let slot = freeTransmitSlots.last, !bytes.isEmpty else { return false }
        _ = memory.write(bytes, at: GuestAddress(slot))
        let first = min(headerCount, bytes.count)
        var buffers = [(address: slot, count: first, isWritable: false)]
        if bytes.count > first { buffers.append((slot + UInt64(first), bytes.count - first, false)) }
        guard let head = transmitRing.offer(buffers) else { return false }
        freeTransmitSlots.removeLast()
        transmitSlots[head] = slot
        transport.notify(queue: 1)
        collectTransmitted()
        return true
    }

    private func collectTransmitted() {
        while let used = transmitRing.takeUsed() {
            if let slot = transmitSlots.removeValue(forKey: used.head) { freeTransmitSlots.append(slot) }
        }
    }

    /// Transmit chains that the device has not taken.
    var untakenTransmits: Int {
        collectTransmitted()
        return transmitSlots.count
    }

    /// Takes what the device has sent; returns the number of packets.
    @discardableResult
    func receive() -> Int {
        var count = 0
        while let used = receiveRing.takeUsed() {
            guard let slot = receiveSlots.removeValue(forKey: used.head) else { continue }
            freeReceiveSlots.append(slot)
            guard let bytes = memory.read(at: GuestAddress(slot), count: used.written), let header = VsockHeader(bytes) else { continue }
            count += 1
            let packet = Packet(header: header, payload: Array(bytes[VsockHeader.size...]))
            if let stream = streams[VsockGuest.key(header.destinationPort, header.sourcePort)] {
                stream.handle(packet)
            } else {
                strays.append(packet)
            }
        }
        if count > 0 { refill() }
        return count
    }

    /// Runs both sides until neither has anything to do.
    func settle() {
        while true {
            let handled = (try? loop.runOnce(timeout: 0)) ?? 0
            if receive() + handled == 0 { return }
        }
    }

    private static func key(_ guestPort: UInt32, _ hostPort: UInt32) -> UInt64 { UInt64(guestPort) << 32 | UInt64(hostPort) }

    func header(_ operation: VsockHeader.Operation, guestPort: UInt32, hostPort: UInt32) -> VsockHeader {
        var header = VsockHeader(
            from: VsockAddress(context: device.guestContext, port: guestPort),
            to: VsockAddress(context: VsockDevice.hostContext, port: hostPort), operation)
        header.bufferSize = UInt32(GuestStream.buffer)
        return header
    }

    /// Asks for a connection; the answer is in the stream after `settle`.
    func connect(guestPort: UInt32, hostPort: UInt32, reads: Bool = true) -> GuestStream {
        let stream = GuestStream(self, guestPort: guestPort, hostPort: hostPort)
        stream.reads = reads
        streams[VsockGuest.key(guestPort, hostPort)] = stream
        transmit(stream.header(.request))
        settle()
        return stream
    }
}

/// The guest's end of a connection, with honest credit unless a test says otherwise.
final class GuestStream {
    static let buffer = 64 << 10
    unowned let guest: VsockGuest
    let guestPort: UInt32
    let hostPort: UInt32
    var isConnected = false
    var isReset = false
    var shutdown: VsockShutdown = []
    var received: [UInt8] = []
    /// Consumes at once what it receives.
    var reads = true
    var operations: [VsockHeader.Operation] = []
    private(set) var receivedCount: UInt32 = 0
    private var forwarded: UInt32 = 0
    private var sentCount: UInt32 = 0
    private(set) var peerBuffer: UInt32 = 0
    private var peerForwarded: UInt32 = 0

    init(_ guest: VsockGuest, guestPort: UInt32, hostPort: UInt32) {
        self.guest = guest
        self.guestPort = guestPort
        self.hostPort = hostPort
    }

    func header(_ operation: VsockHeader.Operation) -> VsockHeader {
        var header = guest.header(operation, guestPort: guestPort, hostPort: hostPort)
        header.forwarded = forwarded
        return header
    }

    var credit: Int { Int(peerBuffer) - Int(sentCount &- peerForwarded) }

    /// Sends what credit and the transmit queue allow; returns how many bytes.
    func send(_ bytes: ArraySlice<UInt8>) -> Int {
        var done = 0
        while done < bytes.count {
            let count = min(bytes.count - done, credit, VsockGuest.transmitSlot - VsockHeader.size)
            let piece = bytes[(bytes.startIndex + done)..<(bytes.startIndex + done + max(count, 0))]
            guard count > 0, guest.transmit(header(.data), Array(piece)) else { break }
            sentCount &+= UInt32(count)
            done += count
        }
        return done
    }

    func shutDown(_ directions: VsockShutdown) {
        var packet = header(.shutdown)
        packet.flags = directions.rawValue
        guest.transmit(packet)
    }

    /// Reads everything that has come and tells the host.
    func read() {
        forwarded = receivedCount
        guest.transmit(header(.creditUpdate))
    }

    func handle(_ packet: VsockGuest.Packet) {
        peerBuffer = packet.header.bufferSize
        peerForwarded = packet.header.forwarded
        guard let operation = packet.operation else { return }
        operations.append(operation)
        switch operation {
        case .response: isConnected = true
        case .reset: isReset = true
        case .shutdown: shutdown.formUnion(VsockShutdown(rawValue: packet.header.flags))
        case .data:
            received += packet.payload
            receivedCount &+= UInt32(packet.payload.count)
            if reads {
                forwarded = receivedCount
                // As Linux does: only when three quarters of the buffer are gone would it say so; here at once.
                guest.transmit(header(.creditUpdate))
            }
        default: break
        }
    }
}
