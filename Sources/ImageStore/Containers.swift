internal import JSONText
public import LayerArchive
internal import LinuxSystem
public import OCIImage

/// A container's files: `containers/ID`, of which `record.json` says what they were made from.
public struct StoredContainer: Sendable, Hashable {
    /// Its name.
    public let id: String
    /// By which its files were made, whatever the store is opened with now.
    public let driver: DriverKind
    /// The manifest of the image.
    public let image: Descriptor
    /// The image's layers, the base first.
    public let chainIDs: [Digest]

    fileprivate init(id: String, driver: DriverKind, image: Descriptor, chainIDs: [Digest]) { (self.id, self.driver, self.image, self.chainIDs) = (id, driver, image, chainIDs) }

    fileprivate init(id: String, _ bytes: [UInt8]) throws {
        let members = try JSONCursor(JSONValue(parsing: bytes)).object()
        let name = try members.required("driver").string()
        guard let driver = DriverKind(rawValue: name) else { throw JSONShapeError(path: "driver", problem: "\(quoted(name)) is not known") }
        let chainIDs = try members.required("layers").strings().map { try Digest($0) }
        self.init(id: id, driver: driver, image: try Descriptor(try members.required("image")), chainIDs: chainIDs)
    }

    fileprivate var bytes: [UInt8] {
        var object = JSONObject()
        object["driver"] = .string(driver.rawValue)
        object["image"] = image.json
        object["layers"] = .array(chainIDs.map { .string("\($0)") })
        return JSONValue.object(object).bytes()
    }
}

extension ImageStore {
    /// Makes a container's files of an image, whose layers are unpacked first where they are not. They stay until `removeContainer`, and so does the image.
    /// - Parameters:
    ///   - id: letters, digits, `_`, `.` and `-`, a letter or digit first.
    ///   - image: one whose content is in the store.
    /// - Throws: when there is a container of the name, or a layer is not what the image says.
    @discardableResult
    public func createContainer(_ id: String, from image: StoredImage) throws(StoreError) -> StoredContainer {
        guard ImageStore.isContainerID(id) else { throw .invalid("\(quoted(id)) cannot be a container's name: letters, digits, _ . and -, and one of the first two first") }
        let place = paths.container(id)
        let isThere = try exists(place)
        if isThere { throw .exists("container", id) }
        let driver = try driver()
        let lease = try lease()
        defer { lease.end() }
        try checkComplete(image.descriptor, lease: lease)
        try unpack(image, lease: lease)
        let container = StoredContainer(id: id, driver: driver.kind, image: image.descriptor, chainIDs: image.chainIDs)
        return try making(lease, driver, doing: "make the container \(id)") { (staging) throws(StoreError) in
            try driver.prepare(in: staging, from: layerPlaces(container))
            try StoreError.wrapped("make the container \(id)") { () throws(SystemError) in
                try writeFile(staging + "/record.json", container.bytes)
                guard configuration.synchronize else { return }
                try OwnedDescriptor(opening: staging + "/record.json", flags: flags.read).synchronize()
                let directory = try OwnedDescriptor(opening: staging, flags: flags.directory)
                // Thousands of files; the other drivers make but empty directories.
                if [.copy, .reflink].contains(driver.kind) { try directory.synchronizeFileSystem() } else { try directory.synchronize() }
            }
            do throws(SystemError) { try DurableFile.move(staging, to: place, synchronize: configuration.synchronize, replacing: false) } catch {
                if error.errno == .fileExists { throw .exists("container", id) }
                throw .system("make the container \(id)", error)
            }
            return container
        }
    }

