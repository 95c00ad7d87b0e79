internal import JSONText
internal import LayerArchive
internal import LinuxSystem
internal import OCIImage

/// Something in a store that is not as it should be.
public struct StoreProblem: Sendable, Equatable, CustomStringConvertible {
    /// What it is, and what is wrong with it.
    public var problem: String
    /// What helps.
    public var remedy: String
    /// `check` with `repair` did that.
    public var isRepaired = false
    public var description: String { isRepaired ? "\(problem) (repaired: \(remedy))" : "\(problem) (\(remedy))" }
}

/// How thoroughly a store is verified.
public struct CheckOptions: Sendable {
    /// Every blob is read and hashed.
    public var contents = true
    /// Every unpacked layer is made anew of its blob, and compared.
    public var layers = false
    /// What is broken is removed, if it can be had again: damaged blobs and layers.
    public var repair = false
    public init() {}
}

extension ImageStore {
    /// Verifies a store: the layout, every blob, that each image is complete and its configuration fits, containers' records, and unpacked layers.
    /// - Returns: what is wrong; nothing if all is well.
    /// - Throws: when the store cannot be read at all.
    public func check(_ options: CheckOptions = CheckOptions()) throws(StoreError) -> [StoreProblem] {
        var problems: [StoreProblem] = []
        try ImageLayout.checkMark(paths.layout)
        if options.contents { try checkBlobs(options, &problems) }
        let images = try images()
        for name in Dictionary(grouping: images.compactMap(\.name), by: { $0 }).filter({ $0.value.count > 1 }).keys.sorted() {
            problems.append(StoreProblem(problem: "the name \(name) is in the index more than once", remedy: "remove the name, and give it again"))
        }
        let lease = try lease()
        defer { lease.end() }
        var checked: Set<String> = []
        for image in images {
            do throws(StoreError) {
                try checkComplete(image.descriptor, lease: lease)
                if image.descriptor.mediaType.isManifest { try checkLayers(of: try self.image(image.descriptor), options, lease, &checked, &problems) }
            } catch {
                if case .invalid = error { continue }
                problems.append(StoreProblem(problem: "image \(image.name ?? "\(image.descriptor.digest)"): \(error)", remedy: "pull or import it again, or remove it"))
            }
        }
        for id in try containers() { try checkContainer(id, &problems) }
        return problems
    }

    private func checkBlobs(_ options: CheckOptions, _ problems: inout [StoreProblem]) throws(StoreError) {
        for algorithm in Digest.Algorithm.allCases {
            let folder = "\(paths.blobs)/\(algorithm.rawValue)"
            for name in try names(in: folder) {
                let path = "\(folder)/\(name)"
                guard let problem = problem(ofBlob: name, algorithm, at: path) else { continue }
                if options.repair { try StoreError.wrapped("remove \(path)") { () throws(SystemError) in try DurableFile.remove(path) } }
                problems.append(StoreProblem(problem: problem, remedy: "remove it, and pull the images that need it again", isRepaired: options.repair))
            }
        }
    }

    private func problem(ofBlob name: String, _ algorithm: Digest.Algorithm, at path: String) -> String? {
        let digest: Digest
        do throws(DigestError) { digest = try Digest("\(algorithm.rawValue):\(name)") } catch { return "\(path) is no blob: \(error)" }
        do throws(StoreError) {
            guard let found = try hash(path, algorithm), found != digest else { return nil }
            return "the blob \(digest) is damaged: its content is \(found)"
        } catch { return "\(error)" }
    }

    /// Nil when the file has gone meanwhile.
    private func hash(_ path: String, _ algorithm: Digest.Algorithm) throws(StoreError) -> Digest? {
        var digester = ContentDigester(algorithm)
        do throws(SystemError) {
            let file = try OwnedDescriptor(opening: path, flags: flags.read)
            var buffer = [UInt8](repeating: 0, count: 256 << 10)
            while true {
                let count = try file.read(into: &buffer)
                if count == 0 { return digester.finish() }
                digester.update(buffer[..<count])
            }
        } catch {
            if error.errno == .noSuchFile { return nil }
            throw .system("read \(path)", error)
        }
    }

    private func checkLayers(of image: StoredImage, _ options: CheckOptions, _ lease: Lease, _ checked: inout Set<String>, _ problems: inout [StoreProblem]) throws(StoreError) {
        guard options.layers else { return }
        for kind in DriverKind.allCases {
            for (index, chainID) in image.chainIDs.enumerated() {
                let place = layerPlace(chainID, kind)
                let isThere = try exists(place)
                guard isThere, checked.insert(place).inserted else { continue }
                let driver = Drivers.driver(kind)
                let parents = image.chainIDs[..<index].map { layerPlace($0, kind) }
                var differences: [String] = []
                do throws(StoreError) {
                    differences = try making(lease, driver, doing: "check the layer \(chainID)") { (staging) throws(StoreError) in
                        _ = try makeLayer(index, of: image, parents, driver, staging)
                        let differences = try driver.differences(of: place, from: staging)
                        try emptyTrash(staging, driver.kind)
                        return differences
                    }
                } catch { differences = ["\(error)"] }
                if differences.isEmpty { continue }
                var isUsed = false
                for id in try containers() where try container(id).chainIDs.contains(chainID) { isUsed = true }
                let isRemoved = options.repair && !isUsed
                if isRemoved { try discard(place, kind) }
                problems.append(StoreProblem(
                    problem: "the unpacked layer \(chainID) (\(kind.rawValue)) is not what its archive holds: \(differences.prefix(3).map(quoted).joined(separator: ", "))",
                    remedy: isUsed ? "remove the containers that use it, and check again with repair" : "remove it; it is unpacked again when it is needed", isRepaired: isRemoved))
            }
        }
    }

    private func checkContainer(_ id: String, _ problems: inout [StoreProblem]) throws(StoreError) {
        do throws(StoreError) {
            let container = try container(id)
            for place in layerPlaces(container) {
                let isThere = try exists(place)
                if !isThere { throw .corrupt("the layer \(place) is missing") }
            }
            let files = Drivers.driver(container.driver).ownFiles(in: paths.container(id))
            let isThere = try exists(files)
            if !isThere { throw .corrupt("its files \(files) are missing") }
        } catch {
            problems.append(StoreProblem(problem: "container \(id): \(error)", remedy: "remove it"))
        }
    }
}
