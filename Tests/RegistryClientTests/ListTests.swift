import NIOHTTP1
import OCIImage
import Synchronization
import Testing

@testable import RegistryClient

@Suite("lists")
struct ListTests {
    private func tags(_ handler: @escaping FaultServer.Handler) async throws -> (result: Result<[String], RegistryError>, requests: [SeenRequest]) {
        try await FaultServer.with(handler) { server in
            try await RegistryClient.withClient(testConfiguration(server.authority) { ($0.limits.listLength, $0.limits.pages) = (10, 10) }) { client in
                do { return (.success(try await client.tags(of: try Reference("\(server.authority)/a"))), server.requests) } catch let error as RegistryError { return (.failure(error), server.requests) }
            }
        }
    }

    @Test("all pages are read")
    func pages() async throws {
        let (result, requests) = try await tags { request, server in
            switch request.target {
            case "/v2/a/tags/list?n=1000": .answer(200, #"{"name":"a","tags":["1","2"]}"#, [("Link", #"</v2/a/tags/list?last=2&n=2>; rel="next""#)])
            case "/v2/a/tags/list?last=2&n=2": .answer(200, #"{"name":"a","tags":["3"]}"#, [("Link", "<http://\(server.authority)/v2/a/tags/list?last=3>; rel=next")])
            default: .answer(200, #"{"name":"a","tags":null}"#)
            }
        }
        #expect(try result.get() == ["1", "2", "3"])
        #expect(requests.count == 3)
    }

    @Test("pages that never end do end", arguments: [
        (#"</v2/a/tags/list?n=1000>; rel="next""#, RegistryError.Code.malformedAnswer), (#"</more?{count}>; rel="next""#, .tooLarge), (#"<http://127.0.0.1:1/>; rel="next""#, .malformedAnswer), (#"<ftp://h/>; rel="next""#, .malformedAnswer),
    ])
    func endless(link: String, code: RegistryError.Code) async throws {
        let (result, requests) = try await tags { _, server in .answer(200, #"{"tags":["x"]}"#, [("Link", link.replacing("{count}", with: "\(server.requests.count)"))]) }
        guard case .failure(let error) = result else { Issue.record("it ended"); return }
        #expect(error.code == code && requests.count <= 11)
    }

    @Test("pages without tags end, too")
    func empty() async throws {
        let (result, requests) = try await tags { _, server in .answer(200, "{}", [("Link", "</more?\(server.requests.count)>; rel=next")]) }
        guard case .failure(let error) = result else { Issue.record("it ended"); return }
        #expect(error.code == .malformedAnswer && requests.count <= 12)
    }

    @Test("what is no list is refused", arguments: ["", "[]", #"{"tags":"x"}"#, #"{"tags":[1]}"#])
    func malformed(text: String) async throws {
        let (result, _) = try await tags { _, _ in .answer(200, text) }
        guard case .failure(let error) = result else { Issue.record("accepted"); return }
        #expect(error.code == .malformedAnswer)
    }

    private let subject = Digest(of: [1])
    private func entry(_ kind: String) -> Descriptor {
        Descriptor(mediaType: .imageManifest, digest: Digest(of: Array(kind.utf8)), size: 1, artifactType: MediaType("application/\(kind)"))
    }

    @Test("a registry that knows referrers is asked for them, over pages")
    func referrers() async throws {
        let (first, second) = (Index(manifests: [entry("a"), entry("b")]).bytes, Index(manifests: [entry("c")]).bytes)
        try await FaultServer.with({ request, _ in
            request.target.contains("page=2") ? .bytes(second) : .bytes(first, [("Link", #"<?page=2>; rel="next""#)])
        }) { server in
            try await RegistryClient.withClient(testConfiguration(server.authority)) { client in
                let reference = try Reference("\(server.authority)/a")
                let all = try await client.referrers(of: subject, in: reference)
                #expect(all == [entry("a"), entry("b"), entry("c")])
                // It did not filter, so the client does.
                let some = try await client.referrers(of: subject, in: reference, artifactType: MediaType("application/c"))
                #expect(some == [entry("c")])
            }
            #expect(server.requests.map(\.target) == [
                "/v2/a/referrers/\(subject)", "/v2/a/referrers/\(subject)?page=2", "/v2/a/referrers/\(subject)?artifactType=application%2Fc", "/v2/a/referrers/\(subject)?page=2",
            ])
        }
    }

    @Test("a registry that keeps referrers itself gets no tag for them")
    func subjectKept() async throws {
        let image = try SomeImage(layers: [[1]])
        let content = Manifest(config: descriptor(of: image.configuration), layers: [], subject: image.manifest.descriptor(digest: image.digest))
        let document = try ManifestDocument(content.bytes, mediaType: .imageManifest)
        try await FaultServer.with({ _, _ in .answer(201, "", [("OCI-Subject", image.digest.description)]) }) { server in
            try await RegistryClient.withClient(testConfiguration(server.authority)) { client in try await client.push(document, to: try Reference("\(server.authority)/a:s")) }
            #expect(server.requests.map(\.description) == ["PUT /v2/a/manifests/s"])
            #expect(server.requests[0].body == document.bytes && server.requests[0].headers.first(name: "content-type") == MediaType.imageManifest.rawValue)
        }
    }

    @Test("a list of referrers that another program writes at the same time keeps both entries; mirrors' lists are not written back")
    func referrersRace() async throws {
        let image = try SomeImage(layers: [[1]])
        let content = Manifest(config: descriptor(of: image.configuration), layers: [], subject: image.manifest.descriptor(digest: image.digest))
        let document = try ManifestDocument(content.bytes, mediaType: .imageManifest)
        let list = Mutex<[UInt8]?>(nil)
        let others = Index(manifests: [entry("other")]).bytes
        try await FaultServer.with({ _, _ in .bytes(Index(manifests: []).bytes, [("Content-Type", MediaType.imageIndex.rawValue)]) }) { mirror in
            try await FaultServer.with({ request, _ in
                guard request.path.contains("/manifests/sha256-") else { return .answer(201) }
                if request.method == "GET" { return list.withLock { $0 }.map { .bytes($0, [("Content-Type", MediaType.imageIndex.rawValue)]) } ?? .answer(404) }
                // The other program has read the list before, too, and writes it after us, once.
                list.withLock { $0 = request.earlier == 0 ? others : request.body }
                return .answer(201)
            }) { server in
                let configuration = testConfiguration(server.authority) {
                    $0.registries = RegistryRules([RegistryRule(prefix: server.authority, transport: .plain, mirrors: [RegistryMirror(location: mirror.authority, transport: .plain)])])
                }
                try await RegistryClient.withClient(configuration) { client in try await client.push(document, to: try Reference("\(server.authority)/a:s")) }
                let kept = try Index(parsing: try #require(list.withLock { $0 }))
                #expect(Set(kept.manifests.map(\.digest)) == [entry("other").digest, Digest(of: document.bytes)])
                #expect(mirror.requests.isEmpty)
            }
        }
    }

    @Test("a registry that takes a manifest as another one is told of")
    func otherDigest() async throws {
        let image = try SomeImage(layers: [[1]])
        try await FaultServer.with({ _, _ in .answer(201, "", [("Docker-Content-Digest", Digest(of: [7]).description)]) }) { server in
            let error = await failure {
                try await RegistryClient.withClient(testConfiguration(server.authority)) { client in try await client.push(image.manifest, to: try Reference("\(server.authority)/a:1")) }
            }
            #expect(error?.code == .wrongContent)
        }
    }

    @Test("a registry that does not delete says so")
    func noDelete() async throws {
        try await FaultServer.with({ _, _ in .answer(405, #"{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}"#) }) { server in
            let error = await failure {
                try await RegistryClient.withClient(testConfiguration(server.authority)) { client in try await client.deleteManifest(try Reference("\(server.authority)/a:1")) }
            }
            #expect(error?.code == .unsupported)
        }
    }
}
