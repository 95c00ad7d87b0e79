import Glibc
import LinuxSystem
import Testing
@testable import VirtioDevices

/// Changes of owner need it; everything else in this suite works for an ordinary user too.
let isRoot = getuid() == 0

@Suite("virtio-fs requests", .serialized) struct FileServerTests {
    @Test func negotiation() throws {
        let scratch = try ScratchDirectory()
        let guest = try FuseGuest(try FileSystemDevice(tag: "nacelle", shares: [try scratch.share()]), starts: false)
        // Nothing is served before INIT.
        #expect(try guest.attributes(1).error == -EIO)
        #expect(try guest.initialize(major: 7, minor: 30).error == -EPROTO)
        #expect(try guest.initialize(major: 6).error == -EPROTO)
        let newer = try guest.initialize(major: 8)
        #expect(newer.error == 0 && newer.u32(0) == 7)
        #expect(try guest.attributes(1).error == -EIO)
        let agreed = try guest.initialize(minor: 37)
        #expect(agreed.error == 0 && agreed.u32(0) == 7 && agreed.u32(4) == 37)
        #expect(agreed.u32(20) == 1 << 20 && agreed.u32(28) & 0xFFFF == 256)
        let features = Fuse.Features(rawValue: UInt64(agreed.u32(12)))
        #expect(features.isSuperset(of: [.maximumPages, .submounts, .posixACL, .killPrivileges2, .readDirectoryPlus]))
        #expect(features.isDisjoint(with: [.writebackCache, Fuse.Features(rawValue: 1 << 1), Fuse.Features(rawValue: 1 << 10)]))
        #expect(try guest.attributes(1).error == 0)
        #expect(try guest.ask(.destroy, 0).error == 0)
        #expect(try guest.attributes(1).error == -EIO)
        #expect(guest.device.configuration.count == 40 && guest.device.configuration[36] == 1)
    }

    @Test func theRootHoldsTheShares() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("file", "one file")
        let device = try FileSystemDevice(
            tag: "t", shares: [try scratch.share(), try scratch.share("volume-0", "/file", readOnly: true), try scratch.share("volume-1", readOnly: true)])
        let guest = try FuseGuest(device)
        let handle = try guest.ask(.openDirectory, 1, .u32(0), .u32(0)).u64(0)
        #expect(try guest.readDirectory(1, handle, offset: 0).map(\.name) == [".", "..", "rootfs", "volume-0", "volume-1"])
        let lines = try guest.readDirectory(1, handle, offset: 2, plus: true)
        #expect(lines.map(\.name) == ["rootfs", "volume-0", "volume-1"] && lines.allSatisfy { $0.node > 1 })
        let directory = try guest.lookup("rootfs", in: 1)
        #expect(directory.attribute(.flags) == 1 && directory.attribute(.mode) & 0o170000 == UInt64(S_IFDIR))
        let file = try guest.lookup("volume-0", in: 1)
        #expect(file.attribute(.flags) == 0 && file.attribute(.size) == 8)
        // A single file is that file alone.
        #expect(try guest.ask(.lookup, file.node, .name("secret")).error == -ENOTDIR)
        #expect(try guest.ask(.openDirectory, file.node, .u32(0), .u32(0)).error == -ENOTDIR)
        let opened = try guest.open(file.node, O_RDONLY)
        #expect(try guest.read(file.node, opened.u64(0), offset: 4, count: 100).body == Array("file".utf8))
        #expect(try guest.lookup("other", in: 1).node == 0)
        for opcode in [Fuse.Opcode.unlink, .removeDirectory] { #expect(try guest.ask(opcode, 1, .name("rootfs")).error == -EROFS) }
        #expect(try guest.create("new", in: 1).error == -EROFS)
        #expect(try guest.ask(.statistics, 1).error == 0)
        // The same directory through another share is another node.
        #expect(try guest.walk("rootfs") != guest.walk("volume-1"))
        #expect(try guest.walk("rootfs", "file") != guest.walk("volume-1", "file"))
    }

