internal import LinuxSystem
internal import OCIImage

/// What a collection removed.
public struct CollectionReport: Sendable, Equatable {
    /// How many blobs.
    public var blobs = 0
    /// Of the blobs, in total.
    public var bytes: Int64 = 0
    /// How many unpacked layers.
    public var layers = 0
    /// Things that processes left behind which did not come to an end.
    public var leftovers = 0
}

extension ImageStore {
    /// Removes content and unpacked layers that no image with an entry in the index, no container and no lease needs, and what processes that died left behind.
    ///
    /// Whatever is running meanwhile keeps what it holds. Who wants to hold something waits until it is decided what goes; removing it takes nobody's time.
    public func collect() throws(StoreError) -> CollectionReport {
        var report = CollectionReport()
        var trash: [(path: String, driver: DriverKind?)] = []
        do {
            let gate = try lock("collection", exclusive: true)
            defer { withExtendedLifetime(gate) {} }
            // In this order: what has a lease gets its name, or its container, before the lease ends.
            let leases = try Lease.all(in: self)
            var needed = leases
            for image in try images() { try need(image.descriptor, layersToo: true, &needed) }
            for image in try needByContainers(&needed) { try need(image, layersToo: false, &needed) }
            try sweepBlobs(needed, &report)
            try sweepLayers(needed, &report, &trash)
            try sweepLeftovers(leases, &report, &trash)
        }
        for item in trash { try emptyTrash(item.path, item.driver) }
        return report
    }

    /// Layers that containers are made of.
    /// - Returns: the containers' images.
    @discardableResult
    func needByContainers(_ needed: inout Set<String>) throws(StoreError) -> [Descriptor] {
        var images: [Descriptor] = []
        for id in try containers() {
            let container: StoredContainer
            do throws(StoreError) { container = try self.container(id) } catch {
                // It was removed meanwhile.
                if case .notFound = error { continue }
                throw .corrupt("nothing is removed, because what the container \(id) needs is not known: \(error); remove the container")
            }
            for chainID in container.chainIDs { needed.insert("layer \(container.driver.rawValue) \(chainID.hex)") }
            images.append(container.image)
        }
        return images
    }

    /// Everything of an image that is there.
    private func need(_ descriptor: Descriptor, layersToo: Bool, _ needed: inout Set<String>) throws(StoreError) {
        var manifests: [Descriptor] = []
        do throws(StoreError) {
            try walk(descriptor) { (part, _) throws(StoreError) in
                needed.insert("blob \(part.digest)")
                let isThere = try size(of: part.digest) != nil
                if isThere && part.mediaType.isManifest { manifests.append(part) }
                return isThere
            }
            if !layersToo { return }
            for manifest in manifests {
                guard case .manifest(let content) = try document(manifest).content, content.config.mediaType.isConfiguration, try size(of: content.config.digest) != nil else { continue }
                for chainID in try chainIDs(ofImage: manifest) {
                    for driver in DriverKind.allCases { needed.insert("layer \(driver.rawValue) \(chainID.hex)") }
                }
            }
        } catch {
            // A damaged image keeps what is known of it from being used, but must not keep the rest from being collected; fsck tells of it. What it names is not
            // known, though, so nothing may be removed.
            throw .corrupt("nothing is collected, because what an image needs is not known: \(error); run fsck with repair, or remove the image \(descriptor.digest)")
        }
    }

    /// None of an image whose configuration is none, or does not fit: of such a one nothing can be unpacked.
    private func chainIDs(ofImage manifest: Descriptor) throws(StoreError) -> [Digest] {
        do throws(StoreError) { return try image(manifest).chainIDs } catch {
            if case .system = error { throw error }
            return []
        }
    }

    private func sweepBlobs(_ needed: Set<String>, _ report: inout CollectionReport) throws(StoreError) {
        for algorithm in Digest.Algorithm.allCases {
            let folder = "\(paths.blobs)/\(algorithm.rawValue)"
            for name in try names(in: folder) where !needed.contains("blob \(algorithm.rawValue):\(name)") {
                let path = "\(folder)/\(name)"
                let size: Int64? = try StoreError.wrapped("remove \(path)") { () throws(SystemError) in
                    do throws(SystemError) {
                        let size = try FileStatus(path: path).size
                        try DurableFile.remove(path)
                        return size
                    } catch where error.errno == .noSuchFile { return nil }
                }
                guard let size else { continue }
                report.bytes += size
                report.blobs += 1
            }
        }
    }

    private func sweepLayers(_ needed: Set<String>, _ report: inout CollectionReport, _ trash: inout [(path: String, driver: DriverKind?)]) throws(StoreError) {
        for driver in DriverKind.allCases {
            for name in try names(in: paths.layers(driver)) where !needed.contains("layer \(driver.rawValue) \(name)") {
                trash.append((try throwAway("\(paths.layers(driver))/\(name)", driver), driver))
                report.layers += 1
            }
        }
    }

    private func sweepLeftovers(_ leases: Set<String>, _ report: inout CollectionReport, _ trash: inout [(path: String, driver: DriverKind?)]) throws(StoreError) {
        for name in try names(in: paths.ingest) {
            // NAME.UNIQUE, of the lease NAME.
            if leases.contains("lease \(name.prefix { $0 != "." })") { continue }
            // Of which driver it is nobody knows any longer; to all but btrfs it is files.
            trash.append((try throwAway("\(paths.ingest)/\(name)", .btrfs), .btrfs))
            report.leftovers += 1
        }
        for name in try names(in: paths.trash) {
            let path = "\(paths.trash)/\(name)"
            if trash.contains(where: { $0.path == path }) { continue }
            trash.append((path, DriverKind(rawValue: String(name.prefix { $0 != "." }))))
        }
        // What becomes the index is made beside it, under the index's lock.
        let index = try lockIndex()
        for name in try names(in: paths.layout) where name.hasPrefix(".") && name.hasSuffix(".new") {
            try StoreError.wrapped("remove \(name)") { () throws(SystemError) in try DurableFile.remove("\(paths.layout)/\(name)") }
            report.leftovers += 1
        }
        withExtendedLifetime(index) {}
        for name in try names(in: paths.locks) where name.hasPrefix("layer-") || name.hasPrefix("container-") {
            let path = "\(paths.locks)/\(name)"
            try StoreError.wrapped("remove \(path)") { () throws(SystemError) in
                if let lock = try FileLock.attempt(path, exclusive: true) {
                    try DurableFile.remove(path)
                    withExtendedLifetime(lock) {}
                }
            }
        }
    }

    func throwAway(_ path: String, _ driver: DriverKind) throws(StoreError) -> String {
        let target = "\(paths.trash)/\(driver.rawValue).\(uniqueName())"
        try StoreError.wrapped("remove \(path)") { () throws(SystemError) in try DurableFile.move(path, to: target, synchronize: false) }
        return target
    }

    func names(in path: String) throws(StoreError) -> [String] { try StoreError.wrapped("read \(path)") { () throws(SystemError) in try DurableFile.names(in: path) } }
}
