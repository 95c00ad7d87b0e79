import GuestRAM
import LinuxSystem
import Testing
import Virtio

/// A virtqueue of eight entries in a small memory, and direct access to its rings.
private struct Rings {
    static let size = 8
    static let table: UInt64 = 0x1000, available: UInt64 = 0x2000, used: UInt64 = 0x3000
    let memory: GuestMemory
    let queue: Virtqueue

    init(hasEventIndex: Bool = false) throws {
        memory = GuestMemory(regions: [
            .init(base: GuestAddress(0), mapping: try Mapping(nil, count: 0x10000, protection: 3, flags: 2)),
            .init(base: GuestAddress(0x10000), mapping: try Mapping(nil, count: 0x1000, protection: 3, flags: 2), isWritable: false),
        ])
        queue = try Virtqueue(
            memory: memory, size: UInt16(Rings.size), descriptors: GuestAddress(Rings.table), available: GuestAddress(Rings.available),
            used: GuestAddress(Rings.used), hasEventIndex: hasEventIndex)
    }

    func store<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer, at address: UInt64) {
        memory.slice(at: GuestAddress(address), count: MemoryLayout<Integer>.size, writable: true)?.store(value, at: 0)
    }
    func load<Integer: FixedWidthInteger>(_ type: Integer.Type, at address: UInt64) -> Integer? {
        memory.slice(at: GuestAddress(address), count: MemoryLayout<Integer>.size)?.load(type, at: 0)
    }
    func describe(_ index: Int, address: UInt64, count: UInt32, flags: UInt16 = 0, next: UInt16 = 0, table: UInt64 = Rings.table) {
        let entry = table + UInt64(index) * 16
        store(address, at: entry)
        store(count, at: entry + 8)
        store(flags, at: entry + 12)
        store(next, at: entry + 14)
    }
    /// Puts a head into the available ring at position `index` and publishes it.
    func offer(_ head: UInt16, index: UInt16) {
        store(head, at: Rings.available + 4 + UInt64(index % UInt16(Rings.size)) * 2)
        store(index &+ 1, at: Rings.available + 2)
    }
}

private let next: UInt16 = 1, write: UInt16 = 2, indirect: UInt16 = 4

@Suite struct VirtqueueTests {
    @Test(arguments: [
        (8, 0x1000, 0x2000, 0x3000, true), (0, 0x1000, 0x2000, 0x3000, false), (3, 0x1000, 0x2000, 0x3000, false),
        (32768, 0x1000, 0x2000, 0x3000, false), (8, 0x1008, 0x2000, 0x3000, false), (8, 0x1000, 0x2001, 0x3000, false),
        (8, 0x1000, 0x2000, 0x3002, false), (8, 0xFFF0, 0x2000, 0x3000, false), (8, 0x1000, 0x10FFC, 0x3000, false),
        (8, 0x1000, 0x2000, 0x10000, false), (8, 0x1000, 0x10000, 0x3000, true), (8, 0xFFFF_FFFF_FFFF_FFF0, 0x2000, 0x3000, false),
        (8, 0x1000, 0x2000, 0xFFFF_FFFF_FFFF_FFFC, false),
    ] as [(UInt16, UInt64, UInt64, UInt64, Bool)])
    func ringsMustLieInMemory(size: UInt16, table: UInt64, available: UInt64, used: UInt64, isValid: Bool) throws {
        let memory = try Rings().memory
        let queue = try? Virtqueue(memory: memory, size: size, descriptors: GuestAddress(table), available: GuestAddress(available), used: GuestAddress(used), hasEventIndex: false)
        #expect((queue != nil) == isValid)
    }

    @Test func aChainComesInOrder() throws {
        let rings = try Rings()
        #expect(try rings.queue.pop() == nil)
        rings.describe(3, address: 0x4000, count: 10, flags: next, next: 1)
        rings.describe(1, address: 0x5000, count: 20, flags: next, next: 0)
        rings.describe(0, address: 0x6000, count: 30, flags: next | write, next: 7)
        rings.describe(7, address: 0x7000, count: 0, flags: write)
        rings.offer(3, index: 0)
        #expect(rings.queue.hasAvailable)
        let chain = try #require(try rings.queue.pop())
        #expect(chain.head == 3)
        #expect(chain.readable.map(\.count) == [10, 20] && chain.writable.map(\.count) == [30, 0])
        #expect(try rings.queue.pop() == nil)
        rings.queue.push(chain.head, written: 12)
        #expect(rings.load(UInt16.self, at: Rings.used + 2) == 1)
        #expect(rings.load(UInt32.self, at: Rings.used + 4) == 3 && rings.load(UInt32.self, at: Rings.used + 8) == 12)
    }

