import GuestRAM
import LinuxSystem
import Virtio

/// A driver's side of one queue: writes real rings in guest memory.
final class DriverRing {
    let memory: GuestMemory
    let base: UInt64
    let size: Int
    private var free: [UInt16]
    private var chains: [UInt16: [UInt16]] = [:]
    private var available: UInt16 = 0
    private var seenUsed: UInt16 = 0

    init(_ memory: GuestMemory, base: UInt64, size: Int) {
        self.memory = memory
        self.base = base
        self.size = size
        free = (0..<UInt16(size)).reversed()
    }

    var descriptors: UInt64 { base }
    var availableRing: UInt64 { base + 4096 }
    var usedRing: UInt64 { base + 8192 }
    var freeCount: Int { free.count }

    func store<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer, at address: UInt64) {
        memory.slice(at: GuestAddress(address), count: MemoryLayout<Integer>.size, writable: true)?.store(value, at: 0)
    }

    func load<Integer: FixedWidthInteger>(_ type: Integer.Type, at address: UInt64) -> Integer {
        memory.slice(at: GuestAddress(address), count: MemoryLayout<Integer>.size)?.load(type, at: 0) ?? 0
    }

    /// Returns the head, or nil when there are not enough descriptors.
    @discardableResult
    func offer(_ buffers: [(address: UInt64, count: Int, isWritable: Bool)]) -> UInt16? {
        guard free.count >= buffers.count, !buffers.isEmpty else { return nil }
        let indices = buffers.map { _ in free.removeLast() }
        for (position, buffer) in buffers.enumerated() {
            let entry = descriptors + UInt64(indices[position]) * 16
            let isLast = position == buffers.count - 1
            store(buffer.address, at: entry)
            store(UInt32(buffer.count), at: entry + 8)
            store(UInt16((isLast ? 0 : 1) | (buffer.isWritable ? 2 : 0)), at: entry + 12)
            store(isLast ? 0 : indices[position + 1], at: entry + 14)
        }
        chains[indices[0]] = indices
        store(indices[0], at: availableRing + 4 + UInt64(Int(available) % size) * 2)
        available &+= 1
        memoryFence()
        store(available, at: availableRing + 2)
        return indices[0]
    }

    func takeUsed() -> (head: UInt16, written: Int)? {
        guard load(UInt16.self, at: usedRing + 2) != seenUsed else { return nil }
        let entry = usedRing + 4 + UInt64(Int(seenUsed) % size) * 8
        seenUsed &+= 1
        let head = UInt16(truncatingIfNeeded: load(UInt32.self, at: entry))
        free.append(contentsOf: chains.removeValue(forKey: head) ?? [])
        return (head, Int(load(UInt32.self, at: entry + 4)))
    }
}

/// The driver's initialisation of a device (VIRTIO 1.2, 3.1 and 4.2.3), without optional features.
func initialize(_ transport: MMIOTransport, rings: [DriverRing]) {
    func register(_ offset: UInt64, _ value: UInt64) { transport.write(offset, value: value, count: 4) }
    for status in [1, 3] as [UInt64] { register(0x70, status) }
    register(0x24, 1)
    register(0x20, 1)  // VIRTIO_F_VERSION_1
    register(0x70, 11)
    for (index, ring) in rings.enumerated() {
        register(0x30, UInt64(index))
        register(0x38, UInt64(ring.size))
        for (offset, value) in [(0x80, ring.descriptors), (0x90, ring.availableRing), (0xA0, ring.usedRing)] as [(UInt64, UInt64)] {
            register(offset, value)
            register(offset + 4, 0)
        }
        register(0x44, 1)
    }
    register(0x70, 15)
}

/// One device behind its transport, with rings of 64 entries in a megabyte of memory from 0 on.
struct DriverBench {
    let memory: GuestMemory
    let transport: MMIOTransport
    let rings: [DriverRing]
    var isBroken: Bool { transport.read(0x70, count: 4) & 64 != 0 }

    init(_ device: any VirtioDevice) throws {
        let memory = GuestMemory(regions: [.init(base: GuestAddress(0), mapping: try Mapping(nil, count: 1 << 20, protection: 3, flags: 2))])
        self.memory = memory
        transport = try MMIOTransport(device, memory: memory)
        rings = device.queueSizes.indices.map { DriverRing(memory, base: 0x10000 + UInt64($0) * 0x4000, size: 64) }
        initialize(transport, rings: rings)
    }

    /// Offers one chain, notifies, and returns how many bytes the device says it wrote; nil when it did not answer.
    func request(queue: Int = 0, _ buffers: [(address: UInt64, count: Int, isWritable: Bool)]) -> Int? {
        rings[queue].offer(buffers)
        transport.notify(queue: queue)
        return rings[queue].takeUsed()?.written
    }
}

/// Deterministic noise.
struct Noise: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        var value = state
        value ^= value >> 33
        value = value &* 0xFF51_AFD7_ED55_8CCD
        return value ^ value >> 33
    }
    mutating func bytes(_ count: Int) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(count + 8)
        while result.count < count { unsafe withUnsafeBytes(of: next()) { unsafe result.append(contentsOf: $0) } }
        return Array(result.prefix(count))
    }
}
