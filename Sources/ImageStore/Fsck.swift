internal import JSONText
internal import LayerArchive
internal import LinuxSystem
internal import OCIImage

/// Something in a store that is not as it should be.
public struct StoreProblem: Sendable, Equatable, CustomStringConvertible {
    /// A kind of thing in a store.
    public enum Subject: String, Sendable, Hashable, CaseIterable {
        /// The index of names.
        case index
        /// Content.
        case blob
        case image
        /// An unpacked layer.
        case layer
        /// A container's files.
        case container
    }
    /// What kind of thing it is.
    public var subject: Subject
    /// Which one: of content its digest, of an image its name or, without one, its digest, of a layer its driver and chain ID, of a container its name.
    public var name: String
    /// What is wrong with it.
    public var problem: String
    /// What is to be done, or was done.
    public var remedy: String
    /// `fsck` with `repair` does that, as far as it is to remove something.
    public var isRepairable = false
    /// It has done so.
    public var isRepaired = false

    public var description: String { "\(subject.rawValue) \(name): \(problem) (\(isRepaired ? "repaired" : "to do"): \(remedy))" }
}

/// How thoroughly a store is verified, and whether something is done about what is found.
public struct FsckOptions: Sendable {
    /// Every blob is read and hashed.
    public var contents = true
    /// Every unpacked layer is made anew of its blob, and compared, attributes and contents.
    public var layers = false
    /// What is broken and can be had again, blobs and unpacked layers, is removed, unless something uses it.
    public var repair = false
    public init() {}
}

extension ImageStore {
    /// Verifies a store: the index, every blob, that each image is complete and its configuration fits, containers' records and files, and unpacked layers.
    ///
    /// Others may use the store meanwhile.
    /// - Returns: what is wrong; nothing if all is well.
    /// - Throws: when the store cannot be read at all.
    public func fsck(_ options: FsckOptions = FsckOptions()) throws(StoreError) -> [StoreProblem] {
        let lease = try lease()
        defer { lease.end() }
        return try StoreCheck(self, options, lease).run()
    }
}

/// One verification.
private final class StoreCheck {
    private let store: ImageStore
    private let options: FsckOptions
    private let lease: Lease
    private var problems: [StoreProblem] = []
    private var manifests: Set<Digest> = []
    private var places: Set<String> = []

    init(_ store: ImageStore, _ options: FsckOptions, _ lease: Lease) { (self.store, self.options, self.lease) = (store, options, lease) }

    func run() throws(StoreError) -> [StoreProblem] {
        if options.contents { try checkBlobs() }
        let images = try checkIndex()
        for image in images {
            let name = image.name ?? "\(image.descriptor.digest)"
            do throws(StoreError) { try checkImage(image.descriptor, name) } catch {
                // It may have been removed meanwhile.
                guard try store.images().contains(image) else { continue }
                report(.image, name, "\(error)", "pull or import it again, or remove it")
            }
        }
        for id in try store.containers() { try checkContainer(id) }
        return problems
    }

    private func report(_ subject: StoreProblem.Subject, _ name: String, _ problem: String, _ remedy: String, repairable: Bool = false, repaired: Bool = false) {
        problems.append(StoreProblem(subject: subject, name: name, problem: problem, remedy: remedy, isRepairable: repairable, isRepaired: repaired))
    }

    private func checkIndex() throws(StoreError) -> [NamedImage] {
        let images: [NamedImage]
        do throws(StoreError) { images = try store.images() } catch {
            if case .system = error { throw error }
            report(.index, store.paths.index, "\(error)", "the names are lost: remove the file, and give the images names again by pulling or importing them")
            return []
        }
        for (name, all) in Dictionary(grouping: images, by: \.name).sorted(by: { ($0.key ?? "") < ($1.key ?? "") }) where all.count > 1 {
            if let name { report(.index, store.paths.index, "the name \(quoted(name)) is in it more than once", "remove the name, and give it again") }
        }
        return images
    }

    // Blobs.

    private func checkBlobs() throws(StoreError) {
        for algorithm in Digest.Algorithm.allCases {
            let folder = "\(store.paths.blobs)/\(algorithm.rawValue)"
            for name in try store.names(in: folder) { try checkBlob(name, algorithm, "\(folder)/\(name)") }
        }
    }

