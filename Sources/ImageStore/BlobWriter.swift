internal import JSONText
public import LayerArchive
public import LinuxSystem
public import OCIImage

/// Content on its way into a store. Nobody sees it before `commit` has found it to be what it should be.
public struct BlobWriter: ~Copyable {
    private let store: ImageStore
    private let lease: Lease
    private let file: OwnedDescriptor
    private let path: String
    private let expected: Digest?
    private let limit: Int64
    private var digester: ContentDigester
    /// Bytes so far.
    public private(set) var size: Int64 = 0

    init(_ store: ImageStore, lease: Lease, expected: Digest?, limit: Int64) throws(StoreError) {
        (self.store, self.lease, self.expected, self.limit) = (store, lease, expected, limit)
        digester = ContentDigester(expected?.algorithm ?? .sha256)
        let path = "\(store.paths.ingest)/\(lease.name).\(uniqueName())"
        self.path = path
        file = try StoreError.wrapped("make \(path)") { () throws(SystemError) in try OwnedDescriptor(opening: path, flags: flags.create, mode: 0o644) }
    }

    deinit { try? DurableFile.remove(path) }

    /// - Throws: when there is no space, or more comes than the descriptor says.
    public mutating func write(_ bytes: [UInt8]) throws(StoreError) {
        size += Int64(bytes.count)
        guard size <= limit else { throw .corrupt("\(name) has more than the \(limit) bytes that it should have") }
        digester.update(bytes)
        do throws(SystemError) { try file.writeAll(bytes) } catch { throw .system("write \(path)", error) }
    }

    private var name: String { expected.map { "the content \($0)" } ?? "the content" }

    /// Checks digest and length, waits until the content is on the disk, and makes it visible.
    /// - Parameter length: what it must be, in bytes; nil: any.
    /// - Returns: the content's digest.
    /// - Throws: when it is not what it should be; then it is gone.
    public consuming func commit(length: Int64? = nil) throws(StoreError) -> Digest {
        let digest = digester.finish()
        if let length, length != size { throw .corrupt("\(name) has \(size) bytes, and not the \(length) that it should have") }
        if let expected, expected != digest { throw .corrupt("the content that should be \(expected) is \(digest)") }
        let (path, target, synchronize) = (path, store.paths.blob(digest), store.configuration.synchronize)
        if synchronize {
            do throws(SystemError) { try file.synchronize() } catch { throw .system("write \(path)", error) }
        }
        try lease.hold(blob: digest)
        // Who removes damaged content must not take this for it.
        let gate = try store.lock("collection", exclusive: false)
        defer { withExtendedLifetime(gate) {} }
        try StoreError.wrapped("keep \(digest)") { () throws(SystemError) in try DurableFile.move(path, to: target, synchronize: synchronize) }
        return digest
    }
}

extension ImageStore {
    /// Begins to take in content.
    /// - Parameters:
    ///   - descriptor: what it must turn out to be; nil: it gets the digest that it has.
    ///   - lease: keeps the content until something else, an image's name say, does.
    ///   - limit: the most bytes that are taken when no descriptor says how many come.
    public func beginBlob(_ descriptor: Descriptor?, lease: Lease, limit: Int64 = 64 << 30) throws(StoreError) -> BlobWriter {
        try BlobWriter(self, lease: lease, expected: descriptor?.digest, limit: descriptor?.size ?? limit)
    }

    /// Takes in content that is in memory, and returns its digest.
    public func put(_ bytes: [UInt8], lease: Lease) throws(StoreError) -> Digest {
        var writer = try beginBlob(nil, lease: lease, limit: Int64(bytes.count))
        try writer.write(bytes)
        return try writer.commit()
    }

    /// Whether the store has the content, in its full length; if so the lease keeps it.
    public func hold(_ descriptor: Descriptor, lease: Lease) throws(StoreError) -> Bool {
        try lease.hold(blob: descriptor.digest)
        return try size(of: descriptor.digest) == descriptor.size
    }

    /// In bytes; nil when the content is not there.
    public func size(of digest: Digest) throws(StoreError) -> Int64? {
        let path = paths.blob(digest)
        do throws(SystemError) { return try FileStatus(path: path).size } catch where error.errno == .noSuchFile { return nil } catch {
            throw .system("look for \(digest)", error)
        }
    }

    /// Reads content piece by piece.
    /// - Throws: when it is not there.
    public func open(_ digest: Digest) throws(StoreError) -> ByteSource { ByteSource(try file(digest)) }

    /// Opens content to be read at any place.
    /// - Throws: when it is not there.
    public func file(_ digest: Digest) throws(StoreError) -> SharedDescriptor {
        let path = paths.blob(digest)
        do throws(SystemError) { return SharedDescriptor(try OwnedDescriptor(opening: path, flags: flags.read)) } catch {
            if error.errno == .noSuchFile { throw .notFound("content", "\(digest)") }
            throw .system("read \(digest)", error)
        }
    }

    /// Reads content whole, and verifies it.
    public func read(_ descriptor: Descriptor, limit: Int = DocumentLimits.configuration) throws(StoreError) -> [UInt8] {
        let file = try file(descriptor.digest)
        guard descriptor.size <= limit else { throw .corrupt("\(descriptor.digest) has \(descriptor.size) bytes, more than the limit of \(limit)") }
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try file.readAll(limit: limit) } } catch {
            throw .system("read \(descriptor.digest)", error)
        }
        guard Int64(bytes.count) == descriptor.size, ContentDigester.digest(of: bytes, descriptor.digest.algorithm) == descriptor.digest else {
            throw .corrupt("the content \(descriptor.digest) in the store is not what its digest says; run fsck")
        }
        return bytes
    }
}
