internal import JSONText
internal import LinuxSystem
internal import OCIImage

/// A directory in the OCI image-layout format (image-spec, image-layout.md): the store's own, or one to import from or export to.
enum ImageLayout {
    static func checkMark(_ path: String) throws(StoreError) {
        let file = path + "/oci-layout"
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try readFile(file, limit: 4096) } catch {
            if error.errno == .noSuchFile { throw .invalid("\(path) is no OCI image layout: it has no oci-layout") }
            throw .system("read \(file)", error)
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

    static func index(_ path: String) throws(StoreError) -> OCIImage.Index {
        let file = path + "/index.json"
        let bytes = try StoreError.wrapped("read \(file)") { () throws(SystemError) in try readFile(file, limit: 64 << 20) }
        return try StoreError.parsed(file) { () throws(DocumentError) in try OCIImage.Index(parsing: bytes, limit: 64 << 20) }
    }

    static let nameAnnotation = "org.opencontainers.image.ref.name"
}
