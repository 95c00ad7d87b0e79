import NIOHTTP1
import OCIImage
import Testing

@testable import RegistryClient

/// Blobs, from a server that does to each request what the test says.
@Suite("blobs that come badly")
struct DownloadTests {
    private let content = someBytes(300_000)

    /// Fetches the content from a server, and says what came of it.
    private func fetch(
        _ wanted: Descriptor? = nil, _ change: @escaping @Sendable (inout ClientConfiguration) -> Void = { _ in }, _ handler: @escaping FaultServer.Handler
    ) async throws -> (error: RegistryError?, sink: RecordingSink, requests: [SeenRequest], retries: Int) {
        let wanted = wanted ?? descriptor(of: content)
        return try await FaultServer.with(handler) { server in
            let sink = RecordingSink()
            let retries = Retries()
            var configuration = testConfiguration(server.authority, change)
            configuration.onRetry = { _, _ in retries.add() }
            let outcome = await settled {
                try await RegistryClient.withClient(configuration) { client in try await client.blob(wanted, in: try Reference("\(server.authority)/a/b"), to: sink) }
            }
            var problem: RegistryError?
            do { try outcome.get() } catch let error as RegistryError { problem = error }
            return (problem, sink, server.requests, retries.count)
        }
    }

    @Test("a blob comes whole, once")
    func whole() async throws {
        let content = content
        let result = try await fetch { request, _ in .file(content, for: request) }
        #expect(result.error == nil)
        #expect(result.sink.bytes == content && result.sink.outcome == .finished)
        #expect(result.requests.map(\.description) == ["GET /v2/a/b/blobs/\(Digest(of: content))"])
        // The digest is of the content as it is.
        #expect(result.requests[0].headers["accept-encoding"] == ["identity"])
    }

    @Test("an empty blob, and one whose digest is SHA-512")
    func others() async throws {
        let empty = try await fetch(descriptor(of: [])) { _, _ in .bytes([]) }
        #expect(empty.error == nil && empty.sink.outcome == .finished)
        let content = content
        let long = Descriptor(mediaType: .imageLayer, digest: Digest(of: content, .sha512), size: Int64(content.count))
        let other = try await fetch(long) { request, _ in .file(content, for: request) }
        #expect(other.error == nil && other.sink.bytes == content)
    }

    @Test("an embedded blob is not fetched, and is verified")
    func embedded() async throws {
        var wanted = descriptor(of: Array("{}".utf8), .empty)
        wanted.data = Array("{}".utf8)
        let good = try await fetch(wanted) { _, _ in .answer(500) }
        #expect(good.sink.bytes == wanted.data && good.sink.outcome == .finished && good.requests.isEmpty)
        wanted.data = Array("[]".utf8)
        let bad = try await fetch(wanted) { _, _ in .answer(500) }
        #expect(bad.error?.code == .wrongContent && bad.sink.outcome == .abandoned)
    }

    @Test("after a cut the rest is asked for, and only the rest")
    func cut() async throws {
        let content = content
        let result = try await fetch { request, _ in
            var reaction = Reaction.file(content, for: request)
            if request.earlier < 2 { reaction.cutAfter = 100_000 }
            return reaction
        }
        #expect(result.error == nil && result.sink.bytes == content)
        #expect(result.requests.count == 3)
        #expect(result.requests[0].headers.first(name: "range") == nil)
        // What the connection lost on its way is asked for again.
        for request in result.requests.dropFirst() {
            let range = try #require(request.headers.first(name: "range"))
            let start = try #require(Int(range.dropFirst("bytes=".count).dropLast()))
            #expect(start > 0 && start <= 200_000 && range.hasSuffix("-"))
        }
    }

    @Test("a server without ranges sends all again, of which the rest is taken")
    func noRanges() async throws {
        let content = content
        let result = try await fetch { request, _ in
            var reaction = Reaction.bytes(content)
            if request.earlier == 0 { reaction.cutAfter = 123_456 }
            return reaction
        }
        #expect(result.error == nil && result.sink.bytes == content && result.requests.count == 2)
    }

