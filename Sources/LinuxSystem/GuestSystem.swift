internal import CLinux
internal import Glibc

/// What the first process of a machine does with its kernel.
public enum GuestSystem {
    /// The flags of mount(2) that the guest's own mounts use.
    public struct MountFlags: OptionSet, Sendable {
        public let rawValue: UInt
        public init(rawValue: UInt) { self.rawValue = rawValue }
        /// MS_RDONLY
        public static let readOnly = MountFlags(rawValue: 1)
        /// MS_NOSUID
        public static let noSetUserID = MountFlags(rawValue: 2)
        /// MS_NODEV
        public static let noDevices = MountFlags(rawValue: 4)
        /// MS_NOEXEC
        public static let noExecute = MountFlags(rawValue: 8)
        /// MS_NOATIME
        public static let noAccessTimes = MountFlags(rawValue: 1024)
    }

    /// Mounts a file system by mount(2).
    public static func mount(_ type: String, source: String? = nil, at target: String, _ flags: MountFlags = [], options: String = "") throws(SystemError) {
        try checked(
            unsafe clinux_mount(source ?? type, target, type, flags.rawValue, options), "mount", path: target)
    }

    /// The kernel's release, as `uname -r` prints it.
    public static func kernelRelease() throws(SystemError) -> String {
        var buffer = [CChar](repeating: 0, count: 65)
        let length = try checked(unsafe clinux_guest_release(&buffer, buffer.count), "uname")
        return String(decoding: buffer[..<length].lazy.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// A resource of setrlimit(2).
    public enum Limit: Int32, Sendable {
        /// RLIMIT_NPROC
        case processes = 6
        /// RLIMIT_NOFILE
        case openFiles = 7
    }

    /// Sets both limits of a resource; `UInt64.max` is no limit.
    public static func setLimit(_ resource: Limit, soft: UInt64, hard: UInt64) throws(SystemError) {
        try checked(clinux_setrlimit(resource.rawValue, soft, hard), "setrlimit")
    }

    /// Writes dirty pages back and restarts the machine, which its VMM takes as its end. Returns only if the kernel refuses.
    ///
    /// A restart and not a power-off: without ACPI nothing would tell the VMM of a power-off.
    public static func endMachine() throws(SystemError) {
        _ = clinux_guest_sync()
        try checked(clinux_guest_reboot(Int32(bitPattern: UInt32(RB_AUTOBOOT))), "reboot")
    }

    /// From now on a write to a closed pipe fails with EPIPE. Programs that are executed inherit it unless it is set back.
    public static func ignoreBrokenPipes() throws(SystemError) {
        try checked(clinux_ignore_signal(SIGPIPE), "signal")
    }

    /// Makes descriptors 0 to 2 exist, so that nothing opened later becomes somebody's standard stream by accident.
    public static func reserveStandardDescriptors() throws(SystemError) {
        for number: Int32 in 0...2 where clinux_fcntl(number, F_GETFD, 0) < 0 {
            // The lowest free number is `number`, for those below it are taken.
            let null = try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR)
            _ = null.release()
        }
    }
}

extension OwnedDescriptor {
    /// A connected pair of vsock streams through the kernel's loopback transport (context 1): a machine's own vsock without a machine.
    /// - Throws: `ENODEV`, `ECONNRESET` or `EAFNOSUPPORT` where the kernel has no loopback transport.
    public static func vsockPair() throws(SystemError) -> SocketPair {
        let listener = OwnedDescriptor(owning: Int32(try checked(clinux_socket(AF_VSOCK, Int32(SOCK_STREAM.rawValue)), "socket")))
        let port = try checked(clinux_guest_vsock_listen(listener.rawValue), "bind", path: "vsock")
        let first = try OwnedDescriptor.vsockConnection(context: 1, port: UInt32(truncatingIfNeeded: port))
        return SocketPair(first: first, second: try listener.accept())
    }
}
