internal import Glibc
internal import LinuxSystem

/// Decoding: from a copy of a request's bytes, which the guest can no longer change, to a `FuseRequest`. It never traps.
extension FuseRequest {
    private static var malformed: SystemError { SystemError(.invalidArgument, "fuse") }

    /// - Parameters:
    ///   - arguments: what follows the header. Of a WRITE, `struct fuse_write_in` alone.
    ///   - dataCount: of a WRITE, the bytes of data that follow.
    ///   - hasExtendedSetAttribute: FUSE_SETXATTR_EXT was agreed upon.
    /// - Throws: `ENOSYS` for an opcode that is unknown or not served, `EINVAL` for arguments that are not well-formed,
    ///   `ENAMETOOLONG`.
    init(_ header: FuseHeader, arguments: [UInt8], dataCount: Int = 0, hasExtendedSetAttribute: Bool = true) throws(SystemError) {
        guard let opcode = Fuse.Opcode(rawValue: header.opcode) else { throw SystemError(.notImplemented, "fuse") }
        var reader = ByteReader(arguments)
        switch opcode {
        case .lookup, .unlink, .removeDirectory, .symbolicLink, .makeNode, .makeDirectory, .rename, .rename2, .link, .create, .temporaryFile:
            self = try Self.named(opcode, &reader)
        case .setExtendedAttribute, .getExtendedAttribute, .listExtendedAttributes, .removeExtendedAttribute:
            self = try Self.attribute(opcode, &reader, isExtended: hasExtendedSetAttribute)
        case .read, .write, .release, .flush, .synchronize, .readDirectory, .readDirectoryPlus, .releaseDirectory, .synchronizeDirectory, .allocate,
            .seek, .copyFileRange:
            self = try Self.onHandle(opcode, &reader, dataCount: dataCount)
        case .forget:
            guard let count = reader.uint64() else { throw Self.malformed }
            self = .forget(count: count)
        case .batchForget: self = try Self.batch(&reader)
        case .getAttributes: self = .getAttributes
        case .setAttributes: self = .setAttributes(try SetAttributes(&reader))
        case .readLink: self = .readLink
        case .open, .openDirectory:
            guard let flags = reader.uint32(), let openFlags = reader.uint32() else { throw Self.malformed }
            self = opcode == .open ? .open(flags: flags, killsPrivileges: openFlags & Fuse.openKillsPrivileges != 0) : .openDirectory
        case .statistics: self = .statistics
        case .synchronizeFileSystem: self = .synchronizeFileSystem
        case .initialize: self = .initialize(try Initialization(&reader))
        case .destroy: self = .destroy
        case .interrupt, .notifyReply: self = .interrupt
        case .control: self = .unsupported(.notTerminal)
        // Locks are the guest kernel's own affair; access is decided by it too (default_permissions); there is no DAX window.
        case .getLock, .setLock, .setLockWait, .access, .blockMap, .poll, .setUpMapping, .removeMapping: self = .unsupported(.notImplemented)
        }
    }

    private static func name(_ reader: inout ByteReader) throws(SystemError) -> EntryName {
        guard let bytes = reader.string() else { throw malformed }
        return try EntryName(bytes)
    }

