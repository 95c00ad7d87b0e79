internal import CLinux
internal import Glibc

/// Attributes of one mount: the `MOUNT_ATTR_*` bits of mount_setattr(2).
public struct MountAttributes: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    /// MOUNT_ATTR_RDONLY
    public static let readOnly = MountAttributes(rawValue: 0x1)
    /// MOUNT_ATTR_NOSUID
    public static let noSetUserID = MountAttributes(rawValue: 0x2)
    /// MOUNT_ATTR_NODEV
    public static let noDevices = MountAttributes(rawValue: 0x4)
    /// MOUNT_ATTR_NOEXEC
    public static let noExecute = MountAttributes(rawValue: 0x8)
    /// MOUNT_ATTR_NOATIME
    public static let noAccessTimes = MountAttributes(rawValue: 0x10)
    /// MOUNT_ATTR_STRICTATIME
    public static let strictAccessTimes = MountAttributes(rawValue: 0x20)
    /// MOUNT_ATTR__ATIME: all bits of the choice between relatime (0), noatime and strictatime
    public static let accessTimeMask = MountAttributes(rawValue: 0x70)
    /// MOUNT_ATTR_NODIRATIME
    public static let noDirectoryAccessTimes = MountAttributes(rawValue: 0x80)
    /// MOUNT_ATTR_IDMAP
    public static let idMapped = MountAttributes(rawValue: 0x10_0000)
    /// MOUNT_ATTR_NOSYMFOLLOW
    public static let noSymbolicLinks = MountAttributes(rawValue: 0x20_0000)
}

/// How mounts and unmounts beneath a mount travel to its peers: `MS_*` of mount(2).
public enum MountPropagation: UInt64, Hashable, Sendable {
    case unbindable = 0x2_0000
    case `private` = 0x4_0000
    case slave = 0x8_0000
    case shared = 0x10_0000
}

/// A mount held by a descriptor. Until it is attached it exists nowhere in the tree and vanishes with the descriptor.
public struct MountDescriptor: ~Copyable, Sendable {
    public let descriptor: OwnedDescriptor

    public init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

    /// A detached copy of what is mounted at the place that `source` names: a bind mount to be (open_tree(2)).
    public init(cloning source: borrowing OwnedDescriptor, recursive: Bool) throws(SystemError) {
        let flags = UInt32(OPEN_TREE_CLONE) | UInt32(AT_EMPTY_PATH) | (recursive ? UInt32(AT_RECURSIVE) : 0)
        descriptor = OwnedDescriptor(owning: Int32(try checked(unsafe clinux_open_tree(source.rawValue, "", flags), "open_tree")))
    }

    /// Sets and clears attributes, and the propagation (mount_setattr(2)).
    public func setAttributes(_ set: MountAttributes, clearing: MountAttributes = [], propagation: MountPropagation? = nil, recursive: Bool = false) throws(SystemError) {
        // The choice of access times is a field and not bits: it must be cleared whole before it is set.
        let clear = set.isDisjoint(with: .accessTimeMask) ? clearing : clearing.union(.accessTimeMask)
        try checked(
            clinux_mount_setattr(descriptor.rawValue, recursive ? 1 : 0, set.rawValue, clear.rawValue, propagation?.rawValue ?? 0, 0), "mount_setattr")
    }

    /// Shows the mount's files with the identities of a user namespace.
    public func mapIdentities(by userNamespace: borrowing OwnedDescriptor, recursive: Bool) throws(SystemError) {
        try checked(
            clinux_mount_setattr(descriptor.rawValue, recursive ? 1 : 0, MountAttributes.idMapped.rawValue, 0, 0, UInt64(userNamespace.rawValue)),
            "mount_setattr(MOUNT_ATTR_IDMAP)")
    }

    /// Attaches it over the file or directory that `target` names (move_mount(2)).
    public func attach(over target: borrowing OwnedDescriptor) throws(SystemError) {
        try checked(clinux_move_mount(descriptor.rawValue, target.rawValue), "move_mount")
    }
}

/// A file system being configured (fsopen(2)).
public struct FileSystemContext: ~Copyable {
    private let descriptor: OwnedDescriptor

    public init(type: String) throws(SystemError) {
        descriptor = OwnedDescriptor(owning: Int32(try checked(unsafe clinux_fsopen(type), "fsopen", path: type)))
    }

    public func set(flag: String) throws(SystemError) {
        try explained("option \(flag)", unsafe clinux_fsconfig(descriptor.rawValue, UInt32(FSCONFIG_SET_FLAG.rawValue), flag, nil, 0))
    }

    public func set(_ key: String, _ value: String) throws(SystemError) {
        try explained("option \(key)=\(value)", unsafe clinux_fsconfig(descriptor.rawValue, UInt32(FSCONFIG_SET_STRING.rawValue), key, value, 0))
    }

