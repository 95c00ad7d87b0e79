import NIOHTTP1
import OCIImage
import Synchronization
import Testing

@testable import RegistryClient

/// A registry's uploads, to which a test does something.
private final class Uploads: Sendable {
    let sessions = Mutex<[String: [UInt8]]>([:])
    private let begun = Mutex(0)

    /// The answer to a request, as a registry gives it.
    func react(_ request: SeenRequest) -> Reaction {
        sessions.withLock { sessions in
            switch request.method {
            case "HEAD": return .answer(404)
            case "POST":
                let place = "/v2/a/blobs/uploads/\(begun.withLock { $0 += 1; return $0 })"
                sessions[place] = []
                // Relative, and with a state that is a URL.
                return .answer(202, "", [("Location", "\(place)?_state=http://x/y")])
            case "PATCH":
                guard sessions[request.path] != nil else { return Self.unknown }
                sessions[request.path]? += request.body
                return .answer(202, "", [("Location", request.target), ("Range", "0-\((sessions[request.path]?.count ?? 0) - 1)")])
            case "GET":
                guard let bytes = sessions[request.path] else { return Self.unknown }
                return .answer(204, "", [("Location", request.target), ("Range", "0-\(max(0, bytes.count - 1))")])
            case "PUT":
                guard sessions[request.path] != nil else { return Self.unknown }
                sessions[request.path]? += request.body
                return .answer(201)
            default: return .answer(204)
            }
        }
    }
    static let unknown = Reaction.answer(404, #"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"gone"}]}"#)
}

@Suite("uploads that go badly")
struct UploadTests {
    private let blob = someBytes(100_000)

    private func push(
        chunkSize: Int64? = 30_000, _ fault: @escaping @Sendable (SeenRequest, Uploads) async throws -> Reaction?
    ) async throws -> (error: RegistryError?, content: [[UInt8]], requests: [SeenRequest]) {
        let uploads = Uploads()
        return try await FaultServer.with({ request, _ in try await fault(request, uploads) ?? uploads.react(request) }) { server in
            let configuration = testConfiguration(server.authority) { $0.limits.chunkSize = chunkSize }
            let outcome = await settled {
                try await RegistryClient.withClient(configuration) { client in _ = try await client.push(descriptor(of: blob), from: MemorySource(blob), to: try Reference("\(server.authority)/a")) }
            }
            var problem: RegistryError?
            do { try outcome.get() } catch let error as RegistryError { problem = error }
            return (problem, uploads.sessions.withLock { sessions in sessions.keys.sorted().compactMap { sessions[$0] } }, server.requests)
        }
    }

    @Test("an upload that the registry has lost is begun anew", arguments: [nil, 30_000] as [Int64?])
    func lost(chunkSize: Int64?) async throws {
        let result = try await push(chunkSize: chunkSize) { request, uploads in
            // The first session goes when most of it is there.
            if request.path.hasSuffix("/1"), request.method == "PUT" || request.earlier == 1 { uploads.sessions.withLock { $0[request.path] = nil } }
            return nil
        }
        #expect(result.error == nil && result.content.last == blob && result.requests.filter { $0.method == "POST" }.count == 2)
    }

    @Test("uploads that are lost again and again end")
    func lostForEver() async throws {
        let result = try await push { request, _ in request.method == "PATCH" ? Uploads.unknown : nil }
        #expect(result.error?.code == .notFound && result.error?.registryCodes == ["BLOB_UPLOAD_UNKNOWN"])
        #expect(result.requests.filter { $0.method == "POST" }.count == 3)
    }

    @Test("after a chunk out of order the registry is asked what it has (416)")
    func outOfOrder() async throws {
        let result = try await push { request, uploads in
            guard request.method == "PATCH", request.earlier == 1 else { return nil }
            // It has taken the chunk, and lost its answer.
            _ = uploads.react(request)
            return .answer(416, "", [("Location", request.target), ("Range", "0-29999")])
        }
        #expect(result.error == nil && result.content == [blob])
        #expect(result.requests.map(\.method) == ["HEAD", "POST", "PATCH", "PATCH", "GET", "PATCH", "PATCH", "PUT"])
    }

