internal import ContainerRuntime
internal import Glibc
public import JSONText
internal import LinuxSystem
public import OCISpec

/// What is known of a named volume: `volume.json`.
public struct VolumeRecord: SpecObject, Equatable {
    public var name = ""
    /// Nanoseconds since 1970.
    public var created: Int64 = 0
    public var labels: [String: String] = [:]
    /// What an image has in its place is being copied into it; if nobody holds the lock, whoever did was killed.
    public var isBeingFilled = false

    public init() {}

    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("name", &name)
        try mapper.required("created", &created)
        try mapper.map("labels", &labels)
        try mapper.defaulted("isBeingFilled", &isBeingFilled, false)
    }
}

/// Named volumes: folders that containers share, and that outlive them.
///
///     DATA/volumes/NAME/volume.json    the record
///     DATA/volumes/NAME/data           what containers see
///     DATA/volumes/.lock               held while a volume is made, filled or removed
///     DATA/volumes/.…                  on its way in or out; whoever has the lock next removes what is left of it
///
/// A container's record names its volumes, and is written before they are looked for under the lock: so no volume is removed that a container is about to get.
public struct Volumes: Sendable {
    let path: String
    private let store: ContainerStore

    init(_ store: ContainerStore) {
        self.store = store
        path = store.folders.data + "/volumes"
    }

    /// What containers see of a volume.
    public func data(_ name: String) -> String { "\(path)/\(name)/data" }

