import NIOHTTP1
import OCIImage
import Testing

@testable import RegistryClient

@Suite("manifests")
struct ManifestTests {
    private func manifest(_ name: String, _ change: (inout ClientConfiguration) -> Void = { _ in }, _ handler: @escaping FaultServer.Handler) async throws -> (result: Result<FetchedManifest, RegistryError>, requests: [SeenRequest], retries: Int) {
        var changed = testConfiguration("")
        change(&changed)
        let limits = changed.limits
        let retries = Retries()
        return try await FaultServer.with(handler) { server in
            do {
                let fetched = try await RegistryClient.withClient(testConfiguration(server.authority) {
                    $0.limits = limits
                    $0.onRetry = { _, _ in retries.add() }
                }) { client in try await client.manifest(try Reference("\(server.authority)/a\(name)")) }
                return (.success(fetched), server.requests, retries.count)
            } catch let error as RegistryError { return (.failure(error), server.requests, retries.count) }
        }
    }

    private let image: SomeImage
    private let bytes: [UInt8]
    private let type = [("Content-Type", MediaType.imageManifest.rawValue)]

    init() throws {
        image = try SomeImage(layers: [someBytes(100)])
        bytes = image.manifest.bytes
    }

    @Test("a manifest comes by its tag or its digest")
    func fetched() async throws {
        let (bytes, type) = (bytes, type)
        for name in [":1", "@\(image.digest)", ":1@\(image.digest)", "@\(Digest(of: bytes, .sha512))"] {
            let (result, requests, _) = try await manifest(name) { _, _ in .bytes(bytes, type) }
            let fetched = try result.get()
            #expect(fetched.document == image.manifest)
            #expect(fetched.descriptor.size == Int64(bytes.count))
            #expect(requests[0].target == "/v2/a/manifests/\(name == ":1" ? "1" : String(name.split(separator: "@").last ?? ""))")
            #expect(Set(requests[0].headers["accept"]) == Set(MediaType.manifests.map(\.rawValue)))
        }
    }

    @Test("bytes of another digest are not the manifest")
    func wrongDigest() async throws {
        let (bytes, type) = (bytes, type)
        let (asked, _, _) = try await manifest("@\(Digest(of: [1]))") { _, _ in .bytes(bytes, type) }
        #expect(throws: RegistryError.self) { try asked.get() }
        let (said, _, _) = try await manifest(":1") { _, _ in .bytes(bytes, type + [("Docker-Content-Digest", Digest(of: [1]).description)]) }
        guard case .failure(let error) = said else { Issue.record("accepted"); return }
        #expect(error.code == .wrongContent)
        let (noDigest, _, _) = try await manifest(":1") { _, _ in .bytes(bytes, type + [("Docker-Content-Digest", "x")]) }
        guard case .failure(let other) = noDigest else { Issue.record("accepted"); return }
        #expect(other.code == .malformedAnswer)
    }

