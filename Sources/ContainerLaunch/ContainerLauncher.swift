internal import AgentProtocol
public import ControlGroups
internal import Glibc
internal import JSONText
internal import LinuxSystem
public import OCISpec

/// Makes a container: its control group, its namespaces and its process, which waits before execve(2).
///
/// Works alike in the host (root, cgroup v1, v2 or hybrid) and in the guest (the agent; cgroup v2 at /sys/fs/cgroup). Starts no thread
/// and waits for no process but those that it made and that never became the container's, so the caller may be PID 1 and reap.
/// Calls block at most for `timeout`.
public final class ContainerLauncher {
    /// What the container shall be. Paths in it (root, mount sources) are those of the caller's mount namespace, and absolute.
    public let plan: RuntimeSpec
    let identifier: String
    let initProgram: String

    /// How long the child may take for one step of the handshake, in milliseconds.
    public var timeout: Int32 = 30_000
    /// False: make no control group and leave the process in the caller's.
    public var usesControlGroup = true
    /// Puts the process into a control group that somebody else makes (systemd), instead of one of this launcher's own making. Its limits are
    /// written by the launcher.
    public var placing: ((_ pid: Int32) throws(LaunchError) -> ControlGroup)?
    /// The same for a further process of a container.
    public var attaching: ((_ pid: Int32) throws(LaunchError) -> Void)?
    /// Leave the process in the caller's control group where no other can be made and no limit is asked for (an ordinary user's).
    public var mayLackControlGroup = false
    /// False: leave access to devices as it is, which needs more than the right to a control group.
    public var restrictsDevices = true
    /// Where the process waits for `start` when its launcher does not stay: see `StartPipes`.
    public var startPipes: StartPipes?
    /// What the hooks in the container's namespaces get to read. They run before the root is entered (createContainer; paths are the
    /// caller's) and between `start` and the program (startContainer; paths are the container's).
    public var hookState: (_ pid: Int32, _ status: StateSpec.Status) -> StateSpec = { (pid, status) in
        var state = StateSpec()
        (state.pid, state.status) = (Int(pid), status)
        return state
    }
    /// Called when everything in the root is made and before it is entered: where the specification wants prestart and createRuntime
    /// hooks. Gets the process's pid. What it throws fails the creation.
    public var beforePivot: ((_ pid: Int32) throws(LaunchError) -> Void)?

    /// - Parameters:
    ///   - plan: the container's configuration (config.json).
    ///   - identifier: the container's; names its control group when linux.cgroupsPath does not.
    ///   - initProgram: path of nacelle-init.
    public init(plan: RuntimeSpec, identifier: String, initProgram: String) {
        self.plan = plan
        self.identifier = identifier
        self.initProgram = initProgram
    }

    /// Makes the container up to the state "created": everything is prepared but execve(2).
    ///
    /// A program that cannot be found or may not be executed is an error here already, as under runc. On an error nothing is left
    /// behind: no process, no control group.
    /// - Parameter streams: `.terminal()` exactly when the plan's process has a terminal.
    public func create(streams: LaunchStreams) throws(LaunchError) -> LaunchedContainer {
        guard let process = plan.process else { throw LaunchError(.other, "process is missing from the configuration") }
        if let problem = ContainerLauncher.unsupportedFields(of: plan).first { throw LaunchError(.unsupported, "\(problem)") }
        try streams.check(process)
        let linux = plan.linux ?? LinuxSpec()
        let namespaces = try NamespacePlan(linux)
        var group = usesControlGroup && placing == nil ? try makeControlGroup(linux) : nil
        do throws(LaunchError) {
            let handshake = try launch(process, linux, namespaces, &group, streams)
            let launched = LaunchedProcess(handshake)
            return LaunchedContainer(process: launched, handshake: handshake, launcher: self, group: group)
        } catch {
            try? group?.delete()
            throw error
        }
    }

    private func makeControlGroup(_ linux: LinuxSpec) throws(LaunchError) -> ControlGroup? {
        let resources = linux.resources ?? ResourcesSpec()
        let group: ControlGroup
        do throws(ControlGroupError) { group = try ControlGroup.create(path: linux.cgroupsPath, identifier: identifier) } catch {
            guard mayLackControlGroup, error.meansNone else { throw LaunchError(error) }
            var limits = resources
            limits.devices = []
            guard limits == ResourcesSpec() else {
                throw LaunchError(.other, "rootless needs no limits + no cgrouppath when no permission is granted for cgroups: \(error)")
            }
            return nil
        }
        do throws(LaunchError) { try limit(group, resources) } catch {
            try? group.delete()
            throw error
        }
        return group
    }

    private func limit(_ group: ControlGroup, _ resources: ResourcesSpec) throws(LaunchError) {
        do throws(ControlGroupError) { try group.apply(resources, restrictsDevices: restrictsDevices) } catch { throw LaunchError(error) }
    }

