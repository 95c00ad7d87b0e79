import AgentCore
import AgentProtocol
import Glibc
import LinuxSystem
import Testing

let pipes = ProcessStreams(terminal: false, input: 1, output: 2, error: 3)

/// Creates and starts a script as the container.
func run(_ script: String, _ streams: ProcessStreams = pipes, endsNamespace: Bool = true, transport: Transport = .unixSocket) throws -> FakeHost {
    let host = try FakeHost(ports: [1, 2, 3], transport)
    host.backend.endsNamespace = endsNamespace
    host.backend.terminal = streams.terminal
    try host.send(.create(plan: Array(script.utf8), streams: streams), 1)
    guard case .created(let pid) = try host.reply(to: 1) else {
        Issue.record("\(try host.reply(to: 1))")
        return host
    }
    #expect(pid > 0)
    try host.send(.start, 2)
    #expect(try host.reply(to: 2) == .done)
    return host
}

/// The same bytes every time, every value among them.
func patternBytes(_ count: Int) -> [UInt8] {
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    return (0..<count).map { _ in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt8(truncatingIfNeeded: state >> 24)
    }
}

@Suite(.serialized) struct StreamTests {
    @Test(arguments: Transport.available) func outputAndErrorAreSeparateAndEndBeforeTheExit(transport: Transport) throws {
        let host = try run("echo out; echo err >&2; exit 7", transport: transport)
        #expect(try host.exitStatus(of: .container) == .exited(7))
        // The exit was reported, so the bytes are in the sockets already.
        #expect(try host.readAll(2) == Array("out\n".utf8))
        #expect(try host.readAll(3) == Array("err\n".utf8))
    }

    @Test(arguments: Transport.available) func inputIsBinaryCleanWithBackPressureBothWays(transport: Transport) throws {
        let sent = patternBytes(3 << 20)
        let host = try run("cat", transport: transport)
        let input = try host.stream(1)
        let output = try host.stream(2)
        var written = 0
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 10_000)
        // First only write, until everything on the way is full: bounded buffers stop it well before all is sent.
        var stalls = 0
        while stalls < 50 {
            if case .bytes(let count) = input.writeSome(sent, written..<sent.count) {
                written += count
                stalls = 0
            } else { stalls += 1 }
            host.turn()
            if written == sent.count { break }
        }
        #expect(written < sent.count)
        try host.turn(until: {
            if written < sent.count, case .bytes(let count) = input.writeSome(sent, written..<sent.count) { written += count }
            if written == sent.count { try? input.with { (socket) throws(SystemError) in try socket.shutdown(1) } }
            while case .bytes(let count) = output.readSome(into: &buffer) { received.append(contentsOf: buffer[..<count]) }
            return received.count >= sent.count
        }, "not everything came back", limit: 100_000)
        #expect(received == sent)
        #expect(try host.exitStatus(of: .container) == .exited(0))
    }

    @Test(arguments: Transport.available) func endOfInputArrives(transport: Transport) throws {
        let host = try run("wc -c", transport: transport)
        try host.stream(1).with { (socket) throws(SystemError) in try socket.writeAll(Array("12345".utf8)) }
        try host.stream(1).with { (socket) throws(SystemError) in try socket.shutdown(1) }
        #expect(String(decoding: try host.readAll(2), as: UTF8.self).contains("5"))
        #expect(try host.exitStatus(of: .container) == .exited(0))
    }

    @Test(arguments: Transport.available) func closedInputClosesTheHostsStream(transport: Transport) throws {
        let host = try run("exec 0<&-; exec sleep 60", transport: transport)
        #expect(try host.readAll(1) == [])
        try host.send(.signal(process: .container, number: SIGKILL, everyProcess: false), 3)
        #expect(try host.exitStatus(of: .container) == .signaled(SIGKILL))
    }

    @Test(arguments: Transport.available) func aHostThatStopsReadingGivesTheProcessABrokenPipe(transport: Transport) throws {
        let host = try run("exec yes", transport: transport)
        host.turn()
        host.closeStream(2)
        #expect(try host.exitStatus(of: .container) == .signaled(SIGPIPE))
    }

    @Test(arguments: Transport.available) func aHostThatStopsReadingIsNoticedWhileNothingIsWritten(transport: Transport) throws {
        let host = try run("read -r line; echo too late", transport: transport)
        host.closeStream(2)
        for _ in 0..<20 { host.turn() }
        try host.stream(1).with { (socket) throws(SystemError) in try socket.writeAll([10]) }
        #expect(try host.exitStatus(of: .container) == .signaled(SIGPIPE))
    }

    @Test(arguments: Transport.available) func standardOutputCanBeOpenedAgain(transport: Transport) throws {
        let host = try run("echo again > /dev/stdout", transport: transport)
        #expect(try host.readAll(2) == Array("again\n".utf8))
    }

    @Test(arguments: Transport.available) func withoutPortsTheStreamsAreNull(transport: Transport) throws {
        let host = try run("cat; echo lost", ProcessStreams(terminal: false), transport: transport)
        #expect(try host.exitStatus(of: .container) == .exited(0))
    }

    @Test(arguments: Transport.available) func aLargeOutputIsCompleteBeforeTheExit(transport: Transport) throws {
        let host = try run("head -c 1000000 /dev/zero; exit 3", transport: transport)
        var exited = false
        var received = 0
        var buffer = [UInt8](repeating: 0, count: 4096)
        let output = try host.stream(2)
        try host.turn(until: {
            if case .bytes(let count) = output.readSome(into: &buffer) { received += count }
            for case (0, .exited) in host.replies where !exited {
                exited = true
                while case .bytes(let count) = output.readSome(into: &buffer) { received += count }
            }
            return exited
        }, "no exit", limit: 100_000)
        #expect(received == 1_000_000)
    }

    @Test(arguments: Transport.available) func aGrandchildThatKeepsTheStreamDoesNotDelayTheExit(transport: Transport) throws {
        let host = try run("(sleep 60; true) & echo $!", endsNamespace: false, transport: transport)
        #expect(try host.exitStatus(of: .container) == .exited(0))
        var buffer = [UInt8](repeating: 0, count: 100)
        guard case .bytes(let count) = try host.stream(2).readSome(into: &buffer) else {
            Issue.record("no output before the exit")
            return
        }
        let pid = try #require(Int32(String(decoding: buffer[..<count], as: UTF8.self).split(separator: "\n").first ?? ""))
        kill(pid, SIGKILL)
    }

    @Test(arguments: Transport.available) func aPortThatRefusesFailsTheCreation(transport: Transport) throws {
        let host = try FakeHost(ports: [1], transport)
        try host.send(.create(plan: [], streams: pipes), 1)
        guard case .failed(let failure) = try host.reply(to: 1) else { return fail("created") }
        #expect(failure.message.contains("standard streams"))
        #expect(try host.readAll(1) == [])
    }
}

