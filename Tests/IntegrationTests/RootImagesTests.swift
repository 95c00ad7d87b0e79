import Foundation
import Testing

/// Roots that the guest puts together of EROFS images (root-images.json).
@Suite("A root of images", .requiresKVM, .serialized)
struct RootImagesTests {
    /// A bundle whose root is two layers: busybox, and one that changes /etc. What is written goes to an ext4, which has user.* attributes.
    private func bundle() throws -> Bundle {
        let bundle = try Bundle()
        let path = bundle.path
        try shell(
            """
            set -e
            cd \(path)
            truncate -s 64M own.ext4; mkfs.ext4 -q own.ext4; mkdir own; mount -o loop own.ext4 own; mkdir own/upper own/work
            mkdir -p rootfs/old own/top/etc own/top/old
            echo base >rootfs/etc/kept; echo base >rootfs/etc/changed; echo base >rootfs/etc/gone; echo base >rootfs/old/file
            echo top >own/top/etc/changed; mknod own/top/etc/gone c 0 0; setfattr -n user.overlay.opaque -v y own/top/old
            mkfs.erofs --quiet base.erofs rootfs
            mkfs.erofs --quiet top.erofs own/top
            rm -rf rootfs/*
            """)
        try write(bundle, images: ["top.erofs", "base.erofs"])
        return bundle
    }

    private func write(_ bundle: Bundle, images: [String] = ["top.erofs", "base.erofs"], upper: [String: Any]? = nil) throws {
        let object = (upper ?? ["writable": bundle.path + "/own"]).merging(["images": images.map { bundle.path + "/" + $0 }]) { $1 }
        try JSONSerialization.data(withJSONObject: object).write(to: URL(fileURLWithPath: bundle.path + "/root-images.json"))
    }

    /// The same, with what is written on a disk or in memory.
    private func bundle(upper: (Bundle) -> [String: Any]) throws -> Bundle {
        let bundle = try bundle()
        unmount(bundle)
        _ = try shell("cd \(bundle.path) && truncate -s 64M disk && mkfs.ext4 -q disk")
        try write(bundle, upper: upper(bundle))
        return bundle
    }

    private func disk(_ bundle: Bundle) -> [String: Any] { ["disk": bundle.path + "/disk"] }

    /// What the disk takes on the host, in KiB, and its size in bytes.
    private func usage(_ bundle: Bundle) throws -> (used: Int, size: Int) {
        let words = try shell("du -k \(bundle.path)/disk | cut -f1; stat -c %s \(bundle.path)/disk").split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        return (words[0], words[1])
    }

    private func unmount(_ bundle: Bundle) { _ = try? shell("if mountpoint -q \(bundle.path)/own; then umount \(bundle.path)/own; fi") }

