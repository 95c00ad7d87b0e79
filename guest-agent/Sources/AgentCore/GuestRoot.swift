internal import AgentProtocol
internal import Glibc
internal import LinuxSystem

/// The container's root, put together of read-only images and a file system for what is written.
///
/// The attributes by which the images' overlayfs marks are `user.`'s: the host's process that writes a shared upper layer may not set others.
enum GuestRoot {
    /// - Returns: the file system of the upper layer, if that is on a disk of the machine.
    static func mount(_ layout: RootLayout) throws(SystemError) -> SharedDescriptor? {
        try makeDirectory(WellKnown.imageMountPoint, mode: 0o711)
        var layers: [String] = []
        for (index, name) in layout.layers.enumerated() {
            let layer = "\(WellKnown.imageMountPoint)/\(index)"
            try waitForDevice(name)
            try makeDirectory(layer)
            try GuestSystem.mount("erofs", source: "/dev/" + name, at: layer, .readOnly, options: name.hasPrefix("pmem") ? "dax=always" : "")
            layers.append(layer)
        }
        try makeDirectory(WellKnown.rootMountPoint)
        let upper = WellKnown.upperMountPoint
        switch layout.upper {
        case .shared:
            try overlay(layers, upper: WellKnown.shareMountPoint + "/" + WellKnown.rootfsShare, options: ",userxattr")
            return nil
        case .disk(let name):
            try waitForDevice(name)
            try makeDirectory(upper)
            // What is deleted is given back to the host; the inode tables of a fresh one are zeros already. Which file was read when is worth no write.
            try GuestSystem.mount("ext4", source: "/dev/" + name, at: upper, .noAccessTimes, options: "discard,noinit_itable,errors=remount-ro")
            try prepare(upper, like: layers[0])
            try overlay(layers, upper: upper, options: ",userxattr")
            return SharedDescriptor(try OwnedDescriptor(opening: upper, flags: O_RDONLY | O_DIRECTORY))
        case .tmpfs(let size):
            try makeDirectory(upper)
            try GuestSystem.mount("tmpfs", at: upper, options: size == 0 ? "mode=0700" : "mode=0700,size=\(size)")
            try prepare(upper, like: layers[0])
            // A tmpfs of this kernel has no `user.` attributes, only `trusted.` ones: the images, whose marks are of the other kind, are put together first.
            if layers.count > 1 {
                let images = WellKnown.imageMountPoint + "/all"
                try makeDirectory(images)
                try GuestSystem.mount("overlay", at: images, .readOnly, options: "lowerdir=\(layers.joined(separator: ":")),userxattr")
                layers = [images]
            }
            try overlay(layers, upper: upper, options: "")
            return nil
        }
    }

    private static func overlay(_ layers: [String], upper: String, options: String) throws(SystemError) {
        try GuestSystem.mount(
            "overlay", at: WellKnown.rootMountPoint, options: "lowerdir=\(layers.joined(separator: ":")),upperdir=\(upper)/upper,workdir=\(upper)/work\(options)")
    }

    /// Makes what an overlayfs needs, unless it is there. The root's own owner and mode are those of the upper directory: it has its name when it has them.
    private static func prepare(_ place: String, like layer: String) throws(SystemError) {
        let directory = try OwnedDescriptor(opening: place, flags: O_RDONLY | O_DIRECTORY)
        try makeDirectory(place + "/work")
        let (fresh, name) = (try EntryName("upper.new"), try EntryName("upper"))
        do throws(SystemError) {
            _ = try directory.attributes(of: name)
            return
        } catch where error.errno == .noSuchFile {}
        let model = try OwnedDescriptor(opening: layer, flags: O_PATH | O_DIRECTORY).attributes()
        try makeDirectory(place + "/upper.new")
        try directory.setOwner(of: fresh, user: model.user, group: model.group)
        try directory.setMode(model.mode & 0o7777, of: fresh)
        try directory.rename(fresh, to: directory, name, flags: 0)
    }

    /// The kernel finds persistent memory while PID 1 runs already.
    private static func waitForDevice(_ name: String) throws(SystemError) {
        for _ in 0..<2000 {
            do throws(SystemError) {
                _ = try OwnedDescriptor(opening: "/dev/" + name, flags: O_PATH)
                return
            } catch { sleep(milliseconds: 1) }
        }
    }
}
