internal import AgentProtocol
internal import LinuxSystem
internal import OCISpec

/// nacelle-init's state while it turns itself into a process of a container.
final class InitProcess {
    let channel: InitChannel
    let plan: InitPlan
    let spec: RuntimeSpec
    let process: ProcessSpec
    var linux: LinuxSpec { spec.linux ?? LinuxSpec() }

    /// Becomes 0, 1, 2; empty with a terminal.
    var standardStreams: [SharedDescriptor]
    /// Becomes 3, 4 ….
    var preserved: [SharedDescriptor]
    /// To read `start` from and to write a failure to, when the launcher does not stay.
    var startPipes: [SharedDescriptor]
    /// Entries of `mounts`, by their position, that the launcher has made.
    var preparedMounts: [Int: SharedDescriptor] = [:]
    /// Namespaces to join, in order, and those to join before everything else.
    let joins: [(namespaces: NamespaceSet, descriptor: SharedDescriptor)]
    var stageJoins: [(namespaces: NamespaceSet, descriptor: SharedDescriptor)]

    /// The container's root while it is built from outside.
    private var root: RootDirectory?
    /// Where the label of the program to be executed is written; opened while /proc can be trusted.
    var labelFile: SharedDescriptor?
    /// What createContainer and startContainer hooks get to read.
    var createState: [UInt8] = []
    var startState: [UInt8] = []
    /// The environment of the program.
    var environment: [String] = []
    /// The working directory was entered before the change of user.
    var isInDirectory = false
    /// The path to execute.
    var executable = ""

    init(channel: InitChannel, plan: InitPlan, spec: RuntimeSpec, descriptors: [SharedDescriptor]) throws(SetupError) {
        self.channel = channel
        self.plan = plan
        self.spec = spec
        guard let process = spec.process else { throw SetupError("process is missing from the configuration") }
        self.process = process
        let streamCount = plan.hasStandardStreams ? 3 : 0
        let preservedCount = Int(plan.preservedCount)
        let pipeCount = plan.startsByPipes ? 2 : 0
        let stages = plan.stage?.joins ?? []
        guard descriptors.count == streamCount + preservedCount + plan.joins.count + stages.count + pipeCount else {
            throw SetupError("the launcher sent \(descriptors.count) descriptors and announced others")
        }
        standardStreams = Array(descriptors[..<streamCount])
        preserved = Array(descriptors[streamCount..<(streamCount + preservedCount)])
        startPipes = Array(descriptors.suffix(pipeCount))
        let others = descriptors[(streamCount + preservedCount)...]
        joins = zip(plan.joins, others).map { (NamespaceSet(rawValue: $0), $1) }
        stageJoins = zip(stages, others.dropFirst(plan.joins.count)).map { (NamespaceSet(rawValue: $0), $1) }
    }

    func setRoot(_ root: consuming RootDirectory) { self.root = consume root }

    /// Lends the root that is being built.
    func withRoot<R: ~Copyable, E: Error>(_ body: (borrowing RootDirectory) throws(E) -> R) throws(E) -> R {
        switch root {
        case .some(let root): return try body(root)
        case .none: preconditionFailure("the root is opened by the step before")
        }
    }

    func closeRoot() { root = nil }

    /// Says something that the specification wants to be logged and not to fail.
    func warn(_ text: String) { try? channel.send(.warning(text)) }
}

/// One step on the way, named for the trace and for reading.
struct SetupStep: Sendable {
    let name: String
    let run: @Sendable (InitProcess) throws(SetupError) -> Void
    init(_ name: String, _ run: @escaping @Sendable (InitProcess) throws(SetupError) -> Void) {
        self.name = name
        self.run = run
    }
}