    @Test("cuts without progress end it")
    func cuts() async throws {
        let content = content
        let result = try await fetch { request, _ in
            var reaction = Reaction.file(content, for: request)
            reaction.cutAfter = 1
            return reaction
        }
        #expect(result.error?.code == .connection && result.requests.count == 3 && result.sink.outcome == .abandoned)
    }

    @Test("a server that stalls is given up, and asked again")
    func stall() async throws {
        let content = content
        let result = try await fetch {
            $0.limits.idleTimeout = .milliseconds(200)
            // A machine that is busy stalls too.
            $0.limits.attempts = 1000
        } _: { request, _ in
            var reaction = Reaction.file(content, for: request)
            if request.earlier == 0 { reaction.stallAfter = 5000 }
            return reaction
        }
        #expect(result.error == nil && result.sink.bytes == content && result.retries >= 1)
    }

    @Test("a byte now and then does not hold a client")
    func slowLoris() async throws {
        let content = content
        let result = try await fetch {
            $0.limits.progressInterval = .milliseconds(50)
            $0.limits.progressBytes = 1000
        } _: { request, _ in
            var reaction = Reaction.file(content, for: request)
            reaction.dripMilliseconds = 5
            return reaction
        }
        #expect(result.error?.code == .tooSlow && result.retries == 2 && result.sink.outcome == .abandoned)
    }

    @Test("an answer that never begins is given up")
    func silence() async throws {
        let result = try await fetch { $0.limits.idleTimeout = .milliseconds(50) } _: { _, _ in
            try await Task.sleep(for: .seconds(600))
            return .answer(200)
        }
        // The machine may be so slow that the server has not seen them all.
        #expect(result.error?.code == .tooSlow && result.retries == 2)
    }

    @Test("bytes of another digest are no blob, and are not asked for again")
    func wrongDigest() async throws {
        var other = content
        other[150_000] ^= 1
        let wrong = other
        let result = try await fetch { request, _ in .file(wrong, for: request) }
        #expect(result.error?.code == .wrongContent && result.requests.count == 1 && result.sink.outcome == .abandoned)
        #expect(result.error?.description == "what came as \(Digest(of: content)) has the digest \(Digest(of: wrong))")
    }

    @Test("a blob of another length is refused, as soon as it is known", arguments: [-1, 1])
    func wrongLength(by difference: Int) async throws {
        let content = content
        let changed = difference > 0 ? content + [0] : Array(content.dropLast())
        let stated = try await fetch { _, _ in .bytes(changed) }
        #expect(stated.error?.code == .wrongContent && stated.requests.count == 1 && stated.sink.bytes.isEmpty)
        // Of a body that ends with its connection, the length is known at its end.
        let unstated = try await fetch { _, _ in
            var reaction = Reaction.bytes(changed)
            reaction.statedLength = -1
            return reaction
        }
        #expect(unstated.error?.code == (difference > 0 ? .tooLarge : .connection) && unstated.sink.outcome == .abandoned)
        #expect(unstated.sink.bytes.count <= content.count)
    }

    @Test("a truncated answer is a broken connection")
    func truncated() async throws {
        let content = content
        let result = try await fetch { request, _ in
            var reaction = Reaction.file(content, for: request)
            if request.earlier == 0 { (reaction.statedLength, reaction.body) = (content.count, Array(content.prefix(1000))) }
            return reaction
        }
        #expect(result.error == nil && result.sink.bytes == content && result.requests.count == 2)
    }

    @Test("another range than the one that was asked for is refused")
    func wrongRange() async throws {
        let content = content
        for wrong in ["bytes 0-9/10", "bytes 1-2", "", "bytes 100-299999/7"] {
            let result = try await fetch { request, _ in
                if request.earlier == 0 {
                    var reaction = Reaction.bytes(content)
                    reaction.cutAfter = 100_000
                    return reaction
                }
                return Reaction(status: 206, headers: HTTPHeaders([("Content-Range", wrong)]), body: Array(content.dropFirst(100_000)))
            }
            #expect(result.error?.code == .malformedAnswer && result.sink.outcome == .abandoned)
        }
    }

