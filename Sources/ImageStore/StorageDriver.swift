import LayerArchive
import LinuxSystem

/// A way to keep layers and to give containers their files.
///
/// A layer's *place* is a directory of its own, in which the driver makes what it needs; the store moves it to where it is found once it is complete. Layers that
/// are beneath another are named by their places, the base first. A container's place is a directory likewise.
protocol StorageDriver: Sendable {
    var kind: DriverKind { get }
    /// Finds out by trying.
    /// - Parameter prefix: of the names of files of the store's own.
    func probe(_ prefix: String) -> DriverSupport
    /// Makes a layer of an archive.
    func unpack(_ source: ByteSource, in place: String, onto parents: [String], options: ApplyOptions) throws(StoreError) -> LayerReport
    /// Makes a container's files of an image's layers.
    func prepare(in place: String, from layers: [String]) throws(StoreError)
    func root(in place: String, from layers: [String]) -> RootFileSystem
    /// What has changed in a container.
    func changes(in place: String, from layers: [String], _ report: (TreeChange) throws(LayerError) -> Void) throws(StoreError)
    /// The tree or directory whose size is what a container takes.
    func ownFiles(in place: String) -> String
    /// Before a place is removed: what only the driver can remove.
    func discard(_ place: String) throws(StoreError)
    /// Compares a layer with one that was made of the same archive anew.
    /// - Returns: the first paths that differ.
    func differences(of place: String, from fresh: String) throws(StoreError) -> [String]
}

extension StorageDriver {
    func apply(_ source: ByteSource, to path: String, style: WhiteoutStyle, options: ApplyOptions, lower: [String] = []) throws(StoreError) -> LayerReport {
        let root = try StoreError.wrapped("open \(path)") { () throws(SystemError) in try DurableFile.openDirectory(path) }
        var layers: [SharedDescriptor] = []
        for layer in lower { layers.append(try StoreError.wrapped("open \(layer)") { () throws(SystemError) in try DurableFile.openDirectory(layer) }) }
        do throws(LayerError) {
            return try LayerApplier(to: root, style: style, options: options, lower: layers).apply(source)
        } catch { throw .layer("in \(path)", error) }
    }

    func compareTrees(_ before: String, _ after: String, since: FileTime, _ report: (TreeChange) throws(LayerError) -> Void) throws(StoreError) {
        let base = try StoreError.wrapped("open \(before)") { () throws(SystemError) in try DurableFile.openDirectory(before) }
        let tree = try StoreError.wrapped("open \(after)") { () throws(SystemError) in try DurableFile.openDirectory(after) }
        do throws(LayerError) { try TreeChanges.between(base, and: tree, copied: since, report) } catch { throw .layer("changes of \(after)", error) }
    }

    func differingPaths(_ before: String, _ after: String) throws(StoreError) -> [String] {
        var paths: [String] = []
        try compareTrees(before, after, since: FileTime(seconds: .min, nanoseconds: 0)) { (change) throws(LayerError) in
            if paths.count < 10 { paths.append(change.displayPath) }
        }
        return paths
    }
}

/// The directory of a layer's or a container's place in which its files are.
let filesName = "fs"

enum Drivers {
    static func driver(_ kind: DriverKind) -> any StorageDriver {
        switch kind {
        case .overlay: OverlayDriver()
        case .erofs: ErofsDriver()
        case .btrfs: BtrfsDriver()
        case .reflink: FlatDriver(sharesBlocks: true)
        case .copy: FlatDriver(sharesBlocks: false)
        }
    }

    /// A directory to try something in, which is removed afterwards.
    static func trying(_ prefix: String, _ body: (String) throws(SystemError) -> DriverSupport) -> DriverSupport {
        let path = "\(prefix).\(uniqueName())"
        defer { try? DurableFile.remove(path) }
        do throws(SystemError) {
            try makeDirectory(path, mode: 0o700)
            return try body(path)
        } catch { return .cannot("\(error)") }
    }
}
