public import JSONText

/// A mount (config.md, "Mounts").
public struct MountSpec: SpecObject {
    /// In the container, absolute.
    public var destination = ""
    public var type: String?
    /// A device, a directory or file of the host (relative to the bundle), or a file system's own word.
    public var source: String?
    public var options: [String] = []
    public var uidMappings: [IDMappingSpec] = []
    public var gidMappings: [IDMappingSpec] = []
    public init() {}
    public init(destination: String, type: String? = nil, source: String? = nil, options: [String] = []) {
        self.destination = destination
        self.type = type
        self.source = source
        self.options = options
    }
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("destination", &destination)
        try mapper.optional("type", &type)
        try mapper.optional("source", &source)
        try mapper.list("options", &options)
        try mapper.list("uidMappings", &uidMappings)
        try mapper.list("gidMappings", &gidMappings)
    }

    /// Whether its files are shown with other owners.
    public var isIdentityMapped: Bool { !uidMappings.isEmpty || !gidMappings.isEmpty || options.contains("idmap") || options.contains("ridmap") }

    /// Whether it shows a part of another mount.
    public var isBind: Bool { type == "bind" || options.contains("bind") || options.contains("rbind") }
}

/// A range of identifiers of a user namespace.
public struct IDMappingSpec: SpecObject {
    public var containerID: UInt32 = 0
    public var hostID: UInt32 = 0
    public var size: UInt32 = 0
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("containerID", &containerID)
        try mapper.required("hostID", &hostID)
        try mapper.required("size", &size)
    }
}

/// A mount's options, as the kernel takes them.
public struct ParsedMountOptions: Equatable, Sendable {
    /// MS_* bits to set and to clear.
    public var flags: UInt64 = 0
    public var clearedFlags: UInt64 = 0
    /// MS_SHARED, MS_PRIVATE …, perhaps with MS_REC, each for a call of its own.
    public var propagation: [UInt64] = []
    /// MOUNT_ATTR_* bits for mount_setattr(2) with AT_RECURSIVE.
    public var recursiveSet: UInt64 = 0
    public var recursiveClear: UInt64 = 0
    /// Left for the file system.
    public var data: [String] = []
    public var copiesUp = false
    public var idMapping: IDMapping?
    public enum IDMapping: Sendable { case mount, recursive }
}

/// The option words of config.md ("Linux mount options"), in one table.
public enum MountOption: Equatable, Sendable {
    case set(UInt64)
    case clear(UInt64)
    case propagation(UInt64)
    case recursiveSet(UInt64)
    case recursiveClear(UInt64)
    case extension_(Extension)
    public enum Extension: Sendable { case copyUp, idMap, recursiveIDMap }

    /// MS_* of mount(2).
    public enum Flag {
        public static let readOnly: UInt64 = 1, noSUID: UInt64 = 2, noDevices: UInt64 = 4, noExec: UInt64 = 8, synchronous: UInt64 = 16
        public static let remount: UInt64 = 32, mandatoryLock: UInt64 = 64, directorySync: UInt64 = 128, noSymFollow: UInt64 = 256
        public static let noAccessTime: UInt64 = 1 << 10, noDirectoryAccessTime: UInt64 = 1 << 11, bind: UInt64 = 1 << 12, recursive: UInt64 = 1 << 14
        public static let silent: UInt64 = 1 << 15, unbindable: UInt64 = 1 << 17, `private`: UInt64 = 1 << 18, slave: UInt64 = 1 << 19, shared: UInt64 = 1 << 20
        public static let relativeAccessTime: UInt64 = 1 << 21, iVersion: UInt64 = 1 << 23, strictAccessTime: UInt64 = 1 << 24, lazyTime: UInt64 = 1 << 25
        /// All choices of access times.
        public static let accessTimes = noAccessTime | relativeAccessTime | strictAccessTime
    }

    /// MOUNT_ATTR_* of mount_setattr(2).
    public enum Attribute {
        public static let readOnly: UInt64 = 1, noSUID: UInt64 = 2, noDevices: UInt64 = 4, noExec: UInt64 = 8
        public static let accessTimeMask: UInt64 = 0x70, relativeAccessTime: UInt64 = 0, noAccessTime: UInt64 = 0x10, strictAccessTime: UInt64 = 0x20
        public static let noDirectoryAccessTime: UInt64 = 0x80, noSymFollow: UInt64 = 0x20_0000
    }

