import Glibc
import LinuxSystem
import Testing

/// Entries of directories, attributes, and what is done to an object through its descriptor.
@Suite struct FilesTests {
    @Test(arguments: [
        ("a", nil), ("...", nil), (".a", nil), ("..a", nil), ("a b\n", nil), (String(repeating: "x", count: 255), nil), ("é", nil),
        ("", .invalidArgument), (".", .invalidArgument), ("..", .invalidArgument), ("/", .invalidArgument), ("a/b", .invalidArgument), ("a\0", .invalidArgument), ("\0", .invalidArgument),
        (String(repeating: "x", count: 256), .nameTooLong),
    ] as [(String, Errno?)])
    func namesOfEntries(text: String, errno: Errno?) throws {
        if let errno {
            #expect(throws: SystemError(errno, "name")) { try EntryName(text) }
        } else {
            let name = try EntryName(text)
            #expect(Array(name.bytes) == Array(text.utf8) && name.count == text.utf8.count)
        }
    }

    /// Each finds what the others have removed already.
    @Test func aTreeRemovedBySeveralAtOnce() async throws {
        let directory = try Directory()
        for _ in 0..<5 {
            for depth in [1, 40] {
                var folder = try directory.open()
                for _ in 0..<depth {
                    try folder.makeDirectory(try EntryName("tree"), mode: 0o700)
                    folder = try folder.openEntry(try EntryName("tree"), flags: O_RDONLY | O_DIRECTORY)
                    for number in 0..<30 { _ = try folder.openEntry(try EntryName("f\(number)"), flags: O_WRONLY | O_CREAT, mode: 0o600) }
                }
                let path = directory.path
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<4 { group.addTask { try OwnedDescriptor(opening: path, flags: O_RDONLY | O_DIRECTORY).removeTree(try EntryName("tree")) } }
                    try await group.waitForAll()
                }
                #expect(try directory.open().entryNames().isEmpty)
            }
        }
    }

    @Test func namesAreBytes() throws {
        let directory = try Directory()
        let handle = try directory.open(O_PATH)
        let name = try EntryName([0xFF, 0xFE, 0x20])
        try handle.makeDirectory(name, mode: 0o700)
        #expect(try handle.attributes(of: name).mode == UInt32(S_IFDIR) | 0o700)
        try handle.removeDirectory(name)
    }

    @Test(arguments: [
        ("user.x", nil), (String(repeating: "x", count: 255), nil), ("", ERANGE), (String(repeating: "x", count: 256), ERANGE), ("user.\0", EINVAL),
    ] as [(String, Int32?)])
    func namesOfAttributes(text: String, errno: Int32?) throws {
        if let errno { #expect(throws: SystemError(Errno(rawValue: errno), "name")) { try AttributeName(text) } } else { _ = try AttributeName(text) }
    }

    @Test(arguments: [("system.posix_acl_access", true), ("system.posix_acl_default", true), ("user.system.posix_acl_access", false), ("system.posix", false)])
    func accessControlLists(name: String, isOne: Bool) throws { #expect(try AttributeName(name).isAccessControlList == isOne) }

    @Test func entriesAreMadeRenamedAndRemoved() throws {
        let directory = try Directory()
        let handle = try directory.open(O_PATH)
        let names = try ["file", "pipe", "link", "folder", "other"].map { try EntryName($0) }
        let (file, pipe, link, folder, other) = (names[0], names[1], names[2], names[3], names[4])
        try handle.openEntry(file, flags: O_CREAT | O_EXCL | O_RDWR, mode: 0o600).writeAll([1, 2, 3])
        try handle.makeNode(pipe, mode: UInt32(S_IFIFO) | 0o600, major: 0, minor: 0)
        try handle.makeSymbolicLink(link, target: Array("../outside".utf8))
        try handle.makeDirectory(folder, mode: 0o700)
        #expect(try Set(handle.entries()) == ["file", "pipe", "link", "folder"])
        let attributes = try handle.attributes(of: file)
        #expect(attributes.size == 3 && attributes.links == 1 && attributes.mode == UInt32(S_IFREG) | 0o600 && attributes.user == geteuid())
        #expect(try handle.attributes(of: pipe).mode == UInt32(S_IFIFO) | 0o600)
        // A link is described and read itself; opened it is refused, unless by O_PATH.
        #expect(try handle.attributes(of: link).mode & 0o170000 == UInt32(S_IFLNK))
        #expect(throws: SystemError(.symbolicLinkLoop, "openat")) { _ = try handle.openEntry(link, flags: O_RDONLY) }
        let opened = try handle.openEntry(link, flags: O_PATH)
        #expect(try opened.readSymbolicLink() == Array("../outside".utf8) && handle.linkTarget(of: "link") == "../outside")
        #expect(try opened.status().isSymbolicLink && handle.status(of: "link").isSymbolicLink)
        // The object of a descriptor is the same, however it was reached.
        #expect(try handle.openEntry(file, flags: O_PATH).attributes().inode == attributes.inode)
        #expect(throws: SystemError(.fileExists, "renameat2")) { try handle.rename(file, to: handle, folder, flags: 1 /* RENAME_NOREPLACE */) }
        try handle.rename(file, to: handle, other, flags: 0)
        try handle.rename(other, to: handle, folder, flags: 2 /* RENAME_EXCHANGE */)
        #expect(try handle.status(of: "folder").isRegular && handle.status(of: "other").isDirectory)
        #expect(throws: SystemError(.isDirectory, "unlinkat")) { try handle.removeFile(other) }
        #expect(throws: SystemError(.notDirectory, "unlinkat")) { try handle.removeDirectory(folder) }
        try handle.removeDirectory(other)
        for name in [folder, pipe, link] { try handle.removeFile(name) }
        #expect(try handle.entries() == [])
        #expect(throws: SystemError(.noSuchFile, "statx")) { _ = try handle.attributes(of: file) }
    }

    @Test func namesOfAFullDirectory() throws {
        let directory = try Directory()
        let handle = try directory.open()
        let names = (0..<2000).map { "entry-\($0)-" + String(repeating: "x", count: 50) }
        for name in names { try handle.makeNode(name, mode: UInt32(S_IFREG) | 0o600) }
        #expect(try Set(handle.entries()) == Set(names))
        // Again, from the start.
        #expect(try handle.entries().count == 2000)
    }

    @Test func contents() throws {
        let directory = try Directory()
        let handle = try directory.open()
        let file = try handle.openEntry(EntryName("file"), flags: O_CREAT | O_RDWR, mode: 0o600)
        try file.writeAll(Array(0..<100))
        #expect(try file.seek(to: 10, whence: SEEK_SET) == 10 && file.seek(to: 0, whence: SEEK_END) == 100)
        #expect(throws: SystemError(.invalidArgument, "lseek")) { _ = try file.seek(to: -1, whence: SEEK_SET) }
        try file.truncate(to: 50)
        #expect(try file.size() == 50)
        #expect(throws: SystemError(.invalidArgument, "ftruncate")) { try file.truncate(to: -1) }
        let other = try handle.openEntry(EntryName("other"), flags: O_CREAT | O_RDWR, mode: 0o600)
        #expect(try file.copyRange(from: 40, to: other, at: 5, count: 100) == 10)
        #expect(try other.bytes(at: 0, count: 100) == [0, 0, 0, 0, 0] + Array(40..<50))
        try file.synchronize()
        try file.synchronize(dataOnly: true)
        let unnamed = try handle.openUnnamedFile(flags: O_RDWR, mode: 0o600)
        try unnamed.writeAll([1])
        #expect(try unnamed.attributes().links == 0 && Set(handle.entries()) == ["file", "other"])
    }

    @Test func attributesOfAnObjectThatIsOnlyNamed() async {
        await #expect(processExitsWith: .success) {
            let directory = try Directory()
            let handle = try directory.open(O_PATH)
            try writeFile(directory.path + "/file", [1, 2, 3])
            try OwnedDescriptor(opening: directory.path, flags: O_RDONLY | O_DIRECTORY).makeSymbolicLink("link", to: "file")
            let links = try DescriptorLinks()
            try links.enterOnThisThread()
            let object = try handle.openEntry(EntryName("file"), flags: O_PATH)
            // What O_PATH refuses goes through the links.
            #expect(throws: SystemError(.badDescriptor, "ftruncate")) { try object.truncate(to: 0) }
            try links.truncate(object, to: 2)
            try links.changeMode(object, 0o604)
            try links.changeTimes(object, access: FileTime(seconds: 5, nanoseconds: 6), modification: FileTime(seconds: -7, nanoseconds: 8))
            try links.link(object, in: handle, EntryName("second"))
            let attributes = try object.attributes()
            #expect(attributes.size == 2 && attributes.mode == UInt32(S_IFREG) | 0o604 && attributes.links == 2, "attributes")
            #expect(attributes.accessTime == FileTime(seconds: 5, nanoseconds: 6) && attributes.modificationTime == FileTime(seconds: -7, nanoseconds: 8), "times")
            try links.changeTimes(object, access: .unchanged, modification: FileTime(seconds: 9, nanoseconds: 0))
            #expect(try object.attributes().accessTime.seconds == 5 && object.attributes().modificationTime.seconds == 9, "one time")
            #expect(try links.reopen(object, flags: O_RDONLY).readAll(limit: 10) == [1, 2], "reopen")
            // A symbolic link is the object itself here, too.
            let link = try handle.openEntry(EntryName("link"), flags: O_PATH)
            #expect(throws: SystemError(.symbolicLinkLoop, "openat"), "open") { _ = try links.reopen(link, flags: O_RDONLY) }
            #expect(throws: SystemError(.notSupported, "fchmodat"), "mode") { try links.changeMode(link, 0o777) }
            #expect(try object.attributes().mode == UInt32(S_IFREG) | 0o604, "unchanged")
            // Renamed and removed, it is still the object.
            try handle.rename(EntryName("file"), to: handle, EntryName("moved"), flags: 0)
            try handle.removeFile(EntryName("moved"))
            try handle.removeFile(EntryName("second"))
            try links.changeMode(object, 0o600)
            #expect(try object.attributes().links == 0, "removed")
        }
    }

    @Test func extendedAttributes() async {
        await #expect(processExitsWith: .success) {
            let directory = try Directory()
            try writeFile(directory.path + "/file", [])
            let object = try OwnedDescriptor(opening: directory.path + "/file", flags: O_PATH)
            let links = try DescriptorLinks()
            try links.enterOnThisThread()
            let name = try AttributeName("user.nacelle")
            do throws(SystemError) {
                try links.setExtendedAttribute(name, of: object, [1, 2, 3], flags: 1 /* XATTR_CREATE */)
            } catch {
                // A file system without them says so.
                #expect(error.errno == .notSupported, "\(error)")
                return
            }
            #expect(throws: SystemError(.fileExists, "setxattr"), "create") { try links.setExtendedAttribute(name, of: object, [], flags: 1) }
            #expect(try links.extendedAttribute(name, of: object, limit: 3) == [1, 2, 3] && links.extendedAttributeLength(name, of: object) == 3, "value")
            #expect(throws: SystemError(Errno(rawValue: ERANGE), "getxattr"), "limit") { _ = try links.extendedAttribute(name, of: object, limit: 2) }
            let names = try links.extendedAttributeNames(of: object, limit: 1000)
            #expect(try names.count == links.extendedAttributeNamesLength(of: object) && names.split(separator: 0).contains(Array("user.nacelle".utf8)[...]), "names")
            try links.removeExtendedAttribute(name, of: object)
            #expect(throws: SystemError(Errno(rawValue: ENODATA), "getxattr"), "removed") { _ = try links.extendedAttributeLength(name, of: object) }
        }
    }

    @Test(.enabled(if: isRoot, "gives files to other users")) func owners() throws {
        let directory = try Directory()
        try writeFile(directory.path + "/file", [])
        let handle = try directory.open()
        let object = try handle.openEntry(EntryName("file"), flags: O_PATH)
        try object.changeOwner(user: 5, group: nil)
        try object.changeOwner(user: nil, group: 6)
        #expect(try object.attributes().user == 5 && object.attributes().group == 6)
        try handle.makeSymbolicLink("link", to: "file")
        try handle.setOwner(of: "link", user: 7, group: 8)
        #expect(try handle.status(of: "link").user == 7 && handle.status(of: "file").user == 5)
        try handle.makeNode("null", mode: UInt32(S_IFCHR) | 0o600, major: 1, minor: 3)
        #expect(try handle.status(of: "null").isNullDevice && !handle.status(of: "file").isNullDevice)
        let attributes = try handle.attributes(of: EntryName("null"))
        #expect(attributes.deviceMajor == 1 && attributes.deviceMinor == 3)
    }

    @Test func fileSystems() throws {
        let proc = try OwnedDescriptor(opening: "/proc", flags: O_PATH)
        #expect(try proc.fileSystemStatistics().type == FileSystemStatistics.procType && proc.fileSystemType() == Int(FileSystemStatistics.procType))
        let directory = try Directory()
        let statistics = try directory.open().fileSystemStatistics()
        #expect(statistics.blocks >= statistics.freeBlocks && statistics.nameLength >= 255 && statistics.blockSize > 0)
        #expect(descriptorLimit() > 2)
    }
}
