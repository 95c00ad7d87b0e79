import AgentProtocol
import Foundation
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

@Suite("A root of images")
final class RootImagesTests {
    private let folder: String

    init() throws {
        folder = NSTemporaryDirectory() + "/root-images-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private func write(_ text: String, as name: String = RootImages.fileName) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/" + name)) }

    private func message(_ body: () throws(RuntimeError) -> Void) -> String? {
        do throws(RuntimeError) { try body() } catch { return error.message.replacingOccurrences(of: folder, with: "B") }
        return nil
    }

    @Test("without the file the root is a directory; with it, the guest puts it together")
    func plan() throws {
        var spec = RuntimeSpec.example()
        spec.root = RootSpec(path: "rootfs", readonly: true)
        let plain = try GuestPlan(spec, bundle: folder)
        #expect(plain.rootImages == nil && plain.spec.annotations.isEmpty)
        try write(#"{"images": ["/top", "/base"], "writable": "/own"}"#)
        let plan = try GuestPlan(spec, bundle: folder)
        #expect(plan.spec.root == RootSpec(path: "/run/nacelle/root", readonly: true))
        #expect(plan.spec.annotations.isEmpty)
        #expect(plan.shares.first == .init(name: "rootfs", path: "/own", isReadOnly: false, field: "writable"))
        #expect(plan.rootImages == RootImages(images: ["/top", "/base"], upper: .shared("/own")))
        spec.mounts = [MountSpec(destination: "/v", source: "/tmp", options: ["bind"])]
        for (place, upper) in [(#""disk": "/d""#, RootImages.Upper.disk("/d")), (#""tmpfs": 4096"#, .tmpfs(4096)), (#""tmpfs": 0"#, .tmpfs(0))] {
            try write("{\"images\": [\"/top\"], \(place)}")
            let plan = try GuestPlan(spec, bundle: folder)
            // The root is not shared; volumes have the names that they have beside one.
            #expect(plan.rootImages?.upper == upper && plan.shares.map(\.name) == ["volume-0"])
        }
    }

    @Test("a file that is wrong is refused with its place", arguments: [
        ("", "B/root-images.json: line 1, column 1: "),
        ("[]", "B/root-images.json: "),
        (#"{"writable": "/w"}"#, "B/root-images.json: images: "),
        (#"{"images": ["/a"]}"#, "B/root-images.json: there is no place for what is written: one of writable, disk, tmpfs is expected"),
        (#"{"images": ["/a"], "writable": "/w", "disk": "/d"}"#, "B/root-images.json: writable and disk exclude each other: one of writable, disk, tmpfs is expected"),
        (#"{"images": ["/a"], "disk": "d"}"#, #"B/root-images.json: disk: "d" is not an absolute path"#),
        (#"{"images": ["/a"], "tmpfs": -1}"#, "B/root-images.json: tmpfs: -1 is no size in bytes"),
        (#"{"images": ["/a"], "tmpfs": "1g"}"#, "B/root-images.json: tmpfs: "),
        (#"{"images": [], "writable": "/w"}"#, "B/root-images.json: images: has 0 entries: a machine takes 1 to 14"),
        (#"{"images": ["/a", "b"], "writable": "/w"}"#, #"B/root-images.json: images[1]: "b" is not an absolute path"#),
        (#"{"images": ["/a"], "writable": "w"}"#, #"B/root-images.json: writable: "w" is not an absolute path"#),
        (#"{"images": ["/a"], "writable": "/w", "upper": 1}"#, "B/root-images.json: upper: there is no such setting; there are images, writable, disk, tmpfs"),
        (#"{"images": [1], "writable": "/w"}"#, "B/root-images.json: images[0]: "),
    ])
    func refused(_ text: String, _ complaint: String) throws {
        try write(text)
        let message = message { () throws(RuntimeError) in _ = try RootImages.read(bundle: folder) }
        #expect(message?.hasPrefix(complaint) == true, "\(message ?? "nothing")")
    }

    @Test("more images than a machine has room for are refused; a disk takes one's place")
    func tooMany() throws {
        func complaint(_ count: Int, _ upper: String) throws -> String? {
            try write("{\"images\": [\((0..<count).map { "\"/\($0)\"" }.joined(separator: ","))], \(upper)}")
            return message { () throws(RuntimeError) in _ = try RootImages.read(bundle: folder) }
        }
        #expect(try complaint(15, #""writable": "/w""#) == "B/root-images.json: images: has 15 entries: a machine takes 1 to 14")
        #expect(try complaint(14, #""disk": "/d""#) == "B/root-images.json: images: has 14 entries: a machine takes 1 to 13 beside a disk")
        #expect(try complaint(14, #""tmpfs": 0"#) == nil && complaint(13, #""disk": "/d""#) == nil)
    }

    /// A file that begins like a file system, of that many bytes.
    private func file(_ name: String, size: Int64, magic: [UInt8] = [], at offset: Int = 1024) throws -> String {
        let path = folder + "/" + name
        try Data([UInt8](repeating: 0, count: offset) + magic).write(to: URL(fileURLWithPath: path))
        try OwnedDescriptor(opening: path, flags: O_RDWR).truncate(to: size)
        return path
    }
    private func image(_ name: String, size: Int64 = 4096) throws -> String { try file(name, size: size, magic: [0xE2, 0xE1, 0xF5, 0xE0]) }

    @Test("what is no EROFS image is not attached")
    func images() throws {
        func opened(_ path: String) -> String? {
            message { () throws(RuntimeError) in _ = try RootAttachment(RootImages(images: [path], upper: .shared("/w")), memory: 256) }
        }
        #expect(opened(folder + "/absent") == "root-images.json: images[0]: B/absent: no such file or directory")
        try write("short", as: "short")
        #expect(opened(folder + "/short") == "root-images.json: images[0]: B/short: its size of 5 bytes is none of an EROFS image")
        try write(String(repeating: "x", count: 8192), as: "other")
        #expect(opened(folder + "/other") == "root-images.json: images[0]: B/other: is not an EROFS image")
        #expect(opened(try image("image")) == nil)
    }

    private static let gibi: Int64 = 1 << 30

    @Test("images are persistent memory as long as their pages' descriptions take an eighth of the machine's memory", arguments: [
        ([], 256, []), ([1 << 20], 256, [0]), ([2 * gibi], 256, [0]), ([2 * gibi + 4096], 256, []), ([3 * gibi, 1 << 20, gibi], 256, [1, 2]),
        ([gibi, gibi, gibi], 256, [0, 1]), ([16 * gibi, 16 * gibi + 4096], 65536, [0]), ([512 << 20], 64, [0]),
    ] as [([Int64], Int64, Set<Int>)])
    func inMemory(sizes: [Int64], mebibytes: Int64, expected: Set<Int>) {
        #expect(RootAttachment.inMemory(sizes, memory: mebibytes << 20) == expected)
    }

    @Test("the guest is told how it finds its images and its disk")
    func layout() throws {
        let paths = [try image("a"), try image("b", size: 3 << 30), try image("c"), try image("d", size: 17 << 30)]
        func layout(_ upper: RootImages.Upper) throws -> RootAttachment { try RootAttachment(RootImages(images: paths, upper: upper), memory: 256) }
        let shared = try layout(.shared("/w"))
        #expect(shared.layout == RootLayout(layers: ["pmem1", "vda", "pmem2", "vdb"], upper: .shared) && shared.persistentMemory.count == 2 && shared.readOnlyDisks.count == 2)
        #expect(try layout(.tmpfs(8 << 20)).layout.upper == .tmpfs(8 << 20))
        let disk = try file("disk", size: 1 << 20, magic: [0x53, 0xEF], at: 1080)
        #expect(try layout(.disk(disk)).layout.upper == .disk("vdc"))
        #expect(message { () throws(RuntimeError) in _ = try RootAttachment(RootImages(images: [paths[0]], upper: .tmpfs(257 << 20)), memory: 256) }?.hasPrefix("root-images.json: tmpfs: 269484032 bytes are more than the machine's memory of 256 MiB") == true)
    }

    @Test("what is no disk is refused, and what another machine has")
    func disks() throws {
        let image = try image("image")
        func opened(_ path: String) -> String? {
            message { () throws(RuntimeError) in _ = try RootAttachment(RootImages(images: [image], upper: .disk(path)), memory: 256) }?.replacingOccurrences(of: "root-images.json: disk: ", with: "")
        }
        let disk = try file("disk", size: 1 << 20, magic: [0x53, 0xEF], at: 1080)
        #expect(opened(disk) == nil)
        #expect(opened(folder + "/absent") == "B/absent: no such file or directory")
        #expect(opened(folder) == "B: is no regular file")
        try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: disk)
        #expect(opened(folder + "/link") == "B/link: is no regular file")
        unsafe mkfifo(folder + "/fifo", 0o600)
        #expect(opened(folder + "/fifo") == "B/fifo: is no regular file")
        #expect(opened("/dev/null") == "/dev/null: is no regular file")
        #expect(opened(try file("odd", size: 1 << 20 + 1, magic: [0x53, 0xEF], at: 1080)) == "B/odd: its size of 1048577 bytes is not a multiple of 512")
        #expect(opened(try file("garbage", size: 1 << 20)) == "B/garbage: is not an ext4 file system (mkfs.ext4 makes one)")
        do {
            let held = try RootAttachment(RootImages(images: [image], upper: .disk(disk)), memory: 256)
            #expect(opened(disk) == "B/disk: another machine has it: only one can have a disk at a time")
            withExtendedLifetime(held) {}
        }
        #expect(opened(disk) == nil)
    }
}
