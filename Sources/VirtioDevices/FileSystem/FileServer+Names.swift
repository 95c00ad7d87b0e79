internal import Glibc
internal import LinuxSystem

/// Names: looking them up, and changing them.
extension FileServer {
    /// - Throws: `ENOTDIR` unless the node is a directory.
    func directory(_ node: UInt64) throws(SystemError) -> Inode {
        let inode = try inode(node)
        if inode.type != S_IFDIR { throw SystemError(.notDirectory, "node") }
        return inode
    }

    func lookup(_ header: FuseHeader, _ name: EntryName) throws(SystemError) -> Answer {
        var reply = FuseReply()
        do throws(SystemError) {
            reply.append(try entry(try directory(header.node), name))
        } catch where error.errno == .noSuchFile {
            // The guest remembers for a while that there is no such name.
            reply.appendAbsence()
        }
        return .bytes(reply)
    }

    /// Looks a name up and counts it as told to the guest.
    func entry(_ parent: Inode, _ name: EntryName) throws(SystemError) -> FuseEntry {
        if parent === rootInode {
            guard let index = shares.firstIndex(where: { $0.entryName == name }) else { throw SystemError(.noSuchFile, "lookup") }
            return try shareEntry(index)
        }
        let object = try object(parent).descriptor.openEntry(name, flags: O_PATH)
        return try remember(HeldFile(object), beneath: parent, name)
    }

    func shareEntry(_ index: Int) throws(SystemError) -> FuseEntry {
        let inode = roots[index]
        return FuseEntry(
            node: inode.node, attributes: try attributes(of: inode), isMountRoot: inode.isMountRoot, entrySeconds: CacheTime.shareSeconds)
    }

    /// The entry of an object that was just opened beneath `parent`, counted as told.
    func remember(_ object: HeldFile, beneath parent: Inode, _ name: EntryName?) throws(SystemError) -> FuseEntry {
        let attributes = try object.descriptor.attributes()
        var keepsBirth = parent.keepsBirth
        if attributes.mount != parent.key.mount {
            let type = try object.descriptor.fileSystemStatistics().type
            // Here the guest would find this very process, and its memory.
            if type == FileSystemStatistics.procType { throw SystemError(.permissionDenied, "lookup") }
            keepsBirth = type != FileSystemStatistics.overlayType
        }
        return try remember(attributes, Inode.Place(object: object, parent: parent.node, name: name), beneath: parent, keepsBirth: keepsBirth)
    }

    private func remember(
        _ attributes: FileAttributes, _ place: Inode.Place, beneath parent: Inode, keepsBirth: Bool
    ) throws(SystemError) -> FuseEntry {
        // Whatever the host has mounted below is part of the share, as in a bind mount; the guest gives it a device number.
        let isMounted = attributes.mount != parent.key.mount && attributes.mode & S_IFMT == S_IFDIR
        let inode = try nodes.remember(Inode.Key(share: parent.share, attributes), attributes, keepsBirth: keepsBirth, isMountRoot: isMounted, place: place)
        return FuseEntry(node: inode.node, attributes: attributes, isMountRoot: inode.isMountRoot)
    }

    /// As `entry`, for a listing: the object is looked at, and opened when it is needed, if ever.
    func listedEntry(_ parent: Inode, _ name: EntryName) throws(SystemError) -> FuseEntry {
        if parent === rootInode { return try entry(parent, name) }
        let attributes = try object(parent).descriptor.attributes(of: name)
        guard attributes.mount == parent.key.mount, attributes.birthTime != nil else { return try entry(parent, name) }
        return try remember(attributes, Inode.Place(parent: parent.node, name: name), beneath: parent, keepsBirth: parent.keepsBirth)
    }

    func readLink(_ header: FuseHeader) throws(SystemError) -> Answer {
        let inode = try inode(header.node)
        guard inode.type == S_IFLNK else { throw SystemError(.invalidArgument, "readlink") }
        var reply = FuseReply(reserving: 64)
        reply.append(contentsOf: try object(inode).descriptor.readSymbolicLink())
        return .bytes(reply)
    }

    /// A node that loses its name must be open, to live on as long as the guest uses it.
    private func keepOpen(_ parent: Inode, _ name: EntryName) -> (inode: Inode, object: HeldFile)? {
        guard nodes.hasClosedNodes, let attributes = try? object(parent).descriptor.attributes(of: name),
            let inode = nodes.known(Inode.Key(share: parent.share, attributes)), let object = try? object(inode)
        else { return nil }
        return (inode, object)
    }

    func remove(_ header: FuseHeader, _ name: EntryName, isDirectory: Bool) throws(SystemError) -> Answer {
        let parent = try directory(header.node)
        let kept = keepOpen(parent, name)
        let folder = try object(parent)
        if isDirectory { try folder.descriptor.removeDirectory(name) } else { try folder.descriptor.removeFile(name) }
        if let kept { nodes.hold(kept.inode, kept.object) }
        return .empty
    }

    /// A second directory that a request names; it must be of the same share, which has been found writable.
    private func companion(_ node: UInt64, of inode: Inode) throws(SystemError) -> Inode {
        let other = try self.inode(node)
        if other.share != inode.share { throw SystemError(Errno(rawValue: EXDEV), "fuse") }
        return other
    }

    /// RENAME_NOREPLACE, RENAME_EXCHANGE and RENAME_WHITEOUT
    private static let renameFlags: UInt32 = 7

    func rename(_ header: FuseHeader, _ name: EntryName, to node: UInt64, _ newName: EntryName, flags: UInt32) throws(SystemError) -> Answer {
        guard flags & ~FileServer.renameFlags == 0 else { throw SystemError(.invalidArgument, "rename") }
        let from = try directory(header.node)
        let target = try companion(node, of: from)
        let moved = keepOpen(from, name)
        let replaced = keepOpen(target, newName)
        try object(from).descriptor.rename(name, to: try object(target).descriptor, newName, flags: flags)
        if let replaced { nodes.hold(replaced.inode, replaced.object) }
        if let moved { nodes.move(moved.inode, to: Inode.Place(object: moved.object, parent: target.node, name: newName)) }
        return .empty
    }

    func link(_ header: FuseHeader, _ name: EntryName, from node: UInt64) throws(SystemError) -> Answer {
        let parent = try directory(header.node)
        let source = try companion(node, of: parent)
        let object = try object(source)
        try links.link(object.descriptor, in: try self.object(parent).descriptor, name)
        var reply = FuseReply()
        reply.append(try remember(object, beneath: parent, name))
        return .bytes(reply)
    }
}
