internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// The container's /dev: the nodes that every container has, those of linux.devices, and the links of "Default Devices".
struct Devices {
    let process: InitProcess

    struct Node {
        var path: String
        var mode: UInt32
        var major: UInt32
        var minor: UInt32
        var user: UInt32
        var group: UInt32
    }

    static let standard: [Node] = [
        ("/dev/null", 3), ("/dev/zero", 5), ("/dev/full", 7), ("/dev/random", 8), ("/dev/urandom", 9),
    ].map { Node(path: $0.0, mode: UInt32(S_IFCHR) | 0o666, major: 1, minor: $0.1, user: 0, group: 0) }
        + [Node(path: "/dev/tty", mode: UInt32(S_IFCHR) | 0o666, major: 5, minor: 0, user: 0, group: 0)]

    private static let links = [
        ("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "/proc/self/fd/0"), ("/dev/stdout", "/proc/self/fd/1"), ("/dev/stderr", "/proc/self/fd/2"),
    ]

    /// A /dev that is bound from outside is not ours to fill.
    private var isFilled: Bool {
        process.spec.mounts.contains { mount in mount.isBind && mount.destination.split(separator: "/").filter { $0 != "." } == ["dev"] }
    }

    func make() throws(SetupError) {
        if isFilled { return }
        let wanted = process.linux.devices
        try process.withRoot { (root) throws(SetupError) in
            for node in Devices.standard where !wanted.contains(where: { $0.path == node.path }) { try make(node, replacing: true, root) }
            for device in wanted { try make(try node(device), replacing: false, root) }
            try makeLinks(root)
        }
    }

    private func node(_ device: DeviceSpec) throws(SetupError) -> Node {
        let type: UInt32 = switch device.type {
        case .character, .unbuffered: UInt32(S_IFCHR)
        case .block: UInt32(S_IFBLK)
        case .fifo: UInt32(S_IFIFO)
        }
        guard let major = UInt32(exactly: device.major), let minor = UInt32(exactly: device.minor) else {
            throw SetupError("invalid device numbers \(device.major):\(device.minor) of \(device.path)")
        }
        return Node(path: device.path, mode: type | (device.fileMode ?? 0o666) & 0o7777, major: major, minor: minor, user: device.uid ?? 0, group: device.gid ?? 0)
    }

    /// - Parameter replacing: whether something else of this name gives way; of linux.devices it must be told.
    private func make(_ node: Node, replacing: Bool, _ root: borrowing RootDirectory) throws(SetupError) {
        try doing("creating device nodes: \(node.path)") { () throws(SystemError) in
            if process.plan.inUserNamespace && node.mode & 0o170000 != UInt32(S_IFIFO) { return try bind(node, root) }
            let place = try root.parent(of: node.path)
            do throws(SystemError) {
                try place.directory.makeNode(place.name, mode: node.mode, major: node.major, minor: node.minor)
            } catch {
                // No right to make nodes (a user namespace that the launcher does not know of): the outside's is bound.
                if error.errno == .notPermitted { return try bind(node, root) }
                guard error.errno == .fileExists else { throw error }
                try replace(node, place, replacing)
            }
            try place.directory.setOwner(of: place.name, user: node.user, group: node.group)
            // mknod's mode went through no umask (it is 0), but a replaced or kept node may differ.
            try place.directory.setPermissions(of: place.name, node.mode & 0o7777)
        }
    }

    /// Something of this name is in the image. The same device may stay; anything else would be the image's choice of what /dev/null is.
    private func replace(_ node: Node, _ place: borrowing OwnedPlace, _ replacing: Bool) throws(SystemError) {
        let status = try place.directory.status(of: place.name)
        if status.type == node.mode & 0o170000 && status.device == (node.major, node.minor) { return }
        if !replacing { throw SystemError(.fileExists, "mknod", path: node.path) }
        try place.directory.remove(place.name)
        try place.directory.makeNode(place.name, mode: node.mode, major: node.major, minor: node.minor)
    }

    private func bind(_ node: Node, _ root: borrowing RootDirectory) throws(SystemError) {
        let source = try OwnedDescriptor(opening: node.path, flags: O_PATH)
        let target = try root.file(node.path)
        try MountDescriptor(cloning: source, recursive: false).attach(over: target)
    }

    private func makeLinks(_ root: borrowing RootDirectory) throws(SetupError) {
        for (path, target) in Devices.links { try link(path, to: target, replacing: false, root) }
        if (try? FileStatus(path: "/proc/kcore")) != nil { try link("/dev/core", to: "/proc/kcore", replacing: false, root) }
        // The image's own ptmx, if any, belongs to another devpts instance.
        try link("/dev/ptmx", to: "pts/ptmx", replacing: true, root)
    }

    private func link(_ path: String, to target: String, replacing: Bool, _ root: borrowing RootDirectory) throws(SetupError) {
        try doing("symlink \(path)") { () throws(SystemError) in
            let place = try root.parent(of: path)
            if replacing { try? place.directory.remove(place.name) }
            do throws(SystemError) {
                try place.directory.makeSymbolicLink(place.name, to: target)
            } catch { if error.errno != .fileExists { throw error } }
        }
    }
}
