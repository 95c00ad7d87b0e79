internal import ContainerRuntime
internal import JSONText

/// A line of a container's log, in the form that Kubernetes defines for container runtimes (CRI logging; podman's k8s-file):
///
///     2026-11-26T10:00:00.123456789Z stdout F text
///
/// The tag is `F` for what ends a line and `P` for a piece of one that goes on.
struct LogLine: Equatable, Sendable {
    enum Stream: String, Sendable { case output = "stdout", errors = "stderr" }

    /// RFC 3339 in UTC with nanoseconds: of one length, so that text compares as times do.
    var time: String
    var stream: Stream
    var isWhole: Bool
    /// Without the newline; any bytes but it.
    var text: ArraySlice<UInt8>

    /// - Parameter nanoseconds: since 1970.
    static func time(_ nanoseconds: Int64) -> String {
        let text = Timestamp.text(nanoseconds: nanoseconds)
        return text.contains(".") ? text : text.dropLast() + ".000000000Z"
    }

    func append(to bytes: inout [UInt8]) {
        bytes += "\(time) \(stream.rawValue) \(isWhole ? "F" : "P") ".utf8
        bytes += text
        bytes.append(UInt8(ascii: "\n"))
    }

    /// - Parameter line: without its newline. nil when it is none, as the last of a file may be after a crash.
    init?(_ line: ArraySlice<UInt8>) {
        let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 3, omittingEmptySubsequences: false)
        guard fields.count == 4, let stream = Stream(rawValue: String(decoding: fields[1], as: UTF8.self)), fields[0].count == 30,
            fields[2].elementsEqual("F".utf8) || fields[2].elementsEqual("P".utf8)
        else { return nil }
        (time, self.stream, isWhole, text) = (String(decoding: fields[0], as: UTF8.self), stream, fields[2].elementsEqual("F".utf8), fields[3])
    }

    init(time: String, stream: Stream, isWhole: Bool, text: ArraySlice<UInt8>) {
        (self.time, self.stream, self.isWhole, self.text) = (time, stream, isWhole, text)
    }

    /// What a piece of output becomes: a line for each line of it, the last one a piece if no newline ends it.
    static func lines(_ bytes: [UInt8], _ stream: Stream, time: String) -> [LogLine] {
        var result: [LogLine] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let end = rest.firstIndex(of: UInt8(ascii: "\n"))
            result.append(LogLine(time: time, stream: stream, isWhole: end != nil, text: rest[..<(end ?? rest.endIndex)]))
            rest = rest[(end.map { $0 + 1 } ?? rest.endIndex)...]
        }
        return result
    }
}

/// Times as `--since` and `--until` take them.
public enum LogTime {
    /// - Returns: the time as log lines have it.
    /// - Parameter now: nanoseconds since 1970.
    public static func parse(_ text: String, flag: String, now: Int64) throws(EngineError) -> String {
        if let back = Quantity.nanoseconds(text), back >= 0, back <= now { return LogLine.time(now - back) }
        if let seconds = Double(text), seconds >= 0, seconds < 4e9 { return LogLine.time(Int64(seconds * 1e9)) }
        guard let time = nanoseconds(text) else {
            throw EngineError("\(flag) \(quoted(text)): a time is expected: how long ago (10m, 1h30m), seconds since 1970, or 2026-11-26T10:00:00Z")
        }
        return LogLine.time(time)
    }

    /// Nanoseconds since 1970 of an RFC 3339 time, or of the beginning of one: a day, or without an offset, which then is UTC.
    static func nanoseconds(_ text: String) -> Int64? {
        let characters = Array(text.utf8)
        func number(_ start: Int, _ count: Int) -> Int64? {
            guard start + count <= characters.count, characters[start..<(start + count)].allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            return Int64(String(decoding: characters[start..<(start + count)], as: UTF8.self))
        }
        func has(_ character: Character, _ position: Int) -> Bool { position < characters.count && characters[position] == character.asciiValue }
        guard let year = number(0, 4), has("-", 4), let month = number(5, 2), has("-", 7), let day = number(8, 2), (1970...9999).contains(year), (1...12).contains(month), (1...31).contains(day) else { return nil }
        var seconds = days(year, month, day) * 86400
        if characters.count == 10 { return scaled(seconds, 0) }
        guard has("T", 10) || has("t", 10) || has(" ", 10), let hour = number(11, 2), has(":", 13), let minute = number(14, 2), has(":", 16), let second = number(17, 2),
            hour < 24, minute < 60, second <= 60
        else { return nil }
        seconds += hour * 3600 + minute * 60 + second
        var position = 19
        var fraction: Int64 = 0
        if has(".", position) {
            let digits = characters[(position + 1)...].prefix { (0x30...0x39).contains($0) }
            guard (1...9).contains(digits.count) else { return nil }
            fraction = Int64(String(decoding: digits, as: UTF8.self) + String(repeating: "0", count: 9 - digits.count)) ?? 0
            position += 1 + digits.count
        }
        if position == characters.count { return scaled(seconds, fraction) }
        if has("Z", position) || has("z", position) { return position + 1 == characters.count ? scaled(seconds, fraction) : nil }
        guard has("+", position) || has("-", position), let hours = number(position + 1, 2), has(":", position + 3), let minutes = number(position + 4, 2), position + 6 == characters.count,
            hours < 24, minutes < 60
        else { return nil }
        let offset = hours * 3600 + minutes * 60
        return scaled(has("+", position) ? seconds - offset : seconds + offset, fraction)
    }

    private static func scaled(_ seconds: Int64, _ fraction: Int64) -> Int64? {
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow || seconds < 0 ? nil : product + fraction
    }

    /// Days from 1970-01-01, in 400-year eras that start on 1 March.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let yearOfEra = shifted - era * 400
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
