internal import Glibc

/// AppArmor, as far as a process enters a profile by its own will.
public enum AppArmor {
    /// Where a profile is asked for, by when it is to take the place of the process's own.
    public enum Attribute: String, Sendable {
        case current
        case exec
    }

    public static var isEnabled: Bool { (try? readFile("/sys/module/apparmor/parameters/enabled"))?.first == UInt8(ascii: "Y") }

    /// For this process alone, and while /proc is the outside's: what an image has there could be anything (CVE-2019-16884).
    public static func open(_ attribute: Attribute) throws(SystemError) -> OwnedDescriptor {
        // Before Linux 5.8 security modules had to share one.
        do throws(SystemError) { return try OwnedDescriptor(opening: "/proc/self/attr/apparmor/\(attribute.rawValue)", flags: O_WRONLY) } catch {
            return try OwnedDescriptor(opening: "/proc/self/attr/\(attribute.rawValue)", flags: O_WRONLY)
        }
    }

    /// Enters a profile: this thread, and those that it starts from now on.
    public static func enter(_ profile: String, by attribute: borrowing OwnedDescriptor) throws(SystemError) {
        try write("changeprofile", profile, attribute)
    }

    /// Has the next execve enter a profile.
    public static func enterAtExec(_ profile: String, by attribute: borrowing OwnedDescriptor) throws(SystemError) { try write("exec", profile, attribute) }

    /// Whether the kernel has a profile of this name.
    public static func isLoaded(_ profile: String) -> Bool {
        do throws(SystemError) {
            // Asks whether it may be entered, and does nothing.
            try write("permprofile", profile, try open(.current))
        } catch { return error.errno != .noSuchFile }
        return true
    }

    private static func write(_ command: String, _ profile: String, _ attribute: borrowing OwnedDescriptor) throws(SystemError) {
        do throws(SystemError) { try attribute.writeAll(Array("\(command) \(profile)".utf8)) } catch where error.errno == .noSuchFile {
            throw SystemError(error.errno, "the profile is not loaded (apparmor_parser loads profiles)")
        }
    }
}

public enum SELinux {
    public static var isEnabled: Bool { (try? FileStatus(path: "/sys/fs/selinux/enforce")) != nil }
}
