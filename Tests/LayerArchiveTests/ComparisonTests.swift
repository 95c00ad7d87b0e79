import Foundation
import LinuxSystem
import Testing
@testable import LayerArchive

struct ComparisonTests {
    @Test func findsWhatChangedAndNothingElse() throws {
        let scratch = Scratch()
        _ = try scratch.make("base")
        try shell(
            """
            mkdir -p same/deep kept gone/x changed become; printf 1 > same/deep/1; printf 2 > kept/2; printf 3 > gone/x/3; printf 4 > changed/4; printf 5 > changed/5
            printf 66 > touched; printf 77 > stealthy; ln -s a link; printf f > becomedir; ln changed/5 hard
            """, in: scratch.path + "/base")
        try shell("cp -a base tree; sleep 0.05; touch marker; sleep 0.05", in: scratch.path)
        let marker = try OwnedDescriptor(opening: scratch.path + "/marker", flags: O_RDONLY).attributes().changeTime
        try shell(
            """
            rm -r gone; printf new > changed/4; chmod 600 kept/2; touch -d 2001-01-01 touched; ln -sfn b link; rm becomedir; mkdir becomedir; printf n > becomedir/n
            rmdir become; printf f > become; mkdir -p added/deep; printf x > added/deep/x
            touch -r stealthy reference; printf 88 > stealthy; touch -r reference stealthy; rm reference; touch -r base/. . 2>/dev/null || true
            """, in: scratch.path + "/tree")
        var found: [String] = []
        try TreeChanges.between(try scratch.open("base"), and: try scratch.open("tree"), copied: marker) { (change) throws(LayerError) in
            let letter = switch change.kind { case .added: "A"; case .modified: "C"; case .removed: "D"; case .emptied: "E" }
            found.append("\(letter) \(change.displayPath)")
        }
        #expect(found.sorted() == [
            "A /added", "A /added/deep", "A /added/deep/x", "A /becomedir/n", "C /", "C /become", "C /becomedir", "C /changed", "C /changed/4", "C /kept", "C /kept/2",
            "C /link", "C /stealthy", "C /touched", "D /gone",
        ])
    }

    @Test func sayingItAsALayerGivesTheTreeBack() throws {
        let scratch = Scratch()
        _ = try scratch.make("base")
        try shell("mkdir -p a/b c d; printf 1 > a/b/1; printf 2 > c/2; printf 3 > d/3; ln d/3 d/4", in: scratch.path + "/base")
        try shell("cp -a base tree; cp -a base third", in: scratch.path)
        try shell("rm -r c; mkdir a/new; printf n > a/new/n; rm -r a/b; printf b > a/b; mkfifo d/fifo; rm d/4; mkdir d/4; chmod 4755 d/3", in: scratch.path + "/tree")
        var bytes: [UInt8] = []
        let writer = try LayerWriter(.gzip) { bytes += $0 }
        try TreeChanges.between(try scratch.open("base"), and: try scratch.open("tree"), copied: FileTime(seconds: 0, nanoseconds: 0)) { (change) throws(LayerError) in
            try writer.add(change)
        }
        _ = try writer.finish()
        try apply(bytes, to: try scratch.open("third"))
        #expect(try listing(scratch.path + "/third") == listing(scratch.path + "/tree"))
    }

    @Test func aFileThatWouldBeAWhiteoutCannotBeSaid() throws {
        let scratch = Scratch()
        let (base, tree) = (try scratch.make("base"), try scratch.make("tree"))
        try writeFile(scratch.path + "/tree/.wh.x", [])
        let writer = try LayerWriter(.none) { _ in }
        let error = #expect(throws: LayerError.self) {
            try TreeChanges.between(base, and: tree, copied: FileTime(seconds: 0, nanoseconds: 0)) { (change) throws(LayerError) in try writer.add(change) }
        }
        #expect(error.map { "\($0)".contains("would be a whiteout") } == true)
    }
}
