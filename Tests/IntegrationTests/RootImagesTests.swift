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

    private func write(_ bundle: Bundle, images: [String]) throws {
        let object: [String: Any] = ["images": images.map { bundle.path + "/" + $0 }, "writable": bundle.path + "/own"]
        try JSONSerialization.data(withJSONObject: object).write(to: URL(fileURLWithPath: bundle.path + "/root-images.json"))
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
}
