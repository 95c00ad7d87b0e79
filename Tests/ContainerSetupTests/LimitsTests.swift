import AgentProtocol
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerSetup

/// Capabilities, resource limits, and what else the kernel knows by a name and a number.
@Suite struct LimitsTests {
    @Test func capabilitiesByName() {
        // What every kernel since 2.6.25 has; later ones need not be there.
        for capability in Capability.all where capability.number <= 33 { #expect(Capabilities.numbers([capability.name]) == [capability.number], "\(capability.name)") }
        #expect(Capabilities.numbers(Capability.all.map(\.name)).isSubset(of: Set(0...40)))
        #expect(Capabilities.numbers(["CAP_CHOWN", "CAP_KILL", "CAP_CHOWN"]) == [0, 5])
    }

    @Test(arguments: ["CAP_NOPE", "cap_chown", "CHOWN", "", "CAP_CHOWN ", "ALL", "0"]) func namesThatAreNoCapabilities(name: String) throws {
        #expect(Capabilities.numbers([name, "CAP_KILL"]) == [5])
        let (process, launcher) = try initProcess { spec in
            spec.process?.capabilities = CapabilitySets()
            spec.process?.capabilities?.ambient = [name, "CAP_KILL"]
            spec.process?.capabilities?.bounding = [name]
        }
        try Capabilities.warnOfUnknown(process)
        #expect(try launcher.receive(timeout: -1)?.message == .warning("ignoring unknown or unavailable capabilities: \(name)"))
    }

    @Test func noCapabilitiesMeanNone() throws {
        #expect(Capabilities(try initProcess().process).sets == CapabilitySets())
    }

    @Test(.enabled(if: isRoot, "gives capabilities up")) func capabilitiesAreInForce() async {
        await #expect(processExitsWith: .success) {
            let process = try initProcess { spec in
                var sets = CapabilitySets()
                sets.bounding = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]
                sets.effective = ["CAP_KILL"]
                sets.permitted = ["CAP_KILL", "CAP_CHOWN"]
                sets.inheritable = ["CAP_CHOWN"]
                sets.ambient = ["CAP_CHOWN"]
                spec.process?.capabilities = sets
            }.process
            try Capabilities.dropBounding(process)
            try Capabilities.apply(process)
            let status = String(decoding: try readFile("/proc/thread-self/status"), as: UTF8.self)
            for (name, bits) in [("CapBnd", 1 << 0 | 1 << 5 | 1 << 13), ("CapEff", 1 << 5), ("CapPrm", 1 << 0 | 1 << 5), ("CapInh", 1 << 0), ("CapAmb", 1 << 0)] as [(String, UInt64)] {
                let value = status.split(separator: "\n").first { $0.hasPrefix(name) }?.split(separator: "\t").last.flatMap { UInt64($0, radix: 16) }
                #expect(value == bits, "\(name)")
            }
        }
    }

    // MARK: Resource limits

    @Test(arguments: [
        ("RLIMIT_CPU", 0), ("RLIMIT_FSIZE", 1), ("RLIMIT_DATA", 2), ("RLIMIT_STACK", 3), ("RLIMIT_CORE", 4), ("RLIMIT_RSS", 5), ("RLIMIT_NPROC", 6), ("RLIMIT_NOFILE", 7),
        ("RLIMIT_MEMLOCK", 8), ("RLIMIT_AS", 9), ("RLIMIT_LOCKS", 10), ("RLIMIT_SIGPENDING", 11), ("RLIMIT_MSGQUEUE", 12), ("RLIMIT_NICE", 13), ("RLIMIT_RTPRIO", 14), ("RLIMIT_RTTIME", 15),
    ] as [(String, Int32)])
    func limitsByName(name: String, number: Int32) { #expect(ResourceLimit.number(name) == number) }

    @Test func thereAreNoOtherLimits() { #expect(ResourceLimit.all.count == 16) }

    @Test(arguments: ["RLIMIT_NOPE", "NOFILE", "rlimit_nofile", ""]) func namesThatAreNoLimits(name: String) throws {
        let process = try initProcess { $0.process?.rlimits = [Self.limit(name, 1, 1)] }.process
        #expect(failure { try Scheduling.setLimits(process) } == "invalid rlimit type \(name)")
    }

    @Test func limitsAreInForce() async {
        await #expect(processExitsWith: .success) {
            let process = try initProcess { $0.process?.rlimits = [Self.limit("RLIMIT_NOFILE", 100, 200), Self.limit("RLIMIT_CORE", 0, 0)] }.process
            try Scheduling.setLimits(process)
            let table = String(decoding: try readFile("/proc/self/limits"), as: UTF8.self)
            let line = try #require(table.split(separator: "\n").first { $0.hasPrefix("Max open files") })
            #expect(line.split(separator: " ").dropFirst(3).prefix(2) == ["100", "200"])
            // A soft limit above the hard one is the kernel's to refuse, with the limit's name.
            let wrong = try initProcess { $0.process?.rlimits = [Self.limit("RLIMIT_NOFILE", 20, 10)] }.process
            #expect(failure { try Scheduling.setLimits(wrong) } == "error setting rlimit type RLIMIT_NOFILE: prlimit: invalid argument")
        }
    }

    private static func limit(_ name: String, _ soft: UInt64, _ hard: UInt64) -> RlimitSpec {
        var limit = RlimitSpec()
        (limit.type, limit.soft, limit.hard) = (name, soft, hard)
        return limit
    }

    // MARK: Other refusals

    typealias Change = @Sendable (inout RuntimeSpec) -> Void
    typealias Step = @Sendable (InitProcess) throws -> Void
    static let refusals: [(change: Change, step: Step, message: String)] = [
        ({ spec in spec.process?.ioPriority = IOPrioritySpec(); spec.process?.ioPriority?.priority = 8 }, { try Scheduling.setIOPriority($0) }, "process.ioPriority.priority must be from 0 to 7"),
        ({ spec in spec.process?.ioPriority = IOPrioritySpec(); spec.process?.ioPriority?.priority = -1 }, { try Scheduling.setIOPriority($0) }, "process.ioPriority.priority must be from 0 to 7"),
        ({ spec in spec.process?.scheduler = SchedulerSpec(); spec.process?.scheduler?.priority = -1 }, { try Scheduling.setScheduler($0) }, "process.scheduler.priority must not be negative"),
        ({ spec in spec.linux?.personality = PersonalitySpec(); spec.linux?.personality?.flags = ["ADDR_NO_RANDOMIZE"] }, { try Scheduling.setPersonality($0) },
            "linux.personality.flags: ADDR_NO_RANDOMIZE is not supported"),
        ({ spec in spec.process?.apparmorProfile = "a"; spec.process?.selinuxLabel = "b" }, { try Labels.open($0) }, "process.apparmorProfile and process.selinuxLabel cannot both be given"),
        ({ $0.linux?.sysctl = ["net/../../self/comm": "x"] }, { try Namespaces.setParameters($0) }, "invalid sysctl net/../../self/comm"),
        ({ $0.linux?.sysctl = ["net/./x": "x"] }, { try Namespaces.setParameters($0) }, "invalid sysctl net/./x"),
        ({ $0.linux?.sysctl = ["net.no.such": "x"] }, { try Namespaces.setParameters($0) }, "sysctl net.no.such: open /proc/sys/net/no/such: no such file or directory"),
        ({ $0.root = nil }, { try RootSwitch.open($0) }, "root.path must be absolute here"),
        ({ $0.root?.path = "relative" }, { try RootSwitch.open($0) }, "root.path must be absolute here"),
        ({ $0.linux?.rootfsPropagation = "x" }, { try RootSwitch.open($0) }, "rootfsPropagation=x is not supported"),
        ({ $0.process?.args = [] }, { try Executable.find($0) }, "args must not be empty"),
        ({ spec in spec.linux?.memoryPolicy = MemoryPolicySpec(); spec.linux?.memoryPolicy?.nodes = "0-" }, { try Scheduling.setMemoryPolicy($0) }, "linux.memoryPolicy.nodes: \"0-\" is not a list of nodes"),
        ({ spec in spec.linux?.memoryPolicy = MemoryPolicySpec(); spec.linux?.memoryPolicy?.nodes = "0" }, { try Scheduling.setMemoryPolicy($0) }, "linux.memoryPolicy: MPOL_DEFAULT 0: set_mempolicy: invalid argument"),
    ]
    @Test(arguments: refusals.indices) func refused(index: Int) throws {
        let (change, step, message) = Self.refusals[index]
        let process = try initProcess("/nowhere", change).process
        #expect(failure { try step(process) } == message)
    }

    /// Steps for what a configuration does not have do nothing, privileged or not.
    @Test func whatIsNotAskedForIsNotDone() throws {
        let process = try initProcess().process
        for step: Step in [
            { try Scheduling.setLimits($0) }, { try Scheduling.setPersonality($0) }, { try Scheduling.setIOPriority($0) }, { try Scheduling.setScheduler($0) },
            { try Scheduling.setMemoryPolicy($0) }, { try SystemCallFilter.loadListening($0) },
            { try Labels.open($0) }, { try Labels.apply($0) }, { try Namespaces.join($0) },
            { try Namespaces.makeControlGroupNamespace($0) }, { try Namespaces.makeTimeNamespace($0) }, { try Namespaces.bringUpLoopback($0) },
            { try Namespaces.setNames($0) }, { try Namespaces.setParameters($0) },
            { try SystemCallFilter.loadPrivileged($0) }, { try SystemCallFilter.loadLast($0) }, { try Identity.giveStreams($0) },
        ] { try step(process) }
        try PathProtection(process: process).mask([])
    }
}
