public import LinuxSystem
public import OCISpec

/// Makes a container: its control group, its namespaces and its process, which waits before execve(2).
///
/// Works alike in the host (root, cgroup v1, v2 or hybrid) and in the guest (the agent; cgroup v2 at /sys/fs/cgroup). Starts no thread
/// and waits for no process but those that it made and that never became the container's, so the caller may be PID 1 and reap.
/// Calls block at most for `timeout`.
public final class ContainerLauncher {
    /// What the container shall be. Paths in it (root, mount sources) are those of the caller's mount namespace, and absolute.
    public let plan: RuntimeSpec
    let initProgram: String

    /// How long the child may take for one step of the handshake, in milliseconds.
    public var timeout: Int32 = 30_000
    /// False: make no control group and leave the process in the caller's (a rootless host).
    public var usesControlGroup = true

    /// - Parameters:
    ///   - plan: the container's configuration (config.json).
    ///   - initProgram: path of nacelle-init.
    public init(plan: RuntimeSpec, initProgram: String) {
        self.plan = plan
        self.initProgram = initProgram
    }

    /// Makes the container up to the state "created": everything is prepared but execve(2).
    ///
    /// On an error nothing is left behind: no process, no control group.
    /// - Parameter streams: `.terminal()` exactly when the plan's process has a terminal.
    public func create(streams: LaunchStreams) throws(LaunchError) -> LaunchedContainer {
        throw LaunchError(.unsupported, "not built yet")
    }
}

/// A process made by a launcher: a child of the calling process, which must wait for it.
public struct LaunchedProcess: Sendable {
    /// In the caller's pid namespace.
    public let pid: Int32
    /// Names the process even after it has ended.
    public let processDescriptor: SharedDescriptor
    /// The master end of its terminal, when it has one.
    public let terminal: SharedDescriptor?
    /// What the specification wants to be logged and not to fail, such as capabilities that this kernel does not know.
    public let warnings: [String]
}

/// A container that was created. It lives until its process has ended and `delete()` was called.
public final class LaunchedContainer {
    /// The container's process: the first of its pid namespace, when it has one of its own.
    public let process: LaunchedProcess
    public var pid: Int32 { process.pid }
    public var terminal: SharedDescriptor? { process.terminal }

    init(process: LaunchedProcess) { self.process = process }

    /// Lets the container's process execute its program; returns when it has.
    ///
    /// - Throws: `.executableNotFound`, `.permissionDenied` or another reason why it could not; the process then ends by itself.
    ///   `.invalidState` when it was started already.
    public func start() throws(LaunchError) {}

    /// Runs a further process in the container's namespaces and control group; returns when it has executed its program.
    ///
    /// - Parameter process: the specification's process object. Its cwd, environment, user and so on are taken as they are.
    public func exec(process: ProcessSpec, streams: LaunchStreams) throws(LaunchError) -> LaunchedProcess {
        throw LaunchError(.unsupported, "not built yet")
    }

    /// The processes in the container's control group, by the caller's pid namespace.
    public func processes() throws(LaunchError) -> [Int32] { [] }

    /// Sends a signal to the container's process.
    public func signal(_ number: Int32) throws(LaunchError) {}

    /// Sends a signal to every process of the container. SIGKILL reaches also those that fork meanwhile.
    public func signalEveryProcess(_ number: Int32) throws(LaunchError) {}

    /// Removes the control group, killing what still runs in it. The container's process must have been waited for, or be about to end.
    public func delete() throws(LaunchError) {}
}
