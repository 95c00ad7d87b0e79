internal import Glibc
internal import LinuxSystem

extension LayerApplication {
    private enum Existing { case directory, other, whiteout }

    /// What stands at a name of the directory that was entered last.
    private func existing(_ name: EntryName) throws(LayerError) -> Existing? {
        try inTop { (parent) throws(SystemError) in
            let found: FileAttributes
            do throws(SystemError) { found = try parent.attributes(of: name) } catch where error.errno == .noSuchFile { return nil }
            switch found.mode & 0o170000 {
            case 0o040000: return .directory
            case 0o020000 where found.deviceMajor == 0 && found.deviceMinor == 0: return .whiteout
            default: return .other
            }
        }
    }

    /// Enters the directories above an entry, and makes those that are missing.
    /// - Parameter borrowing: they are not this layer's own if it does not have them yet.
    func enter(_ parent: ArraySlice<EntryName>, borrowing: Bool = false) throws(LayerError) {
        let open = try stack.leave(for: parent)
        for (index, component) in parent.enumerated().dropFirst(open) {
            if !borrowing { note(component, in: stack.top.inode) }
            if try existing(component) == .directory {
                try stack.enter(component)
            } else {
                if borrowing { borrow(component, in: stack.top.inode) }
                try makeDirectory(component, finish: try shown(parent.prefix(index + 1)) ?? plain)
            }
        }
    }

    /// Makes and enters a directory; one that is there stays, with other attributes.
    func makeDirectory(_ name: EntryName, finish: DirectoryFinish) throws(LayerError) {
        switch try existing(name) {
        case .directory:
            try stack.enter(name)
            return stack.set(finish)
        case .other, .whiteout:
            try inTop { (parent) throws(SystemError) in try parent.removeFile(name) }
            try stack.make(name, finish: finish)
            // A lower layers' directory of this name, which it hid, is not to show through.
            try makeOpaque()
        case nil:
            try stack.make(name, finish: finish)
        }
    }

    /// What a directory is like that no layer names.
    private var plain: DirectoryFinish {
        DirectoryFinish(owner: options.keepsOwners ? (0, 0) : nil, mode: 0o755, modification: FileTime(seconds: 0, nanoseconds: 0))
    }

