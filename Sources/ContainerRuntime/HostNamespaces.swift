internal import AgentProtocol
internal import ContainerLaunch
internal import ControlGroups
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// A container on this host's own kernel: its process is nacelle-init's, made by ContainerLaunch, and stands for itself.
///
/// No process of ours stays: the container's is a child of `create`, and when that ends, of whoever takes its orphans (the engine's
/// monitor). It waits to be started at two named pipes in the state directory.
struct HostNamespaces: Sandbox {
    let state: StateDirectory
    let log: RuntimeLog
    let configuration: ConfigurationFile

    func check(_ creation: Creation) throws(RuntimeError) {
        try creation.components.checkInitProgram()
        _ = try HostPlan(creation.spec, bundle: creation.bundle)
        try HostPlan.checkProfile(creation.process)
        let changes = HostPlan.changesOfHost(creation.spec)
        guard changes.isEmpty else { throw RuntimeError("\(ConfigurationError.invalid(changes))") }
        if creation.controlGroupDriver == .systemd { try SystemdScope.check() }
        if geteuid() != 0 { try Self.checkForOrdinaryUser(creation.spec.linux ?? LinuxSpec()) }
        try HostResourceControl.check(creation.spec, state)
        if creation.preservedDescriptors > LaunchStreams.maximumPreserved {
            throw RuntimeError("--preserve-fds: at most \(LaunchStreams.maximumPreserved) are possible")
        }
    }

    /// In runc's words: an ordinary user has rights only in a user namespace of its own.
    private static func checkForOrdinaryUser(_ linux: LinuxSpec) throws(RuntimeError) {
        if linux.namespace(.user) == nil {
            throw RuntimeError("rootless container requires user namespaces (config.json: linux.namespaces; `nacelle-oci spec --rootless` has one)")
        }
    }

    func create(_ creation: Creation, _ record: inout ContainerRecord) throws(RuntimeError) {
        var plan = try HostPlan(creation.spec, bundle: creation.bundle).spec
        let isRootless = creation.isRootless ?? Rootless.isAssumed
        let mayLackGroup = isRootless && (creation.spec.linux?.cgroupsPath ?? "").isEmpty
        let group = creation.controlGroupDriver == .cgroupfs ? try HostControlGroup.locate(creation.spec, state, isOptional: mayLackGroup) : nil
        // As it is, whatever the caller's own group: `exec` and `delete` come from others.
        plan.linux?.cgroupsPath = group?.path
        record.controlGroups = group?.directories ?? []
        let scope = creation.controlGroupDriver == .systemd ? try SystemdScope(path: creation.spec.linux?.cgroupsPath, id: state.id, isRootless: isRootless) : nil
        try scope?.reserve()
        record.systemdUnit = scope?.unit ?? ""
        try state.save(record)
        let launcher = ContainerLauncher(plan: plan, identifier: state.id, initProgram: creation.components.initProgram)
        launcher.mayLackControlGroup = mayLackGroup
        launcher.restrictsDevices = !isRootless
        launcher.usesControlGroup = creation.controlGroupDriver != .disabled
        if let scope {
            let resources = creation.spec.linux?.resources ?? ResourcesSpec()
            launcher.placing = { (pid) throws(LaunchError) in
                do throws(RuntimeError) { return try scope.start(pid, resources) } catch { throw LaunchError(.other, error.message) }
            }
        }
        var current = record
        launcher.hookState = { (pid, status) in
            var known = current
            known.pid = pid
            return known.state(status)
        }
        // A hook may take its time; it has a timeout of its own.
        if !creation.hooks.spec.createContainer.isEmpty { launcher.timeout = -1 }
        do throws(LaunchError) {
            let streams = try launchStreams(creation.streams, creation.preservedDescriptors)
            launcher.startPipes = try startPipes()
            // From here on it lives without this process, so it must be known.
            launcher.beforePivot = { (pid) throws(LaunchError) in
                do throws(RuntimeError) {
                    current.pid = pid
                    current.startTime = ProcessIdentity.startTime(of: pid) ?? 0
                    try state.save(current)
                    try HostResourceControl.apply(creation.spec, state, &current)
                    try creation.runRuntimeHooks(current)
                } catch { throw LaunchError(.other, error.message) }
            }
            defer { (launcher.beforePivot, launcher.startPipes, launcher.placing) = (nil, nil, nil) }
            let container = try launcher.create(streams: streams)
            record = current
            record.controlGroups = container.controlGroups
            for warning in container.process.warnings { log.warning(warning) }
            if case .newTerminal(let deliver) = creation.streams, let terminal = container.terminal { try Self.deliver(terminal, deliver) }
        } catch {
            record = current
            throw RuntimeError(Self.startFailure(error.code, error.message))
        }
    }

    private static func deliver(_ terminal: SharedDescriptor, _ deliver: (SharedDescriptor) throws(RuntimeError) -> Void) throws(LaunchError) {
        do throws(RuntimeError) { try deliver(terminal) } catch { throw LaunchError(.other, error.message) }
    }

