internal import CArchive
internal import LinuxSystem
internal import OCIImage

/// The bytes of a layer's tar, decompressed and hashed as they pass.
@safe final class TarBytes {
    private let source: ByteSource
    private let limit: Int64
    private var buffer = [UInt8](repeating: 0, count: 128 << 10)
    /// What of the buffer has not been handed on.
    private var pending: Range<Int> = 0..<0
    private var decompressor: ArchiveReader?
    private var digester: ContentDigester
    private(set) var count: Int64 = 0
    private var ended = false
    let compression: LayerCompression

    init(_ source: ByteSource, limit: Int64, digest: OCIImage.Digest.Algorithm) throws(LayerError) {
        digester = ContentDigester(digest)
        self.source = source
        self.limit = limit
        // Enough of the start to tell what it is, though it may come in small pieces.
        var head: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: LayerCompression.headLength)
        while head.count < LayerCompression.headLength {
            let got = try TarBytes.read(source, &piece)
            if got == 0 { break }
            head += piece[..<got]
        }
        compression = try LayerCompression.detected(head[...])
        buffer.replaceSubrange(..<head.count, with: head)
        pending = 0..<head.count
        guard compression != .none else { return }
        let filter = compression == .gzip ? ARCHIVE_FILTER_GZIP : ARCHIVE_FILTER_ZSTD
        let feed = unsafe ArchiveFeed(size: 128 << 10) { [unowned self] (out) throws(LayerError) in unsafe try compressed(into: out) }
        // The filter is named, not guessed: libarchive would undo compression within compression.
        let reader = unsafe try ArchiveReader(feed) { archive in
            let status = unsafe archive_read_append_filter(archive, filter)
            return unsafe status == ARCHIVE_OK ? archive_read_set_format(archive, ARCHIVE_FORMAT_RAW) : status
        }
        decompressor = reader
        var entry: OpaquePointer?
        let status = unsafe try reader.step { unsafe archive_read_next_header($0, &entry) }
        if status == ARCHIVE_EOF { throw .malformed(entry: nil, "nothing is in the compressed data") }
        if status != ARCHIVE_OK { throw .compression(reader.message) }
    }

    private static func read(_ source: ByteSource, _ buffer: inout [UInt8]) throws(LayerError) -> Int {
        do throws(SystemError) { return try source.read(&buffer) } catch { throw .stream(error) }
    }

    private func compressed(into out: UnsafeMutableRawBufferPointer) throws(LayerError) -> Int {
        if pending.isEmpty { pending = 0..<(try TarBytes.read(source, &buffer)) }
        let count = min(pending.count, out.count)
        unsafe out.copyBytes(from: buffer[pending.lowerBound..<(pending.lowerBound + count)])
        pending = (pending.lowerBound + count)..<pending.upperBound
        return count
    }

    /// Fills the start of `out` with bytes of the tar and returns how many; 0 is the end.
    func next(into out: UnsafeMutableRawBufferPointer) throws(LayerError) -> Int {
        if ended { return 0 }
        var got = 0
        if let decompressor {
            let status = unsafe try decompressor.step { archive in
                got = unsafe archive_read_data(archive, out.baseAddress, out.count)
                return got < 0 ? Int32(truncatingIfNeeded: got) : ARCHIVE_OK
            }
            if status != ARCHIVE_OK { throw .compression(decompressor.message) }
        } else {
            got = unsafe try compressed(into: out)
        }
        if got == 0 { ended = true }
        count += Int64(got)
        if count > limit { throw .limit("uncompressed it has more than \(limit) bytes") }
        unsafe digester.update(UnsafeRawBufferPointer(rebasing: out[..<got]).bytes)
        return got
    }

    /// Reads what is left, because all of it counts for the digest, and returns that.
    func finish() throws(LayerError) -> Digest {
        let rest = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
        defer { unsafe rest.deallocate() }
        while unsafe try next(into: rest) > 0 {}
        return digester.finish()
    }
}
