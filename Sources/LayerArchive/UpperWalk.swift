internal import Glibc
internal import LinuxSystem

/// Reads an overlay's upper directory.
struct UpperWalk {
    let lower: [SharedDescriptor]

    func walk(_ directory: SharedDescriptor, _ path: [EntryName], _ report: (TreeChange) throws(LayerError) -> Void) throws(LayerError) {
        try TreeChanges.checkDepth(path)
        let place = path.map(\.text).joined(separator: "/")
        let names = try LayerError.wrapped(place) { () throws(SystemError) in
            try directory.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in
                for attribute in try directory.attributeNames() where attribute.text.hasSuffix(".overlay.redirect") {
                    // Such a directory shows what lies elsewhere in the layers.
                    throw SystemError(.notSupported, "directory with overlayfs's redirect_dir", path: place)
                }
                return try directory.entryNames().sorted()
            }
        }
        for name in names {
            let child = path + [name]
            let found = try attributes(of: name, in: directory, child)
            if OverlayLayers.isWhiteout(found) {
                try report(TreeChange(kind: .removed, path: child, attributes: nil, parent: directory))
                continue
            }
            let wasThere = try LayerError.wrapped(place) { () throws(SystemError) in try OverlayLayers.find(child[...], in: lower) != nil }
            try report(TreeChange(kind: wasThere ? .modified : .added, path: child, attributes: found, parent: directory))
            guard found.mode & 0o170000 == 0o040000 else { continue }
            let (inner, isOpaque) = try LayerError.wrapped(place) { () throws(SystemError) in
                try directory.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in
                    let inner = try directory.openEntry(name, flags: O_RDONLY | O_DIRECTORY)
                    let isOpaque = try OverlayLayers.isOpaque(inner)
                    return (SharedDescriptor(inner), isOpaque)
                }
            }
            if isOpaque && wasThere { try report(TreeChange(kind: .emptied, path: child, attributes: nil, parent: inner)) }
            try walk(inner, child, report)
        }
    }

    private func attributes(of name: EntryName, in directory: SharedDescriptor, _ path: [EntryName]) throws(LayerError) -> FileAttributes {
        try LayerError.wrapped(path.map(\.text).joined(separator: "/")) { () throws(SystemError) in
            try directory.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in
                let found = try directory.attributes(of: name)
                if found.mode & 0o170000 == 0o100000, try directory.attributeNames(of: name).contains(where: { $0.text.hasSuffix(".overlay.metacopy") }) {
                    throw SystemError(.notSupported, "file whose contents lie elsewhere (overlayfs's metacopy)")
                }
                return found
            }
        }
    }
}
