import Glibc
import GuestRAM
import LinuxSystem
import Synchronization
import Testing
import Virtio
@testable import VirtioDevices

@Suite("virtio-fs and a hostile guest", .serialized) struct HostileGuestTests {
    @Test(arguments: ["..", ".", "", "a/b", "/", "../secret", "dir/../../secret"]) func namesThatClimb(name: String) throws {
        let scratch = try ScratchDirectory()
        unsafe mkdir(scratch.path + "/dir", 0o755)
        let guest = try scratch.guest()
        for parent in [1, try guest.walk("rootfs"), try guest.walk("rootfs", "dir")] {
            #expect(try guest.lookup(name, in: parent).error == -EINVAL)
            #expect(try guest.create(name, in: parent).error == -EINVAL)
            #expect(try guest.ask(.unlink, parent, .name(name)).error == -EINVAL)
            #expect(try guest.ask(.rename, parent, .u64(parent), .name("dir"), .name(name)).error == -EINVAL)
        }
        #expect(try readFile(scratch.outside + "/secret") == Array("secret".utf8))
    }

    @Test func symbolicLinksAreNeverFollowed() throws {
        let scratch = try ScratchDirectory()
        unsafe symlink("/etc", scratch.path + "/etc")
        unsafe symlink("../secret", scratch.path + "/out")
        let guest = try scratch.guest()
        let root = try guest.walk("rootfs")
        let link = try guest.lookup("etc", in: root)
        #expect(link.attribute(.mode) & 0o170000 == UInt64(S_IFLNK))
        #expect(try guest.lookup("passwd", in: link.node).error == -ENOTDIR)
        #expect(try guest.create("x", in: link.node).error == -ENOTDIR)
        #expect(try guest.ask(.openDirectory, link.node, .u32(0), .u32(0)).error == -ENOTDIR)
        let out = try guest.lookup("out", in: root)
        #expect(try guest.open(out.node, O_RDONLY).error == -ELOOP)
        #expect(try guest.open(out.node, O_RDWR | O_TRUNC).error == -ELOOP)
        #expect(try guest.create("out", in: root, flags: O_RDWR).error == -ELOOP)
        #expect(try guest.setAttributes(out.node, .size, size: 0).error == -EINVAL)
        #expect(try readFile(scratch.outside + "/secret") == Array("secret".utf8))
    }

    /// Another thread (a second guest process, or the host) swaps a file with a symbolic link all the time.
    @Test func aLinkThatIsSwappedInDoesNotEscape() throws {
        let scratch = try ScratchDirectory()
        unsafe mkdir(scratch.path + "/victim", 0o755)
        try scratch.write("victim/passwd", "inside")
        unsafe symlink("/etc", scratch.path + "/swap")
        let stop = Racer(scratch.path + "/victim", scratch.path + "/swap")
        try startThread(name: "racer") { stop.run() }
        let guest = try scratch.guest()
        let root = try guest.walk("rootfs")
        var found = 0
        for _ in 0..<5000 {
            let victim = try guest.lookup("victim", in: root)
            guard victim.node != 0 else { continue }
            let entry = try guest.lookup("passwd", in: victim.node)
            if entry.error == 0, entry.node != 0 {
                found += 1
                let opened = try guest.open(entry.node, O_RDONLY)
                #expect(opened.error == 0)
                #expect(try guest.read(entry.node, opened.u64(0), offset: 0, count: 6).body == Array("inside".utf8))
                _ = try guest.ask(.release, entry.node, .u64(opened.u64(0)), .u32(0), .u32(0), .u64(0))
            }
        }
        stop.finish()
        #expect(found > 0)
    }

    private final class Racer: Sendable {
        let one: String
        let two: String
        private let stops = Atomic<Bool>(false)
        private let ended = Atomic<Bool>(false)
        init(_ one: String, _ two: String) { (self.one, self.two) = (one, two) }
        func run() {
            while !stops.load(ordering: .relaxed) { unsafe renameat2(AT_FDCWD, one, AT_FDCWD, two, 2) }
            ended.store(true, ordering: .releasing)
        }
        func finish() {
            stops.store(true, ordering: .relaxed)
            while !ended.load(ordering: .acquiring) { sched_yield() }
        }
    }

