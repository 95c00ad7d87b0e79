internal import Glibc
internal import LinuxSystem

/// The container's root file system while it is being built, seen from outside.
///
/// Every path in it is resolved by openat2(2) with RESOLVE_IN_ROOT: the image is somebody else's, and its symbolic links must not
/// lead out of it (CVE-2019-16884, CVE-2021-30465 and their kin).
struct RootDirectory: ~Copyable {
    let handle: OwnedDescriptor
    /// Its path, for messages and to tell the inside part of a resolved path.
    let path: String

    private static let inRoot: UInt64 = 0x10  // RESOLVE_IN_ROOT, which also refuses magic links
    private static let maximumLinks = 40

    init(_ handle: consuming OwnedDescriptor) throws(SystemError) {
        path = try RootDirectory.resolvedPath(of: handle)
        self.handle = handle
    }

    private static func resolvedPath(of handle: borrowing OwnedDescriptor) throws(SystemError) -> String {
        let links = try OwnedDescriptor(opening: "/proc/self/fd", flags: O_PATH | O_DIRECTORY)
        return try links.linkTarget(of: "\(handle.rawValue)")
    }

    /// Opens what a path of the container names. `flags` are those of open(2); O_PATH unless told otherwise.
    func open(_ inside: String, flags: Int32 = O_PATH) throws(SystemError) -> OwnedDescriptor {
        let name = inside.isEmpty ? "/" : inside
        var attempts = 0
        while true {
            do throws(SystemError) {
                return try OwnedDescriptor(opening: name, beneath: handle, flags: UInt64(UInt32(bitPattern: flags)), resolve: RootDirectory.inRoot)
            } catch {
                // Something was renamed during the walk: the kernel could not tell whether it stayed inside.
                attempts += 1
                if error.errno != .wouldBlock || attempts > 100 { throw SystemError(error.errno, error.operation, path: inside) }
            }
        }
    }

    /// Where an open file of the container is, as a path inside it.
    func inside(_ handle: borrowing OwnedDescriptor) throws(SystemError) -> String {
        let outside = try RootDirectory.resolvedPath(of: handle)
        if path == "/" { return outside }
        if outside == path { return "/" }
        return outside.hasPrefix(path + "/") ? String(outside.dropFirst(path.count)) : outside
    }

    /// Opens a directory, making it and those above it as needed.
    func directory(_ inside: String, mode: UInt32 = 0o755) throws(SystemError) -> OwnedDescriptor {
        try made(inside) { (parent, name) throws(SystemError) in try parent.makeDirectory(name, mode: mode) }
    }

    /// Opens a file of whatever type, making an empty regular one as needed.
    func file(_ inside: String) throws(SystemError) -> OwnedDescriptor {
        try made(inside) { (parent, name) throws(SystemError) in try parent.makeNode(name, mode: UInt32(S_IFREG) | 0o644) }
    }

    /// The directory that holds `inside`, made as needed, and the last component.
    func parent(of inside: String) throws(SystemError) -> (OwnedPlace) {
        let components = RootDirectory.components(inside)
        guard let last = components.last, last != ".." else { throw SystemError(.invalidArgument, "open", path: inside) }
        return OwnedPlace(directory: try directory("/" + components.dropLast().joined(separator: "/")), name: last)
    }

    /// Opens `inside`, making what is missing: each directory on the way, and the last one as `make` does.
    ///
    /// A name at a time from the root on, with a descriptor of the directory so far: however the image nests its links, this ends.
    private func made(_ inside: String, _ make: (borrowing OwnedDescriptor, String) throws(SystemError) -> Void) throws(SystemError) -> OwnedDescriptor {
        var rest = Array(RootDirectory.components(inside).reversed())
        var links = 0
        var path = ""
        var current = try open("/")
        while let name = rest.popLast() {
            let next = path + "/" + name
            do throws(SystemError) {
                current = try open(next)
                path = next
                continue
            } catch { if error.errno != .noSuchFile { throw SystemError(error.errno, error.operation, path: inside) } }
            do throws(SystemError) {
                if rest.isEmpty { try make(current, name) } else { try current.makeDirectory(name, mode: 0o755) }
            } catch {
                guard error.errno == .fileExists else { throw error }
                // A symbolic link to what does not exist yet: its target is made, inside the root.
                if try current.status(of: name).isSymbolicLink {
                    links += 1
                    if links > RootDirectory.maximumLinks { throw SystemError(.symbolicLinkLoop, "open", path: inside) }
                    let target = try current.linkTarget(of: name)
                    rest += RootDirectory.components(target).reversed()
                    if target.hasPrefix("/") {
                        path = ""
                        current = try open("/")
                    }
                    continue
                }
            }
            current = try open(next)
            path = next
        }
        return current
    }

    private static func components(_ path: String) -> [String] { path.split(separator: "/").filter { $0 != "." }.map(String.init) }
}

/// A name in a directory.
struct OwnedPlace: ~Copyable {
    let directory: OwnedDescriptor
    let name: String
}
