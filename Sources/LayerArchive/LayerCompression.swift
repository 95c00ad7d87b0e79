internal import OCIImage

/// How a layer's tar is compressed.
public enum LayerCompression: Sendable, Hashable {
    case none, gzip, zstd

    /// Told by the first bytes of a layer.
    public init(of source: ByteSource) throws(LayerError) {
        self = try TarBytes(source, limit: .max, digest: .sha256).compression
    }

    /// How many bytes `detected` wants to see, if there are as many.
    static let headLength = 512

    /// Told by the first bytes, whatever a name or media type says.
    static func detected(_ head: ArraySlice<UInt8>) throws(LayerError) -> LayerCompression {
        guard !head.isEmpty else { throw .malformed(entry: nil, "it is empty: not even a tar's end is there") }
        // A tar's magic goes first: the name of its first entry could begin with another one.
        if head.dropFirst(257).starts(with: "ustar".utf8) { return .none }
        if head.starts(with: [0x1F, 0x8B, 8]) { return .gzip }
        if head.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) { return .zstd }
        // A skippable frame, with which zstd streams may begin.
        if head.count > 4, head.first.map({ $0 & 0xF0 == 0x50 }) == true, head.dropFirst().starts(with: [0x2A, 0x4D, 0x18]) { return .zstd }
        let others: [(magic: [UInt8], name: String)] = [
            (Array("BZh".utf8), "bzip2"), ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0], "xz"), ([0x5D, 0, 0], "lzma"), ([0x04, 0x22, 0x4D, 0x18], "lz4"),
        ]
        for other in others where head.starts(with: other.magic) {
            throw .compression("it is \(other.name)'s; layers are gzip's, zstd's or not compressed (image-spec, layer.md)")
        }
        return .none
    }
}
