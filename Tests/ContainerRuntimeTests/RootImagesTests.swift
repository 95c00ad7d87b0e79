import Foundation
import OCISpec
import Testing

@testable import ContainerRuntime

@Suite("A root of images")
struct RootImagesTests {
    private let folder: String

    init() throws {
        folder = NSTemporaryDirectory() + "/root-images-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    private func write(_ text: String, as name: String = RootImages.fileName) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/" + name)) }
    private func remove() { try? FileManager.default.removeItem(atPath: folder) }

    private func message(_ body: () throws(RuntimeError) -> Void) -> String? {
        do throws(RuntimeError) { try body() } catch { return error.message.replacingOccurrences(of: folder, with: "B") }
        return nil
    }

    @Test("without the file the root is a directory; with it, the guest puts it together")
    func plan() throws {
        defer { remove() }
        var spec = RuntimeSpec.example()
        spec.root = RootSpec(path: "rootfs", readonly: true)
        let plain = try GuestPlan(spec, bundle: folder)
        #expect(plain.rootImages == nil && plain.spec.annotations.isEmpty)
        try write(#"{"images": ["/top", "/base"], "writable": "/own"}"#)
        let plan = try GuestPlan(spec, bundle: folder)
        #expect(plan.spec.root == RootSpec(path: "/run/nacelle/root", readonly: true))
        #expect(plan.spec.annotations == ["dev.nacelle.images": "2"])
        #expect(plan.shares.first == .init(name: "rootfs", path: "/own", isReadOnly: false, field: "writable"))
        #expect(plan.rootImages?.images == ["/top", "/base"])
    }

    @Test("a file that is wrong is refused with its place", arguments: [
        ("", "B/root-images.json: line 1, column 1: "),
        ("[]", "B/root-images.json: "),
        (#"{"writable": "/w"}"#, "B/root-images.json: images: "),
        (#"{"images": ["/a"]}"#, "B/root-images.json: writable: "),
        (#"{"images": [], "writable": "/w"}"#, "B/root-images.json: images: has 0 entries: a machine takes 1 to 14"),
        (#"{"images": ["/a", "b"], "writable": "/w"}"#, #"B/root-images.json: images[1]: "b" is not an absolute path"#),
        (#"{"images": ["/a"], "writable": "w"}"#, #"B/root-images.json: writable: "w" is not an absolute path"#),
        (#"{"images": ["/a"], "writable": "/w", "upper": 1}"#, "B/root-images.json: upper: there is no such setting; there are images, writable"),
        (#"{"images": [1], "writable": "/w"}"#, "B/root-images.json: images[0]: "),
    ])
    func refused(_ text: String, _ complaint: String) throws {
        defer { remove() }
        try write(text)
        let message = message { () throws(RuntimeError) in _ = try RootImages.read(bundle: folder) }
        #expect(message?.hasPrefix(complaint) == true, "\(message ?? "nothing")")
    }

    @Test("more images than a machine has room for are refused")
    func tooMany() throws {
        defer { remove() }
        try write("{\"images\": [\((0..<15).map { "\"/\($0)\"" }.joined(separator: ","))], \"writable\": \"/w\"}")
        #expect(message { () throws(RuntimeError) in _ = try RootImages.read(bundle: folder) } == "B/root-images.json: images: has 15 entries: a machine takes 1 to 14")
    }

    @Test("what is no EROFS image is not mapped")
    func images() throws {
        defer { remove() }
        func opened(_ path: String) throws -> String? {
            try write("{\"images\": [\"\(path)\"], \"writable\": \"/w\"}")
            let images = try #require(try RootImages.read(bundle: folder))
            return message { () throws(RuntimeError) in _ = try images.open() }
        }
        #expect(try opened(folder + "/absent") == "root-images.json: images[0]: B/absent: no such file or directory")
        try write("short", as: "short")
        #expect(try opened(folder + "/short") == "root-images.json: images[0]: B/short: its size of 5 bytes is none of an EROFS image up to 16 GiB")
        try write(String(repeating: "x", count: 8192), as: "other")
        #expect(try opened(folder + "/other") == "root-images.json: images[0]: B/other: is not an EROFS image")
        var image = [UInt8](repeating: 0, count: 4096)
        image.replaceSubrange(1024..<1028, with: [0xE2, 0xE1, 0xF5, 0xE0])
        try Data(image).write(to: URL(fileURLWithPath: folder + "/image"))
        #expect(try opened(folder + "/image") == nil)
    }
}