    @Test("a registry that takes less than a chunk gets the rest")
    func partly() async throws {
        let result = try await push { request, uploads in
            guard request.method == "PATCH", request.earlier == 1 else { return nil }
            let half = SeenRequest(method: "PATCH", target: request.target, headers: request.headers, body: Array(request.body.prefix(10_000)), earlier: 1)
            return uploads.react(half)
        }
        #expect(result.error == nil && result.content == [blob])
    }

    @Test("one that says it has more than was sent, or nothing, is not believed", arguments: ["0-99999", "0-0", "7-9", ""])
    func nonsense(range: String) async throws {
        let result = try await push { request, _ in request.method == "PATCH" ? .answer(202, "", [("Location", request.target), ("Range", range)]) : nil }
        #expect(result.error?.code == .malformedAnswer)
    }

    @Test("what takes long to send may take longer than an answer", arguments: [(0, 120), (30 << 10, 150), (32 << 20, 120 + 32768), (Int64.max, 120 + 86400)] as [(Int64, Int64)])
    func slowUpload(bytes: Int64, seconds: Int64) { #expect(ClientLimits().answerTime(after: bytes) == .seconds(seconds)) }

    @Test("a push that is cancelled tells the registry")
    func cancelled() async throws {
        let (arrived, signal) = AsyncStream.makeStream(of: Void.self)
        let uploads = Uploads()
        let blob = blob
        try await FaultServer.with({ request, _ in
            if request.method == "PUT" {
                signal.finish()
                try await Task.sleep(for: .seconds(600))
            }
            return uploads.react(request)
        }) { server in
            let task = Task {
                try await RegistryClient.withClient(testConfiguration(server.authority)) { client in _ = try await client.push(descriptor(of: blob), from: MemorySource(blob), to: try Reference("\(server.authority)/a")) }
            }
            for await _ in arrived {}
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(server.requests.last?.description == "DELETE /v2/a/blobs/uploads/1?_state=http://x/y")
        }
    }

    @Test("a token server that does not grant the other repository does not stand in the way", arguments: [401, 403])
    func mountNotGranted(status: Int) async throws {
        let uploads = Uploads()
        let blob = blob
        try await FaultServer.with({ request, server in
            if request.path == "/token" { return request.target.contains("other") ? .answer(status) : .answer(200, #"{"token":"t"}"#) }
            guard request.headers.first(name: "authorization") == "Bearer t" else { return .answer(401, "", [("WWW-Authenticate", #"Bearer realm="http://\#(server.authority)/token""#)]) }
            return uploads.react(request)
        }) { server in
            try await RegistryClient.withClient(testConfiguration(server.authority)) { client in
                let pushed = try await client.push(descriptor(of: blob), from: MemorySource(blob), to: try Reference("\(server.authority)/a"), mountingFrom: try Reference("\(server.authority)/other"))
                #expect(pushed == .uploaded)
            }
            #expect(server.requests.contains { $0.target.contains("other") })
        }
    }
}

/// Layers that are elsewhere than at the registry.
@Suite("URLs of blobs")
struct BlobURLTests {
    private let layer = someBytes(50_000)

    /// Fetches a blob that the registry does not have.
    private func fetch(_ urls: [String], _ change: (inout ClientConfiguration, String) -> Void = { _, _ in }, _ handler: @escaping FaultServer.Handler) async throws -> (error: RegistryError?, sink: RecordingSink, requests: [SeenRequest]) {
        try await FaultServer.with({ _, _ in .answer(404) }) { registry in
            try await FaultServer.with(handler) { elsewhere in
                let host = elsewhere.authority
                var wanted = descriptor(of: layer, .nondistributableLayerGzip)
                wanted.urls = urls.map { $0.replacing("{host}", with: host) }
                let sink = RecordingSink()
                let configuration = testConfiguration(registry.authority) {
                    $0.registries.rules.append(RegistryRule(prefix: host, transport: .plain))
                    $0.credentials = GivenCredential(domain: host, .password(user: "alice", password: "geheim"))
                    change(&$0, host)
                }
                let sent = wanted
                let outcome = await settled { try await RegistryClient.withClient(configuration) { client in try await client.blob(sent, in: try Reference("\(registry.authority)/a"), to: sink) } }
                var problem: RegistryError?
                do { try outcome.get() } catch let error as RegistryError { problem = error }
                return (problem, sink, elsewhere.requests)
            }
        }
    }

    @Test("what the registry does not have comes from the first that has it, and goes on there after a cut; without credentials")
    func comes() async throws {
        let layer = layer
        let result = try await fetch(["ftp://h/x", "http://{host}/none", "http://{host}/layer?key=s", "http://{host}/never"]) { request, _ in
            guard request.path == "/layer" else { return .answer(401, "", [("WWW-Authenticate", "Basic realm=x")]) }
            var reaction = Reaction.file(layer, for: request)
            if request.earlier == 0 { reaction.cutAfter = 20_000 }
            return reaction
        }
        #expect(result.error == nil && result.sink.bytes == layer && result.sink.outcome == .finished)
        #expect(result.requests.map(\.target) == ["/none", "/layer?key=s", "/layer?key=s"])
        #expect(result.requests.allSatisfy { !$0.headers.contains(name: "authorization") })
    }

    @Test("what is not the blob is not taken, wherever it is from")
    func wrong() async throws {
        let layer = layer
        let result = try await fetch(["http://{host}/layer"]) { _, _ in .bytes([UInt8](repeating: 0, count: layer.count)) }
        #expect(result.error?.code == .wrongContent && result.sink.outcome == .abandoned)
    }

    @Test("no more than a few are asked, and the error says what was tried")
    func many() async throws {
        let result = try await fetch((0..<50).map { "http://{host}/\($0)" }) { _, _ in .answer(404) }
        #expect(result.error?.code == .notFound && result.requests.count == 8 && result.error?.description.contains("/7: 404") == true)
    }

    @Test("a host that the configuration does not name is not asked in the clear, and a blocked one not at all", arguments: [true, false])
    func forbidden(isBlocked: Bool) async throws {
        let result = try await fetch(["http://{host}/layer"], { configuration, host in
            configuration.registries.rules.removeAll { $0.prefix == host }
            if isBlocked { configuration.registries.rules.append(RegistryRule(prefix: host, transport: .plain, isBlocked: true)) }
        }) { _, _ in .answer(200) }
        #expect(result.error?.code == .notFound && result.requests.isEmpty)
        #expect(result.error?.description.contains(isBlocked ? "blocks" : "without encryption") == true)
    }

    @Test("such a layer is not uploaded")
    func notUploaded() async throws {
        let configuration = ImageConfiguration(platform: .current, diffIDs: [Digest(of: layer)]).bytes
        var foreign = descriptor(of: layer, .nondistributableLayerGzip)
        foreign.urls = ["https://example.com/layer"]
        let document = try ManifestDocument(Manifest(config: descriptor(of: configuration, .imageConfiguration), layers: [foreign]).bytes, mediaType: .imageManifest)
        let store = RecordingStore()
        _ = store.sink(for: descriptor(of: configuration))
        try await FaultServer.with({ request, _ in request.method == "HEAD" ? .answer(200) : .answer(201) }) { server in
            try await RegistryClient.withClient(testConfiguration(server.authority)) { client in _ = try await client.push(document, from: store, to: try Reference("\(server.authority)/a:1")) }
            #expect(server.requests.map(\.description) == ["HEAD /v2/a/blobs/\(Digest(of: configuration))", "PUT /v2/a/manifests/1"])
        }
    }
}
