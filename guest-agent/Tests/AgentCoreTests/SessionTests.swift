@testable import AgentCore
import AgentProtocol
import Glibc
import LinuxSystem
import Testing

@Suite(.serialized) struct SessionTests {
    @Test func lifecycleErrors() throws {
        let host = try FakeHost(ports: [1, 2, 3])
        let everything: [(Request, Failure.Code)] = [
            (.start, .invalidState),
            (.exec(process: ProcessIdentifier(rawValue: 1), plan: [65], group: "", streams: ProcessStreams(terminal: false)), .invalidState),
            (.signal(process: .container, number: 15, everyProcess: false), .noSuchProcess),
            (.signal(process: .container, number: 65, everyProcess: false), .other),
            (.signal(process: .container, number: -1, everyProcess: true), .other),
            (.resize(process: .container, size: TerminalSize(columns: 1, rows: 1)), .noSuchProcess),
            (.wait(process: .container), .unsupported),
            (.state, .unsupported),
            (.outOfMemory(after: nil), .unsupported),
        ]
        for (index, (request, code)) in everything.enumerated() {
            try host.send(request, UInt32(100 + index))
            guard case .failed(let failure) = try host.reply(to: UInt32(100 + index)) else {
                Issue.record("\(request) succeeded")
                continue
            }
            #expect(failure.code == code, "\(request)")
        }
    }

    @Test func createOnceStartOnce() throws {
        let host = try run("read -r line; exit 4")
        try host.send(.create(plan: [], streams: ProcessStreams(terminal: false)), 3)
        try host.send(.start, 4)
        for identifier: UInt32 in [3, 4] {
            guard case .failed(let failure) = try host.reply(to: identifier) else { return fail("done twice") }
            #expect(failure.code == .invalidState)
        }
        try host.stream(1).with { (socket) throws(SystemError) in try socket.writeAll([10]) }
        #expect(host.backend.saves == 0)
        #expect(try host.exitStatus(of: .container) == .exited(4))
        // Before the end was told: the machine ends with it.
        #expect(host.backend.saves == 1)
        try host.send(.exec(process: ProcessIdentifier(rawValue: 1), plan: [65], group: "", streams: ProcessStreams(terminal: false)), 5)
        guard case .failed(let failure) = try host.reply(to: 5) else { return fail("exec in a stopped container") }
        #expect(failure.code == .invalidState)
    }

    @Test func executedProcesses() throws {
        let host = try run("exec sleep 60", ProcessStreams(terminal: false))
        for number: UInt32 in 1...20 {
            let process = ProcessIdentifier(rawValue: number)
            let streams = ProcessStreams(terminal: false, input: 0, output: number == 1 ? 2 : 0)
            try host.send(.exec(process: process, plan: Array("echo \(number); exit \(number)".utf8), group: "", streams: streams), 10 + number)
            guard case .created = try host.reply(to: 10 + number) else { return fail("not created") }
            #expect(try host.exitStatus(of: process) == .exited(UInt8(number)))
        }
        #expect(try host.readAll(2) == Array("1\n".utf8))
        #expect(host.backend.saves == 0)
        try host.send(.listProcesses, 90)
        guard case .processes(let entries) = try host.reply(to: 90) else { return fail("no list") }
        #expect(entries.map(\.command) == ["sleep 60"])
        #expect(entries.first?.parent == getpid() && entries.first?.user == getuid())
        try host.send(.exec(process: ProcessIdentifier(rawValue: 99), plan: [], group: "", streams: ProcessStreams(terminal: false)), 91)
        guard case .failed(let failure) = try host.reply(to: 91) else { return fail("executed nothing") }
        #expect(failure.code == .executableNotFound)
        try host.send(.signal(process: .container, number: SIGKILL, everyProcess: true), 92)
        #expect(try host.exitStatus(of: .container) == .signaled(SIGKILL))
    }