    @Test func filesAreCreatedWrittenAndRead() throws {
        let scratch = try ScratchDirectory()
        let guest = try scratch.guest()
        let root = try guest.walk("rootfs")
        let made = try guest.create("a", in: root, mode: 0o666, mask: 0o022)
        #expect(made.error == 0 && made.attribute(.mode) == UInt64(S_IFREG | 0o644))
        let (node, handle) = (made.node, made.u64(128))
        let data = (0..<10000).map { UInt8(truncatingIfNeeded: $0) }
        #expect(try guest.write(node, handle, offset: 5, data).u32(0) == 10000)
        #expect(try guest.read(node, handle, offset: 5, count: 20000).body == data)
        #expect(try guest.read(node, handle, offset: 0, count: 5).body == [0, 0, 0, 0, 0])
        #expect(try guest.attributes(node).attribute(.size, in: 16) == 10005)
        #expect(try guest.ask(.flush, node, .u64(handle), .u32(0), .u32(0), .u64(0)).error == 0)
        for flags: UInt32 in [0, 1] { #expect(try guest.ask(.synchronize, node, .u64(handle), .u32(flags), .u32(0)).error == 0) }
        #expect(try guest.create("a", in: root, flags: O_RDWR | O_EXCL).error == -EEXIST)
        // Without O_EXCL, one that the host made meanwhile is opened, and keeps its mode.
        let again = try guest.create("a", in: root, flags: O_RDWR, mode: 0o600)
        #expect(again.node == node && again.attribute(.mode) == UInt64(S_IFREG | 0o644))
        #expect(try guest.ask(.release, node, .u64(handle), .u32(0), .u32(0), .u64(0)).error == 0)
        #expect(try guest.read(node, handle, offset: 0, count: 1).error == -EBADF)
        let opened = try guest.open(node, O_RDWR | O_TRUNC)
        #expect(opened.error == 0 && scratch.status("a").st_size == 0)
        #expect(try guest.open(node, 3).error == -EINVAL)
        #expect(try guest.open(root, O_RDONLY).error == -EISDIR)
    }

    @Test func appendingGoesToTheHostsEnd() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("log", "12345")
        let guest = try scratch.guest()
        let node = try guest.walk("rootfs", "log")
        let handle = try guest.open(node, O_WRONLY | O_APPEND).u64(0)
        scratch.run("sh", "-c", "printf host >> \(scratch.path)/log")
        #expect(try guest.write(node, handle, offset: 5, Array("guest".utf8), openFlags: O_APPEND).u32(0) == 5)
        #expect(try scratch.text("log") == "12345hostguest")
        // A page written back goes where it belongs.
        #expect(try guest.write(node, handle, offset: 0, Array("A".utf8), flags: Fuse.writeFromCache, openFlags: O_APPEND).u32(0) == 1)
        #expect(try scratch.text("log") == "A2345hostguest")
    }