    private static func named(_ opcode: Fuse.Opcode, _ reader: inout ByteReader) throws(SystemError) -> FuseRequest {
        switch opcode {
        case .lookup: return .lookup(try name(&reader))
        case .unlink: return .unlink(try name(&reader))
        case .removeDirectory: return .removeDirectory(try name(&reader))
        case .symbolicLink:
            let entry = try name(&reader)
            guard let target = reader.string(), !target.isEmpty else { throw malformed }
            return .symbolicLink(entry, target: target)
        case .makeNode:
            guard let mode = reader.uint32(), let device = reader.uint32(), let mask = reader.uint32(), reader.skip(4) else { throw malformed }
            return .makeNode(try name(&reader), mode: mode, device: device, mask: mask)
        case .makeDirectory:
            guard let mode = reader.uint32(), let mask = reader.uint32() else { throw malformed }
            return .makeDirectory(try name(&reader), mode: mode, mask: mask)
        case .rename:
            guard let target = reader.uint64() else { throw malformed }
            return .rename(try name(&reader), toNode: target, try name(&reader), flags: 0)
        case .rename2:
            guard let target = reader.uint64(), let flags = reader.uint32(), reader.skip(4) else { throw malformed }
            return .rename(try name(&reader), toNode: target, try name(&reader), flags: flags)
        case .link:
            guard let source = reader.uint64() else { throw malformed }
            return .link(try name(&reader), fromNode: source)
        default:
            guard let flags = reader.uint32(), let mode = reader.uint32(), let mask = reader.uint32(), let openFlags = reader.uint32() else { throw malformed }
            let creation = Creation(flags: flags, mode: mode, mask: mask, killsPrivileges: openFlags & Fuse.openKillsPrivileges != 0)
            // The name that comes with TMPFILE ("/") means nothing.
            return opcode == .temporaryFile ? .temporaryFile(creation) : .create(try name(&reader), creation)
        }
    }

    private static func attribute(_ opcode: Fuse.Opcode, _ reader: inout ByteReader, isExtended: Bool) throws(SystemError) -> FuseRequest {
        if opcode == .removeExtendedAttribute {
            guard let bytes = reader.string() else { throw malformed }
            return .removeExtendedAttribute(try AttributeName(bytes))
        }
        guard let size = reader.uint32(), let flags = reader.uint32() else { throw malformed }
        if opcode == .listExtendedAttributes { return .listExtendedAttributes(limit: min(Int(size), Fuse.argumentLimit)) }
        if opcode == .getExtendedAttribute {
            guard let bytes = reader.string() else { throw malformed }
            return .getExtendedAttribute(try AttributeName(bytes), limit: min(Int(size), Fuse.argumentLimit))
        }
        var extendedFlags: UInt32 = 0
        if isExtended {
            guard let more = reader.uint32(), reader.skip(4) else { throw malformed }
            extendedFlags = more
        }
        guard let bytes = reader.string(), reader.rest.count >= Int(size) else { throw malformed }
        return .setExtendedAttribute(
            try AttributeName(bytes), value: reader.rest.prefix(Int(size)), flags: flags, killsGroup: extendedFlags & Fuse.attributeKillsGroup != 0)
    }

    /// An offset and a length whose sum is still an offset.
    private static func range(_ offset: UInt64?, _ count: UInt64?) throws(SystemError) -> (offset: Int64, count: Int64) {
        guard let offset = offset.flatMap({ Int64(exactly: $0) }), let count = count.flatMap({ Int64(exactly: $0) }),
            !offset.addingReportingOverflow(count).overflow
        else { throw malformed }
        return (offset, count)
    }

    private static func onHandle(_ opcode: Fuse.Opcode, _ reader: inout ByteReader, dataCount: Int) throws(SystemError) -> FuseRequest {
        guard let handle = reader.uint64() else { throw malformed }
        switch opcode {
        case .release: return .release(handle: handle)
        case .releaseDirectory: return .releaseDirectory(handle: handle)
        case .flush: return .flush(handle: handle)
        case .synchronize, .synchronizeDirectory:
            guard let flags = reader.uint32() else { throw malformed }
            let dataOnly = flags & Fuse.synchronizeDataOnly != 0
            return opcode == .synchronize ? .synchronize(handle: handle, dataOnly: dataOnly) : .synchronizeDirectory(handle: handle, dataOnly: dataOnly)
        case .read, .readDirectory, .readDirectoryPlus:
            guard let offset = reader.uint64(), let count = reader.uint32(), reader.skip(20) else { throw malformed }
            // A directory's offsets are marks, not distances: they may be as large as there are.
            let (start, _) = try range(offset, opcode == .read ? UInt64(count) : 0)
            if opcode == .read { return .read(handle: handle, offset: start, count: Int(count)) }
            return .readDirectory(handle: handle, offset: start, count: Int(count), plus: opcode == .readDirectoryPlus)
        case .write: return try write(handle, &reader, dataCount: dataCount)
        case .allocate:
            let offset = reader.uint64()
            let (start, length) = try range(offset, reader.uint64())
            guard let mode = reader.uint32() else { throw malformed }
            return .allocate(handle: handle, offset: start, length: length, mode: mode)
        case .seek:
            let (offset, _) = try range(reader.uint64(), 0)
            guard let whence = reader.uint32() else { throw malformed }
            return .seek(handle: handle, offset: offset, whence: whence)
        default:
            guard let offset = reader.uint64(), let node = reader.uint64(), let target = reader.uint64(), let targetOffset = reader.uint64(),
                let length = reader.uint64(), let flags = reader.uint64(), flags == 0
            else { throw malformed }
            let (from, count) = try range(offset, length)
            let (to, _) = try range(targetOffset, length)
            return .copyFileRange(CopyRange(handle: handle, offset: from, toNode: node, toHandle: target, toOffset: to, count: Int(count)))
        }
    }

