import AgentProtocol
import LinuxSystem

/// One of every request, and the extremes of their fields.
let requests: [Request] = [
    .create(plan: [], streams: ProcessStreams(terminal: false)),
    .create(
        plan: Array("{\"ociVersion\": \"1.0.2\"}".utf8),
        streams: ProcessStreams(terminal: true, size: TerminalSize(columns: .max, rows: 0), input: .max, output: 1, error: 0x1_0000)),
    .start,
    .exec(process: ProcessIdentifier(rawValue: .max), plan: [0, 255], group: "", streams: ProcessStreams(terminal: false, input: 1, output: 2, error: 3)),
    .exec(process: ProcessIdentifier(rawValue: 1), plan: [], group: "a/ä", streams: ProcessStreams(terminal: true)),
    .signal(process: .container, number: 9, everyProcess: true),
    .signal(process: ProcessIdentifier(rawValue: 7), number: .min, everyProcess: false),
    .resize(process: .container, size: TerminalSize(columns: 80, rows: 24)),
    .listProcesses,
    .update(resources: []), .update(resources: Array("{\"pids\": {\"limit\": 5}}".utf8)),
    .statistics,
    .outOfMemory(after: nil), .outOfMemory(after: 0), .outOfMemory(after: .max),
    .wait(process: ProcessIdentifier(rawValue: 3)),
    .state,
    .shutDown,
]

/// One of every reply, and the extremes of their fields.
let replies: [Reply] = [
    .done,
    .created(pid: 1), .created(pid: .max),
    .processes([]),
    .processes([
        ProcessEntry(pid: 12, parent: 1, user: 0, command: "sleep 60"),
        ProcessEntry(pid: .max, parent: .min, user: .max, command: "ä\u{0}\n"),
    ]),
    .exited(process: .container, status: .exited(0)), .exited(process: .container, status: .exited(255)),
    .exited(process: ProcessIdentifier(rawValue: 9), status: .signaled(1)), .exited(process: .container, status: .signaled(64)),
    .state(phase: .booting, pid: 0), .state(phase: .stopped, pid: -1),
    .failed(Failure(.executableNotFound, "exec: \"nope\": executable file not found in $PATH")), .failed(Failure(.unsupported, "")),
    .statistics([]), .statistics([0, 255]),
    .outOfMemory(kills: 0), .outOfMemory(kills: .max),
    .ready(release: "6.1.0"),
]

/// The same sequence in every run.
struct Sequence64: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }
}
