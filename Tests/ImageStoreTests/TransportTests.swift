import Foundation
import LayerArchive
import LinuxSystem
import OCIImage
import Testing
@testable import ImageStore

/// Into the store and out of it, with Debian's tools on the other side.
@Suite(.enabled(if: SampleImages.needs == nil, "umoci and skopeo make the images"))
struct TransportTests {
    private func failure(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "nothing failed"
        } catch { return "\(error)" }
    }

    @Test func locations() throws {
        #expect(try ImageLocation("oci:/a/b") == ImageLocation(.oci, path: "/a/b"))
        #expect(try ImageLocation("docker-archive:x.tar:localhost:5000/a:1") == ImageLocation(.dockerArchive, path: "x.tar", name: "localhost:5000/a:1"))
        for text in ["", "oci", "oci:", "dir:/x", "oci:/x:"] { #expect(failure { _ = try ImageLocation(text) }.contains("is no place of images")) }
    }

    @Test func skopeoReadsTheStore() throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store")
        let layout = try SampleImages.layout.get()
        let images = try store.take(ImageLocation(.oci, path: layout))
        #expect(images.compactMap(\.name).sorted() == ["one", "three", "two"])
        let lease = try store.lease()
        try store.setName("docker.io/library/sample:1.0", to: images[0].descriptor, lease: lease)
        let digest = try shell("skopeo inspect --format '{{.Digest}}' oci:store/images:docker.io/library/sample:1.0", in: scratch.path)
        #expect(digest == "\(images[0].descriptor.digest)\n")
        try shell("skopeo copy -q oci:store/images:three oci:out:three; cmp out/index.json out/index.json; umoci ls --layout store/images", in: scratch.path)
        // Into a store of ours, by skopeo: it is the same format.
        let other = try ImageStore.forTests(scratch.path + "/other")
        try other.take(ImageLocation(.oci, path: scratch.path + "/out"))
        #expect(try other.resolve("three") == store.resolve("three"))
    }

    @Test(arguments: [ImageLocation.Transport.oci, .ociArchive, .dockerArchive])
    func thereAndBack(transport: ImageLocation.Transport) throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store")
        try store.take(ImageLocation(.oci, path: try SampleImages.layout.get()))
        let image = try store.image(named: "three")

        // Out of ours, into skopeo: it verifies every digest and every diff ID.
        let location = ImageLocation(transport, path: scratch.path + "/ours", name: "docker.io/library/sample:three")
        try store.export(image.descriptor, to: location)
        try shell("skopeo copy -q \(location) dir:checked; skopeo inspect \(location) > /dev/null", in: scratch.path)
        if transport == .oci {
            try store.export(try store.image(named: "one").descriptor, to: ImageLocation(transport, path: scratch.path + "/ours", name: "one"))
            #expect(try shell("umoci ls --layout ours", in: scratch.path).split(separator: "\n").sorted() == ["docker.io/library/sample:three", "one"])
        } else {
            #expect(failure { try store.export(image.descriptor, to: location) }.contains("file exists"))
        }
        // And back.
        let second = try ImageStore.forTests(scratch.path + "/second")
        try second.take(location)
        let back = try second.image(named: "docker.io/library/sample:three")
        #expect(back.configuration == image.configuration && back.id == image.id && back.chainIDs == image.chainIDs)
        if transport != .dockerArchive { #expect(back.descriptor == image.descriptor) }

        // Out of skopeo, into ours.
        let theirs = ImageLocation(transport, path: scratch.path + "/theirs", name: "docker.io/library/sample:three")
        try shell("skopeo copy -q oci:store/images:three \(theirs)", in: scratch.path)
        let third = try ImageStore.forTests(scratch.path + "/third")
        try third.take(theirs)
        let theirImage = try third.image(named: "docker.io/library/sample:three")
        #expect(theirImage.chainIDs == image.chainIDs && theirImage.configuration.config == image.configuration.config)
        let lease = try third.lease()
        try third.unpack(theirImage, lease: lease)
        for store in [second, third] { #expect(try store.fsck() == []) }
        #expect(failure { try third.take(ImageLocation(transport, path: theirs.path, name: "nothing")) }.contains("there is no image \"nothing\" in"))
    }

    @Test(.enabled(if: missing("buildah") == nil && isMachineRoot(), "buildah makes the image"))
    func takesWhatBuildahMakes() throws {
        let scratch = Scratch()
        try shell(
            """
            b() { buildah --root "$PWD/root" --runroot "$PWD/runroot" --storage-driver vfs "$@"; }
            c=$(b from scratch); m=$(b mount $c); mkdir -p $m/bin $m/etc; cp /bin/busybox $m/bin/; echo hi > $m/etc/motd
            b config --cmd /bin/busybox --env A=B --label x=y $c; b umount $c; b commit -q $c oci-archive:buildah.tar:local/built:1
            """, in: scratch.path)
        let store = try ImageStore.forTests(scratch.path + "/store", .copy)
        try store.take(ImageLocation(.ociArchive, path: scratch.path + "/buildah.tar"))
        let image = try store.image(named: "local/built:1")
        #expect(image.configuration.config.cmd == ["/bin/busybox"] && image.configuration.config.env.contains("A=B") && image.configuration.config.labels["x"] == "y")
        let container = try store.createContainer("c", from: image)
        #expect(try shell("cat etc/motd; cmp bin/busybox /bin/busybox", in: try store.mount(container)) == "hi\n")
        #expect(try store.fsck() == [])
    }

    @Test func refusesWhatIsNoArchive() throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store")
        let layout = try SampleImages.layout.get()
        func take(_ transport: ImageLocation.Transport, _ name: String) -> String { failure { try store.take(ImageLocation(transport, path: scratch.path + "/" + name)) } }
        try shell(
            """
            mkdir empty; tar -cf empty.tar empty; head -c 5000 /dev/urandom > noise
            cp -r \(layout) broken; f=$(ls -S broken/blobs/sha256 | head -1); printf X | dd of=broken/blobs/sha256/$f conv=notrunc status=none; tar -C broken -cf broken.tar .
            cp -r \(layout) short; f=$(ls -S short/blobs/sha256 | head -1); truncate -s -1 short/blobs/sha256/$f; rm short/blobs/sha256/$f.x 2>/dev/null || true
            cp -r \(layout) old; echo '{"imageLayoutVersion":"2.0.0"}' > old/oci-layout
            cp -r \(layout) bad; echo '{' > bad/index.json
            cp -r \(layout) missing; f=$(ls -S missing/blobs/sha256 | head -1); rm missing/blobs/sha256/$f
            mkdir d; echo '[{"Config":"../../etc/passwd","Layers":[]}]' > d/manifest.json; tar -C d -cf d.tar manifest.json; ln -s /etc/passwd d/c.json; echo '[{"Config":"c.json","Layers":[]}]' > d/manifest.json; tar -C d -cf link.tar manifest.json c.json
            mkfifo d/pipe; tar -C d -cf pipe.tar pipe
            """, in: scratch.path)
        #expect(take(.oci, "empty").contains("is no OCI image layout: it has no oci-layout"))
        #expect(take(.ociArchive, "empty.tar").contains("it has no oci-layout"))
        #expect(take(.dockerArchive, "empty.tar").contains("it has no manifest.json"))
        #expect(take(.dockerArchive, "noise").contains("archive"))
        #expect(take(.oci, "nowhere").contains("it has no oci-layout"))
        #expect(take(.oci, "broken").contains("the content that should be"))
        #expect(take(.ociArchive, "broken.tar").contains("the content that should be"))
        #expect(take(.oci, "short").contains("bytes, and not the"))
        #expect(take(.oci, "old").contains("\"2.0.0\" are not known"))
        #expect(take(.oci, "bad").contains("is not JSON"))
        #expect(take(.oci, "missing").contains("no such file"))
        #expect(take(.dockerArchive, "d.tar").contains("which is not in the archive"))
        #expect(take(.dockerArchive, "link.tar").contains("which is not in the archive"))
        #expect(take(.dockerArchive, "pipe.tar").contains("neither a file nor a directory"))
        #expect(try store.images() == [])
        _ = try store.collect()
        #expect(try shell("find images/blobs ingest leases -type f", in: store.root) == "")
    }

    /// What a disk has damaged is not handed on.
    @Test(arguments: [ImageLocation.Transport.oci, .ociArchive, .dockerArchive])
    func damagedContentIsNotExported(transport: ImageLocation.Transport) throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store")
        try store.take(ImageLocation(.oci, path: try SampleImages.layout.get()))
        let image = try store.image(named: "one")
        try shell("printf X | dd of=images/blobs/sha256/\(image.manifest.layers[0].digest.hex) bs=1 seek=100 conv=notrunc status=none", in: store.root)
        let location = ImageLocation(transport, path: scratch.path + "/out", name: "one")
        #expect(failure { try store.export(image.descriptor, to: location) }.contains("is not what its digest says; run fsck"))
        #expect(try shell("find out -name index.json -o -type f -name '*\(image.manifest.layers[0].digest.hex)*' -o -maxdepth 0 -type f 2> /dev/null || true", in: scratch.path) == "")
    }

    /// A layout and archives of somebody who wants more than to be read.
    @Test func hostilePlaces() throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store")
        let layout = try SampleImages.layout.get()
        func take(_ transport: ImageLocation.Transport, _ name: String) -> String { failure { try store.take(ImageLocation(transport, path: scratch.path + "/" + name)) } }
        try shell(
            """
            for n in link fifo indexlink indexfifo indexbig markfifo marklink directory; do cp -r \(layout) $n; done
            big=$(cd link/blobs/sha256; ls -S | head -1)
            mv link/blobs/sha256/$big x; ln -s "$PWD/x" link/blobs/sha256/$big; rm fifo/blobs/sha256/$big; mkfifo fifo/blobs/sha256/$big; rm directory/blobs/sha256/$big; mkdir directory/blobs/sha256/$big
            ln -sf /etc/shadow indexlink/index.json; rm indexfifo/index.json; mkfifo indexfifo/index.json; truncate -s 100G indexbig/index.json
            rm markfifo/oci-layout; mkfifo markfifo/oci-layout; ln -sf /etc/shadow marklink/oci-layout
            mkdir -p sparse/blobs/sha256; cp link/oci-layout sparse; echo '{"schemaVersion":2,"manifests":[]}' > sparse/index.json; truncate -s 300G sparse/blobs/sha256/$(printf %064d 1); tar --sparse --format=posix -C sparse -cf sparse.tar .
            python3 -c 'import tarfile
            t = tarfile.open("names.tar", "w", format=tarfile.PAX_FORMAT)
            for n in range(20000):
                i = tarfile.TarInfo("x" * 200 + "/" + "y" * 200 + "/%d" % n); i.type = tarfile.SYMTYPE; i.linkname = "z" * 1000; t.addfile(i)'
            mkdir many; echo '{}' > many/c.json; echo x > many/l; python3 -c 'import json; print(json.dumps([{"Config": "c.json", "Layers": ["l"] * 201}]))' > many/manifest.json; tar -C many -cf many.tar .
            mkdir loop; ln -s b loop/a.json; ln -s a.json loop/b; echo '[{"Config":"a.json","Layers":[]}]' > loop/manifest.json; tar -C loop -cf loop.tar .
            """, in: scratch.path)
        #expect(take(.oci, "link").contains("is a symbolic link, which a layout does not have"))
        #expect(take(.oci, "fifo").contains("which is no file"))
        #expect(take(.oci, "directory").contains("which is no file"))
        #expect(take(.oci, "indexlink").contains("index.json is a symbolic link"))
        #expect(take(.oci, "indexfifo").contains("which is no file"))
        #expect(take(.oci, "indexbig").contains("file too large"))
        #expect(take(.oci, "markfifo").contains("which is no file"))
        #expect(take(.oci, "marklink").contains("oci-layout is a symbolic link"))
        #expect(take(.ociArchive, "sparse.tar").contains("the archive's files have more than \(64 << 30) bytes, holes included"))
        #expect(take(.dockerArchive, "names.tar").contains("the archive has too many files"))
        #expect(take(.dockerArchive, "many.tar").contains("an image in it has 201 layers; 200 are the most that work"))
        #expect(take(.dockerArchive, "loop.tar").contains("which is not in the archive"))
        _ = try store.collect()
        #expect(try shell("find images/blobs ingest leases -type f", in: store.root) == "")
    }

    @Test func layersOfTheirOwn() throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store", .copy)
        let lease = try store.lease()
        try shell("mkdir tree; seq 100000 > tree/file; tar -C tree -cf tar .; gzip -k tar; zstd -q tar; xz -k tar; bzip2 -k tar; cp tar.gz tail.gz; head -c 5000 /dev/zero >> tail.gz; head -c 30000 tar.zst > cut", in: scratch.path)
        func take(_ name: String) throws -> (layer: Descriptor, diffID: OCIImage.Digest) {
            try store.importLayer(from: ByteSource(SharedDescriptor(try OwnedDescriptor(opening: scratch.path + "/" + name, flags: 0))), lease: lease)
        }
        let diffID = ContentDigester.digest(of: try readFile(scratch.path + "/tar"))
        for (name, type) in [("tar", MediaType.imageLayer), ("tar.gz", .imageLayerGzip), ("tar.zst", .imageLayerZstd), ("tail.gz", .imageLayerGzip)] {
            let (layer, found) = try take(name)
            let bytes = try readFile(scratch.path + "/" + name)
            #expect(found == diffID && layer == Descriptor(mediaType: type, digest: ContentDigester.digest(of: bytes), size: Int64(bytes.count)), "\(name)")
            let configuration = ImageConfiguration(platform: .current, diffIDs: [found]).bytes
            let config = Descriptor(mediaType: .imageConfiguration, digest: try store.put(configuration, lease: lease), size: Int64(configuration.count))
            let manifest = Manifest(config: config, layers: [layer]).bytes
            let image = try store.image(Descriptor(mediaType: .imageManifest, digest: try store.put(manifest, lease: lease), size: Int64(manifest.count)))
            try store.createContainer(name, from: image)
            #expect(try shell("cmp tree/file store/containers/\(name)/fs/file", in: scratch.path) == "")
        }
        for (name, words) in [("tar.xz", "it is xz's; layers are gzip's, zstd's or not compressed"), ("tar.bz2", "it is bzip2's"), ("cut", "runcated"), ("/dev/null", "it is empty")] {
            #expect(failure { _ = try take(name.hasPrefix("/") ? "../../.." + name : name) }.contains(words), "\(failure { _ = try take(name) })")
        }
    }
}
