internal import LinuxSystem

/// The user namespace that this process is in, by the outside's /proc.
enum UserNamespace {
    /// Whether it is another than the machine's first one.
    static var isOwn: Bool { lines("uid_map") != [[0, 0, 4_294_967_295]] }

    static func maps(group: UInt32) -> Bool {
        lines("gid_map").contains { $0.count == 3 && UInt64(group) >= $0[0] && UInt64(group) - $0[0] < $0[2] }
    }

    /// user_namespaces(7): the first id inside, the first id outside, how many.
    private static func lines(_ name: String) -> [[UInt64]] {
        guard let text = try? readFile("/proc/self/" + name) else { return [] }
        return String(decoding: text, as: UTF8.self).split(separator: "\n").map { line in line.split(separator: " ").compactMap { UInt64($0) } }
    }
}
