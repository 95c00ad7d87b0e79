/// File systems that a file is recognized to hold by a few bytes of it, without reading more.
public enum FileSystemMagic: Sendable {
    /// EROFS_SUPER_MAGIC_V1 at the superblock's start.
    case erofs
    /// EXT4_SUPER_MAGIC, s_magic of the superblock.
    case ext4

    var place: (offset: Int64, bytes: [UInt8]) {
        switch self {
        case .erofs: (1024, [0xE2, 0xE1, 0xF5, 0xE0])
        case .ext4: (1024 + 0x38, [0x53, 0xEF])
        }
    }
}

extension OwnedDescriptor {
    /// Whether the file looks like an image of such a file system.
    public func holds(_ magic: FileSystemMagic) throws(SystemError) -> Bool {
        let (offset, expected) = magic.place
        return try bytes(at: offset, count: expected.count) == expected
    }
}
