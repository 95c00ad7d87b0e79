internal import Glibc
public import JSONText
internal import LinuxSystem

/// `root-images.json` beside config.json: a root for machines that is put together in the guest, of read-only EROFS images and one
/// writable directory.
///
/// The guest has the images as persistent memory (virtio-pmem, DAX), so that all machines use the host's one copy of each page; the directory is
/// shared with it. A file of the bundle, and no annotation: an engine may pass on annotations of people who must not name files of the host.
public struct RootImages: Equatable, Sendable {
    public static let fileName = "root-images.json"
    /// How many a machine has room for, beside the guest's own root and four more devices.
    public static let maximumCount = 14
    static let maximumSize: Int64 = 16 << 30

    /// Paths of EROFS images, the topmost first.
    public var images: [String]
    /// A directory with the directories `upper` and `work`, for an overlayfs with the option `userxattr`.
    public var writable: String

    public init(images: [String], writable: String) { (self.images, self.writable) = (images, writable) }

    public var json: JSONValue {
        var object = JSONObject()
        object["images"] = .array(images.map { .string($0) })
        object["writable"] = .string(writable)
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
        var unknown: [String] = []
        members.addUnknown(besides: ["images", "writable"], to: &unknown)
        if let field = unknown.first { throw JSONShapeError(path: field, problem: "there is no such setting; there are images, writable") }
        images = try members.required("images").strings()
        writable = try members.required("writable").string()
        guard (1...RootImages.maximumCount).contains(images.count) else {
            throw JSONShapeError(path: "images", problem: "has \(images.count) entries: a machine takes 1 to \(RootImages.maximumCount)")
        }
        for (index, path) in images.enumerated() where !path.hasPrefix("/") { throw JSONShapeError(path: "images[\(index)]", problem: "\(quoted(path)) is not an absolute path") }
        guard writable.hasPrefix("/") else { throw JSONShapeError(path: "writable", problem: "\(quoted(writable)) is not an absolute path") }
    }

    /// Opens every image, for the machine's process to map.
    func open() throws(RuntimeError) -> [SharedDescriptor] {
        var descriptors: [SharedDescriptor] = []
        for (index, path) in images.enumerated() {
            let problem: String?
            do throws(SystemError) {
                // A FIFO would keep it waiting.
                let file = SharedDescriptor(try OwnedDescriptor(opening: path, flags: O_RDONLY | O_NONBLOCK))
                problem = try file.with(Self.problem)
                descriptors.append(file)
            } catch { problem = "\(error.errno)" }
            if let problem { throw RuntimeError("\(RootImages.fileName): images[\(index)]: \(path): \(problem)") }
        }
        return descriptors
    }

    private static func problem(_ file: borrowing OwnedDescriptor) throws(SystemError) -> String? {
        let size = try file.size()
        guard (4096...maximumSize).contains(size), size % 4096 == 0 else { return "its size of \(size) bytes is none of an EROFS image up to 16 GiB" }
        return try file.bytes(at: 1024, count: 4) == [0xE2, 0xE1, 0xF5, 0xE0] ? nil : "is not an EROFS image"
    }
}
