internal import Glibc
internal import JSONText
internal import LinuxSystem

/// The log in runc's two formats, as engines read it, and errors on standard error as well.
public final class RuntimeLog {
    public enum Format: String, Sendable, CaseIterable { case text, json }
    public enum Level: Int, Sendable {
        case debug, info, warning, error
        var word: String { ["debug", "info", "warning", "error"][rawValue] }
        /// logrus's four letters on a terminal.
        var short: String { ["DEBU", "INFO", "WARN", "ERRO"][rawValue] }
    }

    private let file: SharedDescriptor?
    private let format: Format
    private let isDebug: Bool

    /// - Parameter path: a file to append to; nil is standard error only.
    public init(path: String?, format: Format, debug: Bool) throws(RuntimeError) {
        self.format = format
        isDebug = debug
        do throws(SystemError) {
            file = try path.map { (path) throws(SystemError) in SharedDescriptor(try OwnedDescriptor(opening: path, flags: O_WRONLY | O_CREAT | O_APPEND, mode: 0o644)) }
        } catch { throw RuntimeError("unable to open the log", error) }
    }

    public func debug(_ message: String) { if isDebug { log(.debug, message) } }
    public func info(_ message: String) { log(.info, message) }
    public func warning(_ message: String) { log(.warning, message) }

    /// An error goes to the log and to standard error.
    public func error(_ message: String) {
        log(.error, message)
        if file != nil { write(2, "\(printable(message))\n") }
    }

    private func log(_ level: Level, _ message: String) {
        guard let file else { return write(2, format == .json ? json(level, message) : "\(level.short)[0000] \(printable(message))\n") }
        write(file.rawValue, format == .json ? json(level, message) : "time=\"\(Timestamp.now())\" level=\(level.word) msg=\(JSONValue.string(message).text())\n")
    }

    private func json(_ level: Level, _ message: String) -> String {
        var object = JSONObject()
        object["level"] = .string(level.word)
        object["msg"] = .string(message)
        object["time"] = .string(Timestamp.now())
        return JSONValue.object(object).text() + "\n"
    }

    private func write(_ descriptor: Int32, _ text: String) {
        // A log that cannot be written must not hide what is logged elsewhere.
        guard let copy = try? OwnedDescriptor(duplicating: descriptor) else { return }
        try? copy.writeAll(Array(text.utf8))
    }
}

/// RFC 3339 in UTC.
public enum Timestamp {
    /// In whole seconds, as runc's log has it.
    static func now() -> String { text(nanoseconds: realtimeNanoseconds() / 1_000_000_000 * 1_000_000_000) }
    /// With nanoseconds, as runc's state has it.
    public static func precise() -> String { text(nanoseconds: realtimeNanoseconds()) }

    /// Nanoseconds since 1970; a whole second has no fraction.
    public static func text(nanoseconds: Int64) -> String {
        let seconds = nanoseconds / 1_000_000_000
        var (days, rest) = (seconds / 86400, seconds % 86400)
        // Civil date from days since 1970-01-01, in 400-year eras that start on 1 March.
        days += 719_468
        let era = days / 146_097
        let dayOfEra = days - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shifted + 2) / 5 + 1
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let hours = rest / 3600
        rest %= 3600
        let part = nanoseconds % 1_000_000_000
        let fraction = part == 0 ? "" : "." + "\(part + 1_000_000_000)".dropFirst()
        return "\(year)-\(two(month))-\(two(day))T\(two(hours)):\(two(rest / 60)):\(two(rest % 60))\(fraction)Z"
    }
}