    @Test(.enabled(if: isRoot, "makes device nodes")) func specialFilesAreNotOpened() throws {
        let scratch = try ScratchDirectory()
        unsafe mkfifo(scratch.path + "/fifo", 0o666)
        unsafe mknod(scratch.path + "/zero", S_IFCHR | 0o666, 0x105)
        unsafe mknod(scratch.path + "/socket", S_IFSOCK | 0o666, 0)
        let guest = try scratch.guest()
        for name in ["fifo", "zero", "socket"] {
            let node = try guest.walk("rootfs", name)
            for flags in [O_RDONLY, O_WRONLY, O_RDWR | O_TRUNC] { #expect(try guest.open(node, flags).error == -ENXIO, "\(name)") }
            #expect(try guest.setAttributes(node, .size, size: 0).error == -EINVAL)
            #expect(try guest.create(name, in: try guest.walk("rootfs"), flags: O_RDWR).error == -ENXIO)
            // What concerns the node itself works.
            #expect(try guest.setAttributes(node, .mode, mode: 0o640).attribute(.mode, in: 16) & 0o777 == 0o640)
        }
    }

    @Test func processFileSystemsAreNotShared() throws {
        #expect(throws: SystemError(.permissionDenied, "share", path: "p")) {
            try FileSystemDevice.Share(name: "p", descriptor: try OwnedDescriptor(opening: "/proc/self", flags: O_PATH), readOnly: true)
        }
        // One that is mounted below a share.
        let root = try FileSystemDevice.Share(name: "host", descriptor: try OwnedDescriptor(opening: "/", flags: O_PATH), readOnly: true)
        let guest = try FuseGuest(try FileSystemDevice(tag: "t", shares: [root]))
        let host = try guest.walk("host")
        #expect(try guest.lookup("proc", in: host).error == -EACCES)
        // Other mounts are entered, as mounts.
        let dev = try guest.lookup("dev", in: host)
        #expect(dev.error == 0 && dev.attribute(.flags) == 1)
        #expect(try guest.lookup("tmp", in: host).error == 0)
    }

    @Test func numbersThatWereNeverGiven() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("a", "text")
        let guest = try scratch.guest()
        for node: UInt64 in [0, 3, 4, 1000, .max, 1 << 63] {
            #expect(try guest.attributes(node).error == -ESTALE)
            #expect(try guest.lookup("a", in: node).error == -ESTALE)
            #expect(try guest.open(node, O_RDONLY).error == -ESTALE)
            #expect(try guest.ask(.openDirectory, node, .u32(0), .u32(0)).error == -ESTALE)
        }
        let node = try guest.walk("rootfs", "a")
        let handle = try guest.open(node, O_RDONLY).u64(0)
        for wrong: UInt64 in [0, handle + 1, .max] { #expect(try guest.read(node, wrong, offset: 0, count: 4).error == -EBADF) }
        // A handle goes with its node, and a directory's is not a file's.
        #expect(try guest.read(try guest.walk("rootfs"), handle, offset: 0, count: 4).error == -EBADF)
        let directory = try guest.ask(.openDirectory, try guest.walk("rootfs"), .u32(0), .u32(0)).u64(0)
        #expect(try guest.read(try guest.walk("rootfs"), directory, offset: 0, count: 4).error == -EBADF)
        #expect(throws: SystemError(.badDescriptor, "readdir")) { try guest.readDirectory(node, handle, offset: 0) }
        for opcode in [Fuse.Opcode.release, .releaseDirectory] { #expect(try guest.ask(opcode, node, .u64(999), .u32(0), .u32(0), .u64(0)).error == 0) }
    }

    @Test func forgettingIsCounted() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("a", "text")
        let guest = try scratch.guest()
        let root = try guest.walk("rootfs")
        let node = try guest.walk("rootfs", "a")
        for _ in 0..<2 { _ = try guest.lookup("a", in: root) }
        let count = guest.device.openCount
        try guest.forget(node, 2)
        #expect(try guest.attributes(node).error == 0)
        try guest.forget(node, .max)
        #expect(try guest.attributes(node).error == -ESTALE)
        #expect(guest.device.openCount == count - 1)
        // Found again, it has another number; the roots stay whatever is forgotten.
        #expect(try guest.walk("rootfs", "a") > node)
        for pinned in [root, 1, 0, 12345] { try guest.forget(pinned, .max) }
        #expect(try guest.attributes(root).error == 0 && guest.attributes(1).error == 0)
        // An open file outlives its node.
        let again = try guest.walk("rootfs", "a")
        let handle = try guest.open(again, O_RDONLY).u64(0)
        try guest.forget(again, 100)
        #expect(try guest.read(again, handle, offset: 0, count: 4).body == Array("text".utf8))
    }

