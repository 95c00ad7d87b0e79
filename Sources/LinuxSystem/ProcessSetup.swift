internal import CLinux
internal import Glibc

/// What a process changes about itself. Each call is one system call of the same subject.
public enum OwnProcess {
    public static func setHostName(_ name: String) throws(SystemError) {
        try checked(unsafe clinux_sethostname(name, name.utf8.count), "sethostname", path: name)
    }
    public static func setDomainName(_ name: String) throws(SystemError) {
        try checked(unsafe clinux_setdomainname(name, name.utf8.count), "setdomainname", path: name)
    }
    /// Brings a network interface of the own network namespace up.
    public static func bringUp(interface name: String) throws(SystemError) {
        try checked(unsafe clinux_interface_up(name), "SIOCSIFFLAGS", path: name)
    }
    public static func setGroups(_ groups: [UInt32]) throws(SystemError) {
        try checked(unsafe clinux_setgroups(groups, groups.count), "setgroups")
    }
    /// Real, effective, saved and file-system group.
    public static func setGroup(_ group: UInt32) throws(SystemError) { try checked(clinux_setresgid(group), "setresgid") }
    /// Real, effective, saved and file-system user.
    public static func setUser(_ user: UInt32) throws(SystemError) { try checked(clinux_setresuid(user), "setresuid") }
    @discardableResult
    public static func setFileCreationMask(_ mask: UInt32) -> UInt32 { clinux_umask(mask) }
    public static func changeDirectory(_ path: String) throws(SystemError) { try checked(unsafe clinux_change_directory(path), "chdir", path: path) }
    public static func changeDirectory(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) { try checked(clinux_fchdir(descriptor.rawValue), "fchdir") }
    /// Whether the working directory lies beneath the root: the kernel marks one that does not.
    public static func workingDirectoryIsReachable() throws(SystemError) -> Bool {
        var buffer = [CChar](repeating: 0, count: 4097)
        try checked(unsafe clinux_getcwd(&buffer, buffer.count), "getcwd")
        return buffer[0] == CChar(bitPattern: UInt8(ascii: "/"))
    }
    public static func startSession() throws(SystemError) { try checked(clinux_setsid(), "setsid") }
    public static func setNoNewPrivileges() throws(SystemError) { try checked(clinux_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)") }
    /// Whether permitted capabilities outlive a change of user.
    public static func setKeepCapabilities(_ on: Bool) throws(SystemError) { try checked(clinux_prctl(PR_SET_KEEPCAPS, on ? 1 : 0, 0, 0, 0), "prctl(PR_SET_KEEPCAPS)") }
    /// Whether processes of the same user may trace this one and read its memory.
    public static func setDumpable(_ on: Bool) throws(SystemError) { try checked(clinux_prctl(PR_SET_DUMPABLE, on ? 1 : 0, 0, 0, 0), "prctl(PR_SET_DUMPABLE)") }
    /// Whether orphans among this process's descendants become its children (PR_SET_CHILD_SUBREAPER).
    public static func setChildSubreaper(_ on: Bool) throws(SystemError) { try checked(clinux_prctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)") }
    public static func setPersonality(_ persona: UInt) throws(SystemError) { try checked(clinux_personality(persona), "personality") }
    /// ioprio_set(2): class 1 real-time, 2 best effort, 3 idle.
    public static func setIOPriority(class priorityClass: Int32, data: Int32) throws(SystemError) { try checked(clinux_ioprio_set(priorityClass, data), "ioprio_set") }
    /// sched_setattr(2); times in nanoseconds.
    public static func setScheduler(policy: UInt32, flags: UInt64, nice: Int32, priority: UInt32, runtime: UInt64, deadline: UInt64, period: UInt64) throws(SystemError) {
        try checked(clinux_sched_setattr(policy, flags, nice, priority, runtime, deadline, period), "sched_setattr")
    }
    /// set_mempolicy(2); `nodes` is a mask of 64-bit words, lowest first.
    public static func setMemoryPolicy(mode: Int32, nodes: [UInt64]) throws(SystemError) {
        // The kernel takes one more than the number of bits.
        let bits = nodes.isEmpty ? 0 : UInt(nodes.count * 64 + 1)
        try checked(unsafe clinux_set_mempolicy(mode, nodes, bits), "set_mempolicy")
    }
    /// Puts a filter of system calls in force (seccomp(2)). Each instruction is a `struct sock_filter` of 8 bytes.
    /// - Returns: the number of the listener, close-on-exec, when `flags` have SECCOMP_FILTER_FLAG_NEW_LISTENER.
    public static func loadSystemCallFilter(_ instructions: [UInt8], flags: UInt32) throws(SystemError) -> Int32 {
        Int32(try checked(unsafe clinux_seccomp_filter(flags, instructions, instructions.count / 8), "seccomp"))
    }
    /// A new session keyring, so that the parent's keys are not inherited.
    public static func joinSessionKeyring(_ name: String) throws(SystemError) { try checked(unsafe clinux_join_session_keyring(name), "keyctl") }
    /// Blocks no signal and gives every signal its default action again.
    public static func resetSignals() {
        for number: Int32 in 1...64 where number != SIGKILL && number != SIGSTOP && !(32...33).contains(number) {
            _ = clinux_default_signal(number)
        }
        _ = clinux_unblock_all_signals()
    }
    /// Marks all descriptors from `first` on close-on-exec.
    public static func closeOnExec(from first: UInt32) throws(SystemError) {
        try checked(clinux_close_range(first, UInt32.max, 4 /* CLOSE_RANGE_CLOEXEC */), "close_range")
    }
    /// Closes all descriptors from `first` on: only when nobody owns any of them.
    public static func closeAll(from first: UInt32) throws(SystemError) { try checked(clinux_close_range(first, UInt32.max, 0), "close_range") }
    /// Makes `target` name the open file of `descriptor`, inherited over execve(2).
    public static func install(_ descriptor: borrowing OwnedDescriptor, as target: Int32) throws(SystemError) {
        if descriptor.rawValue == target {
            try descriptor.setCloseOnExec(false)
        } else {
            try checked(clinux_dup3(descriptor.rawValue, target, 0), "dup3")
        }
    }
    /// Replaces the program. Returns only on failure.
    public static func execute(_ path: String, arguments: [String], environment: [String]) -> SystemError {
        var argv: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) }
        unsafe argv.append(nil)
        var envp: [UnsafeMutablePointer<CChar>?] = unsafe environment.map { unsafe strdup($0) }
        unsafe envp.append(nil)
        let result = unsafe clinux_execve(path, argv, envp)
        return SystemError(Errno(rawValue: Int32(truncatingIfNeeded: -result)), "exec", path: path)
    }
    /// fork(2), which only a single-threaded program may call. 0 in the child.
    public static func fork() throws(SystemError) -> Int32 { Int32(try checked(Int(clinux_fork()), "fork")) }
    /// A fork in new namespaces whose parent is the caller's own (clone3(2) with CLONE_PARENT), which only a single-threaded program may
    /// call. 0 in the child.
    public static func forkSibling(_ namespaces: NamespaceSet) throws(SystemError) -> Int32 {
        Int32(try checked(clinux_clone_sibling(namespaces.rawValue), "clone3"))
    }
    public static func exitNow(_ code: Int32) -> Never { _exit(code) }
}

