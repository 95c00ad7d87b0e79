internal import LinuxSystem
internal import MachineBoot
internal import Synchronization
internal import Virtio

/// The devices' interrupts by IOAPIC pin.
final class LineTable: Sendable {
    private let lines = Mutex<[InterruptLine]>([])

    func set(_ new: [InterruptLine]) { lines.withLock { $0 = new } }

    /// Signals again if the pin's device still waits for its driver: an edge that came while the input was masked is lost.
    func resend(pin: Int) {
        let index = pin - MachineLayout.firstDevicePin
        let line = lines.withLock { $0.indices.contains(index) ? $0[index] : nil }
        if let line, line.status != 0 { line.event.signal() }
    }
}
