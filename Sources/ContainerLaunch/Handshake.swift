internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// The launcher's end of the handshake with one nacelle-init, from its making to its execve.
final class Handshake {
    private(set) var pid: Int32
    private(set) var processDescriptor: SharedDescriptor
    private(set) var terminal: SharedDescriptor?
    private(set) var warnings: [String] = []
    private var channel: InitChannel?
    private let timeout: Int32

    /// Clones nacelle-init. On an error there is no process.
    init(program: String, spawn: InitSpawn, timeout: Int32) throws(LaunchError) {
        self.timeout = timeout
        do throws(SystemError) {
            let file = try InitProgram.open(program)
            let (own, theirs) = try OwnedDescriptor.socketPair().split()
            pid = try theirs.with { (end) throws(SystemError) in try spawn.spawn(program: file, channel: end) }
            do throws(SystemError) {
                processDescriptor = SharedDescriptor(try ProcessDescriptor(pid).intoDescriptor())
            } catch {
                try? sendSignal(SIGKILL, to: pid)
                _ = try? waitForProcess(pid)
                throw error
            }
            channel = InitChannel(own)
        } catch { throw LaunchError("unable to start nacelle-init", error) }
    }

    func warn(_ text: String) { warnings.append(text) }

    /// Lets a child that waits for its user namespace to be mapped go on.
    func mapped() throws(LaunchError) {
        do throws(SystemError) {
            try channel?.socket.with { (end) throws(SystemError) in _ = try end.send([1]) }
        } catch { throw LaunchError("handshake with nacelle-init", error) }
    }

    func send(_ plan: InitPlan, descriptors: [SharedDescriptor]) throws(LaunchError) {
        try communicate { (channel) throws(InitChannelError) in try channel.send(.plan(plan), descriptors: descriptors) }
    }

    /// What the launcher does while the child prepares itself.
    struct Steps {
        /// Writes the maps of its new user namespace.
        var map: (_ pid: Int32) throws(LaunchError) -> Void = { _ in }
        /// In its namespaces: what only the launcher can do there, and make.
        var inNamespaces: (_ pid: Int32) throws(LaunchError) -> [PreparedMounts.Mount] = { _ in [] }
        /// Before it enters its root; gives what its hooks get to read.
        var beforePivot: (_ pid: Int32) throws(LaunchError) -> (createState: [UInt8], startState: [UInt8]) = { _ in ([], []) }
        /// Gets the listener of its filter of system calls.
        var listener: (_ pid: Int32, _ listener: SharedDescriptor) throws(LaunchError) -> Void
    }

    /// Reads until the child is prepared.
    func waitUntilPrepared(_ steps: Steps) throws(LaunchError) {
        while true {
            let received = try communicate { (channel) throws(InitChannelError) in try channel.receive(timeout: timeout) }
            guard let received else { throw unexpectedEnd() }
            switch received.message {
            case .warning(let text): warnings.append(text)
            case .terminal: terminal = received.descriptors.first
            case .unmapped:
                try steps.map(pid)
                try proceed()
            case .moved(let next):
                try follow(to: next)
                try proceed()
            case .inNamespaces:
                let mounts = try steps.inNamespaces(pid)
                try communicate { (channel) throws(InitChannelError) in
                    try channel.send(.mounts(mounts.map { UInt32($0.position) }), descriptors: mounts.map(\.mount))
                }
            case .beforePivot:
                let states = try steps.beforePivot(pid)
                try communicate { (channel) throws(InitChannelError) in try channel.send(.proceed(createState: states.createState, startState: states.startState)) }
            case .seccompListener(let number):
                try steps.listener(pid, try copy(number))
                try proceed()
            case .prepared: return
            case .failed(let failure): throw LaunchError(failure)
            case .plan, .proceed, .start, .mounts: throw LaunchError(.other, "nacelle-init sent an unexpected message")
            }
        }
    }

