internal import Glibc
public import LinuxSystem
internal import OCIImage

/// Applies layers to a directory (image-spec, layer.md, "Applying Changesets").
///
/// Whatever an archive says, nothing outside the directory is touched: every name is taken apart, `..` is refused, and each directory is opened
/// from the one above without following symbolic links. A symbolic link, or anything else, that stands where an entry needs a directory is replaced by
/// one, whether this layer or a lower one made it: so a layer means the same whether it is applied onto the others or kept by itself for an overlay.
public struct LayerApplier {
    private let root: SharedDescriptor
    private let style: WhiteoutStyle
    private let options: ApplyOptions
    private let lower: [SharedDescriptor]

    /// - Parameters:
    ///   - root: an open directory (O_RDONLY) that nobody else changes meanwhile.
    ///   - style: what becomes of whiteouts.
    ///   - options: what of the layer this process makes.
    ///   - lower: for `.overlay`, the directories of the layers beneath, the topmost first: a directory that the archive fills without naming it is made as it
    ///     is there, and a file that it makes a hard link to is copied from there. Whiteouts concern only what they have.
    public init(to root: SharedDescriptor, style: WhiteoutStyle, options: ApplyOptions = .forThisProcess(), lower: [SharedDescriptor] = []) {
        (self.root, self.style, self.options, self.lower) = (root, style, options, lower)
    }

    /// Applies one layer: a tar, compressed with gzip, zstd or not at all.
    ///
    /// When it fails the directory holds a part of the layer and is of no further use.
    public func apply(_ source: ByteSource) throws(LayerError) -> LayerReport {
        let reader = try TarReader(source, limits: options.limits)
        let application = try LayerApplication(root: root, style: style, options: options, lower: lower, reader: reader)
        while let entry = try reader.next() { try application.apply(entry) }
        try application.finish()
        let diffID = try reader.finish()
        return LayerReport(
            diffID: diffID, tarSize: reader.tarSize, contentSize: reader.contentSize, entryCount: reader.entryCount, skipped: application.skipped)
    }
}

/// One layer being applied.
final class LayerApplication {
    let style: WhiteoutStyle
    let options: ApplyOptions
    let lower: [SharedDescriptor]
    /// This layer, and those beneath: what shows in the end, as far as it is known.
    let merged: [SharedDescriptor]
    let reader: TarReader
    let stack: DirectoryStack
    let root: SharedDescriptor
    /// What was copied from lower layers, in bytes, and what files have in holes.
    var copiedBytes: Int64 = 0
    var holeBytes: Int64 = 0
    private(set) var skipped: [String: Int] = [:]
    /// What this layer made or filled, when lower layers' files are in the directory as well: a whiteout must not remove it. Hashes, with this
    /// process's own seed, of a directory's inode and a name.
    private var own: Set<Int>?
    /// What this layer has and did not make, when layers are kept apart: copies of lower layers' files for the sake of hard links, and the directories that they
    /// are in. A whiteout must remove it.
    private var borrowed: Set<Int> = []

    init(root: SharedDescriptor, style: WhiteoutStyle, options: ApplyOptions, lower: [SharedDescriptor], reader: TarReader) throws(LayerError) {
        (self.root, self.style, self.options, self.lower, self.reader) = (root, style, options, lower, reader)
        merged = [root] + lower
        stack = try DirectoryStack(root: root)
        let isEmpty = try LayerError.wrapped(nil) { () throws(SystemError) in
            try root.with { (root: borrowing OwnedDescriptor) throws(SystemError) in try root.entryNames().isEmpty }
        }
        own = style == .removing && !isEmpty ? [] : nil
    }

    func finish() throws(LayerError) { try stack.finish() }

    func skip(_ what: String) { skipped[what, default: 0] += 1 }

    private func key(_ name: EntryName, in directory: UInt64) -> Int {
        var hasher = Hasher()
        hasher.combine(directory)
        hasher.combine(name)
        return hasher.finalize()
    }

    func note(_ name: EntryName, in directory: UInt64) {
        own?.insert(key(name, in: directory))
        if !borrowed.isEmpty { borrowed.remove(key(name, in: directory)) }
    }
    func borrow(_ name: EntryName, in directory: UInt64) { borrowed.insert(key(name, in: directory)) }
    func isOwn(_ name: EntryName, in directory: UInt64) -> Bool { own?.contains(key(name, in: directory)) ?? !isBorrowed(name, in: directory) }
    func isBorrowed(_ name: EntryName, in directory: UInt64) -> Bool { hasBorrowed && borrowed.contains(key(name, in: directory)) }
    var hasBorrowed: Bool { !borrowed.isEmpty }

    func apply(_ entry: TarEntry) throws(LayerError) {
        let path = try EntryPath(entry.path, limits: options.limits)
        stack.entry = entry.name
        // Below the root a whiteout's name is as special as at the end.
        for component in path.parent where component.bytes.starts(with: Whiteout.prefix) {
            guard try Whiteout(component, entry: entry.name) == .aufs else { throw .refused(entry: entry.name, "a whiteout is not a directory") }
            return skip("aufs's own entries (.wh..wh.*)")
        }
        guard let name = path.last else {
            guard case .directory = entry.kind else { throw .refused(entry: entry.name, "the layer's root is not a directory in it") }
            _ = try stack.leave(for: [])
            return stack.set(try finish(of: entry))
        }
        if let whiteout = try Whiteout(name, entry: entry.name) {
            return try apply(whiteout, in: path.parent, entry)
        }
        try enter(path.parent)
        // Nothing is to be done, and what stands there does not become this layer's own.
        if case .hardLink(let target) = entry.kind, try EntryPath(target, limits: options.limits).components == path.components { return }
        note(name, in: stack.top.inode)
        switch entry.kind {
        case .directory: try makeDirectory(name, finish: finish(of: entry))
        case .regular(let size): try makeFile(name, size, entry)
        case .symbolicLink(let target): try makeSymbolicLink(name, target, entry)
        case .hardLink(let target): try makeHardLink(name, path, target, entry)
        case .characterDevice(let major, let minor): try makeNode(name, type: 0o020000, major, minor, entry)
        case .blockDevice(let major, let minor): try makeNode(name, type: 0o060000, major, minor, entry)
        case .fifo: try makeNode(name, type: 0o010000, 0, 0, entry)
        }
    }

    /// What a directory entry asks for.
    private func finish(of entry: TarEntry) throws(LayerError) -> DirectoryFinish {
        DirectoryFinish(
            owner: options.keepsOwners ? (entry.user, entry.group) : nil, mode: entry.mode, modification: entry.modification, attributes: try settable(entry), hasNoOthers: true)
    }

    /// The attributes that are to be set.
    func settable(_ entry: TarEntry) throws(LayerError) -> [(name: AttributeName, value: [UInt8])] {
        entry.attributes.filter { attribute in
            if ApplyOptions.isHosts(attribute.name) {
                skip("attributes that belong to the host (\(attribute.name.text))")
                return false
            }
            if !options.requiresPrivilegedAttributes, ["trusted.", "security."].contains(where: { attribute.name.bytes.starts(with: $0.utf8) }) {
                skip("attributes that only root can set (\(attribute.name.text))")
                return false
            }
            return true
        }
    }

    /// A system call in the directory that was entered last.
    func inTop<Result>(_ body: (borrowing OwnedDescriptor) throws(SystemError) -> Result) throws(LayerError) -> Result {
        try LayerError.wrapped(stack.entry) { () throws(SystemError) in try stack.top.descriptor.with(body) }
    }
}
