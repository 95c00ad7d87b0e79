internal import AgentProtocol
public import ControlGroups
internal import Glibc
internal import JSONText
public import LinuxSystem
public import OCISpec

/// A process made by a launcher: a child of the calling process, which must wait for it.
public struct LaunchedProcess: Sendable {
    /// In the caller's pid namespace.
    public let pid: Int32
    /// A pidfd: names the process even after it has ended.
    public let processDescriptor: SharedDescriptor
    /// The master end of its terminal, when it has one.
    public let terminal: SharedDescriptor?
    /// What the specification wants to be logged and not to fail, such as capabilities that this kernel does not know.
    public let warnings: [String]

    init(_ handshake: Handshake) {
        pid = handshake.pid
        processDescriptor = handshake.processDescriptor
        terminal = handshake.terminal
        warnings = handshake.warnings
    }

    init(existing pid: Int32) throws(LaunchError) {
        do throws(SystemError) {
            processDescriptor = SharedDescriptor(try ProcessDescriptor(pid).intoDescriptor())
        } catch { throw LaunchError(.noSuchProcess, "container not running") }
        self.pid = pid
        terminal = nil
        warnings = []
    }
}

/// A container that was created. It lives until its process has ended and `delete()` was called.
public final class LaunchedContainer {
    /// The container's process: the first of its pid namespace, when it has one of its own.
    public let process: LaunchedProcess
    public var pid: Int32 { process.pid }
    public var terminal: SharedDescriptor? { process.terminal }

    /// nil for a container that another launcher made.
    private let handshake: Handshake?
    private let launcher: ContainerLauncher
    private let group: ControlGroup?

    init(process: LaunchedProcess, handshake: Handshake?, launcher: ContainerLauncher, group: ControlGroup?) {
        self.process = process
        self.handshake = handshake
        self.launcher = launcher
        self.group = group
    }

    /// Whether the end of the container's process is the end of all others: the first of a pid namespace of its own.
    public var endsNamespace: Bool { launcher.plan.linux?.namespace(.pid).map { ($0.path ?? "").isEmpty } ?? false }

    /// Lets the container's process execute its program; returns when it has.
    ///
    /// - Throws: `.executableNotFound`, `.permissionDenied` or another reason why it could not; the process then ends by itself.
    ///   `.invalidState` when it was started already.
    public func start() throws(LaunchError) {
        guard let handshake else { throw LaunchError(.invalidState, "the container is another launcher's to start") }
        try handshake.start()
    }

    /// Runs a further process in the container's namespaces and control group; returns when it has executed its program.
    ///
    /// On an error no process is left.
    /// - Parameters:
    ///   - process: the specification's process object. Its cwd, environment, user and so on are taken as they are; the filter
    ///     of system calls and the personality are the container's.
    ///   - subgroups: the control groups below the container's that it is put into, by controller ("" for version 2); they exist.
    ///   - beforeStart: gets the terminal's master while the process still waits; what it throws fails the whole.
    public func exec(
        process: ProcessSpec, streams: LaunchStreams, subgroups: [String: String] = [:], beforeStart: (_ terminal: SharedDescriptor) throws(LaunchError) -> Void = { _ in }
    ) throws(LaunchError) -> LaunchedProcess {
        try streams.check(process)
        var plan = launcher.plan
        plan.process = process
        let linux = plan.linux ?? LinuxSpec()
        let members = NamespacePlan.members(linux)
        var spawn = InitSpawn()
        let group = try group(below: subgroups)
        // A container that has split its group up has no room in it; its first process is in a group that has.
        spawn.controlGroup = try group?.unifiedDescriptor()
        let affinity = process.execCPUAffinity
        let handshake = try ExecAffinity.confined(to: affinity?.initial) { () throws(LaunchError) in try begin(&spawn, mayMove: subgroups.isEmpty) }
        do throws(LaunchError) {
            if spawn.controlGroup == nil { try put(handshake, group) }
            try ProcessLimits.adjustOOMScore(process, of: handshake.pid)
            var message = InitPlan(role: .process, configuration: plan.json.bytes())
            message.inUserNamespace = members.contains(.user)
            // One must be born in a pid namespace; an ordinary user has the right to it only in its user namespace.
            var stage: NamespaceSet = members.contains(.pid) ? [.pid] : []
            if !stage.isEmpty && geteuid() != 0 { stage.formUnion(members.intersection(.user)) }
            if !stage.isEmpty { message.stage = InitPlan.Stage(joins: []) }
            let container = self.process.processDescriptor
            let later = members.subtracting(stage)
            try handshake.send(
                message, streams, joins: later.isEmpty ? [] : [(later, container)],
                stageJoins: [.user, .pid].filter { stage.contains($0) }.map { ($0, container) })
            try handshake.waitUntilPrepared(Handshake.Steps(listener: { (pid, listener) throws(LaunchError) in
                try self.launcher.deliver(listener, ofProcess: pid, self.launcher.hookState(self.process.pid, .running))
            }))
            try ExecAffinity.set(affinity?.final, of: handshake.pid)
            try ProcessLimits.apply(process, to: handshake.pid, inUserNamespace: members.contains(.user))
            if let terminal = handshake.terminal { try beforeStart(terminal) }
            try handshake.start()
        } catch {
            handshake.abandon()
            throw missing(error)
        }
        return LaunchedProcess(handshake)
    }

