internal import CLinux
internal import Glibc

/// Starts programs with exactly the descriptors that they shall have.
public enum ProgramStart {
    /// - Parameters:
    ///   - name: what the program finds as its own, argv[0]; its path if nothing else is said.
    ///   - descriptors: become 0, 1, 2 …; nil is /dev/null. Owners, not numbers: in an optimised build an array of them may be
    ///     released as soon as its numbers were taken.
    ///   - newSession: the program leads a session of its own.
    ///   - blockedSignals: blocked from its first instruction on; all others are not, whatever this process blocks.
    public static func start(
        _ program: String, name: String? = nil, arguments: [String] = [], environment: [String] = [], descriptors: [SharedDescriptor?],
        newSession: Bool = true, blockedSignals: [Int32] = []
    ) throws(SystemError) -> Int32 {
        // Copies above all targets, so that no target overwrites a source.
        let firstCopy = max(10, descriptors.count)
        var copies: [SharedDescriptor?] = []
        // To the end of this function: the new process takes them over by number.
        defer { withExtendedLifetime(copies) {} }
        for descriptor in descriptors {
            copies.append(try descriptor.map { (shared) throws(SystemError) in
                try shared.with { (end: borrowing OwnedDescriptor) throws(SystemError) in
                    SharedDescriptor(OwnedDescriptor(owning: Int32(try checked(clinux_dup(end.rawValue, Int32(firstCopy)), "dup"))))
                }
            })
        }
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        for (target, copy) in copies.enumerated() {
            if let copy {
                unsafe posix_spawn_file_actions_adddup2(&actions, copy.rawValue, Int32(target))
            } else {
                unsafe posix_spawn_file_actions_addopen(&actions, Int32(target), "/dev/null", O_RDWR, 0)
            }
        }
        // What a caller of this program left open (an engine's pipes, say) must not stay open as long as a container runs.
        unsafe posix_spawn_file_actions_addclosefrom_np(&actions, Int32(descriptors.count))
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var blocked = sigset_t()
        unsafe sigemptyset(&blocked)
        for signal in blockedSignals { unsafe sigaddset(&blocked, signal) }
        var all = sigset_t()
        unsafe sigfillset(&all)
        unsafe posix_spawnattr_setsigmask(&attributes, &blocked)
        unsafe posix_spawnattr_setsigdefault(&attributes, &all)
        let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (newSession ? 0x80 : 0)  // POSIX_SPAWN_SETSID
        unsafe posix_spawnattr_setflags(&attributes, Int16(flags))

        var argv: [UnsafeMutablePointer<CChar>?] = unsafe ([name ?? program] + arguments).map { unsafe strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = unsafe environment.map { unsafe strdup($0) } + [nil]
        defer { for unsafe pointer in unsafe argv + envp { unsafe free(pointer) } }
        var pid: Int32 = 0
        let result = unsafe posix_spawn(&pid, program, &actions, &attributes, &argv, &envp)
        if result != 0 { throw SystemError(Errno(rawValue: result), "exec", path: program) }
        return pid
    }
}