    @Test("layers lie on each other, what is written lies on the host and is there the next time")
    func layers() throws {
        let bundle = try bundle()
        defer { unmount(bundle) }
        let first = try bundle.runScript(
            """
            awk '$2=="/"{print $3}' /proc/mounts; cat /etc/kept /etc/changed; ls /etc /old
            echo new >/etc/new; echo more >>/etc/kept; rm /etc/changed; rm -r /old; mkdir /old; echo own >/old/own; mv /etc/passwd /etc/moved
            """)
        #expect(first.status == 0, "\(first.errorText)")
        #expect(first.text.split(whereSeparator: \.isWhitespace) == ["overlay", "base", "top", "/etc:", "changed", "kept", "passwd", "/old:"], "\(first.text)")
        #expect(try shell("cd \(bundle.path)/own/upper/etc; cat new kept; stat -c '%n %F' changed passwd").split(separator: "\n")
            == ["new", "base", "more", "changed character special file", "passwd character special file"])
        let second = try bundle.runScript("cat /etc/new /etc/kept /etc/moved; ls /etc /old")
        #expect(second.text.split(separator: "\n") == ["new", "base", "more", "root:x:0:0:root:/root:/bin/sh", "/etc:", "kept", "moved", "new", "/old:", "own"], "\(second.text)\(second.errorText)")
        unmount(bundle)
        try bundle.expectNothingLeft()
    }

    @Test("a read-only root is one")
    func readOnly() throws {
        let bundle = try bundle()
        defer { unmount(bundle) }
        bundle.root { $0["readonly"] = true }
        let outcome = try bundle.runScript("cat /etc/changed; (echo x >/etc/x) 2>&1; (echo x >/etc/changed) 2>&1")
        #expect(outcome.text == "top\nsh: can't create /etc/x: Read-only file system\nsh: can't create /etc/changed: Read-only file system\n", "\(outcome.errorText)")
    }

    @Test("an image that is none is refused before a machine is made; one that is cut off ends in an error")
    func badImages() throws {
        let bundle = try bundle()
        defer { unmount(bundle) }
        try write(bundle, images: ["top.erofs", "config.json"])
        let none = try bundle.runScript("true")
        #expect(none.status == 1 && none.errorText.contains("root-images.json: images[1]: "), "\(none.errorText)")
        _ = try shell("truncate -s 4096 \(bundle.path)/base.erofs")
        try write(bundle, images: ["top.erofs", "base.erofs"])
        let cut = try bundle.runScript("cat /etc/kept")
        #expect(cut.status != 0 && !cut.errorText.isEmpty)
        unmount(bundle)
        try bundle.expectNothingLeft()
    }

    /// Changes what the layers have, in all ways that leave a mark in the upper one.
    private static let changes =
        "cat /etc/changed; echo new >/etc/new; echo more >>/etc/kept; rm /etc/changed; rm -r /old; mkdir /old; echo own >/old/own; mv /etc/passwd /etc/moved; stat -c %a:%u /"
    private static let changed = ["new", "base", "more", "root:x:0:0:root:/root:/bin/sh", "/etc:", "kept", "moved", "new", "/old:", "own"]

    @Test("what is written to a disk is there the next time, also after the machine was killed; two machines cannot have one disk")
    func disk() throws {
        let bundle = try bundle(upper: disk)
        let first = try bundle.runScript(Self.changes)
        #expect(first.status == 0 && first.text == "top\n755:0\n", "\(first.text)\(first.errorText)")
        bundle.process { $0["args"] = ["sh", "-c", "cat /etc/new /etc/kept /etc/moved; ls /etc /old; echo killed >/killed; sync; echo ready; while :; do sleep 0.1; done"] }
        try bundle.save()
        let running = try bundle.start("run", "--bundle", bundle.path, "c")
        try eventually("it has written") { running.outputSoFar().hasSuffix("ready\n") }
        #expect(running.outputSoFar().split(separator: "\n").map(String.init) == Self.changed + ["ready"])
        let other = try bundle.nacelle("run", "--bundle", bundle.path, "other")
        #expect(other.status == 1 && other.errorText.contains("root-images.json: disk: \(bundle.path)/disk: another machine has it"), "\(other.errorText)")
        kill(try bundle.pid(), SIGKILL)
        #expect(try running.wait().status == 137)
        let after = try bundle.runScript("cat /killed /old/own; rm /killed")
        #expect(after.text == "killed\nown\n", "\(after.errorText)")
        #expect(try shell("e2fsck -fn \(bundle.path)/disk >/dev/null 2>&1; echo $?") == "0")
        try bundle.expectNothingLeft()
    }

    @Test("a disk that is full is an error inside and no more outside; what is deleted is given back to the host")
    func fullDisk() throws {
        let bundle = try bundle(upper: disk)
        let full = try bundle.runScript("dd if=/dev/zero of=/big bs=1M 2>&1 | grep -o 'No space left on device'; stat -c %s /big | cut -c1-2")
        #expect(full.text.hasPrefix("No space left on device\n"), "\(full.text)\(full.errorText)")
        let most = try usage(bundle)
        #expect(most.used > 40 << 10 && most.used <= 64 << 10 && most.size == 64 << 20)
        let freed = try bundle.runScript("rm /big; sync; echo small >/small; sync")
        #expect(freed.status == 0, "\(freed.errorText)")
        let least = try usage(bundle)
        #expect(least.used < most.used / 4 && least.size == 64 << 20, "\(most.used) KiB, then \(least.used) KiB")
        #expect(try bundle.runScript("cat /small; ls /big").text == "small\n")
        try bundle.expectNothingLeft()
    }

    @Test("what is written to memory is gone the next time, and has a limit")
    func temporary() throws {
        let bundle = try bundle { _ in ["tmpfs": 4 << 20] }
        let first = try bundle.runScript(Self.changes + "; cat /etc/new /etc/kept /etc/moved; ls /etc /old; dd if=/dev/zero of=/big bs=1M 2>&1 | grep -o 'No space left on device'")
        #expect(first.text.split(separator: "\n").map(String.init) == ["top", "755:0"] + Self.changed + ["No space left on device"], "\(first.text)\(first.errorText)")
        #expect(try bundle.runScript("ls /etc /old").text == "/etc:\nchanged\nkept\npasswd\n\n/old:\n")
        try write(bundle, upper: ["tmpfs": 1 << 40])
        let large = try bundle.runScript("true")
        #expect(large.status == 1 && large.errorText.contains("root-images.json: tmpfs: "), "\(large.errorText)")
        try bundle.expectNothingLeft()
    }

    @Test("an image that would take too much of the machine's memory is a disk")
    func largeImage() throws {
        let bundle = try bundle(upper: disk)
        // 1/64 of it is more than an eighth of 64 MiB.
        _ = try shell("truncate -s 600M \(bundle.path)/base.erofs")
        bundle.configuration["annotations"] = ["dev.nacelle.memory": "64"]
        let outcome = try bundle.runScript("ls /sys/block; cat /sys/block/vda/ro /sys/block/vdb/ro /sys/block/vdb/serial; echo; cat /etc/kept /etc/changed; echo x >/etc/kept")
        #expect(outcome.text.split(whereSeparator: \.isWhitespace).map(String.init) == ["pmem0", "pmem1", "vda", "vdb", "1", "0", "nacelle-1", "base", "top"], "\(outcome.text)\(outcome.errorText)")
        try bundle.expectNothingLeft()
    }

    @Test("a disk of garbage is an error of the start")
    func garbageDisk() throws {
        let bundle = try bundle(upper: disk)
        _ = try shell("cd \(bundle.path) && head -c 64M /dev/urandom >disk")
        let none = try bundle.runScript("true")
        #expect(none.status == 1 && none.errorText.contains("is not an ext4 file system"), "\(none.errorText)")
        _ = try shell("cd \(bundle.path) && printf '\\123\\357' | dd of=disk bs=1 seek=1080 conv=notrunc status=none")
        let broken = try bundle.runScript("true")
        #expect(broken.status == 1 && broken.errorText.contains("the container's root cannot be put together: mount /run/nacelle/upper: "), "\(broken.errorText)")
        try bundle.expectNothingLeft()
    }
}
