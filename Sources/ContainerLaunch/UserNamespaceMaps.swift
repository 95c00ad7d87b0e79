internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// The maps of a container's new user namespace (user_namespaces(7)).
enum UserNamespaceMaps {
    /// Writes them for a process that waits in it.
    static func write(_ linux: LinuxSpec, of pid: Int32) throws(LaunchError) {
        guard linux.uidMappings.contains(where: { $0.containerID == 0 }), linux.gidMappings.contains(where: { $0.containerID == 0 }) else {
            throw LaunchError(.unsupported, "user namespaces enabled, but root is not mapped in linux.uidMappings and linux.gidMappings")
        }
        do throws(SystemError) {
            if needsTool(linux.uidMappings, own: geteuid()) {
                try run("newuidmap", pid, linux.uidMappings)
            } else {
                try writeOnce("/proc/\(pid)/uid_map", text(linux.uidMappings))
            }
            if needsTool(linux.gidMappings, own: getegid()) { return try run("newgidmap", pid, linux.gidMappings) }
            do throws(SystemError) {
                try writeOnce("/proc/\(pid)/gid_map", text(linux.gidMappings))
            } catch {
                guard error.errno == .notPermitted else { throw error }
                // An unprivileged launcher may map its own group if the namespace gives up setgroups.
                try writeOnce("/proc/\(pid)/setgroups", "deny")
                try writeOnce("/proc/\(pid)/gid_map", text(linux.gidMappings))
            }
        } catch { throw LaunchError("map the user namespace", error) }
    }

    /// An ordinary user may write a map of one id, the own one; what else /etc/subuid and /etc/subgid allow is written by shadow's set-uid tools.
    private static func needsTool(_ mappings: [IDMappingSpec], own: UInt32) -> Bool {
        geteuid() != 0 && !(mappings.count == 1 && mappings[0].size == 1 && mappings[0].hostID == own)
    }

    private static func run(_ tool: String, _ pid: Int32, _ mappings: [IDMappingSpec]) throws(SystemError) {
        let folders = ["/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"]
        guard let path = folders.lazy.map({ "\($0)/\(tool)" }).first(where: { (try? FileStatus(path: $0))?.isRegular == true }) else {
            throw SystemError(.noSuchFile, "\(tool), which an ordinary user needs to map other ids than the own one (Debian: apt-get install uidmap)")
        }
        let arguments = [tool, "\(pid)"] + mappings.flatMap { ["\($0.containerID)", "\($0.hostID)", "\($0.size)"] }
        let program = HookProgram(running: path, arguments: arguments, environment: [], input: [], timeout: 30)
        if let failure = program.failure { throw SystemError(.notPermitted, "\(arguments.joined(separator: " ")): \(failure)") }
    }

    private static func text(_ mappings: [IDMappingSpec]) -> String {
        mappings.map { "\($0.containerID) \($0.hostID) \($0.size)\n" }.joined()
    }

    /// These files take everything in one write.
    private static func writeOnce(_ path: String, _ value: String) throws(SystemError) {
        let file = try OwnedDescriptor(opening: path, flags: O_WRONLY)
        do throws(SystemError) {
            _ = try file.write(Array(value.utf8))
        } catch { throw SystemError(error.errno, error.operation, path: path) }
    }
}
