import Foundation
import LayerArchive
import LinuxSystem
import OCIImage
import Testing
@testable import ImageStore

/// What `fsck` finds, and what others do meanwhile.
struct FsckTests {
    private func thorough(repair: Bool = false) -> FsckOptions {
        var options = FsckOptions()
        (options.layers, options.repair) = (true, repair)
        return options
    }

    @Test func saysWhatIsWrong() throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store", .copy)
        let lease = try store.lease()
        let first = try makeImage(store, lease, created: "1"), second = try makeImage(store, lease, created: "2")
        try store.setName("first", to: first, lease: lease)
        try store.setName("second", to: second, lease: lease)
        let container = try store.createContainer("c", from: try store.image(named: "second"))
        lease.end()
        #expect(try store.fsck(thorough()) == [])

        let layer = try store.image(named: "first").manifest.layers[0]
        let place = "layers/copy/\(container.chainIDs[0].hex)"
        try shell(
            """
            printf X | dd of=images/blobs/sha256/\(layer.digest.hex) conv=notrunc status=none; touch images/blobs/sha256/stray; mkfifo images/blobs/sha256/$(printf %064d 1); echo more >> images/blobs/sha256/\(second.digest.hex)
            echo changed > \(place)/fs/file; mkdir containers/empty containers/damaged containers/lost+found; echo '{' > containers/damaged/record.json; ln -s /etc/passwd images/blobs/sha512/$(printf %0128d 1)
            """, in: store.root)
        let problems = try store.fsck(thorough()).map { "\($0)" }
        for (start, part) in [
            ("blob \(layer.digest): it is damaged", "(to do: remove it, and pull"), ("blob \(store.paths.blobs)/sha256/stray: it is no blob", "its name is not a digest's"),
            ("blob sha256:0", "it is damaged"), ("blob sha512:0", "it cannot be read"), ("blob \(second.digest): it is damaged", "its content is"), ("image second: ", "is not complete"),
            ("container c: ", "is not complete"), ("container empty: the container empty has no record", "(to do: remove it)"), ("container damaged: the record of the container damaged cannot be read", "(to do: remove it)"),
        ] { #expect(problems.contains { $0.hasPrefix(start) && $0.contains(part) }, "\(start) in \(problems)") }
        #expect(problems.count == 9)
        #expect(throws: StoreError.self) { try store.collect() }
        // A damaged container can be removed all the same.
        for id in ["empty", "damaged"] { try store.removeContainer(id) }

        let repaired = try store.fsck(thorough(repair: true))
        #expect(repaired.filter(\.isRepaired).count == 3 && repaired.allSatisfy { $0.isRepairable == $0.isRepaired })
        #expect(try store.size(of: layer.digest) == nil)
        try shell("rm images/blobs/sha256/stray images/blobs/sha512/*", in: store.root)
        #expect(try store.fsck(thorough()).map { "\($0)" }.contains { $0.hasPrefix("image first: ") && $0.contains("\(layer.digest) is missing") })
        // An index that is none is a finding, too.
        try shell("echo '[' > images/index.json", in: store.root)
        #expect(try store.fsck().map(\.subject) == [.index, .container])
    }