    @Test(.enabled(if: isRoot, "gives files to other users")) func newObjectsBelongToTheRequester() throws {
        let scratch = try ScratchDirectory()
        let guest = try scratch.guest()
        let root = try guest.walk("rootfs")
        (guest.user, guest.group) = (1000, 1001)
        #expect(try guest.create("file", in: root, mode: 0o6755).attribute(.user) == 1000)
        #expect(scratch.status("file").st_gid == 1001 && scratch.status("file").st_mode == S_IFREG | 0o6755)
        #expect(try guest.ask(.makeDirectory, root, .u32(0o1777), .u32(0o022), .name("dir")).error == 0)
        #expect(scratch.status("dir").st_uid == 1000 && scratch.status("dir").st_mode == S_IFDIR | 0o1755)
        #expect(try guest.ask(.symbolicLink, root, .name("link"), .name("/etc/passwd")).attribute(.user) == 1000)
        let fifo = try guest.ask(.makeNode, root, .u32(S_IFIFO | 0o600), .u32(0), .u32(0), .u32(0), .name("fifo"))
        #expect(fifo.attribute(.group) == 1001)
        let device = try guest.ask(.makeNode, root, .u32(S_IFCHR | 0o666), .u32(DeviceNumber.encode(major: 1, minor: 3)), .u32(0), .u32(0), .name("null"))
        #expect(device.attribute(.device) == UInt64(DeviceNumber.encode(major: 1, minor: 3)))
        #expect(try guest.ask(.makeNode, root, .u32(S_IFDIR), .u32(0), .u32(0), .u32(0), .name("x")).error == -EINVAL)
        // A set-group-ID directory gives its group, and to directories the bit.
        #expect(unsafe chown(scratch.path + "/dir", 0, 77) == 0 && chmod(scratch.path + "/dir", 0o2777) == 0)
        let directory = try guest.walk("rootfs", "dir")
        #expect(try guest.create("file", in: directory).attribute(.group) == 77)
        let below = try guest.ask(.makeDirectory, directory, .u32(0o755), .u32(0), .name("below"))
        #expect(below.attribute(.group) == 77 && below.attribute(.user) == 1000 && below.attribute(.mode) & 0o2000 != 0)
        let unnamed = try guest.ask(.temporaryFile, directory, .u32(UInt32(O_RDWR)), .u32(S_IFREG | 0o600), .u32(0), .u32(0), .name("/"))
        #expect(unnamed.error == 0 && unnamed.attribute(.user) == 1000 && unnamed.attribute(.links) == 0)
        #expect(try guest.ask(.link, directory, .u64(unnamed.node), .name("named")).attribute(.links) == 1)
    }

