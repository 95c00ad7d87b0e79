internal import CLinux
internal import Glibc
public import LinuxSystem

/// A virtual machine of KVM ("VM ioctls" of the API's documentation).
public final class VirtualMachine: Sendable {
    private let descriptor: OwnedDescriptor
    private let runAreaSize: Int

    init(_ descriptor: consuming OwnedDescriptor, runAreaSize: Int) {
        self.descriptor = descriptor
        self.runAreaSize = runAreaSize
    }

    /// Shows the guest a part of a mapping at a guest-physical address. The mapping must outlive the machine.
    public func setMemory(slot: UInt32, guestAddress: UInt64, mapping: Mapping, readOnly: Bool = false) throws(SystemError) {
        var region = unsafe kvm_userspace_memory_region(
            slot: slot, flags: readOnly ? UInt32(KVM_MEM_READONLY) : 0, guest_phys_addr: guestAddress,
            memory_size: UInt64(mapping.count), userspace_addr: UInt64(UInt(bitPattern: mapping.base)))
        try checked(unsafe clinux_ioctl_pointer(descriptor.rawValue, clinux_KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION")
    }

    /// Local APICs in the kernel, the IOAPIC with `pins` inputs in the caller. Before the first vCPU.
    public func enableSplitIRQChip(pins: Int) throws(SystemError) {
        var capability = clinux_kvm_capability(UInt32(KVM_CAP_SPLIT_IRQCHIP), UInt64(pins))
        try checked(unsafe clinux_ioctl_pointer(descriptor.rawValue, clinux_KVM_ENABLE_CAP, &capability), "KVM_ENABLE_CAP(KVM_CAP_SPLIT_IRQCHIP)")
    }

    /// Three pages that KVM on Intel needs below 4 GiB and outside memory.
    public func setTaskStateAddress(_ address: UInt64) throws(SystemError) {
        try checked(clinux_ioctl_value(descriptor.rawValue, clinux_KVM_SET_TSS_ADDR, UInt(address)), "KVM_SET_TSS_ADDR")
    }

    /// An interrupt message that a global interrupt number stands for.
    public struct MessageRoute: Equatable, Sendable {
        public var gsi: UInt32
        public var address: UInt64
        public var data: UInt32
        public init(gsi: UInt32, address: UInt64, data: UInt32) {
            self.gsi = gsi
            self.address = address
            self.data = data
        }
    }

    /// Replaces all routes (at most 64).
    public func setRoutes(_ routes: [MessageRoute]) throws(SystemError) {
        let entries = routes.map { clinux_kvm_msi_route($0.gsi, $0.address, $0.data) }
        try checked(unsafe clinux_kvm_set_routes(descriptor.rawValue, entries, UInt32(entries.count)), "KVM_SET_GSI_ROUTING")
    }

    /// From now on a signal on the eventfd injects the interrupt.
    public func attachInterrupt(_ event: borrowing EventDescriptor, gsi: UInt32) throws(SystemError) {
        var request = kvm_irqfd()
        request.fd = UInt32(event.descriptor.rawValue)
        request.gsi = gsi
        try checked(unsafe clinux_ioctl_pointer(descriptor.rawValue, clinux_KVM_IRQFD, &request), "KVM_IRQFD")
    }

    /// From now on a guest's 32-bit write of `value` at the address signals the eventfd instead of leaving KVM_RUN.
    public func attachNotification(_ event: Int32, address: UInt64, value: UInt32) throws(SystemError) {
        var request = clinux_kvm_ioeventfd(address, 4, UInt64(value), event)
        try checked(unsafe clinux_ioctl_pointer(descriptor.rawValue, clinux_KVM_IOEVENTFD, &request), "KVM_IOEVENTFD")
    }

    /// Creates a vCPU; `id` is its local APIC's.
    public func createVCPU(_ id: UInt32) throws(SystemError) -> VCPU {
        let raw = try checked(clinux_ioctl_value(descriptor.rawValue, clinux_KVM_CREATE_VCPU, UInt(id)), "KVM_CREATE_VCPU")
        let owned = OwnedDescriptor(owning: Int32(raw))
        let area = try Mapping(owned.rawValue, count: runAreaSize, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED)
        return VCPU(id, owned, area)
    }
}