    @Test("what is no manifest is refused, with what is wrong", arguments: [
        ("<html>", MediaType.imageManifest.rawValue, RegistryError.Code.malformedAnswer), ("", MediaType.imageManifest.rawValue, .malformedAnswer), ("{}", MediaType.imageManifest.rawValue, .malformedAnswer),
        (#"{"schemaVersion":2,"manifests":[]}"#, MediaType.imageManifest.rawValue, .malformedAnswer), (#"{"schemaVersion":1,"name":"x"}"#, "application/vnd.docker.distribution.manifest.v1+prettyjws", .malformedAnswer),
        (String(repeating: "[", count: 100_000), MediaType.imageIndex.rawValue, .malformedAnswer),
    ])
    func garbage(text: String, type: String, code: RegistryError.Code) async throws {
        let (result, requests, _) = try await manifest(":1") { _, _ in .answer(200, text, [("Content-Type", type)]) }
        guard case .failure(let error) = result else { Issue.record("accepted"); return }
        #expect(error.code == code && requests.count == 1)
        #expect(error.description.contains("/v2/a/manifests/1"))
    }

    @Test("a manifest larger than its limit is refused before it has come, or while it comes")
    func tooLarge() async throws {
        let large = someBytes(200_000)
        for stated in [200_000, 4_000_000_000, -1] {
            let (result, requests, _) = try await manifest(":1") { $0.limits.manifestSize = 100_000 } _: { _, _ in
                var reaction = Reaction.bytes(large)
                reaction.statedLength = stated
                return reaction
            }
            guard case .failure(let error) = result else { Issue.record("accepted"); return }
            #expect(error.code == .tooLarge && requests.count == 1)
        }
    }

    @Test("a manifest that breaks off or trickles is asked for again, and not for ever")
    func broken() async throws {
        let (bytes, type) = (bytes, type)
        let (cut, _, _) = try await manifest(":1") { request, _ in
            var reaction = Reaction.bytes(bytes, type)
            if request.earlier == 0 { reaction.cutAfter = 10 }
            return reaction
        }
        #expect(try cut.get().document == image.manifest)
        let (slow, _, retries) = try await manifest(":1") { $0.limits.answerTimeout = .milliseconds(100) } _: { _, _ in
            var reaction = Reaction.bytes(bytes, type)
            reaction.dripMilliseconds = 5
            return reaction
        }
        guard case .failure(let error) = slow else { Issue.record("accepted"); return }
        #expect(error.code == .tooSlow && retries == 2)
    }

    @Test("what is not there is not there")
    func notFound() async throws {
        let (result, requests, _) = try await manifest(":1") { _, _ in .answer(404, #"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#) }
        guard case .failure(let error) = result else { Issue.record("accepted"); return }
        #expect(error.code == .notFound && error.registryCodes == ["MANIFEST_UNKNOWN"] && requests.count == 1)
        #expect(error.description.hasSuffix("/v2/a/manifests/1: 404 Not Found: MANIFEST_UNKNOWN: manifest unknown"))
    }

    @Test("the best image of an index is taken")
    func platforms() async throws {
        let image = image
        var entries: [Descriptor] = []
        for (os, architecture) in [("linux", "386"), ("linux", "amd64"), ("linux", "arm64"), ("unknown", "unknown")] {
            var entry = architecture == "amd64" ? image.manifest.descriptor(digest: image.digest) : descriptor(of: Array(architecture.utf8), .imageManifest)
            entry.platform = Platform(os: os, architecture: architecture)
            entries.append(entry)
        }
        let index = Index(manifests: entries).bytes
        try await FaultServer.with({ request, _ in
            request.target.hasSuffix("/1") ? .bytes(index, [("Content-Type", MediaType.imageIndex.rawValue)]) : .bytes(image.manifest.bytes, [("Content-Type", MediaType.imageManifest.rawValue)])
        }) { server in
            try await RegistryClient.withClient(testConfiguration(server.authority)) { client in
                let reference = try Reference("\(server.authority)/a:1")
                let found = try await client.image(reference, platform: Platform(os: "linux", architecture: "amd64"))
                #expect(found.manifest.digest == image.digest && found.root.digest == Digest(of: index))
                let error = await failure { try await client.image(reference, platform: Platform(os: "linux", architecture: "s390x")) }
                #expect(error?.code == .platform)
                #expect(error?.description == "\(server.authority)/a:1 has no image for linux/s390x; it has linux/386, linux/amd64, linux/arm64")
            }
        }
    }

    @Test("indexes in indexes end")
    func nested() async throws {
        // Each lists the one before.
        var documents: [Digest: [UInt8]] = [:]
        var last = Index(manifests: [], annotations: ["innermost": ""]).bytes
        for _ in 0..<10 {
            documents[Digest(of: last)] = last
            last = Index(manifests: [descriptor(of: last, .imageIndex)]).bytes
        }
        let (all, outermost) = (documents, last)
        try await FaultServer.with({ request, _ in
            let digest = try? Digest(String(request.target.dropFirst("/v2/a/manifests/".count)))
            return .bytes(digest.flatMap { all[$0] } ?? outermost, [("Content-Type", MediaType.imageIndex.rawValue)])
        }) { server in
            try await RegistryClient.withClient(testConfiguration(server.authority)) { client in
                let error = await failure { try await client.image(try Reference("\(server.authority)/a:1"), platform: .current) }
                #expect(error?.code == .malformedAnswer)
            }
            #expect(server.requests.count < 6)
        }
    }

    @Test("more layers than the limit are refused")
    func manyLayers() async throws {
        let image = try SomeImage(layers: (0..<20).map { [UInt8($0)] })
        try await FaultServer.with({ _, _ in .bytes(image.manifest.bytes, [("Content-Type", MediaType.imageManifest.rawValue)]) }) { server in
            try await RegistryClient.withClient(testConfiguration(server.authority) { $0.limits.layers = 19 }) { client in
                let error = await failure { try await client.image(try Reference("\(server.authority)/a:1"), platform: .current) }
                #expect(error?.code == .tooLarge)
            }
        }
    }

    @Test("an image whose layers have sizes that no disk has is refused", arguments: [1 << 60, .max] as [Int64])
    func endlessLayers(size: Int64) async throws {
        let content = Manifest(config: descriptor(of: [1], .imageConfiguration), layers: (0..<20).map { Descriptor(mediaType: .imageLayer, digest: Digest(of: [$0]), size: size) })
        try await FaultServer.with({ _, _ in .bytes(content.bytes, [("Content-Type", MediaType.imageManifest.rawValue)]) }) { server in
            try await RegistryClient.withClient(testConfiguration(server.authority)) { client in
                let error = await failure { try await client.image(try Reference("\(server.authority)/a:1"), platform: .current) }
                #expect(error?.code == .tooLarge)
            }
        }
    }

    @Test("a mirror that sends another blob does not keep the registry's from coming", arguments: [false, true])
    func wrongMirror(breaks: Bool) async throws {
        let layer = someBytes(300_000)
        let image = try SomeImage(layers: [layer])
        let manifest = Reaction.bytes(image.manifest.bytes, [("Content-Type", MediaType.imageManifest.rawValue)])
        try await FaultServer.with({ request, _ in
            if request.path.contains("/manifests/") { return manifest }
            var reaction = Reaction.bytes([UInt8](repeating: 7, count: layer.count))
            // The registry's part is to go on where the mirror's wrong one ended.
            if breaks { reaction.cutAfter = 50_000 }
            return reaction
        }) { mirror in
            try await FaultServer.with({ request, _ in
                request.path.contains("/manifests/") ? manifest : .file(request.path.hasSuffix(Digest(of: layer).hex) ? layer : image.configuration, for: request)
            }) { server in
                let configuration = testConfiguration(server.authority) {
                    $0.registries = RegistryRules([RegistryRule(prefix: server.authority, transport: .plain, mirrors: [RegistryMirror(location: mirror.authority, transport: .plain)])])
                }
                let store = RecordingStore()
                try await RegistryClient.withClient(configuration) { client in _ = try await client.pull(try Reference("\(server.authority)/a:1"), platform: .current, into: store) }
                #expect(store.bytes(Digest(of: layer)) == layer && store.bytes(Digest(of: image.configuration)) == image.configuration)
            }
        }
    }

    @Test("mirrors are asked first, and the registry when they fail")
    func mirrors() async throws {
        let image = image
        let answer: FaultServer.Handler = { _, _ in .bytes(image.manifest.bytes, [("Content-Type", MediaType.imageManifest.rawValue)]) }
        try await FaultServer.with({ _, _ in .answer(404) }) { empty in
            try await FaultServer.with({ _, _ in .answer(500) }) { broken in
                try await FaultServer.with(answer) { good in
                    let rules = RegistryRules([RegistryRule(prefix: good.authority, transport: .plain, mirrors: [
                        RegistryMirror(location: "\(empty.authority)/m", transport: .plain), RegistryMirror(location: broken.authority, transport: .plain),
                    ])])
                    try await RegistryClient.withClient(testConfiguration(good.authority) { $0.registries = rules }) { client in
                        let reference = try Reference("\(good.authority)/a:1")
                        #expect(try await client.manifest(reference).digest == image.digest)
                        // A push goes to no mirror.
                        _ = await failure { try await client.push(image.manifest, to: reference.repository.with(digest: Digest(of: [1]))) }
                    }
                    #expect(empty.requests.map(\.target) == ["/v2/m/a/manifests/1"])
                    #expect(broken.requests.map(\.target) == Array(repeating: "/v2/a/manifests/1", count: 3))
                    #expect(good.requests.count == 1)
                }
            }
        }
    }
}