/// The CPUs that a process may run on, as a mask of 64-bit words, lowest first (sched_setaffinity(2)).
public enum CPUAffinity {
    /// 0 is the calling thread.
    public static func set(of pid: Int32, _ mask: [UInt64]) throws(SystemError) {
        try checked(unsafe clinux_sched_setaffinity(pid, mask, mask.count * 8), "sched_setaffinity")
    }
    public static func get(of pid: Int32) throws(SystemError) -> [UInt64] {
        var mask = [UInt64](repeating: 0, count: 1024)
        let size = try checked(unsafe clinux_sched_getaffinity(pid, &mask, mask.count * 8), "sched_getaffinity")
        return Array(mask[..<(size / 8)])
    }
}

/// Makes a named pipe (S_IFIFO), which must not exist.
public func makeNamedPipe(_ path: String, mode: UInt32) throws(SystemError) {
    try checked(unsafe clinux_mknodat(AT_FDCWD, path, 0o010000 | mode, 0, 0), "mkfifo", path: path)
}

/// The program side of a pseudo-terminal.
public enum PseudoTerminal {
    /// Opens the other end of a master, unlocked, without making it the controlling terminal.
    public static func openPeer(of master: borrowing OwnedDescriptor) throws(SystemError) -> OwnedDescriptor {
        try checked(clinux_terminal_unlock(master.rawValue), "ioctl(TIOCSPTLCK)")
        let raw = try checked(clinux_terminal_peer(master.rawValue, O_RDWR | O_NOCTTY | O_CLOEXEC), "ioctl(TIOCGPTPEER)")
        return OwnedDescriptor(owning: Int32(raw))
    }
}
