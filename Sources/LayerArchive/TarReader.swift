internal import CArchive
internal import Glibc
public import LinuxSystem
public import OCIImage

/// One entry of a tar.
public struct TarEntry: Sendable {
    /// What it makes.
    public enum Kind: Equatable, Sendable {
        /// The size in bytes, holes included.
        case regular(size: Int64)
        case directory
        case symbolicLink(target: [UInt8])
        case hardLink(target: [UInt8])
        case characterDevice(major: UInt32, minor: UInt32)
        case blockDevice(major: UInt32, minor: UInt32)
        case fifo
    }
    /// As the archive has it.
    public var path: [UInt8]
    /// What it makes.
    public var kind: Kind
    /// Permission bits, with set-id and sticky.
    public var mode: UInt32
    /// The owner's number.
    public var user: UInt32
    /// The group's number.
    public var group: UInt32
    /// When its content was last changed.
    public var modification: FileTime
    /// Access control lists are among them, in the kernel's form (`system.posix_acl_access`).
    public var attributes: [(name: AttributeName, value: [UInt8])]
    /// For messages.
    public var name: String { String(decoding: path, as: UTF8.self) }
}

/// Reads a tar, compressed or not: ustar, PAX and GNU's dialects. libarchive does the parsing.
public final class TarReader {
    private let bytes: TarBytes
    private let reader: ArchiveReader
    private let limits: LayerLimits
    /// Entries that were read.
    public private(set) var entryCount = 0
    /// Bytes of files that were read, holes not counted.
    public private(set) var contentSize: Int64 = 0

    /// Begins to read.
    /// - Parameters:
    ///   - source: the archive's bytes.
    ///   - limits: how much of it is accepted.
    ///   - digest: the algorithm of the digest that `finish` returns.
    public init(_ source: ByteSource, limits: LayerLimits = LayerLimits(), digest: Digest.Algorithm = .sha256) throws(LayerError) {
        self.limits = limits
        let bytes = try TarBytes(source, limit: limits.bytes, digest: digest)
        self.bytes = bytes
        let feed = unsafe ArchiveFeed(size: 128 << 10) { (out) throws(LayerError) in unsafe try bytes.next(into: out) }
        reader = unsafe try ArchiveReader(feed) { archive in
            let status = unsafe archive_read_append_filter(archive, ARCHIVE_FILTER_NONE)
            return unsafe status == ARCHIVE_OK ? archive_read_set_format(archive, ARCHIVE_FORMAT_TAR) : status
        }
    }

    /// How the archive is compressed, told by its first bytes.
    public var compression: LayerCompression { bytes.compression }
    /// Bytes of the tar that were read so far.
    public var tarSize: Int64 { bytes.count }

    /// The next entry, or nil at the end. What of the previous one's content was not read is skipped.
    public func next() throws(LayerError) -> TarEntry? {
        try skipContent()
        var raw: OpaquePointer?
        // In another locale than C libarchive would convert names, and change them: composed and decomposed letters would become one.
        let locale = CLocale()
        let status = unsafe try reader.step { unsafe archive_read_next_header($0, &raw) }
        locale.leave()
        if status == ARCHIVE_EOF { return nil }
        guard let raw = unsafe raw, status == ARCHIVE_OK || status == ARCHIVE_WARN else { throw .malformed(entry: nil, reader.message) }
        entryCount += 1
        if entryCount > limits.entries { throw .limit("it has more than \(limits.entries) entries") }
        let entry = unsafe try ArchiveEntry(raw, limits: limits).entry()
        if status == ARCHIVE_WARN { try checkWarning(entry) }
        hasContent = true
        return entry
    }

    private var hasContent = false

    /// That a name has letters that the C locale does not know is no trouble, as long as they are there all the same.
    private func checkWarning(_ entry: TarEntry) throws(LayerError) {
        let message = reader.message
        guard message.hasSuffix("can't be converted from UTF-8 to current locale.") else { throw .malformed(entry: entry.name, message) }
        var name: [UInt8]
        if message.hasPrefix("Pathname") {
            name = entry.path
        } else if message.hasPrefix("Linkname") {
            switch entry.kind {
            case .symbolicLink(let target), .hardLink(let target): name = target
            default: name = []
            }
        } else {
            return
        }
        if name.allSatisfy({ $0 < 0x80 }) { throw .malformed(entry: entry.name, message) }
    }

    /// Hands on the content of the entry that was read last: pieces with their offsets, holes left out.
    public func readContent(_ body: (RawSpan, Int64) throws(LayerError) -> Void) throws(LayerError) {
        guard hasContent else { return }
        hasContent = false
        while true {
            var start: UnsafeRawPointer?
            var size = 0
            var offset: Int64 = 0
            let status = unsafe try reader.step { unsafe archive_read_data_block($0, &start, &size, &offset) }
            if status == ARCHIVE_EOF { return }
            if status != ARCHIVE_OK { throw .malformed(entry: nil, reader.message) }
            guard size > 0, offset >= 0 else { continue }
            contentSize += Int64(size)
            // SAFETY: libarchive's buffer is valid until its next call, which is after `body`.
            unsafe try body(UnsafeRawBufferPointer(start: start, count: size).bytes, offset)
        }
    }

    private func skipContent() throws(LayerError) { try readContent { _, _ in } }

    /// Reads all that is left, and returns the digest of the whole tar.
    public func finish() throws(LayerError) -> Digest { try bytes.finish() }
}

/// The C locale on this thread.
@safe private struct CLocale {
    private static let shared: Locale = unsafe Locale(pointer: newlocale(LC_CTYPE_BIT, "C", nil))
    private static let LC_CTYPE_BIT: Int32 = 1
    @safe private struct Locale: @unchecked Sendable { let pointer: locale_t? }
    private let previous: locale_t?

    init() { unsafe previous = unsafe uselocale(CLocale.shared.pointer) }
    func leave() { _ = unsafe uselocale(previous) }
}
