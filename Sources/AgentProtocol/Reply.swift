public import LinuxSystem

/// Why a request failed. `message` is final: what the user reads, worded as runc words it where engines match on it.
public struct Failure: Error, Equatable, Sendable {
    public enum Code: UInt16, Sendable {
        /// Anything without a code of its own.
        case other = 1
        /// The executable does not exist (engines make exit status 127 of it).
        case executableNotFound
        /// The executable exists and cannot be executed (126).
        case permissionDenied
        /// The container or process is not in a state that allows it.
        case invalidState
        /// There is no such process (it has ended, say).
        case noSuchProcess
        /// The request is understood and not supported.
        case unsupported
    }
    public var code: Code
    public var message: String
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}

/// A process in the guest, as `ps` shows it.
public struct ProcessEntry: Equatable, Sendable {
    /// The pid in the guest's root pid namespace.
    public var pid: Int32
    public var parent: Int32
    public var user: UInt32
    /// The command line, blanks between the arguments.
    public var command: String
    public init(pid: Int32, parent: Int32, user: UInt32, command: String) {
        self.pid = pid
        self.parent = parent
        self.user = user
        self.command = command
    }
}

/// What a container is doing, as the VMM knows it.
public enum ContainerPhase: UInt8, Sendable {
    /// The machine boots.
    case booting = 0
    /// The agent answers; no container yet.
    case ready
    /// The container is prepared; its process has not exec'd.
    case created
    case running
    case stopped
}

/// The answer to a request, or (with request 0) something that happened.
public enum Reply: Equatable, Sendable {
    case done
    /// The process exists; `pid` is the guest's.
    case created(pid: Int32)
    case processes([ProcessEntry])
    /// The process has ended. As an event from the agent it says which.
    case exited(process: ProcessIdentifier, status: ExitStatus)
    case state(phase: ContainerPhase, pid: Int32)
    case failed(Failure)
    /// What the container has used: `StatisticsSpec` as JSON.
    case statistics([UInt8])
    /// So many processes of the container were killed for want of memory since it was created. As an event from the agent: now there was one more.
    case outOfMemory(kills: UInt64)
    /// Event: the agent runs and takes requests. `release` is the guest kernel's (uname -r).
    case ready(release: String)
}

extension Reply {
    private enum Kind: UInt16 { case done = 0x8001, created, processes, exited, state, failed, ready, statistics, outOfMemory }

    public func frame(request: UInt32) -> Frame {
        var writer = ByteWriter()
        let kind: Kind
        switch self {
        case .done: kind = .done
        case .created(let pid):
            kind = .created
            writer.append(pid)
        case .processes(let entries):
            kind = .processes
            writer.append(UInt32(truncatingIfNeeded: entries.count))
            for entry in entries {
                writer.append(entry.pid)
                writer.append(entry.parent)
                writer.append(entry.user)
                writer.append(entry.command)
            }
        case .exited(let process, let status):
            kind = .exited
            writer.append(process.rawValue)
            switch status {
            case .exited(let code):
                writer.append(false)
                writer.append(Int32(code))
            case .signaled(let signal):
                writer.append(true)
                writer.append(signal)
            }
        case .state(let phase, let pid):
            kind = .state
            writer.append(phase.rawValue)
            writer.append(pid)
        case .failed(let failure):
            kind = .failed
            writer.append(failure.code.rawValue)
            writer.append(failure.message)
        case .statistics(let json):
            kind = .statistics
            writer.append(counted: json)
        case .outOfMemory(let kills):
            kind = .outOfMemory
            writer.append(kills)
        case .ready(let release):
            kind = .ready
            writer.append(release)
        }
        return Frame(kind: kind.rawValue, request: request, payload: writer.bytes)
    }

    public init(_ frame: Frame) throws(ProtocolError) {
        guard let kind = Kind(rawValue: frame.kind) else { throw .unknownKind(frame.kind) }
        var reader = ByteReader(frame.payload)
        switch kind {
        case .done: self = .done
        case .created: self = .created(pid: try reader.integer(Int32.self, "pid"))
        case .processes: self = .processes(try Reply.entries(from: &reader))
        case .exited:
            let process = try ProcessIdentifier(from: &reader)
            let bySignal = try reader.bool("exit kind")
            let value = try reader.integer(Int32.self, "exit value")
            guard (bySignal ? 1...64 : 0...255).contains(value) else { throw .invalid("exit value") }
            self = .exited(process: process, status: bySignal ? .signaled(value) : .exited(UInt8(value)))
        case .state:
            guard let phase = ContainerPhase(rawValue: try reader.integer(UInt8.self, "phase")) else { throw .invalid("phase") }
            self = .state(phase: phase, pid: try reader.integer(Int32.self, "pid"))
        case .failed:
            let code = Failure.Code(rawValue: try reader.integer(UInt16.self, "failure code")) ?? .other
            self = .failed(Failure(code, try reader.string("failure message")))
        case .statistics: self = .statistics(try reader.counted("statistics"))
        case .outOfMemory: self = .outOfMemory(kills: try reader.integer(UInt64.self, "kills"))
        case .ready: self = .ready(release: try reader.string("release"))
        }
        try reader.end()
    }

    private static func entries(from reader: inout ByteReader) throws(ProtocolError) -> [ProcessEntry] {
        let count = try reader.integer(UInt32.self, "process count")
        var entries: [ProcessEntry] = []
        for _ in 0..<count {  // ends at the first missing byte: the payload's length bounds it
            entries.append(ProcessEntry(
                pid: try reader.integer(Int32.self, "pid"), parent: try reader.integer(Int32.self, "parent"),
                user: try reader.integer(UInt32.self, "user"), command: try reader.string("command")))
        }
        return entries
    }
}
