public import LinuxSystem
public import OCIImage
internal import JSONText

/// Why a layer could not be read, applied or made.
public enum LayerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The bytes could not be read from where they come from, or written to where they go.
    case stream(SystemError)
    /// They are compressed in a way that layers are not, or damaged.
    case compression(String)
    /// They are no tar, or one that says something impossible; of an entry, its name.
    case malformed(entry: String?, String)
    /// An entry that would reach outside the layer, or would be something else than it says.
    case refused(entry: String, String)
    /// There is more of something than the caller's limits allow.
    case limit(String)
    /// The file system refuses, or this process may not.
    case system(entry: String?, SystemError)

    public var description: String {
        switch self {
        case .stream(let error): "cannot read or write the layer's bytes: \(error)"
        case .compression(let problem): "the layer cannot be decompressed: \(problem)"
        case .malformed(let entry, let problem): "\(LayerError.place(entry)): \(problem)"
        case .refused(let entry, let problem): "\(LayerError.place(entry)) is refused: \(problem)"
        case .limit(let problem): "the layer is too large: \(problem)"
        case .system(let entry, let error): "\(LayerError.place(entry)): \(error)"
        }
    }

    private static func place(_ entry: String?) -> String { entry.map { "the layer's entry \(quoted($0))" } ?? "the layer" }
}

/// How much of a layer is accepted. A layer comes from strangers: each of these ends one that is made to exhaust the machine.
public struct LayerLimits: Sendable, Equatable {
    /// Of the uncompressed tar, in bytes.
    public var bytes: Int64 = 64 << 30
    /// Of one file, in bytes, holes included.
    public var fileSize: Int64 = 1 << 40
    /// Of all holes, in bytes: for whoever makes something of the files in which they take room.
    public var holeBytes: Int64 = .max
    /// Files, directories, links and whiteouts.
    public var entries = 4_000_000
    /// Of an entry's whole name or link target, in bytes.
    public var nameLength = 4095
    /// Directories above an entry; each takes a descriptor while it is being filled.
    public var depth = 256
    /// Of an entry's extended attributes, in bytes.
    public var attributeBytes = 256 << 10

    public init() {}
}

/// What applying a layer came to.
public struct LayerReport: Sendable, Equatable {
    /// The digest of the uncompressed tar (image-spec, config.md, "Layer DiffID").
    public var diffID: Digest
    /// The size of the uncompressed tar in bytes.
    public var tarSize: Int64
    /// The bytes of the files, holes not counted.
    public var contentSize: Int64
    /// Files, directories, links and whiteouts.
    public var entryCount: Int
    /// What was left out, and how often: what only root of the machine can make, attributes that belong to the host.
    public var skipped: [String: Int]
}
