// Stands in for nacelle-vmm in tests of the runtime: the same descriptors and protocol, no machine. What it does is said by the
// words of the description's `cmdline` (annotation dev.nacelle.cmdline), so each test can have it fail where it wants.

import AgentProtocol
import Glibc
import JSONText
import LinuxSystem
import OCISpec

/// What the test wants to happen.
struct Scenario {
    private let words: [String]
    init(_ description: String) {
        let line = description.split(separator: "\n").first { $0.hasPrefix("cmdline=") }?.dropFirst("cmdline=".count) ?? ""
        words = line.split(separator: " ").map(String.init)
    }
    func has(_ word: String) -> Bool { words.contains(word) }
    func number(_ key: String) -> Int32? { words.first { $0.hasPrefix(key + "=") }.flatMap { Int32($0.dropFirst(key.count + 1)) } }
}

final class Client {
    let socket: SharedDescriptor
    var decoder = FrameDecoder()
    var descriptors: [SharedDescriptor] = []
    init(_ socket: consuming OwnedDescriptor) { self.socket = SharedDescriptor(socket) }

    func reply(_ reply: Reply, to request: UInt32) {
        socket.with { socket in try? socket.writeAll(reply.frame(request: request).encoded()) }
    }
}

final class FakeMachine {
    private let loop: EventLoop
    private let control = OwnedDescriptor(owning: 3)
    private let log = SharedDescriptor(OwnedDescriptor(owning: 5))
    private let scenario: Scenario
    private var clients: [ObjectIdentifier: Client] = [:]
    private var creator: Client?
    private var phase = ContainerPhase.ready
    private var streams: [SharedDescriptor] = []
    /// The status of each exec'd process that has ended, by connection; and who waits for those that have not.
    private var ended: [ObjectIdentifier: ExitStatus] = [:]
    private var waiting: [ObjectIdentifier: UInt32] = [:]
    /// How many processes were killed for want of memory, and who waits for one more.
    private var kills: UInt64 = 2
    private var watchers: [(client: Client, request: UInt32)] = []

    init(_ scenario: Scenario) throws {
        self.scenario = scenario
        loop = try EventLoop()
    }

    func run() throws -> Never {
        if scenario.has("say-and-die") {
            log.with { log in try? log.writeAll(Array("warning: first\nerror: vmlinux: is not an ELF file\n".utf8)) }
            exit(1)
        }
        if scenario.has("die-at-once") { exitProcess(as: .signaled(SIGKILL)) }
        try loop.add(control.rawValue, .readable) { [self] _ in
            if let socket = try? control.accept() { add(Client(socket)) }
        }
        try loop.run()
        exit(1)
    }

    private func add(_ client: Client) {
        // The runtime connects before this process starts, so the first is the one that creates.
        if creator == nil { creator = client }
        clients[ObjectIdentifier(client)] = client
        try? loop.add(client.socket.rawValue, .readable) { [unowned self, unowned client] _ in receive(client) }
    }

    private func receive(_ client: Client) {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = client.socket.with { socket in (try? socket.receive(into: &buffer, descriptors: &client.descriptors)) ?? 0 }
        if count == 0 {
            loop.remove(client.socket.rawValue)
            let key = ObjectIdentifier(client)
            (clients[key], ended[key], waiting[key]) = (nil, nil, nil)
            watchers.removeAll { $0.client === client }
            if client === creator && phase == .ready { exit(1) }
            return
        }
        client.decoder.append(buffer[..<count])
        while let frame = try? client.decoder.next(), let request = try? Request(frame) { handle(client, frame.request, request) }
    }

    private func handle(_ client: Client, _ number: UInt32, _ request: Request) {
        let key = ObjectIdentifier(client)
        switch request {
        case .create: create(client, number)
        case .start: start(client, number)
        case .state: if !scenario.has("deaf") { client.reply(.state(phase: phase, pid: 7), to: number) }
        case .signal(.container, let signal, _):
            if scenario.has("deaf") { return }
            client.reply(.done, to: number)
            if signal == SIGUSR1 { return write("got USR1\n") }
            exitProcess(as: .signaled(signal))
        case .signal(_, let signal, _):
            client.reply(.done, to: number)
            finish(key, .signaled(signal))
        case .exec(_, let plan, let group, _): exec(client, number, plan, group)
        case .wait(let process):
            if let status = ended[key] { client.reply(.exited(process: process, status: status), to: number) } else { waiting[key] = number }
        case .resize: client.reply(.done, to: number)
        case .listProcesses: client.reply(.processes([ProcessEntry(pid: 40, parent: 1, user: 1000, command: "sleep 1000")]), to: number)
        case .update(let resources): update(client, number, resources)
        case .statistics: statistics(client, number)
        case .outOfMemory(let after):
            if let after, after >= kills { watchers.append((client, number)) } else { client.reply(.outOfMemory(kills: kills), to: number) }
        case .shutDown: exit(0)
        }
    }

