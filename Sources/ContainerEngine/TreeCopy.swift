internal import Glibc
internal import LinuxSystem

/// Copies files and folders between open directories. Names are single components, links are copied as links and never followed.
final class TreeCopy {
    /// Who owns the copies; nil keeps the owners.
    private let owner: (user: UInt32, group: UInt32)?
    private let links: SharedLinks

    private final class SharedLinks {
        let links: DescriptorLinks
        init() throws(SystemError) { links = try DescriptorLinks(owning: OwnedDescriptor(opening: "/proc/self/fd", flags: O_PATH | O_DIRECTORY)) }
    }

    /// Deeper trees than this are a mistake or an attack.
    private static let deepest = 512

    init(owner: (user: UInt32, group: UInt32)?) throws(SystemError) {
        self.owner = owner
        links = try SharedLinks()
    }

    /// Copies everything in one directory into another that exists.
    func contents(of source: borrowing OwnedDescriptor, into target: borrowing OwnedDescriptor) throws(SystemError) {
        try contents(of: source, into: target, depth: 0)
    }

    /// Makes a directory that exists what another is: all in it, owner, permissions and times.
    static func fill(_ target: borrowing OwnedDescriptor, with source: SharedDescriptor) throws(SystemError) {
        let source = try source.duplicate()
        let copy = try TreeCopy(owner: nil)
        try copy.contents(of: source, into: target)
        try copy.set(try source.attributes(), of: target)
    }

    private func contents(of source: borrowing OwnedDescriptor, into target: borrowing OwnedDescriptor, depth: Int) throws(SystemError) {
        guard depth < Self.deepest else { throw SystemError(.nameTooLong, "folders are nested more than \(Self.deepest) deep") }
        for name in try source.entryNames() { try entry(name, of: source, into: target, as: name, depth: depth) }
    }

    /// Copies one entry under a name. A file there is replaced; a directory takes what is in the copied one.
    func entry(_ name: EntryName, of source: borrowing OwnedDescriptor, into target: borrowing OwnedDescriptor, as newName: EntryName, depth: Int = 0) throws(SystemError) {
        do throws(SystemError) { try copy(name, of: source, into: target, as: newName, depth: depth) } catch {
            throw error.path == nil ? SystemError(error.errno, error.operation, path: String(decoding: name.bytes, as: UTF8.self)) : error
        }
    }

    private func copy(_ name: EntryName, of source: borrowing OwnedDescriptor, into target: borrowing OwnedDescriptor, as newName: EntryName, depth: Int) throws(SystemError) {
        let object = try source.openEntry(name, flags: O_PATH)
        let attributes = try object.attributes()
        if attributes.mode & UInt32(S_IFMT) != UInt32(S_IFDIR) {
            do throws(SystemError) { try target.removeFile(newName) } catch where error.errno == .noSuchFile {}
        }
        switch attributes.mode & UInt32(S_IFMT) {
        case UInt32(S_IFDIR):
            do throws(SystemError) { try target.makeDirectory(newName, mode: 0o700) } catch where error.errno == .fileExists {}
            let directory = try target.openEntry(newName, flags: O_PATH | O_DIRECTORY)
            try contents(of: object, into: directory, depth: depth + 1)
            try set(attributes, of: directory)
        case UInt32(S_IFREG):
            let from = try links.links.reopen(object, flags: O_RDONLY)
            let to = try target.openEntry(newName, flags: O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
            try Self.bytes(from, to)
            try set(attributes, of: to)
        case UInt32(S_IFLNK):
            try target.makeSymbolicLink(newName, target: try object.readSymbolicLink())
            try set(attributes, of: try target.openEntry(newName, flags: O_PATH), isLink: true)
        case UInt32(S_IFSOCK): break  // Nobody listens to a copy of a socket.
        default:
            try target.makeNode(newName, mode: attributes.mode, major: attributes.deviceMajor, minor: attributes.deviceMinor)
            try set(attributes, of: try target.openEntry(newName, flags: O_PATH))
        }
    }

    private static func bytes(_ from: borrowing OwnedDescriptor, _ to: borrowing OwnedDescriptor) throws(SystemError) {
        var offset: Int64 = 0
        while true {
            let count: Int
            do throws(SystemError) { count = try from.copyRange(from: offset, to: to, at: offset, count: 1 << 24) } catch {
                // Between file systems of different kinds, and of kinds that cannot do it.
                guard [EXDEV, EINVAL, EOPNOTSUPP, ENOSYS].contains(error.errno.rawValue), offset == 0 else { throw error }
                return try plainly(from, to)
            }
            // Files of pseudo file systems have no size, and something in them all the same.
            if count == 0 { return offset == 0 ? try plainly(from, to) : () }
            offset += Int64(count)
        }
    }

    private static func plainly(_ from: borrowing OwnedDescriptor, _ to: borrowing OwnedDescriptor) throws(SystemError) {
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        while true {
            let count = try from.read(into: &buffer)
            if count == 0 { return }
            try to.writeAll(Array(buffer[..<count]))
        }
    }

    private func set(_ attributes: FileAttributes, of object: borrowing OwnedDescriptor, isLink: Bool = false) throws(SystemError) {
        let (user, group) = owner ?? (attributes.user, attributes.group)
        do throws(SystemError) { try object.changeOwner(user: user, group: group) } catch {
            // An ordinary user's copies are the user's.
            if error.errno != .notPermitted && error.errno != .invalidArgument || geteuid() == 0 { throw error }
        }
        if !isLink { try links.links.changeMode(object, attributes.mode & 0o7777) }
        if !isLink { try links.links.changeTimes(object, access: attributes.accessTime, modification: attributes.modificationTime) }
    }
}
