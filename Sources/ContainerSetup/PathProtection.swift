internal import Glibc
internal import LinuxSystem

/// linux.maskedPaths and linux.readonlyPaths.
struct PathProtection {
    let process: InitProcess

    /// Makes paths read-only, with what is mounted beneath them.
    func makeReadOnly(_ paths: [String]) throws(SetupError) {
        try process.withRoot { (root) throws(SetupError) in
            for path in paths {
                try doing("readonly path \(path)") { () throws(SystemError) in
                    guard let target = try existing(path, root) else { return }
                    let clone = try MountDescriptor(cloning: target, recursive: true)
                    try clone.setAttributes(.readOnly, recursive: true)
                    try clone.attach(over: target)
                }
            }
        }
    }

    /// Covers files with /dev/null and directories with an empty, read-only tmpfs.
    func mask(_ paths: [String]) throws(SetupError) {
        if paths.isEmpty { return }
        // The outside's /dev/null: one in the image could be anything (CVE-2025-31133).
        let null = try doing("open /dev/null") { () throws(SystemError) in try OwnedDescriptor(opening: "/dev/null", flags: O_PATH | O_NOFOLLOW) }
        let isNull = try doing("stat /dev/null") { () throws(SystemError) in try null.status().isNullDevice }
        if !isNull { throw SetupError("/dev/null is not the null device") }
        let empty = try doing("mount tmpfs") { () throws(SystemError) in
            let context = try FileSystemContext(type: "tmpfs")
            try context.set("size", "0")
            try context.set("mode", "755")
            return try context.mount(.readOnly)
        }
        try process.withRoot { (root) throws(SetupError) in
            // The tmpfs once it is attached: before 6.15 the kernel clones only mounts that are.
            var attached: SharedDescriptor?
            for path in paths {
                try doing("mask path \(path)") { () throws(SystemError) in
                    guard let target = try existing(path, root) else { return }
                    if try target.status().isDirectory {
                        if let attached {
                            try attached.with { (place: borrowing OwnedDescriptor) throws(SystemError) in
                                try MountDescriptor(cloning: place, recursive: false).attach(over: target)
                            }
                        } else {
                            try empty.attach(over: target)
                            attached = SharedDescriptor(try root.open(path))
                        }
                    } else {
                        try MountDescriptor(cloning: null, recursive: false).attach(over: target)
                    }
                }
            }
        }
    }

    /// A path that this kernel does not have needs no protection.
    private func existing(_ path: String, _ root: borrowing RootDirectory) throws(SystemError) -> OwnedDescriptor? {
        do throws(SystemError) {
            return try root.open(path)
        } catch {
            if error.errno == .noSuchFile || error.errno == .notDirectory { return nil }
            throw error
        }
    }
}
