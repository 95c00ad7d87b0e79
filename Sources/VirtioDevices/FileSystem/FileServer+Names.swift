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
        let object = try parent.object.descriptor.openEntry(name, flags: O_PATH)
        return try remember(object, beneath: parent)
    }

    func shareEntry(_ index: Int) throws(SystemError) -> FuseEntry {
        let inode = roots[index]
        return FuseEntry(
            node: inode.node, attributes: try inode.attributes(), isMountRoot: inode.isMountRoot, entrySeconds: CacheTime.shareSeconds)
    }

    /// The entry of an object that was just opened beneath `parent`.
    func remember(_ object: consuming OwnedDescriptor, beneath parent: Inode) throws(SystemError) -> FuseEntry {
        let attributes = try object.attributes()
        // Whatever the host has mounted below is part of the share, as in a bind mount; the guest gives it a device number.
        let isMounted = attributes.mount != parent.key.mount && attributes.mode & S_IFMT == S_IFDIR
        if attributes.mount != parent.key.mount, try object.fileSystemStatistics().type == FileSystemStatistics.procType {
            // Here the guest would find this very process, and its memory.
            throw SystemError(.permissionDenied, "lookup")
        }
        let key = Inode.Key(share: parent.share, attributes)
        let inode = try nodes.remember(key, mode: attributes.mode, isMountRoot: isMounted, descriptor: object)
        return FuseEntry(node: inode.node, attributes: attributes, isMountRoot: inode.isMountRoot)
    }

    func readLink(_ header: FuseHeader) throws(SystemError) -> Answer {
        let inode = try inode(header.node)
        guard inode.type == S_IFLNK else { throw SystemError(.invalidArgument, "readlink") }
        var reply = FuseReply(reserving: 64)
        reply.append(contentsOf: try inode.object.descriptor.readSymbolicLink())
        return .bytes(reply)
    }

    func unlink(_ header: FuseHeader, _ name: EntryName) throws(SystemError) -> Answer {
        try directory(header.node).object.descriptor.removeFile(name)
        return .empty
    }

    func removeDirectory(_ header: FuseHeader, _ name: EntryName) throws(SystemError) -> Answer {
        try directory(header.node).object.descriptor.removeDirectory(name)
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
        try from.object.descriptor.rename(name, to: target.object.descriptor, newName, flags: flags)
        return .empty
    }

    func link(_ header: FuseHeader, _ name: EntryName, from node: UInt64) throws(SystemError) -> Answer {
        let parent = try directory(header.node)
        let source = try companion(node, of: parent)
        try links.link(source.object.descriptor, in: parent.object.descriptor, name)
        var reply = FuseReply()
        // Another descriptor of the same object: the guest is told of the node that it knows.
        let again = try source.object.descriptor.duplicate()
        reply.append(try remember(again, beneath: parent))
        return .bytes(reply)
    }
}
