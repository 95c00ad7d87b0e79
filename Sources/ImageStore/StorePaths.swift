internal import LinuxSystem
internal import OCIImage

/// Where things are in a store. `docs/images.md` has the picture.
struct StorePaths: Sendable {
    let root: String
    /// An OCI image layout (image-spec, image-layout.md).
    var layout: String { root + "/images" }
    var index: String { layout + "/index.json" }
    var layoutMark: String { layout + "/oci-layout" }
    var blobs: String { layout + "/blobs" }
    /// What is being made: `LEASE.X` by the process that holds that lease.
    var ingest: String { root + "/ingest" }
    var layers: String { root + "/layers" }
    var containers: String { root + "/containers" }
    var leases: String { root + "/leases" }
    var locks: String { root + "/locks" }
    /// What is being removed.
    var trash: String { root + "/trash" }

    var all: [String] { [root, layout, blobs, blobs + "/sha256", blobs + "/sha512", ingest, layers, containers, leases, locks, trash] }

    func blob(_ digest: Digest) -> String { "\(blobs)/\(digest.algorithm.rawValue)/\(digest.hex)" }
    func layers(_ driver: DriverKind) -> String { "\(layers)/\(driver.rawValue)" }
    func container(_ id: String) -> String { "\(containers)/\(id)" }
}

/// A name that nothing else has.
func uniqueName() -> String {
    var generator = SystemRandomNumberGenerator()
    return String(generator.next(), radix: 36) + String(generator.next(), radix: 36)
}

/// Files that appear whole or not at all.
enum DurableFile {
    /// Replaces `path`. When it returns the new contents outlive a crash of the machine; before, the old ones do.
    static func replace(_ path: String, with bytes: [UInt8], synchronize: Bool = true) throws(SystemError) {
        let (directory, name) = split(path)
        let folder = try OwnedDescriptor(opening: directory, flags: flags.directory)
        let temporary = try EntryName(".\(uniqueName()).new")
        let final = try EntryName(name)
        do throws(SystemError) {
            let file = try folder.openEntry(temporary, flags: flags.create, mode: 0o644)
            try file.writeAll(bytes)
            if synchronize { try file.synchronize() }
            try file.close()
            try folder.rename(temporary, to: folder.duplicate(), final, flags: 0)
            if synchronize { try folder.synchronize() }
        } catch {
            try? folder.removeFile(temporary)
            throw error
        }
    }

    static func split(_ path: String) -> (directory: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        return (String(path[..<slash]), String(path[path.index(after: slash)...]))
    }

    /// Renames, and waits until the new name is on the disk.
    /// - Parameter replacing: else `EEXIST` when there is something.
    static func move(_ path: String, to target: String, synchronize: Bool, replacing: Bool = true) throws(SystemError) {
        let (from, to) = (split(path), split(target))
        let source = try OwnedDescriptor(opening: from.directory, flags: flags.directory)
        let destination = try OwnedDescriptor(opening: to.directory, flags: flags.directory)
        try source.rename(try EntryName(from.name), to: destination, try EntryName(to.name), flags: replacing ? 0 : 1 /* RENAME_NOREPLACE */)
        if synchronize { try destination.synchronize() }
    }

    static func exists(_ path: String) throws(SystemError) -> Bool {
        let (directory, name) = split(path)
        do throws(SystemError) {
            _ = try OwnedDescriptor(opening: directory, flags: flags.directory).attributes(of: try EntryName(name))
            return true
        } catch where error.errno == .noSuchFile { return false }
    }

    /// Removes a file, or a tree; fine if there is none.
    static func remove(_ path: String) throws(SystemError) {
        let (directory, name) = split(path)
        do throws(SystemError) {
            try OwnedDescriptor(opening: directory, flags: flags.directory).removeTree(try EntryName(name))
        } catch where error.errno == .noSuchFile { return }
    }

    static func names(in path: String) throws(SystemError) -> [String] {
        do throws(SystemError) {
            return try OwnedDescriptor(opening: path, flags: flags.directory).entryNames().map(\.text).sorted()
        } catch where error.errno == .noSuchFile { return [] }
    }

    static func openDirectory(_ path: String) throws(SystemError) -> SharedDescriptor {
        SharedDescriptor(try OwnedDescriptor(opening: path, flags: flags.directory))
    }
}
