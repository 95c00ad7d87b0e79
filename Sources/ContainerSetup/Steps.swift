// What nacelle-init does, in order. The order is the point of this file; each step is in the file of its subject.
public import AgentProtocol
internal import Glibc
public import LinuxSystem
internal import OCISpec

/// The child's side of making a container: run by nacelle-init, which has one thread.
public enum Setup {
    /// From the first to the last step of a container's own process.
    static let containerSteps: [SetupStep] = [
        // The rest is done by the process that is there afterwards.
        SetupStep("stage", Stage.enter),
        // The launcher's keys are not the container's.
        SetupStep("session keyring", joinKeyring),
        // Everything below acts on the namespaces that the process ends up in.
        SetupStep("join namespaces", Namespaces.join),
        SetupStep("cgroup namespace", Namespaces.makeControlGroupNamespace),
        SetupStep("time namespace", Namespaces.makeTimeNamespace),
        // Needs this process in its namespaces and rights that it may not have in them.
        SetupStep("what the launcher does", waitInNamespaces),
        SetupStep("loopback", Namespaces.bringUpLoopback),
        SetupStep("host name", Namespaces.setNames),
        // These use the outside's /proc and /sys, which can be trusted, so they come before the root changes.
        SetupStep("kernel parameters", Namespaces.setParameters),
        SetupStep("open label", Labels.open),
        // After the last use of the outside's /proc: the other namespace's may be anybody's.
        SetupStep("join mount namespace", Namespaces.joinMounts),
        // The modes of nodes and directories made from here on are exact.
        SetupStep("no umask") { _ in OwnProcess.setFileCreationMask(0) },
        SetupStep("open root", RootSwitch.open),
        SetupStep("mounts") { (process) throws(SetupError) in
            for (index, mount) in process.spec.mounts.enumerated() { try Mounting(process: process).perform(mount, prepared: process.preparedMounts[index]) }
        },
        SetupStep("devices") { (process) throws(SetupError) in try Devices(process: process).make() },
        // The container's devpts exists now; /dev/console can be bound while the root is still reached from outside.
        SetupStep("terminal") { (process) throws(SetupError) in try Terminal(process: process).openInRoot() },
        // Hooks and people expect a working directory that is missing in the image to be made (as runc does).
        SetupStep("working directory", makeWorkingDirectory),
        // Last of what covers paths, for mounts above may have brought them.
        SetupStep("read-only paths") { (process) throws(SetupError) in try PathProtection(process: process).makeReadOnly(process.linux.readonlyPaths) },
        SetupStep("masked paths") { (process) throws(SetupError) in try PathProtection(process: process).mask(process.linux.maskedPaths) },
        SetupStep("before pivot", waitBeforePivot),
        SetupStep("createContainer hooks", Hooks.createContainer),
        SetupStep("enter root", RootSwitch.enter),
        SetupStep("finish root", RootSwitch.finish),
    ] + identitySteps + [
        SetupStep("startContainer hooks", Hooks.startContainer),
        SetupStep("seccomp", SystemCallFilter.loadLast),
    ]

    /// A further process: the container is there already.
    static let processSteps: [SetupStep] = [
        SetupStep("stage", Stage.enter),
        // In the container's pid namespace already: its processes must not read this one's memory, which holds the outside's descriptors.
        SetupStep("not dumpable") { (process) throws(SetupError) in
            try doing("dumpable") { () throws(SystemError) in try OwnProcess.setDumpable(false) }
        },
        SetupStep("session keyring", joinKeyring),
        SetupStep("open label", Labels.open),
        SetupStep("join namespaces", Namespaces.join),
        SetupStep("terminal") { (process) throws(SetupError) in try Terminal(process: process).openInContainer() },
    ] + identitySteps + [SetupStep("seccomp", SystemCallFilter.loadLast)]

    /// From a prepared root to the word to start, alike for both roles.
    private static let identitySteps: [SetupStep] = [
        SetupStep("session", Terminal.startSession),
        SetupStep("streams' owner", Identity.giveStreams),
        SetupStep("umask", Identity.setUmask),
        SetupStep("scheduler", Scheduling.setScheduler),
        SetupStep("I/O priority", Scheduling.setIOPriority),
        SetupStep("memory policy", Scheduling.setMemoryPolicy),
        SetupStep("personality", Scheduling.setPersonality),
        SetupStep("environment", Identity.prepareEnvironment),
        // Before new privileges are forbidden: then a process that is confined itself could only be confined further.
        SetupStep("label", Labels.apply),
        // Before seccomp, whose unprivileged form depends on it.
        SetupStep("no new privileges") { (process) throws(SetupError) in
            if process.process.noNewPrivileges { try doing("no_new_privs") { () throws(SystemError) in try OwnProcess.setNoNewPrivileges() } }
        },
        SetupStep("unknown capabilities", Capabilities.warnOfUnknown),
        SetupStep("descriptors", installDescriptors),
        // Before a filter that may forbid to look where this is.
        SetupStep("working directory, early", Identity.enterDirectoryEarly),
        SetupStep("seccomp, privileged", SystemCallFilter.loadPrivileged),
        // Raising one needs CAP_SYS_RESOURCE.
        SetupStep("limits", Scheduling.setLimits),
        SetupStep("bounding set", Capabilities.dropBounding),
        SetupStep("user", Identity.become),
        SetupStep("working directory", Identity.enterDirectory),
        SetupStep("capabilities", Capabilities.apply),
        // As the user, with the user's rights, so that what is found can be executed.
        SetupStep("find program", Executable.find),
        SetupStep("seccomp, with a listener", SystemCallFilter.loadListening),
        SetupStep("wait for start", waitForStart),
    ]

