/// A capability of capabilities(7).
public struct Capability: Hashable, Sendable {
    /// Its number in linux/capability.h.
    public let number: Int32
    /// `CAP_CHOWN` …
    public let name: String

    /// By number.
    public static let all: [Capability] = [
        "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
        "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
        "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
        "PERFMON", "BPF", "CHECKPOINT_RESTORE",
    ].enumerated().map { Capability(number: Int32($0.offset), name: "CAP_" + $0.element) }

    public static func named(_ name: String) -> Capability? { all.first { $0.name == name } }
}

/// Resource limits by name: the numbers of linux/resource.h on x86-64 and arm64.
public enum ResourceLimit {
    public static let all: [(name: String, number: Int32)] = [
        "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
    ].enumerated().map { ("RLIMIT_" + $0.element, Int32($0.offset)) }

    public static func number(_ name: String) -> Int32? { all.first { $0.name == name }?.number }
}

/// A container's name.
public enum ContainerID {
    /// Why the name cannot be used, or nil: runc's rule, and at most 1024 bytes.
    public static func problem(_ id: String) -> String? {
        if id.isEmpty { return "container id cannot be empty" }
        guard id.utf8.count <= 1024 else { return "invalid container ID format: longer than 1024 bytes" }
        let isAllowed = id.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "_"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."): true
            default: false
            }
        }
        return isAllowed && id != "." && id != ".." ? nil : "invalid container ID format: \(id)"
    }
}