    private func begin(_ spawn: inout InitSpawn, mayMove: Bool) throws(LaunchError) -> Handshake {
        do throws(LaunchError) {
            return try Handshake(program: launcher.initProgram, spawn: spawn, timeout: launcher.timeout)
        } catch {
            guard spawn.controlGroup != nil, mayMove else { throw missing(error) }
            if launcher.mayLackControlGroup {
                // An ordinary user may move no process between groups that others have made.
                spawn.controlGroup = nil
            } else {
                guard let own = controlGroupOfProcess() else { throw missing(error) }
                spawn.controlGroup = own
            }
            do throws(LaunchError) {
                return try Handshake(program: launcher.initProgram, spawn: spawn, timeout: launcher.timeout)
            } catch { throw missing(error) }
        }
    }

    private func group(below paths: [String: String]) throws(LaunchError) -> ControlGroup? {
        guard !paths.isEmpty else { return group }
        guard let group else { throw LaunchError(.unsupported, "the container has no control group") }
        do throws(ControlGroupError) { return try group.subgroup(paths) } catch { throw LaunchError(error) }
    }

    /// Puts a further process into the group; where an ordinary user may not, it stays in the caller's, as under runc.
    private func put(_ handshake: Handshake, _ group: ControlGroup?) throws(LaunchError) {
        do throws(LaunchError) {
            if let attaching = launcher.attaching { try attaching(handshake.pid) } else { try group?.adding(handshake.pid) }
        } catch {
            guard launcher.mayLackControlGroup else { throw error }
            handshake.warn("the process stays outside of the container's control group: \(error)")
        }
    }

    /// When the container's process has ended, that is the reason why a further one cannot be made.
    private func missing(_ error: LaunchError) -> LaunchError {
        do throws(SystemError) {
            try signalOnce(0)
            return error
        } catch { return LaunchError(.noSuchProcess, "cannot exec in a stopped container") }
    }

    private func controlGroupOfProcess() -> SharedDescriptor? {
        guard let text = try? readFile("/proc/\(pid)/cgroup") else { return nil }
        let line = String(decoding: text, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("0::") }
        guard let path = line?.dropFirst(3), let hierarchy = group?.places.first(where: { $0.hierarchy.isVersion2 })?.hierarchy,
            let descriptor = try? OwnedDescriptor(opening: hierarchy.mountPoint + path, flags: O_RDONLY | O_DIRECTORY) else { return nil }
        return SharedDescriptor(descriptor)
    }

    /// The processes in the container's control group, by the caller's pid namespace. Without a group: those of its pid namespace, if
    /// that is its own; else the container's process.
    public func processes() throws(LaunchError) -> [Int32] {
        guard let group else { return processesOfNamespace() }
        do throws(ControlGroupError) { return try group.processes() } catch { throw LaunchError(error) }
    }

    private func processesOfNamespace() -> [Int32] {
        func namespace(_ pid: Int32) -> UInt64? { (try? FileStatus(path: "/proc/\(pid)/ns/pid"))?.inode }
        guard let member = launcher.plan.linux?.namespace(.pid), (member.path ?? "").isEmpty, let own = namespace(pid),
            let all = try? OwnedDescriptor(opening: "/proc", flags: O_RDONLY | O_DIRECTORY).entries() else { return [pid] }
        return all.compactMap { Int32($0) }.filter { namespace($0) == own }.sorted()
    }

    /// Sends a signal to the container's process.
    /// - Throws: `.noSuchProcess` when it has ended.
    public func signal(_ number: Int32) throws(LaunchError) {
        do throws(SystemError) {
            try signalOnce(number)
        } catch {
            throw error.errno == .noSuchProcess ? LaunchError(.noSuchProcess, "container not running") : LaunchError("kill", error)
        }
    }

    private func signalOnce(_ number: Int32) throws(SystemError) {
        try process.processDescriptor.with { (descriptor) throws(SystemError) in try sendSignal(number, toProcess: descriptor) }
    }

    /// Sends a signal to every process of the container. SIGKILL reaches also those that fork meanwhile.
    public func signalEveryProcess(_ number: Int32) throws(LaunchError) {
        if let group {
            do throws(ControlGroupError) { return try group.signalAll(number) } catch { throw LaunchError(error) }
        }
        let others = processesOfNamespace().filter { $0 != pid }
        try signal(number)
        for other in others {
            do throws(SystemError) { try sendSignal(number, to: other) } catch { if error.errno != .noSuchProcess { throw LaunchError("kill", error) } }
        }
    }

    /// The directories of its control group, one a hierarchy; none when it has no group.
    public var controlGroups: [String] { group?.directories ?? [] }

    /// Stops every process of the container, or lets them go on.
    public func setPaused(_ paused: Bool) throws(LaunchError) {
        guard let group else { throw LaunchError(.unsupported, "the container has no control group") }
        do throws(ControlGroupError) { try group.setFrozen(paused) } catch { throw LaunchError(error) }
    }

    /// Changes the container's limits. Access to devices stays as it is.
    public func update(_ change: ResourcesSpec) throws(LaunchError) {
        let group = try existingGroup()
        do throws(ControlGroupError) { try group.change(change) } catch { throw LaunchError(error) }
    }

    /// What the container has used.
    public func statistics() throws(LaunchError) -> StatisticsSpec { try existingGroup().statistics() }

    /// Tells when processes of the container are killed for want of memory.
    public func watchOutOfMemory() throws(LaunchError) -> OutOfMemoryWatch {
        let group = try existingGroup()
        do throws(ControlGroupError) { return try group.watchOutOfMemory() } catch { throw LaunchError(error) }
    }

    private func existingGroup() throws(LaunchError) -> ControlGroup {
        guard let group else { throw LaunchError(.unsupported, "the container has no control group") }
        return group
    }

    /// Removes the control group, killing what still runs in it. The container's process must have been waited for, or be about to end.
    public func delete() throws(LaunchError) {
        do throws(ControlGroupError) { try group?.delete() } catch { throw LaunchError(error) }
    }
}
