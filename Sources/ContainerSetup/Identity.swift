internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// Who the process is: users, groups, home, working directory.
enum Identity {
    /// The standard streams become the user's, who may open /dev/stdout again. What cannot be changed stays as it is.
    static func giveStreams(_ process: InitProcess) throws(SetupError) {
        let user = process.process.user.uid
        for stream in process.standardStreams {
            stream.with { (descriptor) in
                guard let status = try? descriptor.status(), status.user != user, !status.isNullDevice else { return }
                try? descriptor.setOwner(user: user, group: status.group)
            }
        }
    }

    /// Groups before the user: afterwards the right to change them is gone.
    static func become(_ process: InitProcess) throws(SetupError) {
        let user = process.process.user
        // Capabilities must outlive the change of user, to be set to the configured ones right after.
        try doing("set keep caps") { () throws(SystemError) in try OwnProcess.setKeepCapabilities(true) }
        try setGroups(user.additionalGids, process)
        try mapped("gid") { () throws(SystemError) in try OwnProcess.setGroup(user.gid) }
        try mapped("uid") { () throws(SystemError) in try OwnProcess.setUser(user.uid) }
    }

    /// The only way in which an id can be invalid.
    private static func mapped(_ kind: String, _ change: () throws(SystemError) -> Void) throws(SetupError) {
        do throws(SystemError) { try change() } catch {
            if error.errno == .invalidArgument { throw SetupError("cannot set \(kind) to unmapped user in user namespace") }
            throw SetupError("set user", error)
        }
    }

    private static func setGroups(_ groups: [UInt32], _ process: InitProcess) throws(SetupError) {
        do throws(SystemError) {
            try OwnProcess.setGroups(groups)
        } catch {
            // A user namespace of an unprivileged user forbids setgroups altogether; nothing is lost when nothing was wanted.
            if groups.isEmpty && error.errno == .notPermitted { return }
            if error.errno == .notPermitted && process.plan.inUserNamespace { throw SetupError("cannot set any additional groups in a rootless container") }
            throw SetupError("set supplementary groups", error)
        }
    }

    static func setUmask(_ process: InitProcess) throws(SetupError) {
        OwnProcess.setFileCreationMask(process.process.user.umask ?? 0o022)
    }

    /// Before the change of user, who may lack the right to enter; after it only where root has no right and the user may have (NFS root squash).
    static func enterDirectoryEarly(_ process: InitProcess) throws(SetupError) {
        do throws(SystemError) {
            try OwnProcess.changeDirectory(process.process.cwd)
        } catch {
            if error.errno != .permissionDenied { throw directoryError(process, error) }
            return
        }
        try checkDirectory()
        process.isInDirectory = true
    }

    static func enterDirectory(_ process: InitProcess) throws(SetupError) {
        if process.isInDirectory { return }
        do throws(SystemError) {
            try OwnProcess.changeDirectory(process.process.cwd)
        } catch { throw directoryError(process, error) }
        try checkDirectory()
    }

    private static func checkDirectory() throws(SetupError) {
        // A working directory outside the root would be a way out (CVE-2024-21626).
        let reachable = try doing("getcwd") { () throws(SystemError) in try OwnProcess.workingDirectoryIsReachable() }
        if !reachable { throw SetupError("current working directory is outside of container mount namespace root -- possible container breakout detected") }
    }

    private static func directoryError(_ process: InitProcess, _ error: SystemError) -> SetupError {
        SetupError("chdir to cwd (\"\(process.process.cwd)\") set in config.json failed: \(error.errno)")
    }

    /// The process's environment: as configured, and HOME from the container's /etc/passwd when it is missing.
    static func prepareEnvironment(_ process: InitProcess) throws(SetupError) {
        var positions: [Substring: Int] = [:]
        var result: [String] = []
        for entry in process.process.env {
            guard let equals = entry.firstIndex(of: "="), equals != entry.startIndex else {
                throw SetupError("invalid environment variable: \"\(entry)\"")
            }
            // The last of several wins, in the first one's place.
            let name = entry[..<equals]
            if let position = positions[name] {
                result[position] = entry
            } else {
                positions[name] = result.count
                result.append(entry)
            }
        }
        let home = positions["HOME"].map { String(result[$0].dropFirst(5)) } ?? ""
        if home.isEmpty {
            let entry = "HOME=" + (homeDirectory(of: process.process.user.uid) ?? "/")
            if let position = positions["HOME"] { result[position] = entry } else { result.append(entry) }
        }
        process.environment = result
    }

    private static func homeDirectory(of user: UInt32) -> String? {
        // O_NONBLOCK: the image may have a FIFO there.
        guard let file = try? OwnedDescriptor(opening: "/etc/passwd", flags: O_RDONLY | O_NONBLOCK), let status = try? file.status(), status.isRegular,
            let bytes = try? file.readAll(limit: 4 << 20) else { return nil }
        return homeDirectory(of: user, passwd: String(decoding: bytes, as: UTF8.self))
    }

    /// The sixth field of the first line of passwd(5) with this user.
    static func homeDirectory(of user: UInt32, passwd: String) -> String? {
        for line in passwd.split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count >= 6, UInt32(fields[2]) == user { return fields[5].isEmpty ? nil : String(fields[5]) }
        }
        return nil
    }
}
