public import JSONText

/// One image, or an artifact: its configuration and its layers (image-spec, manifest.md; Docker's image manifest version 2, schema 2).
public struct Manifest: ImageDocument {
    /// Docker's must have it; OCI's should.
    public var mediaType: MediaType?
    public var artifactType: MediaType?
    public var config: Descriptor
    /// The base layer first.
    public var layers: [Descriptor]
    /// The manifest that this one is about: its signature, say.
    public var subject: Descriptor?
    public var annotations: [String: String]

    public init(
        mediaType: MediaType? = .imageManifest, artifactType: MediaType? = nil, config: Descriptor, layers: [Descriptor], subject: Descriptor? = nil,
        annotations: [String: String] = [:]
    ) {
        (self.mediaType, self.artifactType, self.config) = (mediaType, artifactType, config)
        (self.layers, self.subject, self.annotations) = (layers, subject, annotations)
    }

    public init(_ cursor: JSONCursor) throws(JSONShapeError) {
        let members = try cursor.object()
        try members.checkSchema(isOf: "a manifest", without: "manifests")
        mediaType = try members.mediaType("mediaType")
        artifactType = try members.mediaType("artifactType")
        let config = try members.required("config")
        self.config = try Descriptor(config)
        layers = try members.required("layers").array { (cursor) throws(JSONShapeError) in try Descriptor(cursor) }
        subject = try members.object("subject") { (cursor) throws(JSONShapeError) in try Descriptor(cursor) }
        annotations = try members.stringMap("annotations")
    }

    public var json: JSONValue {
        var writer = ObjectWriter()
        writer.add("schemaVersion", 2)
        writer.add("mediaType", mediaType)
        writer.add("artifactType", artifactType)
        writer.add("config", config.json)
        writer.add("layers", .array(layers.map(\.json)))
        writer.add("subject", subject?.json)
        writer.add("annotations", map: annotations)
        return writer.value
    }
}

/// Several images of which each is for another platform (image-spec, image-index.md; Docker's manifest list).
public struct Index: ImageDocument {
    public var mediaType: MediaType?
    public var artifactType: MediaType?
    public var manifests: [Descriptor]
    public var subject: Descriptor?
    public var annotations: [String: String]

    public init(
        mediaType: MediaType? = .imageIndex, artifactType: MediaType? = nil, manifests: [Descriptor], subject: Descriptor? = nil, annotations: [String: String] = [:]
    ) {
        (self.mediaType, self.artifactType, self.manifests) = (mediaType, artifactType, manifests)
        (self.subject, self.annotations) = (subject, annotations)
    }

    public init(_ cursor: JSONCursor) throws(JSONShapeError) {
        let members = try cursor.object()
        try members.checkSchema(isOf: "an index", without: "layers")
        mediaType = try members.mediaType("mediaType")
        artifactType = try members.mediaType("artifactType")
        manifests = try members.required("manifests").array { (cursor) throws(JSONShapeError) in try Descriptor(cursor) }
        subject = try members.object("subject") { (cursor) throws(JSONShapeError) in try Descriptor(cursor) }
        annotations = try members.stringMap("annotations")
    }

    public var json: JSONValue {
        var writer = ObjectWriter()
        writer.add("schemaVersion", 2)
        writer.add("mediaType", mediaType)
        writer.add("artifactType", artifactType)
        writer.add("manifests", .array(manifests.map(\.json)))
        writer.add("subject", subject?.json)
        writer.add("annotations", map: annotations)
        return writer.value
    }

    /// The manifests that a platform can run, the best first; those that do not say what they run on come last.
    public func descriptors(for platform: Platform) -> [Descriptor] {
        var ranked: [(rank: Int, features: Int, descriptor: Descriptor)] = []
        for descriptor in manifests where descriptor.mediaType.isManifest || descriptor.mediaType.isIndex {
            if let own = descriptor.platform {
                if let rank = platform.rank(of: own) { ranked.append((rank, own.osFeatures.count, descriptor)) }
            } else {
                ranked.append((.max, 0, descriptor))
            }
        }
        // Among equals the first in the index is meant (image-index.md, "manifests").
        return ranked.enumerated().sorted { left, right in
            (left.element.rank, -left.element.features, left.offset) < (right.element.rank, -right.element.features, right.offset)
        }.map(\.element.descriptor)
    }
}

extension JSONMembers {
    /// A document that could be read as another kind than its media type says must not be taken for either (CVE-2021-41190).
    fileprivate func checkSchema(isOf kind: String, without other: String) throws(JSONShapeError) {
        let version: Int64 = try required("schemaVersion").integer()
        guard version == 2 else {
            let remedy = version == 1 ? ": Docker's schema 1 is obsolete; push the image again with a current tool" : ""
            throw JSONShapeError(path: memberPath(path, "schemaVersion"), problem: "is \(version) and not 2\(remedy)")
        }
        if let cursor = self[other] { throw JSONShapeError(path: cursor.path, problem: "must not be in \(kind)") }
    }
}
