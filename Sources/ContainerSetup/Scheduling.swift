internal import AgentProtocol
internal import LinuxSystem
internal import OCISpec

/// How the kernel runs the process: limits, personality, I/O priority, scheduler, memory policy.
enum Scheduling {
    /// In a user namespace nobody may raise a limit; there the launcher sets them.
    static func setLimits(_ process: InitProcess) throws(SetupError) {
        if process.plan.inUserNamespace { return }
        for limit in process.process.rlimits {
            guard let number = ResourceLimit.number(limit.type) else { throw SetupError("invalid rlimit type \(limit.type)") }
            try doing("error setting rlimit type \(limit.type)") { () throws(SystemError) in
                try setResourceLimit(of: 0, number, soft: limit.soft, hard: limit.hard)
            }
        }
    }

    /// MPOL_* of linux/mempolicy.h.
    static func setMemoryPolicy(_ process: InitProcess) throws(SetupError) {
        guard let policy = process.linux.memoryPolicy else { return }
        let mode: Int32 = switch policy.mode {
        case .standard: 0
        case .preferred: 1
        case .bind: 2
        case .interleave: 3
        case .local: 4
        case .preferredMany: 5
        case .weightedInterleave: 6
        }
        let flags = policy.flags.reduce(Int32(0)) { all, flag in
            switch flag {
            case .numaBalancing: all | 1 << 13
            case .relativeNodes: all | 1 << 14
            case .staticNodes: all | 1 << 15
            }
        }
        let list = policy.nodes ?? ""
        guard let nodes = list.isEmpty ? [] : NumberList.parse(list) else { throw SetupError("linux.memoryPolicy.nodes: \"\(list)\" is not a list of nodes") }
        try doing("linux.memoryPolicy: \(policy.mode.rawValue) \(list)") { () throws(SystemError) in
            try OwnProcess.setMemoryPolicy(mode: mode | flags, nodes: nodes.isEmpty ? [] : NumberList.mask(nodes))
        }
    }

    static func setPersonality(_ process: InitProcess) throws(SetupError) {
        guard let personality = process.linux.personality else { return }
        if let flag = personality.flags.first { throw SetupError(.unsupported, "linux.personality.flags: \(flag) is not supported") }
        let persona: UInt = switch personality.domain {
        case .linux: 0  // PER_LINUX
        case .linux32: 8  // PER_LINUX32
        }
        try doing("personality") { () throws(SystemError) in try OwnProcess.setPersonality(persona) }
    }

    static func setIOPriority(_ process: InitProcess) throws(SetupError) {
        guard let priority = process.process.ioPriority else { return }
        let number: Int32 = switch priority.class {
        case .realTime: 1
        case .bestEffort: 2
        case .idle: 3
        }
        guard (0...7).contains(priority.priority) else { throw SetupError("process.ioPriority.priority must be from 0 to 7") }
        try doing("setting io priority") { () throws(SystemError) in try OwnProcess.setIOPriority(class: number, data: Int32(priority.priority)) }
    }

    static func setScheduler(_ process: InitProcess) throws(SetupError) {
        guard let scheduler = process.process.scheduler else { return }
        let policy: UInt32 = switch scheduler.policy {
        case .other: 0
        case .fifo: 1
        case .roundRobin: 2
        case .batch: 3
        case .iso: 4
        case .idle: 5
        case .deadline: 6
        }
        // SCHED_FLAG_* of linux/sched.h
        let flags = scheduler.flags.reduce(UInt64(0)) { all, flag in
            switch flag {
            case .resetOnFork: all | 0x01
            case .reclaim: all | 0x02
            case .overrun: all | 0x04
            case .keepPolicy: all | 0x08
            case .keepParameters: all | 0x10
            case .clampMinimum: all | 0x20
            case .clampMaximum: all | 0x40
            }
        }
        guard let priority = UInt32(exactly: scheduler.priority) else { throw SetupError("process.scheduler.priority must not be negative") }
        try doing("setting scheduler") { () throws(SystemError) in
            try OwnProcess.setScheduler(
                policy: policy, flags: flags, nice: scheduler.nice, priority: priority,
                runtime: scheduler.runtime, deadline: scheduler.deadline, period: scheduler.period)
        }
    }
}
