internal import CLinux
internal import Glibc
public import LinuxSystem

/// Why a vCPU came back from the guest.
public enum VCPUExit: Equatable, Sendable {
    /// A read of `count` bytes that no memory answers: answer with `completeRead`.
    case mmioRead(address: UInt64, count: Int)
    case mmioWrite(address: UInt64, value: UInt64, count: Int)
    /// Port input: answer with `completeInput`.
    case portRead(port: UInt16, count: Int)
    case portWrite(port: UInt16, value: UInt32, count: Int)
    /// HLT without a local APIC in the kernel.
    case halt
    /// Triple fault: the guest has reset or crashed.
    case shutdown
    case entryFailed(reason: UInt64)
    /// KVM could not go on (suberror 1: an instruction that it cannot emulate).
    case internalError(suberror: UInt32)
    case systemEvent(type: UInt32)
    /// A level-triggered interrupt with this vector was acknowledged.
    case endOfInterrupt(vector: UInt8)
    /// A signal or `immediate_exit`.
    case interrupted
    case unknown(reason: UInt32)
}

/// General registers at entry; all others are 0.
public struct GeneralRegisters: Equatable, Sendable {
    public var rip: UInt64
    public var rsp: UInt64
    public var rsi: UInt64
    public init(rip: UInt64, rsp: UInt64, rsi: UInt64) {
        self.rip = rip
        self.rsp = rsp
        self.rsi = rsi
    }
}

/// The state in which 64-bit code can start: flat segments, paging on.
public struct LongModeState: Equatable, Sendable {
    /// Physical address of the top page table.
    public var pageTable: UInt64
    /// Physical address and limit of the descriptor table; its entries 1, 2 and 3 are 64-bit code, data and a task state.
    public var descriptorTable: UInt64
    public init(pageTable: UInt64, descriptorTable: UInt64) {
        self.pageTable = pageTable
        self.descriptorTable = descriptorTable
    }
}

/// A virtual CPU. `run` belongs to the one thread that calls it.
@safe
public final class VCPU: @unchecked Sendable {
    public let id: UInt32
    private let descriptor: OwnedDescriptor
    private let area: Mapping
    // SAFETY: KVM's run area is at least a struct kvm_run; `area` keeps it mapped.
    private var runArea: UnsafeMutablePointer<kvm_run> { unsafe area.base.assumingMemoryBound(to: kvm_run.self) }

    init(_ id: UInt32, _ descriptor: consuming OwnedDescriptor, _ area: Mapping) {
        self.id = id
        self.descriptor = descriptor
        self.area = area
    }

    /// KVM_SET_CPUID2
    public func setCPUID(_ table: CPUIDTable) throws(SystemError) {
        var raw = table.cTable()
        try checked(unsafe clinux_ioctl_pointer(descriptor.rawValue, clinux_KVM_SET_CPUID2, &raw), "KVM_SET_CPUID2")
    }

    /// Sets a model-specific register.
    public func setMSR(_ index: UInt32, _ value: UInt64) throws(SystemError) {
        try checked(clinux_kvm_set_msr(descriptor.rawValue, index, value), "KVM_SET_MSRS")
    }

    public func setRegisters(_ registers: GeneralRegisters) throws(SystemError) {
        var raw = kvm_regs()
        raw.rip = registers.rip
        raw.rsp = registers.rsp
        raw.rsi = registers.rsi
        raw.rflags = 2
        try checked(unsafe clinux_ioctl_pointer(descriptor.rawValue, clinux_KVM_SET_REGS, &raw), "KVM_SET_REGS")
    }

    /// The instruction pointer, for messages.
    public func instructionPointer() -> UInt64? {
        var raw = kvm_regs()
        return unsafe clinux_ioctl_pointer(descriptor.rawValue, clinux_KVM_GET_REGS, &raw) < 0 ? nil : raw.rip
    }

    private enum ControlBits {
        static let cr0: UInt64 = 1 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 31  // PE MP ET NE WP PG
        static let cr4: UInt64 = 1 << 5 | 1 << 9  // PAE OSFXSR
        static let efer: UInt64 = 1 << 8 | 1 << 10  // LME LMA
        static let eferSystemCalls: UInt64 = 1  // SCE
    }

