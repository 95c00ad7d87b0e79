import Glibc
import LinuxSystem
import Testing

@testable import ContainerSetup

@Suite struct TreeCopyTests {
    @Test func whatATreeHolds() throws {
        let image = try Image()
        try image.file("/dir/large", String(repeating: "0123456789", count: 20_000), mode: 0o600)
        try image.file("/dir/sub/tool", "x", mode: 0o644)
        let sub = try OwnedDescriptor(opening: image.rootfs + "/dir/sub", flags: O_RDONLY | O_DIRECTORY)
        try sub.setPermissions(of: "tool", 0o4755)
        try sub.makeNode("pipe", mode: UInt32(S_IFIFO) | 0o620)
        // Links are copied and never followed.
        try image.link("/dir/out", to: "../../outside")
        try image.link("/dir/file", to: image.outside + "/file")
        try image.link("/dir/loop", to: "loop")
        try makeDirectory(image.directory + "/copy")
        let before = try image.outsideState()
        let source = try OwnedDescriptor(opening: image.rootfs + "/dir", flags: O_PATH | O_DIRECTORY)
        let target = try OwnedDescriptor(opening: image.directory + "/copy", flags: O_PATH | O_DIRECTORY)
        try copyTree(from: source, to: target)
        #expect(try Set(target.entries()) == ["large", "sub", "out", "file", "loop"])
        #expect(try readFile(image.directory + "/copy/large") == readFile(image.rootfs + "/dir/large"))
        #expect(try target.status(of: "large").permissions == 0o600)
        #expect(try FileStatus(path: image.directory + "/copy/sub/tool").permissions == 0o4755)
        #expect(try FileStatus(path: image.directory + "/copy/sub/pipe").mode == sub.status(of: "pipe").mode)
        #expect(try target.linkTarget(of: "out") == "../../outside" && target.linkTarget(of: "loop") == "loop")
        #expect(try image.outsideState() == before)
        // What is there already is not overwritten.
        #expect(throws: SystemError.self) { try copyTree(from: source, to: target) }
    }
}
