import OCIImage
import Testing

@Suite("platforms")
struct PlatformTests {
    @Test("other names mean the same", arguments: [
        ("linux/amd64", "linux/amd64"), ("linux/x86_64", "linux/amd64"), ("Linux/AMD64/v1", "linux/amd64"), ("linux/aarch64", "linux/arm64"), ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/9", "linux/arm64/v9"), ("linux/arm", "linux/arm/v7"), ("linux/armhf", "linux/arm/v7"), ("linux/armel", "linux/arm/v6"), ("linux/arm/8", "linux/arm/v8"),
        ("linux/i386", "linux/386"), ("macos/arm64", "darwin/arm64"), ("s390x", "linux/s390x"), ("aarch64", "linux/arm64"), ("linux/anything/v3", "linux/anything/v3"),
    ])
    func names(text: String, normal: String) throws {
        #expect(try Platform(text).description == normal)
    }

    @Test("an operating system alone is on this machine's processor")
    func systemAlone() throws {
        #expect(try Platform("linux") == Platform.current.normalized)
    }

    @Test("what is no platform is refused", arguments: ["", "/", "linux/", "/amd64", "linux/amd64/v1/x", "nothing", "linux/*", "linux/a b", "windows(10.0)/amd64"])
    func refused(text: String) {
        #expect(throws: PlatformError.self) { try Platform(text) }
    }

    @Test("a processor runs what older ones of its kind run, the best first", arguments: [
        ("linux/amd64", ["linux/amd64", "linux/386"]),
        ("linux/amd64/v3", ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"]),
        ("linux/arm/v7", ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm/v5", ["linux/arm/v5"]),
        ("linux/arm64", ["linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm64/v8.2", ["linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm64/v9", ["linux/arm64/v9", "linux/arm64/v8.5", "linux/arm64/v8.4", "linux/arm64/v8.3", "linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64",
            "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        ("linux/s390x", ["linux/s390x"]),
        ("linux/amd64/v9999999", ["linux/amd64/v9999999", "linux/386"]),
    ])
    func compatible(text: String, all: [String]) throws {
        #expect(try Platform(text).compatible.map(\.description) == all)
    }

    @Test("features that this platform lacks cannot be asked for")
    func features() {
        let machine = Platform(os: "linux", architecture: "amd64", osFeatures: ["b", "a"])
        #expect(machine.rank(of: Platform(os: "linux", architecture: "amd64", osFeatures: ["a"])) == 0)
        #expect(machine.rank(of: Platform(os: "linux", architecture: "386", osFeatures: ["a", "b"])) == 1)
        #expect(machine.rank(of: Platform(os: "linux", architecture: "amd64", osFeatures: ["c"])) == nil)
        #expect(machine.rank(of: Platform(os: "windows", architecture: "amd64")) == nil)
    }

    @Test("of an index's manifests the best comes first, one without a platform last, and what is no manifest not at all")
    func choice() throws {
        func descriptor(_ letter: Character, _ platform: Platform?, _ type: MediaType = .imageManifest) throws -> Descriptor {
            Descriptor(mediaType: type, digest: try Digest("sha256:" + String(repeating: letter, count: 64)), size: 1, platform: platform)
        }
        let index = Index(manifests: [
            try descriptor("0", nil), try descriptor("1", Platform(os: "linux", architecture: "386")), try descriptor("2", Platform(os: "linux", architecture: "arm64")),
            try descriptor("3", Platform(os: "linux", architecture: "amd64")), try descriptor("4", Platform(os: "linux", architecture: "x86_64")),
            try descriptor("5", Platform(os: "unknown", architecture: "unknown")), try descriptor("6", Platform(os: "linux", architecture: "amd64"), MediaType("text/plain")),
            try descriptor("7", Platform(os: "linux", architecture: "amd64", osFeatures: ["f"])),
        ])
        func chosen(_ platform: Platform) -> String { index.descriptors(for: platform).map { String($0.digest.hex.prefix(1)) }.joined() }
        #expect(chosen(Platform(os: "linux", architecture: "amd64")) == "3410")
        #expect(chosen(Platform(os: "linux", architecture: "amd64", osFeatures: ["f"])) == "73410")
        #expect(chosen(Platform(os: "linux", architecture: "s390x")) == "0")
    }
}
