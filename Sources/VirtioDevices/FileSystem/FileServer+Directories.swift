internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// Listing directories.
extension FileServer {
    /// Bytes read from the host at once, about 500 entries.
    private static let bufferSize = 16 << 10

    func openDirectory(_ header: FuseHeader) throws(SystemError) -> Answer {
        let inode = try directory(header.node)
        let file = inode === rootInode ? nil : HeldFile(try reopen(inode, flags: O_RDONLY | O_DIRECTORY))
        let handle = try nodes.open(FileHandle(inode, file, isDirectory: true))
        var reply = FuseReply(reserving: 16)
        reply.appendOpen(handle: handle, flags: 0)
        return .bytes(reply)
    }

    func synchronizeDirectory(_ header: FuseHeader, handle: UInt64, dataOnly: Bool) throws(SystemError) -> Answer {
        let file = try nodes.handle(handle, node: header.node, isDirectory: true).file
        try file?.descriptor.synchronize(dataOnly: dataOnly)
        return .empty
    }

    /// Entries from `offset` on, as many as fit into `room` bytes; none at the end. Offsets are the host's own (telldir(3)), so
    /// they stay valid while others add and remove entries.
    func readDirectory(_ header: FuseHeader, handle number: UInt64, offset: Int64, room: Int, plus: Bool) throws(SystemError) -> Answer {
        let handle = try nodes.handle(number, node: header.node, isDirectory: true)
        guard let file = handle.file else { return try readRoot(offset: offset, room: room, plus: plus) }
        var reply = FuseReply(reserving: max(0, min(room, Fuse.dataLimit)))
        var failure: SystemError?
        handle.cursor.withLock { cursor in
            do throws(SystemError) {
                try fill(&reply, from: &cursor, file.descriptor, handle.inode, offset: offset, room: min(room, Fuse.dataLimit), plus: plus)
            } catch {
                // Where the host's descriptor stands is not known now.
                cursor = DirectoryCursor(position: nil)
                failure = error
            }
        }
        // Entries that are in the reply have been counted as told: they go out, and the error comes with the next request.
        if let failure, reply.count == 0 { throw failure }
        return .bytes(reply)
    }

    private func fill(
        _ reply: inout FuseReply, from cursor: inout DirectoryCursor, _ file: borrowing OwnedDescriptor, _ parent: Inode, offset: Int64, room: Int,
        plus: Bool
    ) throws(SystemError) {
        if cursor.position != offset || offset == 0 {
            // Offset 0 reads anew (rewinddir(3)), even right after opening: what waits may be stale.
            _ = try file.seek(to: offset, whence: SEEK_SET)
            cursor = DirectoryCursor(position: offset)
        }
        while true {
            guard let (entry, length) = DirectoryEntry.first(of: cursor.waiting) else {
                if cursor.buffer.count != FileServer.bufferSize { cursor.buffer = [UInt8](repeating: 0, count: FileServer.bufferSize) }
                let count = try file.readEntries(into: &cursor.buffer)
                if count == 0 {
                    cursor.buffer = []
                    cursor.start = 0
                    return
                }
                cursor.buffer.removeLast(cursor.buffer.count - count)
                cursor.start = 0
                continue
            }
            guard append(entry, to: &reply, parent, room: room, plus: plus) else { return }
            cursor.start += length
            cursor.position = entry.next
        }
    }

    /// False when there is no room for it.
    private func append(_ line: DirectoryEntry, to reply: inout FuseReply, _ parent: Inode, room: Int, plus: Bool) -> Bool {
        let size = line.encodedSize + (plus ? FuseEntry.encodedSize : 0)
        guard reply.count + size <= room else { return false }
        if plus {
            switch plusEntry(line, parent) {
            case .told(let entry): reply.append(entry)
            case .unopened: reply.pad(to: reply.count + FuseEntry.encodedSize)
            case .gone: return true
            }
        }
        reply.append(line)
        return true
    }

    private enum PlusEntry {
        case told(FuseEntry)
        /// The name only; the guest looks it up when it needs it.
        case unopened
        /// Removed since the host listed it.
        case gone
    }

    private func plusEntry(_ line: DirectoryEntry, _ parent: Inode) -> PlusEntry {
        if line.isDots || nodes.isCrowded { return .unopened }
        do throws(SystemError) {
            return .told(try listedEntry(parent, try EntryName(line.name)))
        } catch {
            return error.errno == .noSuchFile ? .gone : .unopened
        }
    }

    /// The synthetic root: its offsets are indices.
    private func readRoot(offset: Int64, room: Int, plus: Bool) throws(SystemError) -> Answer {
        var reply = FuseReply(reserving: 1024)
        let dots: [ArraySlice<UInt8>] = [[0x2E], [0x2E, 0x2E]]
        let names = dots + shares.map(\.entryName.bytes)
        guard offset < names.count else { return .bytes(reply) }
        for index in Int(offset)..<names.count {
            let inode = index < 2 ? rootInode : roots[index - 2]
            let number = index < 2 ? Fuse.rootNode : inode.key.inode
            let line = DirectoryEntry(inode: number, next: Int64(index + 1), type: UInt8(inode.type >> 12), name: names[index])
            if !append(line, to: &reply, rootInode, room: room, plus: plus) { break }
        }
        return .bytes(reply)
    }
}
