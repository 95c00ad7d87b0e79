internal import JSONText
internal import LayerArchive
internal import LinuxSystem
internal import OCIImage

extension ImageStore {
    /// Takes in images from outside, with everything verified.
    /// - Parameters:
    ///   - location: where the images are, and which; without a name all of them.
    ///   - lease: keeps them until they have names in the store, which the caller gives them.
    /// - Returns: the images, with the names that they have there: the one that the location names, or all of them.
    /// - Throws: when it is no such place, or content is not what its digest says; what is complete stays until it is collected.
    public func importImages(from location: ImageLocation, lease: Lease) throws(StoreError) -> [NamedImage] {
        switch location.transport {
        case .oci:
            try ImageLayout.checkMark(location.path)
            let chosen = try choose(try ImageLayout.index(location.path, limit: ImportedArchive.documentLimit).manifests, location)
            for image in chosen { try copyIn(image.descriptor, from: location.path, lease: lease) }
            return chosen
        case .ociArchive:
            let archive = try readArchive(location, lease: lease)
            guard let mark = archive.documents["oci-layout"], let bytes = archive.documents["index.json"] else {
                throw .invalid("\(location) is no archive of an OCI image layout: it has no \(archive.documents["oci-layout"] == nil ? "oci-layout" : "index.json")")
            }
            try ImageLayout.checkMark(mark, "\(location.path): oci-layout")
            let index = try StoreError.parsed("\(location.path): index.json") { () throws(DocumentError) in try OCIImage.Index(parsing: bytes, limit: ImportedArchive.documentLimit) }
            let chosen = try choose(index.manifests, location)
            for image in chosen { try checkComplete(image.descriptor, lease: lease) }
            return chosen
        case .dockerArchive:
            return try DockerArchive(try readArchive(location, lease: lease), location).images(in: self, lease: lease)
        }
    }

    private func choose(_ manifests: [Descriptor], _ location: ImageLocation) throws(StoreError) -> [NamedImage] {
        let all = manifests.map { descriptor in
            var plain = descriptor
            let name = plain.annotations.removeValue(forKey: ImageLayout.nameAnnotation)
            return NamedImage(name: name, descriptor: plain)
        }
        guard let name = location.name else { return all }
        let chosen = all.filter { $0.name == name }
        guard !chosen.isEmpty else {
            let names = all.compactMap(\.name).map(quoted).joined(separator: ", ")
            throw .notFound("image \(quoted(name)) in", "\(location.transport.rawValue):\(location.path)\(names.isEmpty ? "" : ", which has \(names)")")
        }
        return chosen
    }

    /// Copies an image from a layout, what an index names and is not there left out.
    private func copyIn(_ descriptor: Descriptor, from layout: String, lease: Lease) throws(StoreError) {
        func copy(_ part: Descriptor, optional: Bool) throws(StoreError) -> Bool {
            let isThere = try hold(part, lease: lease)
            if isThere { return true }
            let path = "\(layout)/blobs/\(part.digest.algorithm.rawValue)/\(part.digest.hex)"
            let file: SharedDescriptor
            do throws(StoreError) { file = try ImageLayout.open(path) } catch {
                if case .system(_, let error) = error, error.errno == .noSuchFile, optional || part.mediaType.isNondistributable { return false }
                throw error
            }
            try take(ByteSource(file), as: part, lease: lease)
            return true
        }
        try walk(descriptor) { (part, optional) throws(StoreError) in try copy(part, optional: optional) }
        try checkComplete(descriptor, lease: lease)
    }

    func take(_ source: ByteSource, as descriptor: Descriptor, lease: Lease) throws(StoreError) {
        var writer = try beginBlob(descriptor, lease: lease)
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        while true {
            let count: Int
            do throws(SystemError) { count = try source.read(&buffer) } catch { throw .system("read \(descriptor.digest)", error) }
            if count == 0 { break }
            try writer.write(Array(buffer[..<count]))
        }
        _ = try writer.commit(length: descriptor.size)
    }

    /// Reads an archive once from start to end: what may be an image's content goes into the store, wherever the documents that name it stand.
    private func readArchive(_ location: ImageLocation, lease: Lease) throws(StoreError) -> ImportedArchive {
        let file = try StoreError.wrapped("open \(location.path)") { () throws(SystemError) in
            SharedDescriptor(try OwnedDescriptor(opening: location.path, flags: flags.stream))
        }
        let limits = configuration.limits
        let reader = try StoreError.ofLayer("archive \(location.path)") { () throws(LayerError) in try TarReader(ByteSource(file), limits: limits) }
        var archive = ImportedArchive()
        while let entry = try StoreError.ofLayer("archive \(location.path)", { () throws(LayerError) in try reader.next() }) {
            let name = ImportedArchive.normal(entry.name)
            try archive.count(entry, limits)
            switch entry.kind {
            case .regular(let size): try archive.add(name, try takeEntry(reader, name, size, location, lease: lease))
            case .symbolicLink(let target): archive.links[name] = ImportedArchive.resolve(String(decoding: target, as: UTF8.self), from: name)
            case .hardLink(let target): archive.links[name] = ImportedArchive.normal(String(decoding: target, as: UTF8.self))
            case .directory: break
            case .characterDevice, .blockDevice, .fifo: throw .invalid("\(location.path): \(quoted(name)) is neither a file nor a directory")
            }
        }
        return archive
    }

