internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// Carries out the entries of `mounts`, in their order.
struct Mounting {
    let process: InitProcess

    /// - Parameter prepared: the mount itself, detached, when only the launcher could make it.
    func perform(_ mount: MountSpec, prepared: SharedDescriptor? = nil) throws(SetupError) {
        do throws(SetupError) {
            try process.withRoot { (root) throws(SetupError) in try perform(mount, MountOptions(mount), prepared, root) }
        } catch {
            throw SetupError(error.code, "error mounting \"\(mount.source ?? mount.type ?? "")\" to rootfs at \"\(mount.destination)\": \(error.message)")
        }
    }

    private func perform(_ mount: MountSpec, _ options: MountOptions, _ prepared: SharedDescriptor?, _ root: borrowing RootDirectory) throws(SetupError) {
        let type = mount.type ?? ""
        if options.isBind && !options.isRemount { return try bind(mount, options, prepared, root) }
        if options.isRemount { return try remount(mount, options, root) }
        switch type {
        case "": throw SetupError(.unsupported, "the mount has no type and is not a bind mount")
        case "cgroup": try ControlGroupMounts(process: process, mounting: self).perform(mount, options, root)
        default: try fileSystem(type, mount, options, root)
        }
    }

    // MARK: Bind mounts

    private func bind(_ mount: MountSpec, _ options: MountOptions, _ prepared: SharedDescriptor?, _ root: borrowing RootDirectory) throws(SetupError) {
        guard let path = mount.source, path.hasPrefix("/") else { throw SetupError("a bind mount needs an absolute source") }
        if mount.isIdentityMapped && prepared == nil { throw SetupError(.unsupported, "an id-mapped mount must be prepared by the launcher") }
        let source = try doing("open source") { () throws(SystemError) in
            if let prepared { return try prepared.duplicate() }
            return try OwnedDescriptor(opening: path, flags: O_PATH)
        }
        let status = try doing("stat source") { () throws(SystemError) in try source.status() }
        let target = try self.target(mount.destination, isDirectory: status.isDirectory, root)
        try checkTarget(target, mount.destination, sourceIsProc: isProc(source), root)
        if prepared != nil { return try finish(MountDescriptor(source), options, over: target) }
        let clone = try doing("open_tree") { () throws(SystemError) in try MountDescriptor(cloning: source, recursive: options.isRecursive) }
        try finish(clone, options, over: target)
    }

    private func target(_ destination: String, isDirectory: Bool, _ root: borrowing RootDirectory) throws(SetupError) -> OwnedDescriptor {
        let target = try doing("create mount point") { () throws(SystemError) in
            isDirectory ? try root.directory(destination) : try root.file(destination)
        }
        let status = try doing("stat mount point") { () throws(SystemError) in try target.status() }
        if status.isDirectory != isDirectory {
            throw SetupError(isDirectory ? "not a directory: a directory cannot be mounted on a file" : "is a directory: a file cannot be mounted on a directory")
        }
        return target
    }

    /// Sets a detached mount's attributes, shows it, and only then its propagation.
    private func finish(_ mount: borrowing MountDescriptor, _ options: MountOptions, over target: borrowing OwnedDescriptor) throws(SetupError) {
        try doing("set mount attributes") { () throws(SystemError) in
            // Before it is attached: nobody ever sees it writable.
            if !options.recursiveSet.isEmpty || !options.recursiveClear.isEmpty {
                try mount.setAttributes(options.recursiveSet, clearing: options.recursiveClear, recursive: true)
            }
            if !options.set.isEmpty || !options.clear.isEmpty { try mount.setAttributes(options.set, clearing: options.clear) }
        }
        try doing("attach") { () throws(SystemError) in try mount.attach(over: target) }
        try propagate(mount, options)
    }

    private func propagate(_ mount: borrowing MountDescriptor, _ options: MountOptions) throws(SetupError) {
        for propagation in options.propagations {
            try doing("set mount propagation") { () throws(SystemError) in
                try mount.setAttributes([], propagation: propagation.kind, recursive: propagation.recursive)
            }
        }
    }

    // MARK: File systems

