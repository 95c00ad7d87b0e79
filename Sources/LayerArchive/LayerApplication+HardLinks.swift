internal import Glibc
internal import LinuxSystem

extension LayerApplication {
    func makeHardLink(_ name: EntryName, _ path: EntryPath, _ target: [UInt8], _ entry: TarEntry) throws(LayerError) {
        let other = try EntryPath(target, limits: options.limits)
        guard let last = other.last else { throw .refused(entry: entry.name, "it is a hard link to the layer's root") }
        if other.components.starts(with: path.components) { throw .refused(entry: entry.name, "it is a hard link to something beneath itself") }
        var found = try inThisLayer(other, last, entry)
        if found == nil, try copyUp(other, last, entry) {
            found = try inThisLayer(other, last, entry)
            try enter(path.parent)
        }
        guard let (directory, source) = found else {
            let text = other.components.map(\.text).joined(separator: "/")
            throw .refused(entry: entry.name, "it is a hard link to \(text), which is not there, or not without following a symbolic link")
        }
        if source.mode & 0o170000 == 0o040000 { throw .refused(entry: entry.name, "it is a hard link to a directory") }
        try replacing(name) { (parent) throws(SystemError) in
            let parent = SharedDescriptor(try parent.duplicate())
            try directory.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in
                try parent.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in try directory.linkEntry(last, to: parent, name) }
            }
        }
    }

    /// What this layer's directory has at a path; nil when that is nothing, a whiteout, or not there without following a symbolic link.
    private func inThisLayer(_ path: EntryPath, _ last: EntryName, _ entry: TarEntry) throws(LayerError) -> (directory: SharedDescriptor, attributes: FileAttributes)? {
        var directory = root
        do throws(SystemError) {
            for component in path.parent {
                directory = try directory.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in
                    SharedDescriptor(try parent.openEntry(component, flags: O_PATH | O_DIRECTORY))
                }
            }
            let attributes = try directory.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in try directory.attributes(of: last) }
            return OverlayLayers.isWhiteout(attributes) ? nil : (directory, attributes)
        } catch {
            guard [.noSuchFile, .notDirectory, .symbolicLinkLoop].contains(error.errno) else { throw .system(entry: entry.name, error) }
            return nil
        }
    }

    /// Copies what shows at a path from a lower layer into this one, under its own name, as overlayfs does when it is to have another one.
    /// - Returns: false when nothing shows there.
    private func copyUp(_ path: EntryPath, _ last: EntryName, _ entry: TarEntry) throws(LayerError) -> Bool {
        if lower.isEmpty { return false }
        let found = try LayerError.wrapped(entry.name) { () throws(SystemError) in try OverlayLayers.find(path.components[...], in: merged) }
        guard let (parent, attributes) = found else { return false }
        if attributes.mode & 0o170000 == 0o040000 { throw .refused(entry: entry.name, "it is a hard link to a directory") }
        let copy = try parent.with { (parent: borrowing OwnedDescriptor) throws(LayerError) in try describe(last, in: parent, attributes, entry) }
        try enter(path.parent, borrowing: true)
        borrow(last, in: stack.top.inode)
        switch copy.kind {
        case .regular(let size): try copyFile(last, from: parent, size, copy, entry)
        case .symbolicLink(let target): try makeSymbolicLink(last, target, copy)
        case .characterDevice(let major, let minor): try makeNode(last, type: 0o020000, major, minor, copy)
        case .blockDevice(let major, let minor): try makeNode(last, type: 0o060000, major, minor, copy)
        case .fifo: try makeNode(last, type: 0o010000, 0, 0, copy)
        case .directory, .hardLink: break
        }
        return true
    }

    private func describe(_ name: EntryName, in parent: borrowing OwnedDescriptor, _ found: FileAttributes, _ entry: TarEntry) throws(LayerError) -> TarEntry {
        let kind: TarEntry.Kind
        do throws(SystemError) {
            switch found.mode & 0o170000 {
            case 0o100000: kind = .regular(size: Int64(found.size))
            case 0o120000: kind = .symbolicLink(target: try parent.readSymbolicLink(name))
            case 0o020000: kind = .characterDevice(major: found.deviceMajor, minor: found.deviceMinor)
            case 0o060000: kind = .blockDevice(major: found.deviceMajor, minor: found.deviceMinor)
            case 0o010000: kind = .fifo
            // Layers have nothing else.
            default: throw SystemError(.invalidArgument, "link")
            }
            var copy = TarEntry(
                path: entry.path, kind: kind, mode: found.mode & 0o7777, user: found.user, group: found.group, modification: found.modificationTime, attributes: [])
            for attribute in try parent.attributeNames(of: name) where !ApplyOptions.isHosts(attribute) {
                if let value = try parent.attribute(attribute, of: name) { copy.attributes.append((attribute, value)) }
            }
            return copy
        } catch { throw .system(entry: entry.name, error) }
    }

    private func copyFile(_ name: EntryName, from parent: SharedDescriptor, _ size: Int64, _ copy: TarEntry, _ entry: TarEntry) throws(LayerError) {
        let source = try LayerError.wrapped(entry.name) { () throws(SystemError) in
            try parent.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in SharedDescriptor(try parent.openEntry(name, flags: O_RDONLY | O_NONBLOCK)) }
        }
        let stored = try LayerError.wrapped(entry.name) { () throws(SystemError) in
            try source.with { (source: borrowing OwnedDescriptor) throws(SystemError) in try source.dataParts(size).reduce(0) { $0 + Int64($1.count) } }
        }
        // A few bytes of archive may ask for much.
        copiedBytes += stored
        guard copiedBytes <= options.limits.bytes - min(reader.tarSize, options.limits.bytes) else {
            throw .limit("with the files of lower layers that it has hard links to it has more than \(options.limits.bytes) bytes")
        }
        try countHoles(size - stored, entry)
        let attributes = try settable(copy)
        try inTop { (top) throws(SystemError) in
            let file = try top.openEntry(name, flags: O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
            try source.with { (source: borrowing OwnedDescriptor) throws(SystemError) in try file.copyContents(of: source, size: size) }
            try finish(file, nil, copy, attributes)
        }
    }
}
