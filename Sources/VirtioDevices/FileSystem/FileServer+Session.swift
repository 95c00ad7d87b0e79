internal import Glibc
internal import LinuxSystem

/// INIT, and what concerns whole file systems.
extension FileServer {
    /// What is offered. Left out, with reason: POSIX_LOCKS and FLOCK_LOCKS (a lock belongs to the guest's processes, and its kernel
    /// keeps it correctly without asking), EXPORT_SUPPORT (no lookup of `..`), SECURITY_CTX (no labels).
    ///
    /// WRITEBACK_CACHE makes the guest's kernel the authority on sizes and times, so that the host's own changes (`podman cp`, logs)
    /// would be overwritten by stale ones: it must be asked for. Shared mappings work without it.
    private var offered: Fuse.Features {
        var features: Fuse.Features = [
            .asyncRead, .atomicTruncate, .bigWrites, .dontMask, .autoInvalidateData, .readDirectoryPlus, .readDirectoryPlusAuto, .asyncDirect,
            .parallelDirectories, .posixACL, .maximumPages, .cacheSymbolicLinks, .submounts, .killPrivileges2, .extendedSetAttribute, .extendedInit,
        ]
        if allowsWriteback { features.insert(.writebackCache) }
        return features
    }

    func initialize(_ proposal: FuseRequest.Initialization) throws(SystemError) -> Answer {
        var reply = FuseReply(reserving: 64)
        if proposal.major > Fuse.majorVersion {
            // The guest comes again with our version.
            endSession()
            reply.appendInit(minor: Fuse.newestMinorVersion, readAhead: 0, features: [])
            return .bytes(reply)
        }
        guard proposal.major == Fuse.majorVersion, proposal.minor >= Fuse.oldestMinorVersion else {
            log("virtio-fs: the guest speaks FUSE \(proposal.major).\(proposal.minor), which is older than 7.31")
            throw SystemError(Errno(rawValue: EPROTO), "fuse")
        }
        let agreed = proposal.features.intersection(offered)
        beginSession(agreed)
        let readAhead = min(proposal.readAhead, UInt32(Fuse.dataLimit))
        reply.appendInit(minor: min(proposal.minor, Fuse.newestMinorVersion), readAhead: readAhead, features: agreed)
        return .bytes(reply)
    }

    func statistics(_ header: FuseHeader) throws(SystemError) -> Answer {
        var reply = FuseReply(reserving: 80)
        let inode = try inode(header.node)
        if inode === rootInode {
            reply.append(
                FileSystemStatistics(
                    type: 0, blocks: 0, freeBlocks: 0, availableBlocks: 0, files: UInt64(shares.count), freeFiles: 0, blockSize: 4096,
                    nameLength: UInt32(EntryName.maximumLength), fragmentSize: 4096))
        } else {
            reply.append(try object(inode).descriptor.fileSystemStatistics())
        }
        return .bytes(reply)
    }

    /// sync(2) and syncfs(2) of the guest: what it wrote is in the host's page cache and must get from there to the disk.
    func synchronizeFileSystem(_ header: FuseHeader) throws(SystemError) -> Answer {
        let inode = try inode(header.node)
        for target in inode === rootInode ? roots : [inode] where target.type == S_IFDIR || target.type == S_IFREG {
            if try isReadOnly(target) { continue }
            let file = try reopen(target, flags: O_RDONLY)
            try file.synchronizeFileSystem()
        }
        return .empty
    }

    /// Opens a node's object for use. Only files and directories are ever opened: a FIFO would block, a device would act, and a
    /// socket cannot be.
    func reopen(_ inode: Inode, flags: Int32) throws(SystemError) -> OwnedDescriptor {
        switch inode.type {
        case S_IFREG: break
        case S_IFDIR where flags & (O_ACCMODE | O_TRUNC) == O_RDONLY: break
        case S_IFDIR: throw SystemError(.isDirectory, "open")
        case S_IFLNK: throw SystemError(.symbolicLinkLoop, "open")
        default: throw SystemError(Errno(rawValue: ENXIO), "open")
        }
        return try links.reopen(object(inode).descriptor, flags: flags | O_NOCTTY | O_NONBLOCK)
    }
}
