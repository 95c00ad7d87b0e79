import Foundation
import ControlGroups
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

@Suite("systemd's cgroup driver")
struct SystemdTests {
    // MARK: Names

    @Test("a scope's unit and slice", arguments: [
        (nil, false, "system.slice", "nacelle-c.scope"), ("", true, "user.slice", "nacelle-c.scope"), ("machine.slice:libpod:abc", false, "machine.slice", "libpod-abc.scope"),
        (":docker:1f", false, "system.slice", "docker-1f.scope"), ("a-b.slice:x:y@\\z", false, "a-b.slice", "x-y@\\z.scope"),
    ] as [(String?, Bool, String, String)])
    func scopeNames(_ path: String?, _ isRootless: Bool, _ slice: String, _ unit: String) throws {
        let scope = try SystemdScope(path: path, id: "c", isRootless: isRootless)
        #expect(scope.slice == slice && scope.unit == unit)
    }

    @Test("paths that are none", arguments: [
        ("/a/b", "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"/a/b\" instead"), ("a:b", "expected cgroupsPath"),
        ("a:b:c:d", "expected cgroupsPath"), ("s.slice:a/b:c", "expected cgroupsPath"), ("system:a:b", "\"system\" is no slice: its name must end in .slice"),
        ("s.slice:a b:c", "\"a b-c.scope\" cannot be a unit's name"), ("s\n.slice:a:b", "cannot be a unit's name"), ("s.slice:ä:b", "cannot be a unit's name"),
        ("s.slice:a:" + String(repeating: "x", count: 300), "cannot be a unit's name"),
    ])
    func badScopeNames(_ path: String, _ expected: String) {
        #expect(message { () throws(RuntimeError) in try SystemdScope(path: path, id: "c", isRootless: false) }?.contains(expected) == true)
    }

