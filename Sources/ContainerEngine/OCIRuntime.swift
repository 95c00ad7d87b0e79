internal import ContainerRuntime
internal import Glibc
internal import JSONText
public import LinuxSystem
public import OCISpec

/// An OCI runtime, by its command line.
public struct OCIRuntime: Sendable {
    public static let ownName = "nacelle-oci"

    public let path: String
    /// Before the verb.
    private let globals: [String]
    private let environment: [String]
    public let isOwn: Bool

    /// - Parameters:
    ///   - name: a name or path; the own one is looked for beside this program first.
    ///   - isolation: for new containers.
    public init(_ name: String, folders: EngineFolders, isolation: String? = nil, _ surroundings: Surroundings) throws(EngineError) {
        let base = String(name.split(separator: "/").last ?? "")
        isOwn = base.hasPrefix(Self.ownName)
        let program = Components.programPath()
        let beside = String(program[..<(program.lastIndex(of: "/") ?? program.startIndex)]) + "/" + name
        guard let found = (name == Self.ownName ? surroundings.find(program: beside) : nil) ?? surroundings.find(program: name) else {
            throw EngineError("the OCI runtime \(quoted(name)) is not there: install it, or name another one's path by --runtime (nacelle-oci, runc, crun …)")
        }
        path = found
        if isolation != nil && !isOwn { throw EngineError("--isolation: only nacelle-oci has it; \(base) makes containers in namespaces") }
        globals = ["--root", folders.states(of: base)] + (isolation.map { ["--isolation", $0] } ?? [])
        environment = surroundings.environment
    }

    /// What a command left.
    public struct Outcome: Sendable {
        public var status: ExitStatus
        public var output: [UInt8]
        public var errors: String
    }

    /// What a verb may print at most, in bytes.
    private static let largestOutput = 16 << 20

    /// Runs a verb and waits for it. Standard input is empty.
    public func run(_ arguments: [String], log: String? = nil) throws(EngineError) -> Outcome {
        do throws(SystemError) {
            let output = try MemoryFile.make("output", [])
            let (status, errors) = try run(arguments, output: output, log: log)
            return Outcome(status: status, output: try Self.contents(output), errors: errors)
        } catch { throw EngineError("cannot run \(path)", error) }
    }

    /// Runs a verb with a standard output, or none, and waits for it.
    func run(_ arguments: [String], output: SharedDescriptor?, log: String? = nil) throws(SystemError) -> (status: ExitStatus, errors: String) {
        let errors = try MemoryFile.make("errors", [])
        let status = try wait(start(arguments, descriptors: [nil, output, errors], log: log))
        return (status, String(decoding: try Self.contents(errors), as: UTF8.self))
    }

    private static func contents(_ file: SharedDescriptor) throws(SystemError) -> [UInt8] {
        try file.with { (file) throws(SystemError) in try file.bytes(at: 0, count: Int(min(file.size(), Int64(largestOutput)))) }
    }

    /// Starts a verb with these descriptors as its 0, 1, 2 …
    func start(_ arguments: [String], descriptors: [SharedDescriptor?], log: String? = nil) throws(SystemError) -> Int32 {
        let logging = log.map { ["--log", $0, "--log-format", "json"] } ?? []
        return try ProgramStart.start(path, arguments: globals + logging + arguments, environment: environment, descriptors: descriptors, newSession: false)
    }

    func wait(_ pid: Int32) throws(SystemError) -> ExitStatus {
        guard let end = try waitForProcess(pid) else { throw SystemError(.noChild, "waitpid", path: "\(pid)") }
        return end.status
    }

    /// Runs a verb.
    /// - Throws: the runtime's own words when it fails.
    @discardableResult
    public func succeed(_ arguments: [String]) throws(EngineError) -> [UInt8] {
        let outcome = try run(arguments)
        guard outcome.status == .exited(0) else { throw Self.failure(outcome.errors, path: path) }
        return outcome.output
    }

    /// What a runtime complained of, with the status that engines make of it.
    static func failure(_ text: String, path: String) -> EngineError {
        let message = lastMessage(text)
        let lower = message.lowercased()
        let isAboutProgram = lower.contains("exec") || lower.contains("executable")
        var status = EngineError.ownFailure
        if isAboutProgram && (lower.contains("executable file not found") || lower.contains("no such file or directory")) { status = EngineError.notFound }
        if isAboutProgram && (lower.contains("permission denied") || lower.contains("exec format error") || lower.contains("is a directory")) { status = EngineError.cannotRun }
        return EngineError(message.isEmpty ? "\(path) failed without a word" : message, exitStatus: status)
    }

    /// The last error in a runtime's log or on its standard error, whichever form it has: JSON lines, logrus's text, or plain words.
    static func lastMessage(_ text: String) -> String {
        let lines = text.split(separator: "\n").map(String.init).filter { !$0.allSatisfy(\.isWhitespace) }
        func message(_ line: String) -> (isError: Bool, text: String)? {
            if line.hasPrefix("{"), let value = try? JSONValue(parsing: Array(line.utf8)), let members = try? JSONCursor(value).object(), let text = try? members["msg"]?.string() {
                return (["error", "fatal"].contains((try? members["level"]?.string()) ?? "error"), text)
            }
            if let range = line.firstRange(of: " msg="), line.contains("level=") {
                let rest = String(line[range.upperBound...])
                let text = rest.hasPrefix("\"") ? (try? JSONCursor(JSONValue(parsing: Array(rest.utf8))).string()) ?? rest : rest
                return (line.contains("level=error") || line.contains("level=fatal"), text)
            }
            return nil
        }
        let read = lines.map(message)
        if let error = read.last(where: { $0?.isError == true }), let text = error?.text { return text }
        // Of a command line that it does not take a program says how to write one, at length.
        if let line = lines.first(where: { $0.hasPrefix("Error: ") }) { return String(line.dropFirst(7)) }
        return lines.enumerated().filter { read[$0.offset] == nil }.last?.element ?? read.last??.text ?? ""
    }

    // MARK: Verbs

    /// nil when the runtime knows no such container.
    public func state(_ id: String) throws(EngineError) -> StateSpec? {
        let outcome = try run(["state", id])
        guard outcome.status == .exited(0) else {
            let lower = outcome.errors.lowercased()
            if lower.contains("does not exist") || lower.contains("no such file") || lower.contains("not found") { return nil }
            throw Self.failure(outcome.errors, path: path)
        }
        do throws(ConfigurationError) { return try StateSpec.parse(outcome.output) } catch { throw EngineError("\(path) state: \(error.reason)") }
    }

    /// What keeps a container apart from this host: `microvm` or `namespace`. All runtimes but our own have the latter.
    func isolation(_ id: String) throws(EngineError) -> String {
        guard isOwn else { return "namespace" }
        let text = try succeed(["state", id])
        let word = (try? JSONCursor(JSONValue(parsing: text)).object()["isolation"]?.string()) ?? nil
        guard let word else { throw EngineError("\(path) state: says no isolation") }
        return word
    }

    public func kill(_ id: String, _ signal: Int32) throws(EngineError) { try succeed(["kill", id, "\(signal)"]) }

    /// Ends it if it runs, and forgets it; no error when there is none.
    public func delete(_ id: String) throws(EngineError) {
        let outcome = try run(["delete", "--force", id])
        if outcome.status != .exited(0), try state(id) != nil { throw Self.failure(outcome.errors, path: path) }
    }
}
