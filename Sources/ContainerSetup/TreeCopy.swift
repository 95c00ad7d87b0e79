internal import Glibc
internal import LinuxSystem

/// Copies what a directory holds into another: files, directories, symbolic links, nodes, with owners and permissions.
///
/// Walks by descriptors and never follows a symbolic link, for the tree is the image's. Depth and names are bounded by the file system.
func copyTree(from source: borrowing OwnedDescriptor, to target: borrowing OwnedDescriptor) throws(SystemError) {
    for name in try source.entries() {
        let status = try source.status(of: name)
        if status.isDirectory {
            try target.makeDirectory(name, mode: 0o700)
            let from = try OwnedDescriptor(opening: name, at: source, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            let into = try OwnedDescriptor(opening: name, at: target, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            try copyTree(from: from, to: into)
        } else if status.isRegular {
            let from = try OwnedDescriptor(opening: name, at: source, flags: O_RDONLY | O_NOFOLLOW)
            let into = try OwnedDescriptor(opening: name, at: target, flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
            var buffer = [UInt8](repeating: 0, count: 65536)
            while true {
                let count = try from.read(into: &buffer)
                if count == 0 { break }
                try into.writeAll(Array(buffer[..<count]))
            }
        } else if status.isSymbolicLink {
            try target.makeSymbolicLink(name, to: try source.linkTarget(of: name))
        } else {
            try target.makeNode(name, mode: status.mode, major: status.device.major, minor: status.device.minor)
        }
        try target.setOwner(of: name, user: status.user, group: status.group)
        // After the owner, whose change clears set-id bits.
        if !status.isSymbolicLink { try target.setPermissions(of: name, status.permissions) }
    }
}
