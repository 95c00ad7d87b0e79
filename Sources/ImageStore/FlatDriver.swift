import LayerArchive
import LinuxSystem

/// Whole trees: a layer's place has all files of the layers up to it. Those that it has from beneath are hard links, because nobody writes to a layer: so the
/// trees of an image's layers take little more than the layers themselves. A container gets a copy.
struct FlatDriver: StorageDriver {
    let sharesBlocks: Bool
    var kind: DriverKind { sharesBlocks ? .reflink : .copy }

    func probe(_ prefix: String) -> DriverSupport {
        guard sharesBlocks else { return .works }
        return Drivers.trying(prefix) { (path) throws(SystemError) in
            try writeFile(path + "/a", [1])
            let source = try OwnedDescriptor(opening: path + "/a", flags: flags.read)
            let target = try OwnedDescriptor(opening: path + "/b", flags: flags.create, mode: 0o600)
            do throws(SystemError) { try target.cloneContents(of: source) } catch {
                return .cannot("the store's file system cannot share blocks between files (\(error)); XFS with reflink=1 and btrfs can")
            }
            return .works
        }
    }

    func unpack(_ source: ByteSource, in place: String, onto parents: [String], options: ApplyOptions) throws(StoreError) -> LayerReport {
        let files = "\(place)/\(filesName)"
        try StoreError.wrapped("make \(files)") { () throws(SystemError) in
            try makeDirectory(files)
            if let parent = parents.last { try TreeCopy.copy("\(parent)/\(filesName)", to: files, .link) } else { try OverlayDirectory.setPlain(files) }
        }
        return try apply(source, to: files, style: .removing, options: options)
    }

    func prepare(in place: String, from layers: [String]) throws(StoreError) {
        let files = "\(place)/\(filesName)"
        try StoreError.wrapped("copy the image to \(files)") { () throws(SystemError) in
            try makeDirectory(files)
            if let top = layers.last {
                try TreeCopy.copy("\(top)/\(filesName)", to: files, sharesBlocks ? .reflink : .copy)
            } else {
                try OverlayDirectory.setPlain(files)
            }
            try CopyMark.set(in: place)
        }
    }

    func root(in place: String, from layers: [String]) -> RootFileSystem { RootFileSystem(path: "\(place)/\(filesName)", mounts: [], images: [], writable: nil) }

    func changes(in place: String, from layers: [String], _ report: (TreeChange) throws(LayerError) -> Void) throws(StoreError) {
        let mark = try StoreError.wrapped("read \(place)") { () throws(SystemError) in try CopyMark.time(in: place) }
        try CopyMark.withBase(layers, in: place) { (base) throws(StoreError) in try compareTrees(base, "\(place)/\(filesName)", since: mark, report) }
    }

    func ownFiles(in place: String) -> String { "\(place)/\(filesName)" }
    func discard(_ place: String) throws(StoreError) {}

    func differences(of place: String, from fresh: String) throws(StoreError) -> [String] {
        try differingPaths("\(fresh)/\(filesName)", "\(place)/\(filesName)")
    }
}

/// An empty file that was made just after a container's files were: what has changed since is what has changed in the container.
enum CopyMark {
    private static let name = "copied"

    static func set(in place: String) throws(SystemError) {
        try writeFile("\(place)/\(name)", [], exclusive: true)
        let file = try OwnedDescriptor(opening: "\(place)/\(name)", flags: flags.read)
        let first = try file.attributes().changeTime
        // Files' clock moves on some hundred times a second; the mark must be younger than the last copy.
        while try file.attributes().changeTime == first {
            sleep(milliseconds: 1)
            try file.setMode(0o644)
        }
    }

    static func time(in place: String) throws(SystemError) -> FileTime {
        try OwnedDescriptor(opening: "\(place)/\(name)", flags: flags.read).attributes().changeTime
    }

    /// The tree of an image's last layer; of an image without layers, an empty directory.
    static func withBase(_ layers: [String], in place: String, _ body: (String) throws(StoreError) -> Void) throws(StoreError) {
        if let top = layers.last { return try body("\(top)/\(filesName)") }
        let empty = "\(place)/empty"
        try StoreError.wrapped("make \(empty)") { () throws(SystemError) in try makeDirectory(empty) }
        try body(empty)
    }
}
