public import AgentProtocol
public import LinuxSystem

/// A process that was made: a child of the agent.
public struct StartedProcess {
    /// In the agent's pid namespace.
    public let pid: Int32
    /// The terminal's master, when the process has a terminal.
    public let terminal: SharedDescriptor?
    public init(pid: Int32, terminal: SharedDescriptor?) {
        self.pid = pid
        self.terminal = terminal
    }
}

/// Makes the container and its processes: ContainerLaunch in a guest, a stand-in in tests.
public protocol ContainerBackend: AnyObject {
    /// Reads the container's configuration, keeping it for `create`.
    func configure(plan: [UInt8]) throws(Failure) -> ProcessTraits
    /// Makes the configured container and its process, which waits for `start`. `streams` is nil when it gets a terminal.
    func create(streams: ChildStreams?) throws(Failure) -> StartedProcess
    func start() throws(Failure)
    /// Reads the configuration of a further process.
    func traits(processPlan: [UInt8]) throws(Failure) -> ProcessTraits
    /// Runs a further process, in a control group below the container's when one is named; returns when it has exec'd.
    func execute(processPlan: [UInt8], group: String, streams: ChildStreams?) throws(Failure) -> StartedProcess
    /// The container has ended: what it wrote to a disk of the machine's, and the guest's kernel still holds, goes there. The machine ends without further notice.
    func saveFiles()
    /// The pids of all processes of the container, as the agent's pid namespace numbers them.
    func processes() throws(Failure) -> [Int32]
    /// Sends a signal to every process of the container.
    func signalEveryProcess(_ number: Int32) throws(Failure)
    /// Changes the container's limits; `resources` is linux.resources as JSON.
    func update(resources: [UInt8]) throws(Failure)
    /// What the container has used, as JSON.
    func statistics() throws(Failure) -> [UInt8]
    /// Calls back in the loop when processes of the created container are killed for want of memory, with their number so far.
    func watchOutOfMemory(_ loop: EventLoop, _ body: @escaping (UInt64) -> Void) throws(Failure)
    /// Calls back at once if the loop has not come to it yet.
    func checkOutOfMemory()
}
