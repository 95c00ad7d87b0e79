internal import Glibc
public import GuestRAM
public import LinuxSystem

/// An uncompressed Linux kernel (ELF64, x86-64) and how to bring it into a guest's memory.
public struct KernelImage: Sendable {
    /// A loadable part of the file.
    struct Segment: Equatable, Sendable {
        var fileOffset: UInt64
        var physicalAddress: UInt64
        var fileSize: UInt64
        var memorySize: UInt64
    }

    let path: String
    let entry: UInt64
    let segments: [Segment]

    private enum ELF {
        static let headerSize = 64
        static let programHeaderSize = 56
        static let maximumProgramHeaders = 64
        static let typeExecutable: UInt16 = 2
        static let machineX86_64: UInt16 = 62
        static let loadable: UInt32 = 1
    }

    init(path: String, entry: UInt64, segments: [Segment]) {
        self.path = path
        self.entry = entry
        self.segments = segments
    }

    /// Reads and checks the headers. Nothing in the file is believed before it is checked.
    public init(path: String, file: borrowing OwnedDescriptor) throws(BootError) {
        self.path = path
        let fileSize: UInt64
        let header: [UInt8]
        do throws(SystemError) {
            fileSize = UInt64(try file.size())
            header = try file.bytes(at: 0, count: ELF.headerSize)
        } catch { throw .kernelUnreadable(error) }
        guard header.count >= 4, header[0..<4] == [0x7F, 0x45, 0x4C, 0x46] else { throw .notELF(path: path) }
        guard header.count == ELF.headerSize else { throw .truncatedKernel(path: path) }
        guard header[4] == 2, header[5] == 1, header.integer(UInt16.self, at: 16) == ELF.typeExecutable,
            header.integer(UInt16.self, at: 18) == ELF.machineX86_64
        else { throw .unsupportedKernel(path: path, why: "it is not a 64-bit x86-64 executable") }
        entry = header.integer(UInt64.self, at: 24)
        let tableOffset = header.integer(UInt64.self, at: 32)
        let count = Int(header.integer(UInt16.self, at: 56))
        guard Int(header.integer(UInt16.self, at: 54)) == ELF.programHeaderSize, (1...ELF.maximumProgramHeaders).contains(count) else {
            throw .unsupportedKernel(path: path, why: "its program headers are malformed")
        }
        guard tableOffset <= fileSize, UInt64(count * ELF.programHeaderSize) <= fileSize - tableOffset else { throw .truncatedKernel(path: path) }
        let table: [UInt8]
        do throws(SystemError) {
            table = try file.bytes(at: Int64(tableOffset), count: count * ELF.programHeaderSize)
        } catch { throw .kernelUnreadable(error) }
        guard table.count == count * ELF.programHeaderSize else { throw .truncatedKernel(path: path) }

        var segments: [Segment] = []
        for index in 0..<count {
            let at = index * ELF.programHeaderSize
            guard table.integer(UInt32.self, at: at) == ELF.loadable else { continue }
            let segment = Segment(
                fileOffset: table.integer(UInt64.self, at: at + 8), physicalAddress: table.integer(UInt64.self, at: at + 24),
                fileSize: table.integer(UInt64.self, at: at + 32), memorySize: table.integer(UInt64.self, at: at + 40))
            if segment.memorySize == 0 { continue }
            guard segment.fileSize <= segment.memorySize, segment.physicalAddress >= MachineLayout.extendedMemoryBase,
                !segment.physicalAddress.addingReportingOverflow(segment.memorySize).overflow
            else { throw .unsupportedKernel(path: path, why: "a segment has an impossible address or size") }
            guard segment.fileOffset <= fileSize, segment.fileSize <= fileSize - segment.fileOffset else { throw .truncatedKernel(path: path) }
            segments.append(segment)
        }
        guard !segments.isEmpty else { throw .unsupportedKernel(path: path, why: "it has no loadable segment") }
        let start = entry
        guard segments.contains(where: { start >= $0.physicalAddress && start - $0.physicalAddress < $0.memorySize }) else {
            throw .unsupportedKernel(path: path, why: "its entry point lies in no segment")
        }
        self.segments = segments
    }

    /// Bytes of guest memory that the kernel's own image reaches up to.
    public var memoryEnd: UInt64 { segments.map { $0.physicalAddress + $0.memorySize }.max() ?? 0 }

    /// Places the kernel: whole pages are mapped from the file, copy on write, so that all guests share the page cache;
    /// only the ends of segments are copied.
    public func load(file: borrowing OwnedDescriptor, into region: GuestMemory.Region) throws(BootError) {
        guard memoryEnd <= UInt64(region.count) else {
            throw .kernelTooLarge(path: path, needed: memoryEnd, memory: UInt64(region.count))
        }
        let page: UInt64 = 4096
        let memory = GuestMemory(regions: [region])
        do throws(SystemError) {
            for segment in segments {
                var mapped: UInt64 = 0
                if segment.fileOffset % page == 0, segment.physicalAddress % page == 0 {
                    mapped = segment.fileSize / page * page
                    if mapped > 0 {
                        try region.mapping.overlay(
                            at: Int(segment.physicalAddress - region.base.rawValue), with: file, fileOffset: Int64(segment.fileOffset),
                            count: Int(mapped), protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE)
                    }
                }
                let rest = Int(segment.fileSize - mapped)
                guard rest > 0, let target = memory.slice(at: GuestAddress(segment.physicalAddress + mapped), count: rest, writable: true) else { continue }
                let bytes = try file.bytes(at: Int64(segment.fileOffset + mapped), count: rest)
                guard bytes.count == rest else { throw SystemError(.ioError, "pread", path: path) }
                target.write(bytes, at: 0)
            }
        } catch { throw .kernelUnreadable(error) }
    }
}

extension [UInt8] {
    /// A little-endian integer; the caller has checked the bounds.
    func integer<Integer: FixedWidthInteger>(_ type: Integer.Type, at offset: Int) -> Integer {
        var value: Integer = 0
        for byte in self[offset..<(offset + Integer.bitWidth / 8)].reversed() { value = value << 8 | Integer(byte) }
        return value
    }
}
