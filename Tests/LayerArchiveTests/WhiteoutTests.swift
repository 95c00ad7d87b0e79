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
        Case("nothing goes", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 b>a f=f") { $0.add(".wh.nothing"); $0.add("f/.wh.x") ; $0.add("f", .regular(size: 0), "f") },
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
        Case("directories that are not named", "a/ a/1=1 a/2=2 a/sub/ a/sub/3=3 a/sub/deep/ a/sub/deep/x=x b>a f=f") { $0.add("a/sub/deep/x", .regular(size: 0), "x") },
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
        // Owners and modes as well, of directories that the layer did not name.
        let status = "cd %; find . -mindepth 1 -printf '%p %m %U\\n' | sort"
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
}