    /// Reads the plan from the handshake's socket, becomes what it says, and executes the program. Returns only to say why not.
    ///
    /// - Parameter socket: this end of the socket; see InitMessage.swift for the protocol.
    public static func run(socket: SharedDescriptor) -> Failure? {
        let channel = InitChannel(socket)
        do throws(SetupError) {
            let process = try receivePlan(channel)
            let steps = process.plan.role == .container ? containerSteps : processSteps
            for step in steps { try step.run(process) }
            throw Executable.execute(process)
        } catch {
            let failure = Failure(error.code, error.message)
            // write(2): a filter may be in force. If nobody listens any more, there is nobody to tell.
            try? channel.sendPlain(.failed(failure))
            return failure
        }
    }

    private static func receivePlan(_ channel: InitChannel) throws(SetupError) -> InitProcess {
        let received: (message: InitMessage, descriptors: [SharedDescriptor])?
        do throws(InitChannelError) { received = try channel.receive(timeout: -1) } catch { throw SetupError("\(error)") }
        guard case .plan(let plan)? = received?.message else { throw SetupError("the launcher sent no plan") }
        let spec: RuntimeSpec
        do throws(ConfigurationError) { spec = try RuntimeSpec.parse(plan.configuration).spec } catch { throw SetupError("\(error)") }
        return try InitProcess(channel: channel, plan: plan, spec: spec, descriptors: received?.descriptors ?? [])
    }

    private static func joinKeyring(_ process: InitProcess) throws(SetupError) {
        do throws(SystemError) {
            try OwnProcess.joinSessionKeyring("nacelle")
        } catch {
            // A kernel without keys has none to inherit; a quota that is used up is no reason not to run.
            if error.errno != .notImplemented { process.warn("session keyring: \(error.errno)") }
        }
    }

    private static func makeWorkingDirectory(_ process: InitProcess) throws(SetupError) {
        // Failure shows when it is entered, in the words that engines know.
        process.withRoot { (root) in _ = try? root.directory(process.process.cwd) }
    }

    private static func waitInNamespaces(_ process: InitProcess) throws(SetupError) {
        guard process.plan.stopsInNamespaces else { return }
        do throws(InitChannelError) {
            try process.channel.send(.inNamespaces)
            guard let answer = try process.channel.receive(timeout: -1), case .mounts(let positions) = answer.message, positions.count == answer.descriptors.count else {
                throw .system(SystemError(.connectionReset, "handshake"))
            }
            process.preparedMounts = Dictionary(zip(positions.map { Int($0) }, answer.descriptors)) { first, _ in first }
        } catch { throw SetupError("\(error)") }
    }

    private static func waitBeforePivot(_ process: InitProcess) throws(SetupError) {
        guard process.plan.stopsBeforePivot else { return }
        do throws(InitChannelError) {
            try process.channel.send(.beforePivot)
            guard case .proceed(let createState, let startState)? = try process.channel.receive(timeout: -1)?.message else {
                throw .system(SystemError(.connectionReset, "handshake"))
            }
            (process.createState, process.startState) = (createState, startState)
        } catch { throw SetupError("\(error)") }
    }

    /// Puts every inherited descriptor in its place; all others, whoever opened them, close at execve.
    private static func installDescriptors(_ process: InitProcess) throws(SetupError) {
        try doing("install descriptors") { () throws(SystemError) in
            let first: Int32 = process.standardStreams.isEmpty ? 3 : 0
            // Out of the way first, or one could be overwritten before it is installed; and nobody may own a low number any more, or
            // letting go of it would close what is installed there.
            let low = max(3, first + Int32(process.standardStreams.count + process.preserved.count))
            func moved(_ descriptors: [SharedDescriptor]) throws(SystemError) -> [SharedDescriptor] {
                try descriptors.map { (descriptor) throws(SystemError) in
                    SharedDescriptor(try OwnedDescriptor(duplicating: descriptor.rawValue, above: low))
                }
            }
            process.standardStreams = try moved(process.standardStreams)
            process.preserved = try moved(process.preserved)
            process.startPipes = try moved(process.startPipes)
            try process.channel.moveSocket(above: low)
            let sources = process.standardStreams + process.preserved
            try OwnProcess.closeOnExec(from: 3)
            for (index, source) in sources.enumerated() {
                try source.with { (descriptor) throws(SystemError) in try OwnProcess.install(descriptor, as: first + Int32(index)) }
            }
            (process.standardStreams, process.preserved) = ([], [])
        }
    }

    /// "Created" until the launcher says start. Only read(2) and write(2) from here on.
    private static func waitForStart(_ process: InitProcess) throws(SetupError) {
        do throws(InitChannelError) {
            try process.channel.sendPlain(.prepared)
            if process.startPipes.count == 2 { process.channel.replaceSocket(input: process.startPipes[0], output: process.startPipes[1]) }
            // The launcher went away: so does the container. (A pipe is held open at both ends, and waits for ever.)
            guard case .start? = try process.channel.receivePlain() else { OwnProcess.exitNow(1) }
        } catch { throw SetupError("\(error)") }
    }
}
