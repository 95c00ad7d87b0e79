import Glibc
import GuestRAM
import LinuxSystem
import Testing
import Virtio
@testable import VirtioDevices

@Suite("virtio-blk") struct BlockDeviceTests {
    private typealias Guest = BlockGuest

    @Test func tellsItsSizeAndLimits() throws {
        let guest = try Guest()
        #expect(guest.bench.transport.read(0x08, count: 4) == 2)
        #expect(guest.device.features == 1 << 1 | 1 << 2 | 1 << 6 | 1 << 9 | 1 << 13 | 1 << 14)
        let space = guest.device.configuration
        func field<Value: FixedWidthInteger>(_ type: Value.Type, _ start: Int) -> Value { Value(littleEndian: space, at: start) }
        #expect(space.count == 60 && field(UInt64.self, 0) == 4096)
        // size_max, seg_max, blk_size, max_discard_sectors, max_discard_seg, discard_sector_alignment, max_write_zeroes_sectors, max_write_zeroes_seg
        #expect([8, 12, 20, 36, 40, 44, 48, 52].map { field(UInt32.self, $0) } == [65536, 254, 512, 1 << 21, 16, 8, 1 << 21, 16])
        #expect(space[56] == 1)
        let image = try Guest(readOnly: true)
        #expect(image.device.features == 1 << 1 | 1 << 2 | 1 << 5 | 1 << 6)
    }

