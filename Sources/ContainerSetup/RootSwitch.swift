internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// The container's root: taken hold of before the mounts, entered after them.
enum RootSwitch {
    /// Cuts the mount tree off from the outside's and takes hold of the container's root as a mount.
    static func open(_ process: InitProcess) throws(SetupError) {
        guard let path = process.spec.root?.path, path.hasPrefix("/") else { throw SetupError("root.path must be absolute here") }
        let wanted = try rootPropagation(process.linux.rootfsPropagation)
        try doing("preparing rootfs") { () throws(SystemError) in
            // Mounts made here must not reach the outside. What the outside mounts later may come in (slave) unless told otherwise.
            var propagation = wanted ?? MountOptions.Propagation(flag: UInt64(MS_SLAVE | MS_REC))
            // Nothing could be cloned of an unbindable tree: `finish` makes it one.
            if wanted?.kind == .unbindable { propagation = MountOptions.Propagation(flag: UInt64(MS_PRIVATE | MS_REC)) }
            if let propagation { try MountTree.setPropagation("/", propagation.kind, recursive: propagation.recursive) }
            let directory: OwnedDescriptor
            do throws(SystemError) {
                directory = try OwnedDescriptor(opening: path, flags: O_PATH | O_DIRECTORY)
            } catch { throw SystemError(error.errno, "stat", path: path) }
            // pivot_root refuses a root whose parent mount is shared.
            if wanted?.kind == .shared { try makePrivate(mountHolding: path) }
            let mount = try MountDescriptor(cloning: directory, recursive: true)
            try mount.setAttributes([], propagation: .private)
            try mount.attach(over: directory)
            process.setRoot(try RootDirectory(try mount.descriptor.duplicate()))
        }
    }

    private static func makePrivate(mountHolding path: String) throws(SystemError) {
        let text = String(decoding: try readFile("/proc/self/mountinfo"), as: UTF8.self)
        var holder = "/"
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 4 else { continue }
            let point = String(fields[4])
            if path == point || path.hasPrefix(point == "/" ? "/" : point + "/"), point.count > holder.count { holder = point }
        }
        try MountTree.setPropagation(holder, .private, recursive: false)
    }

    /// Enters the new root and lets go of the old one.
    ///
    /// With pivot_root(".", ".") the old root lies over the new one, so no directory in the image is needed to put it into; then it is
    /// detached. pivot_root and not chroot: nothing of the old tree remains to climb back to.
    static func enter(_ process: InitProcess) throws(SetupError) {
        try process.withRoot { (root) throws(SetupError) in
            try doing("pivot_root") { () throws(SystemError) in
                let old = try OwnedDescriptor(opening: "/", flags: O_RDONLY | O_DIRECTORY)
                try OwnProcess.changeDirectory(root.handle)
                try MountTree.pivotRoot(to: ".", old: ".")
                try OwnProcess.changeDirectory(old)
                // Unmounting must not travel to the outside's peers of the old tree.
                try MountTree.setPropagation(".", .slave, recursive: true)
                try MountTree.detach(".")
                try OwnProcess.changeDirectory("/")
            }
        }
        process.closeRoot()
    }

    /// root.readonly and rootfsPropagation, which had to wait until everything in the root was made.
    static func finish(_ process: InitProcess) throws(SetupError) {
        try doing("remount rootfs") { () throws(SystemError) in
            let root = MountDescriptor(try OwnedDescriptor(opening: "/", flags: O_PATH | O_DIRECTORY))
            if process.spec.root?.readonly == true { try root.setAttributes(.readOnly) }
        }
        guard let propagation = try rootPropagation(process.linux.rootfsPropagation) else { return }
        try doing("set rootfs propagation") { () throws(SystemError) in
            try MountTree.setPropagation("/", propagation.kind, recursive: propagation.recursive)
        }
    }
}
