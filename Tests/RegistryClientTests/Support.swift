import Foundation
import NIOHTTP1
import OCIImage
import Synchronization
import Testing

@testable import RegistryClient

/// A client for tests: plain HTTP with the server, and times so short that what waits is seen to wait.
func testConfiguration(_ authority: String, _ change: (inout ClientConfiguration) -> Void = { _ in }) -> ClientConfiguration {
    var configuration = ClientConfiguration()
    configuration.registries = RegistryRules([RegistryRule(prefix: authority, transport: .plain)])
    configuration.certificateDirectories = []
    configuration.limits.firstRetryDelay = .milliseconds(1)
    configuration.limits.longestRetryDelay = .milliseconds(4)
    configuration.limits.attempts = 3
    change(&configuration)
    return configuration
}

/// How often a client tried again.
final class Retries: Sendable {
    private let counter = Mutex(0)
    var count: Int { counter.withLock { $0 } }
    func add() { counter.withLock { $0 += 1 } }
}

/// Where a test's blob goes.
final class RecordingSink: BlobSink {
    enum Outcome: Sendable { case open, finished, abandoned }
    private struct State {
        var bytes: [UInt8] = []
        var outcome = Outcome.open
    }
    private let state = Mutex(State())
    var bytes: [UInt8] { state.withLock { $0.bytes } }
    var outcome: Outcome { state.withLock { $0.outcome } }
    func write(_ bytes: [UInt8]) { state.withLock { $0.bytes += bytes } }
    func finish() { state.withLock { $0.outcome = .finished } }
    func abandon() { state.withLock { $0.outcome = .abandoned } }
}

/// A store in memory.
final class RecordingStore: ContentReceiver, ContentProvider {
    let sinks = Mutex<[Digest: RecordingSink]>([:])
    func contains(_ descriptor: Descriptor) -> Bool { sinks.withLock { $0[descriptor.digest]?.outcome == .finished } }
    func sink(for descriptor: Descriptor) -> any BlobSink {
        let sink = RecordingSink()
        sinks.withLock { $0[descriptor.digest] = sink }
        return sink
    }
    func source(of descriptor: Descriptor) throws -> any BlobSource { MemorySource(try #require(sinks.withLock { $0[descriptor.digest] }).bytes) }
    func bytes(_ digest: Digest) -> [UInt8]? { sinks.withLock { $0[digest]?.bytes } }
}

func descriptor(of bytes: [UInt8], _ type: MediaType = .imageLayerGzip) -> Descriptor { Descriptor(mediaType: type, digest: Digest(of: bytes), size: Int64(bytes.count)) }

/// Bytes that no two tests share, and no two positions alike.
func someBytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: state >> 56)
    }
}

/// An image of a configuration and some layers.
struct SomeImage {
    let configuration: [UInt8]
    let layers: [[UInt8]]
    let manifest: ManifestDocument

    init(layers: [[UInt8]], annotations: [String: String] = [:]) throws {
        self.layers = layers
        configuration = ImageConfiguration(platform: .current, diffIDs: layers.map { Digest(of: $0) }).bytes
        let content = Manifest(config: descriptor(of: configuration, .imageConfiguration), layers: layers.map { descriptor(of: $0) }, annotations: annotations)
        manifest = try ManifestDocument(content.bytes, mediaType: .imageManifest)
    }

    var digest: Digest { Digest(of: manifest.bytes) }
    func store() async throws -> RecordingStore {
        let store = RecordingStore()
        for bytes in layers + [configuration] {
            let sink = store.sink(for: descriptor(of: bytes))
            try await sink.write(bytes)
            try await sink.finish()
        }
        return store
    }
}

/// Runs something that must fail with a registry's error, and returns that.
func failure<Value>(_ body: () async throws -> Value) async -> RegistryError? {
    do {
        _ = try await body()
        Issue.record("nothing failed")
    } catch let error as RegistryError { return error } catch { Issue.record("another error: \(error)") }
    return nil
}

/// What came of something, after which there is something else to do.
func settled<Value>(_ body: () async throws -> Value) async -> Result<Value, any Error> {
    do { return .success(try await body()) } catch { return .failure(error) }
}

/// A directory that is gone afterwards.
func withTemporaryDirectory<Value>(_ body: (String) async throws -> Value) async throws -> Value {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("registry-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}
