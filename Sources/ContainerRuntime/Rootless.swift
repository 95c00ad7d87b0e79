internal import CLinux
internal import Glibc
internal import JSONText
internal import LinuxSystem

/// What an ordinary user's runtime does otherwise, by runc's rules.
public enum Rootless {
    /// Whether this process may have rights over control groups and devices only by accident: an ordinary user, or the root of a user
    /// namespace (podman's, say).
    public static var isAssumed: Bool { geteuid() != 0 || isInUserNamespace }

    private static var isInUserNamespace: Bool {
        guard let map = try? readFile("/proc/self/uid_map", limit: 4096) else { return false }
        return String(decoding: map, as: UTF8.self).split(whereSeparator: \.isWhitespace) != ["0", "0", "4294967295"]
    }

    /// `--rootless`: what is asked for, or nil for what is found (`auto`).
    public static func choice(_ word: String?) throws(RuntimeError) -> Bool? {
        switch word {
        case nil, "", "auto": return nil
        case "1", "t", "T", "true", "TRUE", "True": return true
        case "0", "f", "F", "false", "FALSE", "False": return false
        case let word?: throw RuntimeError("--rootless: \(quoted(word)) is not one of true, false, auto")
        }
    }

    // MARK: The folder of states

    /// Where states are when nobody says: /run/nacelle for root; for others, and the root of a user namespace, $XDG_RUNTIME_DIR/nacelle or,
    /// without a folder of that kind, /tmp/nacelle-UID. The latter two are made here.
    public static func defaultRoot() throws(RuntimeError) -> String {
        let runtimeFolder = variable("XDG_RUNTIME_DIR")
        if geteuid() == 0, runtimeFolder == nil || variable("USER") == "root" || !isInUserNamespace { return "/run/nacelle" }
        do throws(SystemError) {
            if let runtimeFolder {
                let root = runtimeFolder + "/nacelle"
                // Sticky: not to be cleaned up as what is not used for long (XDG Base Directory Specification).
                if try make(root) { try checked(unsafe clinux_fchmodat(AT_FDCWD, root, 0o1700), "chmod", path: root) }
                return root
            }
            let root = "/tmp/nacelle-\(geteuid())"
            _ = try make(root)
            try checkOwned(root)
            return root
        } catch {
            throw RuntimeError("cannot make the folder of states (set XDG_RUNTIME_DIR to a folder of yours, or use --root): \(error)")
        }
    }

    private static func variable(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        let text = unsafe String(cString: value)
        return text.isEmpty ? nil : text
    }

    private static func make(_ path: String) throws(SystemError) -> Bool {
        let result = unsafe clinux_mkdirat(AT_FDCWD, path, 0o700)
        if result == -Int(EEXIST) { return false }
        try checked(result, "mkdir", path: path)
        return true
    }

    /// Anybody may make a folder of this name in /tmp.
    private static func checkOwned(_ path: String) throws(SystemError) {
        let folder = try OwnedDescriptor(opening: path, flags: O_PATH | O_DIRECTORY | O_NOFOLLOW)
        let status = try folder.status()
        guard status.user == geteuid(), status.permissions & 0o077 == 0 else {
            throw SystemError(.notPermitted, "it belongs to another user, or others may enter it", path: path)
        }
    }
}
