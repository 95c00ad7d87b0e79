internal import AgentProtocol
internal import ControlGroups
public import LinuxSystem
public import OCISpec

extension Container {
    /// Changes the limits of a container that was not stopped, and keeps them for later verbs.
    /// - Parameter resources: as an engine sends them: zeros mean that nothing is said.
    public func update(_ resources: ResourcesSpec) throws(RuntimeError) {
        let lock = try state.lock()
        defer { withExtendedLifetime(lock) {} }
        let record = try state.load()
        let status = status(record)
        guard status == .running || status == .created || status == .paused else { throw RuntimeError("container not running") }
        if status == .paused && record.isolation == .microVM { throw RuntimeError("container is paused") }
        var spec = try state.configuration()
        let change = resources.asChange
        let whole = (spec.linux?.resources ?? ResourcesSpec()).updated(by: change)
        if spec.linux == nil { spec.linux = LinuxSpec() }
        spec.linux?.resources = whole
        do throws(ConfigurationError) { try spec.validate() } catch { throw RuntimeError("\(error)") }
        try sandbox(record.isolation).update(LimitsUpdate(change: change.completed(from: whole), spec: spec), record)
        try state.save(configuration: spec)
    }

    /// What a container that was not stopped has used.
    public func statistics() throws(RuntimeError) -> StatisticsSpec {
        let record = try recordWithFigures()
        return try sandbox(record.isolation).statistics(record)
    }

    /// Reports what is killed for want of memory, as long as the container runs.
    public func outOfMemoryEvents() throws(RuntimeError) -> OutOfMemoryEvents {
        let record = try recordWithFigures()
        return try OutOfMemoryEvents(record, try sandbox(record.isolation).watchOutOfMemory(record))
    }

    private func recordWithFigures() throws(RuntimeError) -> ContainerRecord {
        let record = try state.load()
        let status = status(record)
        if status == .stopped || status == .creating { throw RuntimeError("container with id \(state.id) is not running") }
        if status == .paused && record.isolation == .microVM { throw RuntimeError("container is paused") }
        return record
    }
}

/// Kills for want of memory in one container, until it ends.
public final class OutOfMemoryEvents {
    enum Source {
        /// Its control group on this host.
        case group(OutOfMemoryWatch)
        /// Its machine, which was asked for the next one.
        case machine(ControlConnection)
    }

    private let source: Source
    private let process: ProcessDescriptor
    /// Whether the container's process has ended.
    public private(set) var hasEnded = false

    init(_ record: ContainerRecord, _ source: Source) throws(RuntimeError) {
        self.source = source
        do throws(SystemError) { process = try ProcessDescriptor(record.pid) } catch { throw RuntimeError("container with id \(record.id) is not running") }
        // The descriptor names one process for good; only now is it known that it is the right one.
        guard record.isAlive else { throw RuntimeError("container with id \(record.id) is not running") }
    }

    /// Calls back from `loop` for each, one that ends the container included.
    public func start(_ loop: EventLoop, _ body: @escaping () -> Void) throws(SystemError) {
        let (descriptor, interest): (Int32, Readiness) =
            switch source {
            case .group(let watch): (watch.rawValue, watch.interest)
            case .machine(let connection): (connection.rawValue, .readable)
            }
        try loop.add(descriptor, interest) { [unowned self] _ in if !take(body) { loop.remove(descriptor) } }
        try loop.add(process.descriptor.rawValue, .readable) { [unowned self] _ in
            _ = take(body)
            hasEnded = true
            loop.remove(process.descriptor.rawValue)
        }
    }

    /// Whether the container's process ends within so many milliseconds.
    public func waitForEnd(milliseconds: Int32) -> Bool { (try? waitReadable(process.descriptor.rawValue, milliseconds: milliseconds)) ?? false }

    /// False: there will be no more.
    private func take(_ body: () -> Void) -> Bool {
        switch source {
        case .group(let watch):
            if watch.take() { body() }
            return true
        case .machine(let connection):
            guard let replies = try? connection.receiveAvailable() else { return false }
            for case .outOfMemory(let kills) in replies {
                body()
                _ = try? connection.send(.outOfMemory(after: kills))
            }
            return true
        }
    }
}
