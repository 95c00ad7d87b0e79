internal import Glibc
internal import JSONText
internal import LinuxSystem
public import OCISpec

/// What isolation costs: the same bundle through several runtimes in turn, by their command lines as engines call them.
///
/// Whoever measures becomes the reaper of orphans, so that a container's process is its child, as it is an engine's.
public final class Benchmark {
    /// A runtime, or one of its isolations.
    public struct Subject: Equatable, Sendable {
        public var runtime: String
        public var isolation: String?
        public var name: String { isolation.map { "\(runtime) (\($0))" } ?? runtime }
        public init(runtime: String, isolation: String? = nil) { (self.runtime, self.isolation) = (runtime, isolation) }
    }

    /// One subject's figures, a value a round: nanoseconds.
    public struct Result: Sendable {
        public var subject: Subject
        /// From `create` to the program's first byte; empty when the program writes nothing.
        public var firstByte: [Int64] = []
        /// From `create` to the end of `delete`.
        public var life: [Int64] = []
        public var exec: [Int64] = []
        /// Bytes: the proportional set size of all processes of a container that does nothing.
        public var memory: Int64 = 0
    }

    /// What was not measured, and why.
    public struct Omission: Equatable, Sendable {
        public var name: String
        public var reason: String
    }

    /// What the containers run.
    public struct Programs: Sendable {
        public var once: [String]
        public var idle: [String]
        public init(once: [String], idle: [String]) { (self.once, self.idle) = (once, idle) }
    }

    /// One container after the other of a subject, and one that does nothing meanwhile.
    private final class Lane {
        let runtime: OCIRuntime
        let bundle: String
        let (id, idleID): (String, String)
        var result: Result
        /// Of the container that does nothing.
        var processes: Set<Int32> = []
        init(_ runtime: OCIRuntime, bundle: String, id: String, _ subject: Subject) {
            (self.runtime, self.bundle, self.id, idleID) = (runtime, bundle, id, id + "-idle")
            result = Result(subject: subject)
        }
    }

    private let programs: Programs
    private let folder: String
    private let signals: SignalDescriptor
    private var lanes: [Lane] = []
    public private(set) var omissions: [Omission] = []

    /// - Parameter folder: a folder for bundles, which exists and is the caller's to remove.
    public init(_ programs: Programs, folder: String) throws(EngineError) {
        (self.programs, self.folder) = (programs, folder)
        do throws(SystemError) {
            // Asked for between the steps, so that nothing is left behind.
            try blockSignals([SIGINT, SIGTERM, SIGHUP])
            signals = try SignalDescriptor([SIGINT, SIGTERM, SIGHUP])
            try OwnProcess.setChildSubreaper(true)
        } catch { throw EngineError("bench", error) }
    }

    /// Measures. What fails is left out, and said by `omissions`.
    /// - Parameters:
    ///   - spec: of any of the containers, with an absolute root.
    ///   - rounds: after two that are not counted.
    public func run(_ subjects: [Subject], _ spec: RuntimeSpec, _ engine: Engine, rounds: Int) throws(EngineError) -> [Result] {
        defer { for lane in lanes { clear(lane) } }
        for (number, subject) in subjects.enumerated() {
            try attempt(subject.name) { () throws(EngineError) in
                let runtime = try OCIRuntime(subject.runtime, folders: engine.store.folders, isolation: subject.isolation, engine.surroundings)
                let lane = Lane(runtime, bundle: "\(folder)/\(number)", id: "nacelle-bench-\(getpid())-\(number)", subject)
                lanes.append(lane)
                try prepare(lane, spec)
            }
        }
        for lane in lanes where !isOmitted(lane) { lane.result.memory = lane.processes.reduce(0) { $0 + Self.memory(of: $1) } }
        for round in -2..<rounds {
            for lane in lanes where !isOmitted(lane) {
                try attempt(lane.result.subject.name) { () throws(EngineError) in try measure(lane, isCounted: round >= 0) }
            }
        }
        return lanes.filter { !isOmitted($0) }.map(\.result)
    }

    private func isOmitted(_ lane: Lane) -> Bool { omissions.contains { $0.name == lane.result.subject.name } }

    private func attempt(_ name: String, _ body: () throws(EngineError) -> Void) throws(EngineError) {
        do throws(EngineError) { try body() } catch { omissions.append(Omission(name: name, reason: error.message)) }
        if let number = signals.next() { throw EngineError("bench: interrupted", exitStatus: 128 + number) }
    }

    // MARK: Steps

