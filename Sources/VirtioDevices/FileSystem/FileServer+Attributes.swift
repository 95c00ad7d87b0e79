internal import Glibc
internal import LinuxSystem

/// Attributes, ordinary and extended.
extension FileServer {
    func getAttributes(_ header: FuseHeader) throws(SystemError) -> Answer {
        var reply = FuseReply(reserving: 104)
        reply.appendAttributes(of: try attributesEntry(try inode(header.node)))
        return .bytes(reply)
    }

    private func attributesEntry(_ inode: Inode) throws(SystemError) -> FuseEntry {
        var attributes = try attributes(of: inode)
        if inode === rootInode {
            // A directory of ours: its owner and times are nobody's business, and it is never written.
            attributes.inode = Fuse.rootNode
            attributes.mode = S_IFDIR | 0o555
            attributes.links = UInt32(2 + shares.count)
            (attributes.user, attributes.group) = (0, 0)
            (attributes.size, attributes.blocks) = (0, 0)
        }
        return FuseEntry(node: inode.node, attributes: attributes, isMountRoot: inode.isMountRoot)
    }

    /// The order matters: a new owner clears set-user-ID, a new size changes times.
    func setAttributes(_ header: FuseHeader, _ wanted: FuseRequest.SetAttributes) throws(SystemError) -> Answer {
        let inode = try inode(header.node)
        let valid = wanted.valid
        if !valid.isDisjoint(with: [.user, .group]) {
            try object(inode).descriptor.changeOwner(user: valid.contains(.user) ? wanted.user : nil, group: valid.contains(.group) ? wanted.group : nil)
        }
        if valid.contains(.mode) {
            try links.changeMode(object(inode).descriptor, wanted.mode & 0o7777)
        }
        if valid.contains(.size) { try setSize(inode, wanted) }
        if !valid.isDisjoint(with: [.accessTime, .modificationTime, .accessNow, .modificationNow]) {
            let access = valid.contains(.accessNow) ? .now : valid.contains(.accessTime) ? wanted.accessTime : FileTime.unchanged
            let modification = valid.contains(.modificationNow) ? .now : valid.contains(.modificationTime) ? wanted.modificationTime : FileTime.unchanged
            try links.changeTimes(object(inode).descriptor, access: access, modification: modification)
        }
        return try getAttributes(header)
    }

    private func setSize(_ inode: Inode, _ wanted: FuseRequest.SetAttributes) throws(SystemError) {
        guard let size = Int64(exactly: wanted.size) else { throw SystemError(.invalidArgument, "truncate") }
        guard inode.type == S_IFREG else { throw SystemError(inode.type == S_IFDIR ? .isDirectory : .invalidArgument, "truncate") }
        if wanted.valid.contains(.killPrivileges) { try killPrivileges(inode) }
        if wanted.valid.contains(.handle), let file = try nodes.handle(wanted.handle, node: inode.node).file {
            // An open file may be cut though its mode has come to forbid it.
            try file.descriptor.truncate(to: size)
        } else {
            try links.truncate(object(inode).descriptor, to: size)
        }
    }

    /// Clears set-user-ID, and set-group-ID of a file that its group may execute: what a kernel does before it writes for somebody
    /// without CAP_FSETID. The host's kernel itself clears file capabilities.
    func killPrivileges(_ inode: Inode) throws(SystemError) {
        let mode = try attributes(of: inode).mode
        guard mode & S_IFMT == S_IFREG else { return }
        var kept = mode & 0o7777 & ~S_ISUID
        if mode & S_IXGRP != 0 { kept &= ~S_ISGID }
        if kept == mode & 0o7777 { return }
        try links.changeMode(object(inode).descriptor, kept)
    }

    // MARK: Extended attributes

    /// All names are passed on: what the host's kernel grants this process (user.*, access control lists, security.capability
    /// with CAP_SETFCAP) works, and trusted.* does not.
    func attribute(_ request: FuseRequest, _ header: FuseHeader) throws(SystemError) -> Answer {
        let inode = try inode(header.node)
        switch request {
        case .getExtendedAttribute(let name, let limit):
            do throws(SystemError) {
                return try value(of: name, inode, limit: limit)
            } catch where error.errno == .notSupported && name.isAccessControlList {
                // The guest's kernel asks whenever it decides about access, and takes EOPNOTSUPP for the decision.
                throw SystemError(Errno(rawValue: ENODATA), "getxattr")
            }
        case _ where inode === rootInode: throw SystemError(.notSupported, "xattr")
        case .listExtendedAttributes(let limit):
            if limit == 0 { return Self.sized(try links.extendedAttributeNamesLength(of: object(inode).descriptor)) }
            return Self.filled(try links.extendedAttributeNames(of: object(inode).descriptor, limit: limit))
        case .removeExtendedAttribute(let name):
            try links.removeExtendedAttribute(name, of: object(inode).descriptor)
        case .setExtendedAttribute(let name, let value, let flags, let killsGroup):
            try links.setExtendedAttribute(name, of: object(inode).descriptor, Array(value), flags: Int32(truncatingIfNeeded: flags))
            if killsGroup { try clearGroupID(inode) }
        default: throw SystemError(.notImplemented, "xattr")
        }
        return .empty
    }

    private func value(of name: AttributeName, _ inode: Inode, limit: Int) throws(SystemError) -> Answer {
        if inode === rootInode { throw SystemError(.notSupported, "xattr") }
        let object = try object(inode)
        if limit == 0 { return Self.sized(try links.extendedAttributeLength(name, of: object.descriptor)) }
        return Self.filled(try links.extendedAttribute(name, of: object.descriptor, limit: limit))
    }

    private func clearGroupID(_ inode: Inode) throws(SystemError) {
        let mode = try attributes(of: inode).mode
        guard mode & S_ISGID != 0 else { return }
        try links.changeMode(object(inode).descriptor, mode & 0o7777 & ~S_ISGID)
    }

    /// struct fuse_getxattr_out
    private static func sized(_ length: Int) -> Answer {
        var reply = FuseReply(reserving: 8)
        reply.append(UInt32(clamping: length))
        reply.append(UInt32(0))
        return .bytes(reply)
    }

    private static func filled(_ bytes: [UInt8]) -> Answer {
        var reply = FuseReply(reserving: bytes.count)
        reply.append(contentsOf: bytes)
        return .bytes(reply)
    }
}
