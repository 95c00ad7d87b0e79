internal import CLinux
internal import Glibc

/// Attributes of what is open (`name` nil; not O_PATH) or of an entry of an open directory, which is never followed.
extension OwnedDescriptor {
    /// Sets permission bits. An entry must not be a symbolic link: it would be followed.
    public func setMode(_ mode: UInt32, of name: EntryName? = nil) throws(SystemError) {
        if let name {
            try checked(unsafe clinux_set_entry_mode(rawValue, name.terminated, mode), "fchmodat")
        } else {
            try checked(clinux_set_mode(rawValue, mode), "fchmod")
        }
    }

    public func setOwner(of name: EntryName, user: UInt32, group: UInt32) throws(SystemError) {
        try checked(unsafe clinux_set_entry_owner(rawValue, name.terminated, user, group), "fchownat")
    }

    public func setTimes(access: FileTime, modification: FileTime, of name: EntryName? = nil) throws(SystemError) {
        try checked(
            unsafe clinux_set_entry_times(
                rawValue, name.orItself, access.seconds, Int(access.nanoseconds), modification.seconds, Int(modification.nanoseconds)),
            "utimensat")
    }

    public func setAttribute(_ attribute: AttributeName, _ value: [UInt8], of name: EntryName? = nil) throws(SystemError) {
        try checked(unsafe clinux_set_entry_xattr(rawValue, name.orItself, attribute.terminated, value, value.count), "setxattr", path: attribute.text)
    }

    public func removeAttribute(_ attribute: AttributeName, of name: EntryName? = nil) throws(SystemError) {
        try checked(unsafe clinux_remove_entry_xattr(rawValue, name.orItself, attribute.terminated), "removexattr", path: attribute.text)
    }