    /// Makes the file system's instance and a detached mount of it.
    public consuming func mount(_ attributes: MountAttributes) throws(SystemError) -> MountDescriptor {
        try explained(nil, clinux_fsconfig(descriptor.rawValue, UInt32(FSCONFIG_CMD_CREATE.rawValue), nil, nil, 0))
        let raw = try checked(clinux_fsmount(descriptor.rawValue, UInt32(truncatingIfNeeded: attributes.rawValue)), "fsmount")
        return MountDescriptor(OwnedDescriptor(owning: Int32(raw)))
    }

    /// The kernel says in words what was wrong, on the same descriptor.
    private func explained(_ what: String?, _ result: Int) throws(SystemError) {
        if result >= 0 { return }
        var buffer = [UInt8](repeating: 0, count: 512)
        let count = (try? descriptor.read(into: &buffer)) ?? 0
        var words = String(decoding: buffer[..<count], as: UTF8.self)
        while let last = words.last, last.isNewline { words.removeLast() }
        if words.hasPrefix("e ") { words.removeFirst(2) }
        let object = [what, words.isEmpty ? nil : words].compactMap { $0 }.joined(separator: ": ")
        throw SystemError(Errno(rawValue: Int32(truncatingIfNeeded: -result)), "fsconfig", path: object.isEmpty ? nil : object)
    }
}

/// The mount tree of the caller's mount namespace by path, where a descriptor cannot be had.
public enum MountTree {
    /// Changes the propagation of what is mounted at `path`.
    public static func setPropagation(_ path: String, _ propagation: MountPropagation, recursive: Bool) throws(SystemError) {
        let flags = UInt(propagation.rawValue) | (recursive ? UInt(MS_REC) : 0)
        try checked(unsafe clinux_mount(nil, path, nil, flags, nil), "mount", path: path)
    }

    /// mount(2) with `MS_REMOUNT`; `flags` are the other `MS_*` bits.
    public static func remount(_ path: String, flags: UInt, data: String?) throws(SystemError) {
        if let data {
            try checked(unsafe clinux_mount(nil, path, nil, flags | UInt(MS_REMOUNT), data), "remount", path: path)
        } else {
            try checked(unsafe clinux_mount(nil, path, nil, flags | UInt(MS_REMOUNT), nil), "remount", path: path)
        }
    }

    /// Unmounts at once what can be no longer used; open files keep it alive (MNT_DETACH).
    public static func detach(_ path: String) throws(SystemError) {
        try checked(unsafe clinux_unmount(path, Int32(MNT_DETACH)), "umount2", path: path)
    }

    /// pivot_root(2).
    public static func pivotRoot(to newRoot: String, old: String) throws(SystemError) {
        try checked(unsafe clinux_change_root_mount(newRoot, old), "pivot_root", path: newRoot)
    }

    public static func changeRoot(_ path: String) throws(SystemError) {
        try checked(unsafe clinux_chroot(path), "chroot", path: path)
    }
}

/// What kind of file something is, and whose.
public struct FileStatus: Sendable {
    /// Type and permissions: `st_mode`.
    public let mode: UInt32
    public let user: UInt32
    public let group: UInt32
    public let size: Int64
    /// The device that a device node names.
    public let device: (major: UInt32, minor: UInt32)
    public let inode: UInt64
    /// The device number of the file system that it is in.
    public let fileSystem: UInt64
    public var isDirectory: Bool { type == 0o040000 }
    public var isRegular: Bool { type == 0o100000 }
    public var isSymbolicLink: Bool { type == 0o120000 }
    public var isCharacterDevice: Bool { type == 0o020000 }
    /// Whether it is the character device 1:3, which /dev/null must be.
    public var isNullDevice: Bool { isCharacterDevice && device == (1, 3) }
    /// The permission bits, with set-id and sticky.
    public var permissions: UInt32 { mode & 0o7777 }
    /// The type bits (S_IFMT).
    public var type: UInt32 { mode & 0o170000 }

    init(_ status: stat) {
        mode = UInt32(status.st_mode)
        user = status.st_uid
        group = status.st_gid
        size = Int64(status.st_size)
        device = (clinux_major(UInt64(status.st_rdev)), clinux_minor(UInt64(status.st_rdev)))
        inode = UInt64(status.st_ino)
        fileSystem = UInt64(status.st_dev)
    }

    /// Of a path in the caller's root, following symbolic links.
    public init(path: String) throws(SystemError) {
        var status = stat()
        try checked(unsafe clinux_fstatat(AT_FDCWD, path, &status, 0), "stat", path: path)
        self.init(status)
    }
}

extension OwnedDescriptor {
    /// The descriptor as a path of the caller's own /proc.
    public var procPath: String { "/proc/self/fd/\(rawValue)" }

