internal import ContainerRuntime
internal import Glibc
internal import ImageStore
public import JSONText
internal import LayerArchive
internal import LinuxSystem
internal import OCIImage
internal import OCISpec

/// What concerns images and containers alike.
extension Engine {
    /// Takes a name away; of an image that is named by its id, all its names.
    /// - Returns: what to tell the user.
    public func removeImage(_ text: String, force: Bool) throws(EngineError) -> [String] {
        guard let found = try images.find(text) else {
            if force { return [] }
            throw EngineError("no such image: \(quoted(text)) is neither a name nor the beginning of an id (nacelle images lists them)")
        }
        let id = "\(found.stored.id)"
        let byName = (try? Reference(text).tagged).map { "\($0)" } == found.name || text == found.name
        let names = try images.with { (store) throws(StoreError) in try store.images().filter { (try? store.image($0.descriptor).id) == found.stored.id } }
        let isLast = !byName || names.count == 1
        if isLast && !force, let user = try views().first(where: { $0.record.imageID == id }) {
            throw EngineError("image \(text) is what container \(user.record.name) was made of: remove that one first (nacelle rm \(user.record.name)), or use -f, with which the container keeps its content")
        }
        return try images.with { (store) throws(StoreError) in
            if byName, let name = found.name {
                _ = try store.removeName(name)
                return ["Untagged: \(name)"] + (isLast ? ["Deleted: \(id)"] : [])
            }
            var lines: [String] = []
            for digest in Set(names.map(\.descriptor.digest)) { lines += try store.removeImage(digest).map { "Untagged: \($0)" } }
            return lines + ["Deleted: \(id)"]
        }
    }

    /// Forgets images without a name (with `all` those that no container was made of, too), and removes what nothing needs any more.
    /// - Returns: how many bytes became free.
    public func pruneImages(all: Bool) throws(EngineError) -> Int64 {
        let used = Set(try views().map(\.record.imageID))
        return try images.with { (store) throws(StoreError) in
            _ = try store.removeUnnamed()
            if all { for named in try store.images() { if let id = try? store.image(named.descriptor).id, !used.contains("\(id)") { _ = try store.removeImage(named.descriptor.digest) } } }
            return try store.collect().bytes
        }
    }

    /// What `inspect` shows of an image.
    public func inspection(image text: String) throws(EngineError) -> JSONValue? {
        guard let found = try images.find(text) else { return nil }
        let stored = found.stored
        let names = try images.with { (store) throws(StoreError) in try store.images().filter { (try? store.image($0.descriptor).id) == stored.id }.compactMap(\.name) }
        return Self.object([
            ("Id", .string("\(stored.id)")), ("RepoTags", .array(names.map { .string($0) })), ("Digest", .string("\(stored.descriptor.digest)")),
            ("Created", .string(stored.configuration.created ?? "")), ("Author", .string(stored.configuration.author ?? "")),
            ("Os", .string(stored.configuration.platform.os)), ("Architecture", .string(stored.configuration.platform.architecture)),
            ("Size", .integer(stored.manifest.layers.reduce(stored.manifest.config.size) { $0 + max(0, $1.size) })), ("Config", stored.configuration.config.json),
            ("RootFS", Self.object([("Type", .string("layers")), ("Layers", .array(stored.configuration.diffIDs.map { .string("\($0)") }))])),
            ("History", .array(stored.configuration.history.map(\.json))),
        ])
    }

    // MARK: A container's files

    private func made(_ folder: ContainerFolder) throws(EngineError) -> ContainerRecord {
        let record = try folder.record()
        guard record.rootfs.isEmpty else { throw EngineError("container \(record.name) was made of the directory \(record.rootfs), not of an image: there is nothing to compare it with") }
        try checkHasFilesHere(record)
        return record
    }

    /// What the runtime mounts, and makes places for.
    private func mountPoints(_ folder: ContainerFolder) throws(EngineError) -> Set<String> { Set(try folder.configuration().mounts.map(\.destination)) }

    /// What has changed in a container since it was made: `A`, `C` or `D`, and a path.
    public func changes(of folder: ContainerFolder, _ report: (String, String) -> Void) throws(EngineError) {
        let record = try made(folder)
        let places = try mountPoints(folder)
        try images.with { (store) throws(StoreError) in
            try store.changes(of: try store.container(record.id)) { (change) throws(LayerError) in
                let path = change.displayPath
                guard path != "/", !places.contains(path) else { return }
                report(change.kind == .added ? "A" : change.kind == .removed ? "D" : "C", path)
            }
        }
    }

    /// - Returns: the new image's id.
    public func commit(_ folder: ContainerFolder, as name: String?, changes: [ImageChange], comment: String?, author: String?) throws(EngineError) -> String {
        let record = try made(folder)
        let places = try mountPoints(folder)
        let reference = try name.map { (name) throws(EngineError) in try Images.reference(name) }
        let now = Timestamp.text(nanoseconds: realtimeNanoseconds() / 1_000_000_000 * 1_000_000_000)
        return try images.with { (store) throws(StoreError) in
            let lease = try store.lease()
            defer { lease.end() }
            let descriptor = try store.commit(try store.container(record.id), lease: lease, excluding: { places.contains($0) }) { configuration in
                configuration.created = now
                if let author { configuration.author = author }
                for change in changes { change.apply(to: &configuration.config) }
                configuration.history.append(HistoryEntry(created: now, author: author, createdBy: record.command.joined(separator: " "), comment: comment))
            }
            let stored = try store.image(descriptor)
            try store.setName(reference.map { "\($0)" } ?? "localhost/committed:\(stored.id.hex.prefix(12))", to: descriptor, lease: lease)
            return stored.id.hex
        }
    }

    /// Writes a tar of all its files.
    /// - Parameter path: nil is standard output.
    public func export(_ folder: ContainerFolder, to path: String?) throws(EngineError) {
        let record = try folder.record()
        try checkHasFilesHere(record)
        let wasRunning = view(folder).isRunning
        let roots = roots(of: record)
        let root = try openRoot(folder, record, isReadOnly: true)
        let target = try doing("cannot write the tar") { () throws(SystemError) in
            guard let path else { return SharedDescriptor(try OwnedDescriptor(duplicating: 1)) }
            return SharedDescriptor(try OwnedDescriptor(opening: surroundings.absolute(path), flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644))
        }
        do {
            let tree = try root.with { (root: borrowing OwnedDescriptor) throws(SystemError) in SharedDescriptor(try OwnedDescriptor(opening: ".", at: root, flags: O_RDONLY | O_DIRECTORY)) }
            try Self.writeArchive(of: tree, to: target)
        } catch { throw EngineError("cannot export container \(record.name): \(error)") }
        if !wasRunning { try roots.unmount(record) }
    }
}