    public static let table: [(name: String, option: MountOption)] = [
        ("async", .clear(Flag.synchronous)), ("atime", .clear(Flag.noAccessTime)), ("bind", .set(Flag.bind)), ("defaults", .set(0)),
        ("dev", .clear(Flag.noDevices)), ("diratime", .clear(Flag.noDirectoryAccessTime)), ("dirsync", .set(Flag.directorySync)),
        ("exec", .clear(Flag.noExec)), ("iversion", .set(Flag.iVersion)), ("lazytime", .set(Flag.lazyTime)), ("loud", .clear(Flag.silent)),
        ("mand", .set(Flag.mandatoryLock)), ("noatime", .set(Flag.noAccessTime)), ("nodev", .set(Flag.noDevices)),
        ("nodiratime", .set(Flag.noDirectoryAccessTime)), ("noexec", .set(Flag.noExec)), ("noiversion", .clear(Flag.iVersion)),
        ("nolazytime", .clear(Flag.lazyTime)), ("nomand", .clear(Flag.mandatoryLock)), ("norelatime", .clear(Flag.relativeAccessTime)),
        ("nostrictatime", .clear(Flag.strictAccessTime)), ("nosuid", .set(Flag.noSUID)), ("nosymfollow", .set(Flag.noSymFollow)),
        ("private", .propagation(Flag.private)), ("rbind", .set(Flag.bind | Flag.recursive)), ("relatime", .set(Flag.relativeAccessTime)),
        ("remount", .set(Flag.remount)), ("ro", .set(Flag.readOnly)), ("rw", .clear(Flag.readOnly)), ("shared", .propagation(Flag.shared)),
        ("silent", .set(Flag.silent)), ("slave", .propagation(Flag.slave)), ("strictatime", .set(Flag.strictAccessTime)), ("suid", .clear(Flag.noSUID)),
        ("symfollow", .clear(Flag.noSymFollow)), ("sync", .set(Flag.synchronous)), ("unbindable", .propagation(Flag.unbindable)),
        ("rprivate", .propagation(Flag.private | Flag.recursive)), ("rshared", .propagation(Flag.shared | Flag.recursive)),
        ("rslave", .propagation(Flag.slave | Flag.recursive)), ("runbindable", .propagation(Flag.unbindable | Flag.recursive)),
        ("ratime", .recursiveClear(Attribute.noAccessTime)), ("rdev", .recursiveClear(Attribute.noDevices)),
        ("rdiratime", .recursiveClear(Attribute.noDirectoryAccessTime)), ("rexec", .recursiveClear(Attribute.noExec)),
        ("rnoatime", .recursiveSet(Attribute.noAccessTime)), ("rnodev", .recursiveSet(Attribute.noDevices)),
        ("rnodiratime", .recursiveSet(Attribute.noDirectoryAccessTime)), ("rnoexec", .recursiveSet(Attribute.noExec)),
        ("rnorelatime", .recursiveClear(Attribute.relativeAccessTime)), ("rnostrictatime", .recursiveClear(Attribute.strictAccessTime)),
        ("rnosuid", .recursiveSet(Attribute.noSUID)), ("rnosymfollow", .recursiveSet(Attribute.noSymFollow)),
        ("rrelatime", .recursiveSet(Attribute.relativeAccessTime)), ("rro", .recursiveSet(Attribute.readOnly)), ("rrw", .recursiveClear(Attribute.readOnly)),
        ("rstrictatime", .recursiveSet(Attribute.strictAccessTime)), ("rsuid", .recursiveClear(Attribute.noSUID)),
        ("rsymfollow", .recursiveClear(Attribute.noSymFollow)),
        ("tmpcopyup", .extension_(.copyUp)), ("idmap", .extension_(.idMap)), ("ridmap", .extension_(.recursiveIDMap)),
    ]
    private static let byName = Dictionary(uniqueKeysWithValues: table.map { ($0.name, $0.option) })

    public static func named(_ name: String) -> MountOption? { byName[name] }
}

extension MountSpec {
    /// The options by kind, in their order; a later word overrides an earlier one.
    public func parsedOptions() -> ParsedMountOptions {
        var result = ParsedMountOptions()
        for word in options {
            switch MountOption.named(word) {
            case .set(let flag):
                // There is one choice of access times, so one takes the place of another.
                if flag & MountOption.Flag.accessTimes != 0 { result.flags &= ~MountOption.Flag.accessTimes }
                result.flags |= flag
                result.clearedFlags &= ~flag
            case .clear(let flag):
                result.flags &= ~flag
                result.clearedFlags |= flag
            case .propagation(let flag): result.propagation.append(flag)
            case .recursiveSet(let attribute):
                if word.contains("atime") && !word.contains("diratime") {
                    result.recursiveSet &= ~MountOption.Attribute.accessTimeMask
                    result.recursiveClear |= MountOption.Attribute.accessTimeMask
                } else {
                    result.recursiveClear &= ~attribute
                }
                result.recursiveSet |= attribute
            case .recursiveClear(let attribute):
                result.recursiveClear |= word.contains("atime") && !word.contains("diratime") ? MountOption.Attribute.accessTimeMask : attribute
                result.recursiveSet &= ~attribute
            case .extension_(.copyUp): result.copiesUp = true
            case .extension_(.idMap): result.idMapping = .mount
            case .extension_(.recursiveIDMap): result.idMapping = .recursive
            case nil: result.data.append(word)
            }
        }
        if type == "bind" { result.flags |= MountOption.Flag.bind }
        return result
    }
}
