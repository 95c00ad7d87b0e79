import OCIImage
import Testing

private let someHash = String(repeating: "f", count: 64)

@Suite("references")
struct ReferenceTests {
    /// What is written, and domain, path, tag, whether there is a digest, and the familiar text.
    @Test("a reference gets its defaults", arguments: [
        ("busybox", "docker.io", "library/busybox", nil, false, "busybox"),
        ("busybox:1.36", "docker.io", "library/busybox", "1.36", false, "busybox:1.36"),
        ("foo_bar.com:8080", "docker.io", "library/foo_bar.com", "8080", false, "foo_bar.com:8080"),
        ("192.168.1.1:5000", "docker.io", "library/192.168.1.1", "5000", false, "192.168.1.1:5000"),
        ("user/app", "docker.io", "user/app", nil, false, "user/app"),
        ("docker.io/busybox", "docker.io", "library/busybox", nil, false, "busybox"),
        ("index.docker.io/library/busybox:a", "docker.io", "library/busybox", "a", false, "busybox:a"),
        ("docker.io/library/foo/bar", "docker.io", "library/foo/bar", nil, false, "library/foo/bar"),
        ("localhost/app", "localhost", "app", nil, false, "localhost/app"),
        ("LOCALDOMAIN/app", "LOCALDOMAIN", "app", nil, false, "LOCALDOMAIN/app"),
        ("test:5000/repo", "test:5000", "repo", nil, false, "test:5000/repo"),
        ("test:5000/repo:tag@sha256:\(someHash)", "test:5000", "repo", "tag", true, "test:5000/repo:tag@sha256:\(someHash)"),
        ("sub-dom1.foo.com/bar/baz/quux:some-long-tag", "sub-dom1.foo.com", "bar/baz/quux", "some-long-tag", false, "sub-dom1.foo.com/bar/baz/quux:some-long-tag"),
        ("b.gcr.io/test.example.com/my-app:test.example.com", "b.gcr.io", "test.example.com/my-app", "test.example.com", false, "b.gcr.io/test.example.com/my-app:test.example.com"),
        ("xn--7o8h.com/myimage:xn--7o8h.com", "xn--7o8h.com", "myimage", "xn--7o8h.com", false, "xn--7o8h.com/myimage:xn--7o8h.com"),
        ("[2001:db8::1]/repo", "[2001:db8::1]", "repo", nil, false, "[2001:db8::1]/repo"),
        ("[2001:db8::1]:5000/repo:tag", "[2001:db8::1]:5000", "repo", "tag", false, "[2001:db8::1]:5000/repo:tag"),
        ("docker-rules/dock__er", "docker.io", "docker-rules/dock__er", nil, false, "docker-rules/dock__er"),
        ("docker---rules/docker", "docker.io", "docker---rules/docker", nil, false, "docker---rules/docker"),
        ("lowercase:Uppercase", "docker.io", "library/lowercase", "Uppercase", false, "lowercase:Uppercase"),
        // Without its domain it would be another registry's, or an ID.
        ("docker.io/a.b/c", "docker.io", "a.b/c", nil, false, "docker.io/a.b/c"),
        ("docker.io/library/\(someHash)", "docker.io", "library/\(someHash)", nil, false, "docker.io/library/\(someHash)"),
        ("example.com/\(String(repeating: "a", count: 255)):tag", "example.com", String(repeating: "a", count: 255), "tag", false, "example.com/\(String(repeating: "a", count: 255)):tag"),
        ("a.b/c:\(String(repeating: "t", count: 128))", "a.b", "c", String(repeating: "t", count: 128), false, "a.b/c:\(String(repeating: "t", count: 128))"),
    ] as [(String, String, String, String?, Bool, String)])
    func accepted(text: String, domain: String, path: String, tag: String?, hasDigest: Bool, familiar: String) throws {
        let reference = try Reference(text)
        #expect(reference.domain == domain)
        #expect(reference.path == path)
        #expect(reference.tag == tag)
        #expect((reference.digest != nil) == hasDigest)
        #expect(reference.familiar == familiar)
        #expect(try Reference(reference.description) == reference)
        #expect(try Reference(reference.familiar) == reference)
    }