    private func checkBlob(_ name: String, _ algorithm: Digest.Algorithm, _ path: String) throws(StoreError) {
        let file: SharedDescriptor
        let problem: String
        do throws(SystemError) {
            file = SharedDescriptor(try OwnedDescriptor(opening: path, flags: flags.document))
            guard let digest = try? Digest("\(algorithm.rawValue):\(name)") else { return report(.blob, path, "it is no blob: its name is not a digest's", "remove the file") }
            let found = try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try StoreCheck.digest(of: file, algorithm) }
            if found == digest { return }
            problem = "it is damaged: its content is \(found)"
        } catch {
            // It has gone meanwhile.
            if error.errno == .noSuchFile { return }
            return report(.blob, "\(algorithm.rawValue):\(name)", "it cannot be read: \(error)", "if the disk is sound, remove \(path), and pull the images that need it again")
        }
        let isRemoved = options.repair ? try remove(path, ifStill: file) : false
        report(.blob, "\(algorithm.rawValue):\(name)", problem, "\(isRemoved ? "removed;" : "remove it, and") pull the images that need it again", repairable: true, repaired: isRemoved)
    }

    private static func digest(of file: borrowing OwnedDescriptor, _ algorithm: Digest.Algorithm) throws(SystemError) -> Digest {
        var digester = ContentDigester(algorithm)
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        while true {
            let count = try file.read(into: &buffer)
            if count == 0 { return digester.finish() }
            digester.update(buffer[..<count])
        }
    }

    /// Somebody may have put good content into its place; nobody does while the collection's lock is held.
    private func remove(_ path: String, ifStill file: SharedDescriptor) throws(StoreError) -> Bool {
        let gate = try store.lock("collection", exclusive: true)
        defer { withExtendedLifetime(gate) {} }
        return try StoreError.wrapped("remove \(path)") { () throws(SystemError) in
            let mine = try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try file.attributes() }
            do throws(SystemError) {
                let now = try OwnedDescriptor(opening: path, flags: flags.document).attributes()
                if (now.inode, now.device) == (mine.inode, mine.device) { try DurableFile.remove(path) }
                return true
            } catch where error.errno == .noSuchFile { return true }
        }
    }

    // Images and layers.

    /// All that is there of it, for whatever platform.
    private func checkImage(_ descriptor: Descriptor, _ name: String) throws(StoreError) {
        var found: [Descriptor] = []
        try store.checkComplete(descriptor, lease: lease)
        try store.walk(descriptor) { (part, _) throws(StoreError) in
            let isThere = try store.size(of: part.digest) != nil
            if isThere && part.mediaType.isManifest { found.append(part) }
            return isThere
        }
        for manifest in found where manifests.insert(manifest.digest).inserted {
            do throws(StoreError) { try checkLayers(of: try store.image(manifest)) } catch {
                // An artifact, or more layers than can be mounted: nothing is damaged.
                guard case .invalid = error else { throw error }
            }
        }
    }

    private func checkLayers(of image: StoredImage) throws(StoreError) {
        guard options.layers else { return }
        for kind in DriverKind.allCases {
            for chainID in image.chainIDs { try lease.hold(layer: chainID, kind) }
            for (index, chainID) in image.chainIDs.enumerated() {
                let place = store.layerPlace(chainID, kind)
                let isThere = try store.exists(place)
                guard isThere, places.insert(place).inserted else { continue }
                let differences: [String]
                do throws(StoreError) { differences = try self.differences(index, of: image, place, Drivers.driver(kind)) } catch {
                    // The disk may be full; the layer itself may be sound.
                    report(.layer, "\(kind.rawValue) \(chainID)", "it cannot be compared with its archive: \(error)", "see to that, and check again")
                    continue
                }
                if differences.isEmpty { continue }
                let isRemoved = options.repair ? try store.discard(place, kind, chainID, exceptFor: lease) : false
                report(
                    .layer, "\(kind.rawValue) \(chainID)", "it is not what its archive holds: \(differences.prefix(3).map(quoted).joined(separator: ", "))",
                    isRemoved || !options.repair ? "\(isRemoved ? "removed" : "remove it"); it is unpacked again when it is needed" : "remove the containers that use it, and repair again",
                    repairable: true, repaired: isRemoved)
            }
        }
    }

    private func differences(_ index: Int, of image: StoredImage, _ place: String, _ driver: any StorageDriver) throws(StoreError) -> [String] {
        let parents = image.chainIDs[..<index].map { store.layerPlace($0, driver.kind) }
        return try store.making(lease, driver, doing: "check the layer \(image.chainIDs[index])") { (staging) throws(StoreError) in
            _ = try store.makeLayer(index, of: image, parents, driver, staging)
            let differences = try driver.differences(of: place, from: staging)
            try store.emptyTrash(staging, driver.kind)
            return differences
        }
    }

    // Containers.

    private func checkContainer(_ id: String) throws(StoreError) {
        do throws(StoreError) {
            let container = try store.container(id)
            for place in store.layerPlaces(container) {
                let isThere = try store.exists(place)
                if !isThere { throw .corrupt("the layer \(place) is missing") }
            }
            let files = Drivers.driver(container.driver).ownFiles(in: store.paths.container(id))
            let isThere = try store.exists(files)
            if !isThere { throw .corrupt("its files \(files) are missing") }
            do throws(StoreError) { try checkImage(container.image, id) } catch { try reportContainer(id, "\(error)", "pull or import its image again, or remove it") }
        } catch { try reportContainer(id, "\(error)", "remove it") }
    }

    /// Unless it has been removed meanwhile.
    private func reportContainer(_ id: String, _ problem: String, _ remedy: String) throws(StoreError) {
        let isThere = try store.exists(store.paths.container(id))
        if isThere { report(.container, id, problem, remedy) }
    }
}

extension ImageStore {
    /// Removes an unpacked layer that no container and no lease but one's own needs.
    /// - Returns: false when something needs it.
    fileprivate func discard(_ place: String, _ kind: DriverKind, _ chainID: Digest, exceptFor lease: Lease) throws(StoreError) -> Bool {
        let trash: String
        do {
            let gate = try lock("collection", exclusive: true)
            defer { withExtendedLifetime(gate) {} }
            var needed = try Lease.all(in: self, except: lease)
            try needByContainers(&needed)
            if needed.contains("layer \(kind.rawValue) \(chainID.hex)") { return false }
            trash = try throwAway(place, kind)
        }
        try emptyTrash(trash, kind)
        return true
    }
}