    /// Types whose instances are shared or have no notion of being read-only themselves: "ro" is the mount's attribute alone.
    private static let sharedInstances: Set<String> = ["proc", "sysfs", "tmpfs", "ramfs", "devtmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs", "bpf"]

    private func fileSystem(_ type: String, _ mount: MountSpec, _ options: MountOptions, _ root: borrowing RootDirectory) throws(SetupError) {
        if type == "proc" || type == "sysfs" { try checkNotLink(mount.destination, root) }
        var options = options
        if type == "tmpfs" { options.data += permissions(of: mount.destination, unlessIn: options, root) }
        let target = try self.target(mount.destination, isDirectory: true, root)
        try checkTarget(target, mount.destination, sourceIsProc: type == "proc", root)
        let made = try instanceOrOutside(type, source: mount.source ?? type, options)
        if type == "mqueue" { try label(made) }
        if options.copiesUp {
            guard type == "tmpfs" else { throw SetupError("tmpcopyup is for tmpfs only") }
            try doing("tmpcopyup") { () throws(SystemError) in try copyTree(from: target, to: made.descriptor) }
        }
        try finish(made, options, over: target)
    }

    /// A tmpfs that says nothing else has the permissions of the directory that it covers, as under runc.
    private func permissions(of destination: String, unlessIn options: MountOptions, _ root: borrowing RootDirectory) -> [String] {
        if options.data.contains(where: { $0.split(separator: ",").contains { $0.hasPrefix("mode=") } }) { return [] }
        guard let directory = try? root.open(destination), let status = try? directory.status(), status.isDirectory else { return [] }
        return ["mode=" + String(status.permissions, radix: 8)]
    }

    /// Types that linux.mountLabel is no option of: the kernel labels these itself, or by an attribute of the mount's root.
    private static let unlabelled: Set<String> = ["proc", "sysfs", "cgroup", "cgroup2", "mqueue"]

    /// linux.mountLabel where it is no option.
    private func label(_ made: borrowing MountDescriptor) throws(SetupError) {
        guard let label = process.linux.mountLabel, !label.isEmpty else { return }
        try doing("linux.mountLabel") { () throws(SystemError) in try made.descriptor.setLabel(label) }
    }

    /// A detached mount of a new instance of a file system.
    func instance(_ type: String, source: String, _ options: MountOptions) throws(SetupError) -> MountDescriptor {
        try doing("mount \(type)") { () throws(SystemError) in try newInstance(type, source: source, options) }
    }

    /// The same; or what a user namespace must do with instead, as crun has it.
    private func instanceOrOutside(_ type: String, source: String, _ options: MountOptions) throws(SetupError) -> MountDescriptor {
        do throws(SystemError) { return try newInstance(type, source: source, options) } catch {
            if error.errno == .invalidArgument, type == "devpts", let other = withoutUnmappedGroup(options) {
                return try instance(type, source: source, other)
            }
            guard error.errno == .notPermitted, UserNamespace.isOwn, let path = outside(type) else { throw SetupError("mount \(type)", error) }
            return try doing("bind \(path) instead of a new \(type)") { () throws(SystemError) in
                let clone = try MountDescriptor(cloning: try OwnedDescriptor(opening: path, flags: O_PATH | O_DIRECTORY), recursive: true)
                if !options.set.isEmpty { try clone.setAttributes(options.set, recursive: true) }
                return clone
            }
        }
    }

    /// Where the outside has a file system of which only the owner of a namespace may make an instance. Not when the container has a
    /// namespace of its own of that kind: it would see the wrong one. (Of a network namespace /sys shows no more than names.)
    private func outside(_ type: String) -> String? {
        func isOwn(_ kind: NamespaceSpec.Kind) -> Bool { process.linux.namespace(kind).map { ($0.path ?? "").isEmpty } ?? false }
        switch type {
        case "sysfs": return "/sys"
        case "mqueue": return isOwn(.ipc) ? nil : "/dev/mqueue"
        case "proc": return isOwn(.pid) ? nil : "/proc"
        default: return nil
        }
    }

