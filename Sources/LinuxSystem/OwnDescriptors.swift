internal import Glibc

extension OwnedDescriptor {
    /// Opens this process's directory of descriptors (`self/fd` of procfs), in which each is a link to the very object that it names.
    ///
    /// It lies in a procfs instance of its own that shows processes only, and of them only this one: whoever gets hold of the descriptor
    /// finds nothing of the host by `..`. In a user namespace, to which /proc does not belong, it is a mount of this one directory, out of
    /// which no `..` leads; without CAP_SYS_ADMIN the one at /proc.
    public static func ownDescriptors(flags: Int32) throws(SystemError) -> OwnedDescriptor {
        do throws(SystemError) {
            let context = try FileSystemContext(type: "proc")
            try context.set("subset", "pid")
            try context.set("hidepid", "invisible")
            let instance = try context.mount([.noSetUserID, .noDevices, .noExecute])
            return try OwnedDescriptor(opening: "self/fd", at: instance.descriptor, flags: flags | O_DIRECTORY)
        } catch where error.errno == .notPermitted {
            let path = "/proc/self/fd"
            do throws(SystemError) {
                let mount = try MountDescriptor(cloning: try OwnedDescriptor(opening: path, flags: O_PATH | O_DIRECTORY), recursive: true)
                return try OwnedDescriptor(opening: ".", at: mount.descriptor, flags: flags | O_DIRECTORY)
            } catch where error.errno == .notPermitted {
                return try OwnedDescriptor(opening: path, flags: flags | O_DIRECTORY)
            }
        }
    }

    /// An O_PATH descriptor of an empty, read-only directory of no file tree. Without CAP_SYS_ADMIN it is the root directory.
    public static func emptyDirectory() throws(SystemError) -> OwnedDescriptor {
        do throws(SystemError) {
            let context = try FileSystemContext(type: "tmpfs")
            try context.set("mode", "555")
            let mount = try context.mount([.readOnly, .noSetUserID, .noDevices, .noExecute])
            return try OwnedDescriptor(opening: ".", at: mount.descriptor, flags: O_PATH | O_DIRECTORY)
        } catch where error.errno == .notPermitted {
            return try OwnedDescriptor(opening: "/", flags: O_PATH | O_DIRECTORY)
        }
    }
}
