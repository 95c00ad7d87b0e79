internal import Glibc

extension OwnedDescriptor {
    /// Removes an entry with all that is beneath it on the same mount; fine if there is none, or somebody else removes it meanwhile. No symbolic link is followed.
    /// - Throws: `EBUSY` at something that is mounted there, whose files are somebody else's.
    ///
    /// Whoever made the tree may have put directories into each other without end, so descriptors and stack are bounded: what lies too deep is first moved up.
    public func removeTree(_ name: EntryName) throws(SystemError) {
        var deep: [EntryName] = []
        try removeTree(name, depth: 0, top: self, &deep)
        while let next = deep.popLast() { try removeTree(next, depth: 0, top: self, &deep) }
    }

    private static let deepest = 32

    private func removeTree(_ name: EntryName, depth: Int, top: borrowing OwnedDescriptor, _ deep: inout [EntryName]) throws(SystemError) {
        do throws(SystemError) { try removeExisting(name, depth: depth, top: top, &deep) } catch where error.errno == .noSuchFile { return }
    }

    private func removeExisting(_ name: EntryName, depth: Int, top: borrowing OwnedDescriptor, _ deep: inout [EntryName]) throws(SystemError) {
        do throws(SystemError) { return try removeFile(name) } catch {
            guard error.errno == .isDirectory || error.errno == .notPermitted else { throw error }
        }
        do throws(SystemError) { return try removeDirectory(name) } catch {
            guard [.notEmpty, .fileExists, .permissionDenied].contains(error.errno) else { throw error }
        }
        if depth == OwnedDescriptor.deepest {
            var generator = SystemRandomNumberGenerator()
            let moved = try EntryName(".removing.\(String(generator.next(), radix: 36))")
            // An ordinary user may move a directory only if it is not closed to them.
            try setMode(0o700, of: name)
            try rename(name, to: top, moved, flags: UInt32(RENAME_NOREPLACE))
            return deep.append(moved)
        }
        let directory: OwnedDescriptor
        do throws(SystemError) { directory = try openEntry(name, flags: O_RDONLY | O_DIRECTORY) } catch where error.errno == .permissionDenied {
            // An ordinary user's own directory may be closed to them.
            try setMode(0o700, of: name)
            directory = try openEntry(name, flags: O_RDONLY | O_DIRECTORY)
        }
        guard try directory.attributes().mount == attributes().mount else {
            throw SystemError(.busy, "something is mounted there", path: String(decoding: name.bytes, as: UTF8.self))
        }
        if try directory.status().permissions & 0o300 != 0o300 { try directory.setMode(0o700) }
        for child in try directory.entryNames() { try directory.removeTree(child, depth: depth + 1, top: top, &deep) }
        try removeDirectory(name)
    }
}
