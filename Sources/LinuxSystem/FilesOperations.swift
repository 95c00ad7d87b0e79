internal import CLinux
internal import Glibc

/// What the kernel says about a file-system object (statx(2)). A symbolic link is described itself.
public struct FileAttributes: Equatable, Sendable {
    public var inode: UInt64
    /// Bytes.
    public var size: UInt64
    /// In units of 512 bytes.
    public var blocks: UInt64
    /// The file system's device number, as makedev(3) packs it.
    public var device: UInt64
    /// The mount through which the object was reached; it tells bind mounts of one file system apart.
    public var mount: UInt64
    public var accessTime: FileTime
    public var modificationTime: FileTime
    public var changeTime: FileTime
    /// Type and permission bits, as in inode(7).
    public var mode: UInt32
    public var links: UInt32
    public var user: UInt32
    public var group: UInt32
    public var blockSize: UInt32
    /// Of a device node.
    public var deviceMajor: UInt32
    public var deviceMinor: UInt32
    /// When the object came into being; nil where the file system does not keep it.
    public var birthTime: FileTime?

    init(_ raw: clinux_attributes) {
        inode = raw.inode
        size = raw.size
        blocks = raw.blocks
        device = raw.device
        mount = raw.mount
        accessTime = FileTime(seconds: raw.access_seconds, nanoseconds: raw.access_nanoseconds)
        modificationTime = FileTime(seconds: raw.modify_seconds, nanoseconds: raw.modify_nanoseconds)
        changeTime = FileTime(seconds: raw.change_seconds, nanoseconds: raw.change_nanoseconds)
        mode = raw.mode
        links = raw.links
        user = raw.user
        group = raw.group
        blockSize = raw.block_size
        deviceMajor = raw.device_major
        deviceMinor = raw.device_minor
        birthTime = raw.has_birth != 0 ? FileTime(seconds: raw.birth_seconds, nanoseconds: raw.birth_nanoseconds) : nil
    }
}

/// Seconds since 1970 and nanoseconds, as file systems keep them.
public struct FileTime: Equatable, Sendable {
    public var seconds: Int64
    public var nanoseconds: UInt32
    public init(seconds: Int64, nanoseconds: UInt32) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }
    /// UTIME_NOW
    public static let now = FileTime(seconds: 0, nanoseconds: 0x3FFF_FFFF)
    /// UTIME_OMIT: leave it as it is.
    public static let unchanged = FileTime(seconds: 0, nanoseconds: 0x3FFF_FFFE)
}

/// Sizes of a file system (statfs(2)).
public struct FileSystemStatistics: Equatable, Sendable {
    /// The file system's magic number.
    public var type: UInt64
    public var blocks: UInt64
    public var freeBlocks: UInt64
    public var availableBlocks: UInt64
    public var files: UInt64
    public var freeFiles: UInt64
    /// Bytes.
    public var blockSize: UInt32
    public var nameLength: UInt32
    /// Bytes; the unit of the block counts.
    public var fragmentSize: UInt32

    public init(
        type: UInt64, blocks: UInt64, freeBlocks: UInt64, availableBlocks: UInt64, files: UInt64, freeFiles: UInt64, blockSize: UInt32,
        nameLength: UInt32, fragmentSize: UInt32
    ) {
        (self.type, self.blocks, self.freeBlocks, self.availableBlocks) = (type, blocks, freeBlocks, availableBlocks)
        (self.files, self.freeFiles, self.blockSize) = (files, freeFiles, blockSize)
        (self.nameLength, self.fragmentSize) = (nameLength, fragmentSize)
    }

    /// Of procfs, PROC_SUPER_MAGIC.
    public static let procType: UInt64 = 0x9FA0
    /// Of overlayfs, OVERLAYFS_SUPER_MAGIC.
    public static let overlayType: UInt64 = 0x794C_7630
}

/// One component of a path, in any bytes: it names an entry of one directory and can lead nowhere else.
public struct EntryName: Equatable, Sendable {
    /// With the zero byte that C wants at the end.
    let terminated: [UInt8]
    public var bytes: ArraySlice<UInt8> { terminated.dropLast() }
    public var count: Int { terminated.count - 1 }

    /// NAME_MAX of Linux, in bytes.
    public static let maximumLength = 255

