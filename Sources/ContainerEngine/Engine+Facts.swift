internal import ContainerRuntime
internal import Glibc
public import JSONText
internal import LinuxSystem
internal import OCISpec

extension Engine {
    /// What `inspect` shows: Docker's names, where there is a thing of that kind.
    public func inspection(_ folder: ContainerFolder) throws(EngineError) -> JSONValue {
        let view = view(folder)
        if view.status == .damaged { throw EngineError("container \(folder.id.prefix(12)) is damaged: \(view.problem)") }
        let (record, state) = (view.record, view.state)
        let spec = try folder.configuration()
        return Self.object([
            ("Id", .string(record.id)), ("Name", .string(record.name)), ("Created", .string(Timestamp.text(nanoseconds: record.created))),
            ("Path", .string(record.command.first ?? "")), ("Args", Self.strings(Array(record.command.dropFirst()))),
            ("State", Self.object([
                ("Status", .string(view.status.rawValue)), ("Running", .bool(view.isRunning)), ("Pid", .integer(Int64(view.isRunning ? state.pid : 0))),
                ("ExitCode", .integer(Int64(state.exitCode))), ("Error", .string(state.error)), ("StartedAt", Self.time(state.started)), ("FinishedAt", Self.time(state.finished)),
            ])),
            ("Image", .string(record.imageID)), ("ImageName", .string(record.image)), ("Rootfs", .string(spec.root?.path ?? record.rootfs)),
            ("OCIRuntime", .string(record.runtime.isEmpty ? standardRuntime : record.runtime)), ("Isolation", .string(view.isolation)),
            ("OCIConfigPath", .string(folder.configurationPath)), ("LogPath", .string(folder.logPath)),
            ("Mounts", .array(spec.mounts.compactMap { mount(folder, record, $0) })),
            ("Config", Self.config(record, spec)), ("HostConfig", Self.hostConfig(record, spec)),
        ])
    }

    private static func config(_ record: ContainerRecord, _ spec: RuntimeSpec) -> JSONValue {
        let process = spec.process ?? ProcessSpec()
        return object([
            ("Hostname", .string(spec.hostname ?? "")), ("User", .string("\(process.user.uid):\(process.user.gid)")), ("Env", strings(process.env)), ("Cmd", strings(record.command)),
            ("WorkingDir", .string(process.cwd)), ("Tty", .bool(record.terminal)), ("OpenStdin", .bool(record.interactive)),
            ("Labels", object(record.labels)), ("StopSignal", .string(SignalName.name(record.stopSignal))),
            ("StopTimeout", .integer(Int64(record.stopTimeout))),
        ])
    }

    private static func hostConfig(_ record: ContainerRecord, _ spec: RuntimeSpec) -> JSONValue {
        let resources = spec.linux?.resources
        return object([
            ("NetworkMode", .string(record.network)), ("AutoRemove", .bool(record.removesItself)), ("ReadonlyRootfs", .bool(spec.root?.readonly ?? false)),
            ("Memory", .integer(resources?.memory?.limit ?? 0)), ("MemorySwap", .integer(resources?.memory?.swap ?? 0)), ("CpuQuota", .integer(resources?.cpu?.quota ?? 0)),
            ("CpuShares", .integer(Int64(clamping: resources?.cpu?.shares ?? 0))), ("PidsLimit", .integer(resources?.pids?.limit ?? 0)),
            ("Capabilities", strings(spec.process?.capabilities?.bounding ?? [])), ("LogSize", .integer(record.logSize)), ("LogFiles", .integer(Int64(record.logFiles))),
            ("StorageOpt", storage(record)),
        ])
    }

    /// Empty unless something was asked for, as Docker has it.
    private static func storage(_ record: ContainerRecord) -> JSONValue {
        if record.upper == .shared { return object([]) }
        return object([("upper", .string(record.upper.rawValue))] + (record.upperSize > 0 ? [("size", .string("\(record.upperSize)"))] : []))
    }

    /// What somebody asked for; nil of the container's own files.
    private func mount(_ folder: ContainerFolder, _ record: ContainerRecord, _ mount: MountSpec) -> JSONValue? {
        guard mount.isBind, let source = mount.source, mount.destination != Conversion.initPlace else { return nil }
        let name = record.volumes.first { volumes.data($0) == source }
        let isAnonymous = source.hasPrefix(folder.path + "/volumes/")
        if source.hasPrefix(folder.path + "/") && !isAnonymous { return nil }
        return Self.object([("Type", .string(name != nil || isAnonymous ? "volume" : "bind"))] + (name.map { [("Name", .string($0))] } ?? []) + [
            ("Source", .string(source)), ("Destination", .string(mount.destination)), ("RW", .bool(!mount.options.contains("ro"))),
            ("Propagation", .string(mount.options.first(where: VolumeRequest.propagations.contains) ?? "")),
        ])
    }

