/// Numbers and flags of the FUSE protocol, version 7.31 to 7.38 (linux/fuse.h). Integers are little-endian.
enum Fuse {
    static let majorVersion: UInt32 = 7
    /// The oldest that is understood: from 7.31 on all structures have the sizes used here (Linux 5.4, the first with virtio-fs).
    static let oldestMinorVersion: UInt32 = 31
    /// The newest that is understood: 7.37 brought TMPFILE; 7.38's header extensions come with features that are not accepted.
    static let newestMinorVersion: UInt32 = 38
    static let rootNode: UInt64 = 1

    /// Bytes of a request's and a reply's header.
    static let requestHeader = 40
    static let replyHeader = 16
    /// Bytes of one READ's or WRITE's data at most: 256 pages.
    static let dataLimit = 1 << 20
    static let dataPages: UInt16 = 256
    /// Bytes of arguments at most, without data: an extended attribute's value and name.
    static let argumentLimit = (64 << 10) + 4096

    /// What a request asks for.
    enum Opcode: UInt32, CaseIterable, Sendable {
        case lookup = 1, forget = 2, getAttributes = 3, setAttributes = 4, readLink = 5, symbolicLink = 6
        case makeNode = 8, makeDirectory = 9, unlink = 10, removeDirectory = 11, rename = 12, link = 13
        case open = 14, read = 15, write = 16, statistics = 17, release = 18, synchronize = 20
        case setExtendedAttribute = 21, getExtendedAttribute = 22, listExtendedAttributes = 23, removeExtendedAttribute = 24
        case flush = 25, initialize = 26, openDirectory = 27, readDirectory = 28, releaseDirectory = 29, synchronizeDirectory = 30
        case getLock = 31, setLock = 32, setLockWait = 33, access = 34, create = 35, interrupt = 36, blockMap = 37, destroy = 38
        case control = 39, poll = 40, notifyReply = 41, batchForget = 42, allocate = 43, readDirectoryPlus = 44, rename2 = 45
        case seek = 46, copyFileRange = 47, setUpMapping = 48, removeMapping = 49, synchronizeFileSystem = 50, temporaryFile = 51

        /// The driver offers no room for a reply.
        var hasReply: Bool {
            switch self {
            case .forget, .batchForget, .interrupt, .notifyReply: false
            default: true
            }
        }

        /// Changes what the node in the header belongs to: refused with EROFS on a read-only share, whatever the arguments.
        ///
        /// OPEN depends on its flags. What works on an open file (WRITE, FALLOCATE) is listed all the same.
        var changesShare: Bool {
            switch self {
            case .setAttributes, .symbolicLink, .makeNode, .makeDirectory, .unlink, .removeDirectory, .rename, .rename2, .link, .write,
                .setExtendedAttribute, .removeExtendedAttribute, .create, .allocate, .temporaryFile:
                true
            default: false
            }
        }

        /// May take long on the host's disk, so that finished replies are not held back for its sake.
        var isSlow: Bool {
            switch self {
            case .read, .synchronize, .synchronizeDirectory, .synchronizeFileSystem, .allocate, .copyFileRange, .flush: true
            default: false
            }
        }
    }

    /// Capabilities of INIT (FUSE_…).
    struct Features: OptionSet, Sendable {
        let rawValue: UInt64
        static let asyncRead = Features(rawValue: 1 << 0)
        static let atomicTruncate = Features(rawValue: 1 << 3)
        static let bigWrites = Features(rawValue: 1 << 5)
        static let dontMask = Features(rawValue: 1 << 6)
        static let autoInvalidateData = Features(rawValue: 1 << 12)
        static let readDirectoryPlus = Features(rawValue: 1 << 13)
        static let readDirectoryPlusAuto = Features(rawValue: 1 << 14)
        static let asyncDirect = Features(rawValue: 1 << 15)
        static let writebackCache = Features(rawValue: 1 << 16)
        static let parallelDirectories = Features(rawValue: 1 << 18)
        static let posixACL = Features(rawValue: 1 << 20)
        static let maximumPages = Features(rawValue: 1 << 22)
        static let cacheSymbolicLinks = Features(rawValue: 1 << 23)
        static let submounts = Features(rawValue: 1 << 27)
        static let killPrivileges2 = Features(rawValue: 1 << 28)
        static let extendedSetAttribute = Features(rawValue: 1 << 29)
        static let extendedInit = Features(rawValue: 1 << 30)
    }

    /// Which fields of SETATTR count (FATTR_…).
    struct SetValid: OptionSet, Sendable {
        let rawValue: UInt32
        static let mode = SetValid(rawValue: 1 << 0)
        static let user = SetValid(rawValue: 1 << 1)
        static let group = SetValid(rawValue: 1 << 2)
        static let size = SetValid(rawValue: 1 << 3)
        static let accessTime = SetValid(rawValue: 1 << 4)
        static let modificationTime = SetValid(rawValue: 1 << 5)
        static let handle = SetValid(rawValue: 1 << 6)
        static let accessNow = SetValid(rawValue: 1 << 7)
        static let modificationNow = SetValid(rawValue: 1 << 8)
        static let killPrivileges = SetValid(rawValue: 1 << 11)
    }

    /// Reply flags of OPEN (FOPEN_…).
    enum OpenReply {
        static let keepCache: UInt32 = 1 << 1
        static let noFlush: UInt32 = 1 << 5
    }

    /// FUSE_OPEN_KILL_SUIDGID
    static let openKillsPrivileges: UInt32 = 1 << 0
    /// FUSE_WRITE_CACHE: written back from the page cache, through any handle.
    static let writeFromCache: UInt32 = 1 << 0
    /// FUSE_WRITE_KILL_SUIDGID
    static let writeKillsPrivileges: UInt32 = 1 << 2
    /// FUSE_FSYNC_FDATASYNC
    static let synchronizeDataOnly: UInt32 = 1 << 0
    /// FUSE_SETXATTR_ACL_KILL_SGID
    static let attributeKillsGroup: UInt32 = 1 << 0
    /// FUSE_ATTR_SUBMOUNT
    static let attributeSubmount: UInt32 = 1 << 0
}