    /// The rule is Docker's.
    public static func check(_ name: String) throws(EngineError) -> String {
        let isName = name.utf8.enumerated().allSatisfy { index, byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"): index > 0
            default: false
            }
        }
        guard isName, (2...255).contains(name.utf8.count) else {
            throw EngineError("volume \(quoted(name)): a name has 2 to 255 letters, digits, `_`, `.` and `-`, a letter or digit first (a folder of this host is named by its path, such as ./\(name))")
        }
        return name
    }

    // MARK: Looking

    /// By name.
    public func list() throws(EngineError) -> [VolumeRecord] {
        let names: [EntryName]
        do throws(SystemError) { names = try OwnedDescriptor(opening: path, flags: O_PATH | O_DIRECTORY).entryNames().sorted() } catch {
            if error.errno == .noSuchFile { return [] }
            throw EngineError("cannot list the volumes", error)
        }
        var result: [VolumeRecord] = []
        for name in names.map({ String(decoding: $0.bytes, as: UTF8.self) }) where !name.hasPrefix(".") {
            // One that was removed meanwhile is none.
            if let record = try find(name) { result.append(record) }
        }
        return result
    }

    public func record(_ name: String) throws(EngineError) -> VolumeRecord {
        guard let record = try find(try Self.check(name)) else { throw EngineError("no such volume: \(quoted(name)) (nacelle volume ls lists them)") }
        return record
    }

    private func find(_ name: String) throws(EngineError) -> VolumeRecord? {
        let file = "\(path)/\(name)/volume.json"
        let text: [UInt8]
        do throws(SystemError) { text = try readFile(file, limit: 1 << 20) } catch {
            if error.errno == .noSuchFile { return nil }
            throw EngineError("cannot read volume \(name)", error)
        }
        do {
            var unknown: [String] = []
            return try VolumeRecord(JSONCursor(JSONValue(parsing: text)), unknown: &unknown)
        } catch { throw EngineError("volume \(name) is damaged: \(file): \(error)") }
    }

    /// The names of containers that have a volume, whether they run or not.
    public func users() throws(EngineError) -> [String: [String]] {
        var result: [String: [String]] = [:]
        for id in try store.identifiers() {
            let record = try store.folder(id).record()
            for volume in record.volumes { result[volume, default: []].append(record.name) }
        }
        return result
    }

    /// What `inspect` shows, by Docker's names.
    public func inspection(_ record: VolumeRecord) -> JSONValue {
        Engine.object([
            ("Name", .string(record.name)), ("Driver", .string("local")), ("Scope", .string("local")), ("Mountpoint", .string(data(record.name))),
            ("CreatedAt", .string(Timestamp.text(nanoseconds: record.created))), ("Labels", Engine.object(record.labels)),
        ])
    }

    // MARK: Making and removing

    /// Makes a volume, if there is none of that name.
    /// - Returns: whether it was made.
    @discardableResult
    public func make(_ name: String, labels: [String: String] = [:]) throws(EngineError) -> Bool {
        try locked("cannot make volume \(name)") { (folder) throws(SystemError) in try Self.make(name, labels, in: folder, path) }
    }

    /// A name that nobody has: 64 hexadecimal digits, as a container's id.
    public func makeUnnamed(labels: [String: String]) throws(EngineError) -> String {
        let name = try ContainerNames.newID()
        try make(name, labels: labels)
        return name
    }

    private static func make(_ name: String, _ labels: [String: String], in folder: borrowing OwnedDescriptor, _ path: String) throws(SystemError) -> Bool {
        let new = try EntryName(".new")
        if (try? folder.openEntry(try EntryName(name), flags: O_PATH)) != nil { return false }
        try folder.makeDirectory(new, mode: 0o700)
        let own = try folder.openEntry(new, flags: O_PATH | O_DIRECTORY)
        try own.makeDirectory(try EntryName("data"), mode: 0o755)
        var record = VolumeRecord()
        (record.name, record.created, record.labels) = (name, realtimeNanoseconds(), labels)
        try write(record, path + "/.new")
        // Whole on the disk before it has its name.
        try OwnedDescriptor(opening: path, flags: O_RDONLY | O_DIRECTORY).synchronizeFileSystem()
        try folder.rename(new, to: folder, try EntryName(name), flags: UInt32(RENAME_NOREPLACE))
        return true
    }

    private static func write(_ record: VolumeRecord, _ folder: String) throws(SystemError) {
        try writeFile(folder + "/volume.json.new", record.json.bytes(), mode: 0o600)
        let own = try OwnedDescriptor(opening: folder, flags: O_PATH | O_DIRECTORY)
        try own.rename(try EntryName("volume.json.new"), to: own, try EntryName("volume.json"), flags: 0)
    }

    /// Makes a volume unless it is there, and copies into one that is empty what an image has in its place.
    /// - Parameter original: the image's directory; nil when there is none, or nothing is to be copied.
    func provide(_ name: String, original: SharedDescriptor?) throws(EngineError) {
        try locked("cannot make volume \(name)") { (folder) throws(SystemError) in
            _ = try Self.make(name, [:], in: folder, path)
            guard let original else { return }
            var record: VolumeRecord
            do throws(EngineError) { record = try self.record(name) } catch { throw SystemError(.ioError, error.message) }
            let target = try OwnedDescriptor(opening: data(name), flags: O_PATH | O_DIRECTORY)
            let isEmpty = try target.entryNames().isEmpty
            guard record.isBeingFilled || isEmpty else { return }
            record.isBeingFilled = true
            try Self.write(record, "\(path)/\(name)")
            try TreeCopy.fill(target, with: original)
            record.isBeingFilled = false
            try Self.write(record, "\(path)/\(name)")
        }
    }

    /// - Throws: while a container has it, with the container's name.
    public func remove(_ name: String, force: Bool) throws(EngineError) {
        let name = try Self.check(name)
        guard let found = try removeUnused([name]).first else {
            if force { return }
            throw EngineError("no such volume: \(quoted(name)) (nacelle volume ls lists them)")
        }
        if case .used(let containers) = found.outcome {
            throw EngineError("volume \(name) is used by \(containers.count == 1 ? "container" : "containers") \(containers.joined(separator: ", ")): remove \(containers.count == 1 ? "it" : "them") first (nacelle rm \(containers.joined(separator: " ")))")
        }
    }

    /// Removes those that no container has.
    /// - Returns: their names.
    public func prune(_ matches: (VolumeRecord) -> Bool) throws(EngineError) -> [String] {
        try removeUnused(try list().filter(matches).map(\.name)).filter { $0.outcome == .removed }.map(\.name)
    }

    private enum Outcome: Equatable { case removed, used([String]) }

    private func removeUnused(_ names: [String]) throws(EngineError) -> [(name: String, outcome: Outcome)] {
        try locked("cannot remove volumes") { (folder) throws(SystemError) in
            let users: [String: [String]]
            do throws(EngineError) { users = try self.users() } catch { throw SystemError(.ioError, error.message) }
            var result: [(String, Outcome)] = []
            for name in names {
                if let containers = users[name] {
                    result.append((name, .used(containers)))
                    continue
                }
                let removed = try EntryName(".removed-\(UInt64.random(in: .min ... .max))")
                do throws(SystemError) { try folder.rename(try EntryName(name), to: folder, removed, flags: UInt32(RENAME_NOREPLACE)) } catch where error.errno == .noSuchFile { continue }
                try folder.removeTree(removed)
                result.append((name, .removed))
            }
            return result
        }
    }

    /// With the folder of volumes, which nobody else changes, and in which nothing is half made.
    private func locked<Result>(_ what: String, _ body: (borrowing OwnedDescriptor) throws(SystemError) -> Result) throws(EngineError) -> Result {
        try doing(what) { () throws(SystemError) in
            try makeFolders(path)
            let lock = try FileLock(path + "/.lock", exclusive: true)
            defer { _ = lock.descriptor.rawValue }
            let folder = try OwnedDescriptor(opening: path, flags: O_PATH | O_DIRECTORY)
            // What cannot go now (somebody has mounted something there) hinders nobody.
            for name in try folder.entryNames() where name.bytes.first == UInt8(ascii: ".") && !name.bytes.elementsEqual(".lock".utf8) { try? folder.removeTree(name) }
            return try body(folder)
        }
    }
}
