import Foundation
import LayerArchive
import LinuxSystem
import OCIImage
import Testing
@testable import ImageStore

/// A driver on a file system of a kind.
struct DriverPlace: Sendable, CustomTestStringConvertible {
    let driver: DriverKind
    /// Nil: the one that the tests' temporary files are on.
    let fileSystem: String?
    var testDescription: String { "\(driver.rawValue) on \(fileSystem ?? "this machine's file system")" }

    static let all = [
        DriverPlace(driver: .overlay, fileSystem: nil), DriverPlace(driver: .copy, fileSystem: nil), DriverPlace(driver: .erofs, fileSystem: nil),
        DriverPlace(driver: .overlay, fileSystem: "xfs"), DriverPlace(driver: .reflink, fileSystem: "xfs"),
        DriverPlace(driver: .btrfs, fileSystem: "btrfs"), DriverPlace(driver: .reflink, fileSystem: "btrfs"),
    ]

    /// A directory there, and what keeps it; throws the reason when there can be none.
    func make() throws -> Scratch {
        guard let fileSystem else { return Scratch() }
        let scratch = Scratch()
        try shell("truncate -s 400M disk; mkfs.\(fileSystem) -q disk; mkdir mount; mount -o loop disk mount", in: scratch.path)
        return scratch
    }
}

/// Every driver gives the same files, keeps containers apart, and says the same of what has changed.
@Suite(.serialized, .enabled(if: SampleImages.needs == nil, "umoci and skopeo make the images"))
struct DriverTests {
    private func run(_ place: DriverPlace, _ body: (ImageStore, Scratch) throws -> Void) throws {
        guard isMachineRoot() else { try skip(place, "mounting needs root") }
        let scratch: Scratch
        do { scratch = try place.make() } catch { try skip(place, "\(error)") }
        let path = scratch.path + (place.fileSystem == nil ? "" : "/mount") + "/store"
        let support = try ImageStore.forTests(path).drivers().first { $0.kind == place.driver }?.support
        if case .cannot(let reason)? = support { try skip(place, reason) }
        try body(try ImageStore.forTests(path, place.driver), scratch)
    }

    private func skip(_ place: DriverPlace, _ reason: String) throws -> Never {
        // In CI all are to be there: .ci/run installs what makes them.
        if ProcessInfo.processInfo.environment["REQUIRE_KVM"] == "1" { Issue.record("\(place.testDescription): \(reason)") }
        try Test.cancel("\(place.testDescription): \(reason)")
    }

