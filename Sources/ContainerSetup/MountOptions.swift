internal import LinuxSystem
internal import OCISpec

/// The options of one entry of `mounts`, sorted by the system call that each goes to.
///
/// The specification's names are flags of mount(2); the mount API of descriptors has them in two places: attributes of the mount,
/// and flags of the file-system instance.
struct MountOptions: Equatable {
    /// Attributes of the mount itself.
    var set: MountAttributes = []
    var clear: MountAttributes = []
    /// Attributes of the mount and all mounts beneath it ("rro").
    var recursiveSet: MountAttributes = []
    var recursiveClear: MountAttributes = []
    var propagations: [Propagation] = []
    /// Flags of the file-system instance, as fsconfig(2) names them ("sync", "lazytime").
    var instanceFlags: [String] = []
    /// Options of the file-system type, passed as they are.
    var data: [String] = []
    var isBind = false
    var isRecursive = false
    var isRemount = false
    /// tmpfs: starts with what the directory beneath has.
    var copiesUp = false
    var idMapping: ParsedMountOptions.IDMapping?
    /// The flags again, for a remount by mount(2).
    var remountFlags: UInt = 0

    struct Propagation: Equatable {
        var kind: MountPropagation
        var recursive: Bool

        /// From a flag of mount(2).
        init?(flag: UInt64) {
            guard let kind = MountPropagation(rawValue: flag & ~MountOption.Flag.recursive) else { return nil }
            self.kind = kind
            recursive = flag & MountOption.Flag.recursive != 0
        }
    }

    init() {}

    private static let attributes: [(flag: UInt64, attribute: MountAttributes)] = [
        (MountOption.Flag.readOnly, .readOnly), (MountOption.Flag.noSUID, .noSetUserID), (MountOption.Flag.noDevices, .noDevices),
        (MountOption.Flag.noExec, .noExecute), (MountOption.Flag.noSymFollow, .noSymbolicLinks), (MountOption.Flag.noAccessTime, .noAccessTimes),
        (MountOption.Flag.noDirectoryAccessTime, .noDirectoryAccessTimes), (MountOption.Flag.strictAccessTime, .strictAccessTimes),
    ]

    /// Not "iversion", which fsconfig(2) does not know: a file system that counts versions always does.
    private static let instance: [(flag: UInt64, name: String)] = [
        (MountOption.Flag.synchronous, "sync"), (MountOption.Flag.mandatoryLock, "mand"), (MountOption.Flag.directorySync, "dirsync"),
        (MountOption.Flag.lazyTime, "lazytime"),
    ]

    init(_ mount: MountSpec) {
        let parsed = mount.parsedOptions()
        for (flag, attribute) in MountOptions.attributes {
            if parsed.flags & flag != 0 { set.formUnion(attribute) }
            if parsed.clearedFlags & flag != 0 { clear.formUnion(attribute) }
        }
        if parsed.flags & MountOption.Flag.relativeAccessTime != 0 { clear.formUnion(.accessTimeMask) }
        if !clear.isDisjoint(with: .accessTimeMask) { clear.formUnion(.accessTimeMask) }
        instanceFlags = MountOptions.instance.filter { parsed.flags & $0.flag != 0 }.map(\.name)
        recursiveSet = MountAttributes(rawValue: parsed.recursiveSet)
        recursiveClear = MountAttributes(rawValue: parsed.recursiveClear)
        propagations = parsed.propagation.compactMap { Propagation(flag: $0) }
        data = parsed.data.filter { !$0.isEmpty }
        isBind = parsed.flags & MountOption.Flag.bind != 0
        isRecursive = parsed.flags & MountOption.Flag.recursive != 0
        isRemount = parsed.flags & MountOption.Flag.remount != 0
        copiesUp = parsed.copiesUp
        idMapping = parsed.idMapping
        remountFlags = UInt(parsed.flags & ~(MountOption.Flag.remount | MountOption.Flag.recursive))
    }
}

/// linux.rootfsPropagation.
func rootPropagation(_ name: String?) throws(SetupError) -> MountOptions.Propagation? {
    guard let name, !name.isEmpty else { return nil }
    guard case .propagation(let flag) = MountOption.named(name), let propagation = MountOptions.Propagation(flag: flag) else {
        throw SetupError("rootfsPropagation=\(name) is not supported")
    }
    return propagation
}
