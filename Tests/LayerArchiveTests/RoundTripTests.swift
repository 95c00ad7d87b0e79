import Foundation
import LinuxSystem
import OCIImage
import Testing
@testable import LayerArchive

@Suite(.enabled(if: isMachineRoot(), "owners, devices and capabilities need root"))
struct RoundTripTests {
    /// Whatever a layer can hold.
    static func makeTree(_ path: String) throws {
        try shell(
            """
            mkdir -p deep/a/b/c empty closed sticky
            printf one > deep/a/b/c/file; ln deep/a/b/c/file deep/second; ln deep/second third
            ln -s ../nowhere dangling; ln -s /etc/passwd absolute; ln -s "$(printf 'x%.0s' {1..300})" longlink
            mkfifo fifo; mknod null c 1 3; mknod loop b 7 9
            printf suid > suid; chown 1:2 suid; chmod 6755 suid
            printf big > bigid; chown 3000000:4000000 bigid
            chmod 000 closed; chmod 1777 sticky; chown 7:8 empty
            printf n > $'e\\u0301'; printf c > $'\\u00e9'; printf emoji > $'\\U1F600'; printf bad > $'bad\\xff\\xfe'
            printf x > "$(printf 'n%.0s' {1..200})"; mkdir "$(printf 'd%.0s' {1..150})"; printf y > "$(printf 'd%.0s' {1..150})/$(printf $'\\xc3\\xa9%.0s' {1..60})"
            printf y > "$(printf 'd%.0s' {1..150})/$(printf $'\\xff%.0s' {1..60})"
            printf 'new\\nline' > $'new\\nline'; printf s > ' space '; printf star > '*'
            truncate -s 20M sparse; printf middle | dd of=sparse bs=1 seek=5000000 conv=notrunc status=none; truncate -s 3M hole; truncate -s 0 zero
            head -c 3000000 /dev/urandom > random
            setfattr -n user.note -v 'value' random; setfattr -n user.binary -v 0x000102ff random; setfattr -n trusted.x -v t deep; setfattr -n user.empty -v '' zero
            cp /bin/true capable; setcap cap_net_raw+ep capable 2>/dev/null || setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 capable
            setfacl -m u:1234:rw,g:55:r zero; setfacl -d -m u:99:rwx deep; setfacl -m u:4321:x empty
            touch -d '2001-02-03 04:05:06.789012345' random; touch -h -d '1999-01-01 00:00:00.5' dangling; touch -d '1965-01-01' zero; touch -d '1960-01-01 00:00:00.25' hole; touch -d @0 bigid
            touch -d '2010-10-10 10:10:10.101010101' deep deep/a deep/a/b .
            """, in: path)
    }

    /// GNU tar's archives, in each compression.
    @Test(arguments: ["", "gzip -c", "zstd -c", "gzip -c > part; cat part; printf '' | gzip -c"])
    func appliesWhatTarMakes(compression: String) throws {
        let scratch = Scratch()
        _ = try scratch.make("tree")
        try RoundTripTests.makeTree(scratch.path + "/tree")
        let pipe = compression.isEmpty ? "cat" : "{ \(compression); }"
        try shell("tar --format=posix --xattrs --xattrs-include='*' --acls --sparse --numeric-owner -C tree -cf layer.tar . && \(pipe) < layer.tar > layer", in: scratch.path)
        let report = try apply(try scratch.bytes("layer"), to: try scratch.make("out"))
        #expect(try listing(scratch.path + "/out") == listing(scratch.path + "/tree"))
        #expect(report.diffID.hex == String(try shell("sha256sum layer.tar", in: scratch.path).prefix(64)))
        #expect(report.skipped == [:])
        #expect(try shell("stat -c %b out/sparse", in: scratch.path) == shell("stat -c %b tree/sparse", in: scratch.path))
    }

