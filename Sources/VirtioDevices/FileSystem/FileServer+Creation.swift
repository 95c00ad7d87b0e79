internal import Glibc
internal import LinuxSystem

/// New objects. They belong to whoever asks, except that a set-group-ID directory gives its own group.
extension FileServer {
    private static let permissionBits: UInt32 = 0o7777
    /// S_ISUID and S_ISGID, which a change of owner clears.
    private static let privilegeBits: UInt32 = 0o6000

    func makeDirectory(_ header: FuseHeader, _ name: EntryName, mode: UInt32, mask: UInt32) throws(SystemError) -> Answer {
        let parent = try directory(header.node)
        applyMask(mask)
        try object(parent).descriptor.makeDirectory(name, mode: mode & FileServer.permissionBits)
        return try finishNew(header, parent, name, mode: mode, isDirectory: true)
    }

    func makeNode(_ header: FuseHeader, _ name: EntryName, mode: UInt32, device: UInt32, mask: UInt32) throws(SystemError) -> Answer {
        let parent = try directory(header.node)
        guard [S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK].contains(mode & S_IFMT) else { throw SystemError(.invalidArgument, "mknod") }
        applyMask(mask)
        let number = DeviceNumber.decode(device)
        try object(parent).descriptor.makeNode(name, mode: mode & (S_IFMT | FileServer.permissionBits), major: number.major, minor: number.minor)
        return try finishNew(header, parent, name, mode: mode, isDirectory: false)
    }

    func makeSymbolicLink(_ header: FuseHeader, _ name: EntryName, _ target: ArraySlice<UInt8>) throws(SystemError) -> Answer {
        let parent = try directory(header.node)
        try object(parent).descriptor.makeSymbolicLink(name, target: target)
        return try finishNew(header, parent, name, mode: 0, isDirectory: false)
    }

    /// Opens what was just created under a name; without its owner it must not stay.
    private func finishNew(_ header: FuseHeader, _ parent: Inode, _ name: EntryName, mode: UInt32, isDirectory: Bool) throws(SystemError) -> Answer {
        do throws(SystemError) {
            let object = try object(parent).descriptor.openEntry(name, flags: O_PATH)
            try adopt(object, header, parent, mode: mode)
            var reply = FuseReply()
            reply.append(try remember(HeldFile(object), beneath: parent, name))
            return .bytes(reply)
        } catch {
            if isDirectory { try? object(parent).descriptor.removeDirectory(name) } else { try? object(parent).descriptor.removeFile(name) }
            throw error
        }
    }

    /// The guest's mask, unless its kernel has applied it. A default access control list overrides it on the host, as it should.
    private func applyMask(_ mask: UInt32) { setFileCreationMask(features.contains(.dontMask) ? mask : 0) }

    /// Gives a new object to the requester.
    private func adopt(_ object: borrowing OwnedDescriptor, _ header: FuseHeader, _ parent: Inode, mode: UInt32) throws(SystemError) {
        let made = try object.attributes()
        var group: UInt32? = made.group == header.group ? nil : header.group
        // In a set-group-ID directory the host's kernel has given the directory's group already.
        if group != nil, try attributes(of: parent).mode & S_ISGID != 0 { group = nil }
        let user: UInt32? = made.user == header.user ? nil : header.user
        if user != nil || group != nil { try object.changeOwner(user: user, group: group) }
        guard made.mode & S_IFMT != S_IFLNK else { return }
        let wanted = mode & FileServer.privilegeBits & (made.mode & S_IFMT == S_IFDIR ? S_ISUID : FileServer.privilegeBits)
        if wanted == 0 { return }
        // Last, because the change of owner has cleared them.
        try links.changeMode(object, made.mode & FileServer.permissionBits | wanted)
    }

    // MARK: Files that are opened as they are created

    func create(_ header: FuseHeader, _ name: EntryName, _ creation: FuseRequest.Creation) throws(SystemError) -> Answer {
        let parent = try directory(header.node)
        let flags = try openFlags(creation.flags)
        applyMask(creation.mask)
        let file: OwnedDescriptor
        do throws(SystemError) {
            file = try object(parent).descriptor.openEntry(name, flags: flags | O_CREAT | O_EXCL, mode: creation.mode & FileServer.permissionBits)
        } catch where error.errno == .fileExists && creation.flags & UInt32(O_EXCL) == 0 {
            // The host made it after the guest had seen that there was none.
            return try openExisting(parent, name, creation)
        }
        do throws(SystemError) {
            try adopt(file, header, parent, mode: creation.mode)
            return try created(file, parent, name, flags)
        } catch {
            try? object(parent).descriptor.removeFile(name)
            throw error
        }
    }

    func createTemporary(_ header: FuseHeader, _ creation: FuseRequest.Creation) throws(SystemError) -> Answer {
        let parent = try directory(header.node)
        let flags = try openFlags(creation.flags)
        applyMask(creation.mask)
        // O_EXCL: it can never get a name.
        let exclusive = Int32(truncatingIfNeeded: creation.flags) & O_EXCL
        let file = try object(parent).descriptor.openUnnamedFile(flags: flags | exclusive, mode: creation.mode & FileServer.permissionBits)
        try adopt(file, header, parent, mode: creation.mode)
        return try created(file, parent, nil, flags)
    }

    /// The reply for a file that is open as it is new.
    private func created(_ file: consuming OwnedDescriptor, _ parent: Inode, _ name: EntryName?, _ flags: Int32) throws(SystemError) -> Answer {
        // Not by its name, which may mean another file by now.
        let object = try links.reopen(file, flags: O_PATH)
        let entry = try remember(HeldFile(object), beneath: parent, name)
        return try opened(entry, HeldFile(file), flags)
    }

    private func openExisting(_ parent: Inode, _ name: EntryName, _ creation: FuseRequest.Creation) throws(SystemError) -> Answer {
        let entry = try entry(parent, name)
        do throws(SystemError) {
            let inode = try inode(entry.node)
            let (file, flags) = try openFile(inode, flags: creation.flags, killsPrivileges: creation.killsPrivileges)
            return try opened(entry, file, flags)
        } catch {
            nodes.forget(entry.node, count: 1)
            throw error
        }
    }

    private func opened(_ entry: FuseEntry, _ file: HeldFile, _ flags: Int32) throws(SystemError) -> Answer {
        do throws(SystemError) {
            let inode = try inode(entry.node)
            let handle = try nodes.open(FileHandle(inode, file, isDirectory: false))
            var reply = FuseReply()
            reply.append(entry)
            reply.appendOpen(handle: handle, flags: replyFlags(inode, flags, attributes: entry.attributes))
            return .bytes(reply)
        } catch {
            nodes.forget(entry.node, count: 1)
            throw error
        }
    }
}
