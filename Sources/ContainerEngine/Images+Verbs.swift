internal import ContainerRuntime
internal import Glibc
public import ImageStore
public import JSONText
internal import LayerArchive
internal import LinuxSystem
public import OCIImage

extension Images {
    /// A row of `images` for each name, and for each image without one.
    public func rows(shortened: Bool, platform: Platform = .current) throws(EngineError) -> [JSONValue] {
        try with { (store) throws(StoreError) in
            var rows: [(String, JSONValue)] = []
            for named in try store.images() {
                // One for another platform, or damaged, is listed by what is known of it.
                let stored = try? store.image(named.descriptor, platform: platform)
                let reference = named.name.flatMap { try? Reference($0) }
                let created = stored?.configuration.created.flatMap(LogTime.nanoseconds)
                let size = stored.map { image in image.manifest.layers.reduce(image.manifest.config.size) { $0 + max(0, $1.size) } }
                let id = stored?.id ?? named.descriptor.digest
                let repository = reference?.repository.familiar ?? named.name ?? "<none>"
                rows.append((repository, Engine.object([
                    ("Repository", .string(repository)), ("Tag", .string(reference?.tag ?? "<none>")), ("ID", .string(shortened ? String(id.hex.prefix(12)) : "\(id)")),
                    ("Digest", .string("\(named.descriptor.digest)")), ("CreatedAt", .string(stored?.configuration.created ?? "")),
                    ("CreatedSince", Self.since(created)),
                    ("Size", .string(size.map { HumanText.bytes(UInt64($0)) } ?? "")),
                    ("Labels", Engine.object(stored?.configuration.config.labels ?? [:])),
                ])))
            }
            return rows.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    /// How long ago it was, in words; empty when nobody knows.
    private static func since(_ created: Int64?) -> JSONValue {
        .string(created.map { HumanText.duration(seconds: max(0, realtimeNanoseconds() - $0) / 1_000_000_000) + " ago" } ?? "")
    }

    /// The ids of all images, each once.
    public func identifiers() throws(EngineError) -> [String] {
        try with { (store) throws(StoreError) in Set(try store.images().compactMap { (try? store.image($0.descriptor))?.id.hex }).sorted() }
    }

    /// A row of `history` for each step that made an image, the last one first.
    public func history(_ found: Found, shortened: Bool) -> [JSONValue] {
        let configuration = found.stored.configuration
        var layers = found.stored.manifest.layers[...]
        var rows: [JSONValue] = []
        for (index, entry) in configuration.history.enumerated() {
            let size = entry.emptyLayer ? 0 : layers.popFirst()?.size ?? 0
            let created = entry.created.flatMap(LogTime.nanoseconds)
            let text = entry.createdBy ?? ""
            rows.append(Engine.object([
                ("ID", .string(index == configuration.history.count - 1 ? shortened ? String(found.stored.id.hex.prefix(12)) : "\(found.stored.id)" : "<missing>")), ("CreatedAt", .string(entry.created ?? "")),
                ("CreatedSince", Self.since(created)),
                ("CreatedBy", .string(shortened && text.count > 45 ? text.prefix(44) + "…" : text)), ("Size", .string(HumanText.bytes(UInt64(max(0, size))))), ("Comment", .string(entry.comment ?? "")),
            ]))
        }
        return rows.reversed()
    }

    /// Gives an image a further name.
    public func tag(_ found: Found, as name: String) throws(EngineError) {
        let reference = try Self.reference(name)
        guard reference.digest == nil else { throw EngineError("\(reference) names a digest, which an image has by itself: write a tag") }
        try with { (store) throws(StoreError) in
            let lease = try store.lease()
            defer { lease.end() }
            // The index, if the name stands for one.
            var descriptor = found.stored.descriptor
            if let name = found.name, let named = try store.resolve(name) { descriptor = named }
            try store.setName("\(reference)", to: descriptor, lease: lease)
        }
    }

    /// Takes in an archive from standard input. It is kept aside first: it is read once for each kind that it may be of.
    public func loadStandardInput() throws(EngineError) -> [String] {
        let file = try doing("load: cannot keep standard input aside") { () throws(SystemError) in
            try makeFolders(root)
            let file = try Self.unnamedFile(in: OwnedDescriptor(opening: root, flags: O_PATH | O_DIRECTORY))
            let input = try OwnedDescriptor(duplicating: 0)
            var buffer = [UInt8](repeating: 0, count: 1 << 18)
            while true {
                let count = try input.read(into: &buffer)
                if count == 0 { return SharedDescriptor(file) }
                try file.writeAll(Array(buffer[..<count]))
            }
        }
        defer { withExtendedLifetime(file) {} }
        return try load(at: Self.ownDescriptors + "\(file.rawValue)")
    }

    private static let ownDescriptors = "/proc/self/fd/"

    private static func unnamedFile(in folder: borrowing OwnedDescriptor) throws(SystemError) -> OwnedDescriptor {
        do throws(SystemError) { return try folder.openUnnamedFile(flags: O_RDWR, mode: 0o600) } catch where error.errno == .notSupported {
            // overlayfs before Linux 6.3
            let name = try EntryName(".load-\(UInt64.random(in: .min ... .max))")
            let file = try folder.openEntry(name, flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
            try folder.removeFile(name)
            return file
        }
    }

    /// Takes in an archive, or what TRANSPORT:PATH[:NAME] says.
    /// - Returns: the images' names here; the ids of those without one.
    public func load(_ text: String, _ surroundings: Surroundings) throws(EngineError) -> [String] {
        guard ImageLocation.Transport.allCases.contains(where: { text.hasPrefix($0.rawValue + ":") }) else { return try load(at: surroundings.absolute(text)) }
        var location: ImageLocation
        do throws(StoreError) { location = try ImageLocation(text) } catch { throw EngineError("load: \(error)") }
        location.path = surroundings.absolute(location.path)
        return try load(location)
    }

    /// An archive may be of both kinds at once; Docker's has the names.
    private func load(at path: String) throws(EngineError) -> [String] {
        var first: EngineError?
        for transport in [ImageLocation.Transport.dockerArchive, .ociArchive] {
            do throws(EngineError) { return try load(ImageLocation(transport, path: path)) } catch { first = first ?? error }
        }
        throw first ?? EngineError("load: nothing is named")
    }

    private func load(_ location: ImageLocation) throws(EngineError) -> [String] {
        try with { (store) throws(StoreError) in
            let lease = try store.lease()
            defer { lease.end() }
            var names: [String] = []
            for image in try store.importImages(from: location, lease: lease) {
                let reference = (image.name ?? location.name).flatMap { Self.reference($0, in: location) }
                let stored = try store.image(image.descriptor)
                try store.unpack(stored, lease: lease)
                let name = reference.map { "\($0)" } ?? "localhost/imported:\(stored.id.hex.prefix(12))"
                try store.setName(name, to: image.descriptor, lease: lease)
                names.append(name)
            }
            return names
        }
    }

    /// A layout's names may be tags alone: then the repository is called as the layout is.
    private static func reference(_ name: String, in location: ImageLocation) -> Reference? {
        if name.contains("/") || name.contains(":") { return try? Reference(name).tagged }
        let file = location.path.hasPrefix(ownDescriptors) ? "imported" : location.path.split(separator: "/").last.map { $0.prefix { $0 != "." }.lowercased() } ?? "imported"
        return try? Reference("localhost/\(file):\(name)")
    }

    public func save(_ found: Found, to location: ImageLocation) throws(EngineError) {
        var location = location
        location.name = found.name ?? found.shownName
        let place = location
        try with { (store) throws(StoreError) in try store.export(found.stored.descriptor, to: place) }
    }

    /// Makes an image of one layer.
    /// - Returns: its id.
    public func importTar(_ path: String, as name: String?, changes: [ImageChange], comment: String?, _ surroundings: Surroundings) throws(EngineError) -> String {
        let reference = try name.map { (name) throws(EngineError) in try Self.reference(name) }
        let file = try doing("import \(path)") { () throws(SystemError) in
            SharedDescriptor(path == "-" ? try OwnedDescriptor(duplicating: 0) : try OwnedDescriptor(opening: surroundings.absolute(path), flags: O_RDONLY))
        }
        let now = Timestamp.text(nanoseconds: realtimeNanoseconds() / 1_000_000_000 * 1_000_000_000)
        return try with { (store) throws(StoreError) in
            let lease = try store.lease()
            defer { lease.end() }
            let (layer, diffID) = try store.importLayer(from: ByteSource(file), lease: lease)
            var parameters = ExecutionParameters()
            for change in changes { change.apply(to: &parameters) }
            let configuration = ImageConfiguration(
                created: now, platform: .current, config: parameters, diffIDs: [diffID], history: [HistoryEntry(created: now, createdBy: "nacelle import \(path)", comment: comment)])
            let bytes = configuration.json.bytes()
            let config = Descriptor(mediaType: .imageConfiguration, digest: try store.put(bytes, lease: lease), size: Int64(bytes.count))
            let manifest = Manifest(config: config, layers: [layer]).bytes
            let descriptor = Descriptor(mediaType: .imageManifest, digest: try store.put(manifest, lease: lease), size: Int64(manifest.count))
            let stored = try store.image(descriptor)
            try store.unpack(stored, lease: lease)
            try store.setName(reference.map { "\($0)" } ?? "localhost/imported:\(stored.id.hex.prefix(12))", to: descriptor, lease: lease)
            return stored.id.hex
        }
    }
}
