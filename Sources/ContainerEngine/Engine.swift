internal import ContainerRuntime
internal import Glibc
internal import JSONText
public import LinuxSystem
internal import OCISpec

/// The engine: makes containers, starts and ends them, and knows what there is.
public struct Engine: Sendable {
    public let surroundings: Surroundings
    public let store: ContainerStore
    /// The runtime of new containers.
    public let standardRuntime: String
    public let standardLog: LogSettings
    public let images: Images
    /// The configuration file, which names registries too; nil when there is none.
    public let configurationPath: String?

    /// - Parameters:
    ///   - data: `--root`.
    ///   - configuration: a file instead of /etc/nacelle/config.toml.
    public init(data: String?, configuration: String?, _ surroundings: Surroundings) throws(EngineError) {
        let file: ConfigurationFile
        do throws(RuntimeError) { file = try ConfigurationFile.load(configuration.map(surroundings.absolute)) } catch { throw EngineError(error.message) }
        self.surroundings = surroundings
        store = ContainerStore(try EngineFolders.standard(surroundings, data: data ?? file.engine.root))
        standardRuntime = file.engine.runtime ?? OCIRuntime.ownName
        var log = LogSettings()
        if let size = file.engine.logSize { log.size = size }
        if let files = file.engine.logFiles { log.files = files }
        standardLog = log
        images = try Images(data: store.folders.data, driver: file.engine.storageDriver)
        configuredIsolation = file.isolation
        configurationPath = file.path
        (dataFlag, configurationFlag) = (data, configuration)
    }

    private let configuredIsolation: IsolationChoice?
    private let configurationFlag: String?
    private let dataFlag: String?

    func runtime(of record: ContainerRecord) throws(EngineError) -> OCIRuntime {
        try OCIRuntime(record.runtime.isEmpty ? standardRuntime : record.runtime, folders: store.folders, isolation: record.isolation, surroundings)
    }

    /// Where a container's root comes from.
    func roots(of record: ContainerRecord) -> any RootFilesystems { roots(isDirectory: !record.rootfs.isEmpty) }
    public func roots(isDirectory: Bool) -> any RootFilesystems { isDirectory ? DirectoryRoots(surroundings) : ImageRoots(images: images) }

    // MARK: Making

    /// Makes a container, which does not run yet.
    public func create(_ source: RootSource, _ options: ContainerOptions, roots: any RootFilesystems) throws(EngineError) -> ContainerFolder {
        try check(options)
        let (upper, upperSize) = try place(options, source)
        let runtime = try OCIRuntime(options.runtime ?? standardRuntime, folders: store.folders, isolation: options.isolation, surroundings)
        let stopSignal: Int32
        if let asked = options.stopSignal { stopSignal = asked } else { stopSignal = try imageStopSignal(source.settings) }
        // Before anything is there.
        let arguments = try Conversion(id: "", image: source.settings, options: options, rootfs: "", folder: "").arguments()
        let (folder, record) = try store.make(name: options.name) { (id, name) throws(EngineError) in
            var record = ContainerRecord()
            (record.id, record.name, record.created) = (id, name, realtimeNanoseconds())
            (record.image, record.imageID, record.rootfs, record.command) = (source.name, source.imageID, source.directory, arguments)
            (record.runtime, record.isolation) = (options.runtime.map { $0.contains("/") ? surroundings.absolute($0) : $0 } ?? standardRuntime, options.isolation)
            (record.terminal, record.interactive, record.removesItself) = (options.terminal, options.interactive, options.removesItself)
            record.labels = source.settings.labels.merging(options.labels) { _, own in own }
            (record.stopSignal, record.stopTimeout) = (stopSignal, options.stopTimeout)
            (record.logSize, record.logFiles) = (options.log.size, options.log.isKept ? options.log.files : 0)
            record.network = options.network.rawValue
            (record.upper, record.upperSize) = (upper, upperSize)
            record.volumes = Set(options.volumes.compactMap(\.name)).sorted()
            return record
        }
        do throws(EngineError) { try fill(folder, record, source, options, runtime, roots) } catch {
            // The reason counts, not what cannot be cleaned up, which `ps -a` shows and `rm -f` removes.
            try? discard(folder, record)
            throw error
        }
        return folder
    }

    private func imageStopSignal(_ settings: ImageSettings) throws(EngineError) -> Int32 {
        if settings.stopSignal.isEmpty { return SIGTERM }
        guard let number = SignalName.number(settings.stopSignal) else {
            throw EngineError("the image's stop signal \(quoted(settings.stopSignal)) is none: name another by --stop-signal")
        }
        return number
    }

