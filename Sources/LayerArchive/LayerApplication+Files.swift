internal import Glibc
internal import LinuxSystem

extension LayerApplication {
    /// Makes an entry that is no directory; what stood there goes.
    func replacing<Result>(_ name: EntryName, _ make: (borrowing OwnedDescriptor) throws(SystemError) -> Result) throws(LayerError) -> Result {
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
        var (end, written): (Int64, Int64) = (0, 0)
        try reader.readContent { (bytes, offset) throws(LayerError) in
            guard offset <= size, Int64(bytes.byteCount) <= size - offset else { throw .malformed(entry: entry.name, "its content is longer than it says") }
            try LayerError.wrapped(entry.name) { () throws(SystemError) in
                try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try file.write(bytes, at: offset) }
            }
            end = max(end, offset + Int64(bytes.byteCount))
            written += Int64(bytes.byteCount)
        }
        try countHoles(size - written, entry)
        let attributes = try settable(entry)
        try LayerError.wrapped(entry.name) { () throws(SystemError) in
            try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in
                if end < size { try file.truncate(to: size) }
                try finish(file, nil, entry, attributes)
            }
        }
    }

    func countHoles(_ bytes: Int64, _ entry: TarEntry) throws(LayerError) {
        holeBytes += max(0, bytes)
        if holeBytes > options.limits.holeBytes { throw .limit("its files have more than \(options.limits.holeBytes) bytes of holes, up to \(entry.name)") }
    }

    /// Owner, mode, attributes and times, in the order in which none undoes another.
    func finish(
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
}
