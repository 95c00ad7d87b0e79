import Foundation
import LayerArchive
import LinuxSystem
import OCIImage
import Testing
@testable import ImageStore

struct ContentTests {
    private func failure(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "nothing failed"
        } catch { return "\(error)" }
    }

    @Test func contentIsWhatItShouldBeOrIsNotThere() throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store")
        let lease = try store.lease()
        let bytes = Array("content".utf8)
        let right = Descriptor(mediaType: .empty, digest: ContentDigester.digest(of: bytes), size: 7)
        func write(_ descriptor: Descriptor, _ bytes: [UInt8]) throws {
            var writer = try store.beginBlob(descriptor, lease: lease)
            for byte in bytes { try writer.write([byte]) }
            _ = try writer.commit(length: descriptor.size)
        }
        #expect(failure { try write(right, Array("contenu".utf8)) }.contains("the content that should be \(right.digest) is "))
        #expect(failure { try write(right, Array("conten".utf8)) }.contains("has 6 bytes, and not the 7"))
        #expect(failure { try write(right, Array("content!".utf8)) }.contains("has more than the 7 bytes"))
        #expect(try store.size(of: right.digest) == nil)
        #expect(try !store.hold(right, lease: lease))
        #expect(try shell("find ingest images/blobs -type f", in: store.root) == "")
        try write(right, bytes)
        try write(right, bytes)
        #expect(try store.read(right) == bytes)
        let long = Descriptor(mediaType: .empty, digest: ContentDigester.digest(of: bytes, .sha512), size: 7)
        try write(long, bytes)
        #expect(try store.read(long) == bytes && long.digest.algorithm == .sha512)
        // Given up half way, nothing stays.
        do {
            var writer = try store.beginBlob(nil, lease: lease)
            try writer.write(bytes)
        }
        #expect(try shell("find ingest -type f", in: store.root) == "")
    }

    @Test func namesAreInTheIndex() throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store")
        let lease = try store.lease()
        let first = try makeImage(store, lease, created: "1"), second = try makeImage(store, lease, created: "2")
        try store.setName("docker.io/library/a:1", to: first, lease: lease)
        try store.setName("localhost:5000/b@x", to: first, lease: lease)
        try store.setName("docker.io/library/a:1", to: second, lease: lease)
        #expect(try store.images() == [NamedImage(name: "localhost:5000/b@x", descriptor: first), NamedImage(name: "docker.io/library/a:1", descriptor: second)])
        try store.setName("localhost:5000/b@x", to: second, lease: lease)
        // The first has no name any longer.
        #expect(Set(try store.images().map(\.name)) == [nil, "docker.io/library/a:1", "localhost:5000/b@x"])
        #expect(try store.resolve("docker.io/library/a:1") == second && store.resolve("a") == nil)
        #expect(try store.removeUnnamed() == 1)
        #expect(try store.removeName("nothing") == nil && store.removeName("localhost:5000/b@x") == second)
        #expect(try store.removeImage(second.digest) == ["docker.io/library/a:1"])
        #expect(try store.images() == [])
        for name in ["", "a//b", "/a", "a b", "a\n", "é", String(repeating: "a", count: 513)] {
            #expect(failure { try store.setName(name, to: first, lease: lease) }.contains("cannot be an image's name"))
        }
        let absent = Descriptor(mediaType: .imageManifest, digest: ContentDigester.digest(of: [9]), size: 1)
        #expect(failure { try store.setName("absent", to: absent, lease: lease) }.contains("is not complete"))
        #expect(failure { _ = try store.image(named: "absent") } == "there is no image absent")
    }

    @Test func anIndexGivesTheImageForThePlatform() throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store")
        let lease = try store.lease()
        var arm = try makeImage(store, lease, created: "arm")
        arm.platform = try Platform("linux/arm64")
        var intel = try makeImage(store, lease, created: "intel")
        intel.platform = try Platform("linux/amd64")
        // Not all that an index names need be there.
        var absent = Descriptor(mediaType: .imageManifest, digest: ContentDigester.digest(of: [9]), size: 1)
        absent.platform = try Platform("linux/s390x")
        let bytes = OCIImage.Index(manifests: [absent, arm, intel]).bytes
        let index = Descriptor(mediaType: .imageIndex, digest: try store.put(bytes, lease: lease), size: Int64(bytes.count))
        try store.setName("many", to: index, lease: lease)
        #expect(try store.image(named: "many", platform: Platform("linux/amd64")).configuration.created == "intel")
        #expect(try store.image(named: "many", platform: Platform("linux/arm64")).configuration.created == "arm")
        #expect(failure { _ = try store.image(named: "many", platform: Platform("linux/s390x")) }.contains("pull it for this platform"))
        #expect(failure { _ = try store.image(named: "many", platform: Platform("windows/amd64")) }.contains("which has linux/s390x, linux/arm64, linux/amd64"))
        lease.end()
        #expect(try store.collect() == CollectionReport())
        #expect(try store.fsck() == [])
    }

    @Test func aLeaseKeepsWhatItHolds() throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store")
        let other = try ImageStore.forTests(scratch.path + "/store")
        let lease = try store.lease()
        let image = try makeImage(store, lease, created: "x")
        #expect(try other.collect() == CollectionReport())
        lease.end()
        let report = try other.collect()
        #expect(report.blobs == 3 && report.bytes > 0)
        #expect(try store.size(of: image.digest) == nil)
        // A process that died let go of its lease.
        try shell("echo 'blob sha256:00' > leases/dead; touch ingest/dead.1 images/.dead.new locks/container-dead; mkdir -p ingest/dead.2/fs/x trash/btrfs.x/y", in: store.root)
        #expect(try store.collect().leftovers == 3)
        #expect(try shell("find leases ingest trash images/.dead.new locks/container-dead -mindepth 1 2> /dev/null || true", in: store.root) == "")
        #expect(try shell("ls -A images locks", in: store.root).contains("dead") == false)
    }

    @Test func whatALeaseCouldNotWriteItDoesNotHold() throws {
        guard isMachineRoot() else { try Test.cancel("mounting needs root") }
        let scratch = Scratch()
        try shell("mkdir disk; mount -t tmpfs -o size=256K tmpfs disk", in: scratch.path)
        let store = try ImageStore.forTests(scratch.path + "/disk/store")
        let (lease, digest) = (try store.lease(), ContentDigester.digest(of: [1]))
        try shell("cat /dev/zero > filler 2> /dev/null || true", in: scratch.path + "/disk")
        #expect(failure { try lease.hold(blob: digest) }.contains("no space left on device (free some space"))
        try shell("rm filler", in: scratch.path + "/disk")
        try lease.hold(blob: digest)
        #expect(try Lease.all(in: store).contains("blob \(digest)"))
        // A layer is held with those beneath it.
        let two = try makeImage(store, lease, layers: ["a", "b"])
        let image = try store.image(two)
        #expect(failure { _ = try store.unpack(layer: 1, of: image, lease: lease) }.contains("there is no unpacked layer \(image.chainIDs[0])"))
        let kind = try store.driverKind().rawValue
        for chainID in image.chainIDs { #expect(try Lease.all(in: store).contains("layer \(kind) \(chainID.hex)")) }
    }

    @Test func aLayerMustBeWhatTheConfigurationSays() throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store", .copy)
        let lease = try store.lease()
        let liar = try makeImage(store, lease, created: "x", diffID: ContentDigester.digest(of: [1]))
        try store.setName("liar", to: liar, lease: lease)
        let image = try store.image(named: "liar")
        #expect(failure { try store.unpack(image, lease: lease) }.contains("and its configuration says \(ContentDigester.digest(of: [1]))"))
        #expect(try shell("find layers ingest -mindepth 1 ! -name copy", in: store.root) == "")
        // Of another algorithm the tar is read once more.
        var writer = try LayerWriterBytes("y")
        let honest = try makeImage(store, lease, created: "y", diffID: ContentDigester.digest(of: writer.take(), .sha512))
        try store.unpack(try store.image(honest), lease: lease)
    }

    /// mkfs.erofs writes holes as zeros: a kilobyte of archive must not fill the disk.
    @Test(.enabled(if: isMachineRoot() && missing("mkfs.erofs") == nil, "erofs images are mounted"))
    func holesTakeRoomInErofs() throws {
        let scratch = Scratch()
        try shell("truncate -s 100G sparse; tar --sparse --format=posix -cf sparse.tar sparse", in: scratch.path)
        let bytes = try readFile(scratch.path + "/sparse.tar")
        for driver in [DriverKind.erofs, .copy] {
            let store = try ImageStore.forTests(scratch.path + "/store", driver)
            let lease = try store.lease()
            let image = try store.image(try makeImage(store, lease, layer: bytes))
            #expect(failure { try store.unpack(image, lease: lease) }.contains("bytes of holes") == (driver == .erofs))
        }
        #expect(try shell("find ingest -type f", in: scratch.path + "/store") == "")
    }

    @Test func unpacksWhatHasCome() throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store")
        let lease = try store.lease()
        var blobs: [(Descriptor, [UInt8])] = []
        for text in ["a", "b", "c"] {
            var bytes = try LayerWriterBytes(text)
            let content = bytes.take()
            blobs.append((Descriptor(mediaType: .imageLayer, digest: ContentDigester.digest(of: content), size: Int64(content.count)), content))
        }
        let configuration = ImageConfiguration(platform: .current, diffIDs: blobs.map(\.0.digest)).bytes
        let manifest = Manifest(
            config: Descriptor(mediaType: .imageConfiguration, digest: try store.put(configuration, lease: lease), size: Int64(configuration.count)), layers: blobs.map(\.0)).bytes
        let image = try store.image(Descriptor(mediaType: .imageManifest, digest: try store.put(manifest, lease: lease), size: Int64(manifest.count)))
        #expect(try store.unpackAvailable(image, lease: lease) == 0)
        _ = try store.put(blobs[1].1, lease: lease)
        #expect(try store.unpackAvailable(image, lease: lease) == 0)
        _ = try store.put(blobs[0].1, lease: lease)
        #expect(try store.unpackAvailable(image, lease: lease) == 2)
        #expect(failure { try store.setName("early", to: image.descriptor, lease: lease) }.contains("\(blobs[2].0.digest) is missing"))
        _ = try store.put(blobs[2].1, lease: lease)
        #expect(try store.unpackAvailable(image, lease: lease) == 3)
    }

    @Test func manyAtOnceUnpackEachLayerOnce() async throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store", .copy)
        let lease = try store.lease()
        try store.setName("x", to: try makeImage(store, lease, created: "x"), lease: lease)
        let image = try store.image(named: "x")
        let made = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<8 {
                group.addTask {
                    let own = try ImageStore.forTests(store.root, .copy)
                    let lease = try own.lease()
                    let report = try own.unpack(layer: 0, of: image, lease: lease)
                    try own.createContainer("c\(number)", from: image)
                    _ = try own.collect()
                    return report != nil
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(made == 1)
        #expect(try store.containers().count == 8)
        #expect(failure { try store.createContainer("c0", from: image) } == "there is a container c0 already")
        for id in ["", "../x", ".x", "a/b", String(repeating: "a", count: 201)] {
            #expect(failure { try store.createContainer(id, from: image) }.contains("cannot be a container's name"))
        }
    }
}

