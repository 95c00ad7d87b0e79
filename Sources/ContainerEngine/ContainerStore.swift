internal import Glibc
internal import JSONText
internal import LinuxSystem

/// All containers of one data folder.
public struct ContainerStore: Sendable {
    public let folders: EngineFolders
    public init(_ folders: EngineFolders) { self.folders = folders }

    public func folder(_ id: String) -> ContainerFolder { ContainerFolder(containers: folders.containers, id: id) }

    public func identifiers() throws(EngineError) -> [String] {
        do throws(SystemError) {
            let names = try OwnedDescriptor(opening: folders.containers, flags: O_PATH | O_DIRECTORY).entryNames()
            return names.compactMap { String(validating: $0.bytes, as: UTF8.self) }.filter(ContainerFolder.isID).sorted()
        } catch {
            if error.errno == .noSuchFile { return [] }
            throw EngineError("cannot list the containers", error)
        }
    }

    /// The container that `text` means: a name, an id, or the beginning of one alone.
    public func find(_ text: String) throws(EngineError) -> ContainerFolder {
        let all = try identifiers()
        if all.contains(text) { return folder(text) }
        // A damaged one has no name that could be known.
        if let named = try find(name: text) { return named }
        let isPrefix = !text.isEmpty && text.utf8.count < 64 && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0) }
        let matching = isPrefix ? all.filter { $0.hasPrefix(text) } : []
        if matching.count > 1 { throw EngineError("\(quoted(text)) is the beginning of \(matching.count) containers' ids: write more of it (`nacelle ps -a --no-trunc`)") }
        guard let id = matching.first else { throw EngineError("no such container: \(quoted(text)) is no name and no beginning of an id (`nacelle ps -a` lists them)") }
        return folder(id)
    }

    /// The container that has exactly this name; nil when none has.
    public func find(name: String) throws(EngineError) -> ContainerFolder? {
        try identifiers().first { (try? folder($0).record().name) == name && !name.isEmpty }.map(folder)
    }

    /// Makes a container's folder with its record, under the name that is asked for or a new one.
    func make(name: String?, _ fill: (_ id: String, _ name: String) throws(EngineError) -> ContainerRecord) throws(EngineError) -> (folder: ContainerFolder, record: ContainerRecord) {
        try folders.make()
        let lock = try lock()
        defer { withExtendedLifetime(lock) {} }
        let taken = Dictionary(try identifiers().map { ((try? folder($0).record().name) ?? "", $0) }, uniquingKeysWith: { first, _ in first })
        if let name, let owner = taken[name] { throw Self.isTaken(name, by: owner) }
        let id = try ContainerNames.newID()
        let chosen: String
        if let name { chosen = name } else { chosen = try ContainerNames.newName { taken[$0] != nil } }
        let record = try fill(id, chosen)
        let made = folder(id)
        try made.make()
        do throws(EngineError) { try made.save(record) } catch {
            // Nothing but the empty folder is there; the first error is the one to tell.
            try? made.remove()
            throw error
        }
        return (made, record)
    }

    private static func isTaken(_ name: String, by owner: String) -> EngineError {
        EngineError("the name \(quoted(name)) is taken by container \(owner.prefix(12)): remove that one (`nacelle rm \(name)`), or choose another name")
    }

    func rename(_ folder: ContainerFolder, to name: String) throws(EngineError) {
        let lock = try lock()
        defer { withExtendedLifetime(lock) {} }
        if let owner = try find(name: name) { throw Self.isTaken(name, by: owner.id) }
        var record = try folder.record()
        record.name = name
        try folder.save(record)
    }

    private func lock() throws(EngineError) -> SharedDescriptor {
        do throws(SystemError) {
            let file = try OwnedDescriptor(opening: folders.data + "/lock", flags: O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
            try file.lock()
            return SharedDescriptor(file)
        } catch { throw EngineError("cannot lock the list of containers", error) }
    }
}
