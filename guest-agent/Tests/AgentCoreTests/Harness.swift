import AgentCore
import AgentProtocol
import Glibc
import LinuxSystem
import Testing

/// What the streams between host and agent are in a test.
enum Transport: String, CaseIterable, CustomStringConvertible {
    case unixSocket, vsockLoopback
    var description: String { rawValue }

    /// Those that this machine has: vsock's loopback is in the testbed.
    static let available = allCases.filter { (try? $0.pair()) != nil }

    func pair() throws(SystemError) -> (host: SharedDescriptor, guest: SharedDescriptor) {
        switch self {
        case .unixSocket:
            let (host, guest) = try OwnedDescriptor.socketPair().split()
            return (host, guest)
        case .vsockLoopback:
            let (guest, host) = try OwnedDescriptor.vsockPair().split()
            return (host, guest)
        }
    }
}

/// A host in place of the VMM: it hands the agent socket pairs as "vsock" streams and keeps the other ends.
final class FakeHost {
    let loop: EventLoop
    let control: SharedDescriptor
    let agent: Agent
    let backend: SpawnBackend
    private var ports: [UInt32: SharedDescriptor] = [:]
    private var decoder = FrameDecoder()
    private(set) var replies: [(request: UInt32, reply: Reply)] = []
    private(set) var endReason: String??
    private(set) var wasShutDown = false

    init(ports wanted: [UInt32] = [], _ transport: Transport = .unixSocket) throws {
        signal(SIGPIPE, SIG_IGN)
        loop = try EventLoop()
        let (own, theirs) = try transport.pair()
        control = own
        try own.setNonBlocking(true)
        backend = SpawnBackend()
        var waiting: [UInt32: SharedDescriptor] = [:]
        for port in wanted {
            let (host, guest) = try transport.pair()
            try host.setNonBlocking(true)
            ports[port] = host
            waiting[port] = guest
        }
        let connection = try ControlConnection(theirs, loop: loop)
        // The connector hands each guest end out once, and the test keeps no copy of it.
        let box = Box(waiting)
        agent = Agent(control: connection, loop: loop, backend: backend) { (port) throws(SystemError) in
            guard let socket = box.value.removeValue(forKey: port) else { throw SystemError(.connectionReset, "connect") }
            return try socket.duplicate()
        }
        connection.onEnd = { [weak self] in self?.endReason = .some($0) }
        agent.onShutDown = { [weak self] in self?.wasShutDown = true }
    }

    func stream(_ port: UInt32) throws -> SharedDescriptor { try #require(ports[port]) }
    func closeStream(_ port: UInt32) { ports[port] = nil }

    func send(_ request: Request, _ identifier: UInt32) throws { try send(request.frame(request: identifier).encoded()) }
    func send(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            if case .bytes(let count) = control.writeSome(bytes, done..<bytes.count) { done += count } else { turn() }
        }
    }

    /// One turn of the loop, with what the signal descriptor would do.
    func turn() {
        _ = try? loop.runOnce(timeout: 5)
        for pid in backend.running {
            if let (pid, status) = (try? waitForProcess(pid, noHang: true)) ?? nil {
                backend.running.removeAll { $0 == pid }
                agent.ended(pid, status)
            }
        }
        var buffer = [UInt8](repeating: 0, count: 65536)
        while case .bytes(let count) = control.readSome(into: &buffer) { decoder.append(buffer[..<count]) }
        while let frame = try? decoder.next() {
            if let reply = try? Reply(frame) { replies.append((frame.request, reply)) }
        }
    }

    /// Turns until `condition` holds; a hang is a failure after many turns, not after a time.
    func turn(until condition: () -> Bool, _ what: Comment, limit: Int = 4000, at location: SourceLocation = #_sourceLocation) throws {
        for _ in 0..<limit {
            if condition() { return }
            turn()
        }
        try #require(condition(), what, sourceLocation: location)
    }

    func reply(to identifier: UInt32) throws -> Reply {
        try turn(until: { replies.contains { $0.request == identifier } }, "no reply to \(identifier)")
        return try #require(replies.first { $0.request == identifier }).reply
    }

    func exitStatus(of process: ProcessIdentifier) throws -> LinuxSystem.ExitStatus {
        func find() -> LinuxSystem.ExitStatus? {
            for case (0, .exited(process, let status)) in replies { return status }
            return nil
        }
        try turn(until: { find() != nil }, "no exit of \(process.rawValue)")
        return try #require(find())
    }

    /// Everything from a stream until its end.
    func readAll(_ port: UInt32) throws -> [UInt8] {
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        let socket = try stream(port)
        var ended = false
        try turn(until: {
            while !ended {
                switch socket.readSome(into: &buffer) {
                case .bytes(let count): result.append(contentsOf: buffer[..<count])
                case .wouldBlock: return false
                case .end, .failed: ended = true
                }
            }
            return ended
        }, "stream \(port) does not end", limit: 1_000_000)
        return result
    }
}

final class Box<Value> {
    var value: Value
    init(_ value: Value) { self.value = value }
}

