internal import GuestRAM
internal import Virtio

/// Why a request fails before any of it was done: the status that its driver gets (VIRTIO 1.2, 5.2.6).
enum BlockStatus: UInt8, Error {
    /// VIRTIO_BLK_S_OK
    case done = 0
    /// VIRTIO_BLK_S_IOERR
    case failed = 1
    /// VIRTIO_BLK_S_UNSUPP
    case unsupported = 2
}

/// A range of the disk, in bytes, that lies within it.
struct BlockRange: Equatable {
    var offset: Int64
    var count: Int64
}

/// A request (VIRTIO 1.2, 5.2.6), read whole and checked against the disk before anything is done.
///
/// Where the driver puts borders between its buffers means nothing (2.7.4): the header is the first 16 bytes that it wrote, the status the last byte that it may read.
enum BlockRequest {
    /// Into all of the chain's writable bytes but the last.
    case read(BlockRange)
    /// From the chain's readable bytes behind the header.
    case write(BlockRange)
    case flush
    case identify
    case discard([BlockRange])
    case writeZeroes([ZeroRange])

    struct ZeroRange: Equatable {
        var range: BlockRange
        /// VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP: the room may be given back.
        var mayFree: Bool
    }

    private enum Kind: UInt32 {
        case read = 0, write = 1, flush = 4, identify = 8, discard = 11, writeZeroes = 13
    }

    static let headerSize = 16
    static let identifierSize = 20
    /// struct virtio_blk_discard_write_zeroes
    static let segmentSize = 16

    /// - Parameter chain: has room for a status.
    init(_ chain: DescriptorChain, on disk: BlockGeometry) throws(BlockStatus) {
        let header = chain.readable.bytes(count: BlockRequest.headerSize)
        guard header.count == BlockRequest.headerSize else { throw .failed }
        guard let kind = Kind(rawValue: UInt32(littleEndian: header, at: 0)) else { throw .unsupported }
        let sector = UInt64(littleEndian: header, at: 8)
        let sent = chain.readable.byteCount - BlockRequest.headerSize
        let room = chain.writable.byteCount - 1
        // Who sends data does not take any, and the other way round.
        guard kind == .read || kind == .identify ? sent == 0 : room == 0 else { throw .failed }
        guard max(sent, room) <= BlockGeometry.maximumBuffers * BlockGeometry.maximumBuffer else { throw .failed }
        if disk.isReadOnly && [.write, .discard, .writeZeroes].contains(kind) { throw .failed }
        switch kind {
        case .read: self = .read(try disk.range(sector, bytes: room))
        case .write: self = .write(try disk.range(sector, bytes: sent))
        case .flush:
            guard sent == 0 else { throw .failed }
            self = .flush
        case .identify:
            guard room >= BlockRequest.identifierSize else { throw .failed }
            self = .identify
        case .discard:
            let segments = try Self.segments(chain, sent, disk)
            // 5.2.6.2: a discard has no flags.
            guard segments.allSatisfy({ !$0.mayFree }) else { throw .unsupported }
            self = .discard(segments.map(\.range))
        case .writeZeroes: self = .writeZeroes(try Self.segments(chain, sent, disk))
        }
    }

    private static func segments(_ chain: DescriptorChain, _ count: Int, _ disk: BlockGeometry) throws(BlockStatus) -> [ZeroRange] {
        guard count > 0, count % segmentSize == 0, count / segmentSize <= BlockGeometry.maximumSegments else { throw .failed }
        let bytes = chain.readable.bytes(from: headerSize, count: count)
        var result: [ZeroRange] = []
        for start in stride(from: 0, to: bytes.count, by: segmentSize) {
            let flags = UInt32(littleEndian: bytes, at: start + 12)
            guard flags <= 1 else { throw .unsupported }
            let sectors = UInt32(littleEndian: bytes, at: start + 8)
            guard sectors > 0, sectors <= BlockGeometry.maximumSectors else { throw .failed }
            let range = try disk.range(UInt64(littleEndian: bytes, at: start), bytes: Int(sectors) * BlockGeometry.sectorSize)
            result.append(ZeroRange(range: range, mayFree: flags == 1))
        }
        return result
    }
}

/// A disk's size and limits: what its driver is told, and what requests are held to.
struct BlockGeometry: Equatable, Sendable {
    /// Bytes; the unit of all numbers of the protocol.
    static let sectorSize = 512
    /// Buffers of data in one request, besides the header and the status.
    static let maximumBuffers = BlockDevice.queueSize - 2
    /// Bytes in one of them.
    static let maximumBuffer = 64 << 10
    /// Ranges that one request discards, and sectors of one.
    static let maximumSegments = 16
    static let maximumSectors: UInt32 = 1 << 21

    /// Sectors
    var capacity: UInt64
    var isReadOnly: Bool

    /// A range that lies on the disk.
    func range(_ sector: UInt64, bytes: Int) throws(BlockStatus) -> BlockRange {
        guard bytes % BlockGeometry.sectorSize == 0 else { throw .failed }
        let sectors = UInt64(bytes / BlockGeometry.sectorSize)
        guard sector <= capacity, sectors <= capacity - sector else { throw .failed }
        return BlockRange(offset: Int64(sector) * Int64(BlockGeometry.sectorSize), count: Int64(bytes))
    }
}

extension FixedWidthInteger {
    /// Of bytes that are there.
    init(littleEndian bytes: [UInt8], at start: Int) {
        self = bytes[start..<start + MemoryLayout<Self>.size].reversed().reduce(0) { $0 << 8 | Self($1) }
    }
}
