internal import CLinux
internal import Glibc

/// A range of this process's address space that is unmapped when its owner lets go.
@safe public final class Mapping: @unchecked Sendable {
    /// The first byte. Others (a guest) may write at any time: never form a Span over it.
    public let base: UnsafeMutableRawPointer
    /// Bytes mapped.
    public let count: Int

    /// Maps `count` bytes of a file (or anonymous memory when `descriptor` is nil).
    public init(_ descriptor: Int32?, offset: Int64 = 0, count: Int, protection: Int32, flags: Int32) throws(SystemError) {
        let all = descriptor == nil ? flags | MAP_ANONYMOUS : flags
        let address = try checked(clinux_mmap(0, count, protection, all, descriptor ?? -1, offset), "mmap")
        guard let pointer = unsafe UnsafeMutableRawPointer(bitPattern: address) else { throw SystemError(.noMemory, "mmap") }
        unsafe base = pointer
        self.count = count
    }

    /// Asks for small pages behind these bytes: each touch then takes 4 KiB of the host, not 2 MiB. A kernel that knows no huge pages
    /// refuses, and needs not be asked.
    public func preferSmallPages() { _ = unsafe clinux_madvise(UInt(bitPattern: base), count, MADV_NOHUGEPAGE) }

    deinit { unsafe _ = clinux_munmap(UInt(bitPattern: base), count) }

    /// Replaces a page-aligned part of this mapping by pages of a file, e.g. a kernel's, copy on write.
    public func overlay(at offset: Int, with descriptor: borrowing OwnedDescriptor, fileOffset: Int64, count: Int, protection: Int32, flags: Int32) throws(SystemError) {
        guard offset >= 0, count > 0, offset <= self.count, count <= self.count - offset else {
            throw SystemError(.invalidArgument, "mmap")
        }
        let address = unsafe UInt(bitPattern: base + offset)
        try checked(clinux_mmap(address, count, protection, flags | MAP_FIXED, descriptor.rawValue, fileOffset), "mmap")
    }
}
