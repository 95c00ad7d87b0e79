import JSONText
import OCIImage
import Testing

private let someDigest = "sha256:" + String(repeating: "a", count: 64)
private func descriptor(_ type: String, _ more: String = "") -> String { #"{"mediaType":"\#(type)","digest":"\#(someDigest)","size":2\#(more)}"# }
private let config = descriptor("application/vnd.oci.image.config.v1+json")
private let layer = descriptor("application/vnd.oci.image.layer.v1.tar+gzip")
private let manifest = #"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":\#(config),"layers":[\#(layer)]}"#

@Suite("documents")
struct DocumentTests {
    @Test("a manifest is read and written")
    func manifestRoundTrip() throws {
        let subject = descriptor("application/vnd.oci.image.manifest.v1+json", #","annotations":{"a":"b"},"artifactType":"a/b","urls":["https://example.com"]"#)
        let text = #"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/x","config":\#(descriptor("application/vnd.oci.empty.v1+json", #","data":"e30=""#)),"layers":[\#(layer)],"subject":\#(subject),"annotations":{"org.opencontainers.image.created":"2026"},"unknown":[1]}"#
        let value = try Manifest(parsing: Array(text.utf8))
        #expect(value.artifactType == MediaType("application/x"))
        #expect(value.config.data == Array("{}".utf8))
        #expect(value.layers.first?.mediaType.layerCompression == .gzip)
        #expect(value.subject?.urls == ["https://example.com"])
        #expect(value.annotations == ["org.opencontainers.image.created": "2026"])
        #expect(try Manifest(parsing: value.bytes) == value)
        #expect(!String(decoding: value.bytes, as: UTF8.self).contains("unknown"))
    }

    @Test("an index and Docker's manifest list are read and written")
    func indexRoundTrip() throws {
        let entry = descriptor("application/vnd.docker.distribution.manifest.v2+json", #","platform":{"architecture":"arm","os":"linux","variant":"v7","os.version":"1","os.features":["x"]}"#)
        let text = #"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[\#(entry)]}"#
        let document = try ManifestDocument(Array(text.utf8), mediaType: .dockerManifestList)
        guard case .index(let index) = document.content else { Issue.record("not an index"); return }
        #expect(index.manifests[0].platform == Platform(os: "linux", architecture: "arm", variant: "v7", osVersion: "1", osFeatures: ["x"]))
        #expect(try Index(parsing: index.bytes) == index)
        #expect(document.bytes == Array(text.utf8))
    }

    @Test("what a document is, its media type says, or else its fields")
    func kinds() throws {
        let bare = manifest.replacing(#""mediaType":"application/vnd.oci.image.manifest.v1+json","#, with: "")
        #expect(try ManifestDocument(Array(bare.utf8), mediaType: nil).mediaType == .imageManifest)
        #expect(try ManifestDocument(Array(bare.utf8), mediaType: .dockerManifest).mediaType == .dockerManifest)
        #expect(try ManifestDocument(Array(#"{"schemaVersion":2,"manifests":[]}"#.utf8), mediaType: nil).mediaType == .imageIndex)
        #expect(try ManifestDocument(Array(manifest.utf8), mediaType: nil).mediaType == .imageManifest)
    }

    @Test("what is wrong with a document is said with its path", arguments: [
        ("[]", "expected an object, found an array"),
        ("{", "is not JSON: line 1, column 2: a member's name in quotes is expected"),
        (#"{"schemaVersion":1,"fsLayers":[]}"#, "schemaVersion: is 1 and not 2: Docker's schema 1 is obsolete; push the image again with a current tool"),
        (#"{"layers":[]}"#, "schemaVersion: is missing"),
        (manifest.replacing(#""schemaVersion":2"#, with: #""schemaVersion":"2""#), "schemaVersion: expected an integer, found a string"),
        (manifest.replacing(#""layers":"#, with: #""layer":"#), "layers: is missing"),
        (manifest.replacing(#""size":2}]"#, with: #""size":-1}]"#), "layers[0].size: -1 is negative"),
        (manifest.replacing(#""size":2}]"#, with: #""size":1e30}]"#), "layers[0].size: expected an integer, found 1e+30"),
        (manifest.replacing(#""size":2}]"#, with: #""size":2,"data":"e30"}]"#), "layers[0].data: is not base64"),
        (manifest.replacing(#""size":2}]"#, with: #""size":2,"data":"e30K"}]"#), "layers[0].data: has 3 bytes, and not 2 as the size says"),
        (manifest.replacing(#"tar+gzip""#, with: #"tar\n""#), #"layers[0].mediaType: "application/vnd.oci.image.layer.v1.tar\n" is not a media type"#),
        (manifest.replacing(#"\#(someDigest)","size":2}]"#, with: #"sha256:../x","size":2}]"#),
            #"layers[0].digest: "sha256:../x" is not a digest; one is `sha256:` and 64 hexadecimal digits in lower case"#),
        (manifest.dropLast() + #","manifests":[]}"#, "manifests: must not be in a manifest"),
        (#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"layers":[]}"#, "layers: must not be in an index"),
        (#"{"schemaVersion":2,"mediaType":"text/html"}"#, #"mediaType: "text/html" is neither an image's manifest nor an index"#),
    ])
    func refused(text: String, message: String) {
        do {
            _ = try ManifestDocument(Array(text.utf8), mediaType: nil)
            Issue.record("accepted")
        } catch { #expect("\(error)" == message) }
    }

    @Test("a document must be what it came as")
    func mismatch() {
        #expect(throws: DocumentError.shape(JSONShapeError(path: "mediaType", problem: #"is "application/vnd.oci.image.manifest.v1+json", but the document came as "application/vnd.oci.image.index.v1+json""#))) {
            try ManifestDocument(Array(manifest.utf8), mediaType: .imageIndex)
        }
    }

    @Test("a document may not be larger than its limit")
    func limit() throws {
        let count = manifest.utf8.count
        #expect(try ManifestDocument(Array(manifest.utf8), mediaType: nil, limit: count).bytes.count == count)
        #expect(throws: DocumentError.tooLarge(size: count, limit: count - 1)) { try ManifestDocument(Array(manifest.utf8), mediaType: nil, limit: count - 1) }
    }

    @Test("every field of a configuration is read and written")
    func configuration() throws {
        let text = #"""
            {"created":"2015-10-31T22:22:56.015925234Z","author":"A <a@example.com>","architecture":"arm","os":"linux","os.version":"5","os.features":["f"],"variant":"v7",
             "config":{"User":"alice","ExposedPorts":{"8080/tcp":{},"53/udp":{}},"Env":["PATH=/bin"],"Entrypoint":["/bin/e"],"Cmd":["--a"],"Volumes":{"/v":{}},"WorkingDir":"/w",
              "Labels":{"com.example":"x"},"StopSignal":"SIGTERM","ArgsEscaped":true,"Memory":1,"MemorySwap":-1,"CpuShares":8,"Hostname":"h","Domainname":"d","Shell":["/bin/sh","-c"],
              "OnBuild":["RUN x"],"StopTimeout":3,"Tty":true,"OpenStdin":true,"Image":"ignored",
              "Healthcheck":{"Test":["CMD","x"],"Interval":1,"Timeout":2,"StartPeriod":3,"StartInterval":4,"Retries":5}},
             "rootfs":{"diff_ids":["\#(someDigest)"],"type":"layers"},
             "history":[{"created":"2015-10-31T22:22:54Z","created_by":"/bin/sh","author":"A","comment":"c"},{"created_by":"x","empty_layer":true}],"docker_version":"ignored"}
            """#
        let value = try ImageConfiguration(parsing: Array(text.utf8))
        #expect(value.platform == Platform(os: "linux", architecture: "arm", variant: "v7", osVersion: "5", osFeatures: ["f"]))
        #expect(value.config.exposedPorts == ["53/udp", "8080/tcp"])
        #expect(value.config.healthcheck?.retries == 5)
        #expect(value.config.memorySwap == -1)
        #expect(value.history.map(\.emptyLayer) == [false, true])
        #expect(value.diffIDs.map(\.description) == [someDigest])
        #expect(try ImageConfiguration(parsing: value.bytes) == value)
        // Nothing is lost but what is not ours.
        let original = try JSONCursor(JSONValue(parsing: Array(text.utf8))).object()
        let written = try JSONCursor(JSONValue(parsing: value.bytes)).object()
        #expect(Set(written.keys) == Set(original.keys).subtracting(["docker_version"]))
        let originalConfig = try #require(try original["config"]?.object())
        let writtenConfig = try #require(try written["config"]?.object())
        #expect(Set(writtenConfig.keys) == Set(originalConfig.keys).subtracting(["Image"]))
        for key in writtenConfig.keys { #expect(writtenConfig[key]?.value == originalConfig[key]?.value) }
        #expect(written["history"]?.value == original["history"]?.value)
    }

    @Test("null in a configuration is absent")
    func nulls() throws {
        let text = #"{"architecture":"amd64","os":"linux","config":{"Cmd":null,"Env":null,"Volumes":{"/v":null},"Labels":null,"Entrypoint":null},"rootfs":{"type":"layers","diff_ids":null},"history":null}"#
        let value = try ImageConfiguration(parsing: Array(text.utf8))
        #expect(value.config.cmd.isEmpty && value.config.volumes == ["/v"] && value.diffIDs.isEmpty)
        #expect(throws: DocumentError.shape(JSONShapeError(path: "rootfs.type", problem: #""squashfs" is not "layers""#))) {
            try ImageConfiguration(parsing: Array(text.replacing(#""layers""#, with: #""squashfs""#).utf8))
        }
    }

    @Test("a chain ID names a layer with all beneath it")
    func chainIDs() throws {
        let ids = try ["a", "b", "c"].map { try Digest("sha256:" + String(repeating: $0, count: 64)) }
        var hashed: [String] = []
        let results = try ["1", "2"].map { try Digest("sha256:" + String(repeating: $0, count: 64)) }
        let chain = ImageConfiguration.chainIDs(of: ids) { bytes in
            hashed.append(String(decoding: bytes, as: UTF8.self))
            return results[hashed.count - 1]
        }
        #expect(chain == [ids[0]] + results)
        #expect(hashed == ["\(ids[0]) \(ids[1])", "\(results[0]) \(ids[2])"])
        #expect(ImageConfiguration.chainIDs(of: []) { _ in ids[0] }.isEmpty)
    }

    @Test("base64 is read and written", arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("\u{3FF}\u{FFFF}", "z7/vv78=")])
    func base64(text: String, encoded: String) {
        #expect(Base64.encode(Array(text.utf8)) == encoded)
        #expect(Base64.decode(encoded) == Array(text.utf8))
    }

    @Test("what is not base64 is refused", arguments: ["Z", "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm9v\n", "Zm-v", "Zg==Zg=="])
    func notBase64(text: String) {
        #expect(Base64.decode(text) == nil)
    }
}
