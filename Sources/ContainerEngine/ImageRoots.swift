internal import ContainerRuntime
internal import ImageStore
internal import OCIImage

/// Images of the engine's own store as containers' root file systems.
struct ImageRoots: RootFilesystems {
    let images: Images

    func look(up name: String) throws(EngineError) -> RootSource {
        let image = try images.image(name)
        var source = RootSource(name: image.shownName)
        source.imageID = "\(image.stored.id)"
        source.settings = ImageSettings(image.stored.configuration)
        return source
    }

    func make(for id: String, _ source: RootSource) throws(EngineError) {
        let image = try images.image(source.imageID)
        try stored { (store) throws(StoreError) in _ = try store.createContainer(id, from: image.stored) }
    }

    func mount(_ record: ContainerRecord) throws(EngineError) -> String {
        try stored { (store) throws(StoreError) in try store.mount(try store.container(record.id)) }
    }

    func unmount(_ record: ContainerRecord) throws(EngineError) {
        try stored { (store) throws(StoreError) in
            do throws(StoreError) { try store.unmount(try store.container(record.id)) } catch { if case .notFound = error {} else { throw error } }
        }
    }

    func remove(_ record: ContainerRecord) throws(EngineError) {
        try stored { (store) throws(StoreError) in
            do throws(StoreError) { try store.removeContainer(record.id) } catch { if case .notFound = error {} else { throw error } }
        }
    }

    func images(_ record: ContainerRecord) throws(EngineError) -> RootImages? {
        try stored { (store) throws(StoreError) in
            let root = store.root(of: try store.container(record.id))
            guard let writable = root.writable, (1...RootImages.maximumCount).contains(root.images.count) else { return nil }
            return RootImages(images: root.images, upper: .shared(writable))
        }
    }

    func view(_ record: ContainerRecord) throws(EngineError) -> String {
        try unmount(record)
        return try stored { (store) throws(StoreError) in
            let container = try store.container(record.id)
            if let path = try store.mountView(container) { return path }
            return try store.mount(container)
        }
    }

    private func stored<Result>(_ body: (ImageStore) throws(StoreError) -> Result) throws(EngineError) -> Result {
        let store = try images.store()
        do throws(StoreError) { return try body(store) } catch { throw EngineError("\(error)") }
    }
}

extension ImageSettings {
    init(_ image: ImageConfiguration) {
        self.init()
        (entrypoint, command, environment) = (image.config.entrypoint, image.config.cmd, image.config.env)
        (workingDirectory, user, stopSignal) = (image.config.workingDir, image.config.user, image.config.stopSignal ?? "")
        (volumes, exposedPorts, labels) = (image.config.volumes.sorted(), image.config.exposedPorts.sorted(), image.config.labels)
        (operatingSystem, architecture, author, created) = (image.platform.os, image.platform.architecture, image.author ?? "", image.created ?? "")
    }
}
