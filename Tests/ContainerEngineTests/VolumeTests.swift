import Foundation
import Glibc
import JSONText
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerEngine

@Suite("named volumes")
struct VolumeTests {
    private let path = "/tmp/nacelle-engine-test-\(UUID().uuidString)"
    private var store: ContainerStore { ContainerStore(EngineFolders(data: path + "/data", run: path + "/run")) }
    private var volumes: Volumes { Volumes(store) }

    init() throws { try FileManager.default.createDirectory(atPath: path + "/image", withIntermediateDirectories: true) }

    private func done() { try? FileManager.default.removeItem(atPath: path) }
    private func write(_ text: String, _ file: String) throws { try text.write(toFile: path + "/" + file, atomically: false, encoding: .utf8) }
    private func image() throws -> SharedDescriptor { SharedDescriptor(try OwnedDescriptor(opening: path + "/image", flags: O_PATH | O_DIRECTORY)) }
    private func content(_ name: String) throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: volumes.data(name)).sorted() }
    private func container(_ name: String, _ used: [String]) throws -> ContainerFolder {
        try store.make(name: name) { id, name in
            var record = ContainerRecord()
            (record.id, record.name, record.runtime, record.volumes) = (id, name, "runc", used)
            return record
        }.folder
    }

    @Test("made once, listed by name, gone when removed")
    func life() throws {
        defer { done() }
        #expect(try volumes.list() == [])
        #expect(try volumes.make("data", labels: ["a": "b"]))
        #expect(try !volumes.make("data"))
        #expect(try volumes.makeUnnamed(labels: [:]).utf8.count == 64)
        #expect(try volumes.list().count == 2)
        #expect(try volumes.record("data").labels == ["a": "b"])
        try volumes.remove("data", force: false)
        #expect(throws: EngineError("no such volume: \"data\" (nacelle volume ls lists them)")) { try volumes.remove("data", force: false) }
        try volumes.remove("data", force: true)
    }

    @Test("names", arguments: [("ok", true), ("a.b-c_d", true), ("a", false), ("-a", false), (".a", false), ("", false), ("a/b", false), ("..", false), ("a\u{0}b", false), (String(repeating: "x", count: 256), false)])
    func names(name: String, isGood: Bool) {
        defer { done() }
        #expect(((try? Volumes.check(name)) != nil) == isGood)
    }

    @Test("an empty one gets what the image has, with owner and mode; one with something in it keeps that")
    func filling() throws {
        defer { done() }
        try write("of the image", "image/file")
        unsafe chmod(path + "/image", 0o2750)
        try volumes.provide("data", original: try image())
        #expect(try content("data") == ["file"])
        #expect(try OwnedDescriptor(opening: volumes.data("data"), flags: O_PATH).attributes().mode & 0o7777 == 0o2750)
        try FileManager.default.removeItem(atPath: volumes.data("data") + "/file")
        try write("own", "data/volumes/data/data/own")
        try volumes.provide("data", original: try image())
        #expect(try content("data") == ["own"])
        try volumes.provide("empty", original: nil)
        #expect(try content("empty") == [])
    }

    @Test("one that somebody was killed over while filling it is filled whole; what is half made or half removed is neither in the way nor in the list")
    func interrupted() throws {
        defer { done() }
        try write("1", "image/one")
        try write("2", "image/two")
        try volumes.make("data")
        var record = try volumes.record("data")
        record.isBeingFilled = true
        try writeFile(volumes.path + "/data/volume.json", record.json.bytes())
        try write("1", "data/volumes/data/data/one")
        for name in [".new/data", ".removed-7/data"] { try FileManager.default.createDirectory(atPath: volumes.path + "/" + name, withIntermediateDirectories: true) }
        try volumes.provide("data", original: try image())
        #expect(try content("data") == ["one", "two"])
        #expect(try volumes.record("data").isBeingFilled == false)
        #expect(try FileManager.default.contentsOfDirectory(atPath: volumes.path).sorted() == [".lock", "data"])
        #expect(try volumes.list().map(\.name) == ["data"])
    }

    @Test("none is removed that a container has")
    func used() throws {
        defer { done() }
        for name in ["one", "two", "three"] { try volumes.make(name) }
        let first = try container("first", ["one", "two"])
        _ = try container("second", ["two"])
        #expect(throws: EngineError("volume one is used by container first: remove it first (nacelle rm first)")) { try volumes.remove("one", force: true) }
        let error = #expect(throws: EngineError.self) { try volumes.remove("two", force: false) }
        #expect(error?.message.contains("first") == true && error?.message.contains("second") == true)
        #expect(try volumes.prune { _ in true } == ["three"])
        try first.remove()
        #expect(try volumes.prune { $0.name != "one" } == [])
        #expect(try volumes.prune { _ in true } == ["one"])
    }

    @Test("what somebody has mounted in one is not emptied, and hinders no other volume", .enabled(if: geteuid() == 0, "needs root"))
    func mounted() throws {
        defer { done() }
        try volumes.make("data")
        try volumes.make("other")
        let place = volumes.data("data") + "/m"
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        try MountTree.mount("tmpfs", at: place, type: "tmpfs", data: "")
        let mount = try OwnedDescriptor(opening: place, flags: O_RDONLY | O_DIRECTORY)
        defer { for entry in (try? FileManager.default.contentsOfDirectory(atPath: volumes.path)) ?? [] { unsafe umount2("\(volumes.path)/\(entry)/data/m", Int32(MNT_DETACH)) } }
        _ = try mount.openEntry(EntryName("file"), flags: O_WRONLY | O_CREAT, mode: 0o600)
        #expect(throws: EngineError.self) { try volumes.remove("data", force: false) }
        #expect(try mount.entryNames().count == 1)
        try volumes.remove("other", force: false)
        #expect(try volumes.list() == [])
    }

    @Test("several at once make one")
    func concurrent() async throws {
        defer { done() }
        let volumes = volumes
        let made = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<16 { group.addTask { try volumes.make("data") } }
            return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(made == 1)
        #expect(try content("data") == [])
    }
}

