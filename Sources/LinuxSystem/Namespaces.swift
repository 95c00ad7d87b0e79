internal import CLinux
internal import Glibc

/// Namespaces: the `CLONE_NEW*` bits of clone(2), unshare(2) and setns(2).
public struct NamespaceSet: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public static let time = NamespaceSet(rawValue: 0x80)
    public static let mount = NamespaceSet(rawValue: 0x2_0000)
    public static let controlGroup = NamespaceSet(rawValue: 0x200_0000)
    public static let uts = NamespaceSet(rawValue: 0x400_0000)
    public static let ipc = NamespaceSet(rawValue: 0x800_0000)
    public static let user = NamespaceSet(rawValue: 0x1000_0000)
    public static let pid = NamespaceSet(rawValue: 0x2000_0000)
    public static let network = NamespaceSet(rawValue: 0x4000_0000)

    /// What kind of namespace a descriptor stands for (ioctl_ns(2)).
    public init(kindOf descriptor: Int32) throws(SystemError) {
        rawValue = UInt64(try checked(clinux_ioctl_value(descriptor, 0xB703, 0), "ioctl(NS_GET_NSTYPE)"))
    }

    /// Moves the calling process into new ones (unshare(2)).
    public func unshare() throws(SystemError) {
        try checked(clinux_unshare(Int32(bitPattern: UInt32(truncatingIfNeeded: rawValue))), "unshare")
    }

    /// Moves the calling process into those that a namespace descriptor or a pidfd stands for (setns(2)).
    public func join(_ descriptor: Int32) throws(SystemError) {
        try checked(clinux_setns(descriptor, Int32(bitPattern: UInt32(truncatingIfNeeded: rawValue))), "setns")
    }
}

/// How nacelle-init is made.
public struct InitSpawn: Sendable {
    /// Namespaces that the child starts in.
    public var namespaces: NamespaceSet = []
    /// An open cgroup v2 directory to start in.
    public var controlGroup: SharedDescriptor?
    /// A user namespace to join first.
    public var userNamespace: SharedDescriptor?
    /// A pid namespace to be born in: its descriptor.
    public var pidNamespace: SharedDescriptor?
    /// The child waits for one byte on its channel, when its user namespace has been mapped, and is root of it before it executes.
    public var waitsForMapping = false

    public init() {}

    /// Clones a child that executes `program` with its end of the handshake as descriptor 3 and the caller's 0, 1 and 2.
    ///
    /// - Returns: the child's pid in the caller's pid namespace.
    public func spawn(program: borrowing OwnedDescriptor, channel: borrowing OwnedDescriptor) throws(SystemError) -> Int32 {
        var request = clinux_spawn()
        request.flags = namespaces.rawValue
        request.program = program.rawValue
        request.channel = channel.rawValue
        request.cgroup = controlGroup?.rawValue ?? -1
        request.user_namespace = userNamespace?.rawValue ?? -1
        request.pid_namespace = pidNamespace?.rawValue ?? -1
        request.wait_for_mapping = waitsForMapping ? 1 : 0
        let result = unsafe clinux_spawn_init(&request)
        let operation = switch request.failed_step {
        case Int32(CLINUX_SPAWN_JOIN_USER): "setns(CLONE_NEWUSER)"
        case Int32(CLINUX_SPAWN_JOIN_PID): "setns(CLONE_NEWPID)"
        case Int32(CLINUX_SPAWN_BECOME_ROOT): "setresuid"
        case Int32(CLINUX_SPAWN_EXECUTE): "execveat"
        default: "clone3"
        }
        try checked(result, operation)
        return request.pid
    }
}

/// Sets a limit of another process (prlimit(2)); `UInt64.max` is no limit.
public func setResourceLimit(of pid: Int32, _ resource: Int32, soft: UInt64, hard: UInt64) throws(SystemError) {
    try checked(clinux_prlimit(pid, resource, soft, hard), "prlimit")
}

/// Sends a signal to one process (kill(2)).
public func sendSignal(_ number: Int32, to pid: Int32) throws(SystemError) {
    try checked(clinux_kill(pid, number), "kill", path: "\(pid)")
}

/// Waits until a descriptor is readable, at most so many milliseconds. False when the time is over.
public func waitReadable(_ descriptor: Int32, milliseconds: Int32) throws(SystemError) -> Bool {
    let deadline = monotonicNanoseconds() &+ Int64(milliseconds) * 1_000_000
    while true {
        let left = (deadline &- monotonicNanoseconds()) / 1_000_000
        if left < 0 { return false }
        var returned: Int16 = 0
        let result = unsafe clinux_poll(descriptor, Int16(POLLIN), Int32(clamping: left + 1), &returned)
        if result == -Int(EINTR) { continue }
        return try checked(result, "poll") > 0
    }
}

/// Sends a signal to the process of a pidfd (pidfd_send_signal(2)).
public func sendSignal(_ number: Int32, toProcess descriptor: borrowing OwnedDescriptor) throws(SystemError) {
    try checked(clinux_pidfd_send_signal(descriptor.rawValue, number), "pidfd_send_signal")
}
