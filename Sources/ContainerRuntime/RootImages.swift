internal import Glibc
public import JSONText
internal import LinuxSystem

/// `root-images.json` beside config.json: a root for machines that is put together in the guest, of read-only EROFS images and a place for what is written.
///
/// The guest has the images as persistent memory (virtio-pmem, DAX), so that all machines use the host's one copy of each page, or as disks (`RootAttachment`).
/// A file of the bundle, and no annotation: an engine may pass on annotations of people who must not name files of the host.
public struct RootImages: Equatable, Sendable {
    /// Where what the container writes goes.
    public enum Upper: Equatable, Sendable {
        /// A directory of the host, shared with the guest, with the directories `upper` and `work`, for an overlayfs with the option `userxattr`.
        case shared(String)
        /// A file of the host with an ext4 file system, which is the guest's disk. No other machine may have it meanwhile.
        case disk(String)
        /// The guest's memory, at most so many bytes; 0 is half of it.
        case tmpfs(Int64)

        /// How many images a machine has room for beside it.
        public var maximumCount: Int {
            if case .disk = self { RootImages.maximumCount - 1 } else { RootImages.maximumCount }
        }
    }

    public static let fileName = "root-images.json"
    /// How many images, and a disk for the upper layer, a machine has room for, beside the guest's own root and four more devices.
    public static let maximumCount = 14

    /// Paths of EROFS images, the topmost first.
    public var images: [String]
    public var upper: Upper

    public init(images: [String], upper: Upper) { (self.images, self.upper) = (images, upper) }

    public var json: JSONValue {
        var object = JSONObject()
        object["images"] = .array(images.map { .string($0) })
        switch upper {
        case .shared(let path): object["writable"] = .string(path)
        case .disk(let path): object["disk"] = .string(path)
        case .tmpfs(let size): object["tmpfs"] = .integer(size)
        }
        return .object(object)
    }

    /// - Returns: nil if the bundle has no such file.
    static func read(bundle: String) throws(RuntimeError) -> RootImages? {
        let path = bundle + "/" + fileName
        let text: [UInt8]
        do throws(SystemError) { text = try readFile(path, limit: 64 << 10) } catch {
            if error.errno == .noSuchFile { return nil }
            throw RuntimeError("\(path)", error)
        }
        do throws(JSONShapeError) {
            let value: JSONValue
            do throws(JSONError) { value = try JSONValue(parsing: text) } catch { throw JSONShapeError(path: "", problem: "\(error)") }
            return try RootImages(JSONCursor(value))
        } catch { throw RuntimeError("\(path): \(error)") }
    }

    init(_ cursor: JSONCursor) throws(JSONShapeError) {
        let members = try cursor.object()
        let uppers = ["writable", "disk", "tmpfs"]
        var unknown: [String] = []
        members.addUnknown(besides: ["images"] + uppers, to: &unknown)
        if let field = unknown.first { throw JSONShapeError(path: field, problem: "there is no such setting; there are images, \(uppers.joined(separator: ", "))") }
        images = try members.required("images").strings()
        let given = uppers.filter { members[$0] != nil }
        guard given.count == 1, let field = given.first else {
            let problem = given.isEmpty ? "there is no place for what is written" : "\(given.joined(separator: " and ")) exclude each other"
            throw JSONShapeError(path: "", problem: "\(problem): one of \(uppers.joined(separator: ", ")) is expected")
        }
        let value = try members.required(field)
        switch field {
        case "writable": upper = .shared(try Self.absolute(value.string(), field))
        case "disk": upper = .disk(try Self.absolute(value.string(), field))
        default:
            let size = try value.integer(Int64.self)
            guard size >= 0 else { throw JSONShapeError(path: field, problem: "\(size) is no size in bytes") }
            upper = .tmpfs(size)
        }
        let limit = upper.maximumCount
        guard (1...limit).contains(images.count) else {
            throw JSONShapeError(path: "images", problem: "has \(images.count) entries: a machine takes 1 to \(limit)\(field == "disk" ? " beside a disk" : "")")
        }
        for (index, path) in images.enumerated() { _ = try Self.absolute(path, "images[\(index)]") }
    }

    private static func absolute(_ path: String, _ field: String) throws(JSONShapeError) -> String {
        guard path.hasPrefix("/") else { throw JSONShapeError(path: field, problem: "\(quoted(path)) is not an absolute path") }
        return path
    }
}
