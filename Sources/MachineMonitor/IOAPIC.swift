internal import KVM
internal import MachineBoot
internal import Synchronization

/// The I/O interrupt controller (82093AA), in the VMM because KVM's irqchip is split: its inputs are irqfds that KVM turns into
/// messages by a routing table, and all this does is to keep that table as the guest programs it.
///
/// Devices here are edge-triggered, so no end-of-interrupt ever comes back.
final class IOAPIC: Sendable {
    /// Offsets of the two windows.
    private enum Window { static let select: UInt64 = 0x00, data: UInt64 = 0x10 }
    private enum Register { static let identifier: UInt8 = 0, version: UInt8 = 1, arbitration: UInt8 = 2, redirectionTable: UInt8 = 0x10 }

    /// One redirection entry.
    private struct Entry {
        var rawValue: UInt64 = 1 << 16
        var isMasked: Bool { rawValue & (1 << 16) != 0 }
        var vector: UInt32 { UInt32(rawValue & 0xFF) }
        var deliveryMode: UInt32 { UInt32(rawValue >> 8 & 7) }
        var isLogical: Bool { rawValue & (1 << 11) != 0 }
        var isLevel: Bool { rawValue & (1 << 15) != 0 }
        var destination: UInt64 { rawValue >> 56 }
        /// Remote IRR and delivery status are the controller's.
        static let readOnlyBits: UInt64 = 1 << 12 | 1 << 14

        func route(pin: Int) -> VirtualMachine.MessageRoute {
            VirtualMachine.MessageRoute(
                gsi: UInt32(pin), address: MachineLayout.localAPICBase | destination << 12 | (isLogical ? 1 << 2 : 0),
                data: vector | deliveryMode << 8 | (isLevel ? 1 << 15 | 1 << 14 : 0))
        }
    }

    private struct State {
        var selected: UInt8 = 0
        var identifier: UInt32 = 0
        var entries = [Entry](repeating: Entry(), count: MachineLayout.ioapicPins)
    }

    private let state = Mutex(State())
    private let setRoutes: @Sendable ([VirtualMachine.MessageRoute]) -> Void
    /// An input became unmasked: an edge may have been lost meanwhile.
    private let unmasked: @Sendable (Int) -> Void

    init(setRoutes: @escaping @Sendable ([VirtualMachine.MessageRoute]) -> Void, unmasked: @escaping @Sendable (Int) -> Void) {
        self.setRoutes = setRoutes
        self.unmasked = unmasked
    }

    func read(_ offset: UInt64) -> UInt32 {
        state.withLock { state in
            switch offset {
            case Window.select: return UInt32(state.selected)
            case Window.data: return Self.register(state)
            default: return 0
            }
        }
    }

    private static func register(_ state: State) -> UInt32 {
        switch state.selected {
        case Register.identifier, Register.arbitration: return state.identifier
        case Register.version: return 0x11 | UInt32(MachineLayout.ioapicPins - 1) << 16
        default:
            let index = Int(state.selected) - Int(Register.redirectionTable)
            guard index >= 0, index / 2 < state.entries.count else { return 0 }
            return UInt32(truncatingIfNeeded: state.entries[index / 2].rawValue >> (index & 1 == 0 ? 0 : 32))
        }
    }

    func write(_ offset: UInt64, _ value: UInt32) {
        let change: (routes: [VirtualMachine.MessageRoute], unmasked: Int?)? = state.withLock { state in
            switch offset {
            case Window.select:
                state.selected = UInt8(truncatingIfNeeded: value)
                return nil
            case Window.data:
                return Self.setRegister(&state, value)
            default: return nil
            }
        }
        guard let change else { return }
        setRoutes(change.routes)
        if let pin = change.unmasked { unmasked(pin) }
    }

    private static func setRegister(_ state: inout State, _ value: UInt32) -> (routes: [VirtualMachine.MessageRoute], unmasked: Int?)? {
        if state.selected == Register.identifier {
            state.identifier = value & 0x0F00_0000
            return nil
        }
        let index = Int(state.selected) - Int(Register.redirectionTable)
        guard index >= 0, index / 2 < state.entries.count else { return nil }
        let pin = index / 2
        let shift = UInt64(index & 1 == 0 ? 0 : 32)
        let old = state.entries[pin]
        let written = old.rawValue & ~(0xFFFF_FFFF << shift) | UInt64(value) << shift
        state.entries[pin].rawValue = written & ~Entry.readOnlyBits | old.rawValue & Entry.readOnlyBits
        // While both are masked nobody can see a difference: no system call for it.
        if old.isMasked && state.entries[pin].isMasked { return nil }
        let routes = state.entries.enumerated().filter { !$0.element.isMasked }.map { $0.element.route(pin: $0.offset) }
        return (routes, old.isMasked && !state.entries[pin].isMasked ? pin : nil)
    }
}
