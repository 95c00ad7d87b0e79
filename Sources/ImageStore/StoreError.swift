internal import JSONText
public import LayerArchive
public import LinuxSystem
public import OCIImage

/// Why the store did not do what it was asked to.
public enum StoreError: Error, Sendable, CustomStringConvertible {
    /// There is no such thing: what, and its name.
    case notFound(String, String)
    /// There is one already.
    case exists(String, String)
    /// Something is not what its digest, its length or the image's configuration says.
    case corrupt(String)
    /// A document that is no such document: which, and why.
    case document(String, DocumentError)
    /// A name, an archive or an image that the store cannot take.
    case invalid(String)
    /// The machine, or the store's file system, cannot do it.
    case unsupported(String)
    /// What was being done, and what the kernel said.
    case system(String, SystemError)
    /// A layer, or an archive of images: which, and what is wrong with it.
    case layer(String, LayerError)

    public var description: String {
        switch self {
        case .notFound(let what, let name): "there is no \(what) \(name)"
        case .exists(let what, let name): "there is a \(what) \(name) already"
        case .corrupt(let problem), .invalid(let problem), .unsupported(let problem): problem
        case .document(let what, let error): "\(what) \(error)"
        case .system(let doing, let error): "cannot \(doing): \(error)\(StoreError.advice(error))"
        case .layer(let layer, let error): "\(layer.hasPrefix("archive") ? "" : "layer ")\(layer): \(error)\(StoreError.advice(error))"
        }
    }

    private static func advice(_ error: LayerError) -> String {
        switch error {
        case .stream(let error), .system(_, let error): advice(error)
        default: ""
        }
    }

    private static func advice(_ error: SystemError) -> String {
        switch error.errno {
        case .noSpace: " (free some space; nothing that was complete is lost)"
        case .permissionDenied, .notPermitted: " (is the store another user's?)"
        default: ""
        }
    }

    /// Says what was being done when a system call failed.
    static func wrapped<Result: ~Copyable>(_ doing: @autoclosure () -> String, _ body: () throws(SystemError) -> Result) throws(StoreError) -> Result {
        do throws(SystemError) { return try body() } catch { throw .system(doing(), error) }
    }

    static func ofLayer<Result>(_ name: @autoclosure () -> String, _ body: () throws(LayerError) -> Result) throws(StoreError) -> Result {
        do throws(LayerError) { return try body() } catch { throw .layer(name(), error) }
    }

    static func parsed<Result>(_ what: @autoclosure () -> String, _ body: () throws(DocumentError) -> Result) throws(StoreError) -> Result {
        do throws(DocumentError) { return try body() } catch { throw .document(what(), error) }
    }
}
