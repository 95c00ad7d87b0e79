/// How long to wait before a request is made again.
struct Backoff: Sendable {
    var first: Duration
    var longest: Duration

    /// Doubles with each attempt (from 0), and lies between half of that and all of it, so that clients that failed together do not come back together.
    func delay(attempt: Int) -> Duration {
        let doubled = first * (1 << min(attempt, 20))
        let limit = min(doubled, longest)
        return limit * Double.random(in: 0.5...1)
    }

    /// What a Retry-After header asks for (RFC 9110, 10.2.3): seconds, or a date. Nil when it is neither.
    /// - Parameter now: what the server's clock says (its Date header) in seconds since 1970; a date means nothing without it.
    static func retryAfter(_ text: String, now: Int64?) -> Duration? {
        if let seconds = Int64(text), seconds >= 0 { return .seconds(min(seconds, 1 << 30)) }
        guard let now, let date = HTTPDate.seconds(text) else { return nil }
        return .seconds(max(0, date - now))
    }
}

/// Dates in headers: `Sun, 06 Nov 1994 08:49:37 GMT`, and the two obsolete formats, `Sunday, 06-Nov-94 08:49:37 GMT` and
/// `Sun Nov  6 08:49:37 1994` (RFC 9110, 5.6.7).
enum HTTPDate {
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// Seconds since 1970.
    static func seconds(_ text: String) -> Int64? {
        let parts = text.split { $0 == " " || $0 == "-" }.map(String.init)
        guard parts.count == 6 || parts.count == 5 else { return nil }
        let (dayText, monthText, yearText, time) = parts.count == 6 ? (parts[1], parts[2], parts[3], parts[4]) : (parts[2], parts[1], parts[4], parts[3])
        guard parts.count == 5 || parts[5] == "GMT", let day = Int64(dayText), let month = months.firstIndex(of: monthText).map({ Int64($0) + 1 }), var year = Int64(yearText) else { return nil }
        // Two digits mean a year that is not more than 50 years away.
        if yearText.utf8.count == 2 { year += year < 70 ? 2000 : 1900 }
        let clock = time.split(separator: ":").map { Int64($0) }
        guard clock.count == 3, let hour = clock[0], let minute = clock[1], let second = clock[2], (1...31).contains(day), (1970...9999).contains(year), (0...23).contains(hour),
            (0...59).contains(minute), (0...60).contains(second)
        else { return nil }
        // The year begins in March, so that the day that leap years add is its last.
        let shifted = month <= 2 ? year - 1 : year
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let days = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
        return ((days * 24 + hour) * 60 + minute) * 60 + second
    }
}
