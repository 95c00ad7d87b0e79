internal import JSONText
internal import LayerArchive
internal import LinuxSystem
internal import OCIImage

/// The archive of `docker save`: a manifest.json that names, for each image, its configuration, its layers' archives and its tags.
struct DockerArchive {
    private struct Entry {
        var configuration: String
        var layers: [String]
        var tags: [String]
    }
    private let archive: ImportedArchive
    private let location: ImageLocation
    private let entries: [Entry]

    init(_ archive: ImportedArchive, _ location: ImageLocation) throws(StoreError) {
        (self.archive, self.location) = (archive, location)
        guard let bytes = archive.documents["manifest.json"] else { throw .invalid("\(location) is no archive of `docker save`: it has no manifest.json") }
        do {
            entries = try JSONCursor(JSONValue(parsing: bytes)).array { (cursor) throws(JSONShapeError) in
                let members = try cursor.object()
                return Entry(
                    configuration: try members.required("Config").string(), layers: try members["Layers"]?.strings() ?? [], tags: try members["RepoTags"]?.strings() ?? [])
            }
        } catch { throw .invalid("\(location.path): manifest.json: \(error)") }
    }

    func images(in store: ImageStore, lease: Lease) throws(StoreError) -> [NamedImage] {
        var images: [NamedImage] = []
        for entry in entries {
            if let name = location.name, !entry.tags.contains(name) { continue }
            let descriptor = try manifest(of: entry, in: store, lease: lease)
            images += (location.name.map { [$0] } ?? entry.tags).map { NamedImage(name: $0, descriptor: descriptor) }
            if location.name == nil && entry.tags.isEmpty { images.append(NamedImage(name: nil, descriptor: descriptor)) }
        }
        if images.isEmpty, let name = location.name {
            throw .notFound("image \(quoted(name)) in", "\(location.transport.rawValue):\(location.path), which has \(entries.flatMap(\.tags).map(quoted).joined(separator: ", "))")
        }
        return images
    }

    private func manifest(of entry: Entry, in store: ImageStore, lease: Lease) throws(StoreError) -> Descriptor {
        let config = try file(entry.configuration)
        let stem = (entry.configuration.split(separator: "/").last ?? "").split(separator: ".").first ?? ""
        if stem.utf8.count == 64, stem != config.digest.hex {
            throw .corrupt("\(location.path): the configuration \(entry.configuration) is \(config.digest), and not what its name says")
        }
        guard entry.layers.count <= StoredImage.mostLayers else { throw .invalid("\(location.path): an image in it has \(entry.layers.count) layers; \(StoredImage.mostLayers) are the most that work") }
        var layers: [Descriptor] = []
        for name in entry.layers {
            let file = try file(name)
            let compression = try StoreError.ofLayer(name) { () throws(LayerError) in try LayerCompression(of: try openLayer(file, store)) }
            layers.append(Descriptor(mediaType: compression.mediaType, digest: file.digest, size: file.size))
        }
        let manifest = Manifest(config: Descriptor(mediaType: .imageConfiguration, digest: config.digest, size: config.size), layers: layers)
        let bytes = manifest.bytes
        let descriptor = Descriptor(mediaType: .imageManifest, digest: try store.put(bytes, lease: lease), size: Int64(bytes.count))
        // The configuration must be one, and have as many layers.
        _ = try store.image(descriptor)
        return descriptor
    }

    private func openLayer(_ file: ImportedArchive.File, _ store: ImageStore) throws(LayerError) -> ByteSource {
        do throws(StoreError) { return try store.open(file.digest) } catch { throw .stream(SystemError(.noSuchFile, "open", path: "\(file.digest)")) }
    }

    private func file(_ name: String) throws(StoreError) -> ImportedArchive.File {
        guard let file = archive.file(name) else { throw .corrupt("\(location.path): manifest.json names \(quoted(name)), which is not in the archive") }
        return file
    }
}
