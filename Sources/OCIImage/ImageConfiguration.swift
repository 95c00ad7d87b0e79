public import JSONText

/// How an image is run and which layers it is made of (image-spec, config.md).
public struct ImageConfiguration: ImageDocument {
    /// RFC 3339, section 5.6.
    public var created: String?
    public var author: String?
    public var platform: Platform
    public var config: ExecutionParameters
    /// The digests of the layers' uncompressed archives, the base layer first (`rootfs.diff_ids`).
    public var diffIDs: [Digest]
    public var history: [HistoryEntry]

    public init(
        created: String? = nil, author: String? = nil, platform: Platform, config: ExecutionParameters = ExecutionParameters(), diffIDs: [Digest], history: [HistoryEntry] = []
    ) {
        (self.created, self.author, self.platform) = (created, author, platform)
        (self.config, self.diffIDs, self.history) = (config, diffIDs, history)
    }

    public init(_ cursor: JSONCursor) throws(JSONShapeError) {
        let members = try cursor.object()
        created = try members.string("created")
        author = try members.string("author")
        platform = try Platform(cursor)
        config = try members.object("config") { (cursor) throws(JSONShapeError) in try ExecutionParameters(cursor) } ?? ExecutionParameters()
        let rootfs = try members.required("rootfs").object()
        let type = try rootfs.required("type")
        guard try type.string() == "layers" else { throw JSONShapeError(path: type.path, problem: "\(quoted(try type.string())) is not \"layers\"") }
        // Docker leaves it out of an image without layers.
        diffIDs = try rootfs.list("diff_ids") { (cursor) throws(JSONShapeError) in try cursor.digest() }
        history = try members.list("history") { (cursor) throws(JSONShapeError) in try HistoryEntry(cursor) }
    }

    public var json: JSONValue {
        var writer = ObjectWriter()
        writer.add("created", created)
        writer.add("author", author)
        writer.add("architecture", platform.architecture)
        writer.add("os", platform.os)
        writer.add("os.version", platform.osVersion)
        writer.add("os.features", list: platform.osFeatures)
        writer.add("variant", platform.variant)
        if config != ExecutionParameters() { writer.add("config", config.json) }
        var rootfs = ObjectWriter()
        rootfs.add("type", "layers")
        rootfs.add("diff_ids", .array(diffIDs.map { .string($0.description) }))
        writer.add("rootfs", rootfs.value)
        writer.add("history", list: history)
        return writer.value
    }

    /// The chain IDs of the layers, each of which names a layer together with all beneath it (config.md, "Layer ChainID").
    /// - Parameters:
    ///   - diffIDs: the base layer's first.
    ///   - hash: the SHA-256 digest of some bytes.
    public static func chainIDs(of diffIDs: [Digest], hash: ([UInt8]) -> Digest) -> [Digest] {
        var chain: [Digest] = []
        for diffID in diffIDs { chain.append(chain.last.map { hash(Array("\($0) \(diffID)".utf8)) } ?? diffID) }
        return chain
    }
}

/// What was done to make a layer (config.md, "history").
public struct HistoryEntry: ImageDocument {
    public var created: String?
    public var author: String?
    public var createdBy: String?
    public var comment: String?
    /// Nothing was changed, so no layer was made.
    public var emptyLayer: Bool

    public init(created: String? = nil, author: String? = nil, createdBy: String? = nil, comment: String? = nil, emptyLayer: Bool = false) {
        (self.created, self.author, self.createdBy, self.comment, self.emptyLayer) = (created, author, createdBy, comment, emptyLayer)
    }

    public init(_ cursor: JSONCursor) throws(JSONShapeError) {
        let members = try cursor.object()
        created = try members.string("created")
        author = try members.string("author")
        createdBy = try members.string("created_by")
        comment = try members.string("comment")
        emptyLayer = try members.flag("empty_layer")
    }

    public var json: JSONValue {
        var writer = ObjectWriter()
        writer.add("created", created)
        writer.add("created_by", createdBy)
        writer.add("author", author)
        writer.add("comment", comment)
        writer.add("empty_layer", flag: emptyLayer)
        return writer.value
    }
}
