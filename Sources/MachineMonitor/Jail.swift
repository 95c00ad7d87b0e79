internal import CCapability
internal import CLinux
internal import Glibc
public import LinuxSystem

/// Locks this process in before the first guest instruction: whoever breaks out of the guest finds an empty file system, no
/// privileges but those of a file server, and the few system calls of the thread that was taken over.
public enum Jail {
    /// As an ordinary user: becomes root of a user namespace with one id in it, this user's, and enters a mount namespace that it owns. So
    /// the rest of the jail can be built; and to the guest the user's files are root's, all others nobody's, and none can be given away.
    ///
    /// Before there is a second thread. For root there is nothing to do.
    /// - Returns: false where this user may make no user namespace.
    public static func becomeRoot() throws(SystemError) -> Bool {
        let (user, group) = (geteuid(), getegid())
        if user == 0 { return true }
        let result = clinux_unshare(CLONE_NEWUSER | CLONE_NEWNS)
        // Forbidden (a sysctl, a filter of system calls), none allowed, or a kernel without.
        if [EPERM, EACCES, ENOSPC, EUSERS, EINVAL, ENOSYS].contains(Int32(truncatingIfNeeded: -result)) { return false }
        try checked(result, "unshare")
        // An unprivileged map of groups demands it (user_namespaces(7)).
        for (name, text) in [("setgroups", "deny"), ("uid_map", "0 \(user) 1"), ("gid_map", "0 \(group) 1")] {
            try OwnedDescriptor(opening: "/proc/self/" + name, flags: O_WRONLY).writeAll(Array(text.utf8))
        }
        return true
    }

    /// The same object, found again in a mount namespace that this process has entered since it was opened: mounts of another cannot be cloned.
    private static func foundAgain(_ share: borrowing OwnedDescriptor) throws(SystemError) -> OwnedDescriptor {
        let links = try OwnedDescriptor(opening: "/proc/self/fd", flags: O_PATH | O_DIRECTORY)
        let path = try links.linkTarget(of: "\(share.rawValue)")
        let found = try OwnedDescriptor(opening: path, flags: O_PATH | O_NOFOLLOW)
        let (old, new) = (try share.status(), try found.status())
        guard old.fileSystem == new.fileSystem, old.inode == new.inode else { throw SystemError(Errno(rawValue: ESTALE), "open", path: path) }
        return found
    }

    /// Detaches a share from the host's file tree: a private clone of the tree below the descriptor, of which even `..` leads
    /// nowhere, without set-uid programs and devices, and read-only if asked for.
    ///
    /// Without CAP_SYS_ADMIN the descriptor comes back as it is; its server then confines itself.
    public static func detach(_ share: consuming OwnedDescriptor, readOnly: Bool) throws(SystemError) -> OwnedDescriptor {
        var result = clinux_clone_tree(share.rawValue)
        if result == -Int(EINVAL) {
            let found = try foundAgain(share)
            result = clinux_clone_tree(found.rawValue)
            try found.close()
        }
        if result == -Int(EPERM) { return share }
        let clone = OwnedDescriptor(owning: Int32(try checked(result, "open_tree")))
        let attributes = UInt64(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC) | (readOnly ? UInt64(MOUNT_ATTR_RDONLY) : 0)
        try checked(clinux_restrict_tree(clone.rawValue, attributes), "mount_setattr")
        return clone
    }

    /// Leaves the host's mount, IPC, UTS and network namespaces for empty ones. An engine that gives its container a network does so in
    /// that of this process, which must therefore never be the host's. Needs CAP_SYS_ADMIN; false without.
    public static func leaveFileSystem() throws(SystemError) -> Bool {
        let result = clinux_unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET)
        if result == -Int(EPERM) { return false }
        try checked(result, "unshare")
        // Nothing that happens here may reach the host, and the other way round.
        unsafe try checked(clinux_mount_flags(nil, "/", nil, UInt(MS_REC | MS_PRIVATE), nil), "mount", path: "/")
        // Any directory that always exists serves as the place of the empty root.
        unsafe try checked(clinux_mount_flags("none", "/proc", "tmpfs", UInt(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC), "size=4k,mode=0555"), "mount", path: "tmpfs")
        unsafe try checked(clinux_chdir("/proc"), "chdir", path: "/proc")
        unsafe try checked(clinux_pivot_root(".", "."), "pivot_root")
        unsafe try checked(clinux_umount(".", Int32(MNT_DETACH)), "umount2")
        unsafe try checked(clinux_chdir("/"), "chdir", path: "/")
        return true
    }

    /// What a file server needs so that files get the owners and modes that the guest asks for.
    static let keptCapabilities: [Int32] = [
        CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP,
        // Not CAP_SYS_ADMIN: trusted.* attributes, which only an overlayfs in the guest would want, are not worth it.
    ]

    /// Drops all capabilities but the file server's (or all, when nothing is served).
    public static func dropCapabilities(servesFiles: Bool) throws(SystemError) {
        for capability in 0..<Int32(64) where !(servesFiles && keptCapabilities.contains(capability)) {
            // EINVAL: beyond the last one that this kernel knows.
            if clinux_prctl(PR_CAPBSET_DROP, UInt(capability), 0, 0, 0) == -Int(EINVAL) { break }
        }
        guard let none = unsafe cap_init() else { throw SystemError(.noMemory, "cap_init") }
        defer { unsafe cap_free(UnsafeMutableRawPointer(none)) }
        guard let current = unsafe cap_get_proc() else { throw SystemError(.invalidArgument, "cap_get_proc") }
        defer { unsafe cap_free(UnsafeMutableRawPointer(current)) }
        for capability in keptCapabilities where servesFiles {
            var value = CAP_CLEAR
            unsafe cap_get_flag(current, capability, CAP_PERMITTED, &value)
            guard value == CAP_SET else { continue }
            var one = capability
            for kind in [CAP_PERMITTED, CAP_EFFECTIVE] { unsafe cap_set_flag(none, kind, 1, &one, CAP_SET) }
        }
        if unsafe cap_set_proc(none) < 0 { throw SystemError(Errno(rawValue: errno), "cap_set_proc") }
    }

    /// Nothing that was given up can be had again.
    public static func forbidPrivileges() throws(SystemError) {
        try checked(clinux_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")
        // Not dumpable: another process of the same user cannot attach to this one.
        try checked(clinux_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl(PR_SET_DUMPABLE)")
    }
}
