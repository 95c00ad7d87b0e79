internal import CFDT

/// What a machine tells its kernel about itself, in the form of a flattened device tree (devicetree specification 0.4, 5).
///
/// On x86-64 the kernel finds the local and I/O APICs and the CPUs in it (arch/x86/kernel/devicetree.c) and populates the
/// children of a node that is compatible with "isa".
public struct DeviceTree: Sendable {
    /// A virtio-mmio device.
    public struct Device: Equatable, Sendable {
        public var address: UInt64
        public var size: UInt64
        /// The IOAPIC's input.
        public var pin: UInt32
        public init(address: UInt64, size: UInt64, pin: UInt32) {
            self.address = address
            self.size = size
            self.pin = pin
        }
    }

    public var vcpus: Int
    public var devices: [Device]

    public init(vcpus: Int, devices: [Device]) {
        self.vcpus = vcpus
        self.devices = devices
    }

    private static let ioapicHandle: UInt32 = 1
    /// The kernel's number for a rising edge in `interrupts` (of_ioapic_type in arch/x86/kernel/devicetree.c).
    private static let risingEdge: UInt32 = 3

    /// The tree as the kernel reads it.
    public func flattened() throws(BootError) -> [UInt8] {
        var writer = TreeWriter(capacity: 8192 + 512 * (devices.count + vcpus))
        writer.node("") { root in
            root.string("compatible", "nacelle,microvm")
            root.cells("#address-cells", [1])
            root.cells("#size-cells", [1])
            root.node("cpus") { cpus in
                cpus.cells("#address-cells", [1])
                cpus.cells("#size-cells", [0])
                for id in 0..<UInt32(vcpus) {
                    cpus.node("cpu@\(String(id, radix: 16))") { cpu in
                        cpu.string("device_type", "cpu")
                        cpu.cells("reg", [id])
                        cpu.cells("intel,apic-id", [id])
                    }
                }
            }
            root.node("soc") { soc in
                soc.string("compatible", "isa")
                soc.cells("#address-cells", [1])
                soc.cells("#size-cells", [1])
                soc.empty("ranges")
                Self.interruptControllers(&soc)
                for device in devices { Self.virtio(device, &soc) }
                soc.node("pvpanic@\(String(MachineLayout.panicRegister, radix: 16))") { node in
                    node.string("compatible", "qemu,pvpanic-mmio")
                    node.cells("reg", [UInt32(MachineLayout.panicRegister), 2])
                }
            }
        }
        return try writer.finish()
    }

    private static func interruptControllers(_ soc: inout TreeWriter) {
        soc.node("interrupt-controller@\(String(MachineLayout.ioapicBase, radix: 16))") { ioapic in
            ioapic.string("compatible", "intel,ce4100-ioapic")
            ioapic.empty("interrupt-controller")
            ioapic.cells("#interrupt-cells", [2])
            ioapic.cells("reg", [UInt32(MachineLayout.ioapicBase), 0x1000])
            ioapic.cells("phandle", [ioapicHandle])
        }
        soc.node("interrupt-controller@\(String(MachineLayout.localAPICBase, radix: 16))") { lapic in
            lapic.string("compatible", "intel,ce4100-lapic")
            lapic.cells("reg", [UInt32(MachineLayout.localAPICBase), 0x1000])
        }
    }

    private static func virtio(_ device: Device, _ soc: inout TreeWriter) {
        soc.node("virtio@\(String(device.address, radix: 16))") { node in
            node.string("compatible", "virtio,mmio")
            node.cells("reg", [UInt32(truncatingIfNeeded: device.address), UInt32(truncatingIfNeeded: device.size)])
            node.cells("interrupt-parent", [ioapicHandle])
            node.cells("interrupts", [device.pin, risingEdge])
        }
    }
}

/// libfdt's sequential-write interface; the first error sticks.
private struct TreeWriter {
    private var buffer: [UInt8]
    private var status: Int32 = 0

    init(capacity: Int) {
        buffer = [UInt8](repeating: 0, count: capacity)
        unsafe call { unsafe fdt_create($0, Int32(capacity)) }
        unsafe call { unsafe fdt_finish_reservemap($0) }
    }

    private mutating func call(_ body: (UnsafeMutableRawPointer?) -> Int32) {
        guard status == 0 else { return }
        status = unsafe buffer.withUnsafeMutableBytes { unsafe body($0.baseAddress) }
    }

    mutating func node(_ name: String, _ body: (inout TreeWriter) -> Void) {
        unsafe call { unsafe fdt_begin_node($0, name) }
        body(&self)
        unsafe call { unsafe fdt_end_node($0) }
    }

    mutating func property(_ name: String, _ value: [UInt8]) {
        unsafe call { unsafe fdt_property($0, name, value, Int32(value.count)) }
    }

    mutating func empty(_ name: String) { property(name, []) }
    mutating func string(_ name: String, _ value: String) { property(name, Array(value.utf8) + [0]) }
    mutating func cells(_ name: String, _ values: [UInt32]) {
        property(name, values.flatMap { [UInt8($0 >> 24), UInt8($0 >> 16 & 0xFF), UInt8($0 >> 8 & 0xFF), UInt8($0 & 0xFF)] })
    }

    consuming func finish() throws(BootError) -> [UInt8] {
        var writer = self
        unsafe writer.call { unsafe fdt_finish($0) }
        guard writer.status == 0 else { throw .deviceTree(code: writer.status) }
        // The header's second field is the total size, big-endian.
        let size = writer.buffer[4..<8].reduce(0) { $0 << 8 | Int($1) }
        return Array(writer.buffer[..<size])
    }
}