    /// - Throws: `EINVAL` for an empty name, `.`, `..`, or one with a slash or a zero byte; `ENAMETOOLONG`.
    public init(_ bytes: some Collection<UInt8>) throws(SystemError) {
        if bytes.count > EntryName.maximumLength { throw SystemError(.nameTooLong, "name") }
        var terminated: [UInt8] = []
        terminated.reserveCapacity(bytes.count + 1)
        var dots = 0
        for byte in bytes {
            if byte == 0 || byte == UInt8(ascii: "/") { throw SystemError(.invalidArgument, "name") }
            if byte == UInt8(ascii: ".") { dots += 1 }
            terminated.append(byte)
        }
        // Empty, "." and "..".
        if dots == terminated.count && dots <= 2 { throw SystemError(.invalidArgument, "name") }
        terminated.append(0)
        self.terminated = terminated
    }

    public init(_ text: String) throws(SystemError) { try self.init(Array(text.utf8)) }
}

/// The name of an extended attribute, in any bytes.
public struct AttributeName: Equatable, Sendable {
    let terminated: [UInt8]

    /// XATTR_NAME_MAX
    public static let maximumLength = 255

    /// - Throws: `ERANGE` for an empty name or one that is too long, as the kernel does; `EINVAL` for one with a zero byte.
    public init(_ bytes: some Collection<UInt8>) throws(SystemError) {
        guard !bytes.isEmpty, bytes.count <= AttributeName.maximumLength else { throw SystemError(Errno(rawValue: ERANGE), "name") }
        if bytes.contains(0) { throw SystemError(.invalidArgument, "name") }
        terminated = Array(bytes) + [0]
    }

    public init(_ text: String) throws(SystemError) { try self.init(Array(text.utf8)) }

    /// system.posix_acl_access or system.posix_acl_default (acl(5))
    public var isAccessControlList: Bool { terminated.starts(with: "system.posix_acl_".utf8) }
}

/// Entries of a directory that is open (O_PATH suffices). Nothing here follows a symbolic link.
extension OwnedDescriptor {
    /// The attributes of the object that is open.
    public func attributes() throws(SystemError) -> FileAttributes {
        var raw = clinux_attributes()
        try checked(unsafe clinux_get_attributes(rawValue, [0], &raw), "statx")
        return FileAttributes(raw)
    }

    /// The attributes of an entry.
    public func attributes(of name: EntryName) throws(SystemError) -> FileAttributes {
        var raw = clinux_attributes()
        try checked(unsafe clinux_get_attributes(rawValue, name.terminated, &raw), "statx")
        return FileAttributes(raw)
    }

    /// Opens an entry with O_NOFOLLOW; with O_PATH this is possible for an object of any type and has no side effect.
    public func openEntry(_ name: EntryName, flags: Int32, mode: UInt32 = 0) throws(SystemError) -> OwnedDescriptor {
        let raw = rawValue
        return OwnedDescriptor(owning: Int32(try retried("openat") { unsafe clinux_open_entry(raw, name.terminated, flags | O_NOFOLLOW, mode) }))
    }

    /// A new file without a name in this directory (O_TMPFILE).
    public func openUnnamedFile(flags: Int32, mode: UInt32) throws(SystemError) -> OwnedDescriptor {
        let raw = rawValue
        return OwnedDescriptor(owning: Int32(try retried("openat") { unsafe clinux_open_entry(raw, [UInt8(ascii: "."), 0], flags | clinux_tmpfile, mode) }))
    }

    public func makeDirectory(_ name: EntryName, mode: UInt32) throws(SystemError) {
        try checked(unsafe clinux_make_directory(rawValue, name.terminated, mode), "mkdirat")
    }

    public func makeNode(_ name: EntryName, mode: UInt32, major: UInt32, minor: UInt32) throws(SystemError) {
        try checked(unsafe clinux_make_node(rawValue, name.terminated, mode, major, minor), "mknodat")
    }

    /// `target` holds no zero byte; it is not looked at otherwise.
    public func makeSymbolicLink(_ name: EntryName, target: some Collection<UInt8>) throws(SystemError) {
        try checked(unsafe clinux_make_symlink(Array(target) + [0], rawValue, name.terminated), "symlinkat")
    }

    public func removeFile(_ name: EntryName) throws(SystemError) {
        try checked(unsafe clinux_unlink_entry(rawValue, name.terminated, 0), "unlinkat")
    }