    static func object(_ members: [(String, JSONValue)]) -> JSONValue {
        var object = JSONObject()
        for (name, value) in members { object[name] = value }
        return .object(object)
    }
    /// Labels, by name.
    static func object(_ texts: [String: String]) -> JSONValue { object(texts.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }) }

    private static func strings(_ texts: [String]) -> JSONValue { .array(texts.map { .string($0) }) }
    private static func time(_ nanoseconds: Int64) -> JSONValue { .string(nanoseconds == 0 ? "0001-01-01T00:00:00Z" : Timestamp.text(nanoseconds: nanoseconds)) }

    /// What `top` prints: the runtime's `ps`.
    public func processes(_ name: String, _ options: [String]) throws(EngineError) -> [UInt8] {
        let folder = try store.find(name)
        let view = view(folder)
        guard view.isRunning else { throw EngineError("container \(name) does not run: it has no processes") }
        return try runtime(of: view.record).succeed(["ps", folder.id] + options)
    }

    /// nacelle-oci's, on this process's streams.
    public func doctor(_ arguments: [String]) throws(EngineError) -> Int32 {
        let runtime = try OCIRuntime(OCIRuntime.ownName, folders: store.folders, surroundings)
        return try doing("cannot run \(runtime.path)") { () throws(SystemError) in
            let streams = try [0, 1, 2].map { (number: Int32) throws(SystemError) in SharedDescriptor(try OwnedDescriptor(duplicating: number)) }
            return try runtime.wait(runtime.start(["doctor"] + arguments, descriptors: streams)).shellCode
        }
    }

    /// What `info` shows.
    public func info() throws(EngineError) -> JSONValue {
        let views = try views()
        func count(_ status: ContainerView.Status...) -> JSONValue { .integer(Int64(views.filter { status.contains($0.status) }.count)) }
        let runtime = try? OCIRuntime(standardRuntime, folders: store.folders, surroundings)
        return Self.object([
            ("ServerVersion", .string(ProgramVersion.number)), ("Root", .string(store.folders.data)), ("Run", .string(store.folders.run)), ("ConfigurationFile", .string(configurationPath ?? "")),
            ("Driver", .string(try images.driverName())), ("OCIRuntime", .string(runtime?.path ?? "\(standardRuntime) (not found)")), ("DefaultIsolation", .string(defaultIsolation)),
            ("Containers", .integer(Int64(views.count))), ("ContainersRunning", count(.running, .starting, .unsupervised)), ("ContainersPaused", count(.paused)), ("ContainersStopped", count(.created, .exited, .damaged)),
            ("Images", .integer(Int64(try images.rows(shortened: true).count))), ("Volumes", .integer(Int64(try volumes.list().count))),
            ("KernelVersion", .string((try? GuestSystem.kernelRelease()) ?? "")), ("NCPU", .integer(Int64(sysconf(Int32(_SC_NPROCESSORS_ONLN))))), ("MemTotal", .integer(Int64(clamping: MachineSettings.hostMemory() << 20))),
        ])
    }

    public func versions() throws(EngineError) -> JSONValue {
        let runtime = try OCIRuntime(standardRuntime, folders: store.folders, surroundings)
        let text = String(decoding: try runtime.succeed(["--version"]), as: UTF8.self)
        return Self.object([("Version", .string(ProgramVersion.number)), ("Runtime", .string("\(runtime.path) (\(text.split(separator: "\n").joined(separator: ", ")))"))])
    }
}

/// Measures what containers use, from one time to the next.
public struct UsageMeter {
    private let engine: Engine
    /// Nanoseconds of processor time, and when they were read.
    private var last: [String: (used: UInt64, at: Int64)] = [:]

    public init(_ engine: Engine) { self.engine = engine }

    /// A row for each that runs. The part of a processor is since the last time, so the first time's is 0.
    @discardableResult
    public mutating func sample(_ folders: [ContainerFolder]) throws(EngineError) -> [JSONValue] {
        var rows: [JSONValue] = []
        for folder in folders {
            let record = try folder.record()
            let output: [UInt8]
            do throws(EngineError) { output = try engine.runtime(of: record).succeed(["events", "--stats", folder.id]) } catch {
                // It has ended since it was listed.
                if !engine.view(folder).isRunning { continue }
                throw error
            }
            let now = monotonicNanoseconds()
            let figures = try Self.figures(output)
            let before = last[folder.id]
            last[folder.id] = (figures.cpu.usage.total, now)
            let share = before.map { Double(figures.cpu.usage.total &- min($0.used, figures.cpu.usage.total)) / Double(max(1, now - $0.at)) * 100 } ?? 0
            rows.append(Self.row(record, figures, share))
        }
        return rows
    }

    private static func figures(_ output: [UInt8]) throws(EngineError) -> StatisticsSpec {
        do {
            guard let data = try JSONCursor(JSONValue(parsing: output)).object()["data"] else { throw JSONShapeError(path: "data", problem: "is missing") }
            return try StatisticsSpec.parse(data.value.bytes())
        } catch { throw EngineError("the runtime's figures cannot be read: \(error)") }
    }

    private static func row(_ record: ContainerRecord, _ figures: StatisticsSpec, _ share: Double) -> JSONValue {
        let memory = figures.memory.usage
        // Without a limit the kernel says some enormous number.
        let limit = memory.limit > 1 << 60 ? MachineSettings.hostMemory() << 20 : memory.limit
        func sum(_ word: String) -> UInt64 { figures.blkio.serviceBytes.filter { $0.op.lowercased() == word }.reduce(0) { $0 &+ $1.value } }
        return Engine.object([
            ("ID", .string(String(record.id.prefix(12)))), ("Name", .string(record.name)), ("CPUPerc", .string(HumanText.decimal(share, 2) + "%")),
            ("MemUsage", .string("\(HumanText.bytes(memory.usage)) / \(HumanText.bytes(limit))")),
            ("MemPerc", .string(HumanText.decimal(limit == 0 ? 0 : Double(memory.usage) / Double(limit) * 100, 2) + "%")),
            ("BlockIO", .string("\(HumanText.bytes(sum("read"))) / \(HumanText.bytes(sum("write")))")), ("PIDs", .integer(Int64(clamping: figures.pids.current))),
        ])
    }
}
