internal import Glibc
internal import LinuxSystem

/// What this process was started with: its environment, working directory and user.
public struct Surroundings: Sendable {
    /// NAME=VALUE, as it was when the program started.
    public var environment: [String]
    public var workingDirectory: String
    public var user: UInt32

    public init(environment: [String], workingDirectory: String, user: UInt32) {
        (self.environment, self.workingDirectory, self.user) = (environment, workingDirectory, user)
    }

    /// This process's own.
    public static func current() throws(EngineError) -> Surroundings {
        do throws(SystemError) {
            // The kernel's bound for all of it is a quarter of the stack's limit.
            let text = try readFile("/proc/self/environ", limit: 8 << 20)
            let folder = try OwnedDescriptor(opening: "/proc/self/cwd", flags: O_PATH | O_NOFOLLOW).readSymbolicLink()
            return Surroundings(
                environment: text.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }, workingDirectory: String(decoding: folder, as: UTF8.self), user: geteuid())
        } catch { throw EngineError("cannot read this process's environment (is /proc mounted?)", error) }
    }

    /// A variable that is set to something.
    public func variable(_ name: String) -> String? {
        guard let entry = environment.first(where: { $0.hasPrefix(name + "=") }) else { return nil }
        let value = String(entry.dropFirst(name.count + 1))
        return value.isEmpty ? nil : value
    }

    /// Makes a path absolute by the working directory, without `.`, `..` and doubled slashes.
    public func absolute(_ path: String) -> String { cleanPath(path.hasPrefix("/") ? path : workingDirectory + "/" + path) }

    /// Where a program is: the path itself, or the first folder of PATH that has it.
    public func find(program name: String) -> String? {
        func isProgram(_ path: String) -> Bool {
            guard let file = try? OwnedDescriptor(opening: path, flags: O_PATH), let attributes = try? file.attributes() else { return false }
            return attributes.mode & UInt32(S_IFMT) == UInt32(S_IFREG) && attributes.mode & 0o111 != 0
        }
        if name.contains("/") { return isProgram(absolute(name)) ? absolute(name) : nil }
        // A runtime is in sbin on Debian, which an ordinary user's PATH need not name.
        let folders = (variable("PATH") ?? "").split(separator: ":").map(String.init) + ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"]
        return folders.filter { $0.hasPrefix("/") }.map { $0 + "/" + name }.first(where: isProgram)
    }
}

/// An absolute path without `.`, `..` and doubled slashes, by its text alone.
func cleanPath(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") {
        switch part {
        case ".": break
        case "..": _ = parts.popLast()
        default: parts.append(part)
        }
    }
    return "/" + parts.joined(separator: "/")
}
