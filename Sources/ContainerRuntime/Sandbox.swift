public import AgentProtocol
internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// How a container is kept apart from the host.
public enum Isolation: String, Sendable, CaseIterable {
    /// A kernel of its own, in a KVM machine.
    case microVM = "microvm"
    /// The host's kernel: namespaces, capabilities, seccomp.
    case namespace
}

/// What `create` is to make.
final class Creation {
    let spec: RuntimeSpec
    let process: ProcessSpec
    /// Absolute.
    let bundle: String
    let streams: Container.Streams
    /// How many of this process's descriptors from 3 on the container's process inherits.
    let preservedDescriptors: Int
    /// nil: as is found.
    let isRootless: Bool?
    let controlGroupDriver: ControlGroupDriver
    let components: Components
    let hooks: Hooks
    /// Whether a hook has run: then a failure is the end of a container (runtime.md, "Lifecycle", 12 and 13), and `poststop` runs.
    private(set) var hasRunHooks = false

    init(
        _ spec: RuntimeSpec, _ process: ProcessSpec, bundle: String, streams: Container.Streams, preservedDescriptors: Int, isRootless: Bool? = nil,
        controlGroupDriver: ControlGroupDriver = .cgroupfs, components: Components, hooks: Hooks
    ) {
        (self.spec, self.process, self.bundle, self.streams) = (spec, process, bundle, streams)
        self.controlGroupDriver = controlGroupDriver
        (self.preservedDescriptors, self.isRootless, self.components, self.hooks) = (preservedDescriptors, isRootless, components, hooks)
    }

    /// Runs the hooks of the runtime's namespaces that precede the container (runtime.md, "Lifecycle", 3 and 4).
    func runRuntimeHooks(_ record: ContainerRecord) throws(RuntimeError) {
        hasRunHooks = true
        // Before the specification's 1.0.2 prestart hooks ran at `start`: those that look find the status of then, which runtime-tools asks for, too.
        try hooks.run(hooks.spec.prestart, "prestart", state: record.state(.created))
        try hooks.run(hooks.spec.createRuntime, "createRuntime", state: record.state(.creating))
    }

    /// Makes a path of config.json absolute.
    static func absolute(_ path: String, _ bundle: String) -> String { path.hasPrefix("/") ? path : bundle + "/" + path }
}

/// One isolation: what the verbs do to a container in it. State directory, lock, record and the hooks around are `Container`'s.
protocol Sandbox {
    /// Refuses what this isolation cannot do, before anything is made.
    func check(_ creation: Creation) throws(RuntimeError)

    /// Makes the container up to its program and runs the hooks on the way. The record is saved whenever something is made that a
    /// `delete` must find, so that a `create` that is killed leaves nothing hidden. After an error `destroy` is called.
    func create(_ creation: Creation, _ record: inout ContainerRecord) throws(RuntimeError)

    /// Of a container whose process runs.
    func status(_ record: ContainerRecord) -> StateSpec.Status

    /// Lets the program of a created container run.
    func start(_ record: ContainerRecord) throws(RuntimeError)

    /// Sends a signal to the process of a container that runs, or to all processes in it.
    func kill(_ signal: Int32, all: Bool, _ record: ContainerRecord) throws(RuntimeError)

    /// The processes in a container that runs.
    func processes(_ record: ContainerRecord) throws(RuntimeError) -> ContainerProcesses

    /// Runs a further process.
    func exec(_ process: ProcessSpec, _ wanted: ExecOptions, _ record: ContainerRecord) throws(RuntimeError) -> ExecutedProcess

    /// Changes the limits of a container that runs.
    func update(_ update: LimitsUpdate, _ record: ContainerRecord) throws(RuntimeError)

    /// What a container that runs has used.
    func statistics(_ record: ContainerRecord) throws(RuntimeError) -> StatisticsSpec

    /// Watches a container that runs for processes that are killed for want of memory.
    func watchOutOfMemory(_ record: ContainerRecord) throws(RuntimeError) -> OutOfMemoryEvents.Source
}

extension Sandbox {
    /// Ends what runs and removes what was made outside of the state directory. Nothing there is no error.
    func destroy(_ record: ContainerRecord) throws(RuntimeError) {
        try MachineProcess.kill(record)
        try HostResourceControl.delete(record)
        try HostControlGroup.delete(record)
    }

    /// In runc's words, which engines match on, when the program is what cannot be started.
    static func startFailure(_ code: Failure.Code, _ message: String) -> String {
        switch code {
        case .executableNotFound, .permissionDenied: "unable to start container process: \(message)"
        default: message
        }
    }
}

/// What a further process gets beside its description.
public struct ExecOptions {
    public var streams: Container.Streams
    /// How many of this process's descriptors from 3 on it inherits.
    public var preservedDescriptors = 0
    /// Also when the container is paused.
    public var ignoresPause = false
    /// Control groups below the container's, by controller; "" for version 2.
    public var subgroups: [String: String] = [:]
    public init(streams: Container.Streams) { self.streams = streams }
}

/// A change of limits.
struct LimitsUpdate {
    /// What changes, with what the kernel wants beside it.
    var change: ResourcesSpec
    /// The container's configuration with the change.
    var spec: RuntimeSpec
}

/// The processes in a container, by which kernel's they are.
public enum ContainerProcesses {
    /// Pids of this host.
    case host([Int32])
    /// A machine's, with its own pids.
    case guest([ProcessEntry])
}

/// A further process of a container, by what waits for it.
public enum ExecutedProcess {
    /// In a machine: its end comes over the connection (`.wait`), which names it `Container.execProcess`.
    case inMachine(ControlConnection)
    /// A child of this process.
    case child(pid: Int32)
}

extension Container.Streams {
    /// The descriptors 0, 1 and 2 of this process and those from 3 on, as owners.
    static func inherited(_ range: Range<Int32>) throws(RuntimeError) -> [SharedDescriptor] {
        var result: [SharedDescriptor] = []
        for number in range {
            // One that is closed at execve is this program's own, not one that it was given.
            if number > 2, isOwn(number) { throw RuntimeError("--preserve-fds: descriptor \(number) is not open") }
            do throws(SystemError) { result.append(SharedDescriptor(try OwnedDescriptor(duplicating: number))) } catch {
                throw RuntimeError("descriptor \(number) is not open", error)
            }
        }
        return result
    }

    private static func isOwn(_ number: Int32) -> Bool { clinux_fcntl(number, F_GETFD, 0) != 0 }
}
