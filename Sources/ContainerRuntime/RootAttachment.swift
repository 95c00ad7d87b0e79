internal import AgentProtocol
internal import Glibc
internal import LinuxSystem

/// A machine's root of images, opened and checked: the files that its process gets, and how the guest finds them.
struct RootAttachment {
    /// What the guest has as persistent memory, in the order in which it numbers it, after its own root.
    private(set) var persistentMemory: [SharedDescriptor] = []
    /// What it has as read-only disks, `vda` the first.
    private(set) var readOnlyDisks: [SharedDescriptor] = []
    /// The disk of the upper layer, the last one.
    private(set) var upperDisk: SharedDescriptor?
    private(set) var layout: RootLayout

    /// Larger ones are disks always.
    static let largestInMemory: Int64 = 16 << 30

    /// - Parameter memory: the machine's, in MiB.
    init(_ root: RootImages, memory: UInt64) throws(RuntimeError) {
        layout = RootLayout(layers: [], upper: .shared)
        let images = try Self.open(root)
        let inMemory = Self.inMemory(images.map(\.size), memory: Int64(memory) << 20)
        for (index, image) in images.enumerated() {
            if inMemory.contains(index) {
                persistentMemory.append(image.file)
                layout.layers.append("pmem\(persistentMemory.count)")
            } else {
                layout.layers.append(Self.diskName(readOnlyDisks.count))
                readOnlyDisks.append(image.file)
            }
        }
        switch root.upper {
        case .shared: break
        case .disk(let path):
            upperDisk = try Self.openDisk(path)
            layout.upper = .disk(Self.diskName(readOnlyDisks.count))
        case .tmpfs(let size):
            guard size <= Int64(memory) << 20 else {
                throw RuntimeError("\(RootImages.fileName): tmpfs: \(size) bytes are more than the machine's memory of \(memory) MiB: ask for less, or give the machine more memory")
            }
            layout.upper = .tmpfs(size)
        }
    }

    private static func diskName(_ index: Int) -> String { "vd\(Character(UnicodeScalar(UInt8(ascii: "a") + UInt8(index))))" }

    /// Which images the guest has as persistent memory: for each page of one its kernel keeps 64 bytes, a 64th of the size. Together that may be an 8th of its
    /// memory; the smallest images come first, of equal ones the topmost.
    /// - Parameters:
    ///   - sizes: of all images, in bytes.
    ///   - memory: bytes.
    static func inMemory(_ sizes: [Int64], memory: Int64) -> Set<Int> {
        var left = memory / 8
        var result: Set<Int> = []
        for (index, size) in sizes.enumerated().sorted(by: { ($0.element, $0.offset) < ($1.element, $1.offset) }) {
            guard size <= largestInMemory, size / 64 <= left else { break }
            left -= size / 64
            result.insert(index)
        }
        return result
    }

    private static func open(_ root: RootImages) throws(RuntimeError) -> [(file: SharedDescriptor, size: Int64)] {
        var images: [(file: SharedDescriptor, size: Int64)] = []
        for (index, path) in root.images.enumerated() {
            let problem: String?
            do throws(SystemError) {
                // A FIFO would keep it waiting.
                let file = SharedDescriptor(try OwnedDescriptor(opening: path, flags: O_RDONLY | O_NONBLOCK))
                let size = try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try file.size() }
                if size < 4096 || size % 4096 != 0 { problem = "its size of \(size) bytes is none of an EROFS image" } else {
                    problem = try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try file.holds(.erofs) } ? nil : "is not an EROFS image"
                }
                images.append((file, size))
            } catch { problem = "\(error.errno)" }
            if let problem { throw RuntimeError("\(RootImages.fileName): images[\(index)]: \(path): \(problem)") }
        }
        return images
    }

    /// Opens the disk of an upper layer and locks it, for as long as the descriptor, which the machine's process gets, is open anywhere.
    ///
    /// A guest has written what is in it: more than the two bytes by which an ext4 is known are never looked at here.
    private static func openDisk(_ path: String) throws(RuntimeError) -> SharedDescriptor {
        let problem: String
        do throws(SystemError) {
            let found = try OwnedDescriptor(opening: path, flags: O_PATH | O_NOFOLLOW)
            if try found.attributes().mode & UInt32(S_IFMT) == UInt32(S_IFREG) {
                let file = SharedDescriptor(try OwnedDescriptor(opening: "/proc/self/fd/\(found.rawValue)", flags: O_RDWR))
                guard let found = try file.with(Self.problem) else { return file }
                problem = found
            } else { problem = "is no regular file" }
        } catch { problem = "\(error.errno)" }
        throw RuntimeError("\(RootImages.fileName): disk: \(path): \(problem)")
    }

    private static func problem(_ disk: borrowing OwnedDescriptor) throws(SystemError) -> String? {
        let size = try disk.size()
        if size <= 0 || size % 512 != 0 { return "its size of \(size) bytes is not a multiple of 512" }
        if try !disk.lock(wait: false) { return "another machine has it: only one can have a disk at a time" }
        return try disk.holds(.ext4) ? nil : "is not an ext4 file system (mkfs.ext4 makes one)"
    }
}
