internal import Glibc
public import LinuxSystem

extension FileSystemDevice {
    /// A directory tree or a single file that the guest sees under `name` in the file system's root.
    public struct Share: Sendable {
        public let name: String
        public let isReadOnly: Bool
        let object: HeldFile
        let attributes: FileAttributes
        /// See `Inode.keepsBirth`.
        let keepsBirth: Bool
        let entryName: EntryName

        /// `descriptor` is an O_PATH descriptor of the directory or file; nothing beside or above it is ever reached.
        /// - Throws: `EINVAL` for a name that cannot be a file's, or for a symbolic link; `EACCES` for a process file system, in which
        ///   the guest would find this very process.
        public init(name: String, descriptor: consuming OwnedDescriptor, readOnly: Bool) throws(SystemError) {
            self.name = name
            isReadOnly = readOnly
            entryName = try EntryName(name)
            attributes = try descriptor.attributes()
            if attributes.mode & S_IFMT == S_IFLNK { throw SystemError(.invalidArgument, "share", path: name) }
            let type = try descriptor.fileSystemStatistics().type
            keepsBirth = type != FileSystemStatistics.overlayType
            if type == FileSystemStatistics.procType {
                throw SystemError(.permissionDenied, "share", path: name)
            }
            object = HeldFile(descriptor)
        }
    }
}