    private func create(_ client: Client, _ number: UInt32) {
        if scenario.has("die-at-create") { exitProcess(as: .signaled(SIGKILL)) }
        if scenario.has("hang-at-create") { return }
        if scenario.has("garbage") {
            client.socket.with { socket in try? socket.writeAll([UInt8](repeating: 0xFF, count: 64)) }
            return
        }
        if scenario.has("refuse-create") {
            client.reply(.failed(Failure(.executableNotFound, "exec: \"nope\": executable file not found in $PATH")), to: number)
            exit(1)
        }
        streams = client.descriptors
        client.descriptors = []
        phase = .created
        client.reply(.created(pid: 7), to: number)
    }

    private func start(_ client: Client, _ number: UInt32) {
        if scenario.has("die-at-start") { exitProcess(as: .signaled(SIGKILL)) }
        if scenario.has("refuse-start") {
            return client.reply(.failed(Failure(.permissionDenied, "exec: \"/x\": permission denied")), to: number)
        }
        guard phase == .created else { return client.reply(.failed(Failure(.invalidState, "not created")), to: number) }
        phase = .running
        client.reply(.done, to: number)
        write("started\n")
        if let code = scenario.number("exit") { exitProcess(as: .exited(UInt8(code))) }
        if let signal = scenario.number("signal") { exitProcess(as: .signaled(signal)) }
    }

    private func update(_ client: Client, _ number: UInt32, _ resources: [UInt8]) {
        if scenario.has("refuse-update") { return client.reply(.failed(Failure(.other, "cgroup: write 9: invalid argument")), to: number) }
        write("update \(String(decoding: resources, as: UTF8.self))\n")
        client.reply(.done, to: number)
    }

    private func statistics(_ client: Client, _ number: UInt32) {
        if scenario.has("garbage-statistics") { return client.reply(.statistics(Array("{\"cpu\": 7}".utf8)), to: number) }
        var figures = StatisticsSpec()
        (figures.memory.usage.usage, figures.memory.usage.limit, figures.pids.current) = (4096, .max, 3)
        guard case .object(var object) = figures.json else { return }
        // What a guest adds must not reach an engine.
        object["evil"] = .string("x")
        client.reply(.statistics(JSONValue.object(object).bytes()), to: number)
    }

    private func killOne() {
        kills += 1
        for watcher in watchers { watcher.client.reply(.outOfMemory(kills: kills), to: watcher.request) }
        watchers = []
    }

    /// Writes to the container's standard output.
    private func write(_ text: String) {
        guard let output = streams.count == 3 ? streams[1] : streams.first else { return }
        output.with { output in try? output.writeAll(Array(text.utf8)) }
    }

    /// `exit N`, `signal N`, `print WORD`, `process`, `group`, `oom`, `oom-and-end`, `wait`; anything else does not exist.
    private func exec(_ client: Client, _ number: UInt32, _ plan: [UInt8], _ group: String) {
        let key = ObjectIdentifier(client)
        guard let process = try? ProcessSpec.parse(plan).process, let name = process.args.first else {
            return client.reply(.failed(Failure(.other, "malformed process")), to: number)
        }
        let value = process.args.count > 1 ? process.args[1] : ""
        let output = client.descriptors.count == 3 ? client.descriptors[1] : client.descriptors.first
        func show(_ text: String) { output?.with { output in try? output.writeAll(Array(text.utf8)) } }
        switch name {
        case "exit": ended[key] = .exited(UInt8(value) ?? 0)
        case "signal": ended[key] = .signaled(Int32(value) ?? SIGKILL)
        case "print":
            show(value + "\n")
            ended[key] = .exited(0)
        case "process":
            show(String(decoding: process.json.bytes(), as: UTF8.self) + "\n")
            ended[key] = .exited(0)
        case "group":
            show(group + "\n")
            ended[key] = .exited(0)
        case "oom":
            killOne()
            ended[key] = .exited(0)
        case "oom-and-end":
            killOne()
            exitProcess(as: .signaled(SIGKILL))
        case "wait": break
        default:
            return client.reply(.failed(Failure(.executableNotFound, "exec: \"\(name)\": executable file not found in $PATH")), to: number)
        }
        client.descriptors = []
        client.reply(.created(pid: 8), to: number)
    }

    private func finish(_ key: ObjectIdentifier, _ status: ExitStatus) {
        ended[key] = status
        if let number = waiting[key] { clients[key]?.reply(.exited(process: ProcessIdentifier(rawValue: 1), status: status), to: number) }
    }
}

let description = String(decoding: (try? OwnedDescriptor(owning: 4).readAll(limit: 1 << 20)) ?? [], as: UTF8.self)
try FakeMachine(Scenario(description)).run()
