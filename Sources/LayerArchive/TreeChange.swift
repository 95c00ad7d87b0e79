public import LinuxSystem

/// One difference between a container's tree and the layers that it began with.
public struct TreeChange: Sendable {
    /// What became of it.
    public enum Kind: Sendable, Hashable {
        case added, modified, removed
        /// Of a directory: of what the lower layers have in it nothing shows. It follows the directory's own change.
        case emptied
    }
    /// What became of it.
    public let kind: Kind
    /// Empty for the root itself.
    public let path: [EntryName]
    /// Of what is there now; nil for `.removed`.
    public let attributes: FileAttributes?
    /// The directory that it is in; of the root, the root.
    let parent: SharedDescriptor

    /// From the container's root on, for people.
    public var displayPath: String { "/" + path.map(\.text).joined(separator: "/") }
}

/// Finds what has changed.
public enum TreeChanges {
    /// Whoever fills a container may put directories into each other without end; a layer could not have them.
    static func checkDepth(_ path: [EntryName]) throws(LayerError) {
        let depth = LayerLimits().depth
        if path.count > depth { throw .limit("the container has directories that lie within each other more than \(depth) deep") }
    }

    /// The changes in an overlay's upper directory, parents before what is in them, by name.
    /// - Parameters:
    ///   - upper: the directory, open.
    ///   - lower: the layers beneath, the topmost first, to tell what was added from what was modified.
    ///   - report: is told of each.
    public static func inUpper(_ upper: SharedDescriptor, lower: [SharedDescriptor], _ report: (TreeChange) throws(LayerError) -> Void) throws(LayerError) {
        let root = try LayerError.wrapped(nil) { () throws(SystemError) in
            try upper.with { (directory: borrowing OwnedDescriptor) throws(SystemError) in try directory.attributes() }
        }
        try report(TreeChange(kind: .modified, path: [], attributes: root, parent: upper))
        try UpperWalk(lower: lower).walk(upper, [], report)
    }

    /// The differences of a tree from the one that it is a copy of.
    /// - Parameters:
    ///   - base: what it was.
    ///   - tree: what it is now.
    ///   - copied: nothing that was last changed before this time has changed since the copy was made; of the rest, contents are compared.
    ///   - report: is told of each, parents before what is in them, by name.
    public static func between(
        _ base: SharedDescriptor, and tree: SharedDescriptor, copied: FileTime, _ report: (TreeChange) throws(LayerError) -> Void
    ) throws(LayerError) {
        var walk = TreeComparison(copied: copied)
        try walk.compare(base, tree, [], report)
    }
}
