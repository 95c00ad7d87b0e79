internal import CLinux
internal import Glibc
public import LinuxSystem

/// /dev/kvm (Documentation/virt/kvm/api.rst, "System ioctls").
public struct KVMSystem: ~Copyable {
    let descriptor: OwnedDescriptor
    /// Bytes of the area that each vCPU shares with the kernel.
    let runAreaSize: Int

    /// - Throws: `ENOENT`/`ENXIO` without KVM, `EACCES` without permission, `ENOTSUP` for an API other than 12.
    public init() throws(SystemError) {
        let device = try OwnedDescriptor(opening: "/dev/kvm", flags: O_RDWR)
        let version = try checked(clinux_ioctl_value(device.rawValue, clinux_KVM_GET_API_VERSION, 0), "KVM_GET_API_VERSION")
        guard version == 12 else { throw SystemError(.notSupported, "KVM_GET_API_VERSION", path: "version \(version)") }
        runAreaSize = try checked(clinux_ioctl_value(device.rawValue, clinux_KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE")
        descriptor = device
    }

    /// KVM_CHECK_EXTENSION: 0 when the capability is missing.
    public func check(_ capability: Capability) -> Int {
        max(0, clinux_ioctl_value(descriptor.rawValue, clinux_KVM_CHECK_EXTENSION, UInt(capability.rawValue)))
    }

    /// What this library asks of KVM.
    public enum Capability: UInt32, Sendable, CaseIterable {
        case splitIRQChip = 121  // KVM_CAP_SPLIT_IRQCHIP
        case tscDeadlineTimer = 72  // KVM_CAP_TSC_DEADLINE_TIMER
        case irqfd = 32  // KVM_CAP_IRQFD
        case ioeventfd = 36  // KVM_CAP_IOEVENTFD
        case readOnlyMemory = 81  // KVM_CAP_READONLY_MEM
        case immediateExit = 136  // KVM_CAP_IMMEDIATE_EXIT
        case maximumVCPUs = 66  // KVM_CAP_MAX_VCPUS
    }

    /// The CPUID leaves that this host and KVM can show a guest.
    public func supportedCPUID() throws(SystemError) -> CPUIDTable {
        var table = clinux_cpuid()
        table.nent = UInt32(CLINUX_MAXIMUM_CPUID_ENTRIES)
        try checked(unsafe clinux_ioctl_pointer(descriptor.rawValue, clinux_KVM_GET_SUPPORTED_CPUID, &table), "KVM_GET_SUPPORTED_CPUID")
        return CPUIDTable(table)
    }

    /// Creates a virtual machine without vCPUs and memory.
    public func createMachine() throws(SystemError) -> VirtualMachine {
        // KVM_CREATE_VM can fail with EINTR when a signal arrives while it takes mm locks.
        let raw = descriptor.rawValue
        let machine = try retried("KVM_CREATE_VM") { clinux_ioctl_value(raw, clinux_KVM_CREATE_VM, 0) }
        return VirtualMachine(OwnedDescriptor(owning: Int32(machine)), runAreaSize: runAreaSize)
    }
}
