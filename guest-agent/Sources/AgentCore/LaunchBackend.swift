public import AgentProtocol
internal import ContainerLaunch
internal import ControlGroups
internal import JSONText
public import LinuxSystem
internal import OCISpec

/// The container of a guest, made by ContainerLaunch.
public final class LaunchBackend: ContainerBackend {
    private static let controlGroup = "/container"
    private let initProgram: String
    private let log: (String) -> Void
    private var launcher: ContainerLauncher?
    private var container: LaunchedContainer?
    /// The file system of a disk that the container writes to.
    private var disk: SharedDescriptor?
    private var outOfMemory: (watch: OutOfMemoryWatch, body: (UInt64) -> Void)?

    /// - Parameters:
    ///   - initProgram: the path of nacelle-init.
    ///   - log: takes what is worth knowing and no failure.
    public init(initProgram: String = WellKnown.guestInitPath, log: @escaping (String) -> Void) {
        self.initProgram = initProgram
        self.log = log
    }

    public func configure(plan: [UInt8]) throws(Failure) -> ProcessTraits {
        var spec: RuntimeSpec
        do throws(ConfigurationError) { spec = try RuntimeSpec.parse(plan).spec } catch { throw Failure(.other, "\(error)") }
        guard let process = spec.process else { throw Failure(.other, "config.json: process: missing") }
        // A guest has one container, whatever place the host's groups have for it.
        if spec.linux == nil { spec.linux = LinuxSpec() }
        spec.linux?.cgroupsPath = LaunchBackend.controlGroup
        if let text = spec.annotations[WellKnown.rootAnnotation] {
            guard let layout = RootLayout(text) else { throw Failure(.other, "\(WellKnown.rootAnnotation): \(text): is no root's layout") }
            do throws(SystemError) { disk = try GuestRoot.mount(layout) } catch { throw Failure(.other, "the container's root cannot be put together: \(error)") }
        }
        let launcher = ContainerLauncher(plan: spec, identifier: "container", initProgram: initProgram)
        if let text = spec.annotations[WellKnown.stateAnnotation] {
            let known: StateSpec
            do throws(ConfigurationError) { known = try StateSpec.parse(Array(text.utf8)) } catch { throw Failure(.other, "\(error)") }
            launcher.hookState = { (pid, status) in
                var state = known
                (state.pid, state.status) = (Int(pid), status)
                return state
            }
        }
        self.launcher = launcher
        return ProcessTraits(process, linux: spec.linux, isFirst: true)
    }

    public func create(streams: ChildStreams?) throws(Failure) -> StartedProcess {
        guard let launcher else { throw Failure(.invalidState, "there is no configuration yet") }
        do throws(LaunchError) {
            let container = try launcher.create(streams: LaunchBackend.streams(streams))
            self.container = container
            return started(container.process)
        } catch { throw Failure(error) }
    }

    public func start() throws(Failure) {
        do throws(LaunchError) { try existing().start() } catch { throw Failure(error) }
    }

    public func traits(processPlan: [UInt8]) throws(Failure) -> ProcessTraits {
        ProcessTraits(try LaunchBackend.process(processPlan), linux: launcher?.plan.linux, isFirst: false)
    }

    public func execute(processPlan: [UInt8], group: String, streams: ChildStreams?) throws(Failure) -> StartedProcess {
        let process = try LaunchBackend.process(processPlan)
        do throws(LaunchError) {
            return started(try existing().exec(process: process, streams: LaunchBackend.streams(streams), subgroups: group.isEmpty ? [:] : ["": group]))
        } catch { throw Failure(error) }
    }

    public func processes() throws(Failure) -> [Int32] {
        guard let container else { return [] }
        do throws(LaunchError) { return try container.processes() } catch { throw Failure(error) }
    }

    public func signalEveryProcess(_ number: Int32) throws(Failure) {
        do throws(LaunchError) { try existing().signalEveryProcess(number) } catch { throw Failure(error) }
    }

    public func update(resources: [UInt8]) throws(Failure) {
        let change: ResourcesSpec
        do throws(ConfigurationError) { change = try ResourcesSpec.parse(resources).resources } catch { throw Failure(.other, "\(error)") }
        do throws(LaunchError) { try existing().update(change) } catch { throw Failure(error) }
    }

    public func statistics() throws(Failure) -> [UInt8] {
        do throws(LaunchError) { return try existing().statistics().json.bytes() } catch { throw Failure(error) }
    }

    public func watchOutOfMemory(_ loop: EventLoop, _ body: @escaping (UInt64) -> Void) throws(Failure) {
        do throws(LaunchError) { outOfMemory = (try existing().watchOutOfMemory(), body) } catch { throw Failure(error) }
        guard let watch = outOfMemory?.watch else { return }
        do throws(SystemError) {
            try loop.add(watch.rawValue, watch.interest) { [weak self] _ in self?.checkOutOfMemory() }
        } catch { throw Failure(.other, "\(error)") }
    }

    public func checkOutOfMemory() {
        if let outOfMemory, outOfMemory.watch.take() { outOfMemory.body(outOfMemory.watch.kills) }
    }

    public func saveFiles() {
        do throws(SystemError) { try disk?.with { (disk) throws(SystemError) in try disk.synchronizeFileSystem() } } catch { log("the container's disk: \(error)") }
    }

    private func existing() throws(LaunchError) -> LaunchedContainer {
        guard let container else { throw LaunchError(.invalidState, "there is no container yet") }
        return container
    }

    private func started(_ process: LaunchedProcess) -> StartedProcess {
        for warning in process.warnings { log(warning) }
        return StartedProcess(pid: process.pid, terminal: process.terminal)
    }

    private static func process(_ plan: [UInt8]) throws(Failure) -> ProcessSpec {
        do throws(ConfigurationError) { return try ProcessSpec.parse(plan).process } catch { throw Failure(.other, "\(error)") }
    }

    private static func streams(_ streams: ChildStreams?) -> LaunchStreams {
        guard let streams else { return .terminal() }
        return LaunchStreams(input: streams.input, output: streams.output, error: streams.error)
    }
}

extension Failure {
    /// The same reason in the protocol's words.
    init(_ error: LaunchError) { self.init(error.code, error.message) }
}
