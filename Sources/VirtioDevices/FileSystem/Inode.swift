internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// A descriptor with several owners, the last of which closes it.
final class HeldFile: Sendable {
    let descriptor: OwnedDescriptor
    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}

/// An object of the host's file system that the guest's kernel knows by a node number.
///
/// It is open, with O_PATH, as long as descriptors suffice; then those that were not used lately are closed, and opened again by name
/// when they are needed. Only `NodeTable` does either.
final class Inode: Sendable {
    /// What makes two objects the same: where they live, and through which share and mount they were reached.
    struct Key: Hashable, Sendable {
        var share: Int
        var device: UInt64
        var mount: UInt64
        var inode: UInt64

        init(share: Int, _ attributes: FileAttributes) {
            self.share = share
            device = attributes.device
            mount = attributes.mount
            inode = attributes.inode
        }
    }

    /// How to get at the object.
    struct Place: Sendable {
        /// nil: not open now.
        var object: HeldFile?
        /// The node of a directory in which it was last seen, and its name there; nil when it has none as far as is known.
        var parent: UInt64 = 0
        var name: EntryName?
        /// Since somebody last looked for objects to close.
        var wasUsed = true
        var isForgotten = false
    }

    let node: UInt64
    let key: Key
    /// With the key, it tells an object from a later one that got the same inode number. nil: it must stay open.
    let birth: FileTime?
    /// Whether the time of birth never changes. On overlayfs the first change to an object of a lower layer copies it up, and it is reborn
    /// under the same inode number; there the number alone must do, or the guest would lose the object, and all that it mounted below it.
    let keepsBirth: Bool
    /// S_IF…
    let type: UInt32
    /// See `FuseEntry.isMountRoot`.
    let isMountRoot: Bool
    let place: Mutex<Place>
    /// What the file looked like when the guest last opened it; see `FileServer.keepsCache`.
    let lastOpened = Mutex<OpenStamp?>(nil)

    init(node: UInt64, key: Key, _ attributes: FileAttributes, keepsBirth: Bool, isMountRoot: Bool, place: Place) {
        self.node = node
        self.key = key
        birth = attributes.birthTime
        self.keepsBirth = keepsBirth
        type = attributes.mode & S_IFMT
        self.isMountRoot = isMountRoot
        self.place = Mutex(place)
    }

    var share: Int { key.share }

    /// Whether these are the attributes of this very object.
    func matches(_ attributes: FileAttributes) -> Bool {
        Key(share: key.share, attributes) == key && attributes.mode & S_IFMT == type && (!keepsBirth || attributes.birthTime == birth)
    }
}

/// Size and times of a file's contents.
struct OpenStamp: Equatable, Sendable {
    let size: UInt64
    let modification: FileTime
    let change: FileTime

    init(_ attributes: FileAttributes) {
        size = attributes.size
        modification = attributes.modificationTime
        change = attributes.changeTime
    }

    /// File systems stamp with the kernel's tick, up to 10 ms: a change that follows so soon may leave the stamp as it is.
    private static let granularity: Int64 = 20_000_000

    /// Whether every later change will show in a stamp.
    func isSettled(now: Int64) -> Bool {
        let (seconds, overflow) = change.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return !overflow && now &- seconds &- Int64(change.nanoseconds) > OpenStamp.granularity
    }
}

/// A file or directory that the guest has open.
final class FileHandle: Sendable {
    let inode: Inode
    /// nil for the synthetic root.
    let file: HeldFile?
    let isDirectory: Bool
    /// Held while the directory is read: its entries come in order.
    let cursor = Mutex(DirectoryCursor())

    init(_ inode: Inode, _ file: HeldFile?, isDirectory: Bool) {
        self.inode = inode
        self.file = file
        self.isDirectory = isDirectory
    }
}

/// Where reading a directory has come to, with entries that were read from the host and not yet given to the guest.
struct DirectoryCursor: Sendable {
    /// The offset of the next entry; nil when it is not known.
    var position: Int64? = 0
    var buffer: [UInt8] = []
    var start = 0

    var waiting: ArraySlice<UInt8> { buffer[start...] }
}