    /// The value of an extended attribute; nil where there is none, or the file system has no such attributes.
    public func attribute(_ attribute: AttributeName, of name: EntryName? = nil) throws(SystemError) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 256)
        while true {
            let result = unsafe clinux_get_entry_xattr(rawValue, name.orItself, attribute.terminated, &buffer, buffer.count)
            if result >= 0 { return Array(buffer[..<min(result, buffer.count)]) }
            if result == -Int(ENODATA) || result == -Int(EOPNOTSUPP) { return nil }
            // XATTR_SIZE_MAX is 64 KiB; a POSIX ACL may be longer on some file systems.
            guard result == -Int(ERANGE), buffer.count < 1 << 20 else { throw SystemError(Errno(rawValue: Int32(-result)), "getxattr", path: attribute.text) }
            buffer = [UInt8](repeating: 0, count: buffer.count * 16)
        }
    }

    /// The names of the extended attributes, in the file system's order.
    public func attributeNames(of name: EntryName? = nil) throws(SystemError) -> [AttributeName] {
        var buffer = [UInt8](repeating: 0, count: 512)
        while true {
            let result = unsafe clinux_list_entry_xattr(rawValue, name.orItself, &buffer, buffer.count)
            if result == -Int(EOPNOTSUPP) { return [] }
            if result == -Int(ERANGE), buffer.count < 1 << 20 {
                buffer = [UInt8](repeating: 0, count: buffer.count * 16)
                continue
            }
            try checked(result, "listxattr")
            var names: [AttributeName] = []
            for bytes in buffer[..<result].split(separator: 0) { names.append(try AttributeName(bytes)) }
            return names
        }
    }

    /// Gives an entry a second name, in the same directory or another (linkat(2)).
    public func linkEntry(_ name: EntryName, to directory: borrowing OwnedDescriptor, _ newName: EntryName) throws(SystemError) {
        try checked(unsafe clinux_link_entry(rawValue, name.terminated, directory.rawValue, newName.terminated), "linkat")
    }

    /// The target of a symbolic link in this directory.
    public func readSymbolicLink(_ name: EntryName) throws(SystemError) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = try checked(unsafe clinux_read_entry_link(rawValue, name.terminated, &buffer, buffer.count), "readlinkat")
        return Array(buffer[..<count])
    }

    /// The names in this directory, as bytes and without "." and "..", in the file system's order.
    public func entryNames() throws(SystemError) -> [EntryName] {
        // A descriptor of its own, so that the position is at the start and O_PATH handles work as well.
        let reader = try OwnedDescriptor(opening: ".", at: self, flags: O_RDONLY | O_DIRECTORY)
        var names: [EntryName] = []
        var buffer = [UInt8](repeating: 0, count: 32768)
        while true {
            let count = try reader.readEntries(into: &buffer)
            if count == 0 { return names }
            var offset = 0
            // struct linux_dirent64: inode u64, offset i64, record length u16, type u8, name to a NUL
            while offset + 19 <= count {
                let length = Int(buffer[offset + 16]) | Int(buffer[offset + 17]) << 8
                guard length > 19, offset + length <= count else { throw SystemError(.ioError, "getdents64") }
                let bytes = buffer[(offset + 19)..<(offset + length)].prefix { $0 != 0 }
                if !(bytes.elementsEqual(".".utf8) || bytes.elementsEqual("..".utf8)) { names.append(try EntryName(bytes)) }
                offset += length
            }
        }
    }

    /// Writes all the bytes at `offset` (pwrite(2)).
    public func write(_ bytes: RawSpan, at offset: Int64) throws(SystemError) {
        let raw = rawValue
        var done = 0
        while done < bytes.byteCount {
            let rest = bytes.extracting(done...)
            let position = offset + Int64(done)
            // SAFETY: the buffer is valid for the closure, and its own count is given.
            done += try retried("pwrite") { unsafe rest.withUnsafeBytes { unsafe clinux_pwrite(raw, $0.baseAddress, $0.count, position) } }
        }
    }

    /// The parts of this regular file that are no holes; after a hole at its end, an empty one there.
    /// - Parameter size: the file's, in bytes.
    public func dataParts(_ size: Int64) throws(SystemError) -> [Range<Int64>] {
        var parts: [Range<Int64>] = []
        var offset: Int64 = 0
        while offset < size {
            let start: Int64
            // ENXIO: nothing but a hole up to the end.
            do throws(SystemError) { start = try seek(to: offset, whence: 3 /* SEEK_DATA */) } catch where error.errno.rawValue == ENXIO { break }
            let end = min(size, try seek(to: start, whence: 4 /* SEEK_HOLE */))
            guard start < end else { break }
            parts.append(start..<end)
            offset = end
        }
        if parts.last.map({ $0.upperBound < size }) ?? true { parts.append(size..<size) }
        return parts
    }

    /// Makes this empty file share all blocks of another one (FICLONE); `EOPNOTSUPP` or `EXDEV` where that is not possible.
    public func cloneContents(of other: borrowing OwnedDescriptor) throws(SystemError) {
        try checked(clinux_clone_file(rawValue, other.rawValue), "FICLONE")
    }

    /// Gives this empty file the contents of another one, holes left out: it shares the other's blocks where it can.
    public func copyContents(of other: borrowing OwnedDescriptor, size: Int64) throws(SystemError) {
        // What really is wrong with one of them shows below as well.
        if (try? cloneContents(of: other)) != nil { return }
        for part in try other.dataParts(size) {
            var offset = part.lowerBound
            while offset < part.upperBound {
                let piece = try other.bytes(at: offset, count: Int(min(part.upperBound - offset, 64 << 10)))
                guard !piece.isEmpty else { throw SystemError(.ioError, "read") }
                // Not all file systems can say where their holes are.
                if piece.contains(where: { $0 != 0 }) { try write(unsafe piece.span.bytes, at: offset) }
                offset += Int64(piece.count)
            }
        }
        try truncate(to: size)
    }

    /// A loop device that shows this file, read-only. It vanishes once it is closed and not mounted.
    public func attachLoopDevice() throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(owning: Int32(try checked(clinux_attach_loop(rawValue), "LOOP_CONFIGURE")))
    }

    /// Makes an empty btrfs subvolume in this directory.
    public func makeSubvolume(_ name: EntryName) throws(SystemError) {
        try checked(unsafe clinux_make_subvolume(rawValue, name.terminated), "BTRFS_IOC_SUBVOL_CREATE")
    }

    /// Makes a snapshot of the subvolume that `source` is the root of, which can be written.
    public func makeSnapshot(_ name: EntryName, of source: borrowing OwnedDescriptor) throws(SystemError) {
        try checked(unsafe clinux_snapshot_subvolume(source.rawValue, rawValue, name.terminated), "BTRFS_IOC_SNAP_CREATE_V2")
    }

    public func removeSubvolume(_ name: EntryName) throws(SystemError) {
        try checked(unsafe clinux_remove_subvolume(rawValue, name.terminated), "BTRFS_IOC_SNAP_DESTROY")
    }
}

