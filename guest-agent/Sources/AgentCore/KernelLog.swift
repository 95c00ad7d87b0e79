internal import Glibc
internal import LinuxSystem

/// The agent's log: the kernel's, which reaches a console only when the machine was given one.
public enum KernelLog {
    /// Logs an error (level 3).
    public static func error(_ message: String) { write(level: 3, message) }

    /// Logs what is worth knowing and no failure (level 4).
    public static func warning(_ message: String) { write(level: 4, message) }

    /// A message that cannot be logged is lost: there is nowhere else to say so.
    private static func write(level: Int, _ message: String) {
        // One record is one line, and the kernel cuts it at about 1000 bytes.
        let line = String(message.prefix(800)).split(separator: "\n").joined(separator: " ")
        guard let log = try? OwnedDescriptor(opening: "/dev/kmsg", flags: O_WRONLY) else { return }
        _ = try? log.write(Array("<\(level)>nacelle-agent: \(line)\n".utf8))
    }
}
