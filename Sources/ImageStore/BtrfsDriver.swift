import LayerArchive
import LinuxSystem

/// btrfs: a layer is a snapshot of the one beneath with its changes applied, a container a snapshot of its image's last layer.
struct BtrfsDriver: StorageDriver {
    let kind = DriverKind.btrfs
    /// BTRFS_SUPER_MAGIC
    private static let magic: UInt64 = 0x9123_683E

    func probe(_ prefix: String) -> DriverSupport {
        Drivers.trying(prefix) { (path) throws(SystemError) in
            let folder = try OwnedDescriptor(opening: path, flags: flags.directory)
            guard try folder.fileSystemStatistics().type == BtrfsDriver.magic else { return .cannot("the store's file system is not btrfs") }
            let (a, b) = (try EntryName("a"), try EntryName("b"))
            do throws(SystemError) {
                try folder.makeSubvolume(a)
                try folder.makeSnapshot(b, of: try folder.openEntry(a, flags: flags.directory))
                try folder.removeSubvolume(b)
                try folder.removeSubvolume(a)
            } catch where error.errno == .notPermitted {
                for name in [b, a] { try? folder.removeTree(name) }
                return .cannot("an ordinary user may remove subvolumes only if the file system is mounted with user_subvol_rm_allowed")
            }
            return .works
        }
    }

    func unpack(_ source: ByteSource, in place: String, onto parents: [String], options: ApplyOptions) throws(StoreError) -> LayerReport {
        try make(in: place, of: parents.last)
        return try apply(source, to: "\(place)/\(filesName)", style: .removing, options: options)
    }

    func prepare(in place: String, from layers: [String]) throws(StoreError) {
        try make(in: place, of: layers.last)
        try StoreError.wrapped("prepare \(place)") { () throws(SystemError) in try CopyMark.set(in: place) }
    }

    private func make(in place: String, of parent: String?) throws(StoreError) {
        try StoreError.wrapped("make a subvolume in \(place)") { () throws(SystemError) in
            let folder = try OwnedDescriptor(opening: place, flags: flags.directory)
            let name = try EntryName(filesName)
            if let parent {
                try folder.makeSnapshot(name, of: try OwnedDescriptor(opening: "\(parent)/\(filesName)", flags: flags.directory))
            } else {
                try folder.makeSubvolume(name)
                try OverlayDirectory.setPlain("\(place)/\(filesName)")
            }
        }
    }

    func root(in place: String, from layers: [String]) -> RootFileSystem { RootFileSystem(path: "\(place)/\(filesName)", mounts: [], images: [], writable: nil) }

    func changes(in place: String, from layers: [String], _ report: (TreeChange) throws(LayerError) -> Void) throws(StoreError) {
        let mark = try StoreError.wrapped("read \(place)") { () throws(SystemError) in try CopyMark.time(in: place) }
        try CopyMark.withBase(layers, in: place) { (base) throws(StoreError) in try compareTrees(base, "\(place)/\(filesName)", since: mark, report) }
    }

    func ownFiles(in place: String) -> String { "\(place)/\(filesName)" }

    func discard(_ place: String) throws(StoreError) {
        try StoreError.wrapped("remove the subvolume in \(place)") { () throws(SystemError) in
            do throws(SystemError) {
                let folder = try OwnedDescriptor(opening: place, flags: flags.directory)
                guard try folder.fileSystemStatistics().type == BtrfsDriver.magic else { return }
                try folder.removeSubvolume(try EntryName(filesName))
            } catch {
                // Not there, no subvolume, or one that has others in it: then it is removed file by file.
                guard [.noSuchFile, .notDirectory, .notEmpty, .invalidArgument, .notPermitted, .busy].contains(error.errno) else { throw error }
            }
        }
    }

    func differences(of place: String, from fresh: String) throws(StoreError) -> [String] {
        try differingPaths("\(fresh)/\(filesName)", "\(place)/\(filesName)")
    }
}
