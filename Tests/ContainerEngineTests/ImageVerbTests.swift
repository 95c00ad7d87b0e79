import Foundation
import Glibc
import Testing

private let stage = ProcessInfo.processInfo.environment["NACELLE_STAGE"] ?? FileManager.default.currentDirectoryPath + "/.build/nacelle"
private let canRun = geteuid() == 0 && [stage + "/nacelle", "/bin/busybox"].allSatisfy(FileManager.default.isExecutableFile)

/// A folder of a test's own, and what a shell prints in it; `n` is nacelle with a store there.
private final class Place {
    let folder = "/tmp/nacelle-image-verbs-\(UUID().uuidString)"
    init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// With standard error, and after it the status.
    func shell(_ script: String) throws -> String {
        try bash(["-c", "n() { \(stage)/nacelle --root data \"$@\"; }; { \(script)\n}; echo \"=$?\""], in: folder).output
    }
}

@Suite("nacelle's verbs of images", .enabled(if: canRun, "needs root, /bin/busybox and a built nacelle (make build, or NACELLE_STAGE)"))
struct ImageVerbTests {
    @Test("import takes tars as they come, and says what it cannot undo")
    func importing() throws {
        let place = try Place()
        _ = try place.shell("mkdir root; echo text > root/file; tar -C root -cf tar .; gzip -k tar; zstd -q tar; xz -k tar; bzip2 -k tar")
        let layers = try place.shell("for f in tar tar.gz tar.zst; do n import $f $f:1; n inspect --format '{{json .RootFS.Layers}}' $f:1; done; n import - piped < tar.gz")
        // The layer is the same, however the tar came.
        let diffID = try place.shell("sha256sum < tar | cut -c-64").prefix(64)
        #expect(layers.components(separatedBy: "[\"sha256:\(diffID)\"]").count == 4 && layers.hasSuffix("=0\n"), "\(layers)")
        #expect(try place.shell("n create --name c tar.gz:1 true; n cp c:/file - > /dev/null 2>&1; n cp c:/file out; cat out; n rm c").contains("text\n"))
        for (name, words) in [("tar.xz", "it is xz's; layers are gzip's, zstd's or not compressed"), ("tar.bz2", "it is bzip2's"), ("/dev/null", "it is empty"), ("/etc/passwd", "Error: archive")] {
            let output = try place.shell("n import \(name) bad")
            #expect(output.contains(words) && output.hasSuffix("=125\n"), "\(output)")
        }
        #expect(try place.shell("n fsck --layers") == "=0\n")
        // Archives of images come compressed as well.
        let loaded = try place.shell("n save -o one tar:1; n save --format oci-archive -o two tar:1; gzip one; zstd -q two; n rmi tar:1 > /dev/null; n load -i one.gz; n rmi tar:1 > /dev/null; n load -i two.zst")
        #expect(loaded == "Loaded image: docker.io/library/tar:1\nLoaded image: docker.io/library/tar:1\n=0\n", "\(loaded)")
    }

    @Test("fsck: nothing, a line a finding, JSON, a template; repaired, and pulled again")
    func fsck() throws {
        let place = try Place()
        _ = try place.shell("mkdir root; echo text > root/file; tar -C root -cf tar .; n import tar one; n save -o one.tar one")
        #expect(try place.shell("n fsck") == "=0\n" && place.shell("n fsck --json") == "[]\n=0\n")
        let digest = try place.shell("cd data/store/images/blobs/sha256; f=$(ls -S | head -1); printf X >> $f; echo $f").prefix(64)
        let found = try place.shell("n fsck")
        #expect(found.hasPrefix("blob sha256:\(digest): it is damaged: its content is sha256:") && found.contains("(to do: remove it, and pull the images that need it again)\n"))
        #expect(found.contains("\nimage docker.io/library/one:latest: the image sha256:") && found.hasSuffix("(to do: pull or import it again, or remove it)\n=1\n"), "\(found)")
        #expect(try place.shell("n fsck --format '{{.Kind}} {{.Repairable}} {{.Repaired}}'") == "blob true false\nimage false false\n=1\n")
        #expect(try place.shell("n fsck --format json | wc -l; n fsck --json | head -3").contains("2\n[\n  {\n    \"Kind\": \"blob\""))
        #expect(try place.shell("n fsck --repair").contains("(repaired: removed; pull the images"))
        #expect(try place.shell("n load -q -i one.tar; n fsck --layers") == "=0\n")
        #expect(try place.shell("n fsck --format '{{if}}'").hasSuffix("=125\n"))
    }
}
