internal import Glibc
internal import LinuxSystem

/// Directories that overlayfs would merge, read without it.
enum OverlayLayers {
    static func isOpaque(_ directory: borrowing OwnedDescriptor) throws(SystemError) -> Bool {
        for user in [false, true] {
            let name = try AttributeName(WhiteoutStyle.opaqueAttribute(user: user))
            if try directory.attribute(name) == [UInt8(ascii: "y")] { return true }
        }
        return false
    }

    static func isWhiteout(_ attributes: FileAttributes) -> Bool {
        attributes.mode & 0o170000 == 0o020000 && attributes.deviceMajor == 0 && attributes.deviceMinor == 0
    }

    /// What shows at a path, and the directory of the layer that it is in; nil when nothing does.
    /// - Parameter layers: the topmost first.
    static func find(_ path: ArraySlice<EntryName>, in layers: [SharedDescriptor]) throws(SystemError) -> (parent: SharedDescriptor, attributes: FileAttributes)? {
        guard let last = path.last else { return nil }
        layers: for layer in layers {
            var directory = layer
            var hidesLower = false
            for component in path.dropLast() {
                do throws(SystemError) {
                    directory = try directory.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in
                        SharedDescriptor(try parent.openEntry(component, flags: O_RDONLY | O_DIRECTORY))
                    }
                } catch {
                    // A whiteout, or anything else that is no directory, hides what lies beneath.
                    if error.errno == .notDirectory || error.errno == .symbolicLinkLoop { return nil }
                    guard error.errno == .noSuchFile else { throw error }
                    if hidesLower { return nil }
                    continue layers
                }
                if !hidesLower {
                    hidesLower = try directory.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in try isOpaque(directory) }
                }
            }
            do throws(SystemError) {
                let found = try directory.with { (parent: borrowing OwnedDescriptor) throws(SystemError) in try parent.attributes(of: last) }
                return isWhiteout(found) ? nil : (directory, found)
            } catch {
                guard error.errno == .noSuchFile else { throw error }
                if hidesLower { return nil }
            }
        }
        return nil
    }
}
