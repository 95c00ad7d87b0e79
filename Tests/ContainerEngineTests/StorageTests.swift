import Foundation
import Glibc
import LinuxSystem
import Testing

@testable import ContainerEngine

/// An empty folder for one test.
private func scratch() throws -> String {
    let path = "/tmp/nacelle-engine-test-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
}

@Suite("log files")
struct LogFileTests {
    private func settings(_ size: Int64, _ files: Int) -> LogSettings {
        var settings = LogSettings()
        (settings.size, settings.files) = (size, files)
        return settings
    }

    private func past(_ reader: LogReader) throws -> [LogReader.Shown] {
        var lines: [LogReader.Shown] = []
        try reader.past { lines += $0 }
        return lines
    }
    private func next(_ reader: LogReader) throws -> [LogReader.Shown] {
        var lines: [LogReader.Shown] = []
        #expect(try reader.next { lines += $0 } == !lines.isEmpty)
        return lines
    }
    private func text(_ lines: [LogReader.Shown]) -> String { String(decoding: lines.flatMap(\.text), as: UTF8.self) }

    @Test("what was written is read back, across rotations, and no more files stay than may")
    func rotation() throws {
        let folder = try scratch()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let log = try LogFile(folder + "/log", settings(4096, 3))
        for number in 0..<200 { try log.write(Array("line \(number)\n".utf8), .output) }
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        #expect(names == ["log", "log.1", "log.2"])
        for name in names { #expect(try Data(contentsOf: URL(fileURLWithPath: folder + "/" + name)).count <= 4096 + 64) }
        let lines = text(try past(LogReader(folder + "/log", LogReader.Selection(), showsTimes: false))).split(separator: "\n")
        #expect(lines.last == "line 199")
        #expect(lines.count > 120 && Set(lines).count == lines.count)
        var selection = LogReader.Selection()
        selection.tail = 2
        #expect(text(try past(LogReader(folder + "/log", selection, showsTimes: false))) == "line 198\nline 199\n")
    }

    @Test("pieces of a line become one again; streams stay apart")
    func pieces() throws {
        let folder = try scratch()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let log = try LogFile(folder + "/log", settings(1 << 20, 1))
        for (piece, stream) in [("a", LogLine.Stream.output), ("E\n", .errors), ("b\nc", .output)] { try log.write(Array(piece.utf8), stream) }
        let lines = try past(LogReader(folder + "/log", LogReader.Selection(), showsTimes: false))
        #expect(text(lines.filter { !$0.isErrors }) == "ab\nc")
        #expect(text(lines.filter(\.isErrors)) == "E\n")
        var selection = LogReader.Selection()
        selection.tail = 1
        #expect(text(try past(LogReader(folder + "/log", selection, showsTimes: false))) == "c")
    }

    @Test("who follows gets what comes, also after a rotation")
    func following() throws {
        let folder = try scratch()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let log = try LogFile(folder + "/log", settings(4096, 2))
        let reader = LogReader(folder + "/log", LogReader.Selection(), showsTimes: false)
        try log.write(Array("first\n".utf8), .output)
        #expect(text(try past(reader)) == "first\n")
        #expect(try next(reader) == [])
        var seen = ""
        for number in 0..<100 {
            try log.write(Array("n\(number)\n".utf8), .output)
            seen += text(try next(reader))
        }
        seen += text(try next(reader))
        #expect(seen == (0..<100).map { "n\($0)\n" }.joined())
    }

    @Test("who follows misses no file, however many have moved on meanwhile; the last lines are found in a log larger than what is read at a time")
    func falling() throws {
        let folder = try scratch()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let log = try LogFile(folder + "/log", settings(1 << 20, 20))
        let reader = LogReader(folder + "/log", LogReader.Selection(), showsTimes: false)
        #expect(try past(reader) == [])
        let filler = String(repeating: "x", count: 20_000)
        for number in 0..<300 { try log.write(Array("n\(number) \(filler)\n".utf8), .output) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count > 4)
        var followed = ""
        for _ in 0..<2 { followed += text(try next(reader)) }
        #expect(followed.split(separator: "\n").map { $0.prefix { $0 != " " } } == (0..<300).map { "n\($0)" })
        var selection = LogReader.Selection()
        selection.tail = 100
        #expect(text(try past(LogReader(folder + "/log", selection, showsTimes: false))).split(separator: "\n").map { $0.prefix { $0 != " " } } == (200..<300).map { "n\($0)" })
    }

    @Test("nothing is missed or shown twice while files move on")
    func moving() async throws {
        let folder = try scratch()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let log = try LogFile(folder + "/log", settings(4096, 100))
        try log.write(Array("n0\n".utf8), .output)
        async let writer: Void = Task.detached { for number in 1..<4000 { try log.write(Array("n\(number)\n".utf8), .output) } }.value
        for _ in 0..<50 {
            let lines = text(try past(LogReader(folder + "/log", LogReader.Selection(), showsTimes: false))).split(separator: "\n").map(String.init)
            #expect(lines == (0..<lines.count).map { "n\($0)" })
        }
        try await writer
    }

    @Test("a full disk leaves whole lines, and what comes when there is room again", .enabled(if: geteuid() == 0, "needs root"))
    func full() throws {
        let folder = try scratch()
        try MountTree.mount("tmpfs", at: folder, type: "tmpfs", data: "size=64k")
        defer {
            unsafe umount2(folder, Int32(MNT_DETACH))
            try? FileManager.default.removeItem(atPath: folder)
        }
        let log = try LogFile(folder + "/log", settings(1 << 20, 1))
        let line = String(repeating: "x", count: 1000) + "\n"
        var count = 0
        while (try? log.write(Array(line.utf8), .output)) != nil, count < 1000 { count += 1 }
        #expect(count > 10 && count < 64)
        try MountTree.mount("tmpfs", at: folder, type: "tmpfs", flags: UInt(MS_REMOUNT), data: "size=128k")
        try log.write(Array("after\n".utf8), .output)
        let text = text(try past(LogReader(folder + "/log", LogReader.Selection(), showsTimes: false)))
        #expect(text == String(repeating: line, count: count) + "after\n")
    }

    @Test("a line that a crash cut is not shown")
    func cut() throws {
        let folder = try scratch()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try "\(LogLine.time(1)) stdout F whole\ngarbage\n\(LogLine.time(2)) stdo".write(toFile: folder + "/log", atomically: false, encoding: .utf8)
        #expect(text(try past(LogReader(folder + "/log", LogReader.Selection(), showsTimes: false))) == "whole\n")
    }
}

@Suite("attaching")
struct AttachMessageTests {
    static let messages: [AttachMessage] = [
        .hello(wantsOutput: true), .hello(wantsOutput: false), .input([1, 2]), .input([]), .inputEnd, .resize(columns: 300, rows: 2), .signal(15), .output([0, 255]), .errors([7]), .ended(137, "why ü"),
    ]

