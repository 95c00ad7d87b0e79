import GuestRAM
import LinuxSystem
import Testing
import Virtio
@testable import VirtioDevices

@Suite struct PersistentMemoryDeviceTests {
    @Test func tellsWhereTheImageLies() throws {
        let device = PersistentMemoryDevice(start: GuestAddress(0x1_0203_0405), size: 0x200000)
        #expect(device.configuration == [5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0])
        let bench = try DriverBench(device)
        #expect(bench.transport.read(0x08, count: 4) == 27)
        #expect(bench.transport.read(0x100, count: 4) == 0x0203_0405 && bench.transport.read(0x104, count: 4) == 1)
        #expect(bench.transport.interrupt.status == 0)
    }

    @Test(arguments: [([0, 0, 0, 0], 0), ([1, 0, 0, 0], 1), ([0, 0, 0, 1], 1), ([0, 0, 0], 1), ([0, 0, 0, 0, 9], 0)] as [([UInt8], UInt32)])
    func flushes(request: [UInt8], status: UInt32) throws {
        let bench = try DriverBench(PersistentMemoryDevice(start: GuestAddress(0), size: 4096))
        #expect(bench.memory.write(request, at: GuestAddress(0x80000)))
        bench.rings[0].store(UInt32.max, at: 0x81000)
        #expect(bench.request([(0x80000, request.count, false), (0x81000, 4, true)]) == 4)
        #expect(bench.rings[0].load(UInt32.self, at: 0x81000) == status)
        #expect(bench.transport.interrupt.status == 1)
    }

    @Test func withoutRoomForTheAnswer() throws {
        let bench = try DriverBench(PersistentMemoryDevice(start: GuestAddress(0), size: 4096))
        #expect(bench.request([(0x80000, 4, false)]) == 0)
        #expect(bench.request([(0x81000, 4, true)]) == 4)
        #expect(bench.rings[0].load(UInt32.self, at: 0x81000) == 1)
        #expect(bench.request([(0x80000, 4, false), (1 << 20, 4, true)]) == nil)
        #expect(bench.isBroken)
    }
}

@Suite struct EntropyDeviceTests {
    @Test func fillsBuffers() throws {
        let bench = try DriverBench(EntropyDevice())
        #expect(bench.transport.read(0x08, count: 4) == 4)
        #expect(bench.request([(0x80000, 100, true), (0x90000, 1, true), (0xA0000, 1000, true)]) == 1101)
        let bytes = try #require(bench.memory.read(at: GuestAddress(0xA0000), count: 1001))
        #expect(Set(bytes[..<1000]).count > 64 && bytes[1000] == 0)
        #expect(bench.memory.read(at: GuestAddress(0x80000), count: 101)?[100] == 0)
    }

    @Test func oneRequestIsCapped() throws {
        let bench = try DriverBench(EntropyDevice())
        #expect(bench.request([(0x80000, 0x70000, true)]) == EntropyDevice.requestLimit)
        #expect(bench.memory.read(at: GuestAddress(0x90000), count: 4096)?.allSatisfy { $0 == 0 } == true)
    }

    @Test func nothingToWriteIsNoError() throws {
        let bench = try DriverBench(EntropyDevice())
        #expect(bench.request([(0x80000, 16, false)]) == 0)
        #expect(bench.request([(0x80000, 0, true)]) == 0)
        #expect(!bench.isBroken)
    }

    @Test func resetAndAgain() throws {
        let bench = try DriverBench(EntropyDevice())
        bench.transport.write(0x70, value: 0, count: 4)
        #expect(bench.request([(0x80000, 16, true)]) == nil, "not before the driver is ready")
    }
}

@Suite struct ConsoleDeviceTests {
    @Test func outputGoesToTheFile() throws {
        let pipe = try Pipe(nonBlocking: true)
        let bench = try DriverBench(ConsoleDevice(output: try pipe.writeEnd.duplicate()))
        #expect(bench.transport.read(0x08, count: 4) == 3)
        #expect(bench.transport.read(0x100, count: 4) == 0)
        _ = bench.memory.write(Array("hello ".utf8), at: GuestAddress(0x80000))
        _ = bench.memory.write(Array("world".utf8), at: GuestAddress(0x90000))
        #expect(bench.request(queue: 1, [(0x80000, 6, false), (0x90000, 5, false)]) == 0)
        var buffer = [UInt8](repeating: 0, count: 100)
        #expect(try pipe.readEnd.read(into: &buffer) == 11)
        #expect(buffer.prefix(11).elementsEqual("hello world".utf8))
    }

    @Test func receiveBuffersAreKept() throws {
        let bench = try DriverBench(ConsoleDevice(output: try OwnedDescriptor(opening: "/dev/null", flags: 1)))
        #expect(bench.request(queue: 0, [(0x80000, 64, true)]) == nil)
        #expect(!bench.isBroken)
    }

    @Test func whatCannotBeWrittenIsLost() throws {
        let bench = try DriverBench(ConsoleDevice(output: try OwnedDescriptor(opening: "/dev/full", flags: 1)))
        #expect(bench.request(queue: 1, [(0x80000, 64, false)]) == 0)
        #expect(bench.request(queue: 1, [(0x80000, 64, true)]) == 0)
        #expect(!bench.isBroken)
    }
}
