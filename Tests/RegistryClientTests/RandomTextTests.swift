import OCIImage
import Testing

@testable import RegistryClient

@Suite("random text of servers")
struct RandomTextTests {
    private static let words = [
        "Bearer", "Basic", "realm", "=", "\"", "\\", ",", ";", " ", "https", "http", "://", ":", "/", "?", "#", "@", "[", "]", "::1", "h", ".", "..", "%", "0", "65536", "9223372036854775808", "-1", "bytes ", "-", "*",
        "<", ">", "rel=next", "{", "}", "\"errors\":", "\"code\":", "null", "Sun,", "06", "Nov", "1994", "08:49:37", "GMT", "99:99:99", "ü", "\u{0}", "\r\n", "\u{1B}", String(repeating: "a", count: 300),
    ]

    @Test("it ends nothing and is read the same when it is read again", arguments: 1...8)
    func neverTraps(seed: UInt64) throws {
        var state = seed
        func below(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % limit
        }
        var addresses = 0
        for _ in 0..<3000 {
            let text = (below(2) == 0 ? "https://h" : "") + (0...below(12)).map { _ in Self.words[below(Self.words.count)] }.joined()
            if let address = try? HTTPAddress(text) {
                addresses += 1
                let again = try HTTPAddress(address.url)
                #expect(again == address)
                #expect(address.url.utf8.allSatisfy { (0x21...0x7E).contains($0) })
                if let relative = try? HTTPAddress(text, relativeTo: address) { #expect(relative == address) }
            }
            for challenge in Challenge.parse([text]) { #expect(!challenge.scheme.isEmpty) }
            if let range = ContentRange(text) { #expect(range.first <= range.last) }
            if let shown = ErrorBody(Array(text.utf8)).text { #expect(!shown.unicodeScalars.contains { $0.value < 0x20 }) }
            if let seconds = Backoff.retryAfter(text, now: 0) { #expect(seconds >= .zero) }
            if let target = RegistryClient.next(text) { #expect(text.contains("<\(target)>")) }
            _ = IPAddress(text)
            if let proxy = try? ProxySettings.Proxy(text) { #expect((1...65535).contains(proxy.port)) }
            if let rules = try? RegistryRules(parsing: Array(text.utf8), path: "f") { #expect(rules.rules.isEmpty) }
        }
        #expect(addresses > 0)
    }
}
