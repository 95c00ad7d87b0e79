import Glibc
import GuestRAM
import LinuxSystem
import Testing

@testable import MachineBoot

/// A kernel file of two segments: one page-aligned and mapped, one that is copied.
private struct KernelFile {
    var bytes: [UInt8]

    init(segments: [(offset: UInt64, address: UInt64, fileSize: UInt64, memorySize: UInt64)], entry: UInt64, size: Int) {
        func little<I: FixedWidthInteger>(_ value: I) -> [UInt8] { (0..<(I.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        var header: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
        header += little(UInt16(2)) + little(UInt16(62)) + little(UInt32(1)) + little(entry) + little(UInt64(64)) + little(UInt64(0))
        header += little(UInt32(0)) + little(UInt16(64)) + little(UInt16(56)) + little(UInt16(segments.count)) + little(UInt16(0)) + little(UInt16(0)) + little(UInt16(0))
        for segment in segments {
            header += little(UInt32(1)) + little(UInt32(7)) + little(segment.offset) + little(UInt64(0)) + little(segment.address)
            header += little(segment.fileSize) + little(segment.memorySize) + little(UInt64(4096))
        }
        bytes = header + (header.count..<max(size, header.count)).map { UInt8(truncatingIfNeeded: $0 / 7) }
    }

    static func good() -> KernelFile {
        KernelFile(
            segments: [(4096, 0x10_0000, 8192 + 100, 16384), (16384 + 8, 0x11_0000, 50, 50)], entry: 0x10_0000, size: 20000)
    }

    func write() throws -> OwnedDescriptor {
        let path = "/tmp/nacelle-kernel-test.\(getpid()).\(UInt64.random(in: 0...UInt64.max))"
        try writeFile(path, bytes)
        defer { unsafe unlink(path) }
        return try OwnedDescriptor(opening: path, flags: O_RDONLY)
    }

    func error(memory: UInt64 = 16 << 20) -> BootError? {
        do {
            let file = try write()
            do throws(BootError) {
                let kernel = try KernelImage(path: "k", file: file)
                let mapping = try! Mapping(nil, count: Int(memory), protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE)
                try kernel.load(file: file, into: GuestMemory.Region(base: GuestAddress(0), mapping: mapping))
                return nil
            } catch { return error }
        } catch { return nil }
    }
}

@Suite("Kernel loading")
struct KernelImageTests {
    @Test("segments arrive at their addresses, mapped or copied, and the rest is zero")
    func load() throws {
        let content = KernelFile.good()
        let file = try content.write()
        let kernel = try KernelImage(path: "k", file: file)
        #expect(kernel.memoryEnd == 0x11_0000 + 50)
        let mapping = try Mapping(nil, count: 16 << 20, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE)
        let region = GuestMemory.Region(base: GuestAddress(0), mapping: mapping)
        try kernel.load(file: file, into: region)
        let memory = GuestMemory(regions: [region])
        #expect(memory.read(at: GuestAddress(0x10_0000), count: 8292) == Array(content.bytes[4096..<(4096 + 8292)]))
        #expect(memory.read(at: GuestAddress(0x10_0000 + 8292), count: 1000) == [UInt8](repeating: 0, count: 1000))
        #expect(memory.read(at: GuestAddress(0x11_0000), count: 50) == Array(content.bytes[16392..<(16392 + 50)]))
        // What the guest writes stays its own.
        #expect(memory.write([1, 2, 3], at: GuestAddress(0x10_0000)))
        #expect(try file.bytes(at: 4096, count: 3) == Array(content.bytes[4096..<4099]))
    }

    @Test("what is no kernel is refused with the reason", arguments: [
        ("empty", { @Sendable (_: inout [UInt8]) in }, 0, "is not an ELF file"),
        ("magic", { @Sendable (b: inout [UInt8]) in b[0] = 0 }, nil, "is not an ELF file"),
        ("header cut", { @Sendable (_: inout [UInt8]) in }, 40, "is truncated"),
        ("32-bit", { @Sendable (b: inout [UInt8]) in b[4] = 1 }, nil, "not a 64-bit"),
        ("other machine", { @Sendable (b: inout [UInt8]) in b[18] = 3 }, nil, "not a 64-bit"),
        ("no headers", { @Sendable (b: inout [UInt8]) in b[56] = 0 }, nil, "malformed"),
        ("table beyond the end", { @Sendable (b: inout [UInt8]) in b[38] = 0xFF }, nil, "is truncated"),
        ("segment beyond the end", { @Sendable (_: inout [UInt8]) in }, 6000, "is truncated"),
        ("file size above memory size", { @Sendable (b: inout [UInt8]) in b[64 + 40 + 1] = 1 }, nil, "impossible"),
        ("address wraps", { @Sendable (b: inout [UInt8]) in for i in 24..<32 { b[64 + i] = 0xFF } }, nil, "impossible"),
        ("address below 1 MiB", { @Sendable (b: inout [UInt8]) in b[64 + 24 + 2] = 0 }, nil, "impossible"),
        ("entry outside", { @Sendable (b: inout [UInt8]) in b[24 + 3] = 0x7F }, nil, "entry point"),
    ] as [(String, @Sendable (inout [UInt8]) -> Void, Int?, String)])
    func refused(_ name: String, _ change: @Sendable (inout [UInt8]) -> Void, _ length: Int?, _ expected: String) {
        var file = KernelFile.good()
        change(&file.bytes)
        if let length { file.bytes = Array(file.bytes.prefix(length)) }
        let message = file.error().map { "\($0)" } ?? "no error"
        #expect(message.contains(expected), "\(name): \(message)")
    }

    @Test("too little memory is said with the amount needed")
    func memoryTooSmall() {
        let error = KernelFile.good().error(memory: 1 << 20)
        #expect(error == .kernelTooLarge(path: "k", needed: 0x11_0032, memory: 1 << 20))
        #expect("\(error!)".contains("needs memory up to 2 MiB, but the guest has 1 MiB"))
    }

    @Test("random bytes never trap")
    func fuzz() throws {
        var generator = SplitMix(state: 7)
        for _ in 0..<2000 {
            var file = KernelFile.good()
            for _ in 0..<Int.random(in: 1...12, using: &generator) {
                file.bytes[Int.random(in: 0..<200, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            _ = file.error(memory: 2 << 20)
        }
    }
}

/// A small generator with a seed, so that a failure repeats.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
