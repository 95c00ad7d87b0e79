internal import CArchive
internal import LinuxSystem
public import OCIImage

/// A layer that was written.
public struct WrittenLayer: Sendable, Equatable {
    /// The digest of the uncompressed tar.
    public var diffID: Digest
    /// The digest of what was written.
    public var digest: Digest
    /// Of what was written, in bytes.
    public var size: Int64
    /// What a tar cannot hold and was left out, and how often.
    public var skipped: [String: Int]
}

/// Numbers of inodes are a file system's own, and a container's tree may have several.
struct FileIdentity: Hashable {
    let device, inode: UInt64
}

/// Writes a layer's tar, hashed before and after its compression. The same tree gives the same bytes.
@safe public final class LayerWriter {
    private let output: LayerOutput
    private let archive: OpaquePointer?
    private var diff = ContentDigester()
    /// Bytes of the tar so far.
    public private(set) var tarSize: Int64 = 0
    /// Where files with several names were written.
    var firstNames: [FileIdentity: [UInt8]] = [:]
    var skipped: [String: Int] = [:]

    /// Begins a tar.
    public init(_ compression: LayerCompression, to sink: @escaping ByteSink) throws(LayerError) {
        output = LayerOutput(sink)
        guard compression != .none else {
            unsafe archive = nil
            return
        }
        guard let archive = unsafe archive_write_new() else { throw .stream(SystemError(.noMemory, "archive_write_new")) }
        unsafe self.archive = archive
        let isGzip = compression == .gzip
        try check(unsafe archive_write_set_format_raw(archive))
        try check(unsafe isGzip ? archive_write_add_filter_gzip(archive) : archive_write_add_filter_zstd(archive))
        // The time of writing would make every layer another one.
        if isGzip { try check(unsafe archive_write_set_filter_option(archive, "gzip", "timestamp", nil)) }
        try check(unsafe archive_write_set_bytes_per_block(archive, 64 << 10))
        try check(unsafe archive_write_set_bytes_in_last_block(archive, 1))
        // SAFETY: the writer owns the output, and libarchive calls back only while the writer lives.
        try check(unsafe archive_write_open(archive, Unmanaged.passUnretained(output).toOpaque(), nil, { _, client, bytes, count in
            guard let client = unsafe client else { return -1 }
            return unsafe Unmanaged<LayerOutput>.fromOpaque(client).takeUnretainedValue().put(UnsafeRawBufferPointer(start: bytes, count: count))
        }, nil))
        guard let entry = unsafe archive_entry_new() else { throw .stream(SystemError(.noMemory, "archive_entry_new")) }
        defer { unsafe archive_entry_free(entry) }
        unsafe archive_entry_set_filetype(entry, 0o100000)
        try check(unsafe archive_write_header(archive, entry))
    }

    deinit { if let archive = unsafe archive { unsafe archive_write_free(archive) } }

    private func check(_ status: Int32) throws(LayerError) {
        if let failure = output.failure { throw .stream(failure) }
        guard status < ARCHIVE_OK, let archive = unsafe archive else { return }
        throw .compression(unsafe archive_error_string(archive).map { unsafe String(cString: $0) } ?? "libarchive does not say why")
    }

    /// Adds bytes of the tar.
    func put(_ bytes: [UInt8]) throws(LayerError) {
        if bytes.isEmpty { return }
        diff.update(bytes)
        tarSize += Int64(bytes.count)
        guard let archive = unsafe archive else {
            _ = unsafe bytes.withUnsafeBytes { unsafe output.put($0) }
            return try check(ARCHIVE_OK)
        }
        // A write that takes less than all is a failed one: the raw format has no blocks of its own.
        let written = unsafe bytes.withUnsafeBytes { unsafe archive_write_data(archive, $0.baseAddress, $0.count) }
        try check(written == bytes.count ? ARCHIVE_OK : ARCHIVE_FATAL)
    }

    /// Ends the tar. Nothing may be added afterwards.
    public func finish() throws(LayerError) -> WrittenLayer {
        try put([UInt8](repeating: 0, count: 1024))
        if let archive = unsafe archive { try check(unsafe archive_write_close(archive)) }
        return WrittenLayer(diffID: diff.finish(), digest: output.digester.finish(), size: output.size, skipped: skipped)
    }
}

private final class LayerOutput {
    private let sink: ByteSink
    var digester = ContentDigester()
    var size: Int64 = 0
    var failure: SystemError?

    init(_ sink: @escaping ByteSink) { self.sink = sink }

    func put(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard failure == nil else { return -1 }
        let copy = unsafe Array(bytes)
        digester.update(copy)
        size += Int64(copy.count)
        do throws(SystemError) { try sink(copy) } catch {
            failure = error
            return -1
        }
        return copy.count
    }
}

extension LayerWriter {
    /// Adds a file, for archives that are no layers.
    /// - Parameters:
    ///   - path: its name in the archive.
    ///   - size: in bytes.
    ///   - source: its content, of exactly so many bytes.
    public func addFile(_ path: String, size: Int64, from source: ByteSource) throws(LayerError) {
        let entry = TarEntry(
            path: Array(path.utf8), kind: .regular(size: size), mode: 0o644, user: 0, group: 0, modification: FileTime(seconds: 0, nanoseconds: 0), attributes: [])
        try put(TarHeader.bytes(of: entry, size: size))
        var rest = size
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        while true {
            let count: Int
            do throws(SystemError) { count = try source.read(&buffer) } catch { throw .stream(error) }
            if count == 0 { break }
            rest -= Int64(count)
            guard rest >= 0 else { break }
            try put(Array(buffer[..<count]))
        }
        guard rest == 0 else { throw .malformed(entry: path, "it has another size than it was said to have") }
        try put(TarHeader.padding(size))
    }
}
