import GuestRAM
import LinuxSystem
import Synchronization
import Testing
import Virtio
@testable import VirtioDevices

/// What the loop's thread owns, handed over to it.
private final class Handover: @unchecked Sendable {
    let loop: EventLoop
    let device: VsockDevice
    let accepted = Atomic<Int>(0)
    let closed = Atomic<Int>(0)
    let isStopping = Atomic<Bool>(false)
    let hasStopped = Atomic<Bool>(false)

    init() throws {
        loop = try EventLoop()
        device = try VsockDevice(loop: loop)
    }

    func run() {
        device.listen(port: 1, once: false) { [self] connection in
            accepted.add(1, ordering: .relaxed)
            connection.onData = { connection.consume($0.count); connection.send($0) }
            connection.onClosed = { [self] in closed.add(1, ordering: .relaxed) }
            connection.send([UInt8](repeating: 1, count: 10_000))
        }
        while !isStopping.load(ordering: .relaxed) { _ = try? loop.runOnce(timeout: 10) }
        hasStopped.store(true, ordering: .releasing)
    }
}

@Suite struct VsockThreadTests {
    /// The driver on a thread of its own, as a vCPU is, that resets the device in the middle of everything.
    @Test func driverOnAnotherThread() throws {
        let shared = try Handover()
        let memory = GuestMemory(regions: [.init(base: GuestAddress(0), mapping: try Mapping(nil, count: 1 << 20, protection: 3, flags: 2))])
        let transport = try MMIOTransport(shared.device, memory: memory)
        try startThread(name: "loop") { shared.run() }
        var responses = 0
        for round in 0..<300 {
            memory.slice(at: GuestAddress(0), count: 1 << 20, writable: true)?.clear()
            let rings = [DriverRing(memory, base: 0x10000, size: 64), DriverRing(memory, base: 0x20000, size: 64)]
            initialize(transport, rings: rings)
            for slot in 0..<64 { rings[0].offer([(0x40000 + UInt64(slot) * 4096, 4096, true)]) }
            transport.notify(queue: 0)
            for port in 0..<8 as Range<UInt32> {
                var header = VsockHeader(from: VsockAddress(context: 3, port: port), to: VsockAddress(context: 2, port: 1), .request)
                header.bufferSize = 1 << 20
                let request = header.bytes
                header.operation = VsockHeader.Operation.data.rawValue
                header.length = 2000
                _ = memory.write(request + header.bytes, at: GuestAddress(0x80000 + UInt64(port) * 4096))
                rings[1].offer([(0x80000 + UInt64(port) * 4096, 44, false)])
                rings[1].offer([(0x80000 + UInt64(port) * 4096 + 44, 2044, false)])
                transport.notify(queue: 1)
            }
            // Sometimes wait for an answer, sometimes reset at once.
            if round % 3 != 0 {
                for _ in 0..<2_000_000 {
                    if let used = rings[0].takeUsed() {
                        #expect(used.written >= 44)
                        responses += 1
                        break
                    }
                }
            }
            transport.write(0x70, value: 0, count: 4)
        }
        shared.isStopping.store(true, ordering: .relaxed)
        while !shared.hasStopped.load(ordering: .acquiring) {}
        #expect(responses > 0 && shared.accepted.load(ordering: .relaxed) > 0)
        shared.device.perform {}
        #expect(shared.closed.load(ordering: .relaxed) == shared.accepted.load(ordering: .relaxed))
        #expect(shared.device.connectionCount == 0)
    }
}
