internal import AgentProtocol
internal import Glibc
public import LinuxSystem

/// The steps that make a freshly booted kernel a place for a container. The root image is read-only: every mount point that is
/// not on a file system mounted here exists in it.
public enum GuestSetup {
    /// What everything else needs, even a log: device nodes and standard descriptors.
    public static func prepareDevices() throws(SystemError) {
        do throws(SystemError) {
            try GuestSystem.mount("devtmpfs", at: "/dev", .noSetUserID, options: "mode=0755")
        } catch where error.errno == .busy {}  // the kernel has mounted it (CONFIG_DEVTMPFS_MOUNT)
        try GuestSystem.reserveStandardDescriptors()
    }

    /// The rest. The agent does this after it has said that it is there, so that the host prepares its request meanwhile.
    public static func prepare() throws(SystemError) {
        // /proc is there already: CAgentStart.
        try GuestSystem.mount("sysfs", at: "/sys", [.noSetUserID, .noDevices, .noExecute])
        try GuestSystem.mount("tmpfs", at: "/run", [.noSetUserID, .noDevices], options: "mode=0755")
        try GuestSystem.mount("tmpfs", at: "/tmp", [.noSetUserID, .noDevices], options: "mode=1777")
        try mountBelowDevices()
        try enableControllers()
        try OwnProcess.bringUp(interface: "lo")
        try setLimits()
        // What a container without a UTS namespace of its own sees.
        try OwnProcess.setHostName("nacelle")
    }

    private static func mountBelowDevices() throws(SystemError) {
        try makeDirectory("/dev/pts")
        try GuestSystem.mount("devpts", at: "/dev/pts", [.noSetUserID, .noExecute], options: "mode=0620,ptmxmode=0666,gid=5")
        try makeDirectory("/dev/shm", mode: 0o1777)
        try GuestSystem.mount("tmpfs", source: "shm", at: "/dev/shm", [.noSetUserID, .noDevices, .noExecute], options: "mode=1777")
        try makeDirectory("/dev/mqueue")
        try GuestSystem.mount("mqueue", at: "/dev/mqueue", [.noSetUserID, .noDevices, .noExecute])
    }

    /// Offers every controller to the groups below the root. The agent stays in the root group: that one alone may have both
    /// processes and controllers.
    private static func enableControllers() throws(SystemError) {
        try GuestSystem.mount("cgroup2", at: "/sys/fs/cgroup", [.noSetUserID, .noDevices, .noExecute], options: "nsdelegate,memory_recursiveprot")
        let available = String(decoding: try readFile("/sys/fs/cgroup/cgroup.controllers", limit: 4096), as: UTF8.self)
        let wanted = available.split(whereSeparator: { $0 == " " || $0 == "\n" }).map { "+" + $0 }.joined(separator: " ")
        if wanted.isEmpty { return }
        let file = try OwnedDescriptor(opening: "/sys/fs/cgroup/cgroup.subtree_control", flags: O_WRONLY)
        try file.writeAll(Array(wanted.utf8))
    }

    /// What processes inherit: the kernel gives PID 1 1024 descriptors and half of the threads that its memory allows.
    private static func setLimits() throws(SystemError) {
        try GuestSystem.setLimit(.openFiles, soft: 1 << 20, hard: 1 << 20)
        try GuestSystem.setLimit(.processes, soft: .max, hard: .max)
    }

    /// Mounts the file system that holds the container's root and volumes. Who is root of a container's user namespace, and here an
    /// ordinary user, must get through to them.
    public static func mountShare() throws(SystemError) {
        try makeDirectory("/run/nacelle", mode: 0o711)
        try makeDirectory(WellKnown.shareMountPoint, mode: 0o711)
        try GuestSystem.mount("virtiofs", source: WellKnown.shareTag, at: WellKnown.shareMountPoint, [])
    }
}
