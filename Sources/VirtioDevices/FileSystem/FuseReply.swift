internal import LinuxSystem

/// Bytes of a reply, without its header.
struct FuseReply {
    private(set) var bytes: [UInt8] = []
    var count: Int { bytes.count }

    init(reserving capacity: Int = 144) { bytes.reserveCapacity(capacity) }

    mutating func append<Integer: FixedWidthInteger>(_ value: Integer) {
        for index in 0..<MemoryLayout<Integer>.size { bytes.append(UInt8(truncatingIfNeeded: value >> Integer(truncatingIfNeeded: 8 * index))) }
    }

    mutating func append(contentsOf more: some Collection<UInt8>) { bytes.append(contentsOf: more) }

    mutating func pad(to count: Int) {
        while bytes.count < count { bytes.append(0) }
    }

    mutating func truncate(to count: Int) { bytes.removeLast(max(0, bytes.count - count)) }
}

/// How long the guest's kernel may believe what it was told.
enum CacheTime {
    /// Names, absent names and attributes. Short enough that what the host does (`podman cp`) is soon seen, long enough that a
    /// path's components are not looked up anew for every file of a directory.
    static let entrySeconds: UInt64 = 1
    /// The shares' own names never change.
    static let shareSeconds: UInt64 = 86_400
}

/// An object as replies describe it.
struct FuseEntry: Equatable, Sendable {
    var node: UInt64
    var attributes: FileAttributes
    /// The root of another file system, or of a share: the guest mounts it apart, with a device number of its own.
    var isMountRoot = false
    var entrySeconds = CacheTime.entrySeconds

    /// Bytes of struct fuse_entry_out.
    static let encodedSize = 128
}

extension FuseReply {
    /// struct fuse_attr
    mutating func append(_ attributes: FileAttributes, flags: UInt32 = 0) {
        append(attributes.inode)
        append(attributes.size)
        append(attributes.blocks)
        append(attributes.accessTime.seconds)
        append(attributes.modificationTime.seconds)
        append(attributes.changeTime.seconds)
        append(attributes.accessTime.nanoseconds)
        append(attributes.modificationTime.nanoseconds)
        append(attributes.changeTime.nanoseconds)
        append(attributes.mode)
        append(attributes.links)
        append(attributes.user)
        append(attributes.group)
        append(DeviceNumber.encode(major: attributes.deviceMajor, minor: attributes.deviceMinor))
        append(attributes.blockSize)
        append(flags)
    }

    /// struct fuse_attr_out
    mutating func appendAttributes(of entry: FuseEntry) {
        append(CacheTime.entrySeconds)
        append(UInt64(0))
        append(entry.attributes, flags: entry.isMountRoot ? Fuse.attributeSubmount : 0)
    }

    /// struct fuse_entry_out
    mutating func append(_ entry: FuseEntry) {
        append(entry.node)
        append(UInt64(0))  // generation: nodes are never numbered anew
        append(entry.entrySeconds)
        append(CacheTime.entrySeconds)
        append(UInt64(0))  // nanoseconds of both
        append(entry.attributes, flags: entry.isMountRoot ? Fuse.attributeSubmount : 0)
    }

    /// The struct fuse_entry_out that says for how long a name does not exist.
    mutating func appendAbsence() {
        append(UInt64(0))
        append(UInt64(0))
        append(CacheTime.entrySeconds)
        pad(to: count + FuseEntry.encodedSize - 24)
    }

    /// struct fuse_open_out
    mutating func appendOpen(handle: UInt64, flags: UInt32) {
        append(handle)
        append(flags)
        append(UInt32(0))
    }

    /// struct fuse_kstatfs
    mutating func append(_ statistics: FileSystemStatistics) {
        append(statistics.blocks)
        append(statistics.freeBlocks)
        append(statistics.availableBlocks)
        append(statistics.files)
        append(statistics.freeFiles)
        append(statistics.blockSize)
        append(statistics.nameLength)
        append(statistics.fragmentSize)
        pad(to: count + 28)
    }

    /// struct fuse_init_out
    mutating func appendInit(minor: UInt32, readAhead: UInt32, features: Fuse.Features) {
        append(Fuse.majorVersion)
        append(minor)
        append(readAhead)
        append(UInt32(truncatingIfNeeded: features.rawValue))
        append(UInt16(64))  // requests in the background (read-ahead, asynchronous reads) at most
        append(UInt16(48))  // from so many on the guest throttles itself
        append(UInt32(Fuse.dataLimit))
        append(UInt32(1))  // granularity of time stamps in nanoseconds
        append(Fuse.dataPages)
        append(UInt16(0))  // alignment of DAX mappings
        append(UInt32(truncatingIfNeeded: features.rawValue >> 32))
        pad(to: count + 28)
    }

    /// struct fuse_dirent, padded to 8 bytes
    mutating func append(_ entry: DirectoryEntry) {
        append(entry.inode)
        append(entry.next)
        append(UInt32(entry.name.count))
        append(UInt32(entry.type))
        append(contentsOf: entry.name)
        pad(to: (count + 7) & ~7)
    }
}

/// A line of a directory, as getdents64(2) gives it.
struct DirectoryEntry: Equatable, Sendable {
    var inode: UInt64
    /// Where reading goes on after it.
    var next: Int64
    /// DT_…
    var type: UInt8
    var name: ArraySlice<UInt8>

    /// Bytes of its struct fuse_dirent.
    var encodedSize: Int { (24 + name.count + 7) & ~7 }
    var isDots: Bool { name.elementsEqual([0x2E]) || name.elementsEqual([0x2E, 0x2E]) }

    /// The entry at the start of `bytes` (struct linux_dirent64) and its length there; nil when it is not whole.
    static func first(of bytes: ArraySlice<UInt8>) -> (entry: DirectoryEntry, length: Int)? {
        var reader = ByteReader(Array(bytes.prefix(19)))
        guard let inode = reader.uint64(), let next = reader.uint64(), let length = reader.uint16(), let type = reader.rest.first,
            length > 19, bytes.count >= length
        else { return nil }
        let name = bytes[(bytes.startIndex + 19)..<(bytes.startIndex + Int(length))].prefix { $0 != 0 }
        return (DirectoryEntry(inode: inode, next: Int64(bitPattern: next), type: type, name: name), Int(length))
    }
}

/// Device numbers in 32 bits, as Linux's new_encode_dev packs them: 12 bits of major between 8 and 12 bits of minor.
enum DeviceNumber {
    static func encode(major: UInt32, minor: UInt32) -> UInt32 { (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12) }
    static func decode(_ number: UInt32) -> (major: UInt32, minor: UInt32) {
        ((number & 0xFFF00) >> 8, (number & 0xFF) | ((number >> 12) & 0xFFF00))
    }
}