    @Test func handlesRunOutGracefully() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("a", "text")
        let messages = Mutex<[String]>([])
        let device = try FileSystemDevice(tag: "t", shares: [try scratch.share()], descriptorLimit: 0) { line in messages.withLock { $0.append(line) } }
        let guest = try FuseGuest(device)
        let node = try guest.walk("rootfs", "a")
        let results = try (0..<100).map { _ in try guest.open(node, O_RDONLY).error }
        #expect(results.prefix(60).allSatisfy { $0 == 0 } && results.suffix(30).allSatisfy { $0 == -ENFILE })
        #expect(messages.withLock { $0.count } == 1)
        #expect(openDescriptorCount(in: scratch.path) <= 65)
        try guest.initialize()
        #expect(try guest.open(try guest.walk("rootfs", "a"), O_RDONLY).error == 0)
    }

    @Test func moreNodesThanDescriptors() throws {
        let scratch = try ScratchDirectory()
        scratch.run("sh", "-c", "cd \(scratch.path) && mkdir d && cd d && for i in $(seq 300); do echo $i > $i; done")
        // 64 descriptors, of which 32 for nodes.
        let guest = try FuseGuest(try FileSystemDevice(tag: "t", shares: [try scratch.share()], descriptorLimit: 0))
        let directory = try guest.walk("rootfs", "d")
        var nodes: [UInt64] = [0]
        for number in 1...300 { nodes.append(try guest.lookup("\(number)", in: directory).node) }
        #expect(Set(nodes).count == 301)
        #expect(guest.device.openNodeCount <= 33 && openDescriptorCount(in: scratch.path) <= 40)
        // Each is found again, under the number that it had.
        for number in [1, 300, 2, 150, 77] {
            let handle = try guest.open(nodes[number], O_RDONLY)
            #expect(handle.error == 0)
            #expect(try guest.read(nodes[number], handle.u64(0), offset: 0, count: 9).body == Array("\(number)\n".utf8))
            #expect(try guest.lookup("\(number)", in: directory).node == nodes[number])
        }
        func churn() throws { for number in 100...250 { _ = try guest.lookup("\(number)", in: directory) } }
        // Names that go while their node is closed.
        #expect(try guest.ask(.unlink, directory, .name("10")).error == 0)
        #expect(try guest.ask(.rename, directory, .u64(try guest.walk("rootfs")), .name("11"), .name("moved")).error == 0)
        #expect(try guest.ask(.rename, directory, .u64(directory), .name("12"), .name("13")).error == 0)
        try churn()
        #expect(try guest.attributes(nodes[10]).attribute(.links, in: 16) == 0)
        #expect(try guest.attributes(nodes[11]).error == 0 && guest.attributes(nodes[12]).error == 0)
        #expect(try guest.attributes(nodes[13]).attribute(.links, in: 16) == 0)
        // A directory that moves takes what is closed below it along.
        let root = try guest.walk("rootfs")
        #expect(try guest.ask(.rename, root, .u64(root), .name("d"), .name("e")).error == 0)
        #expect(try guest.attributes(nodes[20]).error == 0)
        // What the host puts in a closed node's place is not it.
        try churn()
        scratch.run("sh", "-c", "cd \(scratch.path)/e && rm 30 && echo new > 30 && rm 31 && ln -s /etc/passwd 31 && rm 32")
        #expect(try guest.open(nodes[30], O_RDONLY).error == -ESTALE)
        #expect(try guest.open(nodes[31], O_RDONLY).error == -ESTALE)
        #expect(try guest.attributes(nodes[32]).error == -ESTALE)
        #expect(try guest.lookup("30", in: directory).node > nodes[300])
    }

    /// Directories below one another, many times more than may be open.
    @Test func deepDirectories() throws {
        let scratch = try ScratchDirectory()
        let guest = try FuseGuest(try FileSystemDevice(tag: "t", shares: [try scratch.share()], descriptorLimit: 0))
        var nodes = [try guest.walk("rootfs")]
        for _ in 0..<400 {
            let made = try guest.ask(.makeDirectory, nodes[nodes.count - 1], .u32(0o755), .u32(0), .name("d"))
            #expect(made.error == 0)
            nodes.append(made.node)
        }
        #expect(try guest.attributes(nodes[390]).error == 0)
        #expect(try guest.attributes(nodes[100]).error == 0)
        #expect(try guest.attributes(nodes[400]).error == 0)
        #expect(openDescriptorCount(in: scratch.path) <= 66)
    }

    @Test func brokenChains() throws {
        let scratch = try ScratchDirectory()
        let guest = try scratch.guest()
        // Shorter than a header, but with room to say so.
        #expect(FuseGuest.parse(try guest.send([1, 2, 3], room: 16)).error == -EINVAL)
        // The length field lies.
        for length: Int in [0, 39, 41, 1 << 31] {
            #expect(FuseGuest.parse(try guest.send(FuseGuest.header(length, 3, unique: 1, node: 1), room: 16)).error == -EINVAL)
        }
        #expect(!guest.isBroken)
        // A reply that does not fit into the room offered.
        let short = try guest.send(FuseGuest.header(56, Fuse.Opcode.getAttributes.rawValue, unique: 5, node: 1) + [UInt8](repeating: 0, count: 16), room: 20)
        #expect(FuseGuest.parse(short).error == -EINVAL && short.count == 16)
        // No room at all: the device breaks, until it is reset.
        #expect(throws: FuseGuest.Unanswered.self) { try guest.send(FuseGuest.header(40, 3, unique: 1, node: 1), room: 15) }
        #expect(guest.isBroken)
        guest.resetDevice()
        guest.activate()
        try guest.initialize()
        #expect(try guest.attributes(1).error == 0)
    }

    @Test func resetClosesEverything() throws {
        let scratch = try ScratchDirectory()
        scratch.run("sh", "-c", "cd \(scratch.path) && seq 1 200 | xargs touch")
        let guest = try scratch.guest()
        guest.resetDevice()
        let before = openDescriptorCount(in: scratch.path)
        #expect(before == 1)
        for _ in 0..<3 {
            guest.activate()
            try guest.initialize()
            let root = try guest.walk("rootfs")
            for number in 1...200 {
                let node = try guest.walk("rootfs", "\(number)")
                _ = try guest.open(node, O_RDWR)
            }
            _ = try guest.ask(.openDirectory, root, .u32(0), .u32(0))
            #expect(guest.device.openCount == 402)
            guest.resetDevice()
            #expect(guest.device.openCount == 1)
            #expect(openDescriptorCount(in: scratch.path) == before)
        }
    }

    @Test func aSecondMountStartsAfresh() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("a", "text")
        let guest = try scratch.guest()
        let node = try guest.walk("rootfs", "a")
        try guest.initialize()
        #expect(try guest.attributes(node).error == -ESTALE)
        #expect(try guest.walk("rootfs", "a") > node)
    }

    /// Requests in flight while the driver resets the device: none may touch memory afterwards, and none is lost in a way that hangs.
    @Test func resetsUnderLoad() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("a", "text")
        let guest = try scratch.guest()
        for _ in 0..<50 {
            for index in 0..<30 {
                let bytes = FuseGuest.header(42, Fuse.Opcode.lookup.rawValue, unique: UInt64(index), node: 2) + Array("a\0".utf8)
                let address = FuseGuest.requestAddress + UInt64(index * 256)
                _ = guest.memory.write(bytes, at: GuestAddress(address))
                guest.ring.offer([(address, bytes.count, false), (FuseGuest.replyAddress + UInt64(index * 256), 144, true)])
            }
            guest.transport.notify(queue: 1)
            guest.resetDevice()
            let snapshot = guest.memory.read(at: GuestAddress(FuseGuest.replyAddress), count: 8192)
            sched_yield()
            #expect(guest.memory.read(at: GuestAddress(FuseGuest.replyAddress), count: 8192) == snapshot)
            guest.activate()
            try guest.initialize()
        }
        #expect(try guest.walk("rootfs", "a") != 0)
    }

    @Test func randomRequests() throws {
        let scratch = try ScratchDirectory()
        try scratch.write("a", "text")
        unsafe mkdir(scratch.path + "/d", 0o755)
        let guest = try scratch.guest()
        var random = SplitMix(state: 20240607)
        let names = ["a", "d", "b", "..", "", "x/y", "a\0b", String(repeating: "n", count: 300)]
        for round in 0..<50_000 {
            var opcode = UInt32(random.next() % 54)
            if opcode == Fuse.Opcode.destroy.rawValue || Fuse.Opcode(rawValue: opcode)?.hasReply == false { opcode = 3 }
            // Whole-disk flushes are slow, not hostile.
            if opcode == Fuse.Opcode.synchronizeFileSystem.rawValue { opcode = 1 }
            var body: [UInt8] = []
            for _ in 0..<(random.next() % 12) {
                switch random.next() % 4 {
                case 0: body += FuseArguments(.u64(random.next() % 40)).bytes
                case 1: body += FuseArguments(.name(names[Int(random.next() % UInt64(names.count))])).bytes
                case 2: body += FuseArguments(.u64(random.next())).bytes
                default: body += FuseArguments(.u32(UInt32(random.next() % 5)), .u32(0)).bytes
                }
            }
            // Sizes beyond what a test's disk holds are refused by the disk; keep SETATTR and FALLOCATE small.
            if opcode == Fuse.Opcode.allocate.rawValue && body.count >= 24 { body.replaceSubrange(8..<24, with: FuseArguments(.u64(random.next() % 5000), .u64(random.next() % 5000)).bytes) }
            let node = random.next() % 8 == 0 ? random.next() : random.next() % 30
            let length = random.next() % 16 == 0 ? Int(random.next() % 5000) : 40 + body.count
            let bytes = FuseGuest.header(length, opcode, unique: UInt64(round), node: node) + body
            let room = 16 + Int(random.next() % 4096)
            let reply = try guest.send(bytes, room: room)
            #expect(reply.count >= 16 && reply.count <= room)
            #expect(FuseGuest.parse(reply).unique == UInt64(round))
        }
        #expect(!guest.isBroken)
        #expect(try readFile(scratch.outside + "/secret") == Array("secret".utf8))
        try guest.initialize()
        #expect(try guest.attributes(1).error == 0)
    }

    @Test func randomBytes() throws {
        let scratch = try ScratchDirectory()
        let guest = try scratch.guest()
        var random = SplitMix(state: 7)
        for _ in 0..<10_000 {
            let bytes = (0..<(1 + random.next() % 200)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            let reply = try guest.send(bytes, room: 128)
            #expect(reply.count == 16 || reply.count == 0)
        }
        #expect(try guest.attributes(1).error == 0)
    }

    struct SplitMix {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var value = state
            value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
            return value ^ (value >> 31)
        }
    }
}
