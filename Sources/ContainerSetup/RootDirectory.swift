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
        try made(inside, links: 0) { (parent, name) throws(SystemError) in try parent.makeDirectory(name, mode: mode) }
    }

    /// Opens a file of whatever type, making an empty regular one as needed.
    func file(_ inside: String) throws(SystemError) -> OwnedDescriptor {
        try made(inside, links: 0) { (parent, name) throws(SystemError) in try parent.makeNode(name, mode: UInt32(S_IFREG) | 0o644) }
    }

    /// The directory that holds `inside`, made as needed, and the last component.
    func parent(of inside: String) throws(SystemError) -> (OwnedPlace) {
        let components = inside.split(separator: "/").filter { $0 != "." }
        guard let last = components.last, last != ".." else { throw SystemError(.invalidArgument, "open", path: inside) }
        return OwnedPlace(directory: try directory("/" + components.dropLast().joined(separator: "/")), name: String(last))
    }

    private func made(_ inside: String, links: Int, _ make: (borrowing OwnedDescriptor, String) throws(SystemError) -> Void) throws(SystemError) -> OwnedDescriptor {
        do throws(SystemError) {
            return try open(inside)
        } catch { if error.errno != .noSuchFile { throw error } }
        if links > RootDirectory.maximumLinks { throw SystemError(.symbolicLinkLoop, "open", path: inside) }
        let components = inside.split(separator: "/").filter { $0 != "." }
        guard let last = components.last, last != ".." else { throw SystemError(.noSuchFile, "open", path: inside) }
        let parentPath = "/" + components.dropLast().joined(separator: "/")
        let parent = try made(parentPath, links: links + 1) { (above, name) throws(SystemError) in try above.makeDirectory(name, mode: 0o755) }
        let name = String(last)
        do throws(SystemError) {
            try make(parent, name)
        } catch {
            guard error.errno == .fileExists else { throw error }
            // A symbolic link to what does not exist yet: its target is made, inside the root.
            if try parent.status(of: name).isSymbolicLink {
                let target = try parent.linkTarget(of: name)
                let next = target.hasPrefix("/") ? target : parentPath + "/" + target
                return try made(next, links: links + 1, make)
            }
        }
        return try open(inside)
    }
}

/// A name in a directory.
struct OwnedPlace: ~Copyable {
    let directory: OwnedDescriptor
    let name: String
}
