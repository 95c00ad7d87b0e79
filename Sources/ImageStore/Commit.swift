public import LayerArchive
internal import LinuxSystem
public import OCIImage

extension ImageStore {
    /// Makes an image of a container: the layers that it was made from, and one more with what has changed. The container should not write meanwhile.
    /// - Parameters:
    ///   - container: the one whose changes are kept.
    ///   - compression: of the new layer.
    ///   - lease: keeps the image until it has a name.
    ///   - excluding: paths, from the container's root on, that are left out with all beneath: what the runtime mounts onto, say.
    ///   - edit: changes the configuration; the layer is in it already, its history not.
    /// - Returns: the new image's manifest.
    /// - Throws: when something in the container cannot be said in a layer, or the base image is not complete.
    public func commit(
        _ container: StoredContainer, compression: LayerCompression = .gzip, lease: Lease, excluding: (String) -> Bool = { _ in false },
        edit: (inout ImageConfiguration) -> Void
    ) throws(StoreError) -> Descriptor {
        let base = try image(container.image)
        let (layer, diffID) = try writeChanges(of: container, compression: compression, lease: lease, excluding: excluding)
        var configuration = base.configuration
        configuration.diffIDs.append(diffID)
        edit(&configuration)
        let bytes = configuration.bytes
        let digest = try put(bytes, lease: lease)
        // The layers stay the same bytes; OCI has a name for each of Docker's types.
        let layers = base.manifest.layers.map { layer in
            var layer = layer
            if let compression = layer.mediaType.layerCompression, !layer.mediaType.isNondistributable { layer.mediaType = compression.mediaType }
            return layer
        }
        let manifest = Manifest(config: Descriptor(mediaType: .imageConfiguration, digest: digest, size: Int64(bytes.count)), layers: layers + [layer])
        return Descriptor(mediaType: .imageManifest, digest: try put(manifest.bytes, lease: lease), size: Int64(manifest.bytes.count))
    }

    /// Writes what has changed in a container as a layer.
    public func writeChanges(
        of container: StoredContainer, compression: LayerCompression = .gzip, lease: Lease, excluding: (String) -> Bool = { _ in false }
    ) throws(StoreError) -> (layer: Descriptor, diffID: Digest) {
        let blob = LayerBlob(try beginBlob(nil, lease: lease))
        do throws(StoreError) { return try writeChanges(of: container, compression, to: blob, excluding) } catch { throw blob.failure ?? error }
    }

    private func writeChanges(
        of container: StoredContainer, _ compression: LayerCompression, to blob: LayerBlob, _ excluding: (String) -> Bool
    ) throws(StoreError) -> (layer: Descriptor, diffID: Digest) {
        let name = "of the container \(container.id)"
        let writer = try StoreError.ofLayer(name) { () throws(LayerError) in
            try LayerWriter(compression) { (bytes) throws(SystemError) in try blob.write(bytes) }
        }
        var skipped: String?
        try changes(of: container) { (change) throws(LayerError) in
            let path = change.displayPath
            if let above = skipped, path.hasPrefix(above + "/") { return }
            skipped = excluding(path) ? path : nil
            if skipped == nil { try writer.add(change) }
        }
        let written = try StoreError.ofLayer(name) { () throws(LayerError) in try writer.finish() }
        return (Descriptor(mediaType: compression.mediaType, digest: try blob.commit(), size: written.size), written.diffID)
    }
}

extension LayerCompression {
    /// As the image specification calls it (media-types.md).
    public var mediaType: MediaType {
        switch self {
        case .none: .imageLayer
        case .gzip: .imageLayerGzip
        case .zstd: .imageLayerZstd
        }
    }
}

extension MediaType.Compression {
    var mediaType: MediaType {
        switch self {
        case .none: .imageLayer
        case .gzip: .imageLayerGzip
        case .zstd: .imageLayerZstd
        }
    }
}

/// A blob that a closure writes; it keeps what went wrong, because the closure can only say that something did.
private final class LayerBlob {
    private var writer: BlobWriter?
    private(set) var failure: StoreError?

    init(_ writer: consuming BlobWriter) { self.writer = consume writer }

    func write(_ bytes: [UInt8]) throws(SystemError) {
        do throws(StoreError) { try writer?.write(bytes) } catch {
            failure = error
            throw SystemError(.ioError, "write")
        }
    }

    func commit() throws(StoreError) -> Digest {
        guard let writer = self.writer.take() else { throw .invalid("the layer was written already") }
        return try writer.commit()
    }
}
