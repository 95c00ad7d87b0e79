internal import GuestRAM
internal import Glibc
internal import LinuxSystem
internal import Synchronization
internal import Virtio

/// Serves FUSE requests from directory trees of the host. Requests may run on several threads at once, each of which has
/// entered `DescriptorLinks`.
///
/// Nothing that the guest sends is ever resolved as a path: a request names a node, whose descriptor is open, and at most one
/// component beneath it, which is opened with O_NOFOLLOW. So no symbolic link is followed on the host and no `..` climbs.
final class FileServer: ChainServer {
    struct Session: Sendable {
        var isOpen = false
        var features: Fuse.Features = []
    }

    let shares: [FileSystemDevice.Share]
    /// The shares' roots, in order.
    let roots: [Inode]
    let rootInode: Inode
    let nodes: NodeTable
    let links: DescriptorLinks
    let allowsWriteback: Bool
    let log: @Sendable (String) -> Void
    private let session = Mutex(Session())
    private let hasWarned = Atomic<Bool>(false)

    /// Descriptors of this process that the file server leaves alone: other devices, streams.
    static let reservedDescriptors = 256

    init(shares: [FileSystemDevice.Share], writeback: Bool, descriptorLimit: Int, log: @escaping @Sendable (String) -> Void) throws(SystemError) {
        self.shares = shares
        allowsWriteback = writeback
        self.log = log
        links = try DescriptorLinks()
        nodes = NodeTable(limit: max(64, descriptorLimit - FileServer.reservedDescriptors))
        let nodes = nodes
        roots = shares.enumerated().map { index, share in
            nodes.pin(Inode.Key(share: index, share.attributes), share.attributes, keepsBirth: share.keepsBirth, object: share.object)
        }
        // Any directory will do: nothing is ever asked of this one's descriptor. So it is one from which nothing can be reached.
        let place = HeldFile(try OwnedDescriptor.emptyDirectory())
        var attributes = try place.descriptor.attributes()
        attributes.inode = Fuse.rootNode
        rootInode = Inode(
            node: Fuse.rootNode, key: Inode.Key(share: -1, attributes), attributes, keepsBirth: true, isMountRoot: false,
            place: Inode.Place(object: place))
    }

    /// The guest starts over.
    func endSession() {
        session.withLock { $0 = Session() }
        nodes.removeAll()
    }

    func beginSession(_ features: Fuse.Features) {
        nodes.removeAll()
        session.withLock { $0 = Session(isOpen: true, features: features) }
    }

    var features: Fuse.Features { session.withLock { $0.features } }

    // MARK: One request

    let name = "virtio-fs"

    func prepareThread() throws(SystemError) { try links.enterOnThisThread() }

    func serve(_ chain: DescriptorChain, announce: () -> Void) -> ChainOutcome {
        let header = FuseHeader(chain.readable.bytes(count: Fuse.requestHeader))
        if let header, Fuse.Opcode(rawValue: header.opcode)?.isSlow == true { announce() }
        return handle(header, chain)
    }

    /// Serves a request and writes its reply. `header` is a copy of the chain's start, nil when that is too short.
    func handle(_ header: FuseHeader?, _ chain: DescriptorChain) -> ChainOutcome {
        let opcode = header.flatMap { Fuse.Opcode(rawValue: $0.opcode) }
        let hasReply = opcode?.hasReply ?? true
        if hasReply && chain.writable.byteCount < Fuse.replyHeader { return .broken }
        do throws(SystemError) {
            guard let header else { throw SystemError(.invalidArgument, "fuse") }
            let answer = try serve(header, chain)
            guard hasReply else { return .used(0) }
            return .used(finish(chain, unique: header.unique, answer))
        } catch {
            guard hasReply else { return .used(0) }
            var reply = FuseReply(reserving: Fuse.replyHeader)
            reply.append(UInt32(Fuse.replyHeader))
            reply.append(-error.errno.rawValue)
            reply.append(header?.unique ?? 0)
            return .used(chain.writable.write(reply.bytes))
        }
    }

    /// A reply's contents.
    enum Answer {
        case empty
        case bytes(FuseReply)
        /// So many bytes of data are in the chain already, behind the header.
        case data(Int)
    }

    private func finish(_ chain: DescriptorChain, unique: UInt64, _ answer: Answer) -> Int {
        var body: [UInt8] = []
        var count = 0
        switch answer {
        case .empty: break
        case .bytes(let reply):
            body = reply.bytes
            count = body.count
        case .data(let written): count = written
        }
        // Every reply but those that the request itself limits has a fixed size that the driver knows.
        let room = chain.writable.byteCount - Fuse.replyHeader
        let isCut = count > room
        var reply = FuseReply(reserving: Fuse.replyHeader + body.count)
        reply.append(UInt32(Fuse.replyHeader + (isCut ? 0 : count)))
        reply.append(isCut ? -EINVAL : 0)
        reply.append(unique)
        if !isCut { reply.append(contentsOf: body) }
        chain.writable.write(reply.bytes)
        return Fuse.replyHeader + (isCut ? 0 : count)
    }