    /// The descriptor's own file (fstat(2); works for O_PATH).
    public func status() throws(SystemError) -> FileStatus {
        var status = stat()
        try checked(unsafe clinux_fstatat(rawValue, "", &status, AT_EMPTY_PATH), "fstat")
        return FileStatus(status)
    }

    /// An entry of this directory, without following a symbolic link.
    public func status(of name: String) throws(SystemError) -> FileStatus {
        var status = stat()
        try checked(unsafe clinux_fstatat(rawValue, name, &status, AT_SYMLINK_NOFOLLOW), "stat", path: name)
        return FileStatus(status)
    }

    public func makeDirectory(_ name: String, mode: UInt32) throws(SystemError) {
        try checked(unsafe clinux_mkdirat(rawValue, name, mode), "mkdir", path: name)
    }

    /// Makes a node in this directory; `mode` holds the type as well (mknodat(2)).
    public func makeNode(_ name: String, mode: UInt32, major: UInt32 = 0, minor: UInt32 = 0) throws(SystemError) {
        try checked(unsafe clinux_mknodat(rawValue, name, mode, major, minor), "mknod", path: name)
    }

    public func makeSymbolicLink(_ name: String, to target: String) throws(SystemError) {
        try checked(unsafe clinux_symlinkat(target, rawValue, name), "symlink", path: name)
    }

    public func remove(_ name: String, directory: Bool = false) throws(SystemError) {
        try checked(unsafe clinux_unlinkat(rawValue, name, directory ? AT_REMOVEDIR : 0), "unlink", path: name)
    }

    public func setPermissions(of name: String, _ mode: UInt32) throws(SystemError) {
        try checked(unsafe clinux_fchmodat(rawValue, name, mode), "chmod", path: name)
    }

    public func setOwner(of name: String, user: UInt32, group: UInt32) throws(SystemError) {
        try checked(unsafe clinux_fchownat(rawValue, name, user, group, AT_SYMLINK_NOFOLLOW), "chown", path: name)
    }

    /// The target of a symbolic link in this directory.
    public func linkTarget(of name: String) throws(SystemError) -> String {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = try checked(unsafe clinux_readlinkat(rawValue, name, &buffer, buffer.count), "readlink", path: name)
        return String(decoding: buffer[..<count].lazy.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The magic number of the file system that it is in (statfs(2)).
    public func fileSystemType() throws(SystemError) -> Int {
        try checked(clinux_statfs_type(rawValue), "fstatfs")
    }

    /// Gives the object that is open its SELinux label.
    public func setLabel(_ label: String) throws(SystemError) {
        try checked(unsafe clinux_setxattr(procPath, "security.selinux", label, label.utf8.count + 1), "setxattr(security.selinux)", path: label)
    }

    /// The names in this directory, without "." and "..", in the file system's order.
    public func entries() throws(SystemError) -> [String] {
        // A descriptor of its own, so that the position is at the start and O_PATH handles work as well.
        let reader = try OwnedDescriptor(opening: ".", at: self, flags: O_RDONLY | O_DIRECTORY)
        var names: [String] = []
        var buffer = [UInt8](repeating: 0, count: 32768)
        let size = buffer.count
        while true {
            let count = try checked(
                unsafe buffer.withUnsafeMutableBytes { unsafe clinux_getdents64(reader.rawValue, $0.baseAddress, size) }, "getdents64")
            if count == 0 { return names }
            var offset = 0
            // struct linux_dirent64: inode u64, offset i64, record length u16, type u8, name to a NUL
            while offset + 19 <= count {
                let length = Int(buffer[offset + 16]) | Int(buffer[offset + 17]) << 8
                guard length > 19, offset + length <= count else { break }
                let name = String(decoding: buffer[(offset + 19)..<(offset + length)].prefix { $0 != 0 }, as: UTF8.self)
                if name != "." && name != ".." { names.append(name) }
                offset += length
            }
        }
    }
}

/// Makes a directory; one that exists already is fine.
public func makeDirectory(_ path: String, mode: UInt32 = 0o755) throws(SystemError) {
    let result = unsafe clinux_mkdirat(AT_FDCWD, path, mode)
    if result == -Int(EEXIST) { return }
    try checked(result, "mkdir", path: path)
}

/// Removes an empty directory.
public func removeDirectory(_ path: String) throws(SystemError) {
    try checked(unsafe clinux_rmdir(path), "rmdir", path: path)
}

extension OwnedDescriptor {
    /// A second, close-on-exec descriptor with a number of at least `minimum`.
    public init(duplicating other: Int32, above minimum: Int32) throws(SystemError) {
        self.init(owning: Int32(try checked(clinux_dup(other, minimum), "dup")))
    }

    /// Changes the owner of the open file itself.
    public func setOwner(user: UInt32, group: UInt32) throws(SystemError) {
        try checked(clinux_fchown(rawValue, user, group), "fchown")
    }
}