    @Test("messages come out as they went in, in any pieces", arguments: [1, 3, 7, 1000])
    func pieces(size: Int) throws {
        let bytes = Self.messages.flatMap(\.bytes)
        var reader = AttachReader()
        var found: [AttachMessage] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            reader.add(Array(bytes[start..<min(start + size, bytes.count)]))
            while let message = try reader.next() { found.append(message) }
        }
        #expect(found == Self.messages)
    }

    @Test("what is no message ends the connection", arguments: [
        [0, 0, 0, 0, 0, 0, 0, 0], [2, 1, 0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 1, 0, 1], [4, 0, 0, 0, 0, 0, 0, 1, 9], [5, 0, 0, 0, 0, 0, 0, 1, 200], [9, 0, 0, 0, 0, 0, 0, 0],
    ] as [[UInt8]])
    func malformed(bytes: [UInt8]) {
        var reader = AttachReader()
        reader.add(bytes)
        #expect(throws: AttachReader.Malformed.self) { try reader.next() }
    }
}

@Suite("containers' folders")
struct ContainerStoreTests {
    private func record(_ id: String, _ name: String) -> ContainerRecord {
        var record = ContainerRecord()
        (record.id, record.name, record.runtime) = (id, name, "runc")
        return record
    }

    @Test("by name, id and beginning; a name once; what is damaged can still be named by its id")
    func finding() throws {
        let path = try scratch()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let store = ContainerStore(EngineFolders(data: path, run: path + "/run"))
        let (first, _) = try store.make(name: "one") { record($0, $1) }
        let (second, made) = try store.make(name: nil) { record($0, $1) }
        #expect(made.name.contains("_"))
        #expect(try store.find("one").id == first.id)
        #expect(try store.find(second.id).id == second.id)
        #expect(try store.find(String(first.id.prefix(20))).id == first.id)
        #expect(try first.record().name == "one")
        let taken = #expect(throws: EngineError.self) { try store.make(name: "one") { record($0, $1) } }
        #expect(taken?.message == "the name \"one\" is taken by container \(first.id.prefix(12)): remove that one (`nacelle rm one`), or choose another name")
        for text in ["two", "", "zz", String(repeating: "0", count: 63) + "g"] { #expect(throws: EngineError.self) { try store.find(text) } }
        try "{".write(toFile: first.path + "/container.json", atomically: false, encoding: .utf8)
        #expect(try store.find(first.id).id == first.id)
        let damaged = #expect(throws: EngineError.self) { try first.record() }
        #expect(damaged?.message.contains("is damaged: \(first.path)/container.json: line 1, column 2") == true)
        try first.remove()
        try second.remove()
        #expect(try store.identifiers() == [])
        // Again is no error.
        try first.remove()
    }

    @Test("one supervisor at a time; who looks is none")
    func supervisors() throws {
        let path = try scratch()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let store = ContainerStore(EngineFolders(data: path, run: path + "/run"))
        let (folder, _) = try store.make(name: "s") { record($0, $1) }
        #expect(!folder.hasSupervisor)
        var lock = try folder.lockSupervisor()
        #expect(lock != nil && folder.hasSupervisor)
        #expect(try folder.lockSupervisor() == nil)
        lock = nil
        #expect(!folder.hasSupervisor)
        try folder.waitForSupervisor()
    }

    @Test("whoever only looks is in nobody's way")
    func looking() async throws {
        let path = try scratch()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let (folder, _) = try ContainerStore(EngineFolders(data: path, run: path + "/run")).make(name: "s") { record($0, $1) }
        _ = try folder.lockSupervisor()
        let lookers = (0..<2).map { _ in Task.detached { while !Task.isCancelled { _ = folder.hasSupervisor } } }
        for _ in 0..<5000 { #expect(try folder.lockSupervisor() != nil) }
        for looker in lookers { looker.cancel() }
    }

    @Test("what could not be read again is not written")
    func large() throws {
        let path = try scratch()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let store = ContainerStore(EngineFolders(data: path, run: path + "/run"))
        let error = #expect(throws: EngineError.self) {
            try store.make(name: "s") { id, name in
                var made = record(id, name)
                made.labels = ["x": String(repeating: "y", count: 5 << 20)]
                return made
            }
        }
        #expect(error?.message.contains("too many labels") == true)
        #expect(try store.identifiers() == [])
    }

    @Test("another name, unless it is taken")
    func renaming() throws {
        let path = try scratch()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let store = ContainerStore(EngineFolders(data: path, run: path + "/run"))
        let (folder, _) = try store.make(name: "one") { record($0, $1) }
        _ = try store.make(name: "two") { record($0, $1) }
        #expect(throws: EngineError.self) { try store.rename(folder, to: "two") }
        try store.rename(folder, to: "three")
        #expect(try store.find(name: "one") == nil && store.find("three").id == folder.id)
    }

    @Test("a container's volume that is deeper than any stack is removed as well")
    func deep() throws {
        let path = try scratch()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let (folder, _) = try ContainerStore(EngineFolders(data: path, run: path + "/run")).make(name: "s") { record($0, $1) }
        var directory = try folder.open()
        for _ in 0..<3000 {
            try directory.makeDirectory(EntryName("d"), mode: 0o755)
            directory = try directory.openEntry(EntryName("d"), flags: O_PATH | O_DIRECTORY)
        }
        try folder.remove()
        #expect(!FileManager.default.fileExists(atPath: folder.path))
    }
}

@Suite("copying trees")
struct TreeCopyTests {
    @Test("files, folders, links, modes and times; no link is followed")
    func copies() throws {
        let path = try scratch()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let manager = FileManager.default
        try manager.createDirectory(atPath: path + "/from/d/e", withIntermediateDirectories: true)
        try manager.createDirectory(atPath: path + "/to/outside", withIntermediateDirectories: true)
        try "content".write(toFile: path + "/from/d/f", atomically: false, encoding: .utf8)
        unsafe chmod(path + "/from/d/f", 0o4751)
        unsafe symlink("/etc/passwd", path + "/from/d/l")
        // A link at the target is replaced, not followed.
        unsafe symlink(path + "/to/outside", path + "/to/f")
        let from = try OwnedDescriptor(opening: path + "/from/d", flags: O_PATH | O_DIRECTORY)
        let to = try OwnedDescriptor(opening: path + "/to", flags: O_PATH | O_DIRECTORY)
        try TreeCopy(owner: nil).contents(of: from, into: to)
        #expect(try String(contentsOfFile: path + "/to/f", encoding: .utf8) == "content")
        #expect(try to.attributes(of: EntryName("f")).mode & 0o7777 == 0o4751)
        #expect(try to.attributes(of: EntryName("f")).modificationTime == from.attributes(of: EntryName("f")).modificationTime)
        #expect(try manager.destinationOfSymbolicLink(atPath: path + "/to/l") == "/etc/passwd")
        #expect(manager.fileExists(atPath: path + "/to/e"))
        #expect(try manager.contentsOfDirectory(atPath: path + "/to/outside") == [])
    }
}

@Suite("what runtimes say")
struct RuntimeMessageTests {
    @Test("the last error, whatever the form", arguments: [
        ("{\"level\":\"error\",\"msg\":\"a\"}\n{\"level\":\"warning\",\"msg\":\"b\"}\n", "a"), ("time=\"x\" level=error msg=\"say \\\"hi\\\"\"\n", "say \"hi\""),
        ("plain words\n", "plain words"), ("", ""), ("Error: Unknown option '--x'\nUsage: nacelle-oci create\n  See 'nacelle-oci --help'\n", "Unknown option '--x'"), ("time=\"x\" level=info msg=fine\nlast line\n", "last line"),
    ])
    func messages(text: String, expected: String) { #expect(OCIRuntime.lastMessage(text) == expected) }

    @Test("statuses", arguments: [
        ("exec: \"x\": executable file not found in $PATH", 127), ("exec: \"/x\": permission denied", 126), ("exec /x: exec format error", 126), ("exec: \"/x\": stat /x: no such file or directory", 127),
        ("container does not exist", 125), ("mount /x: no such file or directory", 125),
    ])
    func statuses(text: String, status: Int32) { #expect(OCIRuntime.failure(text, path: "runc").exitStatus == status) }
}
