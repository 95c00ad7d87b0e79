internal import JSONText
internal import LayerArchive
internal import LinuxSystem
public import OCIImage

extension ImageStore {
    /// Writes an image to a place outside, where the location's name becomes its name.
    /// - Parameters:
    ///   - descriptor: of a manifest or an index.
    ///   - location: an archive must not be there yet; a layout may, and keeps its other images.
    ///   - platform: of the image that `docker-archive`, which has no indexes, gets.
    /// - Throws: when the image is not complete, or the place cannot be written.
    public func export(_ descriptor: Descriptor, to location: ImageLocation, platform: Platform = .current) throws(StoreError) {
        let lease = try lease()
        defer { lease.end() }
        try checkComplete(descriptor, lease: lease)
        switch location.transport {
        case .oci: try exportLayout(descriptor, to: location)
        case .ociArchive:
            let blobs = try parts(of: descriptor)
            try writeArchive(location.path) { (writer) throws(StoreError) in
                try add(Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8), "oci-layout", to: writer)
                try add(OCIImage.Index(manifests: [named(descriptor, location)]).bytes, "index.json", to: writer)
                for part in blobs { try add(part, "blobs/\(part.digest.algorithm.rawValue)/\(part.digest.hex)", to: writer) }
            }
        case .dockerArchive: try exportDocker(try image(descriptor, platform: platform), to: location)
        }
    }

    private func named(_ descriptor: Descriptor, _ location: ImageLocation) -> Descriptor {
        var named = descriptor
        if let name = location.name { named.annotations[ImageLayout.nameAnnotation] = name }
        return named
    }

    /// Everything of an image that is there, each once.
    private func parts(of descriptor: Descriptor) throws(StoreError) -> [Descriptor] {
        var (parts, seen): ([Descriptor], Set<Digest>) = ([], [])
        try walk(descriptor) { (part, _) throws(StoreError) in
            guard try size(of: part.digest) == part.size else { return false }
            if seen.insert(part.digest).inserted { parts.append(part) }
            return true
        }
        return parts
    }

    private func exportLayout(_ descriptor: Descriptor, to location: ImageLocation) throws(StoreError) {
        let path = location.path
        let isLayout = try exists(path + "/index.json")
        if isLayout { try ImageLayout.checkMark(path) }
        let parts = try parts(of: descriptor)
        try StoreError.wrapped("write \(path)") { () throws(SystemError) in
            for folder in [path, path + "/blobs"] { try makeDirectory(folder) }
            for algorithm in Set(parts.map(\.digest.algorithm)) { try makeDirectory("\(path)/blobs/\(algorithm.rawValue)") }
        }
        for part in parts {
            let target = "\(path)/blobs/\(part.digest.algorithm.rawValue)/\(part.digest.hex)"
            if let size = try? FileStatus(path: target).size, size == part.size { continue }
            try copyOut(part, to: target)
        }
        var manifests = isLayout ? try ImageLayout.index(path).manifests : []
        let new = named(descriptor, location)
        manifests.removeAll { $0.annotations[ImageLayout.nameAnnotation] == location.name && (location.name != nil || $0.digest == new.digest) }
        let index = OCIImage.Index(manifests: manifests + [new])
        try StoreError.wrapped("write \(path)") { () throws(SystemError) in
            try DurableFile.replace(path + "/index.json", with: index.bytes)
            if !isLayout { try DurableFile.replace(path + "/oci-layout", with: Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8)) }
        }
    }

    private func copyOut(_ part: Descriptor, to target: String) throws(StoreError) {
        let temporary = target + ".\(uniqueName()).new"
        let source = HashedSource(try open(part.digest), part.digest)
        do throws(StoreError) {
            try StoreError.wrapped("write \(target)") { () throws(SystemError) in
                let output = try OwnedDescriptor(opening: temporary, flags: flags.create, mode: 0o644)
                var buffer = [UInt8](repeating: 0, count: 256 << 10)
                while true {
                    let count = try source.read(&buffer)
                    if count == 0 { break }
                    try output.writeAll(Array(buffer[..<count]))
                }
                try output.synchronize()
            }
            try source.verify()
            try StoreError.wrapped("write \(target)") { () throws(SystemError) in try DurableFile.move(temporary, to: target, synchronize: true) }
        } catch {
            try? DurableFile.remove(temporary)
            throw error
        }
    }

    /// Layers stay as they are compressed: whoever reads such archives looks at the bytes.
    private func exportDocker(_ image: StoredImage, to location: ImageLocation) throws(StoreError) {
        let configuration = "\(image.id.hex).json"
        var names: [String] = []
        for layer in image.manifest.layers { names.append("\(layer.digest.hex).tar") }
        var entry = JSONObject()
        entry["Config"] = .string(configuration)
        entry["RepoTags"] = .array(location.name.map { [.string($0)] } ?? [])
        entry["Layers"] = .array(names.map { .string($0) })
        let manifest = JSONValue.array([.object(entry)]).bytes()
        try writeArchive(location.path) { (writer) throws(StoreError) in
            var written: Set<String> = []
            for (layer, name) in zip(image.manifest.layers, names) where written.insert(name).inserted { try add(layer, name, to: writer) }
            try add(image.manifest.config, configuration, to: writer)
            try add(manifest, "manifest.json", to: writer)
        }
    }

    private func writeArchive(_ path: String, _ body: (LayerWriter) throws(StoreError) -> Void) throws(StoreError) {
        // A pipe may be written to; a file that is there is not overwritten.
        let isNew = (try? FileStatus(path: path).isRegular) ?? true
        let file: SharedDescriptor = try StoreError.wrapped("write \(path)") { () throws(SystemError) in
            SharedDescriptor(try OwnedDescriptor(opening: path, flags: isNew ? flags.createFile : flags.writeStream, mode: 0o644))
        }
        let writer = try StoreError.ofLayer("archive \(path)") { () throws(LayerError) in
            try LayerWriter(.none) { (bytes) throws(SystemError) in
                try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try file.writeAll(bytes) }
            }
        }
        do throws(StoreError) {
            try body(writer)
            _ = try StoreError.ofLayer("archive \(path)") { () throws(LayerError) in try writer.finish() }
        } catch {
            // Half an archive is of no use.
            if isNew { try? DurableFile.remove(path) }
            throw error
        }
    }

    private func add(_ bytes: [UInt8], _ name: String, to writer: LayerWriter) throws(StoreError) {
        try StoreError.ofLayer(name) { () throws(LayerError) in try writer.addFile(name, size: Int64(bytes.count), from: ByteSource(bytes)) }
    }

    private func add(_ part: Descriptor, _ name: String, to writer: LayerWriter) throws(StoreError) {
        let source = HashedSource(try open(part.digest), part.digest)
        try StoreError.ofLayer(name) { () throws(LayerError) in try writer.addFile(name, size: part.size, from: ByteSource { (buffer) throws(SystemError) in try source.read(&buffer) }) }
        try source.verify()
    }
}

/// Content that is hashed while it is read: what has been damaged on the store's disk is not to be handed on.
private final class HashedSource {
    private let source: ByteSource
    private let digest: Digest
    private var digester: ContentDigester

    init(_ source: ByteSource, _ digest: Digest) { (self.source, self.digest, digester) = (source, digest, ContentDigester(digest.algorithm)) }

    func read(_ buffer: inout [UInt8]) throws(SystemError) -> Int {
        let count = try source.read(&buffer)
        digester.update(buffer[..<count])
        return count
    }

    func verify() throws(StoreError) {
        if digester.finish() != digest { throw .corrupt("the content \(digest) in the store is not what its digest says; run fsck") }
    }
}
