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

/// The preferred format of dates in headers, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
enum HTTPDate {
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// Seconds since 1970.
    static func seconds(_ text: String) -> Int64? {
        let parts = text.split(separator: " ")
        guard parts.count == 6, parts[5] == "GMT", let day = Int64(parts[1]), let month = months.firstIndex(of: String(parts[2])).map({ Int64($0) + 1 }), let year = Int64(parts[3])
        else { return nil }
        let clock = parts[4].split(separator: ":").map { Int64($0) }
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
