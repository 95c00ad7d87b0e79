import Foundation
import LayerArchive
import LinuxSystem
import OCIImage
import Testing
@testable import ImageStore

struct ShellFailure: Error { let output: String }

/// What a shell prints.
@discardableResult
func shell(_ script: String, in directory: String? = nil) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    process.arguments = ["-euo", "pipefail", "-c", script]
    if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let output = String(decoding: data, as: UTF8.self)
    if process.terminationStatus != 0 { throw ShellFailure(output: "\(script): \(output)") }
    return output
}

/// A directory of a test's own, which goes with it, whatever is mounted in it.
final class Scratch: Sendable {
    let path: String
    init(in parent: String = FileManager.default.temporaryDirectory.path) {
        path = "\(parent)/nacelle-store-\(UUID().uuidString)"
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit {
        _ = try? shell(
            """
            awk -v p='\(path)/' 'index($5, p) == 1 {print $5}' /proc/self/mountinfo | sort -r | while read -r m; do umount -l "$m"; done
            rm -rf --one-file-system '\(path)'
            """)
    }
}

/// Everything that matters of a tree, as text.
func listing(_ path: String) throws -> String {
    try shell(
        """
        find . -printf '%P|%y|%m|%U:%G|%s|%T@|%l\\n' | sed -E 's/^([^|]*\\|d\\|[^|]*\\|[^|]*)\\|[0-9]+/\\1/' | LC_ALL=C sort
        find . -type f -links +1 -printf '%i %P\\n' | LC_ALL=C sort | awk '{c[$1]=c[$1]" "$2} END {for (i in c) print "same:" c[i]}' | LC_ALL=C sort
        find . \\( -type b -o -type c \\) -exec stat -c '%n %t:%T' {} + | LC_ALL=C sort
        find . -type f -exec sha256sum {} + | LC_ALL=C sort
        getfattr -d -h -R -m '^(user|security|system|trusted[.][^o])' -e hex . 2>/dev/null | LC_ALL=C sort || true
        """, in: path)
}

func missing(_ programs: String...) -> String? {
    let absent = programs.filter { (try? shell("command -v \($0)")) == nil }
    return absent.isEmpty ? nil : absent.joined(separator: ", ")
}

/// Images that umoci makes of trees that grow, made once: `one`, `two` and `three` have so many layers.
enum SampleImages {
    static let needs = missing("umoci", "skopeo", "setfattr", "setfacl")
    static let layout: Result<String, any Error> = Result {
        let scratch = Scratch()
        try shell(
            """
            umoci init --layout oci; umoci new --image oci:one
            unpack() { rm -rf b; umoci unpack --image oci:$1 b; cd b/rootfs; }
            repack() { cd ../..; umoci repack --image oci:$1 b; }
            unpack one
            mkdir -p bin etc/gone/deep etc/opaque usr/share/doc var/empty tmp; cp /bin/busybox bin/; ln -s busybox bin/sh; ln bin/busybox bin/hard; chmod 4755 bin/busybox
            echo root:x:0:0::/:/bin/sh > etc/passwd; echo x > etc/gone/deep/file; echo o > etc/opaque/old; echo r > etc/removed; echo m > etc/modified; chown 5:6 etc/gone; chmod 1777 tmp; chmod 0 var/empty
            mkfifo fifo; head -c 400000 /dev/urandom > usr/share/random; truncate -s 3M usr/share/sparse; echo end >> usr/share/sparse
            cp /bin/true bin/capable; setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 bin/capable; setfattr -n user.note -v text etc/passwd
            for i in $(seq 200); do echo $i > usr/share/doc/$i; done
            repack one
            unpack one
            rm -r etc/gone etc/removed etc/opaque bin/hard; mkdir etc/opaque; echo n > etc/opaque/new; echo mm > etc/modified; echo f > usr/share/doc/201; rm usr/share/doc/7; chown 1:2 usr/share/doc; ln usr/share/doc/201 usr/share/doc/202
            repack two
            unpack two
            mkdir etc/gone; echo again > etc/gone/again; rm -r usr/share/doc; echo file > usr/share/doc; chmod 750 var; rm bin/sh; mkdir bin/sh; echo x > bin/sh/x
            repack three
            rm -rf b
            """, in: scratch.path)
        // A global value is never released: the directory goes when the tests end.
        let path = scratch.path + "-kept"
        try shell("mv oci '\(path)'", in: scratch.path)
        unsafe setenv("NACELLE_SAMPLE_IMAGES", path, 1)
        atexit { _ = try? shell("rm -rf \"$NACELLE_SAMPLE_IMAGES\"") }
        return path
    }
}

/// Built beside the tests.
let exampleProgram = ((try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "/").split(separator: "/").dropLast()
    .reduce("") { "\($0)/\($1)" } + "/image-store-example"

extension ImageStore {
    /// Without waiting for the disk, which the other tests keep busy.
    static func forTests(_ path: String, _ driver: DriverKind? = nil) throws -> ImageStore {
        var configuration = StoreConfiguration()
        configuration.driver = driver
        configuration.synchronize = false
        return try ImageStore(path, configuration: configuration)
    }

    @discardableResult
    func take(_ location: ImageLocation, names: Bool = true) throws -> [NamedImage] {
        let lease = try lease()
        defer { lease.end() }
        let images = try importImages(from: location, lease: lease)
        if names { for image in images { try setName(image.name ?? "unnamed", to: image.descriptor, lease: lease) } }
        return images
    }
}
