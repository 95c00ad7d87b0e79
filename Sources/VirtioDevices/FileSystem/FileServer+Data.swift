internal import Glibc
internal import GuestRAM
internal import LinuxSystem
internal import Synchronization
internal import Virtio

/// Open files and their contents, which go between the file and guest memory without a copy.
extension FileServer {
    /// What an open file's flags may be on the host. Creation and truncation are requests of their own kind; O_APPEND would misplace
    /// pages that are written back (see `write`); O_DIRECT would need the guest's alignment to be the host's.
    private static let openFlagsKept = O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME

    /// - Throws: `EINVAL` for an access mode that is none.
    func openFlags(_ flags: UInt32) throws(SystemError) -> Int32 {
        var result = Int32(truncatingIfNeeded: flags) & FileServer.openFlagsKept
        if result & O_ACCMODE == O_ACCMODE { throw SystemError(.invalidArgument, "open") }
        // With a write-back cache, the guest reads the rest of a page of which it writes a part.
        if result & O_ACCMODE == O_WRONLY && features.contains(.writebackCache) { result = result & ~O_ACCMODE | O_RDWR }
        return result
    }

    func openFile(_ inode: Inode, flags wanted: UInt32, killsPrivileges kills: Bool) throws(SystemError) -> (HeldFile, Int32) {
        let flags = try openFlags(wanted)
        if flags & (O_ACCMODE | O_TRUNC) != O_RDONLY, try isReadOnly(inode) { throw SystemError(.readOnly, "open") }
        if kills && flags & O_TRUNC != 0 { try killPrivileges(inode) }
        return (HeldFile(try reopen(inode, flags: flags)), flags)
    }

    func open(_ header: FuseHeader, flags wanted: UInt32, killsPrivileges kills: Bool) throws(SystemError) -> Answer {
        let inode = try inode(header.node)
        if inode.type == S_IFDIR { throw SystemError(.isDirectory, "open") }
        let (file, flags) = try openFile(inode, flags: wanted, killsPrivileges: kills)
        let handle = try nodes.open(FileHandle(inode, file, isDirectory: false))
        var reply = FuseReply(reserving: 16)
        reply.appendOpen(handle: handle, flags: replyFlags(inode, flags, attributes: try? attributes(of: inode)))
        return .bytes(reply)
    }

    func replyFlags(_ inode: Inode, _ flags: Int32, attributes: FileAttributes?) -> UInt32 {
        var result: UInt32 = 0
        if let attributes, keepsCache(inode, attributes) { result |= Fuse.OpenReply.keepCache }
        // What was not written has no errors to report at its close.
        if flags & O_ACCMODE == O_RDONLY { result |= Fuse.OpenReply.noFlush }
        return result
    }

    /// Whether the guest may keep the pages that it has of a file which it opens anew: when the file on the host is as it was at
    /// the last opening. Programs and libraries are thus read once, and changes by the host are seen at the next opening.
    private func keepsCache(_ inode: Inode, _ attributes: FileAttributes) -> Bool {
        let stamp = OpenStamp(attributes)
        let settled = stamp.isSettled(now: realtimeNanoseconds()) ? stamp : nil
        return inode.lastOpened.withLock { last in
            defer { last = settled }
            return last == stamp
        }
    }

    // MARK: Contents

    /// Copied in one request at most, so that one copy does not occupy a thread for minutes; the guest asks on.
    private static let copyLimit = 64 << 20

    func data(_ request: FuseRequest, _ header: FuseHeader, _ chain: DescriptorChain) throws(SystemError) -> Answer {
        switch request {
        case .read(let handle, let offset, let count):
            let file = try file(handle, header.node)
            let room = chain.writable.part(from: Fuse.replyHeader, count: min(count, Fuse.dataLimit))
            return .data(room.isEmpty ? 0 : try room.read(from: file.descriptor.rawValue, offset: offset))
        case .write(let handle, let offset, let count, let appends, let kills):
            return try write(header, chain, handle, offset, count, appends: appends, kills: kills)
        case .allocate(let handle, let offset, let length, let mode):
            let file = try file(handle, header.node)
            try file.descriptor.allocate(mode: Int32(truncatingIfNeeded: mode), offset: offset, length: length)
            return .empty
        case .seek(let handle, let offset, let whence):
            guard whence == UInt32(SEEK_DATA) || whence == UInt32(SEEK_HOLE) else { throw SystemError(.invalidArgument, "lseek") }
            var reply = FuseReply(reserving: 8)
            reply.append(try file(handle, header.node).descriptor.seek(to: offset, whence: Int32(whence)))
            return .bytes(reply)
        case .copyFileRange(let range): return try copy(range, header)
        case .flush(let handle):
            // What close(2) would say, though the file stays open: that is how a full disk far away is reported.
            try file(handle, header.node).descriptor.duplicate().close()
            return .empty
        case .synchronize(let handle, let dataOnly):
            try file(handle, header.node).descriptor.synchronize(dataOnly: dataOnly)
            return .empty
        default: throw SystemError(.notImplemented, "fuse")
        }
    }

    private func file(_ handle: UInt64, _ node: UInt64) throws(SystemError) -> HeldFile {
        guard let file = try nodes.handle(handle, node: node).file else { throw SystemError(.badDescriptor, "handle") }
        return file
    }

    private func write(
        _ header: FuseHeader, _ chain: DescriptorChain, _ handle: UInt64, _ offset: Int64, _ count: Int, appends: Bool, kills: Bool
    ) throws(SystemError) -> Answer {
        let handle = try nodes.handle(handle, node: header.node)
        guard let file = handle.file else { throw SystemError(.badDescriptor, "handle") }
        if kills { try killPrivileges(handle.inode) }
        let data = chain.readable.part(from: Fuse.requestHeader + FileServer.writeArguments, count: count)
        // Appending is asked of the host's kernel, which knows where the end is even when others write too.
        let written = appends ? try data.append(to: file.descriptor.rawValue) : try data.write(to: file.descriptor.rawValue, offset: offset)
        var reply = FuseReply(reserving: 8)
        reply.append(UInt32(clamping: written))
        reply.append(UInt32(0))
        return .bytes(reply)
    }

    private func copy(_ range: FuseRequest.CopyRange, _ header: FuseHeader) throws(SystemError) -> Answer {
        let from = try file(range.handle, header.node)
        let to = try file(range.toHandle, range.toNode)
        let count = try from.descriptor.copyRange(
            from: range.offset, to: to.descriptor, at: range.toOffset, count: min(range.count, FileServer.copyLimit))
        var reply = FuseReply(reserving: 8)
        reply.append(UInt32(clamping: count))
        reply.append(UInt32(0))
        return .bytes(reply)
    }
}
