internal import LinuxSystem

/// The options of one entry of `mounts`, sorted by what they act on (runtime-spec config.md, "Linux mount options").
struct MountOptions: Equatable {
    /// Attributes of the mount itself.
    var set: MountAttributes = []
    var clear: MountAttributes = []
    /// Attributes of the mount and all mounts beneath it ("rro").
    var recursiveSet: MountAttributes = []
    var recursiveClear: MountAttributes = []
    var propagations: [Propagation] = []
    /// Flags of the file system instance, as fsconfig(2) names them ("sync", "lazytime").
    var instanceFlags: [String] = []
    /// Options of the file-system type, passed as they are.
    var data: [String] = []
    var isBind = false
    var isRecursive = false
    var isRemount = false
    /// tmpfs: starts with what the directory beneath has.
    var copiesUp = false
    var isIDMapped = false
    var isRecursivelyIDMapped = false

    struct Propagation: Equatable {
        var kind: MountPropagation
        var recursive: Bool
    }

    private enum Meaning {
        case set(MountAttributes)
        case clear(MountAttributes)
        case propagation(MountPropagation, recursive: Bool)
        case instance(String)
        case bind(recursive: Bool)
        case remount
        case copyUp
        case idMap(recursive: Bool)
        case nothing
    }

    /// Every option that is not the file system's own.
    private static let meanings: [String: Meaning] = [
        "defaults": .nothing,
        "ro": .set(.readOnly), "rw": .clear(.readOnly),
        "nosuid": .set(.noSetUserID), "suid": .clear(.noSetUserID),
        "nodev": .set(.noDevices), "dev": .clear(.noDevices),
        "noexec": .set(.noExecute), "exec": .clear(.noExecute),
        "nosymfollow": .set(.noSymbolicLinks), "symfollow": .clear(.noSymbolicLinks),
        "noatime": .set(.noAccessTimes), "atime": .clear(.noAccessTimes),
        "strictatime": .set(.strictAccessTimes), "nostrictatime": .clear(.strictAccessTimes),
        "relatime": .clear(.accessTimeMask), "norelatime": .nothing,
        "nodiratime": .set(.noDirectoryAccessTimes), "diratime": .clear(.noDirectoryAccessTimes),
        "sync": .instance("sync"), "async": .instance("async"), "dirsync": .instance("dirsync"),
        "lazytime": .instance("lazytime"), "nolazytime": .instance("nolazytime"),
        "mand": .instance("mand"), "nomand": .instance("nomand"),
        "silent": .nothing, "loud": .nothing, "iversion": .instance("iversion"), "noiversion": .instance("noiversion"),
        "bind": .bind(recursive: false), "rbind": .bind(recursive: true), "remount": .remount,
        "tmpcopyup": .copyUp, "idmap": .idMap(recursive: false), "ridmap": .idMap(recursive: true),
        "private": .propagation(.private, recursive: false), "rprivate": .propagation(.private, recursive: true),
        "shared": .propagation(.shared, recursive: false), "rshared": .propagation(.shared, recursive: true),
        "slave": .propagation(.slave, recursive: false), "rslave": .propagation(.slave, recursive: true),
        "unbindable": .propagation(.unbindable, recursive: false), "runbindable": .propagation(.unbindable, recursive: true),
    ]

    private static let recursiveMeanings: [String: Meaning] = [
        "rro": .set(.readOnly), "rrw": .clear(.readOnly),
        "rnosuid": .set(.noSetUserID), "rsuid": .clear(.noSetUserID),
        "rnodev": .set(.noDevices), "rdev": .clear(.noDevices),
        "rnoexec": .set(.noExecute), "rexec": .clear(.noExecute),
        "rnosymfollow": .set(.noSymbolicLinks), "rsymfollow": .clear(.noSymbolicLinks),
        "rnoatime": .set(.noAccessTimes), "ratime": .clear(.noAccessTimes),
        "rstrictatime": .set(.strictAccessTimes), "rnostrictatime": .clear(.strictAccessTimes),
        "rrelatime": .clear(.accessTimeMask), "rnorelatime": .nothing,
        "rnodiratime": .set(.noDirectoryAccessTimes), "rdiratime": .clear(.noDirectoryAccessTimes),
    ]

    init(_ options: [String]) {
        for option in options {
            if let meaning = MountOptions.recursiveMeanings[option] {
                MountOptions.change(&recursiveSet, &recursiveClear, meaning)
                continue
            }
            switch MountOptions.meanings[option] {
            case .set, .clear: MountOptions.change(&set, &clear, MountOptions.meanings[option] ?? .nothing)
            case .propagation(let kind, let recursive): propagations.append(Propagation(kind: kind, recursive: recursive))
            case .instance(let flag): instanceFlags.append(flag)
            case .bind(let recursive):
                isBind = true
                if recursive { isRecursive = true }
            case .remount: isRemount = true
            case .copyUp: copiesUp = true
            case .idMap(let recursive):
                isIDMapped = true
                isRecursivelyIDMapped = recursive
            case .nothing: break
            case nil: if !option.isEmpty { data.append(option) }
            }
        }
    }

    /// A later option undoes an earlier one of the same subject. The choice of access times is one subject.
    private static func change(_ set: inout MountAttributes, _ clear: inout MountAttributes, _ meaning: Meaning) {
        switch meaning {
        case .set(let attribute):
            if !attribute.isDisjoint(with: .accessTimeMask) { set.subtract(.accessTimeMask) }
            set.formUnion(attribute)
            clear.subtract(attribute)
        case .clear(let attribute):
            set.subtract(attribute)
            clear.formUnion(attribute)
        default: break
        }
    }

    /// The same for mount(2), which a remount needs: `MS_*` bits.
    var remountFlags: UInt {
        let bits: [(MountAttributes, UInt)] = [
            (.readOnly, 1), (.noSetUserID, 2), (.noDevices, 4), (.noExecute, 8), (.noSymbolicLinks, 256),
            (.noAccessTimes, 1024), (.noDirectoryAccessTimes, 2048), (.strictAccessTimes, 1 << 24),
        ]
        var flags = bits.reduce(UInt(0)) { set.contains($1.0) ? $0 | $1.1 : $0 }
        if isBind { flags |= 4096 }
        for flag in instanceFlags {
            switch flag {
            case "sync": flags |= 16
            case "mand": flags |= 64
            case "dirsync": flags |= 128
            case "lazytime": flags |= 1 << 25
            default: break
            }
        }
        return flags
    }
}

/// linux.rootfsPropagation.
func rootPropagation(_ name: String?) throws(SetupError) -> MountOptions.Propagation? {
    guard let name, !name.isEmpty else { return nil }
    guard let propagation = MountOptions([name]).propagations.first else { throw SetupError("rootfsPropagation=\(name) is not supported") }
    return propagation
}