    @Test(arguments: [0, 511, 513] as [Int64]) func aSizeThatIsNoDisksIsRefused(size: Int64) throws {
        let path = "/tmp/nacelle-block-size.\(getpid()).\(size)"
        defer { unsafe unlink(path) }
        try writeFile(path, [])
        try OwnedDescriptor(opening: path, flags: O_RDWR).truncate(to: size)
        #expect(throws: SystemError(.invalidArgument, "virtio-blk", path: "x")) {
            try BlockDevice(file: try OwnedDescriptor(opening: path, flags: O_RDWR), readOnly: false, identifier: "x")
        }
    }

    @Test func readsAndWritesWhatTheFileHas() throws {
        let guest = try Guest(contents: Array("first".utf8))
        let first = try guest.read(0, 1024)
        #expect(first.status == 0 && first.written == 1025 && first.data.prefix(6) == Array("first\0".utf8)[...])
        var noise = Noise(state: 1)
        let bytes = noise.bytes(3 * 512)
        #expect(try guest.write(4093, bytes) == .init(0, written: 1))
        #expect(try guest.read(4093, 3 * 512).data == bytes)
        #expect(Array(try readFile(guest.path).suffix(3 * 512)) == bytes)
        #expect(try guest.ask(Guest.header(4, 0), room: 1) == .init(0, written: 1))
        #expect(try guest.ask(Guest.header(8, 0), room: 21) == .init(0, Array("nacelle-7".utf8) + [UInt8](repeating: 0, count: 11), written: 21))
    }

    @Test("borders between buffers mean nothing", arguments: [
        ([1], [512]), ([15, 1], [1]), ([16, 100, 400], [511, 1]), ([3, 3, 3, 3, 3, 3], []), ([17], [512, 511]),
    ] as [([Int], [Int])])
    func framing(cut: [Int], cutRoom: [Int]) throws {
        let guest = try Guest()
        var noise = Noise(state: 2)
        let bytes = noise.bytes(1024)
        #expect(try guest.ask(Guest.header(1, 8) + bytes, cut: cut, room: 1) == .init(0, written: 1))
        #expect(try guest.ask(Guest.header(0, 8), cut: cut.filter { $0 < 8 }.prefix(3).map { $0 }, room: 1025, cutRoom: cutRoom) == .init(0, bytes, written: 1025))
    }

    @Test func whatIsDiscardedIsGivenBack() throws {
        let guest = try Guest(contents: [UInt8](repeating: 0x55, count: 256 << 10))
        let before = try guest.blocks()
        #expect(try guest.ask(Guest.header(11, 0) + Guest.segment(0, 128) + Guest.segment(256, 128), room: 1) == .init(0, written: 1))
        #expect(try guest.read(0, 512).data == [UInt8](repeating: 0, count: 512))
        #expect(try guest.read(128, 512).data == [UInt8](repeating: 0x55, count: 512))
        #expect(try guest.read(256, 512).data == [UInt8](repeating: 0, count: 512))
        let after = try guest.blocks()
        #expect(before - after == 128 << 10)
        // May be freed, and may not.
        #expect(try guest.ask(Guest.header(13, 0) + Guest.segment(128, 64, 1), room: 1) == .init(0, written: 1))
        #expect(try guest.blocks() == after - 32 << 10)
        let kept = try guest.ask(Guest.header(13, 0) + Guest.segment(192, 64), room: 1)
        // A file system without FALLOC_FL_ZERO_RANGE says so, and the driver writes zeros itself.
        #expect(kept == .init(0, written: 1) || kept == .init(2, written: 1))
        if kept.status == 0 {
            #expect(try guest.read(192, 512).data == [UInt8](repeating: 0, count: 512))
            #expect(try guest.blocks() == after - 32 << 10)
        }
    }

    private static let big = UInt64(Guest.sectors)
    /// What is sent, how much room is offered, the status.
    @Test("what is malformed gets an error and touches nothing", arguments: [
        ("no header", [], 1, 1), ("half a header", Array(Guest.header(0, 0).prefix(15)), 513, 1),
        ("an unknown type", Guest.header(7, 0), 1, 2), ("SCSI", Guest.header(2, 0), 1, 2), ("secure erase", Guest.header(14, 0) + Guest.segment(0, 1), 1, 2), ("a zone's", Guest.header(15, 0), 513, 2),
        ("a read behind the end", Guest.header(0, big), 513, 1), ("a read across the end", Guest.header(0, big - 1), 1025, 1), ("a read at the end of numbers", Guest.header(0, .max), 513, 1),
        ("a read whose end overflows", Guest.header(0, .max - 1), 2049, 1), ("a read of half a sector", Guest.header(0, 0), 257, 1), ("a read that sends", Guest.header(0, 0) + [1], 513, 1),
        ("a write behind the end", Guest.header(1, big) + zeros(512), 1, 1), ("a write across the end", Guest.header(1, big - 1) + zeros(1024), 1, 1), ("a write of half a sector", Guest.header(1, 0) + zeros(511), 1, 1),
        ("a write that takes", Guest.header(1, 0) + zeros(512), 513, 1), ("a flush with data", Guest.header(4, 0) + zeros(512), 1, 1), ("a flush that takes", Guest.header(4, 0), 2, 1),
        ("too little room for an identifier", Guest.header(8, 0), 20, 1), ("an identifier that sends", Guest.header(8, 0) + [0], 21, 1),
        ("a discard of nothing", Guest.header(11, 0), 1, 1), ("a discard of half a range", Guest.header(11, 0) + Guest.segment(0, 8).dropLast(), 1, 1), ("a discard behind the end", Guest.header(11, 0) + Guest.segment(big, 1), 1, 1),
        ("a discard of no sectors", Guest.header(11, 0) + Guest.segment(0, 0), 1, 1), ("a discard across the end", Guest.header(11, 0) + Guest.segment(big - 1, 2), 1, 1), ("a discard that overflows", Guest.header(11, 0) + Guest.segment(.max, .max), 1, 1),
        ("a discard too long", Guest.header(11, 0) + Guest.segment(0, 1 << 21 + 1), 1, 1), ("a discard with a flag", Guest.header(11, 0) + Guest.segment(0, 8, 1), 1, 2), ("an unknown flag", Guest.header(13, 0) + Guest.segment(0, 8, 2), 1, 2),
        ("the last of two ranges is wrong", Guest.header(11, 0) + Guest.segment(0, 8) + Guest.segment(big, 8), 1, 1), ("too many ranges", Guest.header(11, 0) + (0..<17).flatMap { _ in Guest.segment(0, 8) }, 1, 1),
        ("zeros that take", Guest.header(13, 0) + Guest.segment(0, 8), 2, 1),
    ] as [(String, [UInt8], Int, UInt8)])
    func malformed(name: String, sent: [UInt8], room: Int, status: UInt8) throws {
        let contents = [UInt8](repeating: 0x77, count: Guest.sectors * 512)
        let guest = try Guest(contents: contents)
        let answer = try guest.ask(sent, room: room)
        #expect(answer == .init(status, [UInt8](repeating: 0xEE, count: room - 1), written: room == 1 ? 1 : 0))
        #expect(try readFile(guest.path) == contents && !guest.bench.isBroken)
        #expect(try guest.read(0, 512).status == 0)
    }

    @Test func withoutRoomForAStatusTheDeviceIsBroken() throws {
        let guest = try Guest()
        #expect(try guest.ask(Guest.header(4, 0), room: 0).status == nil)
        #expect(guest.bench.isBroken)
    }

    @Test func aReadOnlyDiskStaysAsItIs() throws {
        let guest = try Guest(readOnly: true, contents: [1, 2, 3])
        for sent in [Guest.header(1, 0) + Self.zeros(512), Guest.header(11, 0) + Guest.segment(0, 8), Guest.header(13, 0) + Guest.segment(0, 8)] {
            #expect(try guest.ask(sent, room: 1).status == 1)
        }
        #expect(try guest.ask(Guest.header(4, 0), room: 1).status == 0)
        #expect(try guest.read(0, 512).data.prefix(4) == [1, 2, 3, 0])
    }

    @Test func whatTheHostCannotDoIsAnError() throws {
        let guest = try Guest(contents: [1])
        unsafe truncate(guest.path, 1024)
        #expect(try guest.read(1, 512).status == 0)
        // The file was cut off meanwhile; no more is told than what was read.
        #expect(try guest.ask(Guest.header(0, 1), room: 1025) == .init(1, Self.zeros(512) + [UInt8](repeating: 0xEE, count: 512), written: 512))
        #expect(try guest.read(2, 512) == .init(1, [UInt8](repeating: 0xEE, count: 512)))
    }

    @Test(.enabled(if: geteuid() == 0, "needs root, for a file system that is full")) func aFullHostIsAnError() throws {
        let folder = "/tmp/nacelle-block-full.\(getpid())"
        try makeDirectory(folder)
        defer { unsafe rmdir(folder) }
        try MountTree.mount("tmpfs", at: folder, type: "tmpfs", data: "size=64k")
        defer { unsafe umount2(folder, Int32(MNT_DETACH)) }
        let guest = try Guest(folder: folder)
        #expect(try guest.write(0, Self.zeros(32 << 10)).status == 0)
        #expect(try guest.write(1024, Self.zeros(64 << 10)).status == 1)
        #expect(try guest.ask(Guest.header(11, 0) + Guest.segment(0, 64), room: 1).status == 0)
        #expect(try guest.write(1024, Self.zeros(32 << 10)).status == 0)
    }

    @Test func resetAndAgain() throws {
        let guest = try Guest(contents: [9])
        _ = try guest.ask(Guest.header(4, 0), room: 0)
        guest.bench.transport.write(0x70, value: 0, count: 4)
        let ring = DriverRing(guest.bench.memory, base: 0x20000, size: 64)
        for start: UInt64 in stride(from: 0x20000, to: 0x23000, by: 8) { ring.store(UInt64(0), at: start) }
        initialize(guest.bench.transport, rings: [ring])
        #expect(guest.bench.memory.write(Guest.header(0, 0), at: GuestAddress(0x40000)))
        ring.offer([(0x40000, 16, false), (0x80000, 513, true)])
        guest.bench.transport.notify(queue: 0)
        var written: Int?
        while written == nil && !guest.bench.isBroken { written = ring.takeUsed()?.written }
        #expect(written == 513 && guest.bench.memory.read(at: GuestAddress(0x80000), count: 2) == [9, 0])
    }

    @Test func randomRingsNeverTrap() throws {
        let contents = [UInt8](repeating: 0x31, count: Guest.sectors * 512)
        let guest = try Guest(contents: contents)
        var noise = Noise(state: 3)
        for _ in 0..<400 {
            guest.bench.transport.write(0x70, value: 0, count: 4)
            let ring = guest.bench.rings[0]
            initialize(guest.bench.transport, rings: [ring])
            // Requests with plausible headers in half of the memory that the descriptors name.
            for place: UInt64 in stride(from: 0x40000, to: 0x60000, by: 0x1000) {
                let type = ([0, 1, 4, 8, 11, 13, 99] as [UInt32]).randomElement(using: &noise) ?? 0
                let header = Guest.header(type, UInt64.random(in: 0..<8192, using: &noise)) + noise.bytes(48)
                _ = guest.bench.memory.write(header, at: GuestAddress(place))
            }
            for index in 0..<64 {
                let entry = ring.descriptors + UInt64(index) * 16
                ring.store(Bool.random(using: &noise) ? 0x40000 + UInt64.random(in: 0..<32, using: &noise) * 0x1000 : noise.next(), at: entry)
                ring.store(([1, 16, 32, 512, 513, 1 << 16, .max] as [UInt32]).randomElement(using: &noise) ?? 0, at: entry + 8)
                ring.store(UInt16.random(in: 0..<8, using: &noise), at: entry + 12)
                ring.store(UInt16.random(in: 0..<66, using: &noise), at: entry + 14)
                ring.store(UInt16.random(in: 0..<66, using: &noise), at: ring.availableRing + 4 + UInt64(index) * 2)
            }
            memoryFence()
            ring.store(UInt16.random(in: 0..<66, using: &noise), at: ring.availableRing + 2)
            guest.bench.transport.notify(queue: 0)
        }
        guest.bench.transport.write(0x70, value: 0, count: 4)
        #expect(try OwnedDescriptor(opening: guest.path, flags: O_RDONLY).size() == Int64(contents.count))
    }

    private static func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }
}
