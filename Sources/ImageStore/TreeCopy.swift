import LayerArchive
import LinuxSystem

/// Copies a directory tree with all that its objects have: owners, modes, attributes, times, hard links among themselves, holes.
struct TreeCopy {
    enum Mode: Sendable {
        /// Files share the blocks of the originals.
        case reflink
        case copy
        /// Files are the originals, under another name: for trees that nobody writes to.
        case link
    }
    private let mode: Mode
    private let keepsOwners = effectiveUser() == 0
    private let sourceRoot: SharedDescriptor
    private let targetRoot: SharedDescriptor
    /// Where files with several names were copied to.
    private var copies: [UInt64: [EntryName]] = [:]

    private init(_ mode: Mode, _ source: SharedDescriptor, _ target: SharedDescriptor) { (self.mode, sourceRoot, targetRoot) = (mode, source, target) }

    /// Copies what is in one directory into an empty one, and gives that the first one's attributes.
    static func copy(_ source: String, to target: String, _ mode: Mode) throws(SystemError) {
        let (from, to) = (try DurableFile.openDirectory(source), try DurableFile.openDirectory(target))
        var copy = TreeCopy(mode, from, to)
        try copy.contents(from, to, [])
        try copy.finish(from, to)
    }

    private mutating func contents(_ source: SharedDescriptor, _ target: SharedDescriptor, _ path: [EntryName]) throws(SystemError) {
        let names = try source.with { (source: borrowing OwnedDescriptor) throws(SystemError) in try source.entryNames() }
        for name in names {
            let attributes = try source.with { (source: borrowing OwnedDescriptor) throws(SystemError) in try source.attributes(of: name) }
            do throws(SystemError) { try entry(name, attributes, source, target, path + [name]) } catch {
                throw SystemError(error.errno, error.operation, path: error.path ?? (path + [name]).map(\.text).joined(separator: "/"))
            }
        }
    }

    private mutating func entry(
        _ name: EntryName, _ attributes: FileAttributes, _ source: SharedDescriptor, _ target: SharedDescriptor, _ path: [EntryName]
    ) throws(SystemError) {
        let type = attributes.mode & 0o170000
        if type == 0o040000 {
            try target.with { (target: borrowing OwnedDescriptor) throws(SystemError) in try target.makeDirectory(name, mode: 0o700) }
            let from = try source.with { (source: borrowing OwnedDescriptor) throws(SystemError) in SharedDescriptor(try source.openEntry(name, flags: flags.directory)) }
            let to = try target.with { (target: borrowing OwnedDescriptor) throws(SystemError) in SharedDescriptor(try target.openEntry(name, flags: flags.directory)) }
            try contents(from, to, path)
            return try finish(from, to)
        }
        if mode == .link {
            return try source.with { (source: borrowing OwnedDescriptor) throws(SystemError) in
                try target.with { (target: borrowing OwnedDescriptor) throws(SystemError) in try source.linkEntry(name, to: target, name) }
            }
        }
        if attributes.links > 1 {
            if let first = copies[attributes.inode] { return try link(first, target, name) }
            copies[attributes.inode] = path
        }
        try source.with { (source: borrowing OwnedDescriptor) throws(SystemError) in
            try target.with { (target: borrowing OwnedDescriptor) throws(SystemError) in
                switch type {
                case 0o100000: try file(name, attributes, source, target)
                case 0o120000:
                    try target.makeSymbolicLink(name, target: try source.readSymbolicLink(name))
                    try finish(name, attributes, source, target)
                default:
                    try target.makeNode(name, mode: type | 0o600, major: attributes.deviceMajor, minor: attributes.deviceMinor)
                    try finish(name, attributes, source, target)
                }
            }
        }
    }

    /// Gives what was copied already a second name.
    private func link(_ first: [EntryName], _ target: SharedDescriptor, _ name: EntryName) throws(SystemError) {
        var directory = targetRoot
        for component in first.dropLast() {
            directory = try directory.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in
                SharedDescriptor(try parent.openEntry(component, flags: flags.handle))
            }
        }
        guard let last = first.last else { return }
        try directory.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in
            try target.with { (target: borrowing OwnedDescriptor) throws(SystemError) in try directory.linkEntry(last, to: target, name) }
        }
    }

    private func file(
        _ name: EntryName, _ attributes: FileAttributes, _ source: borrowing OwnedDescriptor, _ target: borrowing OwnedDescriptor
    ) throws(SystemError) {
        let from = try source.openEntry(name, flags: flags.read)
        let to = try target.openEntry(name, flags: flags.create, mode: 0o600)
        let size = Int64(attributes.size)
        if mode == .reflink {
            try to.cloneContents(of: from)
        } else {
            for part in try from.dataParts(size) {
                var offset = part.lowerBound
                while offset < part.upperBound {
                    let count = try from.copyRange(from: offset, to: to, at: offset, count: Int(min(part.upperBound - offset, 1 << 30)))
                    guard count > 0 else { throw SystemError(.ioError, "copy_file_range") }
                    offset += Int64(count)
                }
            }
            try to.truncate(to: size)
        }
        try finish(nil, attributes, from, to)
    }

    private func finish(_ source: SharedDescriptor, _ target: SharedDescriptor) throws(SystemError) {
        try source.with { (source: borrowing OwnedDescriptor) throws(SystemError) in
            try target.with { (target: borrowing OwnedDescriptor) throws(SystemError) in try finish(nil, try source.attributes(), source, target) }
        }
    }

    /// The owner goes first, because a change of it takes set-id bits and capabilities away.
    private func finish(
        _ name: EntryName?, _ attributes: FileAttributes, _ source: borrowing OwnedDescriptor, _ target: borrowing OwnedDescriptor
    ) throws(SystemError) {
        if keepsOwners {
            if let name {
                try target.setOwner(of: name, user: attributes.user, group: attributes.group)
            } else {
                try target.setOwner(user: attributes.user, group: attributes.group)
            }
        }
        if attributes.mode & 0o170000 != 0o120000 { try target.setMode(attributes.mode & 0o7777, of: name) }
        for attribute in try source.attributeNames(of: name) {
            if let value = try source.attribute(attribute, of: name) { try target.setAttribute(attribute, value, of: name) }
        }
        try target.setTimes(access: attributes.modificationTime, modification: attributes.modificationTime, of: name)
    }
}
