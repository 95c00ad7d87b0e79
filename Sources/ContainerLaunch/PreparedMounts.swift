internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// Mounts that only the launcher can make, for the container's own user namespace gives no right to: id-mapped ones.
enum PreparedMounts {
    typealias Mount = (position: Int, mount: SharedDescriptor)

    /// So many descriptors travel with one message.
    private static let limit = 250

    static func areNeeded(_ plan: RuntimeSpec) -> Bool { plan.mounts.contains { $0.isIdentityMapped && $0.isBind } }

    /// - Parameter pid: a process in the container's user namespace, if it has one: its mapping serves mounts that have none of their own.
    static func make(_ plan: RuntimeSpec, forProcess pid: Int32) throws(LaunchError) -> [Mount] {
        let propagation = plan.linux?.rootfsPropagation ?? ""
        var made: [Mount] = []
        for (position, mount) in plan.mounts.enumerated() where mount.isIdentityMapped && mount.isBind {
            if made.count == limit { throw LaunchError(.unsupported, "mounts[\(position)]: at most \(limit) mounts can be id-mapped") }
            let what = "error mounting \"\(mount.source ?? "")\" to rootfs at \"\(mount.destination)\": id-mapped mount"
            do throws(SystemError) {
                let options = mount.parsedOptions()
                let source = try OwnedDescriptor(opening: mount.source ?? "", flags: O_PATH)
                let clone = try MountDescriptor(cloning: source, recursive: options.flags & MountOption.Flag.recursive != 0)
                // It comes from this mount namespace, whose peers must not see what the container mounts in it.
                if !["shared", "rshared"].contains(propagation) { try clone.setAttributes([], propagation: .slave, recursive: true) }
                if mount.uidMappings.isEmpty && plan.linux?.namespace(.user) == nil {
                    throw SystemError(.invalidArgument, "the container has no user namespace, and the mount no mappings")
                }
                let mapping = try mount.uidMappings.isEmpty ? OwnedDescriptor(opening: "/proc/\(pid)/ns/user", flags: O_RDONLY) : namespace(mount)
                try clone.mapIdentities(by: mapping, recursive: options.idMapping == .recursive)
                made.append((position, SharedDescriptor(try clone.descriptor.duplicate())))
            } catch { throw LaunchError(what, error) }
        }
        return made
    }

    /// A user namespace stands for a mapping. A child in a new one lives until that has its maps and a descriptor of ours.
    private static func namespace(_ mount: MountSpec) throws(SystemError) -> OwnedDescriptor {
        // The writing end closes with the child alone: ours goes before we read.
        let (readEnd, childEnd) = try Pipe().split()
        var writeEnd: SharedDescriptor? = childEnd
        let child = try OwnProcess.fork()
        if child == 0 {
            var ok = (try? NamespaceSet.user.unshare()) != nil
            if ok { ok = (try? writeEnd?.with { (end) throws(SystemError) in try end.writeAll([1]) }) != nil }
            while ok { sleep(milliseconds: 60_000) }
            OwnProcess.exitNow(1)
        }
        defer {
            try? sendSignal(SIGKILL, to: child)
            _ = try? waitForProcess(child)
        }
        writeEnd = nil
        var byte: [UInt8] = [0]
        let count = try readEnd.with { (end) throws(SystemError) in try end.read(into: &byte) }
        if count == 0 { throw SystemError(.notPermitted, "unshare(CLONE_NEWUSER)") }
        try writeFile("/proc/\(child)/uid_map", text(mount.uidMappings))
        try writeFile("/proc/\(child)/gid_map", text(mount.gidMappings))
        return try OwnedDescriptor(opening: "/proc/\(child)/ns/user", flags: O_RDONLY)
    }

    private static func text(_ mappings: [IDMappingSpec]) -> [UInt8] {
        Array(mappings.map { "\($0.containerID) \($0.hostID) \($0.size)\n" }.joined().utf8)
    }
}
