internal import Glibc
internal import LinuxSystem

/// What a directory gets when its entries are complete, because each of them changes its time, and what its mode may forbid must be done before.
struct DirectoryFinish {
    var owner: (user: UInt32, group: UInt32)?
    var mode: UInt32?
    var modification: FileTime?
    var attributes: [(name: AttributeName, value: [UInt8])] = []
    /// It gets these attributes and no others: it was another layer's, or has inherited some.
    var hasNoOthers = false
}

/// The directories above the entry that is being made, each open. They are opened one from the other and never by a path, so a symbolic link
/// leads nowhere; memory and descriptors are bounded by their depth.
final class DirectoryStack {
    struct Frame {
        let name: EntryName?
        let descriptor: SharedDescriptor
        let inode: UInt64
        var finish: DirectoryFinish
    }
    private(set) var frames: [Frame]
    var top: Frame { frames[frames.count - 1] }
    /// For messages: of the entry that is being made.
    var entry: String?

    init(root: SharedDescriptor) throws(LayerError) {
        frames = []
        frames = [try frame(nil, root)]
    }

    /// A directory as it is: afterwards it has the times that it has now.
    private func frame(_ name: EntryName?, _ descriptor: SharedDescriptor) throws(LayerError) -> Frame {
        try LayerError.wrapped(entry) { () throws(SystemError) in
            try descriptor.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in
                let attributes = try directory.attributes()
                var finish = DirectoryFinish(modification: attributes.modificationTime)
                if attributes.mode & 0o700 != 0o700 {
                    // An ordinary user could not fill it.
                    finish.mode = attributes.mode & 0o7777
                    try directory.setMode(attributes.mode & 0o7777 | 0o700)
                }
                return Frame(name: name, descriptor: descriptor, inode: attributes.inode, finish: finish)
            }
        }
    }

    /// Leaves the directories that are not above `parent`; how many components of it are open afterwards.
    func leave(for parent: ArraySlice<EntryName>) throws(LayerError) -> Int {
        var common = 0
        for (frame, component) in zip(frames.dropFirst(), parent) {
            guard frame.name == component else { break }
            common += 1
        }
        while frames.count > common + 1 { try pop() }
        return common
    }

    /// Enters a directory that is there.
    /// - Throws: ENOENT, ENOTDIR or ELOOP, without an entry's name, when it is not.
    func enter(_ name: EntryName) throws(LayerError) {
        let parent = top.descriptor
        let opened = try LayerError.wrapped(nil) { () throws(SystemError) in
            try parent.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in
                do throws(SystemError) { return SharedDescriptor(try parent.openEntry(name, flags: O_RDONLY | O_DIRECTORY)) } catch {
                    guard error.errno == .permissionDenied, try parent.attributes(of: name).mode & 0o170000 == 0o040000 else { throw error }
                    let mode = try parent.attributes(of: name).mode & 0o7777
                    try parent.setMode(mode | 0o700, of: name)
                    return SharedDescriptor(try parent.openEntry(name, flags: O_RDONLY | O_DIRECTORY))
                }
            }
        }
        frames.append(try frame(name, opened))
    }

    /// Makes and enters a directory.
    func make(_ name: EntryName, finish: DirectoryFinish) throws(LayerError) {
        try LayerError.wrapped(entry) { () throws(SystemError) in
            try top.descriptor.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in try parent.makeDirectory(name, mode: 0o700) }
        }
        try enter(name)
        var finish = finish
        finish.hasNoOthers = true
        set(finish)
    }

    /// Says what the directory that was entered last is to get.
    func set(_ finish: DirectoryFinish) { frames[frames.count - 1].finish = finish }

    private func pop() throws(LayerError) {
        let path = frames.compactMap(\.name?.text).joined(separator: "/")
        let frame = frames.removeLast()
        try LayerError.wrapped(path.isEmpty ? "./" : path) { () throws(SystemError) in
            try frame.descriptor.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in try frame.finish.apply(to: directory) }
        }
    }

    /// Leaves all of them.
    func finish() throws(LayerError) {
        while !frames.isEmpty { try pop() }
    }
}

/// Gives something to a user and group, which a user namespace may not have.
func explainingOwner(_ user: UInt32, _ group: UInt32, _ change: () throws(SystemError) -> Void) throws(SystemError) {
    do throws(SystemError) { try change() } catch {
        guard error.errno == .invalidArgument else { throw error }
        throw SystemError(error.errno, "chown", path: "to \(user):\(group), which this user namespace does not map (/etc/subuid, /etc/subgid)")
    }
}

extension DirectoryFinish {
    /// The owner goes first, because a change of it takes set-id bits and capabilities away.
    func apply(to directory: borrowing OwnedDescriptor) throws(SystemError) {
        if let owner { try explainingOwner(owner.user, owner.group) { () throws(SystemError) in try directory.setOwner(user: owner.user, group: owner.group) } }
        if hasNoOthers {
            for name in try directory.attributeNames() where !ApplyOptions.isHosts(name) && !attributes.contains(where: { $0.name == name }) { try directory.forgetAttribute(name) }
        }
        if let mode { try directory.setMode(mode) }
        for attribute in attributes { try directory.setAttribute(attribute.name, attribute.value) }
        if let modification { try directory.setTimes(access: modification, modification: modification) }
    }
}

extension OwnedDescriptor {
    /// Removes an attribute that may be there, and may be another's to remove.
    func forgetAttribute(_ attribute: AttributeName, of name: EntryName? = nil) throws(SystemError) {
        do throws(SystemError) { try removeAttribute(attribute, of: name) } catch {
            guard [ENODATA, EOPNOTSUPP, EPERM].contains(error.errno.rawValue) else { throw error }
        }
    }
}
