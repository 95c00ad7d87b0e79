import LayerArchive
import LinuxSystem

/// One directory per layer, put together by overlayfs.
///
/// In a user namespace of its own the process marks opaque directories with `user.*` attributes (`userxattr`, Linux 5.11): an ordinary user's way.
struct OverlayDriver: StorageDriver {
    let kind = DriverKind.overlay
    private let usesUserAttributes = !isMachineRoot()

    func probe(_ prefix: String) -> DriverSupport {
        Drivers.trying(prefix) { (path) throws(SystemError) in
            for name in ["lower", "upper", "work"] { try makeDirectory("\(path)/\(name)") }
            let upper = try OwnedDescriptor(opening: "\(path)/upper", flags: flags.directory)
            let attribute = usesUserAttributes ? "user.overlay.opaque" : "trusted.overlay.opaque"
            do throws(SystemError) { try upper.setAttribute(try AttributeName(attribute), [0x79]) } catch {
                return .cannot("the store's file system has no attributes \(attribute) (\(error)); ext4, XFS and btrfs do, and tmpfs from Linux 6.6 on")
            }
            try upper.removeAttribute(try AttributeName(attribute))
            try upper.makeNode(try EntryName("whiteout"), mode: 0o020000, major: 0, minor: 0)
            try upper.removeFile(try EntryName("whiteout"))
            do throws(SystemError) {
                let context = try FileSystemContext(type: "overlay")
                if usesUserAttributes { try context.set(flag: "userxattr") }
                // By descriptors: an option's value may have no more than 255 bytes.
                let (lower, work) = (try DurableFile.openDirectory("\(path)/lower"), try DurableFile.openDirectory("\(path)/work"))
                try context.set("lowerdir", "/proc/self/fd/\(lower.rawValue)")
                try context.set("upperdir", upper.procPath)
                try context.set("workdir", "/proc/self/fd/\(work.rawValue)")
                let mount = try context.mount([])
                withExtendedLifetime((lower, work)) {}
                _ = try mount.descriptor.attributes()
            } catch {
                if error.errno == .notPermitted { return .cannot("an ordinary user cannot mount overlayfs; it takes root, or a user namespace with a mount namespace of its own") }
                if error.errno == .noSuchDevice { return .cannot("this kernel has no overlayfs (modprobe overlay)") }
                return .cannot("overlayfs cannot be mounted on the store's file system: \(error)")
            }
            return .works
        }
    }

    func unpack(_ source: ByteSource, in place: String, onto parents: [String], options: ApplyOptions) throws(StoreError) -> LayerReport {
        let files = "\(place)/\(filesName)"
        try OverlayDirectory.make(files, like: parents.last.map { "\($0)/\(filesName)" })
        return try apply(
            source, to: files, style: .overlay(user: usesUserAttributes), options: options, lower: parents.reversed().map { "\($0)/\(filesName)" })
    }

    func prepare(in place: String, from layers: [String]) throws(StoreError) {
        try OverlayDirectory.make("\(place)/upper", like: layers.last.map { "\($0)/\(filesName)" })
        try StoreError.wrapped("make \(place)") { () throws(SystemError) in
            for name in ["work", "root", "empty"] { try makeDirectory("\(place)/\(name)") }
        }
    }

    func root(in place: String, from layers: [String]) -> RootFileSystem {
        let overlay = OverlayDirectory.mount(place, lower: lower(place, layers), userAttributes: usesUserAttributes)
        return RootFileSystem(path: "\(place)/root", mounts: [overlay], images: [], writable: nil)
    }

    /// The topmost first. overlayfs wants at least one.
    private func lower(_ place: String, _ layers: [String]) -> [String] {
        layers.isEmpty ? ["\(place)/empty"] : layers.reversed().map { "\($0)/\(filesName)" }
    }

    func changes(in place: String, from layers: [String], _ report: (TreeChange) throws(LayerError) -> Void) throws(StoreError) {
        try OverlayDirectory.changes(place, lower: lower(place, layers), report)
    }

    func ownFiles(in place: String) -> String { "\(place)/upper" }
    func discard(_ place: String) throws(StoreError) {}

    func differences(of place: String, from fresh: String) throws(StoreError) -> [String] {
        try differingPaths("\(fresh)/\(filesName)", "\(place)/\(filesName)")
    }
}

/// What the overlay and the EROFS driver share.
enum OverlayDirectory {
    /// A directory whose attributes are another one's: of merged directories the uppermost one's show.
    static func make(_ path: String, like other: String?) throws(StoreError) {
        try StoreError.wrapped("make \(path)") { () throws(SystemError) in
            try makeDirectory(path)
            guard let other else { return try setPlain(path) }
            let source = try OwnedDescriptor(opening: other, flags: flags.directory)
            try copyAttributes(source, to: path)
        }
    }

    /// What a layer's root is like whose archive does not name it: the same whenever it is unpacked.
    static func setPlain(_ path: String) throws(SystemError) {
        let directory = try OwnedDescriptor(opening: path, flags: flags.directory)
        let epoch = FileTime(seconds: 0, nanoseconds: 0)
        try directory.setMode(0o755)
        try directory.setTimes(access: epoch, modification: epoch)
    }

    static func copyAttributes(_ source: borrowing OwnedDescriptor, to path: String) throws(SystemError) {
        let target = try OwnedDescriptor(opening: path, flags: flags.directory)
        let attributes = try source.attributes()
        if effectiveUser() == 0 { try target.setOwner(user: attributes.user, group: attributes.group) }
        try target.setMode(attributes.mode & 0o7777)
        for name in try source.attributeNames() where !name.text.contains(".overlay.") {
            if let value = try source.attribute(name) { try target.setAttribute(name, value) }
        }
        try target.setTimes(access: attributes.modificationTime, modification: attributes.modificationTime)
    }

    /// The features by which a change would be more than an upper directory's own files are off, whatever the kernel was built with: `diff` and `commit` read it.
    static func mount(_ place: String, lower: [String], userAttributes: Bool) -> RootMount {
        let own = userAttributes ? ["userxattr"] : ["index=off", "metacopy=off", "redirect_dir=off"]
        return RootMount(
            type: "overlay", source: "overlay", target: "\(place)/root",
            options: ["lowerdir=" + lower.joined(separator: ":"), "upperdir=\(place)/upper", "workdir=\(place)/work"] + own)
    }

    static func changes(_ place: String, lower: [String], _ report: (TreeChange) throws(LayerError) -> Void) throws(StoreError) {
        let upper = try StoreError.wrapped("open \(place)/upper") { () throws(SystemError) in try DurableFile.openDirectory("\(place)/upper") }
        var layers: [SharedDescriptor] = []
        for path in lower { layers.append(try StoreError.wrapped("open \(path)") { () throws(SystemError) in try DurableFile.openDirectory(path) }) }
        do throws(LayerError) { try TreeChanges.inUpper(upper, lower: layers, report) } catch { throw .layer("changes of \(place)", error) }
    }
}
