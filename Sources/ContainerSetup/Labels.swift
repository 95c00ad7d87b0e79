internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// AppArmor profile and SELinux label of the program: written for the next execve, refused where the security module is absent.
enum Labels {
    /// Opens the file while /proc is the outside's: one in the image could be anything (CVE-2019-16884).
    static func open(_ process: InitProcess) throws(SetupError) {
        let profile = process.process.apparmorProfile ?? ""
        let label = process.process.selinuxLabel ?? ""
        if !profile.isEmpty && !label.isEmpty { throw SetupError(.unsupported, "process.apparmorProfile and process.selinuxLabel cannot both be given") }
        if !profile.isEmpty {
            let enabled = (try? readFile("/sys/module/apparmor/parameters/enabled"))?.first == UInt8(ascii: "Y")
            if !enabled { throw SetupError(.unsupported, "apparmor: config provided but apparmor not supported") }
            process.labelFile = try open("/proc/self/attr/apparmor/exec", or: "/proc/self/attr/exec")
        } else if !label.isEmpty {
            guard (try? FileStatus(path: "/sys/fs/selinux/enforce")) != nil else { throw SetupError(.unsupported, "selinux label is specified in config, but selinux is disabled or not supported") }
            process.labelFile = try open("/proc/self/attr/exec", or: nil)
        }
    }

    private static func open(_ path: String, or other: String?) throws(SetupError) -> SharedDescriptor {
        try doing("security label") { () throws(SystemError) in
            do throws(SystemError) {
                return SharedDescriptor(try OwnedDescriptor(opening: path, flags: O_WRONLY))
            } catch {
                guard let other else { throw error }
                return SharedDescriptor(try OwnedDescriptor(opening: other, flags: O_WRONLY))
            }
        }
    }

    static func apply(_ process: InitProcess) throws(SetupError) {
        guard let file = process.labelFile else { return }
        let profile = process.process.apparmorProfile ?? ""
        let text = profile.isEmpty ? process.process.selinuxLabel ?? "" : "exec \(profile)"
        // runc's words.
        try doing(profile.isEmpty ? "process.selinuxLabel: unable to set process label \(text)" : "process.apparmorProfile: unable to apply apparmor profile \(profile)") { () throws(SystemError) in
            try file.with { (descriptor) throws(SystemError) in try descriptor.writeAll(Array(text.utf8)) }
        }
    }
}
