internal import CLinux
internal import Glibc

/// A program of BPF_PROG_TYPE_CGROUP_DEVICE, which decides about device accesses of a control group's processes.
public struct DeviceFilterProgram: ~Copyable {
    private let descriptor: OwnedDescriptor

    /// Loads and verifies it. Each instruction is a `struct bpf_insn` as an integer.
    public init(instructions: [UInt64]) throws(SystemError) {
        let raw = unsafe clinux_bpf_load_device_filter(instructions, UInt32(truncatingIfNeeded: instructions.count), nil, 0)
        descriptor = OwnedDescriptor(owning: Int32(try checked(raw, "bpf(BPF_PROG_LOAD)")))
    }

    /// Puts it in force for a cgroup v2 directory, beside the filters of its ancestors.
    public func attach(to controlGroup: borrowing OwnedDescriptor) throws(SystemError) {
        try checked(clinux_bpf_attach_device_filter(controlGroup.rawValue, descriptor.rawValue), "bpf(BPF_PROG_ATTACH)")
    }
}

/// Sleeps for so many milliseconds.
public func sleep(milliseconds: UInt32) { _ = usleep(milliseconds * 1000) }
