import Glibc
import LinuxSystem
import Testing
@testable import VirtioDevices

/// The rootfs that an engine hands over is an overlay, whose objects change under the guest's hands.
@Suite("virtio-fs on overlayfs", .serialized, .enabled(if: Overlay.isPossible, "mounts an overlay")) struct OverlayTests {
    @Test func objectsThatAreCopiedUpStayTheSame() throws {
        let overlay = try Overlay()
        let share = try FileSystemDevice.Share(
            name: "rootfs", descriptor: try OwnedDescriptor(opening: overlay.path + "/merged", flags: O_PATH), readOnly: false)
        let guest = try FuseGuest(try FileSystemDevice(tag: "nacelle", shares: [share]))
        let root = try guest.walk("rootfs")
        let directory = try guest.lookup("etc", in: root).node
        let file = try guest.lookup("hosts", in: directory).node
        let born = try overlay.birth("etc")
        usleep(20_000)
        #expect(try guest.create("new", in: directory).error == 0)
        let opened = try guest.open(file, O_WRONLY)
        #expect(opened.error == 0)
        #expect(try guest.write(file, opened.u64(0), offset: 0, Array("new".utf8)).error == 0)
        // Else this test proves nothing.
        #expect(try overlay.birth("etc") != born)
        // Another number would make the guest drop what it knows by the old one, and its mounts there.
        #expect(try guest.lookup("etc", in: root).node == directory)
        #expect(try guest.lookup("hosts", in: directory).node == file)
        #expect(try guest.attributes(file).error == 0)
        let read = try guest.open(file, O_RDONLY)
        #expect(try guest.read(file, read.u64(0), offset: 0, count: 100).body == Array("new".utf8))
    }

    @Test func appendingGoesToTheEnd() throws {
        let overlay = try Overlay()
        let share = try FileSystemDevice.Share(
            name: "rootfs", descriptor: try OwnedDescriptor(opening: overlay.path + "/merged", flags: O_PATH), readOnly: false)
        let guest = try FuseGuest(try FileSystemDevice(tag: "nacelle", shares: [share]))
        let file = try guest.walk("rootfs", "etc", "hosts")
        for word in ["first", "second"] {
            let handle = try guest.open(file, O_WRONLY | O_APPEND).u64(0)
            #expect(try guest.write(file, handle, offset: 3, Array(word.utf8), openFlags: O_APPEND).error == 0)
        }
        let read = try guest.open(file, O_RDONLY)
        #expect(try guest.read(file, read.u64(0), offset: 0, count: 100).body == Array("oldfirstsecond".utf8))
    }
}

/// An overlay with etc/hosts in its lower layer, on a file system that has times of birth.
private final class Overlay {
    let scratch: ScratchDirectory
    var path: String { scratch.path }

    init() throws {
        scratch = try ScratchDirectory()
        guard unsafe mount("tmpfs", scratch.path, "tmpfs", 0, nil) == 0 else { throw SystemError(Errno(rawValue: errno), "mount", path: scratch.path) }
        for name in ["lower", "lower/etc", "upper", "work", "merged"] { unsafe mkdir(path + "/" + name, 0o755) }
        try scratch.write("lower/etc/hosts", "old")
        let layers = "lowerdir=\(path)/lower,upperdir=\(path)/upper,workdir=\(path)/work"
        guard unsafe mount("overlay", path + "/merged", "overlay", 0, layers) == 0 else {
            let error = errno
            unsafe umount2(path, Int32(MNT_DETACH))
            throw SystemError(Errno(rawValue: error), "mount", path: path + "/merged")
        }
    }

    deinit {
        unsafe umount2(path + "/merged", Int32(MNT_DETACH))
        unsafe umount2(path, Int32(MNT_DETACH))
    }

    func birth(_ name: String) throws -> FileTime {
        try #require(try OwnedDescriptor(opening: path + "/merged/" + name, flags: O_PATH).attributes().birthTime)
    }

    /// Whether this user and this kernel can, births included.
    static var isPossible: Bool { getuid() == 0 && (try? Overlay().birth("etc")) != nil }
}
