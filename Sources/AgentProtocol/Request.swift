/// A process of the container. The container's own is `.container` (0).
///
/// Between VMM and agent the VMM numbers the others. Between runtime and VMM a number is the requester's choice in its `exec`
/// and means that process on the same connection only.
public struct ProcessIdentifier: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let container = ProcessIdentifier(rawValue: 0)
}

/// Columns and rows of a terminal, in characters.
public struct TerminalSize: Equatable, Sendable {
    public var columns: UInt16
    public var rows: UInt16
    public init(columns: UInt16, rows: UInt16) {
        self.columns = columns
        self.rows = rows
    }
}

/// How a process's standard streams travel.
///
/// Between VMM and agent these are the host's vsock ports that the agent connects to, one stream each; 0 means /dev/null.
/// With a terminal there is one bidirectional stream, `input`.
/// Between runtime and VMM the ports are 0 and the descriptors come with the message: three, or the one terminal.
public struct ProcessStreams: Equatable, Sendable {
    public var terminal: Bool
    /// The terminal's initial size, when there is one.
    public var size: TerminalSize
    public var input: UInt32
    public var output: UInt32
    public var error: UInt32

    public init(terminal: Bool, size: TerminalSize = TerminalSize(columns: 0, rows: 0), input: UInt32 = 0, output: UInt32 = 0, error: UInt32 = 0) {
        self.terminal = terminal
        self.size = size
        self.input = input
        self.output = output
        self.error = error
    }
}

/// What one end asks of the other. Every request is answered by exactly one `Reply`.
public enum Request: Equatable, Sendable {
    /// Prepare the container and its process, up to the point before exec. `plan` is the guest's config.json (UTF-8 JSON). Reply: `.created`.
    case create(plan: [UInt8], streams: ProcessStreams)
    /// Let the container's process exec. Reply: `.done`, or `.failed` with the reason why it cannot be executed.
    case start
    /// Run another process in the container. `plan` is the specification's process object as JSON; `group` a control group below the
    /// container's, or empty. Reply: `.created` when it has exec'd.
    case exec(process: ProcessIdentifier, plan: [UInt8], group: String, streams: ProcessStreams)
    /// Send a signal to a process, or to every process of the container. Reply: `.done`.
    case signal(process: ProcessIdentifier, number: Int32, everyProcess: Bool)
    /// Change a terminal's size. Reply: `.done`.
    case resize(process: ProcessIdentifier, size: TerminalSize)
    /// Reply: `.processes`.
    case listProcesses
    /// Change the container's limits. `resources` is the specification's linux.resources as JSON, with what changes. Reply: `.done`.
    case update(resources: [UInt8])
    /// Reply: `.statistics`.
    case statistics
    /// Runtime to VMM only: reply `.outOfMemory` when more than so many processes were killed for want of memory; nil: at once.
    case outOfMemory(after: UInt64?)
    /// Runtime to VMM only: reply `.exited` when the process has ended.
    case wait(process: ProcessIdentifier)
    /// Runtime to VMM only: reply `.state`.
    case state
    /// End the machine at once; the VMM exits. Reply: `.done` if it can still be sent.
    case shutDown
}

extension Request {
    private enum Kind: UInt16 { case create = 1, start, exec, signal, resize, listProcesses, wait, state, shutDown, update, statistics, outOfMemory }

    public func frame(request: UInt32) -> Frame {
        var writer = ByteWriter()
        let kind: Kind
        switch self {
        case .create(let plan, let streams):
            kind = .create
            writer.append(counted: plan)
            streams.write(to: &writer)
        case .start: kind = .start
        case .exec(let process, let plan, let group, let streams):
            kind = .exec
            writer.append(process.rawValue)
            writer.append(counted: plan)
            writer.append(group)
            streams.write(to: &writer)
        case .signal(let process, let number, let everyProcess):
            kind = .signal
            writer.append(process.rawValue)
            writer.append(number)
            writer.append(everyProcess)
        case .resize(let process, let size):
            kind = .resize
            writer.append(process.rawValue)
            size.write(to: &writer)
        case .listProcesses: kind = .listProcesses
        case .update(let resources):
            kind = .update
            writer.append(counted: resources)
        case .statistics: kind = .statistics
        case .outOfMemory(let after):
            kind = .outOfMemory
            writer.append(after != nil)
            writer.append(after ?? 0)
        case .wait(let process):
            kind = .wait
            writer.append(process.rawValue)
        case .state: kind = .state
        case .shutDown: kind = .shutDown
        }
        return Frame(kind: kind.rawValue, request: request, payload: writer.bytes)
    }

    public init(_ frame: Frame) throws(ProtocolError) {
        guard let kind = Kind(rawValue: frame.kind) else { throw .unknownKind(frame.kind) }
        var reader = ByteReader(frame.payload)
        switch kind {
        case .create:
            self = .create(plan: try reader.counted("plan"), streams: try ProcessStreams(from: &reader))
        case .start: self = .start
        case .exec:
            self = .exec(
                process: try ProcessIdentifier(from: &reader), plan: try reader.counted("plan"), group: try reader.string("group"),
                streams: try ProcessStreams(from: &reader))
        case .signal:
            self = .signal(process: try ProcessIdentifier(from: &reader), number: try reader.integer(Int32.self, "signal"), everyProcess: try reader.bool("everyProcess"))
        case .resize:
            self = .resize(process: try ProcessIdentifier(from: &reader), size: try TerminalSize(from: &reader))
        case .listProcesses: self = .listProcesses
        case .update: self = .update(resources: try reader.counted("resources"))
        case .statistics: self = .statistics
        case .outOfMemory:
            let hasCount = try reader.bool("after")
            let count = try reader.integer(UInt64.self, "count")
            guard hasCount || count == 0 else { throw .invalid("count") }
            self = .outOfMemory(after: hasCount ? count : nil)
        case .wait: self = .wait(process: try ProcessIdentifier(from: &reader))
        case .state: self = .state
        case .shutDown: self = .shutDown
        }
        try reader.end()
    }
}

extension ProcessIdentifier {
    init(from reader: inout ByteReader) throws(ProtocolError) { rawValue = try reader.integer(UInt32.self, "process") }
}

extension TerminalSize {
    func write(to writer: inout ByteWriter) {
        writer.append(columns)
        writer.append(rows)
    }
    init(from reader: inout ByteReader) throws(ProtocolError) {
        columns = try reader.integer(UInt16.self, "columns")
        rows = try reader.integer(UInt16.self, "rows")
    }
}

extension ProcessStreams {
    func write(to writer: inout ByteWriter) {
        writer.append(terminal)
        size.write(to: &writer)
        for port in [input, output, error] { writer.append(port) }
    }
    init(from reader: inout ByteReader) throws(ProtocolError) {
        terminal = try reader.bool("terminal")
        size = try TerminalSize(from: &reader)
        input = try reader.integer(UInt32.self, "input")
        output = try reader.integer(UInt32.self, "output")
        error = try reader.integer(UInt32.self, "error")
    }
}
