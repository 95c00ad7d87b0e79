internal import CArchive
internal import LinuxSystem

/// Feeds a libarchive reader; what fails here is kept, because libarchive would only know that something did.
@safe final class ArchiveFeed {
    private let buffer: UnsafeMutableRawBufferPointer
    private let fill: (UnsafeMutableRawBufferPointer) throws(LayerError) -> Int
    private(set) var failure: LayerError?
    /// How many bytes the next call of libarchive may take; without an end it would read a header of any length into memory.
    var budget = 0

    /// - Parameter fill: fills the buffer's start and returns how many bytes; 0 is the end.
    init(size: Int, _ fill: @escaping (UnsafeMutableRawBufferPointer) throws(LayerError) -> Int) {
        unsafe buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
        unsafe self.fill = fill
    }

    deinit { unsafe buffer.deallocate() }

    fileprivate func next(_ out: UnsafeMutablePointer<UnsafeRawPointer?>?) -> Int {
        guard failure == nil else { return -1 }
        do throws(LayerError) {
            let count = unsafe try fill(buffer)
            budget -= count
            if budget < 0 { throw .limit("what describes one entry takes more than \(ArchiveReader.largestStep >> 20) MiB") }
            unsafe out?.pointee = unsafe UnsafeRawPointer(buffer.baseAddress)
            return count
        } catch {
            failure = error
            return -1
        }
    }
}

/// One libarchive reader.
@safe final class ArchiveReader {
    /// How much one call may read, in bytes.
    static let largestStep = 16 << 20
    let archive: OpaquePointer
    private let feed: ArchiveFeed

    /// - Parameter configure: says what the bytes are; returns libarchive's status.
    init(_ feed: ArchiveFeed, configure: (OpaquePointer) -> Int32) throws(LayerError) {
        guard let archive = unsafe archive_read_new() else { throw .stream(SystemError(.noMemory, "archive_read_new")) }
        unsafe self.archive = archive
        self.feed = feed
        feed.budget = ArchiveReader.largestStep
        guard unsafe configure(archive) == ARCHIVE_OK else { throw .compression(message) }
        // SAFETY: the reader owns the feed, and libarchive calls back only while the reader lives.
        let status = unsafe archive_read_open(archive, Unmanaged.passUnretained(feed).toOpaque(), nil, { _, client, out in
            guard let client = unsafe client else { return -1 }
            return unsafe Unmanaged<ArchiveFeed>.fromOpaque(client).takeUnretainedValue().next(out)
        }, nil)
        try check(status)
    }

    deinit { unsafe archive_read_free(archive) }

    var message: String { unsafe archive_error_string(archive).map { unsafe String(cString: $0) } ?? "libarchive does not say why" }

    /// One step of libarchive.
    func step(_ body: (OpaquePointer) -> Int32) throws(LayerError) -> Int32 {
        feed.budget = ArchiveReader.largestStep
        let status = unsafe body(archive)
        if let failure = feed.failure { throw failure }
        return status
    }

    /// - Throws: for anything but success and the end.
    func check(_ status: Int32, entry: String? = nil) throws(LayerError) {
        if let failure = feed.failure { throw failure }
        if status != ARCHIVE_OK && status != ARCHIVE_EOF { throw .malformed(entry: entry, message) }
    }
}
