import Glibc
import GuestRAM
import LinuxSystem
import Testing

@testable import MachineBoot

@Suite("Linux boot protocol")
struct LinuxBootTests {
    @Test("the memory map has a hole for devices", arguments: [
        (128, [(0, 0x9FC00), (0x10_0000, 128 << 20)]),
        (3072, [(0, 0x9FC00), (0x10_0000, 3072 << 20)]),
        (5000, [(0, 0x9FC00), (0x10_0000, 3072 << 20), (4 << 30, (4 << 30) + ((5000 - 3072) << 20))]),
    ] as [(UInt64, [(UInt64, UInt64)])])
    func memoryMap(_ mebibytes: UInt64, _ expected: [(UInt64, UInt64)]) {
        let map = LinuxBoot.memoryMap(memorySize: mebibytes << 20)
        #expect(map.map(\.start) == expected.map(\.0))
        #expect(map.map(\.end) == expected.map(\.1))
    }

    @Test("persistent memory shares no memory section with RAM", arguments: [64, 3071, 3072, 3073, 8192] as [UInt64])
    func persistentMemory(_ mebibytes: UInt64) {
        let base = MachineLayout.persistentMemoryBase(memorySize: mebibytes << 20).rawValue
        #expect(base % (128 << 20) == 0)
        let end = LinuxBoot.memoryMap(memorySize: mebibytes << 20).map(\.end).max()!
        #expect(base >= end && base >= 4 << 30)
    }

    @Test("the device tree is well-formed and names every device", arguments: [(1, 0), (4, 5), (64, 19)])
    func deviceTree(_ vcpus: Int, _ devices: Int) throws {
        let list = (0..<devices).map { DeviceTree.Device(address: MachineLayout.deviceBase + UInt64($0) * 0x1000, size: 0x1000, pin: UInt32(5 + $0)) }
        let blob = try DeviceTree(vcpus: vcpus, devices: list).flattened()
        #expect(Array(blob[0..<4]) == [0xD0, 0x0D, 0xFE, 0xED])
        #expect(blob[4..<8].reduce(0) { $0 << 8 | Int($1) } == blob.count)
        let text = String(decoding: blob, as: UTF8.self)
        #expect(text.components(of: "virtio,mmio") == devices)
        #expect(text.components(of: "cpu@") == vcpus)
    }

    @Test("a command line that the kernel would cut is refused")
    func commandLine() throws {
        let mapping = try Mapping(nil, count: 4 << 20, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE)
        let memory = GuestMemory(regions: [.init(base: GuestAddress(0), mapping: mapping)])
        let file = try OwnedDescriptor(opening: "/proc/self/exe", flags: O_RDONLY)
        _ = file
        #expect(throws: BootError.commandLineTooLong(3000)) {
            try LinuxBoot.prepare(
                memory: memory, memorySize: 4 << 20, kernel: KernelImage(path: "k", entry: 0x10_0000, segments: []),
                commandLine: String(repeating: "x", count: 3000), deviceTree: [])
        }
        let entry = try LinuxBoot.prepare(
            memory: memory, memorySize: 4 << 20, kernel: KernelImage(path: "k", entry: 0x10_0000, segments: []), commandLine: "quiet", deviceTree: [1, 2, 3])
        #expect(entry.instructionPointer == 0x10_0000)
        // struct boot_params: the command line's address and the chain of setup_data.
        let parameters = try #require(memory.read(at: GuestAddress(entry.bootParameters), count: 4096))
        let commandLine = parameters.integer(UInt32.self, at: 0x228)
        #expect(memory.read(at: GuestAddress(UInt64(commandLine)), count: 6) == Array("quiet\0".utf8))
        let setupData = parameters.integer(UInt64.self, at: 0x250)
        let header = try #require(memory.read(at: GuestAddress(setupData), count: 19))
        #expect(header.integer(UInt32.self, at: 8) == 2 && header.integer(UInt32.self, at: 12) == 3 && Array(header[16...]) == [1, 2, 3])
    }
}

extension String {
    fileprivate func components(of needle: String) -> Int {
        var count = 0
        var rest = self[...]
        while let range = rest.firstRange(of: needle) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}
