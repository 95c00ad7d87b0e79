internal import JSONText
internal import LinuxSystem
internal import OCIImage

/// A directory in the OCI image-layout format (image-spec, image-layout.md): the store's own, or one to import from or export to.
enum ImageLayout {
    static func checkMark(_ path: String) throws(StoreError) {
        let file = path + "/oci-layout"
        let bytes: [UInt8]
        do throws(StoreError) { bytes = try readDocument(file, limit: 4096) } catch {
            if case .system(_, let error) = error, error.errno == .noSuchFile { throw .invalid("\(path) is no OCI image layout: it has no oci-layout") }
            throw error
        }
        try checkMark(bytes, file)
    }

    static func checkMark(_ bytes: [UInt8], _ name: String) throws(StoreError) {
        let version: String
        do {
            version = try JSONCursor(JSONValue(parsing: bytes)).object().required("imageLayoutVersion").string()
        } catch { throw .invalid("\(name) is not an image layout's: \(error)") }
        guard version == "1.0.0" else { throw .invalid("\(name): layouts of version \(quoted(version)) are not known; 1.0.0 is") }
    }

    /// - Parameter limit: in bytes; what is read takes many times as much memory.
    static func index(_ path: String, limit: Int = indexLimit) throws(StoreError) -> OCIImage.Index {
        let file = path + "/index.json"
        let bytes = try readDocument(file, limit: limit)
        return try StoreError.parsed(file) { () throws(DocumentError) in try OCIImage.Index(parsing: bytes, limit: limit) }
    }

    /// Of an index.json, in bytes: room for some hundred thousand names.
    static let indexLimit = 64 << 20

    /// Opens a file of a layout, which strangers may have made: neither a link to somewhere else nor anything on which opening waits or does something.
    static func open(_ path: String) throws(StoreError) -> SharedDescriptor {
        do throws(SystemError) {
            let file = SharedDescriptor(try OwnedDescriptor(opening: path, flags: flags.document))
            let isRegular = try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try file.status().isRegular }
            guard isRegular else { throw SystemError(.invalidArgument, "open", path: "\(path), which is no file") }
            return file
        } catch {
            if error.errno == .symbolicLinkLoop { throw .invalid("\(path) is a symbolic link, which a layout does not have: copy it with cp -rL first") }
            throw .system("read \(path)", error)
        }
    }

    private static func readDocument(_ path: String, limit: Int) throws(StoreError) -> [UInt8] {
        let file = try open(path)
        return try StoreError.wrapped("read \(path)") { () throws(SystemError) in
            try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try file.readAll(limit: limit) }
        }
    }

    static let nameAnnotation = "org.opencontainers.image.ref.name"
}
