public import LayerArchive
internal import LinuxSystem
public import OCIImage

extension ImageStore {
    /// Takes in one layer: a tar, compressed with gzip, zstd or not at all, which stays as it is.
    /// - Parameters:
    ///   - source: its bytes, which are read to their end.
    ///   - lease: keeps it until an image that has it has a name.
    /// - Returns: the layer, and the digest of the uncompressed tar.
    /// - Throws: when it is compressed otherwise, or damaged. Whether all its entries can be had shows when it is unpacked.
    public func importLayer(from source: ByteSource, lease: Lease) throws(StoreError) -> (layer: Descriptor, diffID: Digest) {
        let copy = SourceCopy(source, try beginBlob(nil, lease: lease, limit: configuration.limits.bytes))
        do throws(StoreError) {
            let (compression, diffID) = try StoreError.ofLayer("archive") { () throws(LayerError) in
                let reader = try TarReader(copy.bytes, limits: configuration.limits)
                while try reader.next() != nil {}
                return (reader.compression, try reader.finish())
            }
            return (Descriptor(mediaType: compression.mediaType, digest: try copy.finish(), size: copy.size), diffID)
        } catch { throw copy.failure ?? error }
    }
}

/// Writes down what is read.
private final class SourceCopy {
    private let source: ByteSource
    private var writer: BlobWriter?
    private(set) var failure: StoreError?
    private(set) var size: Int64 = 0

    init(_ source: ByteSource, _ writer: consuming BlobWriter) {
        self.source = source
        self.writer = consume writer
    }

    var bytes: ByteSource { ByteSource { [self] (buffer) throws(SystemError) in try read(&buffer) } }

    private func read(_ buffer: inout [UInt8]) throws(SystemError) -> Int {
        let count = try source.read(&buffer)
        do throws(StoreError) { try writer?.write(Array(buffer[..<count])) } catch {
            failure = error
            throw SystemError(.ioError, "write")
        }
        size += Int64(count)
        return count
    }

    /// What comes after the archive's end is a part of the blob, too.
    func finish() throws(StoreError) -> Digest {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        do throws(SystemError) { while try read(&buffer) > 0 {} } catch { throw failure ?? .system("read the archive", error) }
        guard let writer = writer.take() else { throw .invalid("the archive was taken in already") }
        return try writer.commit()
    }
}
