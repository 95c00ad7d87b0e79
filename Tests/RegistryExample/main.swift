// What RegistryClient is used like: pulls an image into a directory of the image-layout format (image-spec, image-layout.md), or pushes one from there.
//
//     registry-example pull docker.io/library/busybox DIRECTORY
//     registry-example push DIRECTORY localhost:5000/busybox:1 --plain
import Glibc
import JSONText
import LinuxSystem
import OCIImage
import RegistryClient

/// A content store as small as one can be.
struct Layout: ContentReceiver, ContentProvider {
    let directory: String

    func path(_ digest: Digest) -> String { "\(directory)/blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }

    func contains(_ descriptor: Descriptor) -> Bool { (try? OwnedDescriptor(opening: path(descriptor.digest), flags: O_RDONLY).size()) == descriptor.size }

    func sink(for descriptor: Descriptor) throws -> any BlobSink {
        for part in ["", "/blobs", "/blobs/\(descriptor.digest.algorithm.rawValue)"] { try makeDirectory(directory + part) }
        return try FileSink(partial: path(descriptor.digest) + ".partial", whole: path(descriptor.digest))
    }

    func source(of descriptor: Descriptor) throws -> any BlobSource { FileSource(file: SharedDescriptor(try OwnedDescriptor(opening: path(descriptor.digest), flags: O_RDONLY))) }

    /// The index names the image; the blobs are there already.
    func name(_ root: Descriptor, as name: String) throws {
        var descriptor = root
        descriptor.annotations["org.opencontainers.image.ref.name"] = name
        try writeFile("\(directory)/index.json", Index(manifests: [descriptor]).bytes)
        try writeFile("\(directory)/oci-layout", Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8))
    }

    func document(_ descriptor: Descriptor) throws -> ManifestDocument { try ManifestDocument(try readFile(path(descriptor.digest)), mediaType: descriptor.mediaType) }
}

/// A blob becomes visible under its name when it is whole.
struct FileSink: BlobSink {
    let partial: String
    let whole: String
    private let file: SharedDescriptor

    init(partial: String, whole: String) throws {
        (self.partial, self.whole) = (partial, whole)
        file = SharedDescriptor(try OwnedDescriptor(opening: partial, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644))
    }

    func write(_ bytes: [UInt8]) throws { try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try file.writeAll(bytes) } }
    func finish() throws { guard unsafe rename(partial, whole) == 0 else { throw SystemError(Errno(rawValue: errno), "rename", path: whole) } }
    func abandon() { _ = unsafe unlink(partial) }
}

struct FileSource: BlobSource {
    let file: SharedDescriptor
    func read(at offset: Int64, count: Int) throws -> [UInt8] { try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try file.bytes(at: offset, count: count) } }
}

func fail(_ message: String) -> Never {
    try? OwnedDescriptor(duplicating: 2).writeAll(Array("registry-example: \(printable(message))\n".utf8))
    exit(1)
}

var arguments = Array(CommandLine.arguments.dropFirst())
let isPlain = arguments.last == "--plain"
if isPlain { arguments.removeLast() }
guard arguments.count == 3, ["pull", "push"].contains(arguments[0]) else { fail("usage: pull REFERENCE DIRECTORY | push DIRECTORY REFERENCE [--plain]") }

do {
    let environment = try CredentialFiles.processEnvironment()
    let reference = try Reference(arguments[0] == "pull" ? arguments[1] : arguments[2]).tagged
    let layout = Layout(directory: arguments[0] == "pull" ? arguments[2] : arguments[1])
    var configuration = ClientConfiguration()
    configuration.credentials = CredentialFiles(environment: environment)
    configuration.proxies = try ProxySettings(environment: environment)
    if isPlain { configuration.registries = RegistryRules([RegistryRule(prefix: reference.domain, transport: .plain)]) }
    configuration.onRetry = { error, delay in print("again in \(delay): \(error)") }
    let events: @Sendable (TransferEvent) -> Void = { event in
        if case .finished(let blob, let wasThere) = event { print("\(blob.digest) \(blob.size)\(wasThere ? " (was there)" : "")") }
    }
    try await RegistryClient.withClient(configuration) { client in
        if arguments[0] == "pull" {
            let image = try await client.pull(reference, platform: .current, into: layout, events: events)
            try layout.name(image.root.descriptor, as: reference.tag ?? "latest")
            print("\(reference): \(image.manifest.digest)")
        } else {
            guard let root = try Index(parsing: try readFile("\(layout.directory)/index.json")).manifests.first else { fail("the layout is empty") }
            print("\(reference): \(try await client.push(try layout.document(root), from: layout, to: reference, events: events))")
        }
    }
} catch { fail("\(error)") }
