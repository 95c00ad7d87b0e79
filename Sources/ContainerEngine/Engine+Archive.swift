internal import Glibc
internal import JSONText
internal import LayerArchive
internal import LinuxSystem

/// Files of containers as archives on standard streams.
extension Engine {
    /// `cp` from or to `-`: by way of a folder of the container's, which goes with it if this process is killed.
    func copyArchive(_ source: CopyPlace, _ target: CopyPlace, keepsOwners: Bool) throws(EngineError) {
        guard case .container(let name, _) = source == .stream ? target : source else { throw EngineError("cp: - is an archive of a container's files: CONTAINER:PATH is expected on the other side") }
        let folder = try store.find(name)
        let staged = "cp-\(getpid())"
        let tree = try doing("cp: cannot make \(folder.path)/\(staged)") { () throws(SystemError) in
            let own = try folder.open()
            try own.makeDirectory(try EntryName(staged), mode: 0o700)
            return SharedDescriptor(try own.openEntry(try EntryName(staged), flags: O_RDONLY | O_DIRECTORY))
        }
        defer { if let own = try? folder.open(), let name = try? EntryName(staged) { try? own.removeTree(name) } }
        do {
            if source == .stream {
                let input = SharedDescriptor(try OwnedDescriptor(duplicating: 0))
                _ = try LayerApplier(to: tree, style: .removing).apply(ByteSource(input))
                try copy(.host("\(folder.path)/\(staged)/."), target, keepsOwners: keepsOwners)
            } else {
                try copy(source, .host("\(folder.path)/\(staged)"), keepsOwners: true)
                try Self.writeArchive(of: tree, to: SharedDescriptor(try OwnedDescriptor(duplicating: 1)))
            }
        } catch { throw error as? EngineError ?? EngineError("cp: \(error)") }
    }

    /// A tar of all that is in a directory.
    static func writeArchive(of tree: SharedDescriptor, to target: SharedDescriptor) throws {
        let nothing = SharedDescriptor(try OwnedDescriptor.emptyDirectory())
        let writer = try LayerWriter(.none) { (bytes) throws(SystemError) in try target.with { (file) throws(SystemError) in try file.writeAll(bytes) } }
        try TreeChanges.between(nothing, and: tree, copied: FileTime(seconds: .min, nanoseconds: 0)) { (change) throws(LayerError) in
            if !change.path.isEmpty { try writer.add(change) }
        }
        _ = try writer.finish()
    }
}
