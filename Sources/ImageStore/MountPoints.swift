internal import LinuxSystem

/// What is mounted in the caller's mount namespace (proc_pid_mountinfo(5)).
enum MountPoints {
    /// Unmounts everything beneath a directory, what was mounted last first.
    static func detachAll(beneath directory: String) throws(SystemError) {
        let text = String(decoding: try readFile("/proc/self/mountinfo", limit: 256 << 20), as: UTF8.self)
        var points: [String] = []
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 4 else { continue }
            let point = unescaped(fields[4])
            if point.hasPrefix(directory + "/") { points.append(point) }
        }
        for point in points.reversed() {
            // Somebody else may do the same.
            do throws(SystemError) { try MountTree.detach(point) } catch where error.errno == .invalidArgument || error.errno == .noSuchFile { continue }
        }
    }

    /// Blanks and backslashes are written as three octal digits.
    private static func unescaped(_ field: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = field.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8) {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
