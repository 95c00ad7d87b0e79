public import AgentProtocol
internal import LinuxSystem

/// What /proc says about processes.
public enum ProcessList {
    /// Bytes of one command line that are reported.
    private static let commandLimit = 4096
    /// Bytes of all command lines together, so that the reply stays within a frame; after that only names are reported.
    private static let totalLimit = 8 << 20
    private static let countLimit = 100_000

    /// Describes processes; those that have ended meanwhile are left out.
    public static func entries(of pids: [Int32]) -> [ProcessEntry] {
        var entries: [ProcessEntry] = []
        var total = 0
        for pid in pids.prefix(countLimit) {
            guard let status = try? readFile("/proc/\(pid)/status", limit: 64 << 10),
                let fields = Fields(status: String(decoding: status, as: UTF8.self))
            else { continue }
            var command = total < totalLimit ? commandLine(of: pid) : ""
            if command.isEmpty { command = "[\(fields.name)]" }
            total += command.utf8.count
            entries.append(ProcessEntry(pid: pid, parent: fields.parent, user: fields.user, command: command))
        }
        return entries
    }

    private static func commandLine(of pid: Int32) -> String {
        guard let file = try? OwnedDescriptor(opening: "/proc/\(pid)/cmdline", flags: 0) else { return "" }
        var buffer = [UInt8](repeating: 0, count: commandLimit)
        guard let count = try? file.read(into: &buffer), count > 0 else { return "" }
        var bytes = buffer[..<count]
        while bytes.last == 0 { bytes.removeLast() }
        return String(decoding: bytes.map { $0 == 0 ? 0x20 : $0 }, as: UTF8.self)
    }

    /// The lines of /proc/PID/status that matter.
    struct Fields: Equatable {
        var name = ""
        var parent: Int32 = 0
        /// Effective.
        var user: UInt32 = 0

        /// nil when a field is missing.
        init?(status: String) {
            var found = 0
            for line in status.split(separator: "\n") {
                guard let colon = line.firstIndex(of: ":") else { continue }
                let values = line[line.index(after: colon)...].split(whereSeparator: { $0 == "\t" || $0 == " " })
                switch line[..<colon] {
                case "Name": name = values.joined(separator: " ")
                case "PPid":
                    guard let value = values.first.flatMap({ Int32($0) }) else { return nil }
                    parent = value
                case "Uid":
                    guard values.count >= 2, let value = UInt32(values[1]) else { return nil }
                    user = value
                default: continue
                }
                found += 1
                if found == 3 { return }
            }
            return nil
        }
    }
}
