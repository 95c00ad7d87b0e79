import Foundation
import LayerArchive
import LinuxSystem
import OCIImage
import Testing
@testable import ImageStore

/// Processes that are killed, and disks that are full.
@Suite(.serialized, .enabled(if: SampleImages.needs == nil, "umoci and skopeo make the images"))
struct DisasterTests {
    /// The program imports, unpacks, makes a container and commits it, and is killed at some time. Whatever that was, what is visible is whole, and the next one comes to the end.
    @Test(arguments: [DriverKind.overlay, .erofs])
    func killed(driver: DriverKind) throws {
        guard isMachineRoot() else { try Test.cancel("overlayfs and mounts need root") }
        let scratch = Scratch()
        let layout = try SampleImages.layout.get()
        let store = scratch.path + "/store"
        let options = "--no-sync --driver \(driver.rawValue)"
        let whole = Date()
        try shell("\(exampleProgram) \(store)-first \(options) import oci:\(layout) && \(exampleProgram) \(store)-first \(options) create c three && \(exampleProgram) \(store)-first \(options) commit c four")
        let duration = Date().timeIntervalSince(whole)
        for round in 0..<(driver == .overlay ? 30 : 10) {
            let delay = Double.random(in: 0...(duration * 1.1))
            try shell(
                """
                setsid bash -c '\(exampleProgram) \(store) \(options) import oci:\(layout) && \(exampleProgram) \(store) \(options) create c\(round) three && \(exampleProgram) \(store) \(options) commit c\(round) four' > /dev/null 2>&1 & p=$!
                sleep \(String(format: "%.4f", delay)); kill -KILL -- -$p 2> /dev/null || true; wait $p || true
                """)
            let opened = try ImageStore.forTests(store)
            var thorough = FsckOptions()
            thorough.layers = round % 10 == 9
            #expect(try opened.fsck(thorough) == [], "killed after \(delay) s of \(duration)")
            if round % 3 == 2 {
                // From the start again.
                for image in try opened.images() { _ = try opened.removeImage(image.descriptor.digest) }
                for id in try opened.containers() { try opened.removeContainer(id) }
                _ = try opened.collect()
                let left = try shell("find images/blobs ingest leases trash layers containers -mindepth 1 ! -name sha256 ! -name sha512 ! -path 'layers/\(driver.rawValue)'", in: store)
                #expect(left == "")
            }
        }
        try shell("\(exampleProgram) \(store) \(options) import oci:\(layout) && \(exampleProgram) \(store) \(options) create last three && \(exampleProgram) \(store) \(options) commit last four")
        let opened = try ImageStore.forTests(store)
        var thorough = FsckOptions()
        thorough.layers = true
        #expect(try opened.fsck(thorough) == [])
        #expect(Set(try opened.images().compactMap(\.name)) == ["one", "two", "three", "four"])
        _ = try opened.collect()
        #expect(try shell("find ingest leases trash -mindepth 1", in: store) == "")
    }

    @Test(.enabled(if: isMachineRoot() && missing("mkfs.erofs") == nil, "mounting needs root"), arguments: [DriverKind.copy, .overlay, .erofs])
    func fullDisk(driver: DriverKind) throws {
        let scratch = Scratch()
        try shell("mkdir disk; mount -t tmpfs -o size=24M tmpfs disk", in: scratch.path)
        let layout = try SampleImages.layout.get()
        let store = try ImageStore.forTests(scratch.path + "/disk/store", driver)
        // As full as it takes to fail at the first blob, at a later one, and when a layer is unpacked. The images take 2 MiB, unpacked some 4.
        for free in [0, 100, 800, 1500, 2500, 3500] {
            try shell("rm -f filler; n=$(df --output=avail -k . | tail -1); head -c $(( (n - \(free)) * 1024 )) /dev/zero > filler", in: scratch.path + "/disk")
            do {
                try store.take(ImageLocation(.oci, path: layout))
                _ = try store.createContainer("c\(free)", from: try store.image(named: "three"))
            } catch { #expect("\(error)".contains("no space left on device (free some space") || driver == .erofs && "\(error)".contains("is the disk full?"), "\(error)") }
            try shell("rm -f filler", in: scratch.path + "/disk")
            #expect(try store.fsck() == [], "with \(free) KiB free")
        }
        try store.take(ImageLocation(.oci, path: layout))
        _ = try store.createContainer("c", from: try store.image(named: "three"))
        var options = FsckOptions()
        options.layers = true
        #expect(try store.fsck(options) == [])
        _ = try store.collect()
        #expect(try shell("find ingest leases trash -mindepth 1", in: store.root) == "")
    }
}