    private func launch(
        _ process: ProcessSpec, _ linux: LinuxSpec, _ namespaces: NamespacePlan, _ group: inout ControlGroup?, _ streams: LaunchStreams
    ) throws(LaunchError) -> Handshake {
        var spawn = InitSpawn()
        if !namespaces.isStaged {
            spawn.namespaces = namespaces.cloned
            spawn.waitsForMapping = namespaces.hasNewUserNamespace
        }
        spawn.controlGroup = try group?.unifiedDescriptor()
        let handshake = try Handshake(program: initProgram, spawn: spawn, timeout: timeout)
        do throws(LaunchError) {
            // Before the plan: the child makes its cgroup namespace when it has it.
            if let placing {
                let made = try placing(handshake.pid)
                group = made
                try limit(made, linux.resources ?? ResourcesSpec())
            } else if spawn.controlGroup == nil {
                try group?.adding(handshake.pid)
            }
            if spawn.waitsForMapping {
                try UserNamespaceMaps.write(linux, of: handshake.pid)
                try handshake.mapped()
            }
            try ProcessLimits.adjustOOMScore(process, of: handshake.pid)
            var message = InitPlan(role: .container, configuration: plan.json.bytes())
            if namespaces.isStaged {
                message.stage = InitPlan.Stage(
                    joins: [], makesUserNamespace: namespaces.hasNewUserNamespace, cloned: namespaces.cloned.subtracting(.user).rawValue)
            }
            message.stopsInNamespaces = !linux.netDevices.isEmpty || PreparedMounts.areNeeded(plan)
            message.unshares = namespaces.unshared.rawValue
            message.inUserNamespace = namespaces.inUserNamespace
            message.controlGroups = group?.initPlaces ?? []
            message.stopsBeforePivot = beforePivot != nil || plan.hooks.map { !$0.createContainer.isEmpty || !$0.startContainer.isEmpty } ?? false
            try handshake.send(message, streams, joins: namespaces.joins, stageJoins: namespaces.stageJoins, startPipes: startPipes)
            try handshake.waitUntilPrepared(Handshake.Steps(
                map: { (pid) throws(LaunchError) in try UserNamespaceMaps.write(linux, of: pid) },
                inNamespaces: { (pid) throws(LaunchError) in
                    try NetworkDevices.move(linux, toProcess: pid)
                    return try PreparedMounts.make(self.plan, forProcess: pid)
                },
                beforePivot: { (pid) throws(LaunchError) in
                    try self.beforePivot?(pid)
                    return self.hookStates(pid)
                },
                listener: { (pid, listener) throws(LaunchError) in try self.deliver(listener, ofProcess: pid, self.hookState(pid, .creating)) }))
            try ProcessLimits.apply(process, to: handshake.pid, inUserNamespace: namespaces.inUserNamespace)
            return handshake
        } catch {
            handshake.abandon()
            throw error
        }
    }

    private func hookStates(_ pid: Int32) -> (createState: [UInt8], startState: [UInt8]) {
        guard let hooks = plan.hooks else { return ([], []) }
        return (
            hooks.createContainer.isEmpty ? [] : hookState(pid, .creating).json.bytes(), hooks.startContainer.isEmpty ? [] : hookState(pid, .created).json.bytes()
        )
    }
}

extension LaunchStreams {
    /// A message of the handshake carries so many descriptors at most; streams and namespaces need some of them.
    public static let maximumPreserved = 20

    func check(_ process: ProcessSpec) throws(LaunchError) {
        if process.terminal == (standard != nil) {
            throw LaunchError(.other, process.terminal ? "a process with a terminal takes no standard streams" : "a process without a terminal needs standard streams")
        }
        if preserved.count > LaunchStreams.maximumPreserved {
            throw LaunchError(.unsupported, "at most \(LaunchStreams.maximumPreserved) descriptors can be preserved")
        }
    }
}

extension Handshake {
    /// Sends a plan with the descriptors that it announces.
    func send(
        _ plan: InitPlan, _ streams: LaunchStreams, joins: [NamespacePlan.Join], stageJoins: [NamespacePlan.Join], startPipes: StartPipes? = nil
    ) throws(LaunchError) {
        var plan = plan
        var descriptors: [SharedDescriptor] = []
        if let standard = streams.standard {
            plan.hasStandardStreams = true
            descriptors = [standard.input, standard.output, standard.error]
        }
        plan.preservedCount = UInt32(streams.preserved.count)
        plan.joins = joins.map(\.namespaces.rawValue)
        plan.stage?.joins = stageJoins.map(\.namespaces.rawValue)
        plan.startsByPipes = startPipes != nil
        descriptors += streams.preserved + joins.map(\.descriptor) + stageJoins.map(\.descriptor)
        if let startPipes { descriptors += [startPipes.start, startPipes.answer] }
        try send(plan, descriptors: descriptors)
    }
}

extension LaunchError {
    init(_ error: ControlGroupError) {
        switch error {
        case .systemdPath, .unsupported: self.init(.unsupported, error.description)
        default: self.init(.other, error.description)
        }
    }
}

extension ControlGroup {
    /// The group for clone3(2) to put the child into; nil where that is not possible and it must be added afterwards.
    func unifiedDescriptor() throws(LaunchError) -> SharedDescriptor? {
        guard let directory = unifiedDirectory else { return nil }
        do throws(SystemError) {
            return SharedDescriptor(try OwnedDescriptor(opening: directory, flags: O_RDONLY | O_DIRECTORY))
        } catch { throw LaunchError("cgroup", error) }
    }

    func adding(_ pid: Int32) throws(LaunchError) {
        do throws(ControlGroupError) { try add(pid) } catch { throw LaunchError(error) }
    }

    /// For the container's mounts of type "cgroup". In a hybrid layout the container sees version 1, as under runc.
    var initPlaces: [InitPlan.ControlGroupPlace] {
        places.filter { layout.isUnified || !$0.hierarchy.isVersion2 }.map { place in
            InitPlan.ControlGroupPlace(
                hierarchy: place.hierarchy.isVersion2 ? "" : String(place.hierarchy.mountPoint.split(separator: "/").last ?? "cgroup"),
                controllers: place.hierarchy.controllers.joined(separator: ","), path: place.directory)
        }
    }
}