    /// The terminals' group (gid=5, "tty") cannot own anything where it is not mapped.
    private func withoutUnmappedGroup(_ options: MountOptions) -> MountOptions? {
        var result = options
        result.data = options.data.flatMap { $0.split(separator: ",") }.filter { option in
            guard option.hasPrefix("gid="), let group = UInt32(option.dropFirst(4)), !UserNamespace.maps(group: group) else { return true }
            process.warn("devpts: \(option) is left out: the group is not mapped in the container's user namespace")
            return false
        }.map(String.init)
        return result == options ? nil : result
    }

    private func newInstance(_ type: String, source: String, _ options: MountOptions) throws(SystemError) -> MountDescriptor {
        let context = try FileSystemContext(type: type)
        if !source.isEmpty { try context.set("source", source) }
        for flag in options.instanceFlags { try context.set(flag: flag) }
        if let label = process.linux.mountLabel, !label.isEmpty, !Mounting.unlabelled.contains(type) { try context.set("context", label) }
        if options.set.contains(.readOnly), !Mounting.sharedInstances.contains(type) { try context.set(flag: "ro") }
        // Several options may stand in one string, as in fstab.
        for option in options.data.flatMap({ $0.split(separator: ",") }) {
            if let equals = option.firstIndex(of: "=") {
                try context.set(String(option[..<equals]), String(option[option.index(after: equals)...]))
            } else {
                try context.set(flag: String(option))
            }
        }
        return try context.mount([])
    }

    // MARK: Remounts

    private func remount(_ mount: MountSpec, _ options: MountOptions, _ root: borrowing RootDirectory) throws(SetupError) {
        let target = try doing("open") { () throws(SystemError) in try root.open(mount.destination) }
        if options.isBind {
            // The mount's own attributes alone; what is not named stays.
            let existing = MountDescriptor(target)
            try doing("remount") { () throws(SystemError) in
                if !options.recursiveSet.isEmpty { try existing.setAttributes(options.recursiveSet, clearing: options.recursiveClear, recursive: true) }
                try existing.setAttributes(options.set, clearing: options.clear)
            }
            return try propagate(existing, options)
        }
        try doing("remount") { () throws(SystemError) in
            try MountTree.remount(target.procPath, flags: options.remountFlags, data: options.data.isEmpty ? nil : options.data.joined(separator: ","))
        }
        try propagate(MountDescriptor(target), options)
    }

    // MARK: What must not be mounted over

    /// Files of /proc that programs such as lxcfs give a container its own view of.
    private static let allowedInProc: Set<String> = [
        "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg", "/proc/slabinfo",
        "/proc/net/dev", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
    ]

    private static let procMagic = 0x9fa0

    private func isProc(_ handle: borrowing OwnedDescriptor) -> Bool { (try? handle.fileSystemType()) == Mounting.procMagic }

    /// A mount inside /proc would show later steps (labels, sysctls) files of the image's choice (CVE-2019-16884).
    private func checkTarget(_ target: borrowing OwnedDescriptor, _ destination: String, sourceIsProc: Bool, _ root: borrowing RootDirectory) throws(SetupError) {
        let inside = try doing("resolve") { () throws(SystemError) in try root.inside(target) }
        if inside == "/" { throw SetupError("the destination is the root itself") }
        if inside == "/proc" {
            if !sourceIsProc { throw SetupError("\"\(destination)\" cannot be mounted because it is not of type proc") }
            return
        }
        if inside.hasPrefix("/proc/"), !Mounting.allowedInProc.contains(inside) {
            throw SetupError("\"\(destination)\" cannot be mounted because it is inside /proc")
        }
    }

    /// /proc and /sys themselves must not be symbolic links of the image.
    private func checkNotLink(_ destination: String, _ root: borrowing RootDirectory) throws(SetupError) {
        do throws(SystemError) {
            let place = try root.parent(of: destination)
            if try place.directory.status(of: place.name).isSymbolicLink {
                throw SystemError(.symbolicLinkLoop, "open", path: destination)
            }
        } catch {
            if error.errno == .noSuchFile { return }
            throw SetupError("must be mounted on an ordinary directory", error)
        }
    }
}
