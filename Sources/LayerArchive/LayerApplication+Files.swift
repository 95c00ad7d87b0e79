internal import Glibc
internal import LinuxSystem

extension LayerApplication {
    /// Makes an entry that is no directory; what stood there goes.
    private func replacing<Result>(_ name: EntryName, _ make: (borrowing OwnedDescriptor) throws(SystemError) -> Result) throws(LayerError) -> Result {
        try inTop { (parent) throws(SystemError) in
            do throws(SystemError) { return try make(parent) } catch where error.errno == .fileExists {
                try parent.removeTree(name)
                return try make(parent)
            }
        }
    }

    func makeFile(_ name: EntryName, _ size: Int64, _ entry: TarEntry) throws(LayerError) {
        let file = try replacing(name) { (parent) throws(SystemError) in
            SharedDescriptor(try parent.openEntry(name, flags: O_WRONLY | O_CREAT | O_EXCL, mode: 0o600))
        }
        var end: Int64 = 0
        try reader.readContent { (bytes, offset) throws(LayerError) in
            guard offset <= size, Int64(bytes.byteCount) <= size - offset else { throw .malformed(entry: entry.name, "its content is longer than it says") }
            try LayerError.wrapped(entry.name) { () throws(SystemError) in
                try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try file.write(bytes, at: offset) }
            }
            end = max(end, offset + Int64(bytes.byteCount))
        }
        let attributes = try settable(entry)
        try LayerError.wrapped(entry.name) { () throws(SystemError) in
            try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in
                if end < size { try file.truncate(to: size) }
                try finish(file, nil, entry, attributes)
            }
        }
    }

    /// Owner, mode, attributes and times, in the order in which none undoes another.
    private func finish(
        _ object: borrowing OwnedDescriptor, _ name: EntryName?, _ entry: TarEntry, _ attributes: [(name: AttributeName, value: [UInt8])]
    ) throws(SystemError) {
        if options.keepsOwners {
            // Not in the closure: what is borrowed cannot be captured.
            do throws(SystemError) {
                if let name { try object.setOwner(of: name, user: entry.user, group: entry.group) } else { try object.setOwner(user: entry.user, group: entry.group) }
            } catch { try explainingOwner(entry.user, entry.group) { () throws(SystemError) in throw error } }
        }
        if case .symbolicLink = entry.kind {} else {
            // A default list of the directory's is for what others make there.
            try object.forgetAttribute(try AttributeName("system.posix_acl_access"), of: name)
            try object.setMode(entry.mode, of: name)
        }
        for attribute in attributes { try object.setAttribute(attribute.name, attribute.value, of: name) }
        try object.setTimes(access: entry.modification, modification: entry.modification, of: name)
    }

    func makeSymbolicLink(_ name: EntryName, _ target: [UInt8], _ entry: TarEntry) throws(LayerError) {
        guard !target.isEmpty else { throw .malformed(entry: entry.name, "it is a symbolic link without a target") }
        try replacing(name) { (parent) throws(SystemError) in try parent.makeSymbolicLink(name, target: target) }
        let attributes = try settable(entry)
        try inTop { (parent) throws(SystemError) in try finish(parent, name, entry, attributes) }
    }

    func makeNode(_ name: EntryName, type: UInt32, _ major: UInt32, _ minor: UInt32, _ entry: TarEntry) throws(LayerError) {
        if type != 0o010000 {
            if type == 0o020000 && major == 0 && minor == 0 {
                throw .refused(entry: entry.name, "a character device 0:0 is what overlayfs hides files with; whiteouts of layers are files named .wh.*")
            }
            guard options.makesDevices else { return skip("device nodes, which only root of the machine can make") }
        }
        try replacing(name) { (parent) throws(SystemError) in try parent.makeNode(name, mode: type | 0o600, major: major, minor: minor) }
        let attributes = try settable(entry)
        try inTop { (parent) throws(SystemError) in try finish(parent, name, entry, attributes) }
    }

    func makeHardLink(_ name: EntryName, _ path: EntryPath, _ target: [UInt8], _ entry: TarEntry) throws(LayerError) {
        let other = try EntryPath(target, limits: options.limits)
        guard let last = other.last else { throw .refused(entry: entry.name, "it is a hard link to the layer's root") }
        // Nothing is to be done, and removing what stands there would lose it.
        if other.components == path.components { return }
        var directory = root
        for component in other.parent {
            do throws(SystemError) {
                directory = try directory.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in
                    SharedDescriptor(try parent.openEntry(component, flags: O_PATH | O_DIRECTORY))
                }
            } catch { throw missing(other, entry, error) }
        }
        let source: FileAttributes
        do throws(SystemError) {
            source = try directory.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in try directory.attributes(of: last) }
        } catch { throw missing(other, entry, error) }
        if source.mode & 0o170000 == 0o040000 { throw .refused(entry: entry.name, "it is a hard link to a directory") }
        if OverlayLayers.isWhiteout(source) { throw missing(other, entry, SystemError(.noSuchFile, "stat")) }
        try replacing(name) { (parent) throws(SystemError) in
            let parent = SharedDescriptor(try parent.duplicate())
            try directory.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in
                try parent.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in try directory.linkEntry(last, to: parent, name) }
            }
        }
    }

    private func missing(_ target: EntryPath, _ entry: TarEntry, _ error: SystemError) -> LayerError {
        let name = target.components.map(\.text).joined(separator: "/")
        guard [.noSuchFile, .notDirectory, .symbolicLinkLoop].contains(error.errno) else { return .system(entry: entry.name, error) }
        return .refused(entry: entry.name, "it is a hard link to \(name), which is not there, or not without following a symbolic link")
    }
}