    /// What the isolation does not allow, said before anything is made.
    private func check(_ options: ContainerOptions) throws(EngineError) {
        try options.resources.check()
        let runtime = options.runtime ?? standardRuntime
        guard let isolation = isolation(of: runtime, asked: options.isolation), isolation != "namespace" else { return }
        if !options.devices.isEmpty {
            throw EngineError("--device: a machine has devices of its own and gets none of this host's: add --isolation namespace, which shares the host's kernel with the container, or leave it out")
        }
        if options.network == .host {
            throw EngineError("--network host: a machine has no network but its own loopback: add --isolation namespace, which shares the host's kernel with the container, or leave the network out")
        }
    }

    /// nil for a runtime that has none to choose from.
    func isolation(of runtime: String, asked: String?) -> String? {
        guard runtime.split(separator: "/").last?.hasPrefix(OCIRuntime.ownName) == true else { return nil }
        return asked ?? (runtime.hasSuffix("-namespace") ? "namespace" : configuredIsolation?.rawValue ?? "microvm")
    }

    /// Of containers for which nobody says another.
    var defaultIsolation: String { isolation(of: standardRuntime, asked: nil) ?? "namespace" }

    /// Whether a container gets a machine, whatever this host can do.
    func hasMachine(_ record: ContainerRecord) -> Bool { isolation(of: record.runtime.isEmpty ? standardRuntime : record.runtime, asked: record.isolation) == "microvm" }

    private func fill(
        _ folder: ContainerFolder, _ record: ContainerRecord, _ source: RootSource, _ options: ContainerOptions, _ runtime: OCIRuntime, _ roots: any RootFilesystems
    ) throws(EngineError) {
        try roots.make(for: record.id, source)
        if record.upper != .shared { _ = try rootImages(folder, record) }
        if record.upper == .disk { try UpperDisk.make(folder.diskPath, size: record.upperSize) }
        let path = try roots.mount(record)
        let root = try doing("cannot open the root of container \(record.name)") { () throws(SystemError) in try OwnedDescriptor(opening: path, flags: O_PATH | O_DIRECTORY) }
        for volume in options.volumes { if let source = volume.source { try checkSource(source) } }
        var options = options
        for index in options.volumes.indices { options.volumes[index].source = try provide(options.volumes[index], root) }
        var conversion = Conversion(id: record.id, image: source.settings, options: options, rootfs: path, folder: folder.path)
        if surroundings.user != 0 {
            conversion.hasControlGroup = false
            if !runtime.isOwn || options.isolation == "namespace" || configuredIsolation == .namespace { try IDRanges.add(to: &conversion, user: surroundings.user) }
        }
        if options.hasInit { conversion.initProgram = try initProgram() }
        let spec = try conversion.spec(root: root)
        do throws(SystemError) {
            for name in options.names.files(options.network) {
                try writeFile(folder.path + "/" + name, options.names.contents(of: name, hostname: spec.hostname ?? "localhost", options.network), mode: 0o644)
            }
            try makeVolumes(conversion.anonymousVolumes, root, folder)
        } catch { throw EngineError("cannot make container \(record.name)", error) }
        try folder.replace("config.json", spec.json)
        try roots.unmount(record)
        try folder.save(ContainerState())
    }

    /// Of those that Debian has, the ones that need no library.
    private func initProgram() throws(EngineError) -> String {
        for name in ["catatonit", "tini-static", "docker-init"] { if let path = surroundings.find(program: name) { return path } }
        throw EngineError("--init: there is none on this host: install catatonit or tini, or use an image that has one as its entrypoint")
    }

    private func checkSource(_ path: String) throws(EngineError) {
        do throws(SystemError) { _ = try OwnedDescriptor(opening: path, flags: O_PATH) } catch {
            throw EngineError("--volume: the source \(path): \(error.errno): make it first")
        }
    }

    public var volumes: Volumes { Volumes(store) }

    /// Makes a named volume.
    /// - Returns: where the source lies; nil of an anonymous volume.
    private func provide(_ volume: VolumeRequest, _ root: borrowing OwnedDescriptor) throws(EngineError) -> String? {
        guard let name = volume.name else { return volume.source }
        let original: SharedDescriptor?
        do throws(SystemError) { original = volume.copies ? try Self.directory(volume.destination, in: root) : nil } catch { throw EngineError("cannot fill volume \(name)", error) }
        try volumes.provide(name, original: original)
        return volumes.data(name)
    }