    @Test("a server that answers ranges with something else is asked for all of it", arguments: [416, 206, 0])
    func badRanges(status: Int) async throws {
        let content = content
        for change in [{ _ in }, Self.inParts] as [@Sendable (inout ClientConfiguration) -> Void] {
            let result = try await fetch(nil, change) { request, _ in
                if request.headers.first(name: "range") == nil {
                    var reaction = Reaction.bytes(content)
                    if request.earlier == 0 { reaction.cutAfter = 100_000 }
                    return reaction
                }
                // The first part is good, where there are parts.
                if status == 0 { return request.earlier == 0 ? .file(content, for: request) : .bytes(content) }
                return Reaction(status: status, headers: HTTPHeaders([("Content-Range", status == 416 ? "bytes */7" : "bytes 0-6/7")]), body: Array(content.prefix(7)))
            }
            #expect(result.error == nil && result.sink.bytes == content && result.sink.outcome == .finished, "\(result.requests)")
        }
    }

    @Test("a size that no blob has ends nothing but the download")
    func endlessSize() async throws {
        let content = content
        let wanted = Descriptor(mediaType: .imageLayer, digest: Digest(of: content), size: .max)
        let result = try await fetch(wanted, Self.inParts) { request, _ in
            guard request.headers.first(name: "range")?.hasPrefix("bytes=0-") == true else { return .answer(404) }
            return Reaction(status: 206, headers: HTTPHeaders([("Content-Range", "bytes 0-39999/\(Int64.max)")]), body: Array(content.prefix(40_000)))
        }
        #expect(result.error?.code == .notFound && result.sink.outcome == .abandoned)
    }

