internal import AgentProtocol
internal import CSeccomp
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// linux.seccomp, compiled and loaded by libseccomp.
enum SystemCallFilter {
    /// Without no_new_privs only a privileged process may load a filter, so it comes before capabilities are dropped; with it, as late
    /// as can be, so that the filter need allow nothing of what happens here.
    static func loadPrivileged(_ process: InitProcess) throws(SetupError) {
        if !process.process.noNewPrivileges { try load(process) }
    }

    /// One whose listener goes to an agent cannot come last: the launcher, who delivers it, does not stay until then.
    static func loadListening(_ process: InitProcess) throws(SetupError) {
        if process.process.noNewPrivileges && process.linux.seccomp?.notifies == true { try load(process) }
    }

    static func loadLast(_ process: InitProcess) throws(SetupError) {
        if process.process.noNewPrivileges && process.linux.seccomp?.notifies != true { try load(process) }
    }

    private static func load(_ process: InitProcess) throws(SetupError) {
        guard let seccomp = process.linux.seccomp else { return }
        let program = try FilterBuilder(seccomp).program()
        let result: Int32
        do throws(SystemError) {
            result = try OwnProcess.loadSystemCallFilter(program, flags: flags(seccomp))
        } catch { throw SetupError("seccomp: error loading seccomp filter into kernel: \(error.errno)") }
        if seccomp.notifies { try deliver(listener: result, process) }
    }

    /// From here on the filter may ask the agent about any call but write(2).
    private static func deliver(listener: Int32, _ process: InitProcess) throws(SetupError) {
        do throws(InitChannelError) {
            try process.channel.sendPlain(.seccompListener(UInt32(bitPattern: listener)))
            guard case .proceed? = try process.channel.receivePlain() else { throw .system(SystemError(.connectionReset, "handshake")) }
        } catch { throw SetupError("seccomp: \(error)") }
    }

    /// SECCOMP_FILTER_FLAG_* of linux/seccomp.h.
    static func flags(_ seccomp: SeccompSpec) -> UInt32 {
        var flags: UInt32 = seccomp.notifies ? 0x08 : 0  // NEW_LISTENER
        for flag in seccomp.flags {
            switch flag {
            // Beside a listener the number of a thread that does not follow cannot be the result: TSYNC_ESRCH.
            case .threadSync: flags |= seccomp.notifies ? 0x11 : 0x01
            case .log: flags |= 0x02
            case .specAllow: flags |= 0x04
            // Concerns notifications alone; the kernel refuses it without.
            case .waitKillable: flags |= seccomp.notifies ? 0x20 : 0
            }
        }
        return flags
    }

    /// An action as libseccomp and the kernel number it: SECCOMP_RET_* of linux/seccomp.h.
    static func action(_ action: SeccompSpec.Action, errno number: UInt32?) throws(SetupError) -> UInt32 {
        switch action {
        case .kill, .killThread: return 0x0000_0000
        case .killProcess: return 0x8000_0000
        case .trap: return 0x0003_0000
        case .errno:
            let value = number ?? UInt32(EPERM)
            guard value <= 4095 else { throw SetupError("seccomp: errnoRet \(value) is not an errno") }
            return 0x0005_0000 | value
        case .trace:
            let value = number ?? UInt32(EPERM)
            guard value <= 0xFFFF else { throw SetupError("seccomp: errnoRet \(value) is too large") }
            return 0x7ff0_0000 | value
        case .log: return 0x7ffc_0000
        case .allow: return 0x7fff_0000
        case .notify: return 0x7fc0_0000
        }
    }
}

/// Builds one filter.
@safe private final class FilterBuilder {
    private let context: scmp_filter_ctx
    private let spec: SeccompSpec
    private let defaultAction: UInt32

    init(_ spec: SeccompSpec) throws(SetupError) {
        self.spec = spec
        defaultAction = try SystemCallFilter.action(spec.defaultAction, errno: spec.defaultErrnoRet)
        guard let context = unsafe seccomp_init(defaultAction) else { throw SetupError("seccomp: error creating filter") }
        unsafe self.context = context
    }

    deinit { unsafe seccomp_release(context) }

    /// The filter as the kernel takes it. It is not libseccomp that loads it, for it does not know all flags.
    func program() throws(SetupError) -> [UInt8] {
        for architecture in spec.architectures { try add(architecture) }
        for rule in spec.syscalls { try add(rule) }
        let file = try doing("seccomp") { () throws(SystemError) in try MemoryFile.make("seccomp", []) }
        try check(unsafe seccomp_export_bpf(context, file.rawValue), "error compiling the filter")
        return try doing("seccomp") { () throws(SystemError) in
            try file.with { (descriptor) throws(SystemError) in
                _ = try descriptor.seek(to: 0, whence: SEEK_SET)
                return try descriptor.readAll(limit: 1 << 20)
            }
        }
    }

    private func check(_ result: Int32, _ what: String) throws(SetupError) {
        if result < 0 { throw SetupError("seccomp: \(what): \(Errno(rawValue: -result))") }
    }

    private func add(_ architecture: SeccompSpec.Architecture) throws(SetupError) {
        // libseccomp's names are the specification's without the prefix, in lower case.
        let name = architecture.rawValue.dropFirst("SCMP_ARCH_".count).lowercased()
        let token = unsafe seccomp_arch_resolve_name(name)
        if token == 0 { throw SetupError(.unsupported, "seccomp: unknown architecture \(architecture.rawValue)") }
        let result = unsafe seccomp_arch_add(context, token)
        if result != -EEXIST { try check(result, "error adding architecture \(architecture.rawValue)") }
    }

    private func add(_ rule: SeccompSpec.SystemCallRule) throws(SetupError) {
        let action = try SystemCallFilter.action(rule.action, errno: rule.errnoRet)
        // libseccomp refuses a rule that says what the default says.
        if action == defaultAction { return }
        let comparisons = try rule.args.map { (argument) throws(SetupError) in try FilterBuilder.comparison(argument) }
        for name in rule.names {
            let number = unsafe seccomp_syscall_resolve_name(name)
            // A call that this libseccomp does not know cannot be named in a filter (runc skips it, too).
            if number == -1 { continue }
            let positions = rule.args.map(\.index)
            if Set(positions).count == positions.count {
                try add(action, number, comparisons, name)
            } else {
                // libseccomp takes one comparison per argument; several of one argument mean any of them, as in runc.
                for comparison in comparisons { try add(action, number, [comparison], name) }
            }
        }
    }

    private func add(_ action: UInt32, _ number: Int32, _ comparisons: [scmp_arg_cmp], _ name: String) throws(SetupError) {
        let result = unsafe seccomp_rule_add_array(context, action, number, UInt32(comparisons.count), comparisons)
        // The same rule twice is no harm.
        if result != -EEXIST { try check(result, "error adding rule for \(name)") }
    }

    private static func comparison(_ argument: SeccompSpec.Argument) throws(SetupError) -> scmp_arg_cmp {
        guard argument.index < 6 else { throw SetupError("seccomp: argument index \(argument.index) is above 5") }
        let op: scmp_compare = switch argument.op {
        case .notEqual: SCMP_CMP_NE
        case .less: SCMP_CMP_LT
        case .lessOrEqual: SCMP_CMP_LE
        case .equal: SCMP_CMP_EQ
        case .greaterOrEqual: SCMP_CMP_GE
        case .greater: SCMP_CMP_GT
        case .maskedEqual: SCMP_CMP_MASKED_EQ
        }
        return scmp_arg_cmp(arg: argument.index, op: op, datum_a: argument.value, datum_b: argument.valueTwo)
    }
}
