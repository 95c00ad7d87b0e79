import Glibc
import LinuxSystem
import Testing

/// Mappings, which end with their owners.
@Suite struct MemoryTests {
    @Test func aFileAndItsMappingAreOne() throws {
        let directory = try Directory()
        try writeFile(directory.path + "/file", [UInt8](repeating: 7, count: 8192))
        let file = try OwnedDescriptor(opening: directory.path + "/file", flags: O_RDWR)
        let mapping = try Mapping(file.rawValue, offset: 4096, count: 4096, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED)
        #expect(mapping.count == 4096)
        #expect(unsafe mapping.base.load(as: UInt8.self) == 7)
        unsafe mapping.base.storeBytes(of: 9, as: UInt8.self)
        #expect(try file.bytes(at: 4096, count: 1) == [9])
        #expect(throws: SystemError(.invalidArgument, "mmap")) { _ = try Mapping(file.rawValue, offset: 1, count: 4096, protection: PROT_READ, flags: MAP_SHARED) }
    }

    @Test func pagesOfAFileCoverAPart() throws {
        let directory = try Directory()
        try writeFile(directory.path + "/file", [UInt8](repeating: 5, count: 4096))
        let file = try OwnedDescriptor(opening: directory.path + "/file", flags: O_RDONLY)
        let memory = try Mapping(nil, count: 4 * 4096, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE)
        try memory.overlay(at: 4096, with: file, fileOffset: 0, count: 4096, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE)
        #expect((0..<4).map { unsafe (memory.base + $0 * 4096).load(as: UInt8.self) } == [0, 5, 0, 0])
        // Copy on write: the file stays.
        unsafe (memory.base + 4096).storeBytes(of: 1, as: UInt8.self)
        #expect(try file.bytes(at: 0, count: 1) == [5])
    }

    @Test(arguments: [(-4096, 4096), (0, 0), (0, -4096), (0, 5 * 4096), (4 * 4096, 4096), (3 * 4096, 2 * 4096), (Int.max, 4096), (4096, Int.max), (Int.min, Int.min), (1, 4096)] as [(Int, Int)])
    func coversStayInTheMapping(offset: Int, count: Int) throws {
        let file = try OwnedDescriptor(opening: "/proc/self/exe", flags: O_RDONLY)
        let memory = try Mapping(nil, count: 4 * 4096, protection: PROT_READ, flags: MAP_PRIVATE)
        #expect(throws: SystemError(.invalidArgument, "mmap")) {
            try memory.overlay(at: offset, with: file, fileOffset: 0, count: count, protection: PROT_READ, flags: MAP_PRIVATE)
        }
    }

    /// In a process of its own, for another thread could map something in the same place.
    @Test func aMappingEndsWithItsOwner() async {
        await #expect(processExitsWith: .success) {
            var memory: Mapping? = try Mapping(nil, count: 1 << 20, protection: PROT_READ, flags: MAP_PRIVATE)
            let address = try unsafe UInt(bitPattern: #require(memory).base)
            func isMapped() throws -> Bool {
                String(decoding: try readFile("/proc/self/maps"), as: UTF8.self).split(separator: "\n").contains { line in
                    let bounds = line.prefix { $0 != " " }.split(separator: "-").compactMap { UInt($0, radix: 16) }
                    return bounds.count == 2 && bounds[0] <= address && address < bounds[1] && line.contains("r--p 00000000 00:00 0")
                }
            }
            #expect(try isMapped(), "mapped")
            memory = nil
            #expect(try !isMapped(), "unmapped")
        }
    }

    @Test func randomBytesDiffer() throws {
        #expect(try randomBytes(0) == [])
        let first = try randomBytes(1000)
        #expect(try first.count == 1000 && randomBytes(1000) != first)
    }
}
