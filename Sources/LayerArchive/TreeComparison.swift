internal import Glibc
internal import LinuxSystem

/// Compares a tree with the one that it was copied from.
struct TreeComparison {
    let copied: FileTime
    /// Directories that are above, and have not been reported because nothing in them has changed yet.
    private var pending: [TreeChange] = []

    init(copied: FileTime) { self.copied = copied }

    private mutating func report(_ change: TreeChange, _ body: (TreeChange) throws(LayerError) -> Void) throws(LayerError) {
        for directory in pending { try body(directory) }
        pending = []
        try body(change)
    }

    mutating func compare(_ base: SharedDescriptor, _ tree: SharedDescriptor, _ path: [EntryName], _ body: (TreeChange) throws(LayerError) -> Void) throws(LayerError) {
        try TreeChanges.checkDepth(path)
        if path.isEmpty {
            let (before, now) = (try status(base, nil, path), try status(tree, nil, path))
            let root = TreeChange(kind: .modified, path: [], attributes: now, parent: tree)
            if try isSame(base, before, tree, now, nil, path) { pending = [root] } else { try body(root) }
        }
        let before = Set(try names(base, path))
        let now = try names(tree, path)
        for name in before.subtracting(now).sorted() {
            try report(TreeChange(kind: .removed, path: path + [name], attributes: nil, parent: tree), body)
        }
        for name in now {
            let child = path + [name]
            let found = try status(tree, name, child)
            let isDirectory = found.mode & 0o170000 == 0o040000
            guard before.contains(name) else {
                try report(TreeChange(kind: .added, path: child, attributes: found, parent: tree), body)
                if isDirectory { try reportAll(try open(tree, name, child), child, body) }
                continue
            }
            let old = try status(base, name, child)
            let wasDirectory = old.mode & 0o170000 == 0o040000
            let change = TreeChange(kind: .modified, path: child, attributes: found, parent: tree)
            if try !isSame(base, old, tree, found, name, child) {
                try report(change, body)
            } else if isDirectory {
                pending.append(change)
            }
            guard isDirectory else { continue }
            let inner = try open(tree, name, child)
            if wasDirectory {
                try compare(try open(base, name, child), inner, child, body)
                // Nothing below it has changed, nor has it: then it is still the last one that waits.
                if pending.last?.path == child { pending.removeLast() }
            } else {
                try reportAll(inner, child, body)
            }
        }
    }

    private mutating func reportAll(_ directory: SharedDescriptor, _ path: [EntryName], _ body: (TreeChange) throws(LayerError) -> Void) throws(LayerError) {
        try TreeChanges.checkDepth(path)
        for name in try names(directory, path) {
            let child = path + [name]
            let found = try status(directory, name, child)
            try report(TreeChange(kind: .added, path: child, attributes: found, parent: directory), body)
            if found.mode & 0o170000 == 0o040000 { try reportAll(try open(directory, name, child), child, body) }
        }
    }

    private func names(_ directory: SharedDescriptor, _ path: [EntryName]) throws(LayerError) -> [EntryName] {
        try on(directory, path) { (directory) throws(SystemError) in try directory.entryNames().sorted() }
    }

    private func status(_ directory: SharedDescriptor, _ name: EntryName?, _ path: [EntryName]) throws(LayerError) -> FileAttributes {
        try on(directory, path) { (directory) throws(SystemError) in
            if let name { try directory.attributes(of: name) } else { try directory.attributes() }
        }
    }

    private func open(_ directory: SharedDescriptor, _ name: EntryName, _ path: [EntryName]) throws(LayerError) -> SharedDescriptor {
        try on(directory, path) { (directory) throws(SystemError) in SharedDescriptor(try directory.openEntry(name, flags: O_RDONLY | O_DIRECTORY)) }
    }

    private func on<Result>(
        _ directory: SharedDescriptor, _ path: [EntryName], _ body: (borrowing OwnedDescriptor) throws(SystemError) -> Result
    ) throws(LayerError) -> Result {
        try LayerError.wrapped(path.map(\.text).joined(separator: "/")) { () throws(SystemError) in try directory.with(body) }
    }

    /// Whether an object is as it was, what is in a directory aside.
    private func isSame(
        _ base: SharedDescriptor, _ before: FileAttributes, _ tree: SharedDescriptor, _ now: FileAttributes, _ name: EntryName?, _ path: [EntryName]
    ) throws(LayerError) -> Bool {
        guard before.mode == now.mode, before.user == now.user, before.group == now.group, before.modificationTime == now.modificationTime,
            (before.deviceMajor, before.deviceMinor) == (now.deviceMajor, now.deviceMinor)
        else { return false }
        let type = now.mode & 0o170000
        if type == 0o100000 && before.size != now.size { return false }
        if now.changeTime < copied { return true }
        // It may have got another name: a layer must have the file to say that, as overlayfs copies it up. (Not where all is compared, whenever it was changed.)
        if now.links > 1, type != 0o040000, copied.seconds != .min { return false }
        return try on(tree, path) { (tree) throws(SystemError) in
            let tree = SharedDescriptor(try tree.duplicate())
            return try base.with { (base: borrowing OwnedDescriptor) throws(SystemError) in
                try tree.with { (tree: borrowing OwnedDescriptor) throws(SystemError) in
                    guard try TreeComparison.attributes(base, name) == TreeComparison.attributes(tree, name) else { return false }
                    guard let name else { return true }
                    switch type {
                    case 0o120000: return try base.readSymbolicLink(name) == tree.readSymbolicLink(name)
                    case 0o100000: return try TreeComparison.haveSameContents(base, tree, name, Int64(now.size))
                    default: return true
                    }
                }
            }
        }
    }

    private static func attributes(_ directory: borrowing OwnedDescriptor, _ name: EntryName?) throws(SystemError) -> [[UInt8]: [UInt8]] {
        var result: [[UInt8]: [UInt8]] = [:]
        for attribute in try directory.attributeNames(of: name) { result[Array(attribute.bytes)] = try directory.attribute(attribute, of: name) }
        return result
    }

    private static func haveSameContents(
        _ base: borrowing OwnedDescriptor, _ tree: borrowing OwnedDescriptor, _ name: EntryName, _ size: Int64
    ) throws(SystemError) -> Bool {
        let before = try base.openEntry(name, flags: O_RDONLY | O_NONBLOCK)
        let now = try tree.openEntry(name, flags: O_RDONLY | O_NONBLOCK)
        var offset: Int64 = 0
        while offset < size {
            let count = Int(min(size - offset, 256 << 10))
            guard try before.bytes(at: offset, count: count) == now.bytes(at: offset, count: count) else { return false }
            offset += Int64(count)
        }
        return true
    }
}

extension FileTime {
    static func < (left: FileTime, right: FileTime) -> Bool { (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds) }
}