    private static func isContainerID(_ id: String) -> Bool {
        (1...200).contains(id.utf8.count) && id.utf8.first.map { "_.-".utf8.contains($0) } == false
            && id.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
                default: "_.-".utf8.contains(byte)
                }
            }
    }

    func layerPlaces(_ container: StoredContainer) -> [String] { container.chainIDs.map { layerPlace($0, container.driver) } }

    /// The names of all containers.
    public func containers() throws(StoreError) -> [String] {
        let path = paths.containers
        let names = try StoreError.wrapped("list the containers") { () throws(SystemError) in try DurableFile.names(in: path) }
        // What else may be there, lost+found say, is nothing of ours.
        return names.filter(ImageStore.isContainerID)
    }

    /// Finds a container.
    /// - Throws: when there is none of the name, or its record is damaged.
    public func container(_ id: String) throws(StoreError) -> StoredContainer {
        guard ImageStore.isContainerID(id) else { throw .notFound("container", quoted(id)) }
        let path = paths.container(id) + "/record.json"
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try readFile(path) } catch {
            guard error.errno == .noSuchFile else { throw .system("read the container \(id)", error) }
            // One that is removed goes with its record.
            let isThere = try exists(paths.container(id))
            throw isThere ? .corrupt("the container \(id) has no record \(path)") : .notFound("container", id)
        }
        do { return try StoredContainer(id: id, bytes) } catch { throw .corrupt("the record of the container \(id) cannot be read: \(error)") }
    }

    /// Where a container's files are, and what must be mounted first: by `mount`, or by whoever runs the container.
    public func root(of container: StoredContainer) -> RootFileSystem {
        Drivers.driver(container.driver).root(in: paths.container(container.id), from: layerPlaces(container))
    }

    /// Mounts a container's files in the caller's mount namespace, unless they are.
    /// - Returns: the directory that is the container's root.
    public func mount(_ container: StoredContainer) throws(StoreError) -> String {
        let lock = try lock("container-\(container.id)", exclusive: true, removable: true)
        defer { withExtendedLifetime(lock) {} }
        let root = root(of: container)
        try StoreError.wrapped("mount the files of the container \(container.id)") { () throws(SystemError) in
            for mount in root.mounts { try mount.make() }
        }
        return root.path
    }

    /// Mounts a container's files read-only, as they are now, while a microVM that has put them together itself may go on writing: an overlay that was mounted here as
    /// well would write to its directories. To be unmounted and mounted again for what has changed since.
    /// - Returns: nil where the driver has no images for machines; then `mount` does no harm.
    public func mountView(_ container: StoredContainer) throws(StoreError) -> String? {
        let lock = try lock("container-\(container.id)", exclusive: true, removable: true)
        defer { withExtendedLifetime(lock) {} }
        let root = root(of: container)
        try StoreError.wrapped("mount a view of the container \(container.id)") { () throws(SystemError) in
            for mount in root.view { try mount.make() }
        }
        return root.view.last?.target
    }

    /// Unmounts what `mount` or `mountView` mounted, as far as it is mounted in the caller's mount namespace.
    public func unmount(_ container: StoredContainer) throws(StoreError) {
        let lock = try lock("container-\(container.id)", exclusive: true, removable: true)
        defer { withExtendedLifetime(lock) {} }
        try detach(container.id)
    }

    private func detach(_ id: String) throws(StoreError) {
        let place = paths.container(id)
        try StoreError.wrapped("unmount the files of the container \(id)") { () throws(SystemError) in try MountPoints.detachAll(beneath: place) }
    }

    /// Removes a container's files, also those of one that is damaged. Nothing may run in them any longer.
    public func removeContainer(_ id: String) throws(StoreError) {
        var driver = DriverKind.btrfs
        do throws(StoreError) { driver = try container(id).driver } catch {
            // By which driver it was made is not known then; to all but btrfs it is files.
            guard case .corrupt = error else { throw error }
        }
        let lock = try lock("container-\(id)", exclusive: true, removable: true)
        defer { withExtendedLifetime(lock) {} }
        try detach(id)
        try discard(paths.container(id), driver)
        let path = "\(paths.locks)/container-\(id)"
        try StoreError.wrapped("remove the container \(id)") { () throws(SystemError) in try DurableFile.remove(path) }
    }

    /// What has changed in a container since it was made, parents before what is in them.
    public func changes(of container: StoredContainer, _ report: (TreeChange) throws(LayerError) -> Void) throws(StoreError) {
        try Drivers.driver(container.driver).changes(in: paths.container(container.id), from: layerPlaces(container), report)
    }

    /// The room that a container's own files take, in bytes: of a copy all of them, else what it has written.
    public func usage(of container: StoredContainer) throws(StoreError) -> Int64 {
        let path = Drivers.driver(container.driver).ownFiles(in: paths.container(container.id))
        return try StoreError.wrapped("measure \(path)") { () throws(SystemError) in
            var usage = TreeUsage()
            try usage.add(try DurableFile.openDirectory(path))
            return usage.bytes
        }
    }
}

extension RootMount {
    /// Whether something is mounted at the target.
    func isMade() throws(SystemError) -> Bool {
        let parent = DurableFile.split(target).directory
        return try OwnedDescriptor(opening: target, flags: flags.handle).attributes().mount != OwnedDescriptor(opening: parent, flags: flags.handle).attributes().mount
    }

    func make() throws(SystemError) {
        let isMade = try isMade()
        if isMade { return }
        if type == "erofs" { return try ErofsDriver.mount(source, at: target) }
        // Many layers' paths are longer than the page that an option string may have; their descriptors' are not.
        var open: [SharedDescriptor] = []
        var short: [String] = []
        for option in options {
            guard let equals = option.firstIndex(of: "="), ["lowerdir", "upperdir", "workdir"].contains(option[..<equals]) else {
                short.append(option)
                continue
            }
            var names: [String] = []
            for path in option[option.index(after: equals)...].split(separator: ":") {
                let directory = SharedDescriptor(try OwnedDescriptor(opening: String(path), flags: flags.handle))
                open.append(directory)
                names.append("/proc/self/fd/\(directory.rawValue)")
            }
            short.append("\(option[..<equals])=\(names.joined(separator: ":"))")
        }
        try MountTree.mount(source, at: target, type: type, data: short.joined(separator: ","))
        withExtendedLifetime(open) {}
    }
}

/// Adds up what a tree takes on the disk.
private struct TreeUsage {
    var bytes: Int64 = 0
    private var seen: Set<[UInt64]> = []

    mutating func add(_ directory: SharedDescriptor, depth: Int = 0) throws(SystemError) {
        // Each takes a descriptor.
        guard depth <= 256 else { throw SystemError(.nameTooLong, "directories more than 256 deep") }
        let names = try directory.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in try directory.entryNames() }
        for name in names {
            let found = try directory.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in try directory.attributes(of: name) }
            let isDirectory = found.mode & 0o170000 == 0o040000
            if isDirectory || found.links < 2 || seen.insert([found.device, found.inode]).inserted { bytes += Int64(found.blocks) * 512 }
            guard isDirectory else { continue }
            try add(try directory.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in SharedDescriptor(try directory.openEntry(name, flags: flags.directory)) }, depth: depth + 1)
        }
    }
}
