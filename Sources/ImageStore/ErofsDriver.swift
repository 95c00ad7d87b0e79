import JSONText
import LayerArchive
import LinuxSystem

/// One read-only EROFS image per layer, made once by mkfs.erofs. In the host's namespaces the images are mounted by loop devices and put together by overlayfs; a
/// microVM can attach them and do the same, so that all machines share the host's page cache. Opaque directories have `user.*` attributes (`userxattr`): a machine's
/// process on the host, which writes the upper directory for the guest, may set no others.
struct ErofsDriver: StorageDriver {
    let kind = DriverKind.erofs
    private static let imageName = "layer.erofs"
    private static let programs = ["/usr/bin/mkfs.erofs", "/usr/sbin/mkfs.erofs", "/sbin/mkfs.erofs", "/usr/local/bin/mkfs.erofs"]

    private static func program() -> String? { programs.first { (try? DurableFile.exists($0)) == true } }

    func probe(_ prefix: String) -> DriverSupport {
        guard isMachineRoot() else { return .cannot("mounting images takes root of the machine") }
        guard ErofsDriver.program() != nil else { return .cannot("there is no mkfs.erofs (apt install erofs-utils)") }
        let overlay = OverlayDriver().probe(prefix)
        guard overlay == .works else { return overlay }
        return Drivers.trying(prefix) { (path) throws(SystemError) in
            try makeDirectory("\(path)/tree")
            do throws(StoreError) { try ErofsDriver.makeImage("\(path)/image", of: "\(path)/tree") } catch { return .cannot("\(error)") }
            try makeDirectory("\(path)/mount")
            do throws(SystemError) {
                try ErofsDriver.mount("\(path)/image", at: "\(path)/mount")
                try MountTree.detach("\(path)/mount")
            } catch { return .cannot("an EROFS image cannot be mounted here: \(error)") }
            return .works
        }
    }

    func unpack(_ source: ByteSource, in place: String, onto parents: [String], options: ApplyOptions) throws(StoreError) -> LayerReport {
        let tree = "\(place)/tree"
        try OverlayDirectory.make(tree, like: nil)
        // What lies beneath is in images: mounted, it tells what directories are like that the archive does not name.
        let mounted = try Mounted(parents, in: place)
        defer { mounted.end() }
        if let parent = mounted.paths.last {
            try StoreError.wrapped("make \(tree)") { () throws(SystemError) in
                try OverlayDirectory.copyAttributes(try OwnedDescriptor(opening: parent, flags: flags.directory), to: tree)
            }
        }
        var options = options
        // mkfs.erofs writes holes as zeros.
        options.limits.holeBytes = min(options.limits.holeBytes, options.limits.bytes)
        let report = try apply(source, to: tree, style: .overlay(user: true), options: options, lower: mounted.paths.reversed())
        try ErofsDriver.makeImage("\(place)/\(ErofsDriver.imageName)", of: tree)
        try StoreError.wrapped("remove \(tree)") { () throws(SystemError) in try DurableFile.remove(tree) }
        return report
    }

    func prepare(in place: String, from layers: [String]) throws(StoreError) {
        try OverlayDirectory.make("\(place)/upper", like: nil)
        try StoreError.wrapped("make \(place)") { () throws(SystemError) in
            for name in ["work", "root", "view", "empty", "layers"] { try makeDirectory("\(place)/\(name)") }
            for number in layers.indices { try makeDirectory("\(place)/layers/\(number)") }
        }
        let mounted = try Mounted(layers.last.map { [$0] } ?? [], in: place)
        defer { mounted.end() }
        if let top = mounted.paths.last {
            try StoreError.wrapped("make \(place)/upper") { () throws(SystemError) in
                try OverlayDirectory.copyAttributes(try OwnedDescriptor(opening: top, flags: flags.directory), to: "\(place)/upper")
            }
        }
    }