@Suite("what bench prints")
struct BenchReportTests {
    @Test("medians", arguments: [([], 0), ([5], 5), ([9, 1, 5], 5), ([4, 1, 2, 9], 3)] as [([Int64], Int64)])
    func medians(values: [Int64], expected: Int64) { #expect(BenchReport.median(values) == expected) }

    @Test("rows are compared with the first")
    func table() {
        var first = Benchmark.Result(subject: Benchmark.Subject(runtime: "nacelle-oci", isolation: "microvm"))
        (first.firstByte, first.life, first.exec, first.memory) = ([50_000_000], [80_000_000, 120_000_000, 100_000_000], [10_000_000], 64 << 20)
        var second = Benchmark.Result(subject: Benchmark.Subject(runtime: "runc"))
        (second.life, second.exec, second.memory) = ([50_000_000], [5_000_000], 1 << 20)
        let report = BenchReport(image: "i", rounds: 3, facts: [], results: [first, second], omissions: [Benchmark.Omission(name: "crun", reason: "is not there")])
        #expect(report.table[1] == ["nacelle-oci (microvm)", "50.0 ms (50.0-50.0)", "x1.00", "100.0 ms (80.0-120.0)", "x1.00", "10.0 ms (10.0-10.0)", "x1.00", "64.00MiB", "x1.00"])
        #expect(report.table[2] == ["runc", "-", "", "50.0 ms (50.0-50.0)", "x0.50", "5.0 ms (5.0-5.0)", "x0.50", "1.00MiB", "x0.02"])
        #expect(report.json.text().contains("\"omitted\":[{\"name\":\"crun\",\"reason\":\"is not there\"}]"))
    }
}