    /// Puts the vCPU into 64-bit mode (Intel SDM vol. 3, 10.8.5).
    public func enterLongMode(_ state: LongModeState, systemCalls: Bool = false) throws(SystemError) {
        var raw = kvm_sregs()
        try checked(unsafe clinux_ioctl_pointer(descriptor.rawValue, clinux_KVM_GET_SREGS, &raw), "KVM_GET_SREGS")
        let code = kvm_segment(
            base: 0, limit: 0xFFFF_FFFF, selector: 0x8, type: 11, present: 1, dpl: 0, db: 0, s: 1, l: 1, g: 1, avl: 0, unusable: 0, padding: 0)
        let data = kvm_segment(
            base: 0, limit: 0xFFFF_FFFF, selector: 0x10, type: 3, present: 1, dpl: 0, db: 1, s: 1, l: 0, g: 1, avl: 0, unusable: 0, padding: 0)
        let task = kvm_segment(
            base: 0, limit: 0xFFFF, selector: 0x18, type: 11, present: 1, dpl: 0, db: 0, s: 0, l: 0, g: 0, avl: 0, unusable: 0, padding: 0)
        (raw.cs, raw.tr) = (code, task)
        (raw.ds, raw.es, raw.fs, raw.gs, raw.ss) = (data, data, data, data, data)
        (raw.gdt.base, raw.gdt.limit) = (state.descriptorTable, 4 * 8 - 1)
        (raw.idt.base, raw.idt.limit) = (0, 0)
        (raw.cr0, raw.cr3, raw.cr4) = (ControlBits.cr0, state.pageTable, ControlBits.cr4)
        raw.efer = ControlBits.efer | (systemCalls ? ControlBits.eferSystemCalls : 0)
        try checked(unsafe clinux_ioctl_pointer(descriptor.rawValue, clinux_KVM_SET_SREGS, &raw), "KVM_SET_SREGS")
    }

    /// Runs the guest until something is to be done for it.
    public func run() throws(SystemError) -> VCPUExit {
        let result = clinux_ioctl_value(descriptor.rawValue, clinux_KVM_RUN, 0)
        if result == -Int(EINTR) || result == -Int(EAGAIN) { return .interrupted }
        try checked(result, "KVM_RUN")
        return exit()
    }

    /// Makes the next `run` return at once, also from a signal handler's thread (KVM_CAP_IMMEDIATE_EXIT).
    public func requestImmediateExit(_ on: Bool) { unsafe runArea.pointee.immediate_exit = on ? 1 : 0 }

    private func exit() -> VCPUExit {
        switch unsafe Int32(bitPattern: runArea.pointee.exit_reason) {
        case KVM_EXIT_MMIO:
            let access = unsafe clinux_kvm_mmio(runArea)
            let count = Int(min(access.length, 8))
            if access.is_write == 0 { return .mmioRead(address: access.address, count: count) }
            let mask: UInt64 = count == 8 ? .max : (1 << UInt64(count * 8)) - 1
            return .mmioWrite(address: access.address, value: access.value & mask, count: count)
        case KVM_EXIT_IO:
            let access = unsafe clinux_kvm_io(runArea)
            let isOutput = access.direction == UInt8(KVM_EXIT_IO_OUT)
            guard isOutput else { return .portRead(port: access.port, count: Int(access.size)) }
            var value: UInt32 = 0
            for byte in 0..<min(Int(access.size), 4) where Int(access.data_offset) + byte < area.count {
                value |= unsafe UInt32((area.base + Int(access.data_offset) + byte).load(as: UInt8.self)) << UInt32(8 * byte)
            }
            return .portWrite(port: access.port, value: value, count: Int(access.size))
        case KVM_EXIT_HLT: return .halt
        case KVM_EXIT_SHUTDOWN: return .shutdown
        case KVM_EXIT_FAIL_ENTRY: return unsafe .entryFailed(reason: clinux_kvm_entry_failure(runArea))
        case KVM_EXIT_INTERNAL_ERROR: return unsafe .internalError(suberror: clinux_kvm_internal_suberror(runArea))
        case KVM_EXIT_SYSTEM_EVENT: return unsafe .systemEvent(type: clinux_kvm_system_event(runArea))
        case KVM_EXIT_IOAPIC_EOI: return unsafe .endOfInterrupt(vector: clinux_kvm_eoi_vector(runArea))
        case KVM_EXIT_INTR: return .interrupted
        default: return unsafe .unknown(reason: runArea.pointee.exit_reason)
        }
    }

    /// Answers an `.mmioRead`; the guest sees it at the next `run`.
    public func completeRead(_ value: UInt64) { unsafe clinux_kvm_set_mmio(runArea, value) }

    /// Answers a `.portRead`, all repetitions alike.
    public func completeInput(_ value: UInt32) {
        let access = unsafe clinux_kvm_io(runArea)
        for element in 0..<Int(access.count) {
            for byte in 0..<min(Int(access.size), 4) {
                let position = Int(access.data_offset) + element * Int(access.size) + byte
                guard position < area.count else { return }
                unsafe (area.base + position).storeBytes(of: UInt8(truncatingIfNeeded: value >> UInt32(8 * byte)), as: UInt8.self)
            }
        }
    }
}