    func root(in place: String, from layers: [String]) -> RootFileSystem {
        let images = layers.enumerated().map { number, layer in
            RootMount(type: "erofs", source: "\(layer)/\(ErofsDriver.imageName)", target: "\(place)/layers/\(number)", options: ["ro", "loop"])
        }
        let lower = images.isEmpty ? ["\(place)/empty"] : images.reversed().map(\.target)
        let view = RootMount(
            type: "overlay", source: "overlay", target: "\(place)/view", options: ["lowerdir=" + (["\(place)/upper"] + lower).joined(separator: ":"), "userxattr"])
        return RootFileSystem(
            path: "\(place)/root", mounts: images + [OverlayDirectory.mount(place, lower: lower, userAttributes: true)], images: images.reversed().map(\.source), writable: place,
            view: images.isEmpty ? [] : images + [view])
    }

    func changes(in place: String, from layers: [String], _ report: (TreeChange) throws(LayerError) -> Void) throws(StoreError) {
        let mounted = try Mounted(layers, in: place)
        defer { mounted.end() }
        try OverlayDirectory.changes(place, lower: mounted.paths.isEmpty ? ["\(place)/empty"] : mounted.paths.reversed(), report)
    }

    func ownFiles(in place: String) -> String { "\(place)/upper" }
    func discard(_ place: String) throws(StoreError) {}

    func differences(of place: String, from fresh: String) throws(StoreError) -> [String] {
        let mounted = try Mounted([fresh, place], in: fresh)
        defer { mounted.end() }
        return try differingPaths(mounted.paths[0], mounted.paths[1])
    }

    /// Times are kept, so the same tree gives the same files. Inline data would keep a file from DAX.
    static func makeImage(_ path: String, of tree: String) throws(StoreError) {
        guard let program = program() else { throw .unsupported("there is no mkfs.erofs (apt install erofs-utils)") }
        let arguments = ["--quiet", "-Enoinline_data", "-U", "00000000-0000-0000-0000-000000000000", path, tree]
        let log = "\(path).log"
        defer { try? DurableFile.remove(log) }
        let (status, words) = try StoreError.wrapped("run \(program)") { () throws(SystemError) in
            let output = SharedDescriptor(try OwnedDescriptor(opening: log, flags: flags.create, mode: 0o600))
            let pid = try ProgramStart.start(program, arguments: arguments, environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], descriptors: [nil, nil, output])
            let status = try waitForProcess(pid)?.status
            return (status, status == .exited(0) ? "" : String(decoding: try readFile(log), as: UTF8.self))
        }
        guard status == .exited(0) else {
            let last = words.split(separator: "\n").last.map { quoted(String($0)) } ?? "it does not say why"
            throw .unsupported("\(program) could not make an image of \(tree) (\(status.map { "\($0)" } ?? "it is gone"): \(last); is the disk full?)")
        }
    }

    static func mount(_ image: String, at target: String) throws(SystemError) {
        let file = try OwnedDescriptor(opening: image, flags: flags.read)
        let device = try file.attachLoopDevice()
        // mount(2) wants a name; the descriptor keeps the device until the mount does.
        try MountTree.mount("/dev/loop\(try device.loopNumber())", at: target, type: "erofs", flags: 1 /* MS_RDONLY */, data: "")
        withExtendedLifetime(device) {}
    }
}

/// Layers' images, mounted for a while.
private final class Mounted {
    private(set) var paths: [String] = []
    private let folder: String

    init(_ layers: [String], in place: String) throws(StoreError) {
        folder = "\(place)/mounted.\(uniqueName())"
        let folder = folder
        if layers.isEmpty { return }
        do throws(SystemError) {
            try makeDirectory(folder, mode: 0o700)
            for (number, layer) in layers.enumerated() {
                let target = "\(folder)/\(number)"
                try makeDirectory(target)
                try ErofsDriver.mount("\(layer)/layer.erofs", at: target)
                paths.append(target)
            }
        } catch {
            end()
            throw .system("mount the layers", error)
        }
    }

    func end() {
        for path in paths { try? MountTree.detach(path) }
        try? DurableFile.remove(folder)
    }
}