    @Test(arguments: DriverPlace.all)
    func lifeOfAContainer(place: DriverPlace) throws {
        try run(place) { store, scratch in
            let layout = try SampleImages.layout.get()
            try store.take(ImageLocation(.oci, path: layout))

            // What umoci unpacks is what we unpack, whatever the driver.
            for name in ["one", "two", "three"] {
                let container = try store.createContainer("c-\(name)", from: try store.image(named: name))
                let root = try store.mount(container)
                #expect(try store.mount(container) == root)
                try shell("rm -rf '\(scratch.path)/umoci'; umoci unpack --image '\(layout):\(name)' '\(scratch.path)/umoci'")
                let (ours, theirs) = (try listing(root).split(separator: "\n"), try listing(scratch.path + "/umoci/rootfs").split(separator: "\n"))
                #expect(Set(ours).symmetricDifference(theirs).sorted() == [], "\(name)")
                try store.unmount(container)
            }

            // Two containers of one image do not see each other's changes, and their image stays as it is.
            let container = try store.container("c-two")
            let other = try store.createContainer("other", from: try store.image(named: "two"))
            let (root, otherRoot) = (try store.mount(container), try store.mount(other))
            let untouched = try listing(otherRoot)
            try shell(
                """
                rm -r etc/opaque; mkdir etc/opaque; echo c > etc/opaque/c; rm usr/share/doc/1; echo changed > etc/passwd; mkdir -p new/dir; echo x > new/dir/x; ln new/dir/x new/y
                chmod 700 bin; rm bin/sh; echo file > bin/sh; setfattr -n user.a -v b usr/share/doc/2; mkfifo new/fifo; ln -s nowhere new/link; touch -d 2001-01-01 var
                """, in: root)
            #expect(try listing(otherRoot) == untouched)
            #expect(try store.usage(of: container) > 0)
            // Images for a machine can be looked at meanwhile.
            if place.driver == .erofs {
                let (view, now) = (try #require(try store.mountView(container)), try listing(root).split(separator: "\n"))
                #expect(Set(try listing(view).split(separator: "\n")).symmetricDifference(now).sorted() == [])
                #expect(try shell("touch x 2>&1 || true", in: view).contains("Read-only file system"))
                try shell("umount '\(view)'")
            } else { #expect(try store.mountView(container) == nil) }

            var changes: [String] = []
            try store.changes(of: container) { (change) throws(LayerError) in
                let letter = switch change.kind { case .added: "A"; case .modified: "C"; case .removed: "D"; case .emptied: "E" }
                if change.kind != .emptied { changes.append("\(letter) \(change.displayPath)") }
            }
            // overlayfs says that an emptied directory is opaque, the others which files are gone.
            let expected = [
                "A /etc/opaque/c", "A /new", "A /new/dir", "A /new/dir/x", "A /new/fifo", "A /new/link", "A /new/y", "C /", "C /bin", "C /bin/sh", "C /etc",
                "C /etc/opaque", "C /etc/passwd", "C /usr", "C /usr/share", "C /usr/share/doc", "C /usr/share/doc/2", "C /var", "D /usr/share/doc/1",
            ]
            #expect(changes.filter { $0 != "D /etc/opaque/new" }.sorted() == expected)

            // Committed, the next container begins where this one is; without what was left out.
            let lease = try store.lease()
            let committed = try store.commit(container, lease: lease, excluding: { $0 == "/new/dir" }) { $0.history.append(HistoryEntry(createdBy: "test")) }
            try store.setName("committed", to: committed, lease: lease)
            lease.end()
            let image = try store.image(named: "committed")
            #expect(image.chainIDs.dropLast() == (try store.image(named: "two").chainIDs)[...] && image.configuration.history.last?.createdBy == "test")
            let next = try store.createContainer("next", from: image)
            let nextRoot = try store.mount(next)
            try shell("rm -r new/dir; touch -r '\(nextRoot)/new' new", in: root)
            let (after, before) = (try listing(nextRoot).split(separator: "\n"), try listing(root).split(separator: "\n"))
            #expect(Set(after).symmetricDifference(before).sorted() == [])

            var options = FsckOptions()
            options.layers = true
            #expect(try store.fsck(options) == [])

            // What is removed is gone, and nothing else.
            try store.removeContainer("c-two")
            #expect(try listing(otherRoot) == untouched)
            for name in ["one", "two", "three", "committed"] { #expect(try store.removeName(name) != nil) }
            _ = try store.collect()
            #expect(try listing(otherRoot) == untouched)
            for id in try store.containers() { try store.removeContainer(id) }
            let report = try store.collect()
            #expect(report.layers > 0 && report.blobs > 0 && report.leftovers == 0)
            #expect(try shell("find images/blobs layers/* containers ingest trash leases -mindepth 1 ! -name sha256 ! -name sha512", in: store.root) == "")
        }
    }

    /// Hard links to files of layers beneath, as umoci makes them: whether layers are kept apart or not, the names are one file.
    @Test(arguments: DriverPlace.all)
    func linksBetweenLayers(place: DriverPlace) throws {
        try run(place) { store, scratch in
            try shell(
                """
                mkdir -p 1/d/e 2 3; cp /bin/true 1/d/program; chown 5:6 1/d/program; chmod 4755 1/d/program; setfattr -n user.note -v text 1/d/program; setfacl -m u:4242:r 1/d/program
                truncate -s 3M 1/d/sparse; echo end >> 1/d/sparse; echo x > 1/gone; echo y > 1/moved; ln -s nowhere 1/d/link; echo z > 1/d/e/z; mkfifo 1/d/fifo; chmod 711 1/d; chown 8:9 1/d/e; touch -d @5 1/d/e/z 1/d/e 1/d 1/d/program
                tar --xattrs --xattrs-include='*' --acls --format=posix --sparse -C 1 -cf 1.tar .
                # As tar writes them, of files that this archive does not have.
                python3 - <<'EOF'
                import tarfile
                def archive(name, links, whiteouts):
                    with tarfile.open(name, 'w', format=tarfile.PAX_FORMAT) as t:
                        for path, target in links:
                            i = tarfile.TarInfo(path); i.type = tarfile.LNKTYPE; i.linkname = target; t.addfile(i)
                        for path in whiteouts: t.addfile(tarfile.TarInfo(path))
                archive('2.tar', [('bin/program', 'd/program'), ('sparse', 'd/sparse'), ('link', 'd/link'), ('fifo', 'd/fifo'), ('d/e/second', 'd/e/z'), ('new/name', 'moved')], ['.wh.moved', '.wh.gone'])
                archive('3.tar', [('third', 'new/name'), ('fourth', 'third')], [])
                EOF
                umoci init --layout oci; umoci new --image oci:linked; for n in 1 2 3; do umoci raw add-layer --image oci:linked $n.tar; done; umoci unpack --image oci:linked umoci
                """, in: scratch.path)
            try store.take(ImageLocation(.oci, path: scratch.path + "/oci"))
            let container = try store.createContainer("c", from: try store.image(named: "linked"))
            let root = try store.mount(container)
            // Times of directories that no archive names are what they are.
            func plain(_ path: String) throws -> Set<String> {
                Set(try listing(path).split(separator: "\n").filter { !$0.hasPrefix("trusted.SGI_ACL") }.map { line in line.contains("|d|") ? line.split(separator: "|", omittingEmptySubsequences: false).prefix(4).joined(separator: "|") : String(line) })
            }
            let difference = try plain(root).symmetricDifference(try plain(scratch.path + "/umoci/rootfs")).sorted()
            #expect(difference == [], "\(difference)")
            #expect(try shell("stat -c %h d/program; cat new/name third; touch d/e/z; setfacl -m u:4243:r d/e/z; ln new/name again", in: root) == "2\ny\ny\n")
            let lease = try store.lease()
            let layer = store.paths.blob(try store.writeChanges(of: container, compression: .none, lease: lease).layer.digest)
            let changes = String(decoding: try readFile(layer), as: UTF8.self)
            #expect(changes.contains("system.posix_acl_access=") && !changes.contains("SGI_ACL"))
            // A new name of what was there: whoever has the layer has one file of both names.
            let names = try shell("tar -tvf '\(layer)' | sed 's/.*:.. //'")
            #expect(names.contains("\nagain\n") && names.contains("\nnew/name link to again\n"), "\(names)")
            lease.end()
            var options = FsckOptions()
            options.layers = true
            #expect(try store.fsck(options) == [])
            try store.removeContainer("c")
        }
    }

    @Test(arguments: DriverPlace.all)
    func anImageWithoutLayers(place: DriverPlace) throws {
        try run(place) { store, scratch in
            try shell("umoci init --layout empty; umoci new --image empty:none", in: scratch.path)
            try store.take(ImageLocation(.oci, path: scratch.path + "/empty"))
            let container = try store.createContainer("c", from: try store.image(named: "none"))
            let root = try store.mount(container)
            #expect(try shell("find . -mindepth 1", in: root) == "")
            try shell("echo x > file", in: root)
            var changes: [String] = []
            try store.changes(of: container) { (change) throws(LayerError) in changes.append(change.displayPath) }
            #expect(changes == ["/", "/file"])
            try store.removeContainer("c")
        }
    }

    /// More layers than a page has room for the paths of, and directories deeper than there are descriptors.
    @Test(arguments: [DriverPlace(driver: .overlay, fileSystem: nil), DriverPlace(driver: .copy, fileSystem: nil)])
    func manyLayersAndDeepDirectories(place: DriverPlace) throws {
        try run(place) { store, scratch in
            let lease = try store.lease()
            var (layers, diffIDs): ([Descriptor], [OCIImage.Digest]) = ([], [])
            for number in 0..<130 {
                var bytes: [UInt8] = []
                let writer = try LayerWriter(.none) { bytes += $0 }
                try writer.addFile("f\(number)", size: 1, from: ByteSource([65]))
                let written = try writer.finish()
                layers.append(Descriptor(mediaType: .imageLayer, digest: try store.put(bytes, lease: lease), size: written.size))
                diffIDs.append(written.diffID)
            }
            let configuration = ImageConfiguration(platform: .current, diffIDs: diffIDs).bytes
            let manifest = Manifest(
                config: Descriptor(mediaType: .imageConfiguration, digest: try store.put(configuration, lease: lease), size: Int64(configuration.count)), layers: layers).bytes
            let image = try store.image(Descriptor(mediaType: .imageManifest, digest: try store.put(manifest, lease: lease), size: Int64(manifest.count)))
            let container = try store.createContainer("c", from: image)
            let root = try store.mount(container)
            #expect(try shell("ls | wc -l", in: root) == "130\n")
            func dig(_ depth: Int) throws {
                try shell("python3 -c 'import os\nfor i in range(\(depth)): os.mkdir(\"d\"); os.chdir(\"d\")'", in: root)
            }
            try dig(250)
            var count = 0
            try store.changes(of: container) { (change) throws(LayerError) in count += 1 }
            #expect(count == 251)
            #expect(try store.usage(of: container) > 0)
            try shell("rm -r d", in: root)
            try dig(3000)
            let error = #expect(throws: StoreError.self) { try store.changes(of: container) { (change) throws(LayerError) in } }
            #expect(error.map { "\($0)".contains("more than 256 deep") } == true)
            try store.removeContainer("c")
            #expect(try shell("find containers trash -mindepth 1", in: store.root) == "")
        }
    }

    @Test func driversSayWhyTheyCannot() throws {
        let scratch = Scratch()
        let store = try ImageStore.forTests(scratch.path + "/store")
        for (kind, support) in try store.drivers() {
            guard case .cannot(let reason) = support else { continue }
            #expect(reason.count > 20)
            let error = #expect(throws: StoreError.self) { try ImageStore.forTests(scratch.path + "/store", kind).driverKind() }
            #expect(error.map { "\($0)".contains(reason.prefix(20)) } == true)
        }
        #expect(try store.drivers().contains { $0.kind == .copy && $0.support == .works })
        #expect(try shell("find ingest -mindepth 1", in: store.root) == "")
    }
}
