internal import KVM
internal import LinuxSystem
internal import MachineBoot
internal import Virtio

/// Dispatches the guest's device accesses. A value that each vCPU thread has a copy of: nothing in it changes once they run.
struct Bus: Sendable {
    private let ioapic: IOAPIC
    private let lines = LineTable()
    var transports: [MMIOTransport] = [] {
        didSet { lines.set(transports.map(\.interrupt)) }
    }
    var debugOutput: SharedDescriptor?

    enum Effect: Equatable { case none, panic }

    private enum SerialPort {
        static let data: UInt16 = 0x3F8
        static let lineStatus: UInt16 = 0x3FD
        /// Transmitter and holding register empty: a writer never waits.
        static let ready: UInt32 = 0x60
    }

    init(virtualMachine: VirtualMachine) {
        let lines = self.lines
        ioapic = IOAPIC(
            setRoutes: { routes in
                // The table is bounded and well-formed by construction; KVM's only other failure is memory exhaustion,
                // after which the guest misses interrupts but the host is safe.
                try? virtualMachine.setRoutes(routes)
            },
            unmasked: { lines.resend(pin: $0) })
    }

    func read(_ address: UInt64, count: Int) -> UInt64 {
        if let (transport, offset) = transport(address) { return transport.read(offset, count: count) }
        if address & ~0xFFF == MachineLayout.ioapicBase { return UInt64(ioapic.read(address & 0xFFF)) }
        if address == MachineLayout.panicRegister { return 1 }  // PVPANIC_PANICKED is supported
        return count == 8 ? .max : (1 << UInt64(count * 8)) - 1
    }

    func write(_ address: UInt64, value: UInt64, count: Int) -> Effect {
        if let (transport, offset) = transport(address) {
            transport.write(offset, value: value, count: count)
        } else if address & ~0xFFF == MachineLayout.ioapicBase {
            ioapic.write(address & 0xFFF, UInt32(truncatingIfNeeded: value))
        } else if address == MachineLayout.panicRegister, value & 1 != 0 {
            return .panic
        }
        return .none
    }

    private func transport(_ address: UInt64) -> (MMIOTransport, UInt64)? {
        guard address >= MachineLayout.deviceBase else { return nil }
        let index = (address - MachineLayout.deviceBase) / MachineLayout.deviceStride
        guard index < UInt64(transports.count) else { return nil }
        return (transports[Int(index)], (address - MachineLayout.deviceBase) % MachineLayout.deviceStride)
    }

    func input(_ port: UInt16, count: Int) -> UInt32 {
        if port == SerialPort.lineStatus && debugOutput != nil { return SerialPort.ready }
        return .max
    }

    func output(_ port: UInt16, _ value: UInt32) {
        guard port == SerialPort.data, let debugOutput else { return }
        // Debug output that cannot be written is lost: the guest must not notice.
        debugOutput.with { _ = try? $0.write([UInt8(truncatingIfNeeded: value)]) }
    }
}
