import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerSetup

/// linux.seccomp: actions as numbers, and filters as the kernel then carries them out.
@Suite struct SystemCallFilterTests {
    @Test(arguments: [
        (.kill, nil, 0), (.killThread, nil, 0), (.killProcess, nil, 0x8000_0000), (.trap, nil, 0x3_0000), (.errno, nil, 0x5_0001), (.errno, 0, 0x5_0000), (.errno, 38, 0x5_0026),
        (.errno, 4095, 0x5_0FFF), (.trace, nil, 0x7FF0_0001), (.trace, 65535, 0x7FF0_FFFF), (.log, nil, 0x7FFC_0000), (.notify, nil, 0x7FC0_0000), (.allow, nil, 0x7FFF_0000),
        // A number where none belongs changes nothing.
        (.allow, 5, 0x7FFF_0000), (.kill, 5, 0), (.log, 5, 0x7FFC_0000),
    ] as [(SeccompSpec.Action, UInt32?, UInt32)])
    func actions(action: SeccompSpec.Action, errno: UInt32?, number: UInt32) throws { #expect(try SystemCallFilter.action(action, errno: errno) == number) }

    @Test(arguments: [
        (.errno, 4096, "seccomp: errnoRet 4096 is not an errno"), (.errno, .max, "seccomp: errnoRet 4294967295 is not an errno"),
        (.trace, 65536, "seccomp: errnoRet 65536 is too large"),
    ] as [(SeccompSpec.Action, UInt32?, String)])
    func actionsThatAreRefused(action: SeccompSpec.Action, errno: UInt32?, message: String) {
        #expect(failure { _ = try SystemCallFilter.action(action, errno: errno) } == message)
    }

    /// SECCOMP_FILTER_FLAG_*: two of them depend on whether there is a listener.
    @Test func flags() {
        func flags(_ words: [SeccompSpec.Flag], notifies: Bool) -> UInt32 {
            var seccomp = SeccompSpec()
            seccomp.flags = words
            var rule = SeccompSpec.SystemCallRule()
            rule.action = .notify
            if notifies { seccomp.syscalls = [rule] }
            return SystemCallFilter.flags(seccomp)
        }
        #expect(flags([], notifies: false) == 0 && flags([], notifies: true) == 0x08)
        #expect(flags([.threadSync], notifies: false) == 0x01 && flags([.threadSync], notifies: true) == 0x19)
        #expect(flags([.log], notifies: false) == 0x02 && flags([.specAllow], notifies: false) == 0x04)
        #expect(flags([.waitKillable], notifies: false) == 0 && flags([.waitKillable], notifies: true) == 0x28)
        #expect(flags(SeccompSpec.Flag.allCases, notifies: false) == 0x07 && flags(SeccompSpec.Flag.allCases, notifies: true) == 0x3F)
    }

    private static func rule(_ names: [String], _ errno: UInt32, _ arguments: [(UInt32, SeccompSpec.Operator, UInt64, UInt64)] = []) -> SeccompSpec.SystemCallRule {
        var rule = SeccompSpec.SystemCallRule()
        (rule.names, rule.action, rule.errnoRet) = (names, .errno, errno)
        rule.args = arguments.map { index, op, value, second in
            var argument = SeccompSpec.Argument()
            (argument.index, argument.op, argument.value, argument.valueTwo) = (index, op, value, second)
            return argument
        }
        return rule
    }

    private static func load(_ seccomp: SeccompSpec) throws {
        let process = try initProcess { spec in
            spec.linux?.seccomp = seccomp
            spec.process?.noNewPrivileges = true
        }.process
        // It is for the other case.
        try SystemCallFilter.loadPrivileged(process)
        try OwnProcess.setNoNewPrivileges()
        try SystemCallFilter.loadLast(process)
    }

    /// The error number of a call, or 0.
    private static func error(_ body: () -> Int32) -> Int32 {
        Glibc.errno = 0
        _ = body()
        return Glibc.errno
    }

    /// Each operator in a rule for a call of its own; the numbers that come back are no call's own.
    @Test func operatorsMeanWhatTheySay() async {
        await #expect(processExitsWith: .success) {
            var seccomp = SeccompSpec()
            seccomp.architectures = [.x86_64, .x86, .x32]
            seccomp.flags = [.log, .specAllow]
            seccomp.syscalls = [
                Self.rule(["getpgid"], 101, [(0, .notEqual, 0, 0)]), Self.rule(["getsid"], 102, [(0, .less, 5, 0)]),
                Self.rule(["sched_get_priority_max"], 103, [(0, .lessOrEqual, 2, 0)]), Self.rule(["sched_get_priority_min"], 104, [(0, .equal, 1, 0)]),
                Self.rule(["getpriority"], 105, [(0, .equal, 0, 0), (1, .greaterOrEqual, 77, 0)]), Self.rule(["alarm"], 106, [(0, .greater, 9, 0)]),
                Self.rule(["dup"], 107, [(0, .maskedEqual, 0xF0, 0x50)]),
                // Several of one argument mean any of them; an unknown call is passed over; two names share a rule.
                Self.rule(["access", "chmod"], 108, [(1, .equal, 4, 0), (1, .equal, 2, 0)]), Self.rule(["no_such_call"], 109), Self.rule(["sethostname", "setdomainname"], 110),
            ]
            // What the default says already may be said again, and so may a rule.
            var allow = SeccompSpec.SystemCallRule()
            allow.names = ["read"]
            seccomp.syscalls += [allow, Self.rule(["sethostname"], 110)]
            try Self.load(seccomp)
            #expect(Self.error { getpgid(0) } == 0 && Self.error { getpgid(1) } == 101, "NE")
            #expect(Self.error { getsid(4) } == 102 && Self.error { getsid(0) } == 102 && Self.error { getsid(1_000_000_000) } == ESRCH, "LT")
            #expect(Self.error { sched_get_priority_max(2) } == 103 && Self.error { sched_get_priority_max(3) } == 0, "LE")
            #expect(Self.error { sched_get_priority_min(1) } == 104 && Self.error { sched_get_priority_min(2) } == 0 && Self.error { sched_get_priority_min(0) } == 0, "EQ")
            #expect(Self.error { dup(0x15F) } == 107 && Self.error { dup(0x16F) } == EBADF, "MASKED_EQ")
            #expect(Self.error { Int32(truncatingIfNeeded: alarm(0)) } == 0 && Self.error { Int32(truncatingIfNeeded: alarm(10)) } == 106, "GT")
            let priority = { (who: UInt32) in Self.error { getpriority(PRIO_PROCESS, id_t(who)) } }
            #expect(priority(0) == 0 && priority(77) == 105 && priority(1000) == 105, "two arguments, GE")
            #expect(Self.error { unsafe access("/", R_OK) } == 108 && Self.error { unsafe access("/", W_OK) } == 108 && Self.error { unsafe access("/", F_OK) } == 0, "any of them")
            #expect(Self.error { unsafe sethostname("x", 1) } == 110 && Self.error { unsafe setdomainname("x", 1) } == 110, "two names")
        }
    }

