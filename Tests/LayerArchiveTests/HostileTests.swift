import Foundation
import LinuxSystem
import Testing
@testable import LayerArchive

/// Archives that want to reach outside, or to be more than a layer.
struct HostileTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// A part of the error's text; nil: the layer is applied, and `result` is there.
        let error: String?
        let result: String
        let build: @Sendable (inout HandmadeTar) -> Void
        init(_ name: String, error: String? = nil, result: String = "", _ build: @escaping @Sendable (inout HandmadeTar) -> Void) {
            (testDescription, self.error, self.result, self.build) = (name, error, result, build)
        }
    }

    static let cases = [
        Case("traversal", error: "its name has `..` in it") { $0.add("../outside/new", .regular(size: 0), "x") },
        Case("traversal inside", error: "its name has `..` in it") { $0.add("a/../../outside/new") },
        Case("absolute", result: "etc/ etc/x=y") { $0.add("/etc/x", .regular(size: 0), "y") },
        Case("slashes and dots", result: "a/ a/b=y") { $0.add("//.//a/./b", .regular(size: 0), "y") },
        Case("through an absolute symbolic link", result: "link/ link/new=x") { $0.add("link", .symbolicLink(target: Array("OUTSIDE".utf8))); $0.add("link/new", .regular(size: 0), "x") },
        Case("through a relative symbolic link", result: "link/ link/new=x") { $0.add("link", .symbolicLink(target: Array("../outside".utf8))); $0.add("link/new", .regular(size: 0), "x") },
        Case("through two symbolic links", result: "a>b b/ b/new=x") {
            $0.add("b", .symbolicLink(target: Array("../outside".utf8))); $0.add("a", .symbolicLink(target: Array("b".utf8))); $0.add("b/new", .regular(size: 0), "x")
        },
        Case("a directory onto a symbolic link", result: "link/") { $0.add("link", .symbolicLink(target: Array("../outside".utf8))); $0.add("link/", .directory, mode: 0o755) },
        Case("a file onto a symbolic link", result: "link=x") { $0.add("link", .symbolicLink(target: Array("../outside/victim".utf8))); $0.add("link", .regular(size: 0), "x") },
        Case("a hard link to outside", error: "it is a hard link to") { $0.add("hard", .hardLink(target: Array("OUTSIDE/victim".utf8))) },
        Case("a hard link by ..", error: "its name has `..` in it") { $0.add("hard", .hardLink(target: Array("../outside/victim".utf8))) },
        Case("a hard link through a symbolic link", error: "without following a symbolic link") {
            $0.add("link", .symbolicLink(target: Array("../outside".utf8))); $0.add("hard", .hardLink(target: Array("link/victim".utf8)))
        },
        Case("a hard link to a symbolic link stays one", result: "hard>../outside/victim link>../outside/victim") {
            $0.add("link", .symbolicLink(target: Array("../outside/victim".utf8))); $0.add("hard", .hardLink(target: Array("link".utf8)))
        },
        Case("writing through a hard link to a symbolic link", result: "hard=x link>../outside/victim") {
            $0.add("link", .symbolicLink(target: Array("../outside/victim".utf8))); $0.add("hard", .hardLink(target: Array("link".utf8))); $0.add("hard", .regular(size: 0), "x")
        },
        Case("a hard link to something beneath itself", error: "hard link to something beneath itself") { $0.add("d/f", .regular(size: 0), "x"); $0.link("d", "d/f") },
        Case("a hard link to a whiteout", error: "which is not there") { $0.add(".wh.f"); $0.link("hard", "f") },
        Case("a hard link to a directory", error: "it is a hard link to a directory") { $0.add("d/", .directory); $0.add("hard", .hardLink(target: Array("d".utf8))) },
        Case("a hard link to the root", error: "hard link to the layer's root") { $0.add("hard", .hardLink(target: Array("/".utf8))) },
        Case("a hard link to itself", result: "f=x") { $0.add("f", .regular(size: 0), "x"); $0.add("f", .hardLink(target: Array("./f".utf8))) },
        Case("the root as a symbolic link", error: "root is not a directory") { $0.add("./", .symbolicLink(target: Array("../outside".utf8))) },
        Case("the root as a file", error: "root is not a directory") { $0.add(".", .regular(size: 0)) },
        Case("a whiteout of the root's parent", error: "a whiteout of no entry") { $0.add(".wh...") },
        Case("a whiteout of the root", error: "a whiteout of no entry") { $0.add("a/.wh..") },
        Case("a whiteout of nothing", error: "a whiteout of no entry") { $0.add(".wh.") },
        Case("a whiteout through a symbolic link", result: "link>../outside") { $0.add("link", .symbolicLink(target: Array("../outside".utf8))); $0.add("link/.wh.victim") },
        Case("opaque through a symbolic link", result: "link>../outside") { $0.add("link", .symbolicLink(target: Array("../outside".utf8))); $0.add("link/.wh..wh..opq") },
        Case("a whiteout as a directory", error: "a whiteout is not a directory") { $0.add(".wh.x/y") },
        Case("a whiteout that is a symbolic link", error: "a whiteout is an empty file") { $0.add(".wh.x", .symbolicLink(target: [1])) },
        Case("aufs's own", result: "") { $0.add(".wh..wh.plnk/1.2"); $0.add(".wh..wh.aufs") },
        Case("overlayfs's whiteout", error: "0:0") { $0.add("x", .characterDevice(major: 0, minor: 0)) },
        Case("overlayfs's attributes are left out", result: "d/") { $0.add("d/", .directory, mode: 0o755, attributes: [("trusted.overlay.redirect", [65]), ("user.overlay.opaque", [121])]) },
        Case("a name too long", error: "more than 255 bytes") { $0.add(String(repeating: "n", count: 256)) },
        Case("a path too long", error: "more than 4095 bytes") { $0.add(String(repeating: "dddddddd/", count: 500)) },
        Case("too deep", error: "more than 256 directories") { $0.add(String(repeating: "d/", count: 300) + "f") },
        Case("an empty symbolic link", error: "link target") { $0.add("l", .symbolicLink(target: [])) },
        Case("a file where a directory was", result: "d=x") { $0.add("d/e/f", .regular(size: 0), "1"); $0.add("d", .regular(size: 0), "x") },
        Case("a directory where a file was", result: "d/ d/f=x") { $0.add("d", .regular(size: 0), "1"); $0.add("d/f", .regular(size: 0), "x") },
        Case("the same file twice", result: "f=2") { $0.add("f", .regular(size: 0), "1"); $0.add("f", .regular(size: 0), "2") },
    ]

    @Test(arguments: cases, [WhiteoutStyle.removing, .overlay(user: false)])
    func isContained(one: Case, style: WhiteoutStyle) throws {
        if case .overlay = style, !isMachineRoot() { return }
        let scratch = Scratch()
        _ = try scratch.make("outside")
        let root = try scratch.make("root")
        try writeFile(scratch.path + "/outside/victim", Array("untouched".utf8))
        let before = try listing(scratch.path + "/outside")
        var made = HandmadeTar()
        one.build(&made)
        let bytes = made.closed
        if let error = one.error {
            let thrown = #expect(throws: LayerError.self) { try apply(bytes, to: root, style) }
            #expect(thrown.map { "\($0)".contains(error) } == true, "\(thrown.map { "\($0)" } ?? "nothing")")
        } else {
            try apply(bytes, to: root, style)
            #expect(try names(scratch.path + "/root") == one.result)
        }
        #expect(try listing(scratch.path + "/outside") == before)
    }

    /// What a lower layer has leads nowhere, either.
    @Test(.enabled(if: isMachineRoot(), "overlayfs's whiteouts need root"), arguments: [
        ("link/victim", "without following a symbolic link"), ("OUTSIDE/victim", "is a hard link to"), ("dir", "hard link to a directory"), ("dir/../../outside/victim", "has `..` in it"),
        ("zero", "which is not there"), ("zero/x", "which is not there"), ("dir/none", "which is not there"),
    ])
    func linksIntoALowerLayer(target: String, error: String) throws {
        let scratch = Scratch()
        _ = try scratch.make("outside")
        try writeFile(scratch.path + "/outside/victim", Array("untouched".utf8))
        let lower = try scratch.make("lower")
        try shell("ln -s ../outside link; mkdir dir; mknod zero c 0 0", in: scratch.path + "/lower")
        let before = try listing(scratch.path + "/outside") + listing(scratch.path + "/lower")
        let bytes = tar { $0.link("hard", target.replacing("OUTSIDE", with: scratch.path + "/outside")) }
        let thrown = #expect(throws: LayerError.self) { try apply(bytes, to: try scratch.make("root"), .overlay(user: false), lower: [lower]) }
        #expect(thrown.map { "\($0)".contains(error) } == true, "\(thrown.map { "\($0)" } ?? "nothing")")
        #expect(try names(scratch.path + "/root") == "")
        #expect(try listing(scratch.path + "/outside") + listing(scratch.path + "/lower") == before)
    }

    @Test func anOrdinaryUserMakesNoDevices() throws {
        let scratch = Scratch()
        let root = try scratch.make("root")
        let options = ApplyOptions(keepsOwners: false, makesDevices: false, requiresPrivilegedAttributes: false)
        let report = try apply(
            tar {
                $0.add("null", .characterDevice(major: 1, minor: 3))
                $0.add("f", .regular(size: 0), "x", user: 1234, attributes: [("security.capability", [UInt8](repeating: 0, count: 20))])
            }, to: root, options: options)
        #expect(try names(scratch.path + "/root") == "f=x")
        #expect(report.skipped.count == 2 && report.skipped.values.allSatisfy { $0 == 1 })
        #expect(try shell("stat -c %u root/f", in: scratch.path) == "\(effectiveUser())\n")
    }

    @Test func limits() throws {
        let scratch = Scratch()
        func failure(_ bytes: [UInt8], _ change: (inout LayerLimits) -> Void) throws -> String {
            var options = ApplyOptions.forThisProcess()
            change(&options.limits)
            do {
                try apply(bytes, to: try scratch.make("out-\(UUID().uuidString)"), options: options)
                return "nothing failed"
            } catch let error as LayerError { return "\(error)" }
        }
        // A gibibyte of zeros in a mebibyte.
        try shell("head -c 300M /dev/zero > zeros; tar -cf - zeros | gzip -1 > bomb.gz; tar -cf - zeros | zstd -q > bomb.zst; gzip -c bomb.gz > twice.gz", in: scratch.path)
        for bomb in ["bomb.gz", "bomb.zst"] {
            #expect(try failure(try scratch.bytes(bomb)) { $0.bytes = 10 << 20 }.contains("uncompressed it has more than \(10 << 20) bytes"))
        }
        // Compression is undone once.
        #expect(try failure(try scratch.bytes("twice.gz")) { _ in }.contains("layer"))
        #expect(try failure(tar { for index in 0..<20 { $0.add("f\(index)") } }) { $0.entries = 10 }.contains("more than 10 entries"))
        #expect(try failure(tar { $0.add("f", .regular(size: 0), "12345") }) { $0.fileSize = 4 }.contains("has 5 bytes, more than 4"))
        let attributes: [(String, [UInt8])] = (0..<10).map { ("user.a\($0)", [UInt8](repeating: 1, count: 1000)) }
        #expect(try failure(tar { $0.add("f", attributes: attributes) }) { $0.attributeBytes = 5000 }.contains("more than 5000 bytes"))
        try shell("truncate -s 8M hole; tar --sparse --format=posix -cf hole.tar hole", in: scratch.path)
        #expect(try failure(try scratch.bytes("hole.tar")) { $0.holeBytes = 1 << 20 }.contains("more than 1048576 bytes of holes"))
        // A sparse file of exbibytes takes no room, and is refused all the same.
        try shell("truncate -s 8T sparse; tar --sparse --format=posix -cf sparse.tar sparse", in: scratch.path)
        #expect(try failure(try scratch.bytes("sparse.tar")) { _ in }.contains("more than \(1 << 40)"))
    }

    @Test func aHeaderWithoutEnd() throws {
        // GNU's sparse map goes on for ever: it must not be read into memory first.
        var head = HandmadeTar()
        head.add("f")
        var block = Array(head.bytes.suffix(512))
        block[156] = UInt8(ascii: "S")
        block.replaceSubrange(257..<265, with: Array("ustar  \0".utf8))
        for entry in 0..<4 {
            block.replaceSubrange((386 + entry * 24)..<(386 + entry * 24 + 24), with: Array("00000000001\0" + "00000000001\0").map { UInt8($0.asciiValue ?? 0) })
        }
        block[482] = 1
        block.replaceSubrange(148..<156, with: Array("        ".utf8))
        let sum = String(block.reduce(0) { $0 + Int($1) }, radix: 8)
        block.replaceSubrange(148..<156, with: Array((String(repeating: "0", count: 6 - sum.count) + sum + "\0 ").utf8))
        var more = [UInt8](repeating: 0, count: 512)
        for entry in 0..<21 { more.replaceSubrange((entry * 24)..<(entry * 24 + 24), with: Array(("00000000001\0" + "00000000001\0").utf8)) }
        more[504] = 1
        var sent = 0
        let start = block
        let source = ByteSource { (buffer) throws(SystemError) in
            let piece = sent == 0 ? start : more
            sent += piece.count
            buffer.replaceSubrange(..<piece.count, with: piece)
            return piece.count
        }
        let error = #expect(throws: LayerError.self) { while try TarReader(source).next() != nil {} }
        #expect(error.map { "\($0)".contains("what describes one entry takes more than 16 MiB") } == true, "\(error.map { "\($0)" } ?? "")")
        #expect(sent < 32 << 20)
    }

    @Test func damaged() throws {
        let scratch = Scratch()
        let good = tar { $0.add("f", .regular(size: 0), String(repeating: "content ", count: 10000)) }
        try writeFile(scratch.path + "/good", good)
        try shell("gzip -k good; zstd -q good; xz -k good; bzip2 -k good", in: scratch.path)
        func failure(_ bytes: [UInt8]) throws -> String {
            do {
                try apply(bytes, to: try scratch.make("out-\(UUID().uuidString)"))
                return "nothing failed"
            } catch let error as LayerError { return "\(error)" }
        }
        #expect(try failure([]).contains("it is empty"))
        #expect(try failure(Array(good[..<2000])).contains("Truncated tar archive"))
        for name in ["good.gz", "good.zst"] {
            let bytes = try scratch.bytes(name)
            #expect(try failure(bytes) == "nothing failed")
            let message = try failure(Array(bytes[..<(bytes.count / 2)])).lowercased()
            #expect(message.contains("truncated"), "\(message)")
        }
        #expect(try failure(try scratch.bytes("good.xz")).contains("it is xz's; layers are gzip's, zstd's or not compressed"))
        #expect(try failure(try scratch.bytes("good.bz2")).contains("it is bzip2's"))
        #expect(try failure([UInt8](repeating: 7, count: 5000)).contains("the layer"))
        var wrong = good
        wrong[0] ^= 1
        #expect(try failure(wrong).contains("the layer"))
        // Every cut and every changed byte ends in an error or in a layer, never in a trap.
        var generator = SystemRandomNumberGenerator()
        for name in ["good", "good.gz", "good.zst"] {
            let bytes = try scratch.bytes(name)
            for _ in 0..<30 {
                var changed = bytes
                changed[Int.random(in: 0..<min(changed.count, 2000), using: &generator)] = UInt8.random(in: 0...255, using: &generator)
                _ = try failure(changed)
                _ = try failure(Array(bytes[..<Int.random(in: 0..<bytes.count, using: &generator)]))
            }
        }
    }

    @Test func manyEntriesInBoundedMemory() async {
        // In a process of its own: other tests take memory at the same time.
        await #expect(processExitsWith: .success) {
            var piece: [UInt8] = []
            var (number, sent) = (0, 0)
            let source = ByteSource { (buffer) throws(SystemError) in
                if sent == piece.count {
                    guard number < 100_000 else { return 0 }
                    var some = HandmadeTar()
                    some.add("d\(number / 1000)/f\(number)", seconds: 1)
                    // A thousand entries that differ in nothing: making headers is the slow part.
                    piece = Array(repeatElement(some.bytes, count: 1000).joined())
                    (number, sent) = (number + 1000, 0)
                }
                let count = min(buffer.count, piece.count - sent)
                buffer.replaceSubrange(..<count, with: piece[sent..<(sent + count)])
                sent += count
                return count
            }
            func residentKiB() throws -> Int {
                try String(decoding: readFile("/proc/self/status"), as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("VmHWM") }
                    .flatMap { Int($0.split(separator: " ").dropLast().last ?? "") } ?? 0
            }
            let before = try residentKiB()
            let reader = try TarReader(source)
            while try reader.next() != nil {}
            let grown = try residentKiB() - before
            precondition(reader.entryCount == 100_000 && grown < 8 << 10, "\(reader.entryCount) entries, \(grown) KiB")
        }
    }
}
