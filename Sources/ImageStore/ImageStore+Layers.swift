public import LayerArchive
internal import LinuxSystem
internal import OCIImage

/// Layers, unpacked: `layers/DRIVER/CHAINID`.
extension ImageStore {
    /// Unpacks one layer, if it is not unpacked already. Its blob must be there, and the layers beneath it be unpacked; those above may still be on their way.
    ///
    /// Other processes and threads may want the same one: then one of them does it, and the others wait for it.
    /// - Parameters:
    ///   - index: 0 is the base, and there must be such a layer.
    ///   - image: one whose manifest and configuration are in the store.
    ///   - lease: keeps the layer until a container does, or the image has a name.
    /// - Returns: what it came to; nil when it was there.
    /// - Throws: also when it is not the layer that the configuration says (its diff ID).
    public func unpack(layer index: Int, of image: StoredImage, lease: Lease) throws(StoreError) -> LayerReport? {
        let driver = try driver()
        let chainID = image.chainIDs[index]
        let place = layerPlace(chainID, driver.kind)
        for needed in image.chainIDs[...index] { try lease.hold(layer: needed, driver.kind) }
        let isThere = try exists(place)
        if isThere { return nil }
        let lock = try lock("layer-\(driver.kind.rawValue)-\(chainID.hex)", exclusive: true, removable: true)
        defer { withExtendedLifetime(lock) {} }
        let isThereNow = try exists(place)
        if isThereNow { return nil }
        let parents = image.chainIDs[..<index].map { layerPlace($0, driver.kind) }
        if let parent = parents.last {
            let isReady = try exists(parent)
            guard isReady else { throw .notFound("unpacked layer", "\(image.chainIDs[index - 1]), on which layer \(index + 1) of \(image.descriptor.digest) lies") }
        }
        return try making(lease, driver, doing: "unpack layer \(index + 1) of \(image.descriptor.digest)") { (staging) throws(StoreError) in
            let report = try makeLayer(index, of: image, parents, driver, staging)
            try StoreError.wrapped("keep the layer \(chainID)") { () throws(SystemError) in
                try makeDirectory(paths.layers(driver.kind), mode: 0o700)
                // One call for all of the layer's files.
                if configuration.synchronize { try OwnedDescriptor(opening: staging, flags: flags.directory).synchronizeFileSystem() }
                try DurableFile.move(staging, to: place, synchronize: configuration.synchronize)
            }
            return report
        }
    }

    func makeLayer(_ index: Int, of image: StoredImage, _ parents: [String], _ driver: any StorageDriver, _ place: String) throws(StoreError) -> LayerReport {
        let descriptor = image.manifest.layers[index]
        var options = ApplyOptions.forThisProcess()
        options.limits = configuration.limits
        let report: LayerReport
        do throws(StoreError) { report = try driver.unpack(try open(descriptor.digest), in: place, onto: parents, options: options) } catch {
            if case .layer(_, let problem) = error { throw .layer("\(descriptor.digest)", problem) }
            throw error
        }
        let expected = image.configuration.diffIDs[index]
        // A diff ID of another algorithm is rare, and then the archive must be read once more.
        let diffID = expected.algorithm == .sha256 ? report.diffID : try diffID(of: descriptor, expected.algorithm)
        guard diffID == expected else {
            throw .corrupt("layer \(index + 1) of the image \(image.descriptor.digest) unpacks to \(diffID), and its configuration says \(expected)")
        }
        return report
    }

    private func diffID(of descriptor: Descriptor, _ algorithm: Digest.Algorithm) throws(StoreError) -> Digest {
        let source = try open(descriptor.digest)
        return try StoreError.ofLayer("\(descriptor.digest)") { () throws(LayerError) in
            try TarReader(source, limits: configuration.limits, digest: algorithm).finish()
        }
    }

    /// Unpacks the layers whose blobs are there, from the base up to the first that is not, and returns how many are unpacked then. A pull calls it whenever
    /// another layer has come.
    public func unpackAvailable(_ image: StoredImage, lease: Lease) throws(StoreError) -> Int {
        for index in image.chainIDs.indices {
            let isUnpacked = try exists(layerPlace(image.chainIDs[index], driver().kind))
            if !isUnpacked {
                let isThere = try hold(image.manifest.layers[index], lease: lease)
                guard isThere else { return index }
            }
            _ = try unpack(layer: index, of: image, lease: lease)
        }
        return image.chainIDs.count
    }

    /// Unpacks all layers.
    public func unpack(_ image: StoredImage, lease: Lease) throws(StoreError) {
        for index in image.chainIDs.indices { _ = try unpack(layer: index, of: image, lease: lease) }
    }

    func layerPlace(_ chainID: Digest, _ driver: DriverKind) -> String { "\(paths.layers(driver))/\(chainID.hex)" }

    func exists(_ path: String) throws(StoreError) -> Bool { try StoreError.wrapped("look for \(path)") { () throws(SystemError) in try DurableFile.exists(path) } }

    /// Makes something in a place that nobody sees, and removes what of it is left.
    func making<Result>(_ lease: Lease, _ driver: any StorageDriver, doing: String, _ body: (String) throws(StoreError) -> Result) throws(StoreError) -> Result {
        let staging = "\(paths.ingest)/\(lease.name).\(uniqueName())"
        try StoreError.wrapped(doing) { () throws(SystemError) in try makeDirectory(staging, mode: 0o755) }
        do throws(StoreError) { return try body(staging) } catch {
            // The error is the first one's, whatever becomes of the rest; a collection removes what stays.
            try? emptyTrash(staging, driver.kind)
            throw error
        }
    }

    /// Removes a layer's or a container's place: out of sight at once, and then piece by piece.
    func discard(_ path: String, _ driver: DriverKind) throws(StoreError) {
        let trash = "\(paths.trash)/\(driver.rawValue).\(uniqueName())"
        let moved = try StoreError.wrapped("remove \(path)") { () throws(SystemError) in
            do throws(SystemError) { try DurableFile.move(path, to: trash, synchronize: false) } catch where error.errno == .noSuchFile { return false }
            return true
        }
        if moved { try emptyTrash(trash, driver) }
    }

    func emptyTrash(_ path: String, _ driver: DriverKind?) throws(StoreError) {
        // A process that was killed may have left images mounted.
        try StoreError.wrapped("unmount what is in \(path)") { () throws(SystemError) in try MountPoints.detachAll(beneath: path) }
        if let driver { try Drivers.driver(driver).discard(path) }
        try StoreError.wrapped("remove \(path)") { () throws(SystemError) in try DurableFile.remove(path) }
    }
}