    public func removeDirectory(_ name: EntryName) throws(SystemError) {
        try checked(unsafe clinux_unlink_entry(rawValue, name.terminated, AT_REMOVEDIR), "unlinkat")
    }

    /// Renames, with the flags of renameat2(2).
    public func rename(_ name: EntryName, to directory: borrowing OwnedDescriptor, _ newName: EntryName, flags: UInt32) throws(SystemError) {
        try checked(unsafe clinux_rename_entry(rawValue, name.terminated, directory.rawValue, newName.terminated, flags), "renameat2")
    }

    /// The target of the symbolic link that is open.
    public func readSymbolicLink() throws(SystemError) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = try checked(unsafe clinux_read_link(rawValue, &buffer, buffer.count), "readlinkat")
        return Array(buffer[..<min(count, buffer.count)])
    }

    /// Gives the object that is open (O_PATH suffices) to a user and group; nil leaves one as it is.
    public func changeOwner(user: UInt32?, group: UInt32?) throws(SystemError) {
        try checked(clinux_change_owner(rawValue, user ?? .max, group ?? .max), "fchownat")
    }

    public func fileSystemStatistics() throws(SystemError) -> FileSystemStatistics {
        var raw = clinux_file_system()
        try checked(unsafe clinux_file_system(rawValue, &raw), "fstatfs")
        return FileSystemStatistics(
            type: raw.type, blocks: raw.blocks, freeBlocks: raw.free, availableBlocks: raw.available, files: raw.files,
            freeFiles: raw.free_files, blockSize: raw.block_size, nameLength: raw.name_length, fragmentSize: raw.fragment_size)
    }
}

/// __O_TMPFILE | O_DIRECTORY, which the importer does not see.
private let clinux_tmpfile: Int32 = 0o20_000_000 | O_DIRECTORY

/// Operations on an open file's contents.
extension OwnedDescriptor {
    /// lseek(2); returns the new position.
    public func seek(to offset: Int64, whence: Int32) throws(SystemError) -> Int64 {
        Int64(try checked(clinux_seek(rawValue, offset, whence), "lseek"))
    }

    /// Sets the size in bytes.
    public func truncate(to size: Int64) throws(SystemError) { try checked(clinux_ftruncate(rawValue, size), "ftruncate") }

    /// fallocate(2), with its modes.
    public func allocate(mode: Int32, offset: Int64, length: Int64) throws(SystemError) {
        let raw = rawValue
        try retried("fallocate") { clinux_fallocate(raw, mode, offset, length) }
    }

    /// Copies between files within the kernel; returns how many bytes.
    public func copyRange(from offset: Int64, to other: borrowing OwnedDescriptor, at otherOffset: Int64, count: Int) throws(SystemError) -> Int {
        let (from, to) = (rawValue, other.rawValue)
        return try retried("copy_file_range") { clinux_copy_file_range(from, offset, to, otherOffset, count) }
    }

    /// Waits until the file (or with `dataOnly`, its contents) is on the disk.
    public func synchronize(dataOnly: Bool = false) throws(SystemError) {
        try checked(clinux_fsync(rawValue, dataOnly ? 1 : 0), "fsync")
    }

    /// Waits until the whole file system is on the disk.
    public func synchronizeFileSystem() throws(SystemError) { try checked(clinux_syncfs(rawValue), "syncfs") }

    /// Raw entries of an open directory (getdents64(2)); the number of bytes, 0 at its end.
    public func readEntries(into buffer: inout [UInt8]) throws(SystemError) -> Int {
        try checked(unsafe clinux_getdents64(rawValue, &buffer, buffer.count), "getdents64")
    }
}

/// Raises the soft limit of RLIMIT_NOFILE to the hard one.
public func raiseDescriptorLimit() {
    var (soft, hard): (UInt64, UInt64) = (0, 0)
    guard unsafe clinux_getrlimit(Int32(RLIMIT_NOFILE.rawValue), &soft, &hard) >= 0, soft < hard else { return }
    _ = clinux_setrlimit(Int32(RLIMIT_NOFILE.rawValue), hard, hard)
}

/// How many descriptors this process may have open (the soft limit of RLIMIT_NOFILE).
public func descriptorLimit() -> Int { max(0, clinux_descriptor_limit()) }
