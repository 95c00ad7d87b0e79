import Glibc
import LinuxSystem
import Testing

@testable import ContainerSetup

/// Paths of an image stay in it.
@Suite struct RootDirectoryTests {
    private static func image() throws -> Image {
        let image = try Image()
        for (name, target) in [
            ("/abs", "/etc"), ("/up", "../../../../etc"), ("/rel", "dir/sub"), ("/one", "two"), ("/two", "three"), ("/three", "/dir"), ("/loop", "pool"), ("/pool", "loop"),
            ("/self", "."), ("/top", "/"), ("/dir/parent", ".."), ("/dangling", "/new/place"), ("/climbing", "../../outside/new"), ("/dir/near", "made"), ("/dir/side", "../beside"),
            ("/endless", "endless/x"), ("/passwd", "/etc/passwd"),
        ] { try image.link(name, to: target) }
        return image
    }

    @Test(arguments: [
        ("/", "/"), ("", "/"), ("/etc", "/etc"), ("etc//./", "/etc"), ("/abs/passwd", "/etc/passwd"), ("/up/passwd", "/etc/passwd"), ("/rel", "/dir/sub"), ("/one/sub", "/dir/sub"),
        ("/..", "/"), ("/../../../etc", "/etc"), ("/dir/../../../etc", "/etc"), ("/self/self/self/etc", "/etc"), ("/top/top/../dir", "/dir"), ("/dir/parent/dir/parent/etc", "/etc"),
        ("/passwd", "/etc/passwd"), ("/dir/parent/../../rel/../..", "/"),
    ])
    func existingPaths(path: String, inside: String) throws {
        let image = try Self.image()
        let root = try image.root()
        let opened = try root.open(path)
        #expect(try root.inside(opened) == inside)
    }

    @Test(arguments: [
        ("/missing", Errno.noSuchFile), ("/dangling", .noSuchFile), ("/climbing", .noSuchFile), ("/etc/passwd/x", .notDirectory), ("/loop", .symbolicLinkLoop), ("/endless", .symbolicLinkLoop),
        ("/" + String(repeating: "x", count: 256), .nameTooLong), (String(repeating: "/x", count: 3000), .nameTooLong),
    ])
    func pathsThatCannotBeOpened(path: String, errno: Errno) throws {
        let image = try Self.image()
        let root = try image.root()
        let error = #expect(throws: SystemError.self) { _ = try root.open(path) }
        #expect(error?.errno == errno && error?.path == path)
    }

    @Test(arguments: [
        ("/a", "/a"), ("a", "/a"), ("/a/b/c", "/a/b/c"), ("/etc/x/", "/etc/x"), ("/abs/x", "/etc/x"), ("/up/y/z", "/etc/y/z"), ("/dangling", "/new/place"), ("/dangling/x", "/new/place/x"),
        ("/climbing/x", "/outside/new/x"), ("/dir/near/x", "/dir/made/x"), ("/dir/side", "/beside"), ("/one/two/three", "/dir/two/three"), ("/../../x", "/x"), ("/self/./x", "/x"),
        ("/dir/parent/x", "/x"),
    ])
    func missingPathsAreMade(path: String, inside: String) throws {
        for isDirectory in [true, false] {
            let image = try Self.image()
            let before = try image.outsideState()
            let root = try image.root()
            let made = try isDirectory ? root.directory(path) : root.file(path)
            #expect(try root.inside(made) == inside)
            let status = try FileStatus(path: image.rootfs + inside)
            #expect(status.isDirectory == isDirectory && status.isRegular == !isDirectory)
            // A second time it is there.
            let again = try isDirectory ? root.directory(path) : root.file(path)
            #expect(try again.status().inode == status.inode)
            #expect(try image.outsideState() == before)
        }
    }

    @Test(arguments: [
        ("/etc/passwd/x", Errno.notDirectory), ("/loop/x", .symbolicLinkLoop), ("/loop", .symbolicLinkLoop), ("/endless", .symbolicLinkLoop), ("/passwd/x", .notDirectory),
        ("/missing/" + String(repeating: "x", count: 256), .nameTooLong), (String(repeating: "/x", count: 3000), .nameTooLong),
    ])
    func pathsThatCannotBeMade(path: String, errno: Errno) throws {
        let image = try Self.image()
        let root = try image.root()
        for error in [#expect(throws: SystemError.self) { _ = try root.directory(path) }, #expect(throws: SystemError.self) { _ = try root.file(path) }] {
            #expect(error?.errno == errno)
        }
    }

