import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerSetup

/// Mounts, nodes and covers in an image that means ill. Each test has a process and a mount namespace of its own.
@Suite(.enabled(if: isRoot, "mounts and makes device nodes")) struct MountingTests {
    @Test func mountTargetsDoNotLeadOut() async {
        await #expect(processExitsWith: .success) {
            var ways: [String] = []
            let (image, process) = try inMountNamespace { ways = try $0.makeWaysOut() }
            let before = try image.outsideState()
            for way in ways {
                for mount in [
                    MountSpec(destination: way, type: "tmpfs", source: "tmpfs"), MountSpec(destination: way + "/dir", type: "tmpfs", source: "tmpfs", options: ["ro"]),
                    MountSpec(destination: way + "/bound", source: image.volume, options: ["rbind", "ro"]), MountSpec(destination: way + "/file", source: image.volume + "/file", options: ["bind"]),
                ] {
                    // Refused or inside, but never outside.
                    _ = failure { try Mounting(process: process).perform(mount) }
                    #expect(try image.outsideState() == before, "\(mount.destination)")
                }
            }
        }
    }

    @Test func deviceNodesDoNotLeadOut() async {
        await #expect(processExitsWith: .success) {
            let image = try Image()
            var ways = try image.makeWaysOut()
            // The whole of /dev may be a link, or each name in it.
            try makeDirectory(image.rootfs + "/dev")
            for name in ["null", "zero", "ptmx", "fd", "tty"] { try image.link("/dev/\(name)", to: image.outside + "/file") }
            try image.link("/dev/full", to: "../../outside/file")
            ways = ways.map { $0 + "/node" } + ["/dev/own"]
            try NamespaceSet.mount.unshare()
            let before = try image.outsideState()
            let process = try initProcess(image.rootfs) { spec in
                spec.linux?.devices = ways.map { path in
                    var device = DeviceSpec()
                    (device.path, device.type, device.major, device.minor, device.fileMode, device.uid, device.gid) = (path, .character, 1, 3, 0o640, 7, 8)
                    return device
                }
            }.process
            try RootSwitch.open(process)
            try Devices(process: process).make()
            let after = try image.outsideState()
            #expect(after == before, "\(after) and not \(before)")
            try process.withRoot { (root) throws in
                for way in ways {
                    let status = try root.open(way).status()
                    #expect(status.isNullDevice && status.permissions == 0o640 && status.user == 7 && status.group == 8, "\(way)")
                }
                for node in Devices.standard {
                    let status = try root.open(node.path).status()
                    #expect(status.isCharacterDevice && status.device == (node.major, node.minor) && status.permissions == 0o666, "\(node.path)")
                }
            }
        }
    }

    @Test func aDevThatIsALinkStaysInside() async {
        await #expect(processExitsWith: .success) {
            let (image, process) = try inMountNamespace { try $0.link("/dev", to: "../outside") }
            let before = try image.outsideState()
            try Devices(process: process).make()
            #expect(try image.outsideState() == before)
            #expect(try FileStatus(path: image.rootfs + "/outside/null").isNullDevice)
        }
    }

    @Test func nodesAndLinksOfDev() async {
        await #expect(processExitsWith: .success) {
            let image = try Image()
            try makeDirectory(image.rootfs + "/dev")
            // Another device of this name, an ordinary file, and one that may stay as it is.
            let directory = try OwnedDescriptor(opening: image.rootfs + "/dev", flags: O_RDONLY | O_DIRECTORY)
            try directory.makeNode("zero", mode: UInt32(S_IFCHR) | 0o600, major: 1, minor: 1)
            try image.file("/dev/random", "4")
            try directory.makeNode("full", mode: UInt32(S_IFCHR) | 0o600, major: 1, minor: 7)
            let kept = try directory.status(of: "full").inode
            try NamespaceSet.mount.unshare()
            let process = try initProcess(image.rootfs) { spec in
                var block = DeviceSpec(), pipe = DeviceSpec(), own = DeviceSpec()
                (block.path, block.type, block.major, block.minor) = ("/dev/deep/block", .block, 7, 200)
                (pipe.path, pipe.type, pipe.fileMode) = ("/dev/pipe", .fifo, 0o4622)
                (own.path, own.type, own.major, own.minor, own.fileMode) = ("/dev/tty", .unbuffered, 5, 0, 0o600)
                spec.linux?.devices = [block, pipe, own]
            }.process
            try RootSwitch.open(process)
            OwnProcess.setFileCreationMask(0)
            try Devices(process: process).make()
            for node in Devices.standard where node.path != "/dev/tty" {
                let status = try FileStatus(path: image.rootfs + node.path)
                #expect(status.device == (node.major, node.minor) && status.isCharacterDevice && status.permissions == 0o666, "\(node.path)")
            }
            #expect(try directory.status(of: "full").inode == kept)
            #expect(try directory.status(of: "tty").permissions == 0o600)
            let block = try FileStatus(path: image.rootfs + "/dev/deep/block")
            #expect(block.type == UInt32(S_IFBLK) && block.device == (7, 200) && block.permissions == 0o666)
            let pipe = try FileStatus(path: image.rootfs + "/dev/pipe")
            #expect(pipe.type == UInt32(S_IFIFO) && pipe.permissions == 0o4622)
            for (name, target) in [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx")] {
                #expect(try directory.linkTarget(of: name) == target)
            }
        }
    }

    @Test func aDevFromOutsideIsNotFilled() throws {
        for destination in ["/dev", "/dev/"] {
            let process = try initProcess { $0.mounts = [MountSpec(destination: destination, source: "/dev", options: ["rbind"])] }.process
            // The root is not open: making anything would trap.
            try Devices(process: process).make()
        }
    }

    @Test func coversDoNotLeadOut() async {
        await #expect(processExitsWith: .success) {
            var ways: [String] = []
            let (image, process) = try inMountNamespace { ways = try $0.makeWaysOut() }
            let before = try image.outsideState()
            try PathProtection(process: process).mask(ways + ways.map { $0 + "/file" } + ways.map { $0 + "/dir" })
            try PathProtection(process: process).makeReadOnly(ways + ways.map { $0 + "/file" } + ways.map { $0 + "/dir" })
            #expect(try image.outsideState() == before)
            try writeFile(image.outside + "/file", Array("still mine".utf8))
        }
    }

    @Test func maskedAndReadOnlyPaths() async {
        await #expect(processExitsWith: .success) {
            let (image, process) = try inMountNamespace { image in
                try image.file("/etc/secret", "x")
                try image.file("/dir/sub/secret", "x")
                for name in ["/more", "/fixed", "/fixed/sub"] { try makeDirectory(image.rootfs + name) }
                try image.file("/more/secret", "x")
                try image.link("/alias", to: "/etc/secret")
            }
            try PathProtection(process: process).mask(["/alias", "/dir/sub", "/more", "/missing", "/etc/passwd/none", "/etc/secret"])
            try PathProtection(process: process).makeReadOnly(["/fixed", "/missing", "/etc/passwd"])
            try process.withRoot { (root) throws in
                #expect(try root.open("/etc/secret").status().isNullDevice)
                for path in ["/dir/sub", "/more"] {
                    let directory = try root.open(path)
                    #expect(try directory.entries() == [])
                    #expect(throws: SystemError.self) { try directory.makeDirectory("x", mode: 0o755) }
                }
                for path in ["/fixed", "/fixed/sub"] {
                    let directory = try root.open(path)
                    #expect(throws: SystemError(.readOnly, "mkdir", path: "x")) { try directory.makeDirectory("x", mode: 0o755) }
                }
                #expect(throws: SystemError.self) { _ = try root.open("/etc/passwd", flags: O_WRONLY) }
                _ = try root.open("/etc/passwd", flags: O_RDONLY)
            }
            // Outside, in the mount that was there before, nothing has changed.
            #expect(try readFile(image.rootfs + "/etc/passwd").count > 0)
        }
    }

    @Test func everyOptionOfTheSpecificationWorksOnATmpfs() async {
        await #expect(processExitsWith: .success) {
            let (image, process) = try inMountNamespace()
            for (word, _) in MountOption.table where !["bind", "rbind", "remount", "idmap", "ridmap"].contains(word) {
                let problem = failure { try Mounting(process: process).perform(MountSpec(destination: "/t-\(word)", type: "tmpfs", source: "tmpfs", options: [word])) }
                #expect(problem == nil, "\(word)")
                let bind = failure { try Mounting(process: process).perform(MountSpec(destination: "/b-\(word)", type: "bind", source: image.volume, options: [word])) }
                if word != "tmpcopyup" { #expect(bind == nil, "\(word)") }
            }
        }
    }

    @Test func attributesAreInForce() async {
        await #expect(processExitsWith: .success) {
            let (image, process) = try inMountNamespace { try makeDirectory($0.rootfs + "/mnt") }
            let mounting = Mounting(process: process)
            /// The options of the mount at a path, as the kernel shows them.
            func shown(_ path: String) throws -> Set<Substring> {
                let table = String(decoding: try readFile("/proc/thread-self/mountinfo"), as: UTF8.self)
                let line = try #require(table.split(separator: "\n").last { $0.split(separator: " ")[4] == image.rootfs + path })
                return Set(line.split(separator: " ")[5].split(separator: ","))
            }
            try mounting.perform(MountSpec(destination: "/mnt/a", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "noexec", "ro", "noatime", "size=1m"]))
            #expect(try shown("/mnt/a") == ["ro", "nosuid", "nodev", "noexec", "noatime"])
            try mounting.perform(MountSpec(destination: "/mnt/a", options: ["remount", "bind", "rw", "exec", "strictatime"]))
            #expect(try shown("/mnt/a") == ["rw", "nosuid", "nodev"])
            try mounting.perform(MountSpec(destination: "/mnt/b", type: "tmpfs", source: "tmpfs"))
            try mounting.perform(MountSpec(destination: "/mnt/b/c", type: "tmpfs", source: "tmpfs"))
            try mounting.perform(MountSpec(destination: "/d", source: image.rootfs + "/mnt/b", options: ["rbind", "rro", "nosuid"]))
            // Bound from the outside's tree, where /mnt/b is an empty directory: one mount alone.
            #expect(try shown("/d").isSuperset(of: ["ro", "nosuid"]))
            try mounting.perform(MountSpec(destination: "/mnt/b", options: ["remount", "bind", "rro"]))
            #expect(try shown("/mnt/b").contains("ro") && shown("/mnt/b/c").contains("ro"))
        }
    }

    @Test func tmpfsStartsWithWhatIsBeneath() async {
        await #expect(processExitsWith: .success) {
            let (image, process) = try inMountNamespace { image in
                try image.file("/dir/file", "text", mode: 0o640)
                try image.link("/dir/link", to: image.outside + "/file")
            }
            try Mounting(process: process).perform(MountSpec(destination: "/dir", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup", "ro"]))
            try process.withRoot { (root) throws in
                let directory = try root.open("/dir")
                #expect(try directory.fileSystemType() == 0x0102_1994)
                #expect(try Set(directory.entries()) == ["file", "link", "sub"])
                #expect(try directory.status(of: "file").permissions == 0o640 && directory.linkTarget(of: "link") == image.outside + "/file")
            }
        }
    }
}
