public import JSONText

/// A document that is not what it should be.
public enum DocumentError: Error, Equatable, Sendable, CustomStringConvertible {
    /// In bytes.
    case tooLarge(size: Int, limit: Int)
    case notJSON(JSONError)
    /// A field that is missing, of the wrong kind, or says what it must not; with its path.
    case shape(JSONShapeError)

    public var description: String {
        switch self {
        case .tooLarge(let size, let limit): "has \(size) bytes, more than the limit of \(limit)"
        case .notJSON(let error): "is not JSON: \(error)"
        case .shape(let error): "\(error)"
        }
    }
}

/// A JSON document of the image specification.
///
/// What the specification does not name is ignored when read (image-spec, considerations.md, "Extensibility"), so a document that is read and written again may
/// have another digest: whoever needs the digest keeps the bytes.
public protocol ImageDocument: Sendable, Hashable {
    /// The document as JSON, without the fields that are absent.
    var json: JSONValue { get }
    /// Reads the document.
    /// - Throws: when a field is missing or of the wrong kind.
    init(_ cursor: JSONCursor) throws(JSONShapeError)
}

/// Sizes, in bytes.
public enum DocumentLimits {
    /// Of a manifest or an index: what distribution-spec, "Pushing Manifests", says that registries must take, and what they take.
    public static let manifest = 4 << 20
    /// Of an image's configuration.
    public static let configuration = 8 << 20
}

extension ImageDocument {
    /// Reads a document of at most `limit` bytes.
    /// - Throws: when it is larger, no JSON, or not such a document.
    public init(parsing bytes: [UInt8], limit: Int = DocumentLimits.manifest) throws(DocumentError) {
        self = try Self.parse(bytes, limit: limit) { (cursor) throws(JSONShapeError) in try Self(cursor) }
    }

    /// The document's bytes, on one line.
    public var bytes: [UInt8] { json.bytes() }

    static func parse<Value>(_ bytes: [UInt8], limit: Int, _ read: (JSONCursor) throws(JSONShapeError) -> Value) throws(DocumentError) -> Value {
        guard bytes.count <= limit else { throw .tooLarge(size: bytes.count, limit: limit) }
        var limits = JSONLimits()
        limits.bytes = limit
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: bytes, limits: limits) } catch { throw .notJSON(error) }
        do throws(JSONShapeError) { return try read(JSONCursor(value)) } catch { throw .shape(error) }
    }
}