    @Test("without systemd it is refused in runc's words", .enabled(if: !SystemdManager.isRunning, "systemd runs here"), arguments: [Isolation.namespace, .microVM])
    func absent(_ isolation: Isolation) throws {
        let fixture = try Fixture()
        let container = try fixture.container()
        container.controlGroupDriver = .systemd
        var components = fixture.components
        components.initProgram = "/bin/true"
        #expect(message { () throws(RuntimeError) in
            try container.create(fixture.spec, bundle: fixture.bundle, streams: .inherited, components: components, pidFile: nil, isolation: isolation)
        } == "systemd not running on this host, cannot use systemd cgroups manager")
        fixture.expectNothingLeft()
    }

    // MARK: Messages

    private static var call: DBusMessage {
        var message = DBusMessage()
        (message.serial, message.path, message.interface, message.member, message.signature) = (7, "/org/x", "org.x.Y", "Do", "su")
        var body = DBusWriter()
        body.string("text")
        body.uint32(0x0102_0304)
        message.body = body.bytes
        return message
    }

    @Test("a message as the specification lays it out")
    func layout() throws {
        let bytes = Self.call.bytes()
        #expect(Array(bytes[..<16]) == [0x6C, 1, 0, 1, 16, 0, 0, 0, 7, 0, 0, 0, 56, 0, 0, 0])
        #expect(bytes.count == 16 + 56 + 16 && Array(bytes.suffix(16)) == [4, 0, 0, 0, 0x74, 0x65, 0x78, 0x74, 0, 0, 0, 0, 4, 3, 2, 1])
        #expect(try DBusMessage.length(bytes[..<16]) == bytes.count)
        let parsed = try DBusMessage(parsing: bytes[...])
        #expect(parsed.kind == .call && parsed.serial == 7 && parsed.path == "/org/x" && parsed.member == "Do" && parsed.signature == "su" && parsed.body == Self.call.body)
        var reader = DBusReader(parsed.body[...])
        #expect(try reader.string() == "text" && reader.uint32() == 0x0102_0304)
        #expect(throws: DBusMessage.Malformed.self) { try reader.byte() }
    }

    @Test("every prefix and mutation of a message is read or refused")
    func hostile() {
        let bytes = Self.call.bytes()
        for length in 0..<bytes.count { #expect((try? DBusMessage(parsing: bytes[..<length])) == nil) }
        for index in bytes.indices {
            for value in [0, 1, 0x7F, 0x80, 0xFF] as [UInt8] {
                var changed = bytes
                changed[index] = value
                _ = try? DBusMessage.length(changed[..<16])
                _ = try? DBusMessage(parsing: changed[...])
            }
        }
        #expect(throws: DBusMessage.Malformed.self) { try DBusMessage.length([0x42, 1, 0, 1] + [UInt8](repeating: 0, count: 12)) }
        #expect(throws: DBusMessage.Malformed.self) { try DBusMessage.length([0x6C, 2, 0, 1, 255, 255, 255, 255] + [UInt8](repeating: 0, count: 8)) }
    }

    // MARK: Conversations

    /// A manager that answers each call as it is told, and keeps what it was asked.
    private final class FakeManager: @unchecked Sendable {
        let path: String
        private let listener: OwnedDescriptor
        private(set) var calls: [DBusMessage] = []
        private var thread: Thread?
        private let done = DispatchSemaphore(value: 0)

        init(_ fixture: Fixture, answers: [@Sendable (DBusMessage) -> [UInt8]]) throws {
            path = fixture.folder + "/private"
            // The other end may have closed when it is answered.
            _ = signal(SIGPIPE, SIG_IGN)
            listener = try OwnedDescriptor.unixListener(path: path)
            let thread = Thread { [self] in
                try? serve(answers)
                done.signal()
            }
            self.thread = thread
            thread.start()
        }

        func finish() -> [DBusMessage] {
            done.wait()
            return calls
        }

        private func serve(_ answers: [@Sendable (DBusMessage) -> [UInt8]]) throws {
            guard try waitReadable(listener.rawValue, milliseconds: 10_000) else { return }
            let socket = try listener.accept()
            try socket.setNonBlocking(false)
            var input: [UInt8] = []
            func read(_ isEnough: ([UInt8]) -> Bool) throws {
                var buffer = [UInt8](repeating: 0, count: 4096)
                while !isEnough(input) {
                    let count = try socket.read(into: &buffer)
                    if count == 0 { return }
                    input += buffer[..<count]
                }
            }
            let hello = Array("\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n".utf8)
            try read { $0.count >= hello.count }
            #expect(input == hello)
            input = []
            try socket.writeAll(Array("DATA\r\nOK 0123456789abcdef\r\n".utf8))
            for answer in answers {
                try read { $0.count >= 16 && $0.count >= ((try? DBusMessage.length($0[..<16])) ?? .max) }
                guard input.count >= 16 else { return }
                let length = try DBusMessage.length(input[..<16])
                let call = try DBusMessage(parsing: input[..<length])
                input.removeFirst(length)
                calls.append(call)
                try socket.writeAll(answer(call))
            }
        }
    }

    /// A reply, error or signal.
    private static func answer(_ kind: DBusMessage.Kind, to call: DBusMessage, error: String = "", member: String = "", _ signature: String, _ body: (inout DBusWriter) -> Void) -> [UInt8] {
        var writer = DBusWriter()
        body(&writer)
        var bytes = DBusWriter()
        for byte in [UInt8(ascii: "l"), kind.rawValue, 0, 1] { bytes.byte(byte) }
        bytes.uint32(UInt32(writer.bytes.count))
        bytes.uint32(99)
        bytes.array(alignment: 8) { fields in
            fields.align(8)
            fields.byte(5)
            fields.signature("u")
            fields.uint32(call.serial)
            for (code, type, text) in [(4, "s", error), (3, "s", member), (8, "g", signature)] as [(UInt8, String, String)] where !text.isEmpty {
                fields.align(8)
                fields.byte(code)
                fields.signature(type)
                if type == "g" { fields.signature(text) } else { fields.string(text) }
            }
        }
        bytes.align(8)
        return bytes.bytes + writer.bytes
    }

    private static func job(_ call: DBusMessage, result: String, early: Bool = false) -> [UInt8] {
        let reply = answer(.reply, to: call, "o") { $0.string("/job/5") }
        func removed(_ job: String, _ result: String) -> [UInt8] {
            answer(.signal, to: call, member: "JobRemoved", "uoss") { body in
                body.uint32(5)
                body.string(job)
                body.string("x.scope")
                body.string(result)
            }
        }
        let others = removed("/job/4", "failed")
        return early ? others + removed("/job/5", result) + reply : reply + others + removed("/job/5", result)
    }

    @Test("a scope is started with its properties; the job may end before its number is told", arguments: [false, true])
    func start(_ early: Bool) throws {
        let fixture = try Fixture()
        let fake = try FakeManager(fixture, answers: [{ Self.job($0, result: "done", early: early) }])
        try SystemdManager(path: fake.path).startScope("a-b.scope") { properties in
            properties.add("Slice", "s.slice")
            properties.add("Delegate", true)
            properties.add("MemoryMax", 4096)
            properties.add("PIDs", processes: [7, 8])
        }
        let call = try #require(fake.finish().first)
        #expect(call.member == "StartTransientUnit" && call.path == "/org/freedesktop/systemd1" && call.interface == "org.freedesktop.systemd1.Manager")
        #expect(call.signature == "ssa(sv)a(sa(sv))")
        var reader = DBusReader(call.body[...])
        #expect(try reader.string() == "a-b.scope" && reader.string() == "fail")
        _ = try reader.uint32()
        try reader.align(8)
        #expect(try reader.string() == "Slice" && reader.signature() == "s" && reader.string() == "s.slice")
        try reader.align(8)
        #expect(try reader.string() == "Delegate" && reader.signature() == "b" && reader.uint32() == 1)
        try reader.align(8)
        #expect(try reader.string() == "MemoryMax" && reader.signature() == "t")
        try reader.align(8)
        #expect(try reader.uint32() == 4096 && reader.uint32() == 0)
        #expect(try reader.string() == "PIDs" && reader.signature() == "au" && reader.uint32() == 8 && reader.uint32() == 7 && reader.uint32() == 8)
        #expect(try reader.uint32() == 0)
    }

    @Test("a name is free, when it is forgotten, or taken")
    func names() throws {
        let empty: @Sendable (DBusMessage) -> [UInt8] = { call in Self.answer(.reply, to: call, "") { _ in } }
        let missing: @Sendable (DBusMessage) -> [UInt8] = { call in
            Self.answer(.error, to: call, error: "org.freedesktop.systemd1.NoSuchUnit", "s") { $0.string("Unit x.scope not loaded.") }
        }
        for (answers, expected) in [
            ([missing, missing], nil), ([empty, missing], nil),
            ([empty, { call in Self.answer(.reply, to: call, "o") { $0.string("/unit") } }], "systemd: unable to start unit \"x.scope\": there is one of that name already"),
        ] as [([@Sendable (DBusMessage) -> [UInt8]], String?)] {
            let fixture = try Fixture()
            let fake = try FakeManager(fixture, answers: answers)
            #expect(message { () throws(RuntimeError) in try SystemdManager(path: fake.path).reserve("x.scope") } == expected)
            #expect(fake.finish().map(\.member) == ["ResetFailedUnit", "GetUnit"])
        }
    }

    @Test("what systemd refuses, and a job that fails, is told")
    func refusals() throws {
        let exists: @Sendable (DBusMessage) -> [UInt8] = { call in
            Self.answer(.error, to: call, error: "org.freedesktop.systemd1.UnitExists", "s") { $0.string("Unit x.scope already exists.") }
        }
        for (answers, expected) in [
            ([exists], "systemd: unable to start unit \"x.scope\": Unit x.scope already exists."),
            ([{ Self.job($0, result: "failed") }], "systemd: unable to start unit \"x.scope\": the job has ended as `failed`: see journalctl -u x.scope"),
            ([{ _ in Array("this is no message".utf8) }], "systemd: unable to start unit \"x.scope\": its answer cannot be understood"),
            ([], "systemd: unable to start unit \"x.scope\": "),
        ] as [([@Sendable (DBusMessage) -> [UInt8]], String)] {
            let fixture = try Fixture()
            let fake = try FakeManager(fixture, answers: answers)
            let complaint = message { () throws(RuntimeError) in try SystemdManager(path: fake.path).startScope("x.scope") { _ in } }
            #expect(complaint?.hasPrefix(expected) == true, "\(complaint ?? "none")")
            _ = fake.finish()
        }
        #expect(message { () throws(RuntimeError) in try SystemdManager(path: "/nonexistent/private") }?.hasPrefix("systemd's manager (/nonexistent/private): ") == true)
    }

    @Test("changed limits become properties until the scope is gone, and are in force when that is answered; what is none is not told")
    func update() throws {
        let fixture = try Fixture()
        let empty: @Sendable (DBusMessage) -> [UInt8] = { call in Self.answer(.reply, to: call, "") { _ in } }
        let fake = try FakeManager(fixture, answers: [empty, { call in Self.answer(.reply, to: call, "o") { $0.string("/unit") } }])
        let lines = [
            ResourceWrite("cpuset", "cpuset.cpus", "0"), ResourceWrite("memory", "memory.max", "8192"), ResourceWrite("", "pids.max", "max"),
            ResourceWrite("cpu", "cpu.max", "33333 100000"), ResourceWrite("memory", "memory.high", "4096"),
        ]
        try SystemdScope.update("a-b.scope", lines) { () throws(RuntimeError) in try SystemdManager(path: fake.path) }
        let calls = fake.finish()
        #expect(calls.map(\.member) == ["SetUnitProperties", "GetUnit"] && calls.first?.signature == "sba(sv)")
        var reader = DBusReader((calls.first?.body ?? [])[...])
        #expect(try reader.string() == "a-b.scope" && reader.uint32() == 1)
        _ = try reader.uint32()
        // A third of a processor in whole per cents, rounded up.
        for (name, value) in [("MemoryMax", 8192), ("TasksMax", .max), ("CPUQuotaPerSecUSec", 340_000), ("CPUQuotaPeriodUSec", 100_000)] as [(String, UInt64)] {
            try reader.align(8)
            #expect(try reader.string() == name && reader.signature() == "t")
            try reader.align(8)
            #expect(try UInt64(reader.uint32()) | UInt64(reader.uint32()) << 32 == value, "\(name)")
        }
        #expect(throws: DBusMessage.Malformed.self) { try reader.byte() }
        try SystemdScope.update("a-b.scope", [lines[0], lines[4]]) { () throws(RuntimeError) in throw RuntimeError("nothing is to be told") }
    }

    @Test("a change of limits that systemd refuses is told")
    func refusedUpdate() throws {
        let fixture = try Fixture()
        let fake = try FakeManager(fixture, answers: [{ call in
            Self.answer(.error, to: call, error: "org.freedesktop.systemd1.NoSuchUnit", "s") { $0.string("Unit x.scope not found.") }
        }])
        #expect(message { () throws(RuntimeError) in
            try SystemdScope.update("x.scope", [ResourceWrite("pids", "pids.max", "5")]) { () throws(RuntimeError) in try SystemdManager(path: fake.path) }
        } == "systemd: unable to set properties of unit \"x.scope\": Unit x.scope not found.")
        _ = fake.finish()
    }

    @Test("a further process is put into the scope")
    func attach() throws {
        let fixture = try Fixture()
        let fake = try FakeManager(fixture, answers: [{ call in Self.answer(.reply, to: call, "") { _ in } }])
        try SystemdManager(path: fake.path).attach(77, to: "x.scope")
        let call = try #require(fake.finish().first)
        var reader = DBusReader(call.body[...])
        #expect(try call.member == "AttachProcessesToUnit" && call.signature == "ssau" && reader.string() == "x.scope" && reader.string() == "/")
        #expect(try reader.uint32() == 4 && reader.uint32() == 77)
    }

    @Test("a unit that is gone is no error when it is stopped")
    func stop() throws {
        let fixture = try Fixture()
        let missing: @Sendable (DBusMessage) -> [UInt8] = { call in
            Self.answer(.error, to: call, error: "org.freedesktop.systemd1.NoSuchUnit", "s") { $0.string("Unit x.scope not loaded.") }
        }
        let fake = try FakeManager(fixture, answers: [missing, missing])
        try SystemdManager(path: fake.path).stop("x.scope")
        #expect(fake.finish().map(\.member) == ["StopUnit", "ResetFailedUnit"])
    }
}
