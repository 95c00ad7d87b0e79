public import AgentProtocol
public import LinuxSystem

/// A process that was made: a child of the agent.
public struct LaunchedProcess {
    /// In the agent's pid namespace.
    public let pid: Int32
    /// The terminal's master, when the process has a terminal.
    public let terminal: SharedDescriptor?
    public init(pid: Int32, terminal: SharedDescriptor?) {
        self.pid = pid
        self.terminal = terminal
    }
}

/// What a plan says about the process, as far as the agent itself must know.
public struct ProcessTraits {
    /// The process's user and group as the root user namespace numbers them.
    public var owner: (user: UInt32, group: UInt32)
    /// Whether the end of this process ends every process that could hold its streams: it is the first of a pid namespace.
    public var endsNamespace: Bool
    public init(owner: (user: UInt32, group: UInt32), endsNamespace: Bool) {
        self.owner = owner
        self.endsNamespace = endsNamespace
    }
}

/// Makes the container and its processes: ContainerLaunch in a guest, a stand-in in tests.
public protocol ContainerBackend: AnyObject {
    /// Reads the container's configuration, keeping it for `create`.
    func configure(plan: [UInt8]) throws(Failure) -> ProcessTraits
    /// Makes the configured container and its process, which waits for `start`. `streams` is nil when it gets a terminal.
    func create(streams: ChildStreams?, size: TerminalSize) throws(Failure) -> LaunchedProcess
    func start() throws(Failure)
    /// Reads a further process's configuration.
    func traits(processPlan: [UInt8]) throws(Failure) -> ProcessTraits
    /// Runs a further process; returns when it has exec'd.
    func execute(processPlan: [UInt8], streams: ChildStreams?, size: TerminalSize) throws(Failure) -> LaunchedProcess
    /// The pids of all processes of the container, as the agent's pid namespace numbers them.
    func processes() throws(Failure) -> [Int32]
    /// Sends a signal to every process of the container.
    func signalEveryProcess(_ number: Int32) throws(Failure)
}