    private func takeEntry(_ reader: TarReader, _ name: String, _ size: Int64, _ location: ImageLocation, lease: Lease) throws(StoreError) -> ImportedArchive.File {
        let collector = EntryCollector(try beginBlob(ImportedArchive.descriptor(of: name, size), lease: lease), keepsBytes: size <= ImportedArchive.documentLimit && ImportedArchive.isDocument(name))
        do throws(LayerError) {
            try reader.readContent { (bytes, offset) throws(LayerError) in try collector.add(bytes, at: offset) }
        } catch { throw collector.failure ?? .layer("archive \(location.path)", error) }
        return ImportedArchive.File(digest: try collector.finish(size), size: size, bytes: collector.bytes)
    }
}

/// What was found in an archive.
struct ImportedArchive {
    struct File {
        var digest: Digest
        var size: Int64
        /// Of documents.
        var bytes: [UInt8]?
    }
    static let documentLimit = 16 << 20
    var files: [String: File] = [:]
    /// To names in the archive.
    var links: [String: String] = [:]
    var documents: [String: [UInt8]] = [:]
    private var size: Int64 = 0
    private var nameBytes = 0

    /// Names stay in memory, and holes take room in the store: neither may be without end.
    mutating func count(_ entry: TarEntry, _ limits: LayerLimits) throws(StoreError) {
        nameBytes += entry.path.count + 64
        switch entry.kind {
        case .regular(let bytes): size += bytes
        case .symbolicLink(let target), .hardLink(let target): nameBytes += target.count
        default: break
        }
        if nameBytes > 16 << 20 { throw .invalid("the archive has too many files: no archive of images has so many") }
        if size > limits.bytes { throw .invalid("the archive's files have more than \(limits.bytes) bytes, holes included, up to \(quoted(entry.name))") }
    }

    mutating func add(_ name: String, _ file: File) throws(StoreError) {
        guard files.updateValue(file, forKey: name) == nil else { throw .invalid("the archive has \(quoted(name)) more than once") }
        if let bytes = file.bytes { documents[name] = bytes }
    }

    func file(_ name: String) -> File? {
        var name = ImportedArchive.normal(name)
        // More than a few links after each other lead in a circle.
        for _ in 0..<8 {
            if let file = files[name] { return file }
            guard let next = links[name] else { return nil }
            name = next
        }
        return nil
    }

    static func isDocument(_ name: String) -> Bool { ["index.json", "oci-layout", "manifest.json"].contains(name) }

    static func normal(_ name: String) -> String { name.split(separator: "/").filter { $0 != "." }.joined(separator: "/") }

    /// A name only: nothing in the file system is meant.
    static func resolve(_ target: String, from name: String) -> String {
        var parts = name.split(separator: "/").dropLast()
        for part in target.split(separator: "/") where part != "." {
            if part == ".." { parts = parts.dropLast() } else { parts.append(part) }
        }
        return parts.joined(separator: "/")
    }

    /// A blob's name says what it must be.
    static func descriptor(of name: String, _ size: Int64) -> Descriptor? {
        let parts = name.split(separator: "/")
        guard parts.count == 3, parts[0] == "blobs", let digest = try? Digest("\(parts[1]):\(parts[2])") else { return nil }
        return Descriptor(mediaType: .empty, digest: digest, size: size)
    }
}

/// An archive's file on its way into the store.
private final class EntryCollector {
    private var writer: BlobWriter?
    private(set) var bytes: [UInt8]?
    private(set) var failure: StoreError?
    private var end: Int64 = 0

    init(_ writer: consuming BlobWriter, keepsBytes: Bool) {
        self.writer = consume writer
        bytes = keepsBytes ? [] : nil
    }

    func add(_ span: RawSpan, at offset: Int64) throws(LayerError) {
        do throws(StoreError) {
            try fill(to: offset)
            try append([UInt8](copying: span))
        } catch {
            failure = error
            throw .stream(SystemError(.ioError, "write"))
        }
    }

    /// Holes are zeros.
    private func fill(to offset: Int64) throws(StoreError) {
        while end < offset { try append([UInt8](repeating: 0, count: Int(min(offset - end, 1 << 20)))) }
    }

    private func append(_ piece: [UInt8]) throws(StoreError) {
        try writer?.write(piece)
        if bytes != nil { bytes? += piece }
        end += Int64(piece.count)
    }

    func finish(_ size: Int64) throws(StoreError) -> Digest {
        try fill(to: size)
        guard let writer = self.writer.take() else { throw .invalid("the file was taken in already") }
        return try writer.commit(length: size)
    }
}