@Suite(.serialized) struct TerminalTests {
    private let streams = ProcessStreams(terminal: true, size: TerminalSize(columns: 91, rows: 33), input: 1)

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test(arguments: Transport.available) func sizeAndOutput(transport: Transport) throws {
        let host = try run("test -t 0 && stty size && echo done", streams, transport: transport)
        #expect(try host.exitStatus(of: .container) == .exited(0))
        #expect(text(try host.readAll(1)) == "33 91\r\ndone\r\n")
    }

    @Test(arguments: Transport.available) func resize(transport: Transport) throws {
        let host = try run("trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done", streams, transport: transport)
        let socket = try host.stream(1)
        var seen: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1000)
        try host.turn(until: {
            if case .bytes(let count) = socket.readSome(into: &buffer) { seen.append(contentsOf: buffer[..<count]) }
            return text(seen).hasSuffix("ready\r\n")
        }, "the shell is not ready")
        try host.send(.resize(process: .container, size: TerminalSize(columns: 40, rows: 12)), 3)
        #expect(try host.reply(to: 3) == .done)
        #expect(text(try host.readAll(1)).hasSuffix("12 40\r\n"))
    }

    @Test(arguments: Transport.available) func interruptCharacter(transport: Transport) throws {
        let host = try run("echo ready; exec sleep 60", streams, transport: transport)
        let socket = try host.stream(1)
        var buffer = [UInt8](repeating: 0, count: 1000)
        try host.turn(until: { if case .bytes = socket.readSome(into: &buffer) { true } else { false } }, "not ready")
        try socket.with { (socket) throws(SystemError) in try socket.writeAll([3]) }
        #expect(try host.exitStatus(of: .container) == .signaled(SIGINT))
    }

    @Test(arguments: Transport.available) func hangUp(transport: Transport) throws {
        let host = try run("exec sleep 60", streams, transport: transport)
        host.turn()
        host.closeStream(1)
        #expect(try host.exitStatus(of: .container) == .signaled(SIGHUP))
    }

    @Test(arguments: Transport.available) func aTerminalWithoutStreamIsRefused(transport: Transport) throws {
        let host = try FakeHost(ports: [], transport)
        try host.send(.create(plan: [], streams: ProcessStreams(terminal: true)), 1)
        guard case .failed = try host.reply(to: 1) else { return fail("created") }
    }

    @Test(arguments: Transport.available) func resizeWithoutTerminal(transport: Transport) throws {
        let host = try run("exec sleep 60", transport: transport)
        try host.send(.resize(process: .container, size: TerminalSize(columns: 1, rows: 1)), 3)
        guard case .failed = try host.reply(to: 3) else { return fail("resized") }
        try host.send(.signal(process: .container, number: SIGTERM, everyProcess: true), 4)
        #expect(try host.exitStatus(of: .container) == .signaled(SIGTERM))
    }
}
