import Testing

@testable import ControlGroups

/// Which hierarchies there are, and where a container's group lies in them.
@Suite struct LayoutTests {
    static let version2 = """
        22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
        24 22 0:22 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
        """
    static let version1 = """
        22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
        31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:3 master:1 - cgroup cgroup rw,cpu,cpuacct
        33 31 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory,clone_children
        34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/systemd/systemd-cgroups-agent,name=systemd
        """
    static let hybrid = version1 + "\n41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw"

    @Test(arguments: [
        (version2, ["/sys/fs/cgroup:"], true),
        (version1, ["/sys/fs/cgroup/cpu,cpuacct:cpu,cpuacct", "/sys/fs/cgroup/memory:memory", "/sys/fs/cgroup/systemd:name=systemd"], false),
        (hybrid, ["/sys/fs/cgroup/cpu,cpuacct:cpu,cpuacct", "/sys/fs/cgroup/memory:memory", "/sys/fs/cgroup/systemd:name=systemd", "/sys/fs/cgroup/unified:"], false),
        ("", [], false),
        // A second mount of a hierarchy, a part of one, and nothing at all.
        (version2 + "\n25 22 0:22 /a /mnt rw - cgroup2 none rw", ["/sys/fs/cgroup:"], true),
        ("25 22 0:22 / /c rw - cgroup none rw", [], false),
        // Lines that are cut off, or no lines of the kernel's.
        ("24 22 0:22 / /c rw - cgroup2", [], false), ("24 22 0:22 / /c rw - cgroup2 none", [], false), ("- cgroup2 x y", [], false),
        ("24 22 0:22 / /c rw cgroup2 none rw", [], false), ("\n\n - - -\n", [], false),
        // Dashes everywhere, and a path that reads like what is looked for.
        ("24 22 0:22 /a-b /c-d/-cgroup rw,x-y - - cgroup2 n rw", [], false), ("24 22 0:22 /a-b /c-d/-cgroup rw,x-y shared:1 - cgroup2 n rw", ["/c-d/-cgroup:"], true),
        ("24 22 0:22 / /-\\040cgroup rw - tmpfs - cgroup rw", [], false), ("24 22 0:22 / /c rw -cgroup2 - ext4 n rw\n-", [], false),
        // Blanks and the like in the mount point.
        (#"24 22 0:22 /a\134b /my\040c\011\012\134x rw - cgroup2 n rw"#, ["/my c\t\n\\x:"], true),
        // A carriage return in somebody's option does not hide the next line.
        ("23 22 0:21 / /x rw - overlay o rw,lowerdir=/x\r\n" + version2, ["/sys/fs/cgroup:"], true),
    ] as [(String, [String], Bool)])
    func hierarchiesOfAMountTable(text: String, expected: [String], isUnified: Bool) {
        let layout = ControlGroupLayout(mountInfo: text)
        #expect(layout.hierarchies.map { "\($0.mountPoint):\($0.controllers.joined(separator: ","))" } == expected)
        #expect(layout.isUnified == isUnified)
    }

    @Test(arguments: [
        ("plain", "plain"), (#"a\040b"#, "a b"), (#"\134"#, "\\"), (#"\134040"#, #"\040"#), (#"a\04"#, #"a\04"#), (#"a\"#, #"a\"#), (#"\999"#, #"\999"#), (#"\303\251"#, "é"),
        (#"\777"#, #"\777"#),
    ])
    func octalEscapes(field: String, expected: String) { #expect(ControlGroupLayout.unescaped(Substring(field)) == expected) }

    @Test func mutationsOfAMountTableNeverTrap() {
        let seed = Array(Self.hybrid.utf8)
        var state: UInt64 = 3
        func random(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(limit))
        }
        for _ in 0..<500 {
            var text = seed
            for _ in 0...random(20) { text[random(text.count)] = [0x20, 0x0A, 0x2D, 0x5C, 0x2C, UInt8(random(256))][random(6)] }
            let words = String(decoding: text, as: UTF8.self)
            #expect(ControlGroupLayout(mountInfo: words).hierarchies.count <= 8)
            _ = ControlGroupLayout.memberships(words)
        }
    }

    @Test func membershipsOfAProcess() {
        let text = "9:name=systemd:/init.scope\n4:memory:/a:b\n2:cpu,cpuacct:/\n0::/user.slice\n\nnonsense\n1:x\n"
        #expect(ControlGroupLayout.memberships(text) == ["name=systemd": "/init.scope", "memory": "/a:b", "cpu,cpuacct": "/", "": "/user.slice"])
    }

    static let places: [(path: String?, root: String, membership: String, expected: String?)] = [
        ("/a/b", "/", "/own", "/c/a/b"), ("//a/./b/", "/", "/own", "/c/a/b"), ("a/b", "/", "/own", "/c/a/b"), ("a", "/", "/own/deep", "/c/own/a"), ("a", "/", "/", "/c/a"),
        (nil, "/", "/own/deep", "/c/own/id"), ("", "/", "/", "/c/id"), ("/a/x/../b", "/", "/", "/c/a/b"),
        // Nothing climbs out, and the root of the hierarchy is nobody's group.
        ("/..", "/", "/", nil), ("/../x", "/", "/", nil), ("a/../../x", "/", "/own", nil), ("/", "/", "/", nil), ("/.", "/", "/", nil), ("/a/..", "/", "/", nil),
        ("..", "/", "/own", nil), ("a\0b", "/", "/", nil), (nil, "/", "/../other", nil),
        // systemd's form, unless it is a path.
        ("system.slice:docker:abc", "/", "/", nil), ("::", "/", "/", nil), ("a:b", "/", "/", "/c/a:b"), ("/a:b:c", "/", "/", "/c/a:b:c"),
        // Only a part of the hierarchy is mounted: the caller's own group is seen from there.
        ("a", "/box", "/box", "/c/a"), ("a", "/box", "/box/inner/most", "/c/inner/a"), ("a", "/box", "/boxes/x", "/c/boxes/a"), ("/a", "/box", "/box/inner", "/c/a"),
    ]
    @Test(arguments: places.indices) func directories(index: Int) {
        let (path, root, membership, expected) = Self.places[index]
        let hierarchy = ControlGroupHierarchy(mountPoint: "/c", root: root, controllers: [])
        let directory = try? ControlGroupLayout.directory(in: hierarchy, path: path, identifier: "id", membership: membership)
        #expect(directory == expected, "\(path ?? "nil") \(root) \(membership)")
    }

    /// In version 1 processes and groups may be side by side.
    @Test func relativePathsOfVersion1AreBelowTheOwnGroup() throws {
        let hierarchy = ControlGroupHierarchy(mountPoint: "/c", root: "/", controllers: ["memory"])
        for (path, expected) in [("a/b", "/c/own/a/b"), (nil, "/c/own/id"), ("/a", "/c/a")] as [(String?, String)] {
            #expect(try ControlGroupLayout.directory(in: hierarchy, path: path, identifier: "id", membership: "/own") == expected)
        }
    }

    @Test func aPathForSystemdIsToldFromAnImpossibleOne() {
        let hierarchy = ControlGroupHierarchy(mountPoint: "/c", root: "/", controllers: [])
        #expect(throws: ControlGroupError.systemdPath("a:b:c")) { try ControlGroupLayout.directory(in: hierarchy, path: "a:b:c", identifier: "id", membership: "/") }
        #expect(throws: ControlGroupError.invalidPath("/..")) { try ControlGroupLayout.directory(in: hierarchy, path: "/..", identifier: "id", membership: "/") }
    }
}