    private func serve(_ header: FuseHeader, _ chain: DescriptorChain) throws(SystemError) -> Answer {
        let total = chain.readable.byteCount
        guard header.length >= Fuse.requestHeader, Int(header.length) <= total else { throw SystemError(.invalidArgument, "fuse") }
        let session = session.withLock { $0 }
        var argumentCount = Int(header.length) - Fuse.requestHeader
        var dataCount = 0
        if header.opcode == Fuse.Opcode.write.rawValue {
            dataCount = max(0, argumentCount - FileServer.writeArguments)
            argumentCount = min(argumentCount, FileServer.writeArguments)
        }
        guard argumentCount <= Fuse.argumentLimit else { throw SystemError(.invalidArgument, "fuse") }
        let request = try FuseRequest(
            header, arguments: chain.readable.bytes(from: Fuse.requestHeader, count: argumentCount), dataCount: dataCount,
            hasExtendedSetAttribute: session.features.contains(.extendedSetAttribute))
        if case .initialize(let proposal) = request { return try initialize(proposal) }
        if case .interrupt = request { return .empty }
        guard session.isOpen else { throw SystemError(.ioError, "fuse") }
        try refuseChange(header)
        do throws(SystemError) {
            return try dispatch(request, header, chain)
        } catch {
            if error.errno.rawValue == ENFILE || error.errno.rawValue == EMFILE { warnOfDescriptors() }
            // The guest's kernel knows ENFILE for a table that is full on the other side.
            if error.errno.rawValue == EMFILE { throw SystemError(Errno(rawValue: ENFILE), error.operation) }
            throw error
        }
    }

    /// Bytes of struct fuse_write_in.
    static let writeArguments = 40

    /// The one place where a read-only share (and the synthetic root, which is one) refuses changes.
    private func refuseChange(_ header: FuseHeader) throws(SystemError) {
        guard Fuse.Opcode(rawValue: header.opcode)?.changesShare == true else { return }
        if try isReadOnly(try inode(header.node)) { throw SystemError(.readOnly, "fuse") }
    }

    func isReadOnly(_ inode: Inode) throws(SystemError) -> Bool { !shares.indices.contains(inode.share) || shares[inode.share].isReadOnly }

    func inode(_ node: UInt64) throws(SystemError) -> Inode {
        node == Fuse.rootNode ? rootInode : try nodes.inode(node)
    }

    /// The open object of a node.
    func object(_ inode: Inode) throws(SystemError) -> HeldFile { try nodes.object(inode) }

    func attributes(of inode: Inode) throws(SystemError) -> FileAttributes { try object(inode).descriptor.attributes() }

    private func warnOfDescriptors() {
        if hasWarned.exchange(true, ordering: .relaxed) { return }
        log("virtio-fs: the guest uses more files than the \(nodes.limit) for which this process may have descriptors; raise RLIMIT_NOFILE (ulimit -n)")
    }

    private func dispatch(_ request: FuseRequest, _ header: FuseHeader, _ chain: DescriptorChain) throws(SystemError) -> Answer {
        switch request {
        case .lookup(let name): return try lookup(header, name)
        case .forget(let count):
            nodes.forget(header.node, count: count)
            return .empty
        case .batchForget(let all):
            for one in all { nodes.forget(one.node, count: one.count) }
            return .empty
        case .getAttributes: return try getAttributes(header)
        case .setAttributes(let wanted): return try setAttributes(header, wanted)
        case .readLink: return try readLink(header)
        case .symbolicLink(let name, let target): return try makeSymbolicLink(header, name, target)
        case .makeNode(let name, let mode, let device, let mask): return try makeNode(header, name, mode: mode, device: device, mask: mask)
        case .makeDirectory(let name, let mode, let mask): return try makeDirectory(header, name, mode: mode, mask: mask)
        case .unlink(let name): return try remove(header, name, isDirectory: false)
        case .removeDirectory(let name): return try remove(header, name, isDirectory: true)
        case .rename(let name, let node, let newName, let flags): return try rename(header, name, to: node, newName, flags: flags)
        case .link(let name, let source): return try link(header, name, from: source)
        case .open(let flags, let kills): return try open(header, flags: flags, killsPrivileges: kills)
        case .create(let name, let creation): return try create(header, name, creation)
        case .temporaryFile(let creation): return try createTemporary(header, creation)
        case .read, .write, .allocate, .seek, .copyFileRange, .flush, .synchronize: return try data(request, header, chain)
        case .statistics: return try statistics(header)
        case .release(let handle), .releaseDirectory(let handle):
            _ = nodes.close(handle)
            return .empty
        case .openDirectory: return try openDirectory(header)
        case .readDirectory(let handle, let offset, let count, let plus):
            let room = min(count, chain.writable.byteCount - Fuse.replyHeader)
            return try readDirectory(header, handle: handle, offset: offset, room: room, plus: plus)
        case .synchronizeDirectory(let handle, let dataOnly): return try synchronizeDirectory(header, handle: handle, dataOnly: dataOnly)
        case .setExtendedAttribute, .getExtendedAttribute, .listExtendedAttributes, .removeExtendedAttribute: return try attribute(request, header)
        case .synchronizeFileSystem: return try synchronizeFileSystem(header)
        case .destroy:
            endSession()
            return .empty
        case .unsupported(let errno): throw SystemError(errno, "fuse")
        case .initialize, .interrupt: return .empty
        }
    }
}