    @Test func limitsAndStatistics() throws {
        let host = try run("exec sleep 60", ProcessStreams(terminal: false))
        try host.send(.update(resources: [1, 2]), 3)
        #expect(try host.reply(to: 3) == .done)
        #expect(host.backend.resources == [1, 2])
        try host.send(.update(resources: []), 4)
        #expect(try host.reply(to: 4) == .failed(Failure(.unsupported, "cgroup: no")))
        try host.send(.statistics, 5)
        #expect(try host.reply(to: 5) == .statistics(Array("{}".utf8)))
        try host.send(.signal(process: .container, number: SIGKILL, everyProcess: true), 92)
        #expect(try host.exitStatus(of: .container) == .signaled(SIGKILL))
        #expect(!host.replies.contains { $0.request == 0 && $0.reply == .outOfMemory(kills: 0) })
    }

    /// Whoever hears of the end has heard of the reason.
    @Test func outOfMemoryIsToldBeforeTheEnd() throws {
        let host = try run("exec sleep 60", ProcessStreams(terminal: false))
        host.backend.kills = 3
        try host.send(.signal(process: .container, number: SIGKILL, everyProcess: false), 3)
        #expect(try host.exitStatus(of: .container) == .signaled(SIGKILL))
        let events = host.replies.filter { $0.request == 0 }.map(\.reply)
        #expect(events == [.outOfMemory(kills: 3), .exited(process: .container, status: .signaled(SIGKILL))])
    }

    @Test func anObstacleFailsTheCreation() throws {
        let host = try FakeHost()
        host.agent.obstacle = Failure(.other, "no share")
        try host.send(.create(plan: [], streams: ProcessStreams(terminal: false)), 1)
        #expect(try host.reply(to: 1) == .failed(Failure(.other, "no share")))
    }

    @Test func shutDown() throws {
        let host = try FakeHost()
        try host.send(.shutDown, 8)
        #expect(try host.reply(to: 8) == .done)
        #expect(host.wasShutDown)
    }

    @Test func manyRequestsAtOnceAreAllAnswered() throws {
        let host = try FakeHost()
        for identifier: UInt32 in 1...5000 { try host.send(.state, identifier) }
        try host.turn(until: { host.replies.count == 5000 }, "answers are missing")
        #expect(host.replies.map(\.request) == Array(1...5000))
    }

    @Test(arguments: [
        Frame(kind: 0, request: 5, payload: []), Frame(kind: 13, request: 5, payload: []), Frame(kind: 10, request: 5, payload: []), Frame(kind: 0x8001, request: 5, payload: []),
        Frame(kind: 1, request: 5, payload: []), Frame(kind: 1, request: 5, payload: [255, 255, 255, 255, 1]),
        Frame(kind: 2, request: 5, payload: [0]), Frame(kind: 4, request: 5, payload: [0, 0, 0, 0, 9, 0, 0, 0, 2]),
    ])
    func malformedRequestsAreAnsweredWithAFailure(frame: Frame) throws {
        let host = try FakeHost()
        try host.send(frame.encoded())
        guard case .failed = try host.reply(to: 5) else { return fail("accepted") }
        try host.send(.state, 6)
        guard case .failed = try host.reply(to: 6) else { return fail("the connection is lost") }
    }

    @Test func unreadableFramesEndTheConnection() throws {
        for bytes: [UInt8] in [
            [255, 255, 255, 255, 1, 0, 1, 0, 0, 0, 0, 0],  // too long
            [0, 0, 0, 0, 1, 0, 9, 0, 0, 0, 0, 0],  // another version
        ] {
            let host = try FakeHost()
            try host.send(bytes)
            try host.turn(until: { host.endReason != nil }, "the connection goes on")
            #expect(host.endReason != .some(nil))
        }
    }

    @Test func processStatusFields() {
        let fields = ProcessList.Fields(status: "Name:\tmy prog\nUmask:\t0022\nPid:\t7\nPPid:\t3\nUid:\t1\t2\t3\t4\n")
        #expect(fields?.name == "my prog" && fields?.parent == 3 && fields?.user == 2)
        for broken in ["", "Name:\tx\n", "Name:\tx\nPPid:\ty\nUid:\t1\t2\n", "PPid:\t1\nUid:\t1\n", "Uid\nPPid\n:::"] {
            #expect(ProcessList.Fields(status: broken) == nil)
        }
    }
}
