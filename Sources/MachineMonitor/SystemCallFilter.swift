internal import CLinux
internal import CSeccomp
internal import Glibc
public import LinuxSystem

/// A seccomp allow-list of one kind of thread. Everything else kills the process: a VMM that does what it never does has been
/// taken over.
public struct SystemCallFilter: Sendable {
    /// A system call, with the reason why this thread needs it and, for ioctl, the requests.
    struct Rule: Sendable {
        var name: String
        /// ioctl's second argument.
        var requests: [UInt] = []
        /// The first argument must be this process, or (where 0 means that too) 0.
        var isAboutItself = false
        init(_ name: String, requests: [UInt] = [], isAboutItself: Bool = false) {
            self.name = name
            self.requests = requests
            self.isAboutItself = isAboutItself
        }
    }

    let rules: [Rule]

    /// What every thread needs: memory of the Swift runtime, locks, its own end.
    private static let common: [Rule] = [
        Rule("read"), Rule("write"),  // eventfds, the log, guest's streams
        Rule("mmap"), Rule("munmap"), Rule("mremap"), Rule("mprotect"), Rule("madvise"), Rule("brk"),  // malloc
        Rule("futex"), Rule("sched_yield"),  // locks
        Rule("clock_gettime"), Rule("gettimeofday"),  // where the vDSO cannot answer
        Rule("rt_sigreturn"), Rule("rt_sigprocmask"), Rule("rt_sigaction"), Rule("sigaltstack"), Rule("restart_syscall"),
        Rule("exit"), Rule("exit_group"), Rule("close"),
        Rule("getpid"), Rule("gettid"),
        // To die of a signal as the container's process did.
        Rule("tgkill", isAboutItself: true), Rule("kill", isAboutItself: true), Rule("prlimit64", isAboutItself: true),
        Rule("rseq"), Rule("set_robust_list"), Rule("getrandom"),
    ]

    /// A vCPU: KVM_RUN, and KVM_SET_GSI_ROUTING when the guest programs the IOAPIC.
    public static let vcpu = SystemCallFilter(rules: common + [
        Rule("ioctl", requests: [UInt(clinux_KVM_RUN), UInt(clinux_KVM_GET_REGS), UInt(clinux_KVM_SET_GSI_ROUTING)]),
        // A driver that resets its device waits until the device's threads have let go of its queues.
        Rule("poll"), Rule("ppoll"),
    ])

    /// The event loop: control socket, streams, terminals, vsock and the small devices.
    public static let eventLoop = SystemCallFilter(rules: common + [
        Rule("epoll_wait"), Rule("epoll_pwait"), Rule("epoll_ctl"), Rule("poll"), Rule("ppoll"),
        Rule("accept4"), Rule("recvmsg"), Rule("sendmsg"), Rule("recvfrom"), Rule("sendto"), Rule("shutdown"), Rule("getsockopt"),
        Rule("readv"), Rule("writev"), Rule("preadv"), Rule("pwritev"), Rule("lseek"), Rule("splice"),
        Rule("openat"),  // only beneath /proc/self/fd, the one directory that is left: reopening streams
        Rule("fcntl"), Rule("fstat"), Rule("newfstatat"), Rule("fstatfs"), Rule("statx"),
        Rule("timerfd_settime"), Rule("eventfd2"), Rule("epoll_create1"),  // epoll_create1: whether a device can be polled
        Rule("ioctl", requests: [UInt(TIOCGWINSZ), UInt(TIOCSWINSZ), UInt(TCGETS), UInt(TCSETS), UInt(TIOCSCTTY), UInt(FIONREAD), 0x8004_5430 /* TIOCGPTN */]),
    ])

    /// The file server's thread: what the guest can ask of a file system, always beneath an open directory.
    public static let fileServer = SystemCallFilter(rules: common + [
        "epoll_wait", "epoll_pwait", "poll", "ppoll", "openat", "openat2", "readlinkat", "statx", "fstat", "newfstatat", "fstatfs", "getdents64", "lseek",
        "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "readv", "writev",
        "mkdirat", "mknodat", "symlinkat", "linkat", "unlinkat", "renameat", "renameat2",
        "fchmod", "fchmodat", "chmod", "fchown", "fchownat", "utimensat", "ftruncate", "truncate", "fallocate", "fsync", "fdatasync", "syncfs", "copy_file_range",
        "fgetxattr", "fsetxattr", "flistxattr", "fremovexattr", "getxattr", "setxattr", "listxattr", "removexattr",
        "lgetxattr", "lsetxattr", "llistxattr", "lremovexattr",
        "fcntl", "dup", "dup3", "fchdir", "umask", "faccessat", "faccessat2", "flock", "name_to_handle_at", "statfs",
        "setfsuid", "setfsgid", "setgroups", "capset", "capget",
    ].map { Rule($0) })

    /// A disk's thread: one open file and the events that wake it.
    public static let block = SystemCallFilter(rules: common + [
        Rule("preadv"), Rule("pwritev"),  // what the guest reads and writes
        Rule("fdatasync"),  // its flushes
        Rule("fallocate"),  // what it discards or wants zeros in
    ])

    /// Binds the calling thread, for good.
    public func install() throws(SystemError) {
        guard let context = unsafe seccomp_init(UInt32(0x8000_0000)) else { throw SystemError(.noMemory, "seccomp_init") }  // SCMP_ACT_KILL_PROCESS
        defer { unsafe seccomp_release(context) }
        let allow: UInt32 = 0x7FFF_0000  // SCMP_ACT_ALLOW
        for rule in rules {
            let number = unsafe seccomp_syscall_resolve_name(rule.name)
            // Not a system call of this architecture: nothing to allow.
            if number < 0 { continue }
            if rule.isAboutItself {
                for process in rule.name == "prlimit64" ? [0, UInt64(getpid())] : [UInt64(getpid())] {
                    var condition = scmp_arg_cmp(arg: 0, op: SCMP_CMP_EQ, datum_a: process, datum_b: 0)
                    try Self.check(unsafe seccomp_rule_add_array(context, allow, number, 1, &condition), rule.name)
                }
            } else if rule.requests.isEmpty {
                try Self.check(unsafe seccomp_rule_add_array(context, allow, number, 0, nil), rule.name)
            }
            for request in rule.requests {
                var condition = scmp_arg_cmp(arg: 1, op: SCMP_CMP_EQ, datum_a: UInt64(request), datum_b: 0)
                try Self.check(unsafe seccomp_rule_add_array(context, allow, number, 1, &condition), rule.name)
            }
        }
        try Self.check(unsafe seccomp_load(context), "seccomp_load")
    }

    private static func check(_ result: Int32, _ what: String) throws(SystemError) {
        if result < 0 { throw SystemError(Errno(rawValue: -result), "seccomp", path: what) }
    }
}