    /// The image's directory at a volume's place, if it has one.
    private static func directory(_ path: String, in root: borrowing OwnedDescriptor) throws(SystemError) -> SharedDescriptor? {
        do throws(SystemError) {
            return SharedDescriptor(try OwnedDescriptor(opening: String(path.dropFirst()), beneath: root, flags: UInt64(O_PATH | O_DIRECTORY | O_CLOEXEC), resolve: Resolution.inRoot))
        } catch where [.noSuchFile, .notDirectory].contains(error.errno) { return nil }
    }

    /// Folders of the host in place of the image's, with what the image has there.
    private func makeVolumes(_ volumes: [(destination: String, source: String)], _ root: borrowing OwnedDescriptor, _ folder: ContainerFolder) throws(SystemError) {
        guard !volumes.isEmpty else { return }
        let own = try folder.open()
        try own.makeDirectory(try EntryName("volumes"), mode: 0o700)
        let parent = try own.openEntry(try EntryName("volumes"), flags: O_PATH | O_DIRECTORY)
        for volume in volumes {
            let name = try EntryName(String(volume.source.split(separator: "/").last ?? ""))
            try parent.makeDirectory(name, mode: 0o755)
            let target = try parent.openEntry(name, flags: O_PATH | O_DIRECTORY)
            guard let original = try Self.directory(volume.destination, in: root) else { continue }
            try TreeCopy.fill(target, with: original)
        }
    }

    // MARK: Starting

    /// Starts a container's supervisor, which starts the container.
    /// - Returns: with `attach` a connection that gets everything from the first byte on, and learns of a failure too. Without, the container runs.
    @discardableResult
    public func start(_ folder: ContainerFolder, attach: Bool) throws(EngineError) -> SharedDescriptor? {
        if folder.hasSupervisor { throw EngineError("container \(try folder.record().name) runs already") }
        let problem: String?
        do throws(SystemError) {
            let ends = try spawn(folder, attach: attach)
            if let connection = ends.connection {
                try connection.with { (end) throws(SystemError) in try end.writeAll(AttachMessage.hello(wantsOutput: true).bytes) }
                return connection
            }
            let text = try ends.answer.with { (end) throws(SystemError) in String(decoding: try end.readAll(limit: 1 << 20), as: UTF8.self) }
            problem = text == "ok" ? nil : text
        } catch { throw EngineError("cannot start the supervisor of container \(folder.id.prefix(12))", error) }
        guard let problem else { return nil }
        throw Self.reported(problem, folder)
    }

    /// Our ends alone stay open here, so that the supervisor's end is the end of the file.
    private func spawn(_ folder: ContainerFolder, attach: Bool) throws(SystemError) -> (answer: SharedDescriptor, connection: SharedDescriptor?) {
        let pipe = try Pipe().split()
        let log = SharedDescriptor(try OwnedDescriptor(opening: folder.supervisorLogPath, flags: O_WRONLY | O_CREAT | O_APPEND, mode: 0o600))
        let pair = attach ? try OwnedDescriptor.socketPair().split() : nil
        var arguments = dataFlag.map { ["--root", surroundings.absolute($0)] } ?? []
        arguments += configurationFlag.map { ["--config", surroundings.absolute($0)] } ?? []
        arguments += [Self.supervisorVerb, folder.id] + (attach ? ["attached"] : [])
        // In a session of its own; whoever takes orphans takes it when this process has ended.
        _ = try ProgramStart.start(
            Components.programPath(), name: "nacelle", arguments: arguments, environment: surroundings.environment,
            descriptors: [nil, nil, log, pipe.writeEnd] + (pair.map { [$0.second] } ?? []))
        return (pipe.readEnd, pair?.first)
    }

    public static let supervisorVerb = "_supervise"

    /// What a supervisor answers by its pipe.
    public static func answer(_ error: EngineError?) -> [UInt8] { Array((error.map { "\($0.exitStatus) \($0.message)" } ?? "ok").utf8) }

    private static func reported(_ text: String, _ folder: ContainerFolder) -> EngineError {
        let parts = text.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, let status = Int32(parts[0]) else {
            return EngineError("the supervisor of container \(folder.id.prefix(12)) ended without a word: look into \(folder.supervisorLogPath)")
        }
        return EngineError(String(parts[1]), exitStatus: status)
    }
}
