public import LinuxSystem

/// Why a guest kernel cannot be started.
public enum BootError: Error, Equatable, Sendable, CustomStringConvertible {
    case kernelUnreadable(SystemError)
    case notELF(path: String)
    case truncatedKernel(path: String)
    case unsupportedKernel(path: String, why: String)
    case kernelTooLarge(path: String, needed: UInt64, memory: UInt64)
    case commandLineTooLong(Int)
    case deviceTree(code: Int32)

    public var description: String {
        switch self {
        case .kernelUnreadable(let error): "cannot read the guest kernel: \(error)"
        case .notELF(let path): "guest kernel \(path) is not an ELF file: an uncompressed vmlinux is needed"
        case .truncatedKernel(let path): "guest kernel \(path) is truncated: a segment lies beyond the end of the file"
        case .unsupportedKernel(let path, let why): "guest kernel \(path) cannot be booted: \(why)"
        case .kernelTooLarge(let path, let needed, let memory):
            "guest kernel \(path) needs memory up to \((needed + 0xFFFFF) >> 20) MiB, but the guest has \(memory >> 20) MiB: give it more memory"
        case .commandLineTooLong(let count): "the guest kernel's command line has \(count) bytes; at most 2047 are possible"
        case .deviceTree(let code): "the device tree could not be made (libfdt error \(code))"
        }
    }
}
