import NIOHTTP1
import OCIImage
import Testing

@testable import RegistryClient

@Suite("addresses")
struct HTTPAddressTests {
    @Test("an absolute URL is read", arguments: [
        ("https://example.com", "https://example.com/"), ("HTTP://Example.COM:80/a?b=c#d", "http://example.com/a?b=c"), ("https://h:443/", "https://h/"),
        ("http://h:443/", "http://h:443/"), ("https://[::1]:5000/v2/", "https://[::1]:5000/v2/"), ("https://h?q", "https://h/?q"),
    ])
    func absolute(text: String, url: String) throws { #expect(try HTTPAddress(text).url == url) }

    @Test("what is no URL of a server is refused", arguments: [
        "", "/a", "ftp://h/", "https://", "https:///a", "https://user@h/", "https://user:p@h/", "https://h:0/", "https://h:99999/", "https://h:+1/", "https://h:/", "https://h h/",
        "https://h/a b", "https://h/\r\nX: y", "https://h/ü", "https://[::1/", "https://[]/", "https://h%00/", "file:///etc/passwd", "https://h\u{0}/", "https://h/\u{7F}",
        "https://h/" + String(repeating: "a", count: 20000),
    ])
    func refused(text: String) { #expect(throws: AddressError.self) { try HTTPAddress(text) } }

    @Test("a relative one is read by its base", arguments: [
        ("/x?y", "https://h:5/x?y"), ("c", "https://h:5/a/c"), ("?z", "https://h:5/a/b?z"), ("//other/x", "https://other/x"), ("http://o/", "http://o/"), ("", "https://h:5/a/b?q"), ("#f", "https://h:5/a/b?q"),
        ("/x?next=http://o/y", "https://h:5/x?next=http://o/y"), ("?a=b://c", "https://h:5/a/b?a=b://c"), ("../c", "https://h:5/c"), ("./c", "https://h:5/a/c"), ("/x/../../y/.?z", "https://h:5/y/?z"), ("..", "https://h:5/"),
    ])
    func relative(text: String, url: String) throws { #expect(try HTTPAddress(text, relativeTo: try HTTPAddress("https://h:5/a/b?q")).url == url) }

    @Test("another scheme is no relative one", arguments: ["mailto:x", "javascript:1", "http:/x", "https:x", "ftp://h/x"])
    func otherSchemes(text: String) throws {
        let base = try HTTPAddress("https://h/a")
        #expect(throws: AddressError.self) { try HTTPAddress(text, relativeTo: base) }
    }

    @Test("parameters are escaped, and messages have none")
    func parameters() throws {
        let address = try HTTPAddress("https://h/a?x=1").adding([("scope", "repository:a/b:pull,push"), ("account", "ü&=")])
        #expect(address.url == "https://h/a?x=1&scope=repository%3Aa%2Fb%3Apull%2Cpush&account=%C3%BC%26%3D")
        #expect(address.description == "https://h/a")
    }
}

@Suite("headers")
struct HeaderTests {
    @Test("challenges are read", arguments: [
        (#"Bearer realm="https://auth/token",service="s",scope="repository:a:pull,push""#, [Challenge(scheme: "bearer", parameters: ["realm": "https://auth/token", "service": "s", "scope": "repository:a:pull,push"])]),
        (#"Basic realm="a \"b\", c""#, [Challenge(scheme: "basic", parameters: ["realm": #"a "b", c"#])]),
        (#"Negotiate, BASIC Realm = x , Bearer realm=y"#, [Challenge(scheme: "negotiate", parameters: [:]), Challenge(scheme: "basic", parameters: ["realm": "x"]), Challenge(scheme: "bearer", parameters: ["realm": "y"])]),
        (#"Bearer realm="a",realm="b""#, [Challenge(scheme: "bearer", parameters: ["realm": "a"])]),
        (#"Bearer realm="never ends"#, [Challenge(scheme: "bearer", parameters: [:])]),
        ("", []), (",,,", []), ("=", []), (#""Basic""#, []),
    ])
    func challenges(header: String, all: [Challenge]) { #expect(Challenge.parse([header]) == all) }

    @Test("Retry-After is seconds, or a date by the server's clock", arguments: [
        ("0", 0), ("120", 120), ("Sun, 06 Nov 1994 08:49:37 GMT", 37), ("Sun, 06 Nov 1994 08:48:00 GMT", 0), ("Sunday, 06-Nov-94 08:49:37 GMT", 37), ("Sun Nov  6 08:49:37 1994", 37), ("99999999999999", 1 << 30), ("-1", nil), ("soon", nil), ("Sun, 06 Foo 1994 08:49:37 GMT", nil),
        ("Sun, 06 Nov 1994 99:49:37 GMT", nil), ("1.5", nil),
    ] as [(String, Int64?)])
    func retryAfter(text: String, seconds: Int64?) { #expect(Backoff.retryAfter(text, now: HTTPDate.seconds("Sun, 06 Nov 1994 08:49:00 GMT")) == seconds.map { .seconds($0) }) }

    @Test("dates are counted from 1970", arguments: [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000), ("Fri, 31 Dec 2100 23:59:59 GMT", 4_133_980_799),
        ("Thursday, 29-Feb-24 12:00:00 GMT", 1_709_208_000), ("Thu Feb 29 12:00:00 2024", 1_709_208_000),
    ])
    func dates(text: String, seconds: Int64) { #expect(HTTPDate.seconds(text) == seconds) }

    @Test("a wait doubles up to a limit")
    func backoff() {
        let backoff = Backoff(first: .milliseconds(100), longest: .seconds(1))
        for (attempt, most) in [(0, 100), (1, 200), (3, 800), (4, 1000), (50, 1000)] {
            let delay = backoff.delay(attempt: attempt)
            #expect(delay <= .milliseconds(most) && delay >= .milliseconds(most / 2))
        }
    }

    @Test("a range says which bytes of how many", arguments: [("bytes 0-9/10", true), ("bytes 0-0/*", true), ("bytes 5-4/10", false), ("bytes -5/10", false), ("bytes 0-9", false), ("0-9/10", false), ("bytes a-b/c", false)])
    func ranges(text: String, isOne: Bool) { #expect((ContentRange(text) != nil) == isOne) }

    @Test("the next page is the link that says so", arguments: [
        (#"</v2/a/tags/list?last=b&n=2>; rel="next""#, "/v2/a/tags/list?last=b&n=2"), ("<https://h/x>;rel=next", "https://h/x"), (#"</x>; rel="prev""#, nil), ("</x", nil), ("", nil), ("x>; rel=next <", nil),
        (#"</a>; rel="prev", </b?x=1,2>; title="a, <b>"; rel="next""#, "/b?x=1,2"), (#"</a>; rel="last next""#, "/a"), (#"</a>; rel="next", </b>; rel="prev""#, "/a"), (#"</a>; rel="prev"; x="rel=next""#, nil),
    ] as [(String, String?)])
    func links(text: String, target: String?) { #expect(RegistryClient.next(text) == target) }

    @Test("an error's body is shown, but obeyed by no terminal")
    func errorBody() {
        let body = ErrorBody(Array(#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}},{"message":"\u001b[2J"},{},{"code":"FOURTH"}]}"#.utf8))
        #expect(body.text == #"MANIFEST_UNKNOWN: manifest unknown; "\u001b[2J""#)
        #expect(body.codes == ["MANIFEST_UNKNOWN", "", "", "FOURTH"])
        for other in ["", "<html>", "[]", #"{"errors":{}}"#, #"{"errors":[1]}"#] { #expect(ErrorBody(Array(other.utf8)).text == nil) }
    }
}

@Suite("registries")
struct RegistryRulesTests {
    private let rules = RegistryRules([
        RegistryRule(prefix: "docker.io", mirrors: [RegistryMirror(location: "mirror.example.com/hub"), RegistryMirror(location: "localhost:5000", transport: .plain, pulls: .digestOnly)]),
        RegistryRule(prefix: "docker.io/library/secret", isBlocked: true),
        RegistryRule(prefix: "example.com/team", location: "registry.example.com:8443/projects/team", transport: .insecure),
        RegistryRule(prefix: "*.internal", transport: .plain),
        RegistryRule(prefix: "example.com/team/tags", mirrors: [RegistryMirror(location: "m.example.com", pulls: .tagOnly)]),
    ])

    private func places(_ text: String, mirrors: Bool = true) throws -> [String] {
        try rules.endpoints(for: try Reference(text), mirrors: mirrors).map { "\($0.domain)/\($0.path) \($0.transport.rawValue)" }
    }

    @Test("the longest prefix says where a repository is")
    func places() throws {
        let digest = "sha256:" + String(repeating: "a", count: 64)
        #expect(try places("busybox:1") == ["mirror.example.com/hub/library/busybox tls", "docker.io/library/busybox tls"])
        #expect(try places("busybox@\(digest)") == ["mirror.example.com/hub/library/busybox tls", "localhost:5000/library/busybox plain", "docker.io/library/busybox tls"])
        #expect(try places("busybox", mirrors: false) == ["docker.io/library/busybox tls"])
        #expect(try places("example.com/team/app:1") == ["registry.example.com:8443/projects/team/app insecure"])
        #expect(try places("example.com/teams/app:1") == ["example.com/teams/app tls"])
        #expect(try places("example.com/team/tags/x:1") == ["m.example.com/x tls", "example.com/team/tags/x tls"])
        #expect(try places("example.com/team/tags/x@\(digest)") == ["example.com/team/tags/x tls"])
        #expect(try places("a.internal:5000/x") == ["a.internal:5000/x plain"])
        #expect(try places("internal.example.com/x") == ["internal.example.com/x tls"])
        #expect(try places("EXAMPLE.com/team/app:1") == ["registry.example.com:8443/projects/team/app insecure"])
        #expect(try places("A.Internal:5000/x") == ["A.Internal:5000/x plain"])
        // No rule makes localhost plain by itself.
        #expect(try places("localhost:5000/x") == ["localhost:5000/x tls"])
    }

    @Test("a blocked repository is not asked for")
    func blocked() {
        #expect(throws: RegistryError.self) { try places("library/secret") }
        #expect(throws: RegistryError.self) { try places("library/secret/deeper:1") }
    }

    @Test("a location must be a repository of a registry", arguments: ["nohost", "https://example.com", "example.com:x", "EXAMPLE.com/Upper", "team/app"])
    func locations(location: String) throws {
        let rules = RegistryRules([RegistryRule(prefix: "example.com", location: location)])
        let reference = try Reference("example.com/app")
        #expect(throws: RegistryError.self) { try rules.endpoints(for: reference, mirrors: true) }
    }

    @Test("the configuration file says what registries.conf says")
    func file() throws {
        let text = """
            root = "/run/nacelle"
            [[registry]]
            prefix = "docker.io"
            [[registry.mirror]]
            location = "mirror.example.com/hub"
            [[registry.mirror]]
            location = "localhost:5000"
            plain-http = true
            pull-from-mirror = "digest-only"
            [[registry]]
            location = "example.com:8443/team"
            insecure = true
            [[registry]]
            prefix = "*.internal"
            blocked = true
            [machine]
            memory = 256
            """
        #expect(try RegistryRules(parsing: Array(text.utf8), path: "f") == RegistryRules([
            RegistryRule(prefix: "docker.io", mirrors: [RegistryMirror(location: "mirror.example.com/hub"), RegistryMirror(location: "localhost:5000", transport: .plain, pulls: .digestOnly)]),
            RegistryRule(prefix: "example.com:8443/team", transport: .insecure),
            RegistryRule(prefix: "*.internal", isBlocked: true),
        ]))
        #expect(try RegistryRules(file: "/nonexistent/file", optional: true) == RegistryRules())
        #expect(throws: RegistryError.self) { try RegistryRules(file: "/nonexistent/file") }
    }

    @Test("what is wrong in the file is told with its line", arguments: [
        ("[[registry]]", "f:1: [[registry]]: neither a prefix nor a location"),
        ("[[registry]]\nprefix = \"docker.io\"\nmirrors = 1", "f:3: registry[0].mirrors: there is no such setting; there are prefix, location, insecure, plain-http, blocked"),
        ("[[registry]]\nprefix = 1", "f:2: registry[0].prefix: a text in quotes is expected"),
        ("[[registry]]\nblocked = \"yes\"", "f:2: registry[0].blocked: true or false is expected"),
        ("[[registry]]\nprefix = \"a.b\"\n[[registry.mirror]]\n", "f:3: [[registry.mirror]]: the location is missing"),
        ("[[registry]]\nprefix = \"a.b\"\n[[registry.mirror]]\nlocation = \"c.d\"\npull-from-mirror = \"x\"", #"f:5: registry[0].mirror[0].pull-from-mirror: "x" is not one of all, digest-only, tag-only"#),
        ("[[registry]]\nprefix = \"nohost\"", "f:1: the location nohost/name does not begin with a registry's host"),
        ("[[registry]]\nprefix = \"*.a.b/c\"", #"f:1: [[registry]]: the prefix "*.a.b/c" has a star and a path"#),
        ("[[registry]]\n[[registry.other]]", "f:2: registry[0].other[0]: there is no such setting; there are [[registry]] and [[registry.mirror]]"),
        ("[[registry]", "f:1: [[registry: `]]` is missing"),
    ])
    func badFile(text: String, message: String) {
        do {
            _ = try RegistryRules(parsing: Array(text.utf8), path: "f")
            Issue.record("accepted")
        } catch { #expect("\(error)" == message) }
    }

    @Test("docker.io is asked at its own host")
    func hub() throws {
        let endpoint = try #require(try RegistryRules().endpoints(for: try Reference("busybox"), mirrors: true).first)
        #expect(try endpoint.address(isSecure: true, "/manifests/latest").url == "https://registry-1.docker.io/v2/library/busybox/manifests/latest")
    }
}

@Suite("proxies")
struct ProxyTests {
    @Test("a proxy is for all hosts but the exceptions", arguments: [
        ("https://registry.example.com/", true), ("http://registry.example.com/", false), ("https://localhost/", false), ("https://127.0.0.2:5000/", false), ("https://[::1]/", false),
        ("https://a.example.org/", false), ("https://example.org/", false), ("https://notexample.org/", true), ("https://b.sub.test/", false), ("https://sub.test/", true), ("https://10.1.2.3/", false),
        ("https://11.1.2.3/", true), ("https://192.0.2.1/", false), ("https://[2001:db8::5]/", false), ("https://[2001:db9::5]/", true), ("https://p.net:8443/", false), ("https://p.net/", true),
    ])
    func choice(url: String, isProxied: Bool) throws {
        let settings = try ProxySettings(environment: ["HTTPS_PROXY": "http://user:p%40ss@proxy.example.com:3128/", "no_proxy": "example.org,.sub.test,10.0.0.0/8, 192.0.2.1,2001:db8::/32,p.net:8443"])
        #expect((settings.proxy(for: try HTTPAddress(url)) != nil) == isProxied)
        #expect(settings.https?.credential == "user:p@ss")
        #expect(settings.https?.host == "proxy.example.com" && settings.https?.port == 3128)
        #expect(settings.http == nil)
    }

    @Test("a proxy of SOCKS has its own port", arguments: [("socks5://h", "h", 1080), ("SOCKS5H://h:9/", "h", 9), ("socks5://[::1]", "::1", 1080), ("socks5://[::1]:9", "::1", 9)])
    func socks(text: String, host: String, port: Int) throws {
        let proxy = try ProxySettings.Proxy(text)
        #expect(proxy.kind == .socks5 && proxy.host == host && proxy.port == port && proxy.credential == nil)
    }

    @Test("no proxy at all for a star")
    func star() throws {
        let settings = try ProxySettings(environment: ["http_proxy": "proxy:8080", "NO_PROXY": "*"])
        #expect(settings.http?.port == 8080)
        #expect(settings.proxy(for: try HTTPAddress("http://example.com/")) == nil)
    }

    @Test("what is no proxy is refused, without its password", arguments: ["socks5://user:geheim@h", "https://h:1", "http://", "http://h:0", "http://h/path", "http://user:geheim@h:99999"])
    func refused(text: String) {
        do {
            _ = try ProxySettings(environment: ["HTTPS_PROXY": text])
            Issue.record("accepted")
        } catch { #expect(!"\(error)".contains("geheim")) }
    }

    @Test("addresses", arguments: [("1.2.3.4", 4), ("255.255.255.255", 4), ("256.1.1.1", nil), ("1.2.3", nil), ("+1.2.3.4", nil), ("::", 16), ("1::2", 16), ("1:2:3:4:5:6:7:8", 16), ("1:2:3:4:5:6:7", nil), ("1::2::3", nil), ("12345::", nil), ("", nil)] as [(String, Int?)])
    func addresses(text: String, count: Int?) { #expect(IPAddress(text)?.bytes.count == count) }
}
