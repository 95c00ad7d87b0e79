internal import CLinux
internal import Glibc

/// A file in memory, open at its start, for a program to read.
public enum MemoryFile {
    public static func make(_ name: String, _ bytes: [UInt8]) throws(SystemError) -> SharedDescriptor {
        let file = try OwnedDescriptor(owning: Int32(unsafe checked(clinux_memfd_create(name, UInt32(MFD_CLOEXEC)), "memfd_create")))
        try file.writeAll(bytes)
        _ = lseek(file.rawValue, 0, SEEK_SET)
        return SharedDescriptor(file)
    }
}
