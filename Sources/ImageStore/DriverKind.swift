/// How layers are kept and containers get their files.
public enum DriverKind: String, Sendable, Hashable, CaseIterable {
    /// overlayfs over one directory per layer.
    case overlay
    /// overlayfs over one read-only EROFS image per layer, which a microVM can map as well.
    case erofs
    /// btrfs subvolumes; a container has a snapshot.
    case btrfs
    /// Whole trees; a container has a copy whose files share their blocks with the image's (FICLONE; XFS, btrfs).
    case reflink
    /// Whole trees; a container has a copy.
    case copy

    /// The order in which a driver is looked for when none is named: what starts a container fastest first. `erofs`, which costs time when an image is unpacked,
    /// must be asked for.
    public static let preferred: [DriverKind] = [.overlay, .btrfs, .reflink, .copy]
}

/// Whether a driver can work in a store.
public enum DriverSupport: Sendable, Equatable {
    case works
    /// Why it cannot, and what would have to be different.
    case cannot(String)
}

/// Where a container's files are.
public struct RootFileSystem: Sendable, Equatable {
    /// The directory that a container's root is, once what `mounts` says is mounted.
    public var path: String
    /// In this order; none: the directory holds the files.
    public var mounts: [RootMount]
    /// For a microVM that puts the root together itself: the layers as images, the topmost first, and the directory whose `upper` and `work` hold what is written.
    public var images: [String]
    /// See `images`; nil where a container cannot be put together so.
    public var writable: String?
}

/// A mount that a root file system is made of.
public struct RootMount: Sendable, Equatable {
    /// Of the file system: `overlay` or `erofs`.
    public var type: String
    /// An image's file for `erofs`, which takes a loop device.
    public var source: String
    /// A directory that is there.
    public var target: String
    /// As mount(8) has them.
    public var options: [String]
}
