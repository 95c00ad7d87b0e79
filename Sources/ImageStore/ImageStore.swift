public import LayerArchive
internal import LinuxSystem
internal import OCIImage
internal import Synchronization

/// What a store is opened with.
public struct StoreConfiguration: Sendable {
    /// How layers are kept and containers get their files; nil: the first of `DriverKind.preferred` that can work here.
    public var driver: DriverKind?
    /// Waits for the disk before something counts as complete. Without it a crash of the machine, though not of a process, may leave broken content behind,
    /// which `fsck` finds.
    public var synchronize = true
    /// What of a layer is accepted.
    public var limits = LayerLimits()

    public init() {}
}

/// A store of images and of containers' files.
///
/// Images are kept in an OCI image layout, `ROOT/images`, which other tools can read; layers are unpacked beside it, by chain ID, in the form that a driver needs.
/// Any number of processes and threads may use a store at once. What is complete stays so whatever happens to a process or the machine, and what is not complete
/// is never seen.
///
///     let store = try ImageStore("/var/lib/engine/store")
///     let lease = try store.lease()
///     for image in try store.importImages(from: ImageLocation("oci-archive:debian.tar:debian:12"), lease: lease) {
///         try store.setName("docker.io/library/debian:12", to: image.descriptor, lease: lease)
///     }
///     lease.end()
///     let container = try store.createContainer("c1", from: try store.image(named: "docker.io/library/debian:12"))
///     let root = try store.mount(container)
public final class ImageStore: Sendable {
    /// The store's directory, without symbolic links on the way.
    public let root: String
    /// What it was opened with.
    public let configuration: StoreConfiguration
    let paths: StorePaths
    /// The driver that was found to work.
    let chosen = Mutex<DriverKind?>(nil)

    /// Opens a store, and makes what of it is missing.
    /// - Parameters:
    ///   - root: an absolute path; the directory is made with mode 0700: files of images may have set-id bits, and must not be in other users' reach.
    ///   - configuration: of this process; others may use the store with another one.
    /// - Throws: when it cannot be made, or is no store of this layout.
    public init(_ root: String, configuration: StoreConfiguration = StoreConfiguration()) throws(StoreError) {
        self.configuration = configuration
        guard root.hasPrefix("/") else { throw .invalid("the store's path \(root) is not absolute") }
        // Without symbolic links, as the kernel names mount points.
        let real = try StoreError.wrapped("open the store \(root)") { () throws(SystemError) in
            try ImageStore.makeParents(of: root)
            try makeDirectory(root, mode: 0o700)
            let directory = try OwnedDescriptor(opening: root, flags: flags.directory)
            return try OwnedDescriptor(opening: "/proc/self/fd", flags: flags.directory).linkTarget(of: "\(directory.rawValue)")
        }
        let paths = StorePaths(root: real)
        (self.root, self.paths) = (real, paths)
        try StoreError.wrapped("open the store \(root)") { () throws(SystemError) in
            for path in paths.all { try makeDirectory(path) }
        }
        try openLayout()
    }

    private static func makeParents(of path: String) throws(SystemError) {
        var parent = ""
        for component in path.split(separator: "/").dropLast() {
            parent += "/" + component
            try makeDirectory(parent)
        }
    }

    /// image-spec, image-layout.md, "oci-layout file".
    private func openLayout() throws(StoreError) {
        let (mark, index) = (paths.layoutMark, paths.index)
        let lock = try lockIndex()
        defer { withExtendedLifetime(lock) {} }
        try StoreError.wrapped("open the image layout of \(root)") { () throws(SystemError) in
            if try !DurableFile.exists(index) { try DurableFile.replace(index, with: OCIImage.Index(manifests: []).bytes, synchronize: configuration.synchronize) }
            if try !DurableFile.exists(mark) {
                try DurableFile.replace(mark, with: Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8), synchronize: configuration.synchronize)
            }
        }
        try ImageLayout.checkMark(paths.layout)
    }

    /// Held while the index is changed.
    func lockIndex() throws(StoreError) -> FileLock { try lock("index", exclusive: true) }

    func lock(_ name: String, exclusive: Bool, removable: Bool = false) throws(StoreError) -> FileLock {
        let path = "\(paths.locks)/\(name)"
        return try StoreError.wrapped("lock \(path)") { () throws(SystemError) in try FileLock(path, exclusive: exclusive, removable: removable) }
    }
}