    /// What a directory is like that shows at the path and is in a lower layer; nil when there is none.
    private func shown(_ path: ArraySlice<EntryName>) throws(LayerError) -> DirectoryFinish? {
        let name = path[path.endIndex - 1]
        if lower.isEmpty { return nil }
        return try LayerError.wrapped(stack.entry) { () throws(SystemError) in
            guard let found = try OverlayLayers.find(path, in: merged), found.attributes.mode & 0o170000 == 0o040000 else { return nil }
            return try found.parent.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in
                let directory = try parent.openEntry(name, flags: O_RDONLY | O_DIRECTORY)
                var finish = try DirectoryFinish(like: directory)
                if !options.keepsOwners { finish.owner = nil }
                finish.attributes = finish.attributes.filter { !ApplyOptions.isHosts($0.name) }
                return finish
            }
        }
    }

    // Whiteouts.

    func apply(_ whiteout: Whiteout, in parent: ArraySlice<EntryName>, _ entry: TarEntry) throws(LayerError) {
        guard case .regular = entry.kind else {
            // aufs writes them as hard links.
            if case .hardLink = entry.kind { return try apply(whiteout, in: parent) }
            if whiteout == .aufs { return skip("aufs's own entries (.wh..wh.*)") }
            throw .refused(entry: entry.name, "a whiteout is an empty file")
        }
        try apply(whiteout, in: parent)
    }

    private func apply(_ whiteout: Whiteout, in parent: ArraySlice<EntryName>) throws(LayerError) {
        if whiteout == .aufs { return skip("aufs's own entries (.wh..wh.*)") }
        if style == .removing {
            guard try enterExisting(parent) else { return }
            let directory = stack.top
            switch whiteout {
            case .entry(let name): try removeLower(name, in: directory.descriptor, directory.inode)
            case .opaque, .aufs: try removeAllLower(in: directory.descriptor, directory.inode)
            }
            return
        }
        guard try enterForWhiteout(parent) else { return }
        switch whiteout {
        case .entry(let name): try hide(name)
        case .opaque, .aufs:
            if !parent.isEmpty { return try empty() }
            // overlayfs does not look at a layer's root whether it is opaque.
            for layer in lower {
                let names = try LayerError.wrapped(stack.entry) { () throws(SystemError) in
                    try layer.with { (layer: borrowing OwnedDescriptor) throws(SystemError) in try layer.entryNames() }
                }
                for name in names {
                    try hide(name)
                    _ = try stack.leave(for: [])
                }
            }
        }
    }

    /// Hides what lower layers have of a name in the directory that was entered last.
    private func hide(_ name: EntryName) throws(LayerError) {
        if isBorrowed(name, in: stack.top.inode) {
            note(name, in: stack.top.inode)
            try inTop { (parent) throws(SystemError) in try parent.removeTree(name) }
        }
        switch try existing(name) {
        case nil:
            try inTop { (parent) throws(SystemError) in
                try parent.makeNode(name, mode: 0o020000, major: 0, minor: 0)
                // The same layer is to give the same directory.
                let epoch = FileTime(seconds: 0, nanoseconds: 0)
                try parent.setTimes(access: epoch, modification: epoch, of: name)
            }
        case .directory:
            // This layer has made a new one.
            try stack.enter(name)
            try empty()
        case .other, .whiteout: break
        }
    }

    /// Hides all that lower layers have in the directory that was entered last.
    private func empty() throws(LayerError) {
        if hasBorrowed { try removeAllLower(in: stack.top.descriptor, stack.top.inode) }
        try makeOpaque()
    }

    /// False when one of the directories is not there.
    private func enterExisting(_ parent: ArraySlice<EntryName>) throws(LayerError) -> Bool {
        let open = try stack.leave(for: parent)
        for component in parent.dropFirst(open) {
            guard try existing(component) == .directory else { return false }
            note(component, in: stack.top.inode)
            try stack.enter(component)
        }
        return true
    }

    /// False when this layer, or if it has nothing the merged ones, have something else in place of a directory, or nothing: then nothing of the lower layers'
    /// shows there anyway. (umoci says of a directory that became a file both that, and that what was in it is gone.)
    private func enterForWhiteout(_ parent: ArraySlice<EntryName>) throws(LayerError) -> Bool {
        let open = try stack.leave(for: parent)
        for (index, component) in parent.enumerated().dropFirst(open) {
            switch try existing(component) {
            case .directory:
                note(component, in: stack.top.inode)
                try stack.enter(component)
            case .other, .whiteout: return false
            case nil:
                guard let finish = try shown(parent.prefix(index + 1)) else { return false }
                try makeDirectory(component, finish: finish)
            }
        }
        return true
    }

    private func removeLower(_ name: EntryName, in parent: SharedDescriptor, _ parentInode: UInt64) throws(LayerError) {
        guard isOwn(name, in: parentInode) else {
            return try LayerError.wrapped(stack.entry) { () throws(SystemError) in
                try parent.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in try parent.removeTree(name) }
            }
        }
        let directory: SharedDescriptor
        do throws(SystemError) {
            directory = try parent.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in
                SharedDescriptor(try parent.openEntry(name, flags: O_RDONLY | O_DIRECTORY))
            }
        } catch {
            // A file of this layer stays.
            if [.notDirectory, .symbolicLinkLoop, .noSuchFile].contains(error.errno) { return }
            throw .system(entry: stack.entry, error)
        }
        let inode = try LayerError.wrapped(stack.entry) { () throws(SystemError) in
            try directory.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in try directory.status().inode }
        }
        try removeAllLower(in: directory, inode)
    }

    private func removeAllLower(in directory: SharedDescriptor, _ inode: UInt64) throws(LayerError) {
        let names = try LayerError.wrapped(stack.entry) { () throws(SystemError) in
            try directory.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in try directory.entryNames() }
        }
        for name in names { try removeLower(name, in: directory, inode) }
    }

    /// Marks the directory that was entered last.
    private func makeOpaque() throws(LayerError) {
        guard case .overlay(let user) = style else { return }
        try inTop { (directory) throws(SystemError) in
            try directory.setAttribute(try AttributeName(WhiteoutStyle.opaqueAttribute(user: user)), [UInt8(ascii: "y")])
        }
    }
}

extension DirectoryFinish {
    /// All that a directory is now.
    init(like directory: borrowing OwnedDescriptor) throws(SystemError) {
        let found = try directory.attributes()
        owner = (found.user, found.group)
        mode = found.mode & 0o7777
        modification = found.modificationTime
        for name in try directory.attributeNames() {
            if let value = try directory.attribute(name) { attributes.append((name, value)) }
        }
    }
}
