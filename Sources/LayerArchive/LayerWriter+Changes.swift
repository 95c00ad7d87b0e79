internal import Glibc
internal import LinuxSystem

extension LayerWriter {
    /// Adds a change, as a layer says it (image-spec, layer.md, "Representing Changes").
    public func add(_ change: TreeChange) throws(LayerError) {
        let path = Array(change.path.map { Array($0.bytes) }.joined(separator: [UInt8(ascii: "/")]))
        guard let attributes = change.attributes else {
            var name = path
            if change.kind == .emptied {
                name += [UInt8(ascii: "/")] + Whiteout.opaqueName
            } else {
                let start = path.count - (change.path.last?.count ?? 0)
                name.insert(contentsOf: Whiteout.prefix, at: start)
            }
            let whiteout = TarEntry(
                path: name, kind: .regular(size: 0), mode: 0o600, user: 0, group: 0, modification: FileTime(seconds: 0, nanoseconds: 0), attributes: [])
            return try put(TarHeader.bytes(of: whiteout, size: 0))
        }
        let name = change.path.last
        if let name, name.bytes.starts(with: Whiteout.prefix) {
            throw .refused(entry: change.displayPath, "a file of this name would be a whiteout in a layer")
        }
        let entry = path.isEmpty ? Array(".".utf8) : path
        let object = try LayerError.wrapped(change.displayPath) { () throws(SystemError) in
            try change.parent.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in try describe(entry, name, parent, attributes) }
        }
        guard var object else { return skip("sockets, which a tar cannot hold") }
        if attributes.links > 1, attributes.mode & 0o170000 != 0o040000 {
            let identity = FileIdentity(device: attributes.device, inode: attributes.inode)
            if let first = firstNames[identity] {
                object.kind = .hardLink(target: first)
                object.attributes = []
                return try put(TarHeader.bytes(of: object, size: 0))
            }
            firstNames[identity] = entry
        }
        guard case .regular(let size) = object.kind, let name else { return try put(TarHeader.bytes(of: object, size: 0)) }
        let file = try LayerError.wrapped(change.displayPath) { () throws(SystemError) in
            try change.parent.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in
                let file = try parent.openEntry(name, flags: O_RDONLY | O_NONBLOCK)
                // It may have been replaced by something on which reading would block or act.
                guard try file.status().isRegular else { throw SystemError(.busy, "open") }
                return SharedDescriptor(file)
            }
        }
        try add(object, size, file, change.displayPath)
    }

    private func skip(_ what: String) { skipped[what, default: 0] += 1 }

    /// Nil for what a tar has no type for.
    private func describe(
        _ path: [UInt8], _ name: EntryName?, _ parent: borrowing OwnedDescriptor, _ attributes: FileAttributes
    ) throws(SystemError) -> TarEntry? {
        let kind: TarEntry.Kind
        switch attributes.mode & 0o170000 {
        case 0o100000: kind = .regular(size: Int64(attributes.size))
        case 0o040000: kind = .directory
        case 0o120000: kind = .symbolicLink(target: try name.map { (name) throws(SystemError) in try parent.readSymbolicLink(name) } ?? [])
        case 0o020000: kind = .characterDevice(major: attributes.deviceMajor, minor: attributes.deviceMinor)
        case 0o060000: kind = .blockDevice(major: attributes.deviceMajor, minor: attributes.deviceMinor)
        case 0o010000: kind = .fifo
        default: return nil
        }
        var entry = TarEntry(
            path: kind == .directory ? path + [UInt8(ascii: "/")] : path, kind: kind, mode: attributes.mode & 0o7777, user: attributes.user, group: attributes.group,
            modification: attributes.modificationTime, attributes: [])
        for attribute in try parent.attributeNames(of: name) where !ApplyOptions.isHosts(attribute) {
            // A PAX header ends a keyword there.
            if attribute.bytes.contains(UInt8(ascii: "=")) {
                skip("attributes whose name has a `=`, which a tar cannot hold")
                continue
            }
            if let value = try parent.attribute(attribute, of: name) { entry.attributes.append((attribute, value)) }
        }
        entry.attributes.sort { $0.name.bytes.lexicographicallyPrecedes($1.name.bytes) }
        return entry
    }

    private func add(_ entry: TarEntry, _ size: Int64, _ file: SharedDescriptor, _ place: String) throws(LayerError) {
        let parts = try LayerError.wrapped(place) { () throws(SystemError) in
            try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try file.dataParts(size) }
        }
        guard parts != [0..<size], parts.count <= 4096 else {
            try put(TarHeader.bytes(of: entry, size: size))
            try put(0..<size, of: file, place)
            return try put(TarHeader.padding(size))
        }
        // GNU's sparse format 1.0: a map in decimal lines, filled up to a block, then what is in the file. A hole at the end needs its empty part: GNU tar
        // would take the file to end before it.
        var map = Array("\(parts.count)\n".utf8)
        for part in parts { map += Array("\(part.lowerBound)\n\(part.count)\n".utf8) }
        map += TarHeader.padding(Int64(map.count))
        let stored = parts.reduce(0) { $0 + Int64($1.count) }
        try put(TarHeader.bytes(of: entry, size: Int64(map.count) + stored, sparse: size))
        try put(map)
        for part in parts { try put(part, of: file, place) }
        try put(TarHeader.padding(stored))
    }

    private func put(_ range: Range<Int64>, of file: SharedDescriptor, _ place: String) throws(LayerError) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let count = Int(min(range.upperBound - offset, 256 << 10))
            let bytes = try LayerError.wrapped(place) { () throws(SystemError) in
                try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try file.bytes(at: offset, count: count) }
            }
            guard bytes.count == count else { throw .refused(entry: place, "it became shorter while it was read; pause the container, and try again") }
            try put(bytes)
            offset += Int64(count)
        }
    }
}
