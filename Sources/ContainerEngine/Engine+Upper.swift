internal import ContainerRuntime
internal import ImageStore

/// Where containers in machines keep what they write.
extension Engine {
    /// What `--storage-opt` means for a container. What it cannot mean is said before anything is made.
    func place(_ options: ContainerOptions, _ source: RootSource) throws(EngineError) -> (upper: UpperPlace, size: Int64) {
        let place = try options.storage.place()
        if place.upper == .shared { return place }
        func refuse(_ why: String) -> EngineError { EngineError("--storage-opt: \(why)") }
        switch isolation(of: options.runtime ?? standardRuntime, asked: options.isolation) {
        case "microvm"?: break
        case nil: throw refuse("\(options.runtime ?? standardRuntime) has no machine to give a disk to: leave --runtime out")
        case let isolation?: throw refuse("only a machine can have a disk or memory of its own for its files, and the isolation is \(isolation): add --isolation microvm")
        }
        guard source.directory.isEmpty else { throw refuse("a directory (--rootfs) is used as it is: name an image") }
        let driver = try images.with { (store) throws(StoreError) in try store.driverKind() }
        guard driver == .erofs else {
            throw refuse("layers must be EROFS images, and the store's driver is \(driver.rawValue): set engine.storage_driver = \"erofs\" in the configuration file (/etc/nacelle/config.toml)")
        }
        return place
    }

    /// What a container's machine puts its root together of; nil where its root is a directory of the host.
    func rootImages(_ folder: ContainerFolder, _ record: ContainerRecord) throws(EngineError) -> RootImages? {
        guard hasMachine(record) else { return nil }
        let found = try roots(of: record).images(record)
        if record.upper == .shared { return found }
        let upper: RootImages.Upper = record.upper == .disk ? .disk(folder.diskPath) : .tmpfs(record.upperSize)
        guard var images = found, images.images.count <= upper.maximumCount else {
            throw EngineError("container \(record.name): its image has more than \(upper.maximumCount) layers, or none, so that a machine cannot have them beside upper=\(record.upper.rawValue): leave --storage-opt out")
        }
        images.upper = upper
        return images
    }

    /// - Throws: where what a container has written is not a directory of the host's. The host's kernel does not mount what a guest has written.
    func checkHasFilesHere(_ record: ContainerRecord) throws(EngineError) {
        if record.upper == .shared { return }
        let place = record.upper == .disk ? "on a disk of its machine's, which this host does not look into" : "in its machine's memory"
        throw EngineError("container \(record.name) keeps its files \(place): while it runs, use nacelle exec \(record.name) tar -c PATH (and -i … tar -x)")
    }
}