    @Test func theDefaultIsForEveryOtherCall() async {
        await #expect(processExitsWith: .signal(SIGSYS)) {
            var seccomp = SeccompSpec()
            seccomp.defaultAction = .killProcess
            var allow = SeccompSpec.SystemCallRule()
            allow.names = ["getpgid"]
            seccomp.syscalls = [allow]
            try Self.load(seccomp)
            _ = getpgid(0)
            _ = getsid(0)
        }
    }

    @Test func anErrorByDefault() async {
        await #expect(processExitsWith: .success) {
            var seccomp = SeccompSpec()
            (seccomp.defaultAction, seccomp.defaultErrnoRet) = (.allow, 5)
            seccomp.syscalls = [Self.rule(["getsid"], 0)]
            try Self.load(seccomp)
            // errno 0: the call does nothing and says that all is well.
            #expect(getsid(0) == 0 && Self.error { getsid(0) } == 0)
        }
    }

    @Test func filtersThatAreRefused() async {
        await #expect(processExitsWith: .success) {
            var seccomp = SeccompSpec()
            seccomp.syscalls = [Self.rule(["getsid"], 1, [(6, .equal, 0, 0)])]
            #expect(failure { try Self.load(seccomp) } == "seccomp: argument index 6 is above 5")
            seccomp.syscalls = [Self.rule(["getsid"], 5000)]
            #expect(failure { try Self.load(seccomp) } == "seccomp: errnoRet 5000 is not an errno")
            // Nothing of these is in force. (A session of outside the PID namespace has the number 0.)
            #expect(getsid(0) >= 0)
        }
    }

    /// Every name of the specification is an architecture of libseccomp or refused by name.
    @Test func architectures() async {
        await #expect(processExitsWith: .success) {
            for architecture in SeccompSpec.Architecture.allCases {
                var seccomp = SeccompSpec()
                seccomp.architectures = [architecture]
                let problem = failure { try Self.load(seccomp) }
                #expect(problem == nil || problem?.contains(architecture.rawValue) == true, "\(problem ?? "")")
            }
        }
    }
}