/// An image of one layer with one file.
func makeImage(_ store: ImageStore, _ lease: Lease, created: String, diffID: OCIImage.Digest? = nil) throws -> Descriptor {
    var bytes = try LayerWriterBytes(created)
    return try makeImage(store, lease, created: created, diffID: diffID, layer: bytes.take())
}

/// An image of one layer, which is not compressed.
func makeImage(_ store: ImageStore, _ lease: Lease, created: String = "x", diffID: OCIImage.Digest? = nil, layer: [UInt8]) throws -> Descriptor {
    let digest = try store.put(layer, lease: lease)
    let configuration = ImageConfiguration(created: created, platform: .current, diffIDs: [diffID ?? digest]).bytes
    let manifest = Manifest(
        config: Descriptor(mediaType: .imageConfiguration, digest: try store.put(configuration, lease: lease), size: Int64(configuration.count)),
        layers: [Descriptor(mediaType: .imageLayer, digest: digest, size: Int64(layer.count))]).bytes
    return Descriptor(mediaType: .imageManifest, digest: try store.put(manifest, lease: lease), size: Int64(manifest.count))
}

/// An image of several layers of one file each.
func makeImage(_ store: ImageStore, _ lease: Lease, layers texts: [String]) throws -> Descriptor {
    try makeImage(store, lease, layers: try texts.map { text in
        var bytes = try LayerWriterBytes(text)
        return bytes.take()
    })
}

/// An image of several layers, which are not compressed.
func makeImage(_ store: ImageStore, _ lease: Lease, layers: [[UInt8]]) throws -> Descriptor {
    let descriptors = try layers.map { Descriptor(mediaType: .imageLayer, digest: try store.put($0, lease: lease), size: Int64($0.count)) }
    let configuration = ImageConfiguration(platform: .current, diffIDs: descriptors.map(\.digest)).bytes
    let config = Descriptor(mediaType: .imageConfiguration, digest: try store.put(configuration, lease: lease), size: Int64(configuration.count))
    let manifest = Manifest(config: config, layers: descriptors).bytes
    return Descriptor(mediaType: .imageManifest, digest: try store.put(manifest, lease: lease), size: Int64(manifest.count))
}

/// A layer of one file, `file`, that says what it is called.
struct LayerWriterBytes {
    private var bytes: [UInt8] = []
    init(_ text: String) throws {
        var all: [UInt8] = []
        let writer = try LayerWriter(.none) { all += $0 }
        let content = Array("content of \(text)".utf8)
        try writer.addFile("file", size: Int64(content.count), from: ByteSource(content))
        _ = try writer.finish()
        bytes = all
    }
    mutating func take() -> [UInt8] { bytes }
}
