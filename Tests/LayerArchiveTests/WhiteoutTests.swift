import Foundation
import LinuxSystem
import Testing
@testable import LayerArchive

/// Two layers mean the same, applied onto each other and merged by overlayfs.
@Suite(.enabled(if: isMachineRoot(), "overlayfs's whiteouts and mounts need root"))
struct WhiteoutTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let result: String
        let build: @Sendable (inout HandmadeTar) -> Void
        init(_ name: String, _ result: String, _ build: @escaping @Sendable (inout HandmadeTar) -> Void) { (testDescription, self.result, self.build) = (name, result, build) }
    }

    /// Beneath: a/ a/1 a/2 a/sub/ a/sub/3 b>a f
    static let cases = [
        Case("a file goes", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 b>a") { $0.add(".wh.f") },
        Case("a directory goes", "b>a f=f") { $0.add(".wh.a") },
        Case("a symbolic link goes", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 f=f") { $0.add(".wh.b") },
        Case("something in a directory goes", "a/ a/2=2 a/sub/ b>a f=f") { $0.add("a/.wh.1"); $0.add("a/sub/.wh.3") },
        Case("nothing goes", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 b>a f=f") { $0.add(".wh.nothing"); $0.add("f/.wh.x"); $0.add("no/such/.wh.x"); $0.add("b/.wh..wh..opq") },
        Case("opaque", "a/ a/new=n b>a f=f") { $0.add("a/", .directory, mode: 0o755); $0.add("a/.wh..wh..opq"); $0.add("a/new", .regular(size: 0), "n") },
        Case("opaque, said last", "a/ a/new=n a/sub/ a/sub/4=4 b>a f=f") {
            $0.add("a/", .directory, mode: 0o755); $0.add("a/new", .regular(size: 0), "n"); $0.add("a/sub/4", .regular(size: 0), "4"); $0.add("a/.wh..wh..opq")
        },
        Case("gone and made again", "a/ a/new=n b>a f=f") { $0.add(".wh.a"); $0.add("a/", .directory, mode: 0o755); $0.add("a/new", .regular(size: 0), "n") },
        Case("made again, and gone before", "a/ a/new=n b>a f=f") { $0.add("a/", .directory, mode: 0o755); $0.add("a/new", .regular(size: 0), "n"); $0.add(".wh.a") },
        Case("a file gone and made again", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 b>a f=new") { $0.add("f", .regular(size: 0), "new"); $0.add(".wh.f") },
        Case("a file in place of a directory", "a=x b>a f=f") { $0.add("a", .regular(size: 0), "x") },
        Case("a directory in place of a file", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 b>a f/ f/x=x") { $0.add("f/x", .regular(size: 0), "x") },
        Case("a directory in place of a symbolic link", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 b/ b/x=x f=f") { $0.add("b/x", .regular(size: 0), "x") },
        Case("opaque root", "a/ a/new=n n=n") { $0.add("n", .regular(size: 0), "n"); $0.add(".wh..wh..opq"); $0.add("a/new", .regular(size: 0), "n") },
        Case("opaque root, said last", "a/ a/new=n f=n") { $0.add("a/new", .regular(size: 0), "n"); $0.add("f", .regular(size: 0), "n"); $0.add("./.wh..wh..opq") },
        Case("a file in place of a directory, and a directory again", "a/ a/new=n b>a f=f") {
            $0.add("a", .regular(size: 0), "x"); $0.add("a/", .directory, mode: 0o755); $0.add("a/new", .regular(size: 0), "n")
        },
        Case("gone, and filled without a name", "a/ a/sub/ a/sub/new=n b>a f=f") { $0.add(".wh.a"); $0.add("a/sub/new", .regular(size: 0), "n") },
        Case("directories that are not named", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 a/sub/deep/ a/sub/deep/x=x b>a f=f") { $0.add("a/sub/deep/x", .regular(size: 0), "x") },
        // Hard links to files of the layer beneath.
        Case("a link beside its file", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 b>a f=f g=f") { $0.link("g", "f") },
        Case("two links, from elsewhere", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 b>a f=f g=3 new/ new/h=3") { $0.link("g", "a/sub/3"); $0.link("new/h", "./a//sub/3") },
        Case("a link in place of a file and a directory", "a=f b=f f=f") { $0.link("b", "f"); $0.link("a", "f") },
        Case("a link to a symbolic link", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 b>a c>a f=f") { $0.link("c", "b") },
        Case("a link to a link", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 b>a f=f g=f h=f") { $0.link("g", "f"); $0.link("h", "g") },
        Case("a link to itself, and then it is gone", "a/ a/2=2 a/sub/ a/sub/3=3 b>a") { $0.link("f", "f"); $0.link("a/1", "a/1"); $0.add(".wh.f"); $0.add("a/.wh.1") },
        Case("a link, and then the file is gone", "a/ a/2=2 a/sub/ a/sub/3=3 b>a f=f g=1") { $0.link("g", "a/1"); $0.add("a/.wh.1") },
        Case("a link, and then the directory is gone", "b>a f=f g=3 h=1") { $0.link("g", "a/sub/3"); $0.link("h", "a/1"); $0.add(".wh.a") },
        Case("a link within a directory that becomes opaque", "a/ a/g=1 b>a f=f") { $0.link("a/g", "a/1"); $0.add("a/.wh..wh..opq") },
        Case("a link, and then all is gone", "g=f") { $0.link("g", "f"); $0.add(".wh..wh..opq") },
        Case("a link, and then a new file", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 b>a f=new g=f") { $0.link("g", "f"); $0.add("f", .regular(size: 0), "new") },
        Case("a link, and then the file's directory is named", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 b>a f=f g=1") { $0.link("g", "a/1"); $0.add("a/", .directory, mode: 0o700, user: 9) },
        Case("a link, and then something beside the file", "a/ a/1=1 a/2=2 a/new=n a/sub/ a/sub/3=3 b>a f=f g=1") { $0.link("g", "a/1"); $0.add("a/new", .regular(size: 0), "n") },
        Case("a link, something beside the file, and the directory is emptied", "a/ a/new=n b>a f=f g=1") {
            $0.link("g", "a/1"); $0.add("a/new", .regular(size: 0), "n"); $0.add(".wh.a")
        },
    ]

    @Test(arguments: cases)
    func bothStylesMeanTheSame(one: Case) throws {
        let scratch = Scratch()
        let base = tar {
            $0.add("./", .directory, mode: 0o755)
            $0.add("a/", .directory, mode: 0o750, user: 7)
            $0.add("a/1", .regular(size: 0), "1"); $0.add("a/2", .regular(size: 0), "2")
            $0.add("a/sub/", .directory, mode: 0o711, user: 8)
            $0.add("a/sub/3", .regular(size: 0), "3")
            $0.add("b", .symbolicLink(target: Array("a".utf8))); $0.add("f", .regular(size: 0), "f")
        }
        let layer = tar { one.build(&$0) }
        let flat = try scratch.make("flat")
        try apply(base, to: flat)
        try apply(layer, to: flat)
        #expect(try names(scratch.path + "/flat") == one.result)

        let lower = try scratch.make("lower")
        try apply(base, to: lower, .overlay(user: false))
        let upper = try scratch.make("upper")
        try apply(layer, to: upper, .overlay(user: false), lower: [lower])
        let merged = try scratch.make("merged")
        _ = merged
        try shell("mount -t overlay overlay -o lowerdir=upper:lower merged", in: scratch.path)
        defer { _ = try? shell("umount merged", in: scratch.path) }
        #expect(try names(scratch.path + "/merged") == one.result)
        // Owners, modes and times as well, of directories that the layer did not name; and which files are one.
        let status = "cd %; find . -mindepth 1 -printf '%p %m %U\\n' | sort; find . -type f -printf '%p %n %T@\\n' | sort; find . ! -type d -links +1 -printf '%i %p\\n' | sort | awk '{c[$1]=c[$1]\" \"$2} END {for (i in c) print c[i]}' | sort"
        #expect(try shell(status.replacingOccurrences(of: "%;", with: "merged;"), in: scratch.path) == shell(status.replacingOccurrences(of: "%;", with: "flat;"), in: scratch.path))
    }

    @Test(arguments: cases)
    func whatOverlayfsHoldsBecomesTheSameLayer(one: Case) throws {
        let scratch = Scratch()
        let lower = try scratch.make("lower")
        try shell("mkdir -p a/sub; printf 1 > a/1; printf 2 > a/2; printf 3 > a/sub/3; ln -s a b; printf f > f", in: scratch.path + "/lower")
        let upper = try scratch.make("upper")
        try apply(tar { one.build(&$0) }, to: upper, .overlay(user: false), lower: [lower])
        var bytes: [UInt8] = []
        let writer = try LayerWriter(.none) { bytes += $0 }
        try TreeChanges.inUpper(upper, lower: [lower]) { (change) throws(LayerError) in try writer.add(change) }
        _ = try writer.finish()
        // Onto a copy of the lower layer.
        try shell("cp -a lower flat", in: scratch.path)
        try apply(bytes, to: try scratch.open("flat"))
        #expect(try names(scratch.path + "/flat") == one.result)
    }

    /// Layers between hide files, or have others of the name; what is copied has all that the file had.
    @Test func linksThroughSeveralLayers() throws {
        let scratch = Scratch()
        let attributes: [(String, [UInt8])] = [("user.note", [1, 2]), ("trusted.t", [3])]
        let layers: [@Sendable (inout HandmadeTar) -> Void] = [
            {
                $0.add("d/", .directory, mode: 0o711, user: 3)
                $0.add("d/old", .regular(size: 0), "old", mode: 0o4755, user: 7, seconds: 5, attributes: attributes)
                $0.add("d/fifo", .fifo, mode: 0o600); $0.add("d/null", .characterDevice(major: 1, minor: 3), mode: 0o666)
                $0.add("gone", .regular(size: 0), "gone"); $0.add("hidden/x", .regular(size: 0), "x"); $0.add("over", .regular(size: 0), "below")
            },
            { $0.add(".wh.gone"); $0.add("hidden/.wh..wh..opq"); $0.add("over", .regular(size: 0), "above") },
            {
                $0.add("./", .directory, mode: 0o755); $0.link("l-old", "d/old"); $0.link("l-over", "over"); $0.link("l-fifo", "d/fifo"); $0.link("l-null", "d/null"); $0.link("l-sparse", "sparse")
            },
        ]
        let (flat, merged) = (try scratch.make("flat"), try scratch.make("merged"))
        _ = merged
        var kept: [SharedDescriptor] = []
        for (number, layer) in layers.enumerated() {
            let bytes = tar { layer(&$0) }
            let place = try scratch.make("layer\(number)")
            if number == 2 {
                for name in ["flat", "layer0"] { try shell("truncate -s 8M sparse; echo middle | dd of=sparse bs=1M seek=4 conv=notrunc status=none; touch -d @9 sparse", in: scratch.path + "/" + name) }
            }
            try apply(bytes, to: flat)
            try apply(bytes, to: place, .overlay(user: false), lower: kept)
            kept.insert(place, at: 0)
        }
        try shell("mount -t overlay overlay -o lowerdir=layer2:layer1:layer0 merged", in: scratch.path)
        defer { _ = try? shell("umount merged", in: scratch.path) }
        let (ours, theirs) = (try listing(scratch.path + "/merged"), try listing(scratch.path + "/flat"))
        #expect(Set(ours.split(separator: "\n")).symmetricDifference(theirs.split(separator: "\n")).sorted() == [])
        #expect(theirs.contains("same: d/old l-old") && theirs.contains("l-old|f|4755|7:7|3|5.0"))
        #expect(try shell("du -k layer2/sparse | cut -f1", in: scratch.path).trimmingCharacters(in: .newlines).count < 4)
        for name in ["gone", "hidden/x"] {
            let bytes = tar { $0.link("l", name) }
            for (place, style) in [(flat, WhiteoutStyle.removing), (try scratch.make("again-\(name.prefix(3))"), .overlay(user: false))] {
                let thrown = #expect(throws: LayerError.self) { try apply(bytes, to: place, style, lower: kept) }
                #expect(thrown.map { "\($0)".contains("it is a hard link to \(name), which is not there") } == true)
            }
        }
        // A short archive must not have endless copies made.
        var options = ApplyOptions.forThisProcess()
        options.limits.bytes = 20 << 10
        try shell("head -c 15K /dev/urandom > layer0/1; head -c 15K /dev/urandom > layer0/2", in: scratch.path)
        let thrown = #expect(throws: LayerError.self) { try apply(tar { $0.link("a", "1"); $0.link("b", "2") }, to: try scratch.make("much"), .overlay(user: false), options: options, lower: kept) }
        #expect(thrown.map { "\($0)".contains("with the files of lower layers that it has hard links to it has more than 20480 bytes") } == true)
    }
}
