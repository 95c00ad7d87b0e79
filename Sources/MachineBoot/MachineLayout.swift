public import GuestRAM

/// Where things lie in the guest's physical address space: the one place that knows.
public enum MachineLayout {
    /// Memory below the device hole; the rest of a larger guest's memory starts at 4 GiB.
    public static let lowMemoryLimit: UInt64 = 3 << 30
    public static let highMemoryBase = GuestAddress(4 << 30)

    /// Registers of the virtio-mmio devices, one page each.
    public static let deviceBase: UInt64 = 0xD000_0000
    public static let deviceStride: UInt64 = 0x1000
    /// The panic notification register (QEMU's pvpanic-mmio).
    public static let panicRegister: UInt64 = 0xD100_0000
    public static let ioapicBase: UInt64 = 0xFEC0_0000
    public static let localAPICBase: UInt64 = 0xFEE0_0000
    /// Three pages that KVM needs for real mode on Intel.
    public static let taskStateBase: UInt64 = 0xFFFB_D000

    /// Pins of the IOAPIC, and the first that devices use (the lower ones are the legacy interrupts').
    public static let ioapicPins = 24
    public static let firstDevicePin = 5
    /// Devices that fit on the pins.
    public static let maximumDevices = ioapicPins - firstDevicePin

    /// The first address for persistent memory above a guest's memory.
    public static func persistentMemoryBase(memorySize: UInt64) -> GuestAddress {
        nextSection(memorySize > lowMemoryLimit ? highMemoryBase.rawValue + (memorySize - lowMemoryLimit) : highMemoryBase.rawValue)
    }

    /// The next one above such memory.
    public static func persistentMemoryBase(after region: GuestMemory.Region) -> GuestAddress { nextSection(region.base.rawValue + UInt64(region.count)) }

    /// Whole memory sections (128 MiB), so that it shares none with what lies below.
    private static func nextSection(_ end: UInt64) -> GuestAddress {
        let section: UInt64 = 128 << 20
        return GuestAddress((end + section - 1) / section * section)
    }

    // What the boot loader places below 1 MiB; the kernel reserves or copies it before it reuses the memory.
    static let descriptorTable = GuestAddress(0x500)
    static let bootParameters = GuestAddress(0x7000)
    static let bootStack = GuestAddress(0x8FF0)
    static let pageTables = GuestAddress(0x9000)
    static let commandLine = GuestAddress(0x2_0000)
    static let setupData = GuestAddress(0x3_0000)
    /// The end of conventional memory in the memory map.
    static let conventionalMemoryEnd: UInt64 = 0x9_FC00
    static let extendedMemoryBase: UInt64 = 0x10_0000
}