    @Test("what may pass is tried again, what may not is not", arguments: [(500, 3), (502, 3), (503, 3), (504, 3), (429, 3), (408, 3), (404, 1), (403, 1), (400, 1), (418, 1), (501, 1)])
    func statuses(status: Int, requests: Int) async throws {
        let result = try await fetch { _, _ in .answer(status, #"{"errors":[{"code":"X","message":"why"}]}"#) }
        #expect(result.requests.count == requests && result.sink.outcome == .abandoned)
        #expect(result.error?.description.contains("X: why") == true)
    }

    @Test("a server that fails at first is waited for as long as it asks")
    func retryAfter() async throws {
        let content = content
        let clock = ContinuousClock()
        let start = clock.now
        let result = try await fetch { request, _ in request.earlier == 0 ? .answer(429, "", [("Retry-After", "1")]) : .file(content, for: request) }
        #expect(result.error == nil && result.sink.bytes == content && result.requests.count == 2)
        #expect(clock.now - start >= .seconds(1))
    }

    @Test("a server that asks for too long a wait is not waited for")
    func longRetryAfter() async throws {
        let result = try await fetch { $0.limits.longestRetryAfter = .seconds(10) } _: { _, _ in .answer(429, "", [("Retry-After", "3600")]) }
        #expect(result.error?.code == .tooManyRequests && result.requests.count == 1)
        #expect(result.error?.description.contains("try again in 3600 s") == true)
    }

    @Test("an answer that is no HTTP is refused")
    func noHTTP() async throws {
        let result = try await fetch { _, _ in Reaction(raw: Array("SSH-2.0-OpenSSH_9.2\r\n".utf8)) }
        #expect(result.error?.code == .malformedAnswer && result.requests.count == 1)
    }

    @Test("what a sink throws ends the download")
    func sinkFails() async throws {
        struct Full: Error {}
        final class FullSink: BlobSink {
            func write(_ bytes: [UInt8]) throws { throw Full() }
            func finish() {}
            func abandon() {}
        }
        let content = content
        try await FaultServer.with({ request, _ in .file(content, for: request) }) { server in
            await #expect(throws: Full.self) {
                try await RegistryClient.withClient(testConfiguration(server.authority)) { client in
                    try await client.blob(descriptor(of: content), in: try Reference("\(server.authority)/a"), to: FullSink())
                }
            }
        }
    }

    @Test("a download that is cancelled ends soon, and is abandoned")
    func cancellation() async throws {
        let content = content
        try await FaultServer.with({ request, _ in
            var reaction = Reaction.file(content, for: request)
            reaction.stallAfter = 1000
            return reaction
        }) { server in
            let sink = RecordingSink()
            let task = Task {
                try await RegistryClient.withClient(testConfiguration(server.authority)) { client in try await client.blob(descriptor(of: content), in: try Reference("\(server.authority)/a"), to: sink) }
            }
            while sink.bytes.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(sink.outcome == .abandoned)
        }
    }

    // Parts.

    private static let inParts: @Sendable (inout ClientConfiguration) -> Void = {
        $0.limits.partsFrom = 100_000
        $0.limits.partSize = 40_000
        $0.limits.parallelParts = 3
    }

    @Test("a large blob comes in parts, and in its order")
    func parts() async throws {
        let content = content
        let result = try await fetch(nil, Self.inParts) { request, _ in
            // The later ones come first.
            let range = request.headers.first(name: "range") ?? ""
            if range == "bytes=40000-79999" { try await Task.sleep(for: .milliseconds(50)) }
            return .file(content, for: request)
        }
        #expect(result.error == nil && result.sink.bytes == content)
        #expect(Set(result.requests.compactMap { $0.headers.first(name: "range") }) == Set((0..<8).map { "bytes=\($0 * 40000)-\(min($0 * 40000 + 39999, 299_999))" }))
    }

    @Test("parts that break are fetched again, each by itself")
    func brokenParts() async throws {
        let content = content
        let result = try await fetch(nil, Self.inParts) { request, server in
            let range = request.headers.first(name: "range")
            var reaction = Reaction.file(content, for: request)
            // Each once.
            if server.requests.filter({ $0.headers.first(name: "range") == range }).count == 1 { reaction.cutAfter = 10 }
            return reaction
        }
        #expect(result.error == nil && result.sink.bytes == content)
    }

    @Test("a server without ranges sends a large blob as a whole")
    func partsWithoutRanges() async throws {
        let content = content
        let result = try await fetch(nil, Self.inParts) { _, _ in .bytes(content) }
        #expect(result.error == nil && result.sink.bytes == content && result.requests.count == 1)
    }

    @Test("one part that is wrong makes the whole wrong")
    func wrongPart() async throws {
        let content = content
        let result = try await fetch(nil, Self.inParts) { request, _ in
            var reaction = Reaction.file(content, for: request)
            if request.headers.first(name: "range") == "bytes=120000-159999" { reaction.body[7] ^= 1 }
            return reaction
        }
        #expect(result.error?.code == .wrongContent && result.sink.outcome == .abandoned)
    }

    @Test("one connection serves what comes one after the other, and none stays when a download ends badly")
    func connections() async throws {
        let content = content
        let (stalled, signal) = AsyncStream.makeStream(of: Void.self)
        try await FaultServer.with({ request, _ in
            if request.path.hasSuffix("/missing") { return .answer(404, "no") }
            if request.method == "HEAD" { return .answer(200) }
            let range = request.headers.first(name: "range")
            if range == nil || range == "bytes=0-39999" { return .file(content, for: request) }
            var reaction = Reaction.file(content, for: request)
            reaction.stallAfter = 10
            signal.finish()
            return reaction
        }) { server in
            var configuration = testConfiguration(server.authority)
            try await RegistryClient.withClient(configuration) { client in
                let reference = try Reference("\(server.authority)/a")
                for _ in 0..<3 {
                    #expect(try await client.hasBlob(Digest(of: content), in: reference))
                    #expect(await failure { try await client.manifest(try reference.with(tag: "missing")) }?.code == .notFound)
                    #expect(try await client.blobBytes(descriptor(of: content), in: reference, limit: 300_000) == content)
                }
                #expect(server.connections.made == 1)
            }
            Self.inParts(&configuration)
            let inParts = configuration
            let task = Task {
                try await RegistryClient.withClient(inParts) { client in try await client.blob(descriptor(of: content), in: try Reference("\(server.authority)/a"), to: RecordingSink()) }
            }
            for await _ in stalled {}
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            // The server hears of it a little later.
            while server.connections.open > 0 { try await Task.sleep(for: .milliseconds(10)) }
            #expect(server.connections.made > 1)
        }
    }

    @Test("a part that fails for good ends all")
    func failedPart() async throws {
        let content = content
        let result = try await fetch(nil, Self.inParts) { request, _ in request.headers.first(name: "range") == "bytes=120000-159999" ? .answer(404) : .file(content, for: request) }
        #expect(result.error?.code == .notFound && result.sink.outcome == .abandoned)
    }
}
