import Testing

@testable import ContainerEngine

@Suite("lines of a log")
struct LogLineTests {
    @Test("a piece of output becomes whole lines and a rest", arguments: [
        ("a\nb\n", ["F a", "F b"]), ("a", ["P a"]), ("\n", ["F "]), ("a\n\nb", ["F a", "F ", "P b"]), ("", []),
    ])
    func lines(text: String, expected: [String]) {
        let lines = LogLine.lines(Array(text.utf8), .output, time: LogLine.time(0))
        #expect(lines.map { ($0.isWhole ? "F " : "P ") + String(decoding: $0.text, as: UTF8.self) } == expected)
    }

    @Test("what is written is read again")
    func roundTrip() throws {
        let line = LogLine(time: LogLine.time(1_700_000_000_000_000_000), stream: .errors, isWhole: false, text: [0, 255, 32, 32])
        var bytes: [UInt8] = []
        line.append(to: &bytes)
        #expect(String(decoding: bytes.prefix(40), as: UTF8.self) == "2023-11-14T22:13:20.000000000Z stderr P ")
        #expect(try #require(LogLine(bytes.dropLast())) == line)
    }

    @Test("what is no line is none", arguments: ["", "x", "2023-11-14T22:13:20.000000000Z stdout X a", "2023-11-14T22:13:20.000000000Z stdin F a", "2023 stdout F a", "2023-11-14T22:13:20.000000000Z stdout F"])
    func noLine(text: String) { #expect(LogLine(Array(text.utf8)[...]) == nil) }

    static let now: Int64 = 1_764_150_000_123_456_789
    @Test("times", arguments: [
        ("10m", LogLine.time(now - 600_000_000_000)), ("1h30m", LogLine.time(now - 5_400_000_000_000)), ("1764150000", "2025-11-26T09:40:00.000000000Z"),
        ("2025-11-26", "2025-11-26T00:00:00.000000000Z"), ("2025-11-26T10:00:00", "2025-11-26T10:00:00.000000000Z"), ("2025-11-26T10:00:00Z", "2025-11-26T10:00:00.000000000Z"),
        ("2025-11-26T10:00:00.5Z", "2025-11-26T10:00:00.500000000Z"), ("2025-11-26T10:00:00+02:00", "2025-11-26T08:00:00.000000000Z"),
        ("2024-02-29T23:59:59.123456789-01:30", "2024-03-01T01:29:59.123456789Z"),
    ])
    func times(text: String, expected: String) throws { #expect(try LogTime.parse(text, flag: "--since", now: Self.now) == expected) }

    @Test("what is no time", arguments: ["", "yesterday", "-5m", "2025-13-01", "2025-11-26T24:00:00Z", "2025-11-26T10:00:00.Z", "2025-11-26T10:00:00+2", "2025-11-26T10:00:00Zx", "10x", "99999999999"])
    func noTime(text: String) {
        let error = #expect(throws: EngineError.self) { try LogTime.parse(text, flag: "--since", now: Self.now) }
        #expect(error?.message.hasPrefix("--since ") == true)
    }
}