    @Test func namesChange() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("a", "A")
        try scratch.write("b", "B")
        let guest = try scratch.guest()
        let root = try guest.walk("rootfs")
        func rename(_ from: String, _ to: String, _ flags: UInt32) throws -> Int32 {
            try guest.ask(.rename2, root, .u64(root), .u32(flags), .u32(0), .name(from), .name(to)).error
        }
        #expect(try rename("a", "b", 1) == -EEXIST)
        #expect(try rename("a", "b", 2) == 0)
        #expect(try scratch.text("a") == "B" && scratch.text("b") == "A")
        #expect(try rename("a", "b", 3) == -EINVAL)
        #expect(try rename("a", "b", 8) == -EINVAL)
        #expect(try rename("none", "b", 0) == -ENOENT)
        #expect(try guest.ask(.rename, root, .u64(root), .name("a"), .name("b")).error == 0)
        #expect(try scratch.text("b") == "B")
        #expect(try guest.lookup("a", in: root).node == 0)
        if isRoot {
            #expect(try rename("b", "c", 4) == 0)
            #expect(scratch.status("b").st_mode & S_IFMT == S_IFCHR)
        }
        // Links, also of a symbolic link itself.
        #expect(try guest.ask(.symbolicLink, root, .name("l"), .name("/nowhere")).error == 0)
        let link = try guest.walk("rootfs", "l")
        #expect(try guest.ask(.readLink, link).body == Array("/nowhere".utf8))
        let second = try guest.ask(.link, root, .u64(link), .name("l2"))
        #expect(second.node == link && second.attribute(.links) == 2)
        #expect(try guest.ask(.link, 1, .u64(link), .name("l3")).error == -EROFS)
        #expect(try guest.ask(.rename, root, .u64(1), .name("l2"), .name("x")).error == -EXDEV)
        #expect(try guest.ask(.makeDirectory, root, .u32(0o755), .u32(0), .name("d")).error == 0)
        #expect(try guest.ask(.unlink, root, .name("d")).error == -EISDIR)
        #expect(try guest.ask(.removeDirectory, root, .name("l")).error == -ENOTDIR)
        #expect(try guest.ask(.removeDirectory, root, .name("d")).error == 0)
        let odd: [UInt8] = [0xFF, 0x0A, 0x20, 0x80]
        #expect(try guest.ask(.makeDirectory, root, .u32(0o755), .u32(0), .raw(odd + [0])).error == 0)
        #expect(try guest.ask(.lookup, root, .raw(odd + [0])).node != 0)
    }

    @Test func filesLiveOnWhenTheyAreUnlinked() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("a", "text")
        let guest = try scratch.guest()
        let root = try guest.walk("rootfs")
        let node = try guest.walk("rootfs", "a")
        let handle = try guest.open(node, O_RDWR).u64(0)
        #expect(try guest.ask(.unlink, root, .name("a")).error == 0)
        #expect(try guest.attributes(node).attribute(.links, in: 16) == 0)
        #expect(try guest.read(node, handle, offset: 0, count: 10).body == Array("text".utf8))
        #expect(try guest.write(node, handle, offset: 4, [0x21]).u32(0) == 1)
        #expect(try guest.setAttributes(node, .size, size: 3).error == 0)
        let anew = try guest.open(node, O_RDONLY)
        #expect(try guest.read(node, anew.u64(0), offset: 0, count: 10).body == Array("tex".utf8))
        // A new file under the old name is another node.
        #expect(try guest.create("a", in: root).node != node)
    }

    @Test func attributesAreSet() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("a", "text")
        let guest = try scratch.guest()
        let node = try guest.walk("rootfs", "a")
        #expect(try guest.setAttributes(node, .mode, mode: 0o4711).attribute(.mode, in: 16) == UInt64(S_IFREG | 0o4711))
        #expect(try guest.setAttributes(node, [.accessTime, .modificationTime], times: (100, 200)).attribute(.modificationTime, in: 16) == 200)
        let status = scratch.status("a")
        #expect(status.st_atim.tv_sec == 100 && status.st_atim.tv_nsec == 5 && status.st_mtim.tv_nsec == 6)
        #expect(try guest.setAttributes(node, [.modificationTime, .modificationNow], times: (1, 1)).attribute(.modificationTime, in: 16) > 1_000_000)
        #expect(scratch.status("a").st_atim.tv_sec == 100)
        #expect(try guest.setAttributes(node, .size, size: 1 << 33).attribute(.size, in: 16) == 1 << 33)
        #expect(try guest.setAttributes(node, .size, size: 1 << 63).error == -EINVAL)
        #expect(try guest.setAttributes(try guest.walk("rootfs"), .size, size: 0).error == -EISDIR)
        let handle = try guest.open(node, O_RDWR).u64(0)
        #expect(try guest.setAttributes(node, [.size, .handle], handle: handle, size: 2).attribute(.size, in: 16) == 2)
        #expect(try guest.setAttributes(node, [.size, .handle], handle: 999, size: 2).error == -EBADF)
    }

    @Test(.enabled(if: isRoot, "changes owners")) func setUserIDIsCleared() throws {
        let scratch = try ScratchDirectory()
        let guest = try scratch.guest()
        let root = try guest.walk("rootfs")
        func make(_ name: String) throws -> FuseResponse { try guest.create(name, in: root, mode: 0o6755) }
        let written = try make("written")
        _ = try guest.write(written.node, written.u64(128), offset: 0, [1])
        #expect(scratch.status("written").st_mode & 0o7777 == 0o6755)
        _ = try guest.write(written.node, written.u64(128), offset: 0, [1], flags: Fuse.writeKillsPrivileges)
        #expect(scratch.status("written").st_mode & 0o7777 == 0o755)
        let cut = try make("cut")
        #expect(try guest.setAttributes(cut.node, [.size, .killPrivileges], size: 0).attribute(.mode, in: 16) & 0o7777 == 0o755)
        let opened = try make("opened")
        #expect(try guest.open(opened.node, O_WRONLY | O_TRUNC, kill: true).error == 0)
        #expect(scratch.status("opened").st_mode & 0o7777 == 0o755)
        let given = try make("given")
        #expect(try guest.setAttributes(given.node, .user, user: 5).attribute(.mode, in: 16) & 0o7777 == 0o755)
        #expect(scratch.status("given").st_uid == 5 && scratch.status("given").st_gid == 0)
        // Mode and owner at once: the mode is what was asked for.
        #expect(try guest.setAttributes(given.node, [.user, .mode], mode: 0o4755, user: 6).attribute(.mode, in: 16) & 0o7777 == 0o4755)
        // Of a symbolic link, the link's own owner.
        let link = try guest.ask(.symbolicLink, root, .name("l"), .name(scratch.outside + "/secret"))
        #expect(try guest.setAttributes(link.node, [.user, .group], user: 8, group: 9).attribute(.user, in: 16) == 8)
        #expect(scratch.status("l").st_uid == 8 && scratch.status("../secret").st_uid == 0)
        #expect(try guest.setAttributes(link.node, [.accessTime, .modificationTime], times: (1, 2)).attribute(.modificationTime, in: 16) == 2)
        #expect(scratch.status("../secret").st_mtim.tv_sec > 2)
        #expect(try guest.setAttributes(link.node, .mode, mode: 0o600).error == -EOPNOTSUPP)
    }

    @Test func sparseFilesAndRanges() throws {
        let scratch = try ScratchDirectory()
        let guest = try scratch.guest()
        let root = try guest.walk("rootfs")
        let made = try guest.create("big", in: root)
        let (node, handle) = (made.node, made.u64(128))
        let far: UInt64 = 5 << 30
        #expect(try guest.write(node, handle, offset: far, Array("end".utf8)).u32(0) == 3)
        #expect(try guest.attributes(node).attribute(.size, in: 16) == far + 3)
        #expect(scratch.status("big").st_blocks < 100)
        #expect(try guest.read(node, handle, offset: far, count: 8).body == Array("end".utf8))
        func seek(_ offset: UInt64, _ whence: Int32) throws -> FuseResponse { try guest.ask(.seek, node, .u64(handle), .u64(offset), .u32(UInt32(whence)), .u32(0)) }
        #expect(try seek(0, SEEK_DATA).u64(0) == far && seek(0, SEEK_HOLE).u64(0) == 0)
        #expect(try seek(far + 10, SEEK_DATA).error == -ENXIO)
        #expect(try seek(0, SEEK_END).error == -EINVAL)
        func allocate(_ offset: UInt64, _ length: UInt64, _ mode: UInt32) throws -> Int32 {
            try guest.ask(.allocate, node, .u64(handle), .u64(offset), .u64(length), .u32(mode), .u32(0)).error
        }
        #expect(try allocate(0, 1 << 16, 0) == 0)
        #expect(try allocate(far + 100, 4096, 1) == 0)
        #expect(try guest.attributes(node).attribute(.size, in: 16) == far + 3)
        #expect(try allocate(far, 3, 3) == 0)
        #expect(try guest.read(node, handle, offset: far, count: 8).body == [0, 0, 0])
        #expect(try allocate(0, 0, 0) == -EINVAL)
        let copy = try guest.create("copy", in: root)
        #expect(try guest.write(node, handle, offset: 0, Array("0123456789".utf8)).u32(0) == 10)
        let copied = try guest.ask(
            .copyFileRange, node, .u64(handle), .u64(2), .u64(copy.node), .u64(copy.u64(128)), .u64(1), .u64(5), .u64(0))
        #expect(copied.u32(0) == 5)
        #expect(try readFile(scratch.path + "/copy") == [0] + Array("23456".utf8))
        let megabyte = [UInt8](repeating: 7, count: 1 << 20)
        #expect(try guest.write(node, handle, offset: 4096, megabyte).u32(0) == 1 << 20)
        #expect(try guest.read(node, handle, offset: 4096, count: 1 << 20).body == megabyte)
        // A reply holds no more than the driver has room for.
        #expect(try guest.read(node, handle, offset: 4096, count: 1 << 20, room: 100).body.count == 100)
        #expect(try guest.read(node, handle, offset: 4096, count: Int(UInt32.max), room: 1000).body.count == 1000)
    }

    @Test func extendedAttributes() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("a", "text")
        let guest = try scratch.guest()
        let root = try guest.walk("rootfs")
        let node = try guest.walk("rootfs", "a")
        func set(_ node: UInt64, _ name: String, _ value: [UInt8], _ flags: UInt32 = 0) throws -> Int32 {
            try guest.ask(.setExtendedAttribute, node, .u32(UInt32(value.count)), .u32(flags), .u32(0), .u32(0), .name(name), .raw(value)).error
        }
        func get(_ node: UInt64, _ name: String, _ size: Int) throws -> FuseResponse {
            try guest.ask(.getExtendedAttribute, node, .u32(UInt32(size)), .u32(0), .name(name), room: max(size, 8))
        }
        #expect(try set(node, "user.one", [1, 2, 3]) == 0)
        #expect(try get(node, "user.one", 0).u32(0) == 3)
        #expect(try get(node, "user.one", 100).body == [1, 2, 3])
        #expect(try get(node, "user.one", 2).error == -ERANGE)
        #expect(try get(node, "user.two", 2).error == -ENODATA)
        #expect(try set(node, "user.one", [], 1) == -EEXIST)
        #expect(try set(node, "user.two", [], 2) == -ENODATA)
        #expect(try set(root, "user.dir", Array("d".utf8)) == 0)
        let length = try guest.ask(.listExtendedAttributes, node, .u32(0), .u32(0)).u32(0)
        #expect(length >= 9)
        let names = try guest.ask(.listExtendedAttributes, node, .u32(1000), .u32(0), room: 1000).body
        #expect(names.count == Int(length) && String(decoding: names, as: UTF8.self).contains("user.one\0"))
        #expect(try guest.ask(.listExtendedAttributes, node, .u32(2), .u32(0)).error == -ERANGE)
        #expect(try guest.ask(.removeExtendedAttribute, node, .name("user.one")).error == 0)
        #expect(try get(node, "user.one", 0).error == -ENODATA)
        // On a symbolic link and a FIFO: refused, not done to a target, and nothing hangs.
        #expect(try guest.ask(.symbolicLink, root, .name("l"), .name("a")).error == 0)
        #expect(try set(try guest.walk("rootfs", "l"), "user.x", [1]) == -EPERM)
        unsafe mkfifo(scratch.path + "/fifo", 0o600)
        #expect(try set(try guest.walk("rootfs", "fifo"), "user.x", [1]) == -EPERM)
        #expect(try set(1, "user.x", [1]) == -EROFS)
        #expect(try get(1, "user.x", 10).error == -EOPNOTSUPP)
        // The guest's kernel takes "not supported" for a refusal of access.
        for node in [1, root, node] { #expect(try get(node, "system.posix_acl_access", 100).error == -ENODATA) }
    }

    @Test(.enabled(if: isRoot, "sets file capabilities")) func capabilitiesAndAccessControlLists() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("a", "text")
        let guest = try scratch.guest()
        let root = try guest.walk("rootfs")
        let node = try guest.walk("rootfs", "a")
        // VFS_CAP_REVISION_2 with cap_net_bind_service.
        let capability: [UInt8] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        func set(_ node: UInt64, _ name: String, _ value: [UInt8], _ extended: UInt32 = 0) throws -> Int32 {
            try guest.ask(.setExtendedAttribute, node, .u32(UInt32(value.count)), .u32(0), .u32(extended), .u32(0), .name(name), .raw(value)).error
        }
        #expect(try set(node, "security.capability", capability) == 0)
        #expect(try guest.ask(.getExtendedAttribute, node, .u32(100), .u32(0), .name("security.capability"), room: 100).body == capability)
        // A default list decides over the mask: user::rwx, user:5:rwx, group::r-x, mask::rwx, other::---.
        var list = FuseArguments(.u32(2))
        for (tag, permissions, id): (UInt32, UInt32, UInt32) in [(1, 7, .max), (2, 7, 5), (4, 5, .max), (0x10, 7, .max), (0x20, 0, .max)] {
            list.append(.u32(tag | permissions << 16))
            list.append(.u32(id))
        }
        let result = try set(root, "system.posix_acl_default", list.bytes)
        guard result == 0 else {
            #expect(result == -EOPNOTSUPP)
            return
        }
        #expect(try guest.create("new", in: root, mode: 0o666, mask: 0o077).attribute(.mode) & 0o777 == 0o660)
        #expect(try guest.setAttributes(node, .mode, mode: 0o2755).error == 0)
        #expect(try set(node, "system.posix_acl_access", list.bytes, Fuse.attributeKillsGroup) == 0)
        #expect(scratch.status("a").st_mode & 0o2000 == 0)
    }

    @Test func directoriesOfAnySize() throws {
        let scratch = try ScratchDirectory()
        let count = 100_000
        scratch.run("sh", "-c", "cd \(scratch.path) && seq -f f%06g 1 \(count) | xargs -n 5000 touch")
        let guest = try scratch.guest()
        let root = try guest.walk("rootfs")
        let handle = try guest.ask(.openDirectory, root, .u32(0), .u32(0)).u64(0)
        var names = Set<String>()
        var offset: UInt64 = 0
        var marks: [(offset: UInt64, next: String)] = []
        while true {
            let lines = try guest.readDirectory(root, handle, offset: offset)
            guard let first = lines.first, let last = lines.last else { break }
            if names.count % 7 == 0 { marks.append((offset, first.name)) }
            for line in lines where !names.insert(line.name).inserted { Issue.record("\(line.name) came twice") }
            offset = last.offset
        }
        #expect(names.count == count + 2)
        // Each mark leads back to where it was taken.
        for mark in marks.reversed().prefix(50) { #expect(try guest.readDirectory(root, handle, offset: mark.offset).first?.name == mark.next) }
        #expect(try guest.readDirectory(root, handle, offset: 0).first != nil)
        // With attributes: a node for each, though not a descriptor.
        offset = 0
        var told = 0
        var listed = 0
        while true {
            let lines = try guest.readDirectory(root, handle, offset: offset, count: 32768, plus: true)
            guard let last = lines.last else { break }
            listed += lines.count
            told += lines.count { $0.node != 0 }
            offset = last.offset
        }
        #expect(listed == count + 2 && told == count)
        #expect(guest.device.openNodeCount < 10)
        #expect(try guest.ask(.synchronizeDirectory, root, .u64(handle), .u32(0), .u32(0)).error == 0)
        // Too little room for a single entry is an empty reply.
        #expect(try guest.readDirectory(root, handle, offset: 0, count: 20).isEmpty)
    }

    @Test func aReadOnlyShareRefusesEveryChange() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("a", "text")
        let guest = try FuseGuest(try FileSystemDevice(tag: "t", shares: [try scratch.share("ro", readOnly: true), try scratch.share("rw")]))
        let root = try guest.walk("ro")
        let node = try guest.walk("ro", "a")
        #expect(try guest.open(node, O_RDWR).error == -EROFS)
        #expect(try guest.open(node, O_WRONLY).error == -EROFS)
        #expect(try guest.open(node, O_RDONLY | O_TRUNC).error == -EROFS)
        let handle = try guest.open(node, O_RDONLY).u64(0)
        #expect(try guest.read(node, handle, offset: 0, count: 9).body == Array("text".utf8))
        #expect(try guest.create("n", in: root).error == -EROFS)
        #expect(try guest.write(node, handle, offset: 0, [1]).error == -EROFS)
        #expect(try guest.setAttributes(node, .mode, mode: 0o777).error == -EROFS)
        #expect(try guest.ask(.unlink, root, .name("a")).error == -EROFS)
        #expect(try guest.ask(.removeDirectory, root, .name("a")).error == -EROFS)
        #expect(try guest.ask(.makeDirectory, root, .u32(0o755), .u32(0), .name("d")).error == -EROFS)
        #expect(try guest.ask(.makeNode, root, .u32(S_IFREG), .u32(0), .u32(0), .u32(0), .name("d")).error == -EROFS)
        #expect(try guest.ask(.symbolicLink, root, .name("l"), .name("x")).error == -EROFS)
        #expect(try guest.ask(.rename, root, .u64(root), .name("a"), .name("b")).error == -EROFS)
        #expect(try guest.ask(.temporaryFile, root, .u32(2), .u32(S_IFREG), .u32(0), .u32(0), .name("/")).error == -EROFS)
        #expect(try guest.ask(.setExtendedAttribute, node, .u32(0), .u32(0), .u32(0), .u32(0), .name("user.a")).error == -EROFS)
        #expect(try guest.ask(.removeExtendedAttribute, node, .name("user.a")).error == -EROFS)
        #expect(try guest.ask(.allocate, node, .u64(handle), .u64(0), .u64(10), .u32(0), .u32(0)).error == -EROFS)
        // Nor is it reached from a share that may be written.
        let writable = try guest.walk("rw")
        #expect(try guest.ask(.link, writable, .u64(node), .name("l")).error == -EXDEV)
        #expect(try guest.ask(.rename, writable, .u64(root), .name("a"), .name("b")).error == -EXDEV)
        #expect(try guest.ask(.rename, root, .u64(writable), .name("a"), .name("b")).error == -EROFS)
        let target = try guest.create("t", in: writable)
        let back = try guest.ask(.copyFileRange, target.node, .u64(target.u64(128)), .u64(0), .u64(node), .u64(handle), .u64(0), .u64(5), .u64(0))
        #expect(back.error == -EBADF)
        #expect(try scratch.text("a") == "text")
        #expect(try guest.ask(.synchronizeFileSystem, 1, .u64(0)).error == 0)
    }

    @Test func pagesAreKeptOnlyWhileTheHostLeavesTheFileAlone() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("a", "text")
        scratch.run("touch", "-d", "2001-01-01", scratch.path + "/a")
        usleep(60_000)
        let guest = try scratch.guest()
        let node = try guest.walk("rootfs", "a")
        #expect(try guest.open(node, O_RDONLY).u32(8) & Fuse.OpenReply.keepCache == 0)
        #expect(try guest.open(node, O_RDONLY).u32(8) & Fuse.OpenReply.keepCache != 0)
        try scratch.write("a", "new!")
        #expect(try guest.open(node, O_RDONLY).u32(8) & Fuse.OpenReply.keepCache == 0)
        #expect(try guest.open(node, O_RDWR).u32(8) & Fuse.OpenReply.noFlush == 0)
    }

    @Test func whatIsNotServedSaysSo() throws {
        let scratch = try ScratchDirectory()
        let guest = try scratch.guest()
        let root = try guest.walk("rootfs")
        for opcode in [Fuse.Opcode.getLock, .setLock, .setLockWait, .access, .blockMap, .poll, .setUpMapping, .removeMapping] {
            #expect(try guest.ask(opcode, root).error == -ENOSYS)
        }
        #expect(try guest.ask(.control, root).error == -ENOTTY)
        let unknown = try guest.send(FuseGuest.header(40, 4096, unique: 99, node: root), room: 16)
        #expect(FuseGuest.parse(unknown).error == -ENOSYS && FuseGuest.parse(unknown).unique == 99)
    }
}