    @Test("what is no reference is refused", arguments: [
        "", ":justtag", "@sha256:\(someHash)", "https://github.com/docker/docker", "-docker", "-docker.io/docker/docker", "docker///docker", "docker/", "/docker",
        "[fc00::1]", "[fc00::1]:5000", "[2001:db8::1]:tag", "fc00::1:5000/debian", "[fe80::1%eth0]:5000/debian", "[2001:db8:3:4::192.0.2.33]:5000/debian", "[]/x", "[::1]x/y",
        "docker-/docker", "____/____", "_docker/_docker", "dock..er/docker", "dock_.er/docker", "dock-.er/docker", "dock___er/docker", "aa/asdf$$^/aa", "busybox:", "busybox:-a",
        "busybox:a:b", "busybox@", "busybox@sha256", "busybox@sha256:\(someHash)@sha256:\(someHash)", "example.com:/x", "example.com:80a/x", "a.b/c:\(String(repeating: "t", count: 129))",
        "busybox ", " busybox", "büsybox", "busybox\n", "example..com/x", "a_b.c/x", "exa\u{0}mple.com/x",
    ])
    func refused(text: String) {
        #expect(throws: ReferenceError.self) { try Reference(text) }
    }

    @Test("an error says what is wrong", arguments: [
        ("docker/Docker", .uppercase("docker/Docker")),
        ("Uppercase:tag", .uppercase("Uppercase:tag")),
        ("test:5000/Uppercase/lowercase:tag", .uppercase("test:5000/Uppercase/lowercase:tag")),
        (someHash, .identifier(someHash)),
        ("a.b/" + String(repeating: "c", count: 256), .tooLong("a.b/" + String(repeating: "c", count: 256))),
        ("a_b.c/x", .malformedDomain("a_b.c", in: "a_b.c/x")),
        ("repo@sha256:" + String(repeating: "f", count: 34), .digest(.wrongLength("sha256:" + String(repeating: "f", count: 34), expected: 64))),
        ("repo@md5:" + String(repeating: "f", count: 32), .digest(.unsupportedAlgorithm("md5:" + String(repeating: "f", count: 32)))),
        ("repo:tag@sha256:" + String(repeating: "F", count: 64), .digest(.malformed("sha256:" + String(repeating: "F", count: 64)))),
    ] as [(String, ReferenceError)])
    func errors(text: String, error: ReferenceError) {
        #expect(throws: error) { try Reference(text) }
    }

    @Test("tags and digests are put in place of others")
    func changes() throws {
        let reference = try Reference("busybox")
        #expect(reference.tagged.description == "docker.io/library/busybox:latest")
        let digest = try Digest("sha256:\(someHash)")
        #expect(reference.with(digest: digest).tagged.description == "docker.io/library/busybox@\(digest)")
        #expect(try reference.with(tag: "a").with(tag: "b").description == "docker.io/library/busybox:b")
        #expect(try reference.with(tag: "a").with(digest: digest).repository == reference)
        #expect(throws: ReferenceError.malformedTag("-b")) { try reference.with(tag: "-b") }
    }

    @Test("a terminal obeys nothing of an error's text")
    func escapes() {
        #expect("\(ReferenceError.malformed("a\u{1B}[2J\n"))".contains(#""a\u001b[2J\n""#))
    }
}

@Suite("digests")
struct DigestTests {
    @Test("a digest is its algorithm and its hash")
    func parts() throws {
        let digest = try Digest("sha256:00ff" + String(repeating: "1", count: 60))
        #expect(digest.algorithm == .sha256)
        #expect(digest.hash.prefix(3) == [0, 255, 0x11])
        #expect(Digest(.sha256, hash: digest.hash) == digest)
        #expect(Digest(.sha512, hash: digest.hash) == nil)
        #expect(try Digest("sha512:" + String(repeating: "a", count: 128)).hash.count == 64)
    }

    @Test("what is no digest is refused", arguments: [
        "", ":", "sha256", "sha256:", ":" + someHash, "sha256:" + someHash + "f", "SHA256:" + someHash, "sha256:" + someHash.uppercased(), "sha256+:" + someHash, "sha256:\(someHash.dropLast())g",
        "sha512:" + someHash, "sha384:" + String(repeating: "a", count: 96), "sha256:../../etc/passwd", "sha256:" + someHash.dropLast() + "/",
    ])
    func refused(text: String) {
        #expect(throws: DigestError.self) { try Digest(text) }
    }
}
