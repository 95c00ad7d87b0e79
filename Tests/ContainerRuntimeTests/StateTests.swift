import CLinux
import Foundation
import CLinux
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

@Suite("State on disk, names, log")
struct StateTests {
    @Test("a record is read back as it was written")
    func record() throws {
        var record = ContainerRecord()
        (record.id, record.bundle, record.rootfs, record.pid, record.startTime) = ("a\u{1F600}", "/b \"c\"\n", "/r", 7, .max)
        (record.created, record.owner, record.ociVersion, record.annotations) = ("2026-01-01T00:00:00Z", .max, "1.3.0", ["k": "v", "": "e"])
        #expect(try ContainerRecord(parsing: record.text()) == record)
        (record.controlGroups, record.isCreated, record.isolation, record.hasLaterHooks) = (["/x"], true, .namespace, false)
        #expect(try ContainerRecord(parsing: record.text()) == record)
    }

    @Test("of a record that does not say so, hooks are looked for")
    func laterHooks() throws {
        var text = String(decoding: ContainerRecord().text(), as: UTF8.self)
        text = text.replacingOccurrences(of: "\"hasLaterHooks\":true,", with: "")
        #expect(!text.contains("hasLaterHooks"))
        #expect(try ContainerRecord(parsing: Array(text.utf8)).hasLaterHooks)
    }

    @Test("a damaged record is an error", arguments: [
        "", "{", "[]", "null", "{}", "{\"version\":2}", "{\"version\":1}", "{\"version\":\"1\"}",
        #"{"version":1,"id":1,"bundle":"","rootfs":"","pid":0,"startTime":0,"created":"","owner":0,"ociVersion":"","isolation":""}"#,
        #"{"version":1,"id":"","bundle":"","rootfs":"","pid":99999999999,"startTime":0,"created":"","owner":0,"ociVersion":"","isolation":""}"#,
        #"{"version":1,"id":"","bundle":"","rootfs":"","pid":0,"startTime":-1,"created":"","owner":0,"ociVersion":"","isolation":""}"#,
    ])
    func damaged(_ text: String) {
        #expect(message { () throws(RuntimeError) in try ContainerRecord(parsing: Array(text.utf8)) }?.hasPrefix("state.json is damaged") == true)
    }

    @Test("a container whose record is damaged can be deleted by force only")
    func damagedContainer() throws {
        let fixture = try Fixture()
        try fixture.create()
        let record = try fixture.container().record()
        try Data("{".utf8).write(to: URL(fileURLWithPath: fixture.root + "/c/state.json"))
        #expect(message { () throws(RuntimeError) in try fixture.container().delete(force: false) }?.contains("damaged") == true)
        try fixture.container().delete(force: true)
        try MicroVM(state: fixture.container().state, log: fixture.log).destroy(record)
        fixture.expectNothingLeft()
    }

    @Test("names", arguments: [
        ("a", true), ("A-b_c.d+1", true), (String(repeating: "x", count: 200), true), (".hidden", true), ("", false), (".", false), ("..", false), ("a/b", false),
        ("a b", false), ("é", false), ("a\0", false), ("a\n", false), ("@", false), ("-", true), (String(repeating: "x", count: 2000), false),
    ])
    func names(_ id: String, _ isValid: Bool) {
        #expect((message { () throws(RuntimeError) in try StateDirectory(root: "/tmp", id: id) } == nil) == isValid)
    }

    @Test("every folder with a usable name is a container, whatever it starts with; locks are none")
    func identifiers() throws {
        let fixture = try Fixture()
        #expect(try StateDirectory.identifiers(root: fixture.root) == [])
        for id in [".dot", "a", "-b"] { try fixture.create(id) }
        let lock = try fixture.container("a").state.lock()
        defer { withExtendedLifetime(lock) {} }
        try Data().write(to: URL(fileURLWithPath: fixture.root + "/file"))
        try FileManager.default.createDirectory(atPath: fixture.root + "/no good", withIntermediateDirectories: false)
        #expect(try StateDirectory.identifiers(root: fixture.root) == ["-b", ".dot", "a"])
        // A container may be called like another's lock, were it not for the `@`.
        #expect(try FileManager.default.contentsOfDirectory(atPath: fixture.root).contains(".a@lock"))
    }

    @Test("the state is this user's only")
    func modes() throws {
        let fixture = try Fixture()
        try fixture.create()
        for (name, mode) in [("", 0o700), ("/c", 0o700), ("/c/state.json", 0o600), ("/c/config.json", 0o600), ("/c/vmm.log", 0o600)] {
            var status = stat()
            unsafe stat(fixture.root + name, &status)
            #expect(Int(status.st_mode & 0o777) == mode, "\(name)")
        }
    }