    private func startPipes() throws(LaunchError) -> StartPipes {
        do throws(SystemError) { return try StartPipes(start: state.startPath, answer: state.answerPath) } catch {
            throw LaunchError(.other, "cannot write the state of container \(state.id): \(error)")
        }
    }

    private func launchStreams(_ streams: Container.Streams, _ preserved: Int) throws(LaunchError) -> LaunchStreams {
        do throws(RuntimeError) {
            let further = try Container.Streams.inherited(3..<(3 + Int32(preserved)))
            switch streams {
            case .inherited:
                let standard = try Container.Streams.inherited(0..<3)
                return LaunchStreams(input: standard[0], output: standard[1], error: standard[2], preserved: further)
            case .newTerminal, .terminal: return .terminal(preserved: further)
            }
        } catch { throw LaunchError(.other, error.message) }
    }

    func status(_ record: ContainerRecord) -> StateSpec.Status {
        if !record.isCreated { return .creating }
        if StartPipes.isWaiting(start: state.startPath) { return .created }
        return record.isAlive ? .running : .stopped
    }

    func start(_ record: ContainerRecord) throws(RuntimeError) {
        do throws(LaunchError) {
            try StartPipes.send(start: state.startPath, answer: state.answerPath) { record.isAlive }
        } catch { throw RuntimeError("unable to start container process: \(error.message)") }
    }

    func kill(_ signal: Int32, all: Bool, _ record: ContainerRecord) throws(RuntimeError) {
        do throws(LaunchError) {
            let container = try existing(record)
            // In another's pid namespace its death ends nobody else.
            if all || (signal == SIGKILL && !container.endsNamespace) { try container.signalEveryProcess(signal) } else { try container.signal(signal) }
        } catch { throw RuntimeError(error.message) }
    }

    func processes(_ record: ContainerRecord) throws(RuntimeError) -> ContainerProcesses {
        do throws(LaunchError) { return .host(try existing(record).processes()) } catch { throw RuntimeError(error.message) }
    }

    func update(_ update: LimitsUpdate, _ record: ContainerRecord) throws(RuntimeError) {
        _ = try HostPlan(update.spec, bundle: record.bundle)
        let group = try HostControlGroup.existing(record)
        do throws(ControlGroupError) { try group.change(update.change) } catch { throw RuntimeError("\(error)") }
    }

    func statistics(_ record: ContainerRecord) throws(RuntimeError) -> StatisticsSpec { try HostControlGroup.existing(record).statistics() }

    func watchOutOfMemory(_ record: ContainerRecord) throws(RuntimeError) -> OutOfMemoryEvents.Source {
        let group = try HostControlGroup.existing(record)
        do throws(ControlGroupError) { return .group(try group.watchOutOfMemory()) } catch { throw RuntimeError("\(error)") }
    }

    func exec(_ process: ProcessSpec, _ wanted: ExecOptions, _ record: ContainerRecord) throws(RuntimeError) -> ExecutedProcess {
        let problems = HostPlan.unsupportedFields(process)
        guard problems.isEmpty else { throw RuntimeError(ConfigurationError.text(problems), exitStatus: 255) }
        do throws(LaunchError) {
            let streams = try launchStreams(wanted.streams, wanted.preservedDescriptors)
            let launched = try existing(record).exec(process: process, streams: streams, subgroups: wanted.subgroups) { (terminal) throws(LaunchError) in
                if case .newTerminal(let deliver) = wanted.streams { try Self.deliver(terminal, deliver) }
            }
            for warning in launched.warnings { log.warning(warning) }
            return .child(pid: launched.pid)
        } catch { throw RuntimeError("exec failed: \(Self.startFailure(error.code, error.message))", exitStatus: 255) }
    }

    /// The container as its launcher knew it.
    private func existing(_ record: ContainerRecord) throws(LaunchError) -> LaunchedContainer {
        let plan: RuntimeSpec
        do throws(RuntimeError) { plan = try HostPlan(try state.configuration(), bundle: record.bundle).spec } catch { throw LaunchError(.other, error.message) }
        let launcher = ContainerLauncher(plan: plan, identifier: state.id, initProgram: Components.locate(configuration).initProgram)
        launcher.hookState = { (_, status) in record.state(status) }
        launcher.mayLackControlGroup = Rootless.isAssumed
        if !record.systemdUnit.isEmpty {
            launcher.attaching = { (pid) throws(LaunchError) in
                do throws(RuntimeError) { try SystemdScope.attach(pid, record) } catch { throw LaunchError(.other, error.message) }
            }
        }
        let container = try launcher.existing(pid: record.pid, controlGroups: record.controlGroups)
        // The descriptor names one process for good; only now is it known that it is the right one.
        guard record.isAlive else { throw LaunchError(.noSuchProcess, "container not running") }
        return container
    }
}