    private func proceed() throws(LaunchError) {
        try communicate { (channel) throws(InitChannelError) in try channel.send(.proceed()) }
    }

    /// From here on the child is another one, which the former has cloned as a child of this process, and the former has ended.
    private func follow(to next: Int32) throws(LaunchError) {
        let former = pid
        pid = next
        do throws(SystemError) {
            _ = try waitForProcess(former)
            processDescriptor = SharedDescriptor(try ProcessDescriptor(next).intoDescriptor())
        } catch { throw LaunchError("handshake with nacelle-init", error) }
    }

    /// One of the child's descriptors. It cannot send it: its filter may be in force.
    private func copy(_ number: UInt32) throws(LaunchError) -> SharedDescriptor {
        do throws(SystemError) {
            return try processDescriptor.with { (process) throws(SystemError) in SharedDescriptor(try process.copyDescriptor(Int32(truncatingIfNeeded: number))) }
        } catch { throw LaunchError("seccomp listener", error) }
    }

    /// Lets it execute its program, and waits until it has: then its end of the socket closes.
    func start() throws(LaunchError) {
        guard channel != nil else { throw LaunchError(.invalidState, "the process was started already") }
        defer { channel = nil }
        try communicate { (channel) throws(InitChannelError) in try channel.send(.start) }
        while true {
            let received = try communicate { (channel) throws(InitChannelError) in try channel.receive(timeout: timeout) }
            guard let received else { return }
            if case .failed(let failure) = received.message { throw LaunchError(failure) }
        }
    }

    /// Ends a process that never became the container's, and waits for it.
    func abandon() {
        channel = nil
        try? sendSignal(SIGKILL, to: pid)
        _ = try? waitForProcess(pid)
    }

    private func unexpectedEnd() -> LaunchError {
        LaunchError(.other, "nacelle-init ended before the container was prepared")
    }

    private func communicate<R>(_ body: (InitChannel) throws(InitChannelError) -> R) throws(LaunchError) -> R {
        guard let channel else { throw LaunchError(.invalidState, "the process was started already") }
        do throws(InitChannelError) {
            return try body(channel)
        } catch {
            if case .system(let reason) = error, reason.errno == .brokenPipe || reason.errno == .connectionReset { throw unexpectedEnd() }
            throw LaunchError(.other, "handshake with nacelle-init: \(error)")
        }
    }
}

extension LaunchError {
    /// What nacelle-init says.
    init(_ failure: Failure) { self.init(failure.code, failure.message) }
}

extension ProcessDescriptor {
    /// The descriptor alone.
    consuming func intoDescriptor() throws(SystemError) -> OwnedDescriptor { try descriptor.duplicate() }
}

/// What only the launcher may do to a new process, whose own user namespace may not give it the right.
enum ProcessLimits {
    /// Before the process is on its way: its file may be the machine's root's later.
    static func adjustOOMScore(_ process: ProcessSpec, of pid: Int32) throws(LaunchError) {
        guard let adjustment = process.oomScoreAdj else { return }
        do throws(SystemError) {
            let file = try OwnedDescriptor(opening: "/proc/\(pid)/oom_score_adj", flags: O_WRONLY)
            try file.writeAll(Array("\(adjustment)".utf8))
        } catch { throw LaunchError("set oom_score_adj", error) }
    }

    static func apply(_ process: ProcessSpec, to pid: Int32, inUserNamespace: Bool) throws(LaunchError) {
        // Elsewhere nacelle-init sets them itself, before it gives up its privileges.
        if !inUserNamespace { return }
        for limit in process.rlimits {
            guard let number = ResourceLimit.number(limit.type) else { throw LaunchError(.other, "invalid rlimit type \(limit.type)") }
            do throws(SystemError) {
                try setResourceLimit(of: pid, number, soft: limit.soft, hard: limit.hard)
            } catch { throw LaunchError("error setting rlimit type \(limit.type)", error) }
        }
    }
}