extension EntryName? {
    fileprivate var orItself: [UInt8] { self?.terminated ?? [0] }
}

extension AttributeName {
    public var bytes: ArraySlice<UInt8> { terminated.dropLast() }
    public var text: String { String(decoding: bytes, as: UTF8.self) }
}

extension EntryName {
    public var text: String { String(decoding: bytes, as: UTF8.self) }
}

extension EntryName: Hashable, Comparable {
    public func hash(into hasher: inout Hasher) { hasher.combine(terminated) }
    /// By bytes.
    public static func < (left: EntryName, right: EntryName) -> Bool { left.terminated.lexicographicallyPrecedes(right.terminated) }
}

extension MountTree {
    /// mount(2): a new file system, whose options may be as long as a page.
    public static func mount(_ source: String, at path: String, type: String, flags: UInt = 0, data: String) throws(SystemError) {
        try checked(unsafe clinux_mount(source, path, type, flags, data), "mount", path: "\(type) at \(path)")
    }
}

/// Whether the caller has what root of a machine has: it is user 0, and in no user namespace of its own.
public func isMachineRoot() -> Bool {
    guard geteuid() == 0, let map = try? readFile("/proc/self/uid_map", limit: 4096) else { return false }
    return String(decoding: map, as: UTF8.self).split(whereSeparator: \.isWhitespace) == ["0", "0", "4294967295"]
}

/// The effective user of this process.
public func effectiveUser() -> UInt32 { geteuid() }
public func effectiveGroup() -> UInt32 { getegid() }

/// An advisory lock on a whole file (flock(2)), held until this value goes.
public struct FileLock: ~Copyable, Sendable {
    public let descriptor: OwnedDescriptor

    /// Waits for the lock, on a file that is made when it is not there.
    /// - Parameter removable: holders may remove the file; then a lock on a file that nobody else will find does not count.
    public init(_ path: String, exclusive: Bool, removable: Bool = false) throws(SystemError) {
        while true {
            let file = try FileLock.open(path)
            let raw = file.rawValue
            try retried("flock", path: path) { clinux_flock(raw, exclusive ? LOCK_EX : LOCK_SH) }
            let found = removable ? try FileLock.isAt(path, file) : true
            if found {
                descriptor = file
                return
            }
        }
    }

    /// Nil when somebody else holds the lock.
    public static func attempt(_ path: String, exclusive: Bool) throws(SystemError) -> FileLock? {
        let file = try open(path)
        let raw = file.rawValue
        do throws(SystemError) {
            try retried("flock", path: path) { clinux_flock(raw, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) }
        } catch where error.errno == .wouldBlock { return nil }
        return try isAt(path, file) ? FileLock(owning: file) : nil
    }

    private init(owning file: consuming OwnedDescriptor) { descriptor = file }

    private static func open(_ path: String) throws(SystemError) -> OwnedDescriptor {
        try OwnedDescriptor(opening: path, flags: O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
    }

    private static func isAt(_ path: String, _ file: borrowing OwnedDescriptor) throws(SystemError) -> Bool {
        var theirs = stat()
        let result = unsafe clinux_fstatat(AT_FDCWD, path, &theirs, AT_SYMLINK_NOFOLLOW)
        if result == -Int(ENOENT) { return false }
        try checked(result, "stat", path: path)
        let mine = try file.status()
        return mine.inode == UInt64(theirs.st_ino) && mine.fileSystem == UInt64(theirs.st_dev)
    }
}

extension OwnedDescriptor {
    /// The number of the loop device that is open: N of /dev/loopN.
    public func loopNumber() throws(SystemError) -> Int {
        let device = try attributes()
        guard device.mode & 0o170000 == 0o060000, device.deviceMajor == 7 else { throw SystemError(.noSuchDevice, "loop device") }
        return Int(device.deviceMinor)
    }
}
