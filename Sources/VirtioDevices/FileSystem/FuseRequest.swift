internal import LinuxSystem

/// What every request begins with (struct fuse_in_header).
struct FuseHeader: Equatable, Sendable {
    /// Bytes of the whole request.
    var length: UInt32
    var opcode: UInt32
    /// Comes back in the reply.
    var unique: UInt64
    var node: UInt64
    /// Who asks, as the guest's kernel knows them.
    var user: UInt32
    var group: UInt32

    /// nil unless there are 40 bytes.
    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard bytes.count >= Fuse.requestHeader, let length = reader.uint32(), let opcode = reader.uint32(), let unique = reader.uint64(),
            let node = reader.uint64(), let user = reader.uint32(), let group = reader.uint32()
        else { return nil }
        (self.length, self.opcode, self.unique, self.node, self.user, self.group) = (length, opcode, unique, node, user, group)
    }
}

/// Reads integers and names off a copy of a request; nil past its end.
struct ByteReader {
    private let bytes: [UInt8]
    private(set) var position: Int

    init(_ bytes: [UInt8], from position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    var rest: ArraySlice<UInt8> { bytes[min(position, bytes.count)...] }

    private mutating func integer<Integer: FixedWidthInteger>(_ type: Integer.Type) -> Integer? {
        let size = MemoryLayout<Integer>.size
        guard bytes.count - position >= size else { return nil }
        var value: Integer = 0
        for index in 0..<size { value |= Integer(truncatingIfNeeded: bytes[position + index]) << Integer(truncatingIfNeeded: 8 * index) }
        position += size
        return value
    }

    mutating func uint16() -> UInt16? { integer(UInt16.self) }
    mutating func uint32() -> UInt32? { integer(UInt32.self) }
    mutating func uint64() -> UInt64? { integer(UInt64.self) }

    mutating func skip(_ count: Int) -> Bool {
        guard count >= 0, bytes.count - position >= count else { return false }
        position += count
        return true
    }

    /// The bytes up to the next zero byte, which is passed; nil without one.
    mutating func string() -> ArraySlice<UInt8>? {
        guard let end = rest.firstIndex(of: 0) else { return nil }
        defer { position = end + 1 }
        return bytes[position..<end]
    }
}

/// A request's opcode and arguments, checked for form: lengths, names, ranges of offsets.
enum FuseRequest: Equatable, Sendable {
    case lookup(EntryName)
    case forget(count: UInt64)
    case batchForget([Forgotten])
    case getAttributes
    case setAttributes(SetAttributes)
    case readLink
    case symbolicLink(EntryName, target: ArraySlice<UInt8>)
    case makeNode(EntryName, mode: UInt32, device: UInt32, mask: UInt32)
    case makeDirectory(EntryName, mode: UInt32, mask: UInt32)
    case unlink(EntryName)
    case removeDirectory(EntryName)
    case rename(EntryName, toNode: UInt64, EntryName, flags: UInt32)
    case link(EntryName, fromNode: UInt64)
    case open(flags: UInt32, killsPrivileges: Bool)
    case create(EntryName, Creation)
    case temporaryFile(Creation)
    case read(handle: UInt64, offset: Int64, count: Int)
    case write(handle: UInt64, offset: Int64, count: Int, appends: Bool, killsPrivileges: Bool)
    case statistics
    case release(handle: UInt64)
    case flush(handle: UInt64)
    case synchronize(handle: UInt64, dataOnly: Bool)
    case openDirectory
    case readDirectory(handle: UInt64, offset: Int64, count: Int, plus: Bool)
    case releaseDirectory(handle: UInt64)
    case synchronizeDirectory(handle: UInt64, dataOnly: Bool)
    case setExtendedAttribute(AttributeName, value: ArraySlice<UInt8>, flags: UInt32, killsGroup: Bool)
    case getExtendedAttribute(AttributeName, limit: Int)
    case listExtendedAttributes(limit: Int)
    case removeExtendedAttribute(AttributeName)
    case allocate(handle: UInt64, offset: Int64, length: Int64, mode: UInt32)
    case seek(handle: UInt64, offset: Int64, whence: UInt32)
    case copyFileRange(CopyRange)
    case synchronizeFileSystem
    case initialize(Initialization)
    case destroy
    /// Needs no answer.
    case interrupt
    /// Known, and refused with this error.
    case unsupported(Errno)

    struct Forgotten: Equatable, Sendable {
        var node: UInt64
        var count: UInt64
    }

    struct SetAttributes: Equatable, Sendable {
        var valid: Fuse.SetValid
        var handle: UInt64
        var size: UInt64
        var accessTime: FileTime
        var modificationTime: FileTime
        var mode: UInt32
        var user: UInt32
        var group: UInt32
    }

    struct Creation: Equatable, Sendable {
        var flags: UInt32
        var mode: UInt32
        var mask: UInt32
        var killsPrivileges: Bool
    }

    struct CopyRange: Equatable, Sendable {
        var handle: UInt64
        var offset: Int64
        var toNode: UInt64
        var toHandle: UInt64
        var toOffset: Int64
        var count: Int
    }

    struct Initialization: Equatable, Sendable {
        var major: UInt32
        var minor: UInt32
        /// Bytes.
        var readAhead: UInt32
        var features: Fuse.Features
    }
}
