import AgentProtocol
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerSetup

let isRoot = geteuid() == 0

/// A directory with the rootfs of an image and, beside it, what an image must not reach: removed in the end.
final class Image {
    let directory: String
    var rootfs: String { directory + "/rootfs" }
    var outside: String { directory + "/outside" }
    /// What may be bound into the image.
    var volume: String { directory + "/volume" }

    init() throws {
        var template = Array("/tmp/nacelle-setup-XXXXXX".utf8CString)
        directory = unsafe template.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress, let made = unsafe mkdtemp(base) else { return "" }
            return unsafe String(cString: made)
        }
        try #require(!directory.isEmpty)
        for name in ["/rootfs", "/rootfs/etc", "/rootfs/dir", "/rootfs/dir/sub", "/outside", "/outside/dir", "/volume"] { try makeDirectory(directory + name) }
        try file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
        try writeFile(outside + "/file", Array("secret".utf8))
        try writeFile(volume + "/file", Array("shared".utf8))
    }

    deinit {
        // What a test mounted lies in its own namespace and is let go of first; what is mounted still is never entered.
        for path in [rootfs + "/proc", rootfs] { try? MountTree.detach(path) }
        if let all = try? OwnedDescriptor(opening: directory, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW), let mount = try? all.attributes().mount { Image.empty(all, mount) }
        try? removeDirectory(directory)
    }

    private static func empty(_ directory: borrowing OwnedDescriptor, _ mount: UInt64) {
        for name in (try? directory.entries()) ?? [] {
            if let inner = try? OwnedDescriptor(opening: name, at: directory, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW) {
                if (try? inner.attributes().mount) == mount { empty(inner, mount) }
                try? directory.remove(name, directory: true)
            } else {
                try? directory.remove(name)
            }
        }
    }

    func file(_ path: String, _ text: String = "", mode: UInt32 = 0o644) throws { try writeFile(rootfs + path, Array(text.utf8), mode: mode) }

    func link(_ path: String, to target: String) throws {
        try OwnedDescriptor(opening: rootfs, flags: O_RDONLY | O_DIRECTORY).makeSymbolicLink(String(path.dropFirst()), to: target)
    }

    func root() throws -> RootDirectory { try RootDirectory(OwnedDescriptor(opening: rootfs, flags: O_PATH | O_DIRECTORY)) }

    /// Links that lead outside, each in its way: by the full path, by climbing, through other links.
    func makeWaysOut() throws -> [String] {
        try link("/absolute", to: outside)
        try link("/relative", to: "../outside")
        try link("/far", to: "../../../../../../../../../.." + outside)
        try link("/dir/up", to: "../../outside")
        try link("/first", to: "second")
        try link("/second", to: "dir/up")
        try link("/top", to: "/../..")
        return ["/absolute", "/relative", "/far", "/dir/up", "/first", "/top" + outside, "/dir/../../outside", "/.." + outside]
    }

    /// Everything outside: names, kinds, sizes, times, and the mounts that they are in.
    func outsideState() throws -> [String] { try Image.state(outside) }

    private static func state(_ path: String) throws -> [String] {
        let directory = try OwnedDescriptor(opening: path, flags: O_RDONLY | O_DIRECTORY)
        var lines = ["\(path) \(try directory.attributes().mount)"]
        for name in try directory.entries().sorted() {
            let attributes = try directory.attributes(of: try EntryName(name))
            lines.append("\(path)/\(name) \(attributes.inode) \(attributes.mode) \(attributes.size) \(attributes.mount) \(attributes.changeTime)")
            if try directory.status(of: name).isDirectory { lines += try state(path + "/" + name) }
        }
        return lines
    }
}

/// nacelle-init's state as the launcher would have made it, and the launcher's end of the handshake.
func initProcess(_ rootfs: String = "/nowhere", _ configure: (inout RuntimeSpec) -> Void = { _ in }) throws -> (process: InitProcess, launcher: InitChannel) {
    var spec = RuntimeSpec()
    var process = ProcessSpec()
    process.args = ["/bin/true"]
    process.cwd = "/"
    spec.process = process
    spec.root = RootSpec(path: rootfs)
    spec.linux = LinuxSpec()
    configure(&spec)
    let plan = InitPlan(role: .container, configuration: [])
    let (first, second) = try OwnedDescriptor.socketPair().split()
    return (try InitProcess(channel: InitChannel(first), plan: plan, spec: spec, descriptors: []), InitChannel(second))
}

/// The message of the error that a body throws, or nil.
func failure(_ body: () throws -> Void) -> String? {
    do {
        try body()
        return nil
    } catch { return (error as? SetupError)?.message ?? "\(error)" }
}

/// In a process of a test's own: a mount namespace whose mounts end with it, and an image whose root is being built.
func inMountNamespace(_ prepare: (Image) throws -> Void = { _ in }) throws -> (image: Image, process: InitProcess) {
    let image = try Image()
    try prepare(image)
    try NamespaceSet.mount.unshare()
    let process = try initProcess(image.rootfs).process
    try RootSwitch.open(process)
    return (image, process)
}