    /// The unpacked layers of all images in an index, and of containers whose image has no name any longer.
    @Test(arguments: [true, false])
    func findsDamagedLayers(isNamed: Bool) throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store", .copy)
        let lease = try store.lease()
        var descriptor = try makeImage(store, lease, layers: ["1", "2"])
        let image = try store.image(descriptor)
        if isNamed {
            descriptor.platform = .current
            let bytes = OCIImage.Index(manifests: [descriptor]).bytes
            try store.setName("first", to: Descriptor(mediaType: .imageIndex, digest: try store.put(bytes, lease: lease), size: Int64(bytes.count)), lease: lease)
            try store.unpack(image, lease: lease)
        } else {
            try store.createContainer("c", from: image)
        }
        #expect(try store.fsck(thorough()) == [])
        let place = store.layerPlace(image.chainIDs[1], .copy)
        try shell("rm '\(place)/fs/file'; echo other > '\(place)/fs/file'")
        let found = try store.fsck(thorough())
        #expect(found.map { "\($0)" } == ["layer copy \(image.chainIDs[1]): it is not what its archive holds: \"/\", \"/file\" (to do: remove it; it is unpacked again when it is needed)"])
        // Not while somebody is about to use it, or a container does.
        #expect(try store.fsck(thorough(repair: true)).map(\.isRepaired) == [false])
        lease.end()
        #expect(try store.fsck(thorough(repair: true)).map(\.isRepaired) == [isNamed])
        if !isNamed { return try store.removeContainer("c") }
        #expect(try store.fsck(thorough()) == [])
        let again = try store.lease()
        try store.unpack(image, lease: again)
        #expect(try shell("cat '\(place)/fs/file'") == "content of 2")
    }

    /// What cannot be made anew for want of room is not damaged for that.
    @Test(.enabled(if: isMachineRoot(), "mounting needs root"))
    func aFullDiskDamagesNothing() throws {
        let scratch = Scratch()
        try shell("mkdir disk; mount -t tmpfs -o size=2M tmpfs disk", in: scratch.path)
        let store = try ImageStore.forTests(scratch.path + "/disk/store", .copy)
        let lease = try store.lease()
        try store.setName("x", to: try makeImage(store, lease, layers: [String(repeating: "long ", count: 50_000)]), lease: lease)
        let image = try store.image(named: "x")
        try store.unpack(image, lease: lease)
        lease.end()
        // Enough for the lease that is verified by, and not for the layer.
        try shell("head -c $(( ($(df --output=avail -k . | tail -1) - 100) * 1024 )) /dev/zero > filler", in: scratch.path + "/disk")
        let found = try store.fsck(thorough(repair: true))
        #expect(found.count == 1 && found.first.map { "\($0)".contains("it cannot be compared with its archive") && "\($0)".contains("no space left on device") && !$0.isRepaired } == true, "\(found)")
        try shell("rm filler", in: scratch.path + "/disk")
        #expect(try store.fsck(thorough()) == [] && store.exists(store.layerPlace(image.chainIDs[0], .copy)))
    }

    /// Containers come and go, and all are collected and verified at the same time.
    @Test func othersGoOn() async throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store", .copy)
        let lease = try store.lease()
        try store.setName("x", to: try makeImage(store, lease, layers: ["1", "2"]), lease: lease)
        lease.end()
        let root = store.root
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<6 {
                group.addTask {
                    let own = try ImageStore.forTests(root, .copy)
                    for round in 0..<12 {
                        switch number {
                        case 0: #expect(try own.fsck(thorough()).map { "\($0)" } == [])
                        case 1, 2: _ = try own.collect()
                        default:
                            let container = try own.createContainer("c\(number)-\(round)", from: try own.image(named: "x"))
                            try shell("mkdir -p fs/a/b/c; for f in $(seq 50); do : > fs/a/b/c/$f; done", in: "\(root)/containers/\(container.id)")
                            try own.removeContainer(container.id)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        _ = try store.collect()
        #expect(try shell("find containers ingest leases trash -mindepth 1; find locks -name 'layer-*' -o -name 'container-*'", in: root) == "")
        #expect(try store.fsck(thorough()) == [])
    }

    @Test func manifestsThatNameEachOtherAThousandTimes() throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store", .copy)
        let lease = try store.lease()
        var descriptor = try makeImage(store, lease, created: "x")
        // Each a thousand times in the next: as a tree they would be visited for days.
        for _ in 0..<3 {
            let bytes = OCIImage.Index(manifests: Array(repeating: descriptor, count: 3000)).bytes
            descriptor = Descriptor(mediaType: .imageIndex, digest: try store.put(bytes, lease: lease), size: Int64(bytes.count))
        }
        try store.setName("bomb", to: descriptor, lease: lease)
        lease.end()
        #expect(try store.collect() == CollectionReport())
        #expect(try store.fsck() == [])
        #expect(try store.image(named: "bomb").configuration.created == "x")
    }

    /// What strangers say in a configuration must not keep the rest from being collected.
    @Test func anImageThatCannotBeUnpackedIsCollectedLikeOthers() throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store", .copy)
        let lease = try store.lease()
        let good = try store.image(try makeImage(store, lease, created: "x"))
        let manifest = Manifest(config: good.manifest.config, layers: good.manifest.layers + good.manifest.layers).bytes
        try store.setName("misfit", to: Descriptor(mediaType: .imageManifest, digest: try store.put(manifest, lease: lease), size: Int64(manifest.count)), lease: lease)
        lease.end()
        let report = try store.collect()
        #expect(report.blobs == 1)
        #expect(try store.fsck().map { "\($0)" }.count == 1)
        #expect(try store.removeName("misfit") != nil && store.collect().blobs == 3)
    }
}