    /// A directory that a layer names has the attributes that it says, whatever a lower layer's has; and nothing inherits an access control list.
    @Test(arguments: [WhiteoutStyle.removing, .overlay(user: false)])
    func attributesAreTheLayersOwn(style: WhiteoutStyle) throws {
        let scratch = Scratch()
        let tree = try scratch.make("tree")
        try shell("mkdir -p kept given; setfacl -d -m u:1234:rwx kept given; setfattr -n user.note -v x kept; setfacl -m u:5:r given", in: scratch.path + "/tree")
        let (_, base) = try write(.none, tree, base: try scratch.make("empty"))
        let (out, whole) = (try scratch.make("out"), try listing(scratch.path + "/tree"))
        try apply(base, to: out, style)
        #expect(try listing(scratch.path + "/out") == whole)
        try apply(tar {
            $0.add("kept/", .directory, mode: 0o755)
            $0.add("kept/file", .regular(size: 0), "x", mode: 0o640); $0.add("kept/sub/", .directory, mode: 0o750); $0.add("kept/pipe", .fifo, mode: 0o604)
            $0.add("given/file", .regular(size: 0), "x", mode: 0o640); $0.add("given/deep/file", .regular(size: 0), "x", mode: 0o600); $0.add("given/pipe", .fifo, mode: 0o604)
        }, to: out, style)
        #expect(try shell("getfattr -R -d -m - -h . | grep '^# file' || true", in: scratch.path + "/out") == "# file: given\n")
        #expect(try shell("stat -c %a kept/file kept/sub kept/pipe given/file given/deep given/deep/file given/pipe | xargs", in: scratch.path + "/out") == "640 750 604 640 755 600 604\n")
    }

    @Test(arguments: ["gnu", "ustar"])
    func appliesOldFormats(format: String) throws {
        let scratch = Scratch()
        _ = try scratch.make("tree")
        try shell("mkdir a; printf 1 > a/f; ln a/f a/g; ln -s f a/l; printf bad > $'\\xff'; chown 5:6 a/f; chmod 4711 a/f", in: scratch.path + "/tree")
        if format == "gnu" { try shell("printf x > \"$(printf 'n%.0s' {1..200})\"; truncate -s 5M s; printf e >> s", in: scratch.path + "/tree") }
        try shell("find tree -exec touch -h -d @1234567890 {} +; tar --format=\(format) \(format == "gnu" ? "--sparse" : "") -C tree -cf layer.tar .", in: scratch.path)
        try apply(try scratch.bytes("layer.tar"), to: try scratch.make("out"))
        #expect(try listing(scratch.path + "/out") == listing(scratch.path + "/tree"))
    }

    /// What we write, we and GNU tar read; the same tree twice gives the same bytes.
    @Test(arguments: [LayerCompression.none, .gzip, .zstd])
    func writesWhatWasThere(compression: LayerCompression) throws {
        let scratch = Scratch()
        let tree = try scratch.make("tree")
        try RoundTripTests.makeTree(scratch.path + "/tree")
        let (first, firstBytes) = try write(compression, tree, base: try scratch.make("empty"))
        let (second, secondBytes) = try write(compression, tree, base: try scratch.make("empty"))
        #expect(first == second && firstBytes == secondBytes)
        #expect(ContentDigester.digest(of: firstBytes) == first.digest && first.size == Int64(firstBytes.count))
        let report = try apply(firstBytes, to: try scratch.make("out"))
        #expect(report.diffID == first.diffID)
        #expect(try listing(scratch.path + "/out") == listing(scratch.path + "/tree"))
        #expect(try shell("stat -c %b out/sparse", in: scratch.path) == shell("stat -c %b tree/sparse", in: scratch.path))
        try writeFile(scratch.path + "/layer", firstBytes)
        try shell("mkdir tar; tar --xattrs --xattrs-include='*' --acls --numeric-owner -C tar -xpf layer", in: scratch.path)
        // GNU tar sets no access control lists from attributes, and changes owners after it has set capabilities, so those are lost with it.
        let (theirs, ours) = (try listing(scratch.path + "/tar"), try listing(scratch.path + "/tree"))
        let difference = Set(ours.split(separator: "\n")).symmetricDifference(theirs.split(separator: "\n")).filter { line in
            !["security.capability", "system.posix_acl", "# file: empty"].contains { line.hasPrefix($0) }
        }
        #expect(difference.isEmpty, "\(difference.sorted())")
    }

    private func write(_ compression: LayerCompression, _ tree: SharedDescriptor, base: SharedDescriptor) throws -> (WrittenLayer, [UInt8]) {
        var bytes: [UInt8] = []
        let writer = try LayerWriter(compression) { bytes += $0 }
        try TreeChanges.between(base, and: tree, copied: FileTime(seconds: 0, nanoseconds: 0)) { (change) throws(LayerError) in try writer.add(change) }
        return (try writer.finish(), bytes)
    }
}