    /// A path may be as deep as the kernel lets it be: depth is no chain of links.
    @Test func deepPathsAreMade() throws {
        let image = try Self.image()
        let root = try image.root()
        let path = String(repeating: "/d", count: 300)
        let made = try root.directory(path + "/end")
        #expect(try root.inside(made) == path + "/end")
    }

    /// Links to what is missing, forty of them and then some, each with a long way to make behind it.
    @Test(arguments: [(30, 1, true), (45, 1, false), (45, 900, false)]) func chainsOfDanglingLinksEnd(links: Int, depth: Int, isMade: Bool) throws {
        let image = try Self.image()
        for index in 0..<links { try image.link("/link\(index)", to: "/link\(index + 1)" + String(repeating: "/d", count: depth)) }
        let root = try image.root()
        if isMade {
            let made = try root.directory("/link0")
            #expect(try root.inside(made) == "/link\(links)" + String(repeating: "/d", count: links * depth))
        } else {
            #expect(throws: SystemError.self) { _ = try root.directory("/link0") }
        }
    }

    @Test(arguments: [("/x/y", "/x", "y"), ("y", "/", "y"), ("/abs/y", "/etc", "y"), ("/x/./y/.", "/x", "y"), ("/climbing/y", "/outside/new", "y"), ("/abs", "/", "abs")])
    func theParentOfAName(path: String, directory: String, name: String) throws {
        let image = try Self.image()
        let root = try image.root()
        let place = try root.parent(of: path)
        #expect(try root.inside(place.directory) == directory)
        #expect(place.name == name)
    }

    @Test(arguments: ["/", "", ".", "/..", "/x/.."]) func noNameNoParent(path: String) throws {
        let image = try Self.image()
        let root = try image.root()
        #expect(throws: SystemError(.invalidArgument, "open", path: path)) { _ = try root.parent(of: path) }
    }

    @Test func waysOutLeadInside() throws {
        let image = try Image()
        let ways = try image.makeWaysOut()
        let before = try image.outsideState()
        let root = try image.root()
        for way in ways {
            #expect(throws: SystemError.self, "\(way)") { _ = try root.open(way + "/file", flags: O_RDONLY) }
            let directory = try root.directory(way + "/new/directory")
            let file = try root.file(way + "/new/file")
            let place = try root.parent(of: way + "/new/node")
            for inside in [try root.inside(directory), try root.inside(file), try root.inside(place.directory)] {
                #expect((try? FileStatus(path: image.rootfs + inside)) != nil, "\(way)")
            }
            #expect(try image.outsideState() == before, "\(way)")
        }
    }

    /// Links of /proc lead to objects and not along paths: none is followed, wherever it leads.
    @Test(.enabled(if: isRoot, "mounts /proc into an image")) func magicLinksAreNotFollowed() async {
        await #expect(processExitsWith: .success) {
            let image = try Image()
            try makeDirectory(image.rootfs + "/proc")
            try image.link("/root", to: "/proc/self/root")
            try image.link("/cwd", to: "/proc/self/cwd")
            let outside = try OwnedDescriptor(opening: image.outside, flags: O_PATH | O_DIRECTORY)
            try image.link("/fd", to: "/proc/self/fd/\(outside.rawValue)")
            try NamespaceSet.mount.unshare()
            try MountTree.setPropagation("/", .private, recursive: true)
            let proc = try MountDescriptor(cloning: try OwnedDescriptor(opening: "/proc", flags: O_PATH), recursive: false)
            try proc.attach(over: try OwnedDescriptor(opening: image.rootfs + "/proc", flags: O_PATH))
            let before = try image.outsideState()
            let root = try image.root()
            _ = try root.open("/proc/self/status")
            for way in ["/root", "/cwd", "/fd", "/proc/self/root", "/proc/self/cwd", "/proc/self/fd/\(outside.rawValue)", "/proc/thread-self/root", "/proc/1/root", "/proc/self/exe"] {
                #expect(throws: SystemError.self, "\(way)") { _ = try root.open(way) }
                #expect(throws: SystemError.self, "\(way)") { _ = try root.directory(way + "/new") }
                #expect(throws: SystemError.self, "\(way)") { _ = try root.file(way + "/new") }
                #expect(throws: SystemError.self, "\(way)") { _ = try root.parent(of: way + "/new") }
            }
            #expect(try image.outsideState() == before)
        }
    }
}
