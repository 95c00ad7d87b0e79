internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// Identity-mapped mounts: a user namespace stands for the mapping, so one is made for it.
enum IdentityMapping {
    static func apply(_ mount: MountSpec, to target: borrowing MountDescriptor, recursive: Bool) throws(SetupError) {
        if mount.uidMappings.isEmpty || mount.gidMappings.isEmpty {
            throw SetupError(.unsupported, "an idmapped mount needs its own uidMappings and gidMappings")
        }
        let namespace = try self.namespace(mount)
        try doing("map identities") { () throws(SystemError) in try target.mapIdentities(by: namespace, recursive: recursive) }
    }

    /// A child in a new user namespace lives until the namespace has its maps and a descriptor of ours.
    private static func namespace(_ mount: MountSpec) throws(SetupError) -> OwnedDescriptor {
        try doing("user namespace of an idmapped mount") { () throws(SystemError) in
            // The writing end closes with the child alone: ours goes before we read.
            let (readEnd, childEnd) = try Pipe().split()
            var writeEnd: SharedDescriptor? = childEnd
            let child = try OwnProcess.fork()
            if child == 0 {
                var ok = (try? NamespaceSet.user.unshare()) != nil
                if ok { ok = (try? writeEnd?.writeByte()) != nil }
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
            try writeFile("/proc/\(child)/uid_map", mapText(mount.uidMappings))
            try writeFile("/proc/\(child)/gid_map", mapText(mount.gidMappings))
            return try OwnedDescriptor(opening: "/proc/\(child)/ns/user", flags: O_RDONLY)
        }
    }

    private static func mapText(_ mappings: [IDMappingSpec]) -> [UInt8] {
        Array(mappings.map { "\($0.containerID) \($0.hostID) \($0.size)\n" }.joined().utf8)
    }
}

extension SharedDescriptor {
    fileprivate func writeByte() throws(SystemError) {
        try with { (end) throws(SystemError) in try end.writeAll([1]) }
    }
}