    /// Writes the bundles, and starts the container that does nothing.
    private func prepare(_ lane: Lane, _ spec: RuntimeSpec) throws(EngineError) {
        for (path, id, words) in [(lane.bundle, lane.id, programs.once), (lane.bundle + "-idle", lane.idleID, programs.idle)] {
            var spec = spec
            spec.process?.args = words
            if spec.linux?.cgroupsPath != nil { spec.linux?.cgroupsPath = "/" + id }
            do throws(SystemError) {
                try makeFolders(path)
                try writeFile(path + "/config.json", spec.json.bytes(), mode: 0o600)
            } catch { throw EngineError("bench: cannot make a bundle", error) }
        }
        let before = Self.descendants()
        _ = try begin(lane, bundle: lane.bundle + "-idle", id: lane.idleID, output: nil)
        lane.processes = Self.descendants().subtracting(before)
    }

    /// Creates and starts a container.
    /// - Returns: the process that stands for it.
    private func begin(_ lane: Lane, bundle: String, id: String, output: SharedDescriptor?) throws(EngineError) -> Int32 {
        try step(lane, ["create", "--bundle", bundle, "--pid-file", bundle + "/pid", id], output)
        try step(lane, ["start", id], nil)
        return try doing("bench") { () throws(SystemError) in Int32(String(decoding: try readFile(bundle + "/pid", limit: 64), as: UTF8.self).filter { !$0.isWhitespace }) ?? 0 }
    }

    /// One command of the runtime.
    private func step(_ lane: Lane, _ arguments: [String], _ output: SharedDescriptor?) throws(EngineError) {
        let (status, errors) = try doing("cannot run \(lane.runtime.path)") { () throws(SystemError) in try lane.runtime.run(arguments, output: output) }
        if status != .exited(0) { throw OCIRuntime.failure(errors, path: lane.runtime.path) }
    }

    /// A round: a container's whole life, then a further program in the one that does nothing.
    private func measure(_ lane: Lane, isCounted: Bool) throws(EngineError) {
        let start = monotonicNanoseconds()
        let first = try live(lane)
        try lane.runtime.delete(lane.id)
        let end = monotonicNanoseconds()
        let before = monotonicNanoseconds()
        try step(lane, ["exec", lane.idleID] + programs.once, nil)
        let after = monotonicNanoseconds()
        // Who became an orphan and has ended.
        while (try? waitForProcess(-1, noHang: true)) != nil {}
        guard isCounted else { return }
        lane.result.life.append(end - start)
        lane.result.exec.append(after - before)
        if let first { lane.result.firstByte.append(first - start) }
    }

    /// - Returns: when its first byte came.
    private func live(_ lane: Lane) throws(EngineError) -> Int64? {
        let (output, pid) = try started(lane)
        return try doing("\(lane.result.subject.name)") { () throws(SystemError) in
            var first: Int64?
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                guard try waitReadable(output.rawValue, milliseconds: 60_000) else { throw SystemError(.timedOut, "the program's end") }
                if try output.with({ (output) throws(SystemError) in try output.read(into: &buffer) }) == 0 { break }
                if first == nil { first = monotonicNanoseconds() }
            }
            if pid > 0 { _ = try waitForProcess(pid) }
            return first
        }
    }

    /// With the reading end of its output alone, so that its end is the end of the file.
    private func started(_ lane: Lane) throws(EngineError) -> (SharedDescriptor, Int32) {
        let pipe = try doing("bench") { () throws(SystemError) in try Pipe() }.split()
        return (pipe.readEnd, try begin(lane, bundle: lane.bundle, id: lane.id, output: pipe.writeEnd))
    }

    /// Leaves nothing, whatever state it is in.
    private func clear(_ lane: Lane) {
        for id in [lane.id, lane.idleID] {
            do throws(EngineError) { try lane.runtime.delete(id) } catch { omissions.append(Omission(name: lane.result.subject.name, reason: "its container \(id) is still there: \(error)")) }
        }
        while (try? waitForProcess(-1, noHang: true)) != nil {}
    }

    // MARK: Processes

    /// All processes that this one has brought about.
    private static func descendants() -> Set<Int32> {
        guard let names = try? OwnedDescriptor(opening: "/proc", flags: O_RDONLY | O_DIRECTORY).entryNames() else { return [] }
        var children: [Int32: [Int32]] = [:]
        for pid in names.compactMap({ Int32(String(decoding: $0.bytes, as: UTF8.self)) }) {
            if let fields = processFields(pid), fields.count > 1, let parent = Int32(String(decoding: fields[1], as: UTF8.self)) { children[parent, default: []].append(pid) }
        }
        var (found, next): (Set<Int32>, [Int32]) = ([], [getpid()])
        while let pid = next.popLast() { for child in children[pid] ?? [] where found.insert(child).inserted { next.append(child) } }
        return found
    }

    /// The proportional set size in bytes; 0 of one that has ended.
    private static func memory(of pid: Int32) -> Int64 {
        guard let text = try? readFile("/proc/\(pid)/smaps_rollup", limit: 65536) else { return 0 }
        for line in String(decoding: text, as: UTF8.self).split(separator: "\n") where line.hasPrefix("Pss:") {
            return (line.split(separator: " ").dropFirst().first.flatMap { Int64($0) } ?? 0) * 1024
        }
        return 0
    }
}
