import GuestRAM
import LinuxSystem
import Testing

@Suite struct GuestMemoryTests {
    /// 64 KiB at 0x1000, 4 KiB read-only at 0x20000, 4 KiB at the end of the address space.
    private func memory() throws -> GuestMemory {
        func anonymous(_ count: Int) throws -> Mapping { try Mapping(nil, count: count, protection: 3, flags: 2) }
        return GuestMemory(regions: [
            .init(base: GuestAddress(0x20000), mapping: try anonymous(4096), isWritable: false),
            .init(base: GuestAddress(0x1000), mapping: try anonymous(0x10000)),
            .init(base: GuestAddress(.max - 4095), mapping: try anonymous(4096)),
        ])
    }

    @Test(arguments: [
        (0x1000, 0x10000, true, true), (0x1000, 0x10001, false, false), (0x1000, 0, true, true), (0x11000, 0, true, true),
        (0x11000, 1, false, false), (0x10FFF, 1, true, true), (0x10FFF, 2, false, false), (0xFFF, 1, false, false), (0xFFF, 2, false, false),
        (0, 1, false, false), (0x1000, -1, false, false), (0x1000, Int.max, false, false), (0x20000, 4096, true, false), (0x20800, 2048, true, false),
        (0x20800, 2049, false, false), (0x30000, 1, false, false), (0x1_0000_0000, 1, false, false),
    ] as [(UInt64, Int, Bool, Bool)])
    func slicesLieInOneRegion(address: UInt64, count: Int, isReadable: Bool, isWritable: Bool) throws {
        let memory = try memory()
        #expect((memory.slice(at: GuestAddress(address), count: count) != nil) == isReadable)
        #expect((memory.slice(at: GuestAddress(address), count: count, writable: true) != nil) == isWritable)
    }

    @Test(arguments: [(UInt64.max, 1, true), (.max, 2, false), (.max - 4095, 4096, true), (.max - 4095, 4097, false), (.max - 4096, 1, false), (.max, Int.max, false)])
    func theEndOfTheAddressSpaceDoesNotWrap(address: UInt64, count: Int, isReadable: Bool) throws {
        #expect((try memory().slice(at: GuestAddress(address), count: count) != nil) == isReadable)
    }

    @Test func addressesDoNotOverflow() {
        #expect(GuestAddress(.max).advanced(by: 1) == nil)
        #expect(GuestAddress(.max - 1).advanced(by: 1) == GuestAddress(.max))
    }

    @Test func readAndWrite() throws {
        let memory = try memory()
        #expect(memory.write([1, 2, 3], at: GuestAddress(0x10FFD)))
        #expect(!memory.write([1, 2, 3, 4], at: GuestAddress(0x10FFD)))
        #expect(!memory.write([1], at: GuestAddress(0x20000)))
        #expect(memory.read(at: GuestAddress(0x10FFC), count: 4) == [0, 1, 2, 3])
        #expect(memory.read(at: GuestAddress(0x10FFC), count: 5) == nil)
    }

    @Test(arguments: [(-1, false), (0, true), (9, true), (12, true), (13, false), (16, false), (Int.max, false), (Int.min, false)])
    func integersStayInside(position: Int, fits: Bool) throws {
        let slice = try #require(try memory().slice(at: GuestAddress(0x1000), count: 16, writable: true))
        #expect(slice.store(UInt32(0x0403_0201), at: position) == fits)
        #expect(slice.load(UInt32.self, at: position) == (fits ? 0x0403_0201 : nil))
        if fits { #expect(slice.part(from: position, count: 4).bytes() == [1, 2, 3, 4]) }
    }

    @Test(arguments: [(-2, false), (0, true), (14, true), (15, false), (16, false), (3, false)])
    func ringIndicesAreAlignedAndInside(position: Int, fits: Bool) throws {
        let slice = try #require(try memory().slice(at: GuestAddress(0x1000), count: 16, writable: true))
        slice.storeRelease16(0xABCD, at: position)
        #expect(slice.loadAcquire16(at: position) == (fits ? 0xABCD : 0))
    }

    @Test(arguments: [(0, 4, 0, 4), (2, 100, 2, 14), (16, 1, 16, 0), (99, 1, 16, 0), (-5, 3, 0, 3), (4, -1, 4, 0), (0, Int.max, 0, 16)])
    func partsAreCutOff(start: Int, wanted: Int, first: Int, count: Int) throws {
        let slice = try #require(try memory().slice(at: GuestAddress(0x1000), count: 16, writable: true))
        slice.write((0..<16).map { UInt8($0) }, at: 0)
        #expect(slice.part(from: start, count: wanted).bytes() == (first..<(first + count)).map { UInt8($0) })
    }

    @Test func writesAreCutOff() throws {
        let slice = try #require(try memory().slice(at: GuestAddress(0x1000), count: 4, writable: true))
        #expect(slice.write([1, 2, 3, 4, 5], at: 2) == 2)
        #expect(slice.write([9], at: 4) == 0)
        #expect(slice.write([9], at: -1) == 0)
        #expect(slice.write([], at: 0) == 0)
        #expect(slice.bytes() == [0, 0, 1, 2])
    }

    @Test func listsOfSlices() throws {
        let memory = try memory()
        let slices = [(0x1000, 3), (0x2000, 0), (0x3000, 5), (0x4000, 2)].compactMap { memory.slice(at: GuestAddress(UInt64($0.0)), count: $0.1, writable: true) }
        #expect(slices.byteCount == 10)
        #expect(slices.write((1...12).map { UInt8($0) }) == 10)
        #expect(slices.bytes() == (1...10).map { UInt8($0) })
        #expect(slices.bytes(from: 2, count: 3) == [3, 4, 5])
        #expect(slices.bytes(from: 10).isEmpty && slices.bytes(from: 99).isEmpty && slices.bytes(count: 0).isEmpty)
        #expect(slices.write([7, 7], at: 9) == 1)
        #expect(slices.part(from: 3).map(\.count) == [5, 2])
    }

    @Test func vectoredInputAndOutput() throws {
        let memory = try memory()
        let pipe = try Pipe()
        let from = [memory.slice(at: GuestAddress(0x1000), count: 3), memory.slice(at: GuestAddress(0x3000), count: 2)].compactMap(\.self)
        from.write([1, 2, 3, 4, 5])
        #expect(try from.write(to: pipe.writeEnd.rawValue) == 5)
        let to = [memory.slice(at: GuestAddress(0x5000), count: 1), memory.slice(at: GuestAddress(0x6000), count: 9)].compactMap(\.self)
        #expect(try to.read(from: pipe.readEnd.rawValue) == 5)
        #expect(to.bytes(count: 5) == [1, 2, 3, 4, 5])
    }
}
