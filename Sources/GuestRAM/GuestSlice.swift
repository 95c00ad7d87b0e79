internal import CLinux
public import LinuxSystem

/// A bounds-checked range of guest memory. It keeps its mapping alive; every access stays within `count` bytes.
@safe
public struct GuestSlice: Sendable {
    private let mapping: Mapping
    private let offset: Int
    /// Bytes.
    public let count: Int

    /// The caller has checked that the range lies within the mapping.
    init(_ mapping: Mapping, offset: Int, count: Int) {
        self.mapping = mapping
        self.offset = offset
        self.count = count
    }

    // SAFETY: `offset..<offset+count` lies within the mapping, which `mapping` keeps alive.
    private var base: UnsafeMutableRawPointer { unsafe mapping.base + offset }

    /// The part `range` of this slice, cut off at its end.
    public func part(from start: Int, count wanted: Int = .max) -> GuestSlice {
        let first = min(max(start, 0), count)
        return GuestSlice(mapping, offset: offset + first, count: min(max(wanted, 0), count - first))
    }

    /// A copy of all bytes.
    public func bytes() -> [UInt8] {
        let size = count
        return unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, initialized in
            // SAFETY: memcpy does not mind concurrent writers; the copy is then ours alone.
            if let target = buffer.baseAddress { unsafe clinux_copy(target, base, size) }
            initialized = size
        }
    }

    /// Copies as many of `bytes` as fit, from `position` on; returns how many.
    @discardableResult
    public func write(_ bytes: some Collection<UInt8>, at position: Int) -> Int {
        guard position >= 0, position < count else { return 0 }
        let size = min(bytes.count, count - position)
        let target = unsafe base + position
        let copied: Void? = bytes.withContiguousStorageIfAvailable { source in
            // SAFETY: `size` is at most both sides' length.
            if let from = source.baseAddress { unsafe clinux_copy(target, from, size) }
        }
        if copied == nil { return write(Array(bytes.prefix(size)), at: position) }
        return size
    }

    /// Fills the slice with zero bytes.
    public func clear() { unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: count) }

    /// A little-endian integer that the guest may change at any time; nil when it would lie outside.
    public func load<Integer: FixedWidthInteger>(_ type: Integer.Type, at position: Int) -> Integer? {
        let size = MemoryLayout<Integer>.size
        guard position >= 0, position <= count - size else { return nil }
        return unsafe Integer(littleEndian: (base + position).loadUnaligned(as: Integer.self))
    }

    /// Stores a little-endian integer. False when it would lie outside.
    @discardableResult
    public func store<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer, at position: Int) -> Bool {
        let size = MemoryLayout<Integer>.size
        guard position >= 0, position <= count - size else { return false }
        unsafe (base + position).storeBytes(of: value.littleEndian, as: Integer.self)
        return true
    }

    /// Loads a ring index with acquire order. The position must be even and inside.
    public func loadAcquire16(at position: Int) -> UInt16 {
        guard position >= 0, position <= count - 2, position & 1 == 0 else { return 0 }
        return unsafe clinux_load_acquire16(base + position)
    }

    /// Stores a ring index with release order. The position must be even and inside.
    public func storeRelease16(_ value: UInt16, at position: Int) {
        guard position >= 0, position <= count - 2, position & 1 == 0 else { return }
        unsafe clinux_store_release16(base + position, value)
    }

    fileprivate var vector: clinux_slice { unsafe clinux_slice(address: UInt(bitPattern: base), count: count) }
}

/// Orders all earlier loads and stores before all later ones.
public func memoryFence() { clinux_full_fence() }

extension Array where Element == GuestSlice {
    /// Bytes in all slices together.
    public var byteCount: Int { reduce(0) { $0 &+ $1.count } }

    /// The slices' part from byte `start` on, at most `limit` bytes.
    public func part(from start: Int, count limit: Int = .max) -> [GuestSlice] {
        var skip = start
        var left = limit
        var result: [GuestSlice] = []
        for slice in self where left > 0 {
            if skip >= slice.count {
                skip -= slice.count
                continue
            }
            let piece = slice.part(from: skip, count: left)
            skip = 0
            left -= piece.count
            if piece.count > 0 { result.append(piece) }
        }
        return result
    }

    /// A copy of at most `limit` bytes from byte `start` on.
    public func bytes(from start: Int = 0, count limit: Int = .max) -> [UInt8] {
        let pieces = part(from: start, count: limit)
        if pieces.count == 1 { return pieces[0].bytes() }
        var result: [UInt8] = []
        result.reserveCapacity(pieces.byteCount)
        for piece in pieces { result.append(contentsOf: piece.bytes()) }
        return result
    }

    /// Copies bytes in from byte `start` on; returns how many fitted.
    @discardableResult
    public func write(_ bytes: [UInt8], at start: Int = 0) -> Int {
        var done = 0
        for piece in part(from: start, count: bytes.count) {
            done += piece.write(bytes[done...], at: 0)
        }
        return done
    }

    /// Reads from a descriptor straight into guest memory (`preadv`, or `readv` when `offset` is nil).
    public func read(from descriptor: Int32, offset: Int64? = nil) throws(SystemError) -> Int {
        let vectors = prefix(1024).map(\.vector)
        return try retried("preadv") { unsafe clinux_preadv(descriptor, vectors, Int32(vectors.count), offset ?? -1) }
    }

    /// Writes guest memory straight to a descriptor (`pwritev`, or `writev` when `offset` is nil).
    public func write(to descriptor: Int32, offset: Int64? = nil) throws(SystemError) -> Int {
        let vectors = prefix(1024).map(\.vector)
        return try retried("pwritev") { unsafe clinux_pwritev(descriptor, vectors, Int32(vectors.count), offset ?? -1) }
    }

    /// Writes guest memory to the end of a file, wherever that is now, though it was not opened with O_APPEND.
    public func append(to descriptor: Int32) throws(SystemError) -> Int {
        let vectors = prefix(1024).map(\.vector)
        return try retried("pwritev2") { unsafe clinux_append(descriptor, vectors, Int32(vectors.count)) }
    }
}
