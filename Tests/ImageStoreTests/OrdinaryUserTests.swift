import Foundation
import LayerArchive
import LinuxSystem
import OCIImage
import Testing
@testable import ImageStore

/// What users without privileges get: the example program, run as `nobody`.
@Suite(.enabled(if: isMachineRoot() && missing("setpriv", "unshare") == nil, "only root can become another user"))
struct OrdinaryUserTests {
    /// A place of nobody's with the program and an image in it, and how to run something there.
    private func prepare(_ image: (ImageStore, Lease) throws -> Descriptor) throws -> (Scratch, String) {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/roots")
        let lease = try store.lease()
        try store.export(try image(store, lease), to: ImageLocation(.ociArchive, path: scratch.path + "/image.tar", name: "image"))
        try shell("cp '\(exampleProgram)' program; mkdir home; chown 65534:65534 home; chmod 755 . program; chmod 644 image.tar", in: scratch.path)
        return (scratch, "setpriv --reuid 65534 --regid 65534 --clear-groups")
    }

    @Test func copies() throws {
        let (scratch, nobody) = try prepare { store, lease in try makeImage(store, lease, created: "x") }
        let output = try shell(
            """
            e() { \(nobody) ./program "$PWD/home/store" --no-sync "$@"; }
            e drivers; e import oci-archive:image.tar; e create c image > /dev/null; \(nobody) sh -c 'echo y > home/store/containers/c/fs/y'; e fsck --layers; e diff c; e commit c second > /dev/null
            e remove c; e remove-name image > /dev/null; e remove-name second > /dev/null; e collect > /dev/null; find home/store/layers/* home/store/images/blobs -type f
            """, in: scratch.path)
        #expect(output.contains("an ordinary user cannot mount overlayfs"))
        #expect(output.contains("chosen: copy\n"))
        #expect(output.hasSuffix("C /\nA /y\n"), "\(output)")
    }

    @Test func overlaysInAUserNamespace() throws {
        let (scratch, nobody) = try prepare { store, lease in try makeImage(store, lease, created: "x") }
        // An attribute of a user namespace's own overlay needs `user.*` on the store's file system.
        let output = try shell(
            """
            cat > script <<'EOF'
            e() { ./program "$PWD/home/store" --no-sync "$@"; }
            e drivers | grep ^overlay; e import oci-archive:image.tar > /dev/null; e create a image > /dev/null; r=$(e mount a); cat $r/file; echo; rm $r/file; mkdir -p $r/d/e; e diff a; e commit a second > /dev/null
            e create b second > /dev/null; r=$(e mount b); ls $r; rm -r $r/d; mkdir $r/d; echo x > $r/d/x; e diff b; e commit b third > /dev/null; e create c third > /dev/null; r=$(e mount c); find $r/d -mindepth 1 -printf '%P\\n'; e fsck --layers
            EOF
            \(nobody) unshare -rm bash -eu script
            """, in: scratch.path)
        #expect(output == "overlay: works\ncontent of x\nC /\nA /d\nA /d/e\nD /file\nd\nC /\nC /d\nE /d\nA /d/x\nx\n", "\(output)")
    }

    @Test func linksToLowerLayersInAUserNamespace() throws {
        let (scratch, nobody) = try prepare { store, lease in
            var base = try LayerWriterBytes("x")
            try shell("mkdir link; cd link; touch file; ln file other; tar --owner=0 --group=0 -cf all file other; tail -c +513 all > ../links", in: store.root)
            return try makeImage(store, lease, layers: [base.take(), try readFile(store.root + "/links")])
        }
        let output = try shell(
            "\(nobody) unshare -rm bash -euc 'e() { ./program $PWD/home/store --no-sync $@; }; e import oci-archive:image.tar > /dev/null; e create a image > /dev/null; r=$(e mount a); cat $r/other; stat -c \" %h\" $r/file; e fsck --layers'",
            in: scratch.path)
        #expect(output == "content of x 2\n", "\(output)")
    }

    @Test func saysWhichOwnersAreNotMapped() throws {
        let (scratch, nobody) = try prepare { store, lease in
            var bytes: [UInt8] = []
            let writer = try LayerWriter(.none) { bytes += $0 }
            try shell("mkdir -p tree/d; chown 5:6 tree/d; mkdir base", in: store.root)
            let open = { (name: String) throws in SharedDescriptor(try OwnedDescriptor(opening: store.root + "/" + name, flags: O_RDONLY | O_DIRECTORY)) }
            try TreeChanges.between(try open("base"), and: try open("tree"), copied: FileTime(seconds: 0, nanoseconds: 0)) { (change) throws(LayerError) in try writer.add(change) }
            _ = try writer.finish()
            return try makeImage(store, lease, layer: bytes)
        }
        let output = try shell(
            "\(nobody) unshare -rm bash -c './program $PWD/home/store import oci-archive:image.tar; ./program $PWD/home/store create a image 2>&1 || true'", in: scratch.path)
        #expect(output.contains("entry \"d\": chown to 5:6, which this user namespace does not map (/etc/subuid, /etc/subgid)"), "\(output)")
    }
}
