internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// AppArmor profile and SELinux label of the program: written for the next execve, refused where the security module is absent.
enum Labels {
    /// Opens the file while /proc is the outside's.
    static func open(_ process: InitProcess) throws(SetupError) {
        let profile = process.process.apparmorProfile ?? ""
        let label = process.process.selinuxLabel ?? ""
        if !profile.isEmpty && !label.isEmpty { throw SetupError(.unsupported, "process.apparmorProfile and process.selinuxLabel cannot both be given") }
        if !profile.isEmpty {
            guard AppArmor.isEnabled else { throw SetupError(.unsupported, "apparmor: config provided but apparmor not supported") }
        } else if !label.isEmpty {
            guard SELinux.isEnabled else { throw SetupError(.unsupported, "selinux label is specified in config, but selinux is disabled or not supported") }
        } else { return }
        process.labelFile = try doing("security label") { () throws(SystemError) in
            SharedDescriptor(profile.isEmpty ? try OwnedDescriptor(opening: "/proc/self/attr/exec", flags: O_WRONLY) : try AppArmor.open(.exec))
        }
    }

    static func apply(_ process: InitProcess) throws(SetupError) {
        guard let file = process.labelFile else { return }
        let profile = process.process.apparmorProfile ?? ""
        let label = process.process.selinuxLabel ?? ""
        // runc's words.
        try doing(profile.isEmpty ? "process.selinuxLabel: unable to set process label \(label)" : "process.apparmorProfile: unable to apply apparmor profile \(profile)") { () throws(SystemError) in
            try file.with { (descriptor) throws(SystemError) in
                if profile.isEmpty { try descriptor.writeAll(Array(label.utf8)) } else { try AppArmor.enterAtExec(profile, by: descriptor) }
            }
        }
    }
}
