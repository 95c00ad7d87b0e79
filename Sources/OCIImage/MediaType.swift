/// What content is (image-spec, media-types.md; Docker's image manifest version 2, schema 2). Any other text is a media type too: an artifact's.
public struct MediaType: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public init(_ text: String) { rawValue = text }
    public var description: String { rawValue }

    public static let imageManifest = MediaType("application/vnd.oci.image.manifest.v1+json")
    public static let imageIndex = MediaType("application/vnd.oci.image.index.v1+json")
    public static let imageConfiguration = MediaType("application/vnd.oci.image.config.v1+json")
    public static let imageLayer = MediaType("application/vnd.oci.image.layer.v1.tar")
    public static let imageLayerGzip = MediaType("application/vnd.oci.image.layer.v1.tar+gzip")
    public static let imageLayerZstd = MediaType("application/vnd.oci.image.layer.v1.tar+zstd")
    public static let nondistributableLayer = MediaType("application/vnd.oci.image.layer.nondistributable.v1.tar")
    public static let nondistributableLayerGzip = MediaType("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
    public static let nondistributableLayerZstd = MediaType("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd")
    /// The content `{}` where a descriptor must stand and says nothing.
    public static let empty = MediaType("application/vnd.oci.empty.v1+json")

    public static let dockerManifest = MediaType("application/vnd.docker.distribution.manifest.v2+json")
    public static let dockerManifestList = MediaType("application/vnd.docker.distribution.manifest.list.v2+json")
    public static let dockerConfiguration = MediaType("application/vnd.docker.container.image.v1+json")
    public static let dockerLayer = MediaType("application/vnd.docker.image.rootfs.diff.tar")
    public static let dockerLayerGzip = MediaType("application/vnd.docker.image.rootfs.diff.tar.gzip")
    public static let dockerLayerZstd = MediaType("application/vnd.docker.image.rootfs.diff.tar.zstd")
    public static let dockerForeignLayer = MediaType("application/vnd.docker.image.rootfs.foreign.diff.tar")
    public static let dockerForeignLayerGzip = MediaType("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")

    /// What a registry is asked for when a manifest is fetched.
    public static let manifests: [MediaType] = [.imageIndex, .imageManifest, .dockerManifestList, .dockerManifest]

    /// One image's or artifact's manifest, of OCI or Docker.
    public var isManifest: Bool { self == .imageManifest || self == .dockerManifest }
    /// An OCI index or Docker's manifest list.
    public var isIndex: Bool { self == .imageIndex || self == .dockerManifestList }
    public var isConfiguration: Bool { self == .imageConfiguration || self == .dockerConfiguration }
    public var isLayer: Bool { layerCompression != nil }
    /// A layer that registries need not hold; its descriptor may name other places (`urls`).
    public var isNondistributable: Bool {
        [.nondistributableLayer, .nondistributableLayerGzip, .nondistributableLayerZstd, .dockerForeignLayer, .dockerForeignLayerGzip].contains(self)
    }

    /// How a layer's archive is compressed.
    public enum Compression: String, Sendable, Hashable, CaseIterable { case none, gzip, zstd }

    /// How the layer is compressed; nil when this is no layer.
    public var layerCompression: Compression? {
        switch self {
        case .imageLayer, .nondistributableLayer, .dockerLayer, .dockerForeignLayer: Compression.none
        case .imageLayerGzip, .nondistributableLayerGzip, .dockerLayerGzip, .dockerForeignLayerGzip: .gzip
        case .imageLayerZstd, .nondistributableLayerZstd, .dockerLayerZstd: .zstd
        default: nil
        }
    }

    /// Whether a descriptor may have it: printable, with a slash, not too long (RFC 6838, 4.2; parameters may follow).
    var isWellFormed: Bool {
        let bytes = Array(rawValue.utf8)
        guard let slash = bytes.firstIndex(of: UInt8(ascii: "/")) else { return false }
        return slash > 0 && slash < bytes.count - 1 && bytes.count <= 255 && bytes.allSatisfy { (0x20...0x7E).contains($0) }
    }
}