    private static func write(_ handle: UInt64, _ reader: inout ByteReader, dataCount: Int) throws(SystemError) -> FuseRequest {
        let offset = reader.uint64()
        let (start, count) = try range(offset, reader.uint32().map(UInt64.init))
        guard let writeFlags = reader.uint32(), reader.skip(8), let flags = reader.uint32(), reader.skip(4), count <= dataCount, count <= Fuse.dataLimit
        else { throw malformed }
        // A page that is written back belongs at its offset, whichever handle carries it.
        let appends = flags & UInt32(O_APPEND) != 0 && writeFlags & Fuse.writeFromCache == 0
        return .write(
            handle: handle, offset: start, count: Int(count), appends: appends, killsPrivileges: writeFlags & Fuse.writeKillsPrivileges != 0)
    }

    private static func batch(_ reader: inout ByteReader) throws(SystemError) -> FuseRequest {
        guard let count = reader.uint32(), reader.skip(4), reader.rest.count / 16 >= Int(count) else { throw malformed }
        var forgotten: [Forgotten] = []
        forgotten.reserveCapacity(Int(count))
        for _ in 0..<count {
            guard let node = reader.uint64(), let lookups = reader.uint64() else { throw malformed }
            forgotten.append(Forgotten(node: node, count: lookups))
        }
        return .batchForget(forgotten)
    }
}

extension FuseRequest.SetAttributes {
    init(_ reader: inout ByteReader) throws(SystemError) {
        guard let valid = reader.uint32(), reader.skip(4), let handle = reader.uint64(), let size = reader.uint64(), reader.skip(8),
            let access = reader.uint64(), let modification = reader.uint64(), reader.skip(8), let accessPart = reader.uint32(),
            let modificationPart = reader.uint32(), reader.skip(4), let mode = reader.uint32(), reader.skip(4), let user = reader.uint32(),
            let group = reader.uint32()
        else { throw SystemError(.invalidArgument, "fuse") }
        self.valid = Fuse.SetValid(rawValue: valid)
        self.handle = handle
        self.size = size
        accessTime = FileTime(seconds: Int64(bitPattern: access), nanoseconds: accessPart)
        modificationTime = FileTime(seconds: Int64(bitPattern: modification), nanoseconds: modificationPart)
        self.mode = mode
        self.user = user
        self.group = group
    }
}

extension FuseRequest.Initialization {
    init(_ reader: inout ByteReader) throws(SystemError) {
        guard let major = reader.uint32(), let minor = reader.uint32(), let readAhead = reader.uint32(), let flags = reader.uint32()
        else { throw SystemError(.invalidArgument, "fuse") }
        self.major = major
        self.minor = minor
        self.readAhead = readAhead
        var features = UInt64(flags)
        // The upper half came with 7.36, and only when the lower half says so.
        if features & Fuse.Features.extendedInit.rawValue != 0, let more = reader.uint32() { features |= UInt64(more) << 32 }
        self.features = Fuse.Features(rawValue: features)
    }
}
