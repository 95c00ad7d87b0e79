public import GuestRAM

/// What a vCPU needs to enter the kernel.
public struct EntryState: Equatable, Sendable {
    public var instructionPointer: UInt64
    public var stackPointer: UInt64
    /// RSI: the boot parameters' address.
    public var bootParameters: UInt64
    public var pageTable: UInt64
    public var descriptorTable: UInt64
}

/// The 64-bit boot protocol (Documentation/x86/boot.rst, "64-bit BOOT PROTOCOL"): boot parameters, memory map, command line,
/// device tree, identity page tables and a descriptor table, all below 1 MiB.
public enum LinuxBoot {
    /// Offsets in struct boot_params (Documentation/x86/zero-page.rst).
    private enum BootParameters {
        static let size = 4096
        static let memoryMapCount = 0x1E8
        static let bootFlag = 0x1FE
        static let headerMagic = 0x202
        static let loaderType = 0x210
        static let commandLine = 0x228
        static let kernelAlignment = 0x230
        static let commandLineSize = 0x238
        static let setupData = 0x250
        static let memoryMap = 0x2D0
    }

    private enum Constant {
        static let bootFlag: UInt16 = 0xAA55
        static let headerMagic: UInt32 = 0x5372_6448  // "HdrS"
        static let unknownLoader: UInt8 = 0xFF
        static let alignment: UInt32 = 0x100_0000
        static let setupDataDeviceTree: UInt32 = 2
        static let maximumCommandLine = 2047
        static let usableMemory: UInt32 = 1
    }

    /// Writes everything that the kernel expects at entry.
    /// - Parameter memorySize: bytes of RAM, of which what exceeds `MachineLayout.lowMemoryLimit` lies at 4 GiB.
    public static func prepare(memory: GuestMemory, memorySize: UInt64, kernel: KernelImage, commandLine: String, deviceTree: [UInt8]) throws(BootError) -> EntryState {
        let text = Array(commandLine.utf8)
        guard text.count <= Constant.maximumCommandLine else { throw .commandLineTooLong(text.count) }
        let setupHeader = bytes(UInt64(0)) + bytes(Constant.setupDataDeviceTree) + bytes(UInt32(deviceTree.count))
        let pieces: [(GuestAddress, [UInt8])] = [
            (MachineLayout.descriptorTable, descriptorTable()),
            (MachineLayout.pageTables, identityPageTables()),
            (MachineLayout.commandLine, text + [0]),
            (MachineLayout.setupData, setupHeader + deviceTree),
            (MachineLayout.bootParameters, bootParameters(memorySize: memorySize, commandLineSize: text.count)),
        ]
        for (address, content) in pieces {
            guard memory.write(content, at: address) else {
                throw .kernelTooLarge(path: kernel.path, needed: kernel.memoryEnd, memory: memorySize)
            }
        }
        return EntryState(
            instructionPointer: kernel.entry, stackPointer: MachineLayout.bootStack.rawValue,
            bootParameters: MachineLayout.bootParameters.rawValue, pageTable: MachineLayout.pageTables.rawValue,
            descriptorTable: MachineLayout.descriptorTable.rawValue)
    }

    private static func bootParameters(memorySize: UInt64, commandLineSize: Int) -> [UInt8] {
        var page = [UInt8](repeating: 0, count: BootParameters.size)
        func put<Integer: FixedWidthInteger>(_ value: Integer, _ offset: Int) { page.replaceSubrange(offset..<(offset + Integer.bitWidth / 8), with: bytes(value)) }
        put(Constant.bootFlag, BootParameters.bootFlag)
        put(Constant.headerMagic, BootParameters.headerMagic)
        put(Constant.unknownLoader, BootParameters.loaderType)
        put(UInt32(MachineLayout.commandLine.rawValue), BootParameters.commandLine)
        put(UInt32(commandLineSize), BootParameters.commandLineSize)
        put(Constant.alignment, BootParameters.kernelAlignment)
        put(MachineLayout.setupData.rawValue, BootParameters.setupData)
        let map = memoryMap(memorySize: memorySize)
        put(UInt8(map.count), BootParameters.memoryMapCount)
        for (index, entry) in map.enumerated() {
            let at = BootParameters.memoryMap + index * 20
            put(entry.start, at)
            put(entry.end - entry.start, at + 8)
            put(Constant.usableMemory, at + 16)
        }
        return page
    }

    static func memoryMap(memorySize: UInt64) -> [(start: UInt64, end: UInt64)] {
        let low = min(memorySize, MachineLayout.lowMemoryLimit)
        var map: [(start: UInt64, end: UInt64)] = [(0, MachineLayout.conventionalMemoryEnd), (MachineLayout.extendedMemoryBase, low)]
        if memorySize > low {
            let base = MachineLayout.highMemoryBase.rawValue
            map.append((base, base + (memorySize - low)))
        }
        return map
    }

    /// PML4, PDPT and one page directory: the first GiB mapped to itself in 2 MiB pages.
    private static func identityPageTables() -> [UInt8] {
        let presentWritable: UInt64 = 3
        let largePage: UInt64 = 1 << 7
        let base = MachineLayout.pageTables.rawValue
        var tables = [UInt8](repeating: 0, count: 3 * 4096)
        tables.replaceSubrange(0..<8, with: bytes(base + 4096 | presentWritable))
        tables.replaceSubrange(4096..<4104, with: bytes(base + 8192 | presentWritable))
        for entry in 0..<512 {
            let at = 8192 + entry * 8
            tables.replaceSubrange(at..<(at + 8), with: bytes(UInt64(entry) << 21 | presentWritable | largePage))
        }
        return tables
    }

    /// Null, 64-bit code (0x8), data (0x10), busy task state (0x18): what `VCPU.enterLongMode` loads the segments with.
    private static func descriptorTable() -> [UInt8] {
        [0, 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, 0x008F_8B00_0000_FFFF].flatMap { (entry: UInt64) in bytes(entry) }
    }

    private static func bytes<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
        (0..<(Integer.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
}