/// Runs plans as shell scripts on this machine: what ContainerLaunch is in a guest.
final class SpawnBackend: ContainerBackend {
    private var script = ""
    var endsNamespace = false
    var terminal = false
    var running: [Int32] = []
    private var gate: SharedDescriptor?
    private(set) var signals: [Int32] = []

    func configure(plan: [UInt8]) throws(Failure) -> ProcessTraits {
        guard let text = String(validating: plan, as: UTF8.self) else { throw Failure(.other, "plan") }
        script = text
        return ProcessTraits(owner: (getuid(), getgid()), endsNamespace: endsNamespace, terminal: terminal)
    }

    func create(streams: ChildStreams?) throws(Failure) -> StartedProcess {
        do throws(SystemError) {
            let (readEnd, writeEnd) = try Pipe().split()
            gate = writeEnd
            return try spawn("read -r go <&3; exec 3<&-; \(script)", streams, gate: readEnd)
        } catch { throw Failure(.other, "\(error)") }
    }

    func start() throws(Failure) {
        let newline: [UInt8] = [10]
        if let gate { _ = gate.writeSome(newline, 0..<1) }
        gate = nil
    }

    func traits(processPlan: [UInt8]) throws(Failure) -> ProcessTraits {
        if processPlan.isEmpty { throw Failure(.executableNotFound, "exec: \"\": executable file not found in $PATH") }
        return ProcessTraits(owner: (getuid(), getgid()), endsNamespace: false, terminal: false)
    }

    func execute(processPlan: [UInt8], group: String, streams: ChildStreams?) throws(Failure) -> StartedProcess {
        do throws(SystemError) {
            return try spawn(String(decoding: processPlan, as: UTF8.self), streams, gate: nil)
        } catch { throw Failure(.other, "\(error)") }
    }

    private(set) var resources: [UInt8] = []
    /// How many were killed, and who is told.
    var kills: UInt64 = 0
    private var told: UInt64 = 0
    private var tell: (UInt64) -> Void = { _ in }

    func update(resources: [UInt8]) throws(Failure) {
        if resources.isEmpty { throw Failure(.unsupported, "cgroup: no") }
        self.resources = resources
    }
    func statistics() throws(Failure) -> [UInt8] { Array("{}".utf8) }
    private(set) var saves = 0
    func saveFiles() { saves += 1 }
    func watchOutOfMemory(_ loop: EventLoop, _ body: @escaping (UInt64) -> Void) throws(Failure) { tell = body }
    func checkOutOfMemory() {
        if kills > told { tell(kills) }
        told = kills
    }

    func processes() throws(Failure) -> [Int32] { running }
    func signalEveryProcess(_ number: Int32) throws(Failure) {
        for pid in running { kill(pid, number) }
    }

    private func spawn(_ script: String, _ streams: ChildStreams?, gate: SharedDescriptor?) throws(SystemError) -> StartedProcess {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var defaults = sigset_t()
        unsafe sigemptyset(&defaults)
        for number in [SIGPIPE, SIGINT, SIGQUIT, SIGHUP, SIGTERM] { unsafe sigaddset(&defaults, number) }
        var nothing = sigset_t()
        unsafe sigemptyset(&nothing)
        unsafe posix_spawnattr_setsigmask(&attributes, &nothing)
        unsafe posix_spawnattr_setsigdefault(&attributes, &defaults)
        var flags = Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK)
        var master: SharedDescriptor?
        if let streams {
            for (number, stream) in [streams.input, streams.output, streams.error].enumerated() {
                unsafe posix_spawn_file_actions_adddup2(&actions, stream.rawValue, Int32(number))
            }
        } else {
            let terminal = SharedDescriptor(try OwnedDescriptor(opening: "/dev/ptmx", flags: O_RDWR | O_NOCTTY))
            unlockpt(terminal.rawValue)
            var name = [CChar](repeating: 0, count: 64)
            unsafe ptsname_r(terminal.rawValue, &name, name.count)
            flags |= Int16(POSIX_SPAWN_SETSID)
            // The first terminal that a session leader opens becomes its controlling one.
            unsafe posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
            unsafe posix_spawn_file_actions_adddup2(&actions, 0, 1)
            unsafe posix_spawn_file_actions_adddup2(&actions, 0, 2)
            master = terminal
        }
        if let gate { unsafe posix_spawn_file_actions_adddup2(&actions, gate.rawValue, 3) }
        unsafe posix_spawnattr_setflags(&attributes, flags)
        var pid: pid_t = 0
        let words = ["/bin/sh", "-c", script]
        var arguments = unsafe words.map { unsafe strdup($0) } + [nil]
        defer { unsafe arguments.forEach { unsafe free($0) } }
        let result = unsafe posix_spawn(&pid, "/bin/sh", &actions, &attributes, &arguments, environ)
        if result != 0 { throw SystemError(Errno(rawValue: result), "posix_spawn") }
        running.append(pid)
        return StartedProcess(pid: pid, terminal: master)
    }
}

func fail(_ what: Comment, at location: SourceLocation = #_sourceLocation) { Issue.record(what, sourceLocation: location) }
