import Foundation
import LinuxSystem
import OCIImage
import Testing
@testable import LayerArchive

/// A directory of a test's own, which goes with it.
final class Scratch: Sendable {
    let path: String
    init() {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("nacelle-layer-\(UUID().uuidString)").path
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { _ = try? shell("rm -rf --one-file-system '\(path)'") }

    func make(_ name: String) throws -> SharedDescriptor {
        try FileManager.default.createDirectory(atPath: path + "/" + name, withIntermediateDirectories: true)
        return try open(name)
    }
    func open(_ name: String) throws -> SharedDescriptor {
        SharedDescriptor(try OwnedDescriptor(opening: path + "/" + name, flags: O_RDONLY | O_DIRECTORY))
    }
    func bytes(_ name: String) throws -> [UInt8] { try readFile(path + "/" + name, limit: 1 << 30) }
}

struct ShellFailure: Error { let output: String }

/// What a shell prints. Its working directory and $S are as said.
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

/// Everything that a layer can say of a tree, as text: two trees are the same if this is.
func listing(_ path: String) throws -> String {
    try shell(
        """
        find . -printf '%P|%y|%m|%U:%G|%s|%T@|%l\\n' | sed -E 's/^([^|]*\\|d\\|[^|]*\\|[^|]*)\\|[0-9]+/\\1/' | LC_ALL=C sort -z | LC_ALL=C sort
        find . -type f -links +1 -printf '%i %P\\n' | LC_ALL=C sort | awk '{c[$1]=c[$1]" "$2} END {for (i in c) print "same:" c[i]}' | LC_ALL=C sort
        find . \\( -type b -o -type c \\) -exec stat -c '%n %t:%T' {} + | LC_ALL=C sort
        find . -type f -exec sha256sum {} + | LC_ALL=C sort
        getfattr -d -h -R -m - -e hex . 2>/dev/null | LC_ALL=C awk 'BEGIN{RS="";FS="\\n"} {print}' | LC_ALL=C sort || true
        """, in: path)
}

/// A tar by hand.
struct HandmadeTar {
    var bytes: [UInt8] = []
    mutating func add(
        _ path: String, _ kind: TarEntry.Kind = .regular(size: 0), _ content: String = "", mode: UInt32 = 0o644, user: UInt32 = 0, seconds: Int64? = nil,
        attributes: [(String, [UInt8])] = []
    ) {
        var kind = kind
        if case .regular = kind { kind = .regular(size: Int64(content.utf8.count)) }
        var entry = TarEntry(path: Array(path.utf8), kind: kind, mode: mode, user: user, group: user, modification: seconds.map { FileTime(seconds: $0, nanoseconds: 0) } ?? FileTime(seconds: 1_000_000, nanoseconds: 5), attributes: [])
        entry.attributes = attributes.compactMap { attribute in (try? AttributeName(attribute.0)).map { ($0, attribute.1) } }
        bytes += TarHeader.bytes(of: entry, size: Int64(content.utf8.count)) + Array(content.utf8) + TarHeader.padding(Int64(content.utf8.count))
    }
    mutating func link(_ path: String, _ target: String) { add(path, .hardLink(target: Array(target.utf8))) }
    var closed: [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }
}

func tar(_ build: (inout HandmadeTar) -> Void) -> [UInt8] {
    var tar = HandmadeTar()
    build(&tar)
    return tar.closed
}

@discardableResult
func apply(
    _ bytes: [UInt8], to root: SharedDescriptor, _ style: WhiteoutStyle = .removing, options: ApplyOptions = .forThisProcess(), lower: [SharedDescriptor] = []
) throws -> LayerReport {
    try LayerApplier(to: root, style: style, options: options, lower: lower).apply(ByteSource(bytes))
}

/// The paths beneath a directory, with file contents: `a/ a/b=text link>target`.
func names(_ path: String) throws -> String {
    try shell("find . -mindepth 1 \\( -type d -printf '%P/\\n' -o -type l -printf '%P>%l\\n' -o -type f -printf '%P=' -exec cat {} \\; -printf '\\n' -o -printf '%P!%y\\n' \\) | LC_ALL=C sort", in: path)
        .split(separator: "\n").joined(separator: " ")
}
