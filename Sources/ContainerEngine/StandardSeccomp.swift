internal import OCISpec

/// The filter that containers have unless something else is asked for: what Docker's users expect to be allowed, and to be refused.
///
/// A call that is not named fails with EPERM, so that programs do without it. Left out are calls that concern the whole kernel (modules, kexec, clocks, swap,
/// accounting, quotas, mounting), that reach other processes or namespaces, keyrings, io_uring, userfaultfd, and what is obsolete. What a capability guards in
/// the kernel anyway is allowed to a container that has it.
enum StandardSeccomp {
    static let profile: SeccompProfile = {
        var base = SeccompSpec()
        base.defaultAction = .errno
        base.defaultErrnoRet = 1  // EPERM
        base.architectures = [.x86_64, .x86, .x32]
        let rules = plain + conditional + byCapability.map { entry in
            var rule = allow(entry.calls)
            rule.neededCapabilities = ["CAP_" + entry.capability]
            return rule
        }
        return SeccompProfile(base: base, rules: rules)
    }()

    private static func allow(_ calls: String, _ arguments: [SeccompSpec.Argument] = []) -> SeccompProfile.Rule {
        var rule = SeccompSpec.SystemCallRule()
        rule.names = calls.split(whereSeparator: \.isWhitespace).map(String.init)
        rule.args = arguments
        return SeccompProfile.Rule(rule: rule)
    }

    private static func argument(_ index: UInt32, _ op: SeccompSpec.Operator, _ value: UInt64, _ second: UInt64 = 0) -> SeccompSpec.Argument {
        var argument = SeccompSpec.Argument()
        (argument.index, argument.op, argument.value, argument.valueTwo) = (index, op, value, second)
        return argument
    }

    private static let plain: [SeccompProfile.Rule] = [files, memory, processes, identity, times, signals, sockets, eventsAndMessages, others].map { allow($0) }

    private static let files = """
        access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fadvise64_64 fallocate fchdir
        fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64
        fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
        inotify_rm_watch ioctl fanotify_mark lchown lchown32 lgetxattr link linkat listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek
        lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev
        pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr setxattrat
        splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime
        utimensat utimensat_time64 utimes vmsplice write writev cachestat
        """

    private static let memory = """
        brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect
        mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages shmat shmctl shmdt shmget
        """

    private static let processes = """
        execve execveat exit exit_group fork getpgid getpgrp getpid getppid getpriority getrlimit getrusage getsid gettid get_robust_list get_thread_area
        ioprio_get ioprio_set pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease ptrace process_vm_readv process_vm_writev rseq sched_getaffinity
        sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
        sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield set_robust_list set_thread_area set_tid_address setpgid setpriority
        setrlimit setsid ugetrlimit vfork wait4 waitid waitpid getcpu landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp
        """

    private static let identity = """
        capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid getresuid32 getuid getuid32
        setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid
        setreuid32 setuid setuid32
        """

    private static let times = """
        adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64
        getitimer gettimeofday nanosleep setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
        timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times
        """

    private static let signals = """
        kill pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
        rt_tgsigqueueinfo sigaltstack signal signalfd signalfd4 sigprocmask sigreturn tgkill tkill
        """

    private static let sockets = """
        accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto
        setsockopt shutdown socketcall socketpair
        """

    private static let eventsAndMessages = """
        epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 futex futex_requeue futex_time64
        futex_wait futex_waitv futex_wake io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ipc mq_getsetattr mq_notify mq_open
        mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd _newselect poll ppoll ppoll_time64 pselect6
        pselect6_time64 select semctl semget semop semtimedop semtimedop_time64
        """

    /// The last two are x86's own.
    private static let others = "getrandom sysinfo uname arch_prctl modify_ldt"

    private static let conditional: [SeccompProfile.Rule] = {
        // Linux, BSD-like short inodes, and 32-bit Linux; and asking what it is.
        var rules = [0, 8, 0x20000, 0x20008, 0xFFFF_FFFF].map { allow("personality", [argument(0, .equal, $0)]) }
        // The family of vsock is the way to the host of a machine.
        rules.append(allow("socket", [argument(0, .notEqual, 40)]))
        // A thread or process, but no new namespace: CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET.
        var clone = allow("clone", [argument(0, .maskedEqual, 0x7E02_0000, 0)])
        clone.refusedCapabilities = ["CAP_SYS_ADMIN"]
        rules.append(clone)
        // Its flags lie in memory, where a filter cannot look; the C library takes clone when the kernel has no clone3.
        var clone3 = allow("clone3")
        (clone3.rule.action, clone3.rule.errnoRet) = (.errno, 38)
        clone3.refusedCapabilities = ["CAP_SYS_ADMIN"]
        rules.append(clone3)
        return rules
    }()

    private static let byCapability: [(capability: String, calls: String)] = [
        ("DAC_READ_SEARCH", "open_by_handle_at"),
        ("SYS_ADMIN", """
            bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount
            open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
            """),
        ("SYS_BOOT", "reboot"),
        ("SYS_CHROOT", "chroot"),
        ("SYS_MODULE", "delete_module init_module finit_module"),
        ("SYS_PACCT", "acct"),
        ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
        ("SYS_RAWIO", "iopl ioperm"),
        ("SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
        ("SYS_TTY_CONFIG", "vhangup"),
        ("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
        ("SYSLOG", "syslog"),
        ("BPF", "bpf"),
        ("PERFMON", "perf_event_open"),
    ]
}
