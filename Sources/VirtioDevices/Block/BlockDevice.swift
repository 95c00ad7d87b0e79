internal import GuestRAM
public import LinuxSystem
public import Virtio

/// virtio-blk (VIRTIO 1.2, 5.2): a file of the host as a disk of the guest.
///
/// It has a write-back cache, the host's: what is to outlive a crash of the host its driver flushes. A sparse file stays sparse, for what the guest discards is
/// cut out of it. Its whole state is the driver's negotiation, which the transport has: between two requests nothing is kept.
public final class BlockDevice: VirtioDevice {
    /// Feature bits (5.2.3).
    private enum Feature {
        /// VIRTIO_BLK_F_SIZE_MAX
        static let bufferSize: UInt64 = 1 << 1
        /// VIRTIO_BLK_F_SEG_MAX
        static let bufferCount: UInt64 = 1 << 2
        /// VIRTIO_BLK_F_RO
        static let readOnly: UInt64 = 1 << 5
        /// VIRTIO_BLK_F_BLK_SIZE
        static let blockSize: UInt64 = 1 << 6
        /// VIRTIO_BLK_F_FLUSH
        static let flush: UInt64 = 1 << 9
        /// VIRTIO_BLK_F_DISCARD
        static let discard: UInt64 = 1 << 13
        /// VIRTIO_BLK_F_WRITE_ZEROES
        static let writeZeroes: UInt64 = 1 << 14
    }

    static let queueSize = 256
    /// Threads that serve requests: two where there is something to flush, so that a flush does not make readers wait.
    private var workerCount: Int { server.geometry.isReadOnly ? 1 : 2 }

    private let server: BlockServer
    private let workers: WorkerPool

    /// - Parameters:
    ///   - file: a regular file, whose size is the disk's and stays; open for writing too unless `readOnly`.
    ///   - identifier: what the guest finds in the disk's `serial`; at most 20 bytes count.
    ///   - log: gets lines for the person who runs the machine.
    /// - Throws: `EINVAL` for a size that is no multiple of 512 bytes, or none.
    public init(file: consuming OwnedDescriptor, readOnly: Bool, identifier: String, log: @escaping @Sendable (String) -> Void = { _ in }) throws(SystemError) {
        let size = try file.size()
        guard size > 0, size % Int64(BlockGeometry.sectorSize) == 0 else { throw SystemError(.invalidArgument, "virtio-blk", path: identifier) }
        let bytes = Array(identifier.utf8.prefix(BlockRequest.identifierSize))
        server = BlockServer(
            file: file, BlockGeometry(capacity: UInt64(size) / UInt64(BlockGeometry.sectorSize), isReadOnly: readOnly),
            identifier: bytes + [UInt8](repeating: 0, count: BlockRequest.identifierSize - bytes.count), log: log)
        workers = try WorkerPool(server)
    }

    deinit { workers.stop() }

    /// Starts the device's threads, as `FileSystemDevice.startWorkers` does.
    /// - Throws: `EAGAIN` when the system allows no more threads.
    public func startWorkers(prepare: @escaping @Sendable () -> Void = {}) throws(SystemError) {
        try workers.start(count: workerCount, prepare: prepare)
    }

    public var type: DeviceType { .block }
    public var features: UInt64 {
        let always = Feature.bufferSize | Feature.bufferCount | Feature.blockSize
        return always | (server.geometry.isReadOnly ? Feature.readOnly : Feature.flush | Feature.discard | Feature.writeZeroes)
    }
    public var queueSizes: [UInt16] { [UInt16(Self.queueSize)] }

    /// struct virtio_blk_config (5.2.4). Fields of features that are not offered are 0.
    public var configuration: [UInt8] {
        let sector = UInt32(BlockGeometry.sectorSize)
        let (segments, sectors) = server.geometry.isReadOnly ? (0, 0) : (UInt32(BlockGeometry.maximumSegments), BlockGeometry.maximumSectors)
        var space: [UInt8] = []
        func add<Value: FixedWidthInteger>(_ values: Value...) {
            for value in values { for byte in 0..<MemoryLayout<Value>.size { space.append(UInt8(truncatingIfNeeded: value >> Value(8 * byte))) } }
        }
        add(server.geometry.capacity)
        add(UInt32(BlockGeometry.maximumBuffer), UInt32(BlockGeometry.maximumBuffers))
        add(UInt32(0), sector)  // geometry; blk_size
        add(UInt64(0))  // topology
        add(UInt32(0))  // writeback, unused0, num_queues
        // Room is freed in pages: less is cut out of the file in vain.
        add(sectors, segments, 4096 / sector)  // max_discard_sectors, max_discard_seg, discard_sector_alignment
        add(sectors, segments)  // max_write_zeroes_sectors, max_write_zeroes_seg
        add(UInt32(1))  // write_zeroes_may_unmap, unused1
        return space
    }

    public func writeConfiguration(_ bytes: [UInt8], at offset: Int) {}

    public func activate(_ context: ActivationContext) { workers.activate(context, threads: workerCount) }
    public func process(queue: Int) { workers.wake() }
    /// A request wakes a worker at once, without a detour by the machine's thread.
    public var notification: Int32? { workers.notification }

    /// Returns when no thread touches guest memory any more.
    public func reset() { workers.deactivate() }
}
