import JSONText

/// A manifest or an index with the exact bytes that it was read from, because those have the digest.
public struct ManifestDocument: Sendable, Hashable {
    /// What it is.
    public enum Content: Sendable, Hashable {
        case manifest(Manifest)
        case index(Index)
    }

    /// Exactly what was read.
    public let bytes: [UInt8]
    public let mediaType: MediaType
    public let content: Content

    /// Reads a manifest or an index.
    /// - Parameters:
    ///   - bytes: the document.
    ///   - mediaType: what its descriptor or the registry's Content-Type says it is; nil: what it says itself.
    ///   - limit: the largest size in bytes.
    /// - Throws: when it is too large, no JSON, neither of the two, or not what `mediaType` says.
    public init(_ bytes: [UInt8], mediaType: MediaType?, limit: Int = DocumentLimits.manifest) throws(DocumentError) {
        self.bytes = bytes
        (self.mediaType, content) = try Manifest.parse(bytes, limit: limit) { (cursor) throws(JSONShapeError) in try Self.read(cursor, as: mediaType) }
    }

    private static func read(_ cursor: JSONCursor, as expected: MediaType?) throws(JSONShapeError) -> (MediaType, Content) {
        let members = try cursor.object()
        let own = try members.mediaType("mediaType")
        if let own, let expected, own != expected {
            throw JSONShapeError(path: "mediaType", problem: "is \(quoted(own.rawValue)), but the document came as \(quoted(expected.rawValue))")
        }
        // Without either, only the fields tell. OCI's are the ones that may leave it out.
        let type = expected ?? own ?? (members["manifests"] == nil ? .imageManifest : .imageIndex)
        if type.isIndex { return (type, .index(try Index(cursor))) }
        if type.isManifest { return (type, .manifest(try Manifest(cursor))) }
        throw JSONShapeError(path: "mediaType", problem: "\(quoted(type.rawValue)) is neither an image's manifest nor an index")
    }

    /// The descriptor of the document, with the digest that its bytes have.
    public func descriptor(digest: Digest) -> Descriptor { Descriptor(mediaType: mediaType, digest: digest, size: Int64(bytes.count)) }
}
