public import JSONText

/// What content is, how large it is and which digest it has (image-spec, descriptor.md).
public struct Descriptor: ImageDocument {
    public var mediaType: MediaType
    public var digest: Digest
    /// In bytes.
    public var size: Int64
    /// Other places where the content is.
    public var urls: [String]
    public var annotations: [String: String]
    /// The content itself, when it is embedded. Its length is `size`; whether its digest is `digest`, whoever uses it must check.
    public var data: [UInt8]?
    /// In an index: what the image runs on.
    public var platform: Platform?
    /// When this is an artifact's manifest: of which type.
    public var artifactType: MediaType?

    public init(
        mediaType: MediaType, digest: Digest, size: Int64, urls: [String] = [], annotations: [String: String] = [:], data: [UInt8]? = nil, platform: Platform? = nil,
        artifactType: MediaType? = nil
    ) {
        (self.mediaType, self.digest, self.size, self.urls) = (mediaType, digest, size, urls)
        (self.annotations, self.data, self.platform, self.artifactType) = (annotations, data, platform, artifactType)
    }

    public init(_ cursor: JSONCursor) throws(JSONShapeError) {
        let members = try cursor.object()
        guard let type = try members.mediaType("mediaType") else { throw JSONShapeError(path: memberPath(cursor.path, "mediaType"), problem: "is missing") }
        mediaType = type
        digest = try members.required("digest").digest()
        size = try members.required("size").integer()
        guard size >= 0 else { throw JSONShapeError(path: memberPath(cursor.path, "size"), problem: "\(size) is negative") }
        urls = try members.strings("urls")
        annotations = try members.stringMap("annotations")
        platform = try members.object("platform") { (cursor) throws(JSONShapeError) in try Platform(cursor) }
        artifactType = try members.mediaType("artifactType")
        guard let text = members["data"] else { return }
        guard let bytes = Base64.decode(try text.string()) else { throw JSONShapeError(path: text.path, problem: "is not base64") }
        guard Int64(bytes.count) == size else { throw JSONShapeError(path: text.path, problem: "has \(bytes.count) bytes, and not \(size) as the size says") }
        data = bytes
    }

    public var json: JSONValue {
        var writer = ObjectWriter()
        writer.add("mediaType", mediaType)
        writer.add("digest", digest.description)
        writer.add("size", size)
        writer.add("urls", list: urls)
        writer.add("annotations", map: annotations)
        writer.add("data", data.map { Base64.encode($0) })
        writer.add("platform", platform?.json)
        writer.add("artifactType", artifactType)
        return writer.value
    }
}

extension Platform: ImageDocument {
    public init(_ cursor: JSONCursor) throws(JSONShapeError) {
        let members = try cursor.object()
        architecture = try members.required("architecture").string()
        os = try members.required("os").string()
        osVersion = try members.string("os.version")
        osFeatures = try members.strings("os.features")
        variant = try members.string("variant")
    }

    public var json: JSONValue {
        var writer = ObjectWriter()
        writer.add("architecture", architecture)
        writer.add("os", os)
        writer.add("os.version", osVersion)
        writer.add("os.features", list: osFeatures)
        writer.add("variant", variant)
        return writer.value
    }
}
