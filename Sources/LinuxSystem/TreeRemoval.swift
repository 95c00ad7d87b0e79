internal import Glibc

extension OwnedDescriptor {
    /// Removes an entry with all that is beneath it; fine if there is none. No symbolic link is followed, and no more descriptors are open than
    /// directories lie within each other.
    public func removeTree(_ name: EntryName) throws(SystemError) {
        do throws(SystemError) { return try removeFile(name) } catch {
            if error.errno == .noSuchFile { return }
            guard error.errno == .isDirectory || error.errno == .notPermitted else { throw error }
        }
        do throws(SystemError) { return try removeDirectory(name) } catch {
            guard [.notEmpty, .fileExists, .permissionDenied].contains(error.errno) else { throw error }
        }
        let directory: OwnedDescriptor
        do throws(SystemError) { directory = try openEntry(name, flags: O_RDONLY | O_DIRECTORY) } catch where error.errno == .permissionDenied {
            // An ordinary user's own directory may be closed to them.
            try setMode(0o700, of: name)
            directory = try openEntry(name, flags: O_RDONLY | O_DIRECTORY)
        }
        if try directory.status().permissions & 0o300 != 0o300 { try directory.setMode(0o700) }
        for child in try directory.entryNames() { try directory.removeTree(child) }
        try removeDirectory(name)
    }
}