    @Test("the lock excludes")
    func lock() throws {
        let fixture = try Fixture()
        let file = fixture.folder + "/counter"
        try Data("0".utf8).write(to: URL(fileURLWithPath: file))
        let root = fixture.root
        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            for _ in 0..<50 {
                guard let lock = try? StateDirectory(root: root, id: "c").lock() else { continue }
                let value = Int((try? String(contentsOfFile: file, encoding: .utf8)) ?? "") ?? -1000
                try? Data("\(value + 1)".utf8).write(to: URL(fileURLWithPath: file))
                withExtendedLifetime(lock) {}
            }
        }
        #expect(fixture.text(of: "counter") == "400")
        fixture.expectNothingLeft()
    }

    @Test("state directories with long paths and relative to nothing")
    func longRoot() throws {
        let fixture = try Fixture()
        let root = fixture.folder + "/" + String(repeating: "long/", count: 40)
        let container = try Container(root: root, id: "c", log: fixture.log)
        let text = message { () throws(RuntimeError) in
            try container.create(fixture.spec, bundle: fixture.bundle, streams: .inherited, components: fixture.components, pidFile: nil)
        }
        #expect(text == nil, "a socket's path is short; a state directory's need not be")
        #expect(try container.currentState().status == .created)
        try container.delete(force: true)
    }

    @Test("times", arguments: [
        (0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"), (1_709_164_799, "2024-02-28T23:59:59Z"), (1_709_251_199, "2024-02-29T23:59:59Z"),
        (4_102_444_800, "2100-01-01T00:00:00Z"), (4_107_542_400, "2100-03-01T00:00:00Z"),
    ] as [(Int64, String)])
    func times(_ seconds: Int64, _ expected: String) {
        #expect(Timestamp.text(nanoseconds: seconds * 1_000_000_000) == expected)
        #expect(Timestamp.text(nanoseconds: seconds * 1_000_000_000 + 1_000) == expected.dropLast() + ".000001000Z")
    }

    @Test("the log in runc's formats", arguments: RuntimeLog.Format.allCases)
    func log(_ format: RuntimeLog.Format) throws {
        let fixture = try Fixture()
        let path = fixture.folder + "/formatted"
        let log = try RuntimeLog(path: path, format: format, debug: false)
        log.debug("not shown")
        log.warning("a \"quoted\"\nline")
        let text = fixture.text(of: "formatted") ?? ""
        #expect(!text.contains("not shown") && text.hasSuffix("\n") && text.split(separator: "\n").count == 1)
        switch format {
        case .json:
            let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: String]
            #expect(object?["level"] == "warning" && object?["msg"] == "a \"quoted\"\nline" && object?["time"]?.hasSuffix("Z") == true)
        case .text:
            #expect(text.hasPrefix("time=\"20") && text.contains(#"Z" level=warning msg="a \"quoted\"\nline""#), "\(text)")
        }
    }

    @Test("a log that cannot be opened is an error")
    func unopenable() {
        #expect(message { () throws(RuntimeError) in try RuntimeLog(path: "/nonexistent/log", format: .text, debug: false) }?.contains("unable to open the log") == true)
    }

    @Test("config.json: what is wrong is said with its path", arguments: [
        (nil, "JSON specification file"), ("", "is not JSON"), ("{", "is not JSON"), ("[]", "config.json"), ("{}", "ociVersion"),
        (#"{"ociVersion":"1.0.2"}"#, "root: is missing"), (#"{"ociVersion":"7.0.0","root":{"path":"r"}}"#, "ociVersion"),
        (#"{"ociVersion":"1.0.2","root":{"path":5}}"#, "root.path"),
        (#"{"ociVersion":"1.0.2","root":{"path":"r"},"process":{"args":["a"],"cwd":"rel"}}"#, "process.cwd"),
        (#"{"ociVersion":"1.0.2","root":{"path":"r"},"process":{"args":["a",3],"cwd":"/"}}"#, "process.args[1]"),
        (#"{"ociVersion":"1.0.2","root":{"path":"r"},"windows":{}}"#, "windows"),
    ] as [(String?, String)])
    func configuration(_ text: String?, _ expected: String) throws {
        let fixture = try Fixture()
        if let text { try Data(text.utf8).write(to: URL(fileURLWithPath: fixture.bundle + "/config.json")) }
        let found = message { () throws(RuntimeError) in try Container.configuration(bundle: fixture.bundle, log: fixture.log) }
        #expect(found?.contains(expected) == true, "\(found ?? "accepted")")
    }
}