    struct Hostile: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let error: VirtqueueError
        let descriptors: [(address: UInt64, count: UInt32, flags: UInt16, next: UInt16)]
    }

    @Test(arguments: [
        Hostile(testDescription: "points to itself", error: .invalidDescriptor, descriptors: [(0x4000, 1, next, 0)]),
        Hostile(testDescription: "loop of two", error: .invalidDescriptor, descriptors: [(0x4000, 1, next, 1), (0x4000, 1, next, 0)]),
        Hostile(testDescription: "next out of range", error: .invalidDescriptor, descriptors: [(0x4000, 1, next, 8)]),
        Hostile(testDescription: "next far out of range", error: .invalidDescriptor, descriptors: [(0x4000, 1, next, 0xFFFF)]),
        Hostile(testDescription: "outside memory", error: .invalidBuffer, descriptors: [(0x20000, 1, 0, 0)]),
        Hostile(testDescription: "over the region's end", error: .invalidBuffer, descriptors: [(0xFFFF, 2, 0, 0)]),
        Hostile(testDescription: "wraps the address space", error: .invalidBuffer, descriptors: [(.max, 2, 0, 0)]),
        Hostile(testDescription: "4 GiB long", error: .invalidBuffer, descriptors: [(0x4000, .max, 0, 0)]),
        Hostile(testDescription: "writes read-only memory", error: .invalidBuffer, descriptors: [(0x10000, 1, write, 0)]),
        Hostile(testDescription: "readable after writable", error: .invalidDescriptor, descriptors: [(0x4000, 1, next | write, 1), (0x4000, 1, 0, 0)]),
        Hostile(testDescription: "indirect with next", error: .invalidDescriptor, descriptors: [(0x8000, 16, indirect | next, 1), (0x4000, 1, 0, 0)]),
        Hostile(testDescription: "indirect and writable", error: .invalidDescriptor, descriptors: [(0x8000, 16, indirect | write, 0)]),
        Hostile(testDescription: "indirect after direct", error: .invalidDescriptor, descriptors: [(0x4000, 1, next, 1), (0x8000, 16, indirect, 0)]),
        Hostile(testDescription: "empty indirect table", error: .invalidDescriptor, descriptors: [(0x8000, 0, indirect, 0)]),
        Hostile(testDescription: "half an entry", error: .invalidDescriptor, descriptors: [(0x8000, 24, indirect, 0)]),
        Hostile(testDescription: "indirect table longer than the queue", error: .invalidDescriptor, descriptors: [(0x8000, 16 * 9, indirect, 0)]),
        Hostile(testDescription: "huge indirect table", error: .invalidDescriptor, descriptors: [(0x8000, 0xFFFF_FFF0, indirect, 0)]),
        Hostile(testDescription: "indirect table outside memory", error: .invalidDescriptor, descriptors: [(0x20000, 16, indirect, 0)]),
        Hostile(testDescription: "nested indirect", error: .invalidDescriptor, descriptors: [(Rings.table, 16, indirect, 0)]),
    ])
    func hostileTables(_ hostile: Hostile) throws {
        let rings = try Rings()
        for (index, entry) in hostile.descriptors.enumerated() {
            rings.describe(index, address: entry.address, count: entry.count, flags: entry.flags, next: entry.next)
        }
        rings.offer(0, index: 0)
        #expect(throws: hostile.error) { try rings.queue.pop() }
    }

    @Test func headOutOfRange() throws {
        let rings = try Rings()
        rings.offer(8, index: 0)
        #expect(throws: VirtqueueError.invalidDescriptor) { try rings.queue.pop() }
    }

    @Test(arguments: [9, 10, 0x8000, 0xFFFF] as [UInt16])
    func availableIndexJumps(index: UInt16) throws {
        let rings = try Rings()
        rings.store(index, at: Rings.available + 2)
        #expect(throws: VirtqueueError.invalidAvailableIndex) { try rings.queue.pop() }
    }

    @Test func indirectTables() throws {
        let rings = try Rings()
        rings.describe(0, address: 0x8000, count: 16 * 8, flags: indirect)
        for index in 0..<8 {
            rings.describe(index, address: 0x9000, count: UInt32(index + 1), flags: (index < 7 ? next : 0) | (index > 3 ? write : 0), next: UInt16(index + 1), table: 0x8000)
        }
        rings.offer(0, index: 0)
        let chain = try #require(try rings.queue.pop())
        #expect(chain.readable.map(\.count) == [1, 2, 3, 4] && chain.writable.map(\.count) == [5, 6, 7, 8])
        // The same table with a loop inside.
        rings.describe(7, address: 0x9000, count: 1, flags: next | write, next: 4, table: 0x8000)
        rings.offer(0, index: 1)
        #expect(throws: VirtqueueError.invalidDescriptor) { try rings.queue.pop() }
    }

    @Test func indicesWrapAround() throws {
        let rings = try Rings()
        rings.describe(2, address: 0x4000, count: 4, flags: write)
        for index in 0..<(65536 + 20) {
            rings.offer(2, index: UInt16(truncatingIfNeeded: index))
            let chain = try rings.queue.pop()
            guard let chain, chain.head == 2 else {
                Issue.record("nothing at \(index)")
                return
            }
            rings.queue.push(chain.head, written: index)
        }
        #expect(rings.load(UInt16.self, at: Rings.used + 2) == 20)
        #expect(rings.load(UInt32.self, at: Rings.used + 4 + 3 * 8 + 4) == UInt32(65536 + 19))
        #expect(try rings.queue.pop() == nil)
    }

    @Test func interruptsWithoutEventIndex() throws {
        let rings = try Rings()
        #expect(!rings.queue.needsInterrupt())
        rings.queue.push(0, written: 0)
        #expect(rings.queue.needsInterrupt())
        #expect(!rings.queue.needsInterrupt(), "asked already")
        rings.store(UInt16(1), at: Rings.available)  // VIRTQ_AVAIL_F_NO_INTERRUPT
        rings.queue.push(0, written: 0)
        #expect(!rings.queue.needsInterrupt())
    }

    /// used_event says after which used index the driver wants to hear (2.7.7.2).
    @Test(arguments: [(0, 1, true), (1, 1, false), (1, 2, true), (0, 3, true), (2, 3, true), (3, 3, false), (0xFFFF, 3, false)] as [(UInt16, Int, Bool)])
    func interruptsWithEventIndex(event: UInt16, pushes: Int, isWanted: Bool) throws {
        let rings = try Rings(hasEventIndex: true)
        rings.store(event, at: Rings.available + 4 + UInt64(Rings.size) * 2)
        for _ in 0..<pushes { rings.queue.push(0, written: 0) }
        #expect(rings.queue.needsInterrupt() == isWanted)
    }

    @Test func asksForTheNextNotification() throws {
        let rings = try Rings(hasEventIndex: true)
        let availableEvent = Rings.used + 4 + UInt64(Rings.size) * 8
        rings.store(UInt16(77), at: availableEvent)
        rings.describe(0, address: 0x4000, count: 4)
        for index in 0..<3 as Range<UInt16> { rings.offer(0, index: index) }
        for _ in 0..<3 { _ = try rings.queue.pop() }
        #expect(rings.load(UInt16.self, at: availableEvent) == 77, "not while there is something")
        #expect(try rings.queue.pop() == nil)
        #expect(rings.load(UInt16.self, at: availableEvent) == 3)
    }

    @Test func randomRingsNeverTrap() throws {
        let rings = try Rings()
        var state: UInt64 = 5
        func random() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 24
        }
        var (chains, errors) = (0, 0)
        for index in 0..<20_000 as Range<Int> {
            for entry in 0..<8 {
                let address = random() % 3 == 0 ? random() << 24 : random() % 0x12000
                let count = random() % 4 == 0 ? UInt32(truncatingIfNeeded: random()) : UInt32(random() % 0x800)
                rings.describe(entry, address: address, count: count, flags: UInt16(random() % 8), next: UInt16(random() % 9))
            }
            let before = chains + errors
            rings.offer(UInt16(random() % 9), index: UInt16(truncatingIfNeeded: chains))
            do {
                if let chain = try rings.queue.pop() {
                    chains += 1
                    for slice in chain.readable { #expect(slice.count <= 0x11000) }
                    rings.queue.push(chain.head, written: index)
                }
            } catch { errors += 1 }
            #expect(chains + errors == before + 1)
        }
        #expect(chains > 100 && errors > 100)
    }
}
