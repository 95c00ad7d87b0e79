internal import JSONText
internal import LayerArchive
public import OCIImage

/// One image of a store: its manifest, its configuration, and what its layers are called.
public struct StoredImage: Sendable, Hashable {
    /// Of the manifest.
    public var descriptor: Descriptor
    /// Its configuration and layers as descriptors.
    public var manifest: Manifest
    /// How it is run, and its layers' diff IDs.
    public var configuration: ImageConfiguration
    /// The configuration's digest, by which Docker and podman call an image.
    public var id: Digest { manifest.config.digest }
    /// Of the layers, the base first: each names a layer with all beneath it (image-spec, config.md, "Layer ChainID").
    public let chainIDs: [Digest]

    /// The options of an overlay mount have one page.
    static let mostLayers = 200

    init(_ descriptor: Descriptor, _ manifest: Manifest, _ configuration: ImageConfiguration) throws(StoreError) {
        guard manifest.layers.count == configuration.diffIDs.count else {
            throw .corrupt("the image \(descriptor.digest) has \(manifest.layers.count) layers, and its configuration \(configuration.diffIDs.count)")
        }
        guard manifest.layers.count <= StoredImage.mostLayers else {
            throw .invalid("the image \(descriptor.digest) has \(manifest.layers.count) layers; \(StoredImage.mostLayers) are the most that work")
        }
        (self.descriptor, self.manifest, self.configuration) = (descriptor, manifest, configuration)
        chainIDs = ImageConfiguration.chainIDs(of: configuration.diffIDs) { ContentDigester.digest(of: $0) }
    }
}

extension ImageStore {
    /// The image that a descriptor stands for; of an index, the one that suits the platform best.
    /// - Throws: when something of it is missing or damaged, or nothing in the index suits.
    public func image(_ descriptor: Descriptor, platform: Platform = .current) throws(StoreError) -> StoredImage {
        try image(descriptor, platform, depth: 0)
    }

    private func image(_ descriptor: Descriptor, _ platform: Platform, depth: Int) throws(StoreError) -> StoredImage {
        switch try document(descriptor).content {
        case .manifest(let manifest):
            guard manifest.config.mediaType.isConfiguration else {
                throw .invalid("\(descriptor.digest) is no image but an artifact: its configuration is \(quoted(manifest.config.mediaType.rawValue))")
            }
            let bytes = try read(manifest.config)
            let configuration = try StoreError.parsed("the configuration \(manifest.config.digest)") { () throws(DocumentError) in
                try ImageConfiguration(parsing: bytes, limit: DocumentLimits.configuration)
            }
            return try StoredImage(descriptor, manifest, configuration)
        case .index(let index):
            guard depth < 4 else { throw .invalid("\(descriptor.digest): indexes lie within each other more than 4 deep") }
            let suitable = index.descriptors(for: platform)
            guard !suitable.isEmpty else {
                let others = index.manifests.compactMap { $0.platform.map { "\($0)" } }.joined(separator: ", ")
                throw .notFound("image for \(platform) in", "\(descriptor.digest)\(others.isEmpty ? "" : ", which has \(others)")")
            }
            for candidate in suitable where try size(of: candidate.digest) != nil { return try image(candidate, platform, depth: depth + 1) }
            throw .notFound("image for \(platform) of \(descriptor.digest) in the store;", "pull it for this platform")
        }
    }

    /// The image of a name.
    public func image(named name: String, platform: Platform = .current) throws(StoreError) -> StoredImage {
        guard let descriptor = try resolve(name) else { throw .notFound("image", name) }
        return try image(descriptor, platform: platform)
    }

    func document(_ descriptor: Descriptor) throws(StoreError) -> ManifestDocument {
        let bytes = try read(descriptor, limit: DocumentLimits.manifest)
        return try StoreError.parsed("\(descriptor.digest)") { () throws(DocumentError) in try ManifestDocument(bytes, mediaType: descriptor.mediaType) }
    }

    /// Everything that an image is made of: the manifest or index itself, then what it names.
    /// - Parameter visit: is told of each, and of its parent if that is an index: not all that an index names need be there.
    func walk(_ descriptor: Descriptor, _ visit: (Descriptor, _ optional: Bool) throws(StoreError) -> Bool) throws(StoreError) {
        var seen: Set<Digest> = []
        try walk(descriptor, depth: 0, optional: false, &seen, visit)
    }

    /// - Parameter seen: documents that were looked into. An index may name another one ten thousand times, and that a third one.
    private func walk(
        _ descriptor: Descriptor, depth: Int, optional: Bool, _ seen: inout Set<Digest>, _ visit: (Descriptor, _ optional: Bool) throws(StoreError) -> Bool
    ) throws(StoreError) {
        guard try visit(descriptor, optional), descriptor.mediaType.isManifest || descriptor.mediaType.isIndex, seen.insert(descriptor.digest).inserted else { return }
        guard depth < 5 else { throw .invalid("\(descriptor.digest): indexes lie within each other too deep") }
        switch try document(descriptor).content {
        case .manifest(let manifest):
            _ = try visit(manifest.config, false)
            for layer in manifest.layers { _ = try visit(layer, false) }
        case .index(let index):
            for child in index.manifests { try walk(child, depth: depth + 1, optional: true, &seen, visit) }
        }
    }

    /// - Throws: when something of the image is not there.
    func checkComplete(_ descriptor: Descriptor, lease: Lease) throws(StoreError) {
        var found = false
        try walk(descriptor) { (part, optional) throws(StoreError) in
            if try hold(part, lease: lease) {
                if part.mediaType.isManifest { found = true }
                return true
            }
            if optional { return false }
            // What may not be redistributed need not be held.
            if part.mediaType.isNondistributable { return false }
            throw .corrupt("the image \(descriptor.digest) is not complete: \(part.digest) is missing, or of another size")
        }
        guard found else { throw .corrupt("of the images in the index \(descriptor.digest) none is in the store") }
    }
}
