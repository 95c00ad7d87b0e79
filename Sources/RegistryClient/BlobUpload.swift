import AsyncHTTPClient
import NIOCore
import NIOHTTP1
public import OCIImage

/// Where a blob's bytes come from.
public protocol BlobSource: Sendable {
    /// Reads bytes; fewer only at the end.
    func read(at offset: Int64, count: Int) async throws -> [UInt8]
}

/// A blob in memory.
public struct MemorySource: BlobSource {
    public let bytes: [UInt8]
    public init(_ bytes: [UInt8]) { self.bytes = bytes }
    public func read(at offset: Int64, count: Int) -> [UInt8] { Array(bytes.dropFirst(Int(offset)).prefix(count)) }
}

/// How a blob came to be in a repository.
public enum PushedBlob: String, Sendable, Hashable {
    /// It was there already.
    case existed
    /// The registry took it from another of its repositories.
    case mounted
    case uploaded
}

extension RegistryClient {
    /// Asks whether a repository has a blob (distribution-spec, "Checking if content exists in the registry").
    public func hasBlob(_ digest: Digest, in reference: Reference) async throws -> Bool {
        try await hasBlob(digest, at: try pushEndpoint(reference), [])
    }

    private func hasBlob(_ digest: Digest, at endpoint: Endpoint, _ scopes: Set<Scope>) async throws -> Bool {
        let request = RegistryRequest(.HEAD, endpoint, "/blobs/\(digest)", scopes: scopes.isEmpty ? [.pull(endpoint)] : scopes, accepted: [200, 404])
        return try await perform(request).status == 200
    }

    /// Sees to it that a repository has a blob: it is not sent when it is there already, or when the registry can take it from another repository
    /// (distribution-spec, "Pushing blobs", "Mounting a blob from another repository").
    /// - Parameters:
    ///   - descriptor: what it is.
    ///   - source: what has it.
    ///   - reference: the repository; its tag and digest mean nothing here.
    ///   - other: a repository that may have it. One at another registry is not asked.
    ///   - progress: is called with the number of bytes that were sent.
    /// - Throws: `RegistryError`, or what `source` throws.
    @discardableResult
    public func push(
        _ descriptor: Descriptor, from source: any BlobSource, to reference: Reference, mountingFrom other: Reference? = nil, progress: (@Sendable (Int64) -> Void)? = nil
    ) async throws -> PushedBlob {
        let endpoint = try pushEndpoint(reference)
        let scopes: Set<Scope> = [.push(endpoint)]
        if try await hasBlob(descriptor.digest, at: endpoint, scopes) { return .existed }
        let donor = try other.map { try pushEndpoint($0) }.flatMap { $0.domain == endpoint.domain && $0.path != endpoint.path ? $0 : nil }
        let upload = BlobUpload(client: self, endpoint: endpoint, scopes: scopes, descriptor: descriptor, source: source, progress: progress)
        return try await upload.run(mountingFrom: donor)
    }
}

/// One blob on its way to a registry.
struct BlobUpload: Sendable {
    let client: RegistryClient
    let endpoint: Endpoint
    let scopes: Set<Scope>
    let descriptor: Descriptor
    let source: any BlobSource
    let progress: (@Sendable (Int64) -> Void)?

    private struct Session {
        /// Where the next request goes.
        var location: HTTPAddress
        /// The smallest chunk that the registry takes, but for the last.
        var smallestChunk: Int64
        /// A chunk failed as often as it may.
        var isHopeless = false
    }

    func run(mountingFrom donor: Endpoint?) async throws -> PushedBlob {
        var attempt = 0
        while true {
            // An upload that failed is begun anew: what the registry has of it is its own affair.
            guard var session = try await begin(mountingFrom: attempt == 0 ? donor : nil) else { return .mounted }
            do {
                if let size = client.limits.chunkSize, size > 0, descriptor.size > max(size, session.smallestChunk) {
                    try await sendChunks(&session, of: max(size, session.smallestChunk))
                    try await complete(session, body: 0..<0)
                } else {
                    try await complete(session, body: 0..<descriptor.size)
                }
                return .uploaded
            } catch var error as RegistryError {
                await cancel(session)
                if session.isHopeless { throw error }
                // The registry does not know this upload any more, or has other bytes of it than were sent: another one may fare better.
                if Self.isLost(error) { error.mayPass = true }
                try await pause(client.configuration, after: error, attempt: attempt)
                attempt += 1
            } catch {
                await cancel(session)
                throw error
            }
        }
    }

    /// Begins an upload; nil when the registry could mount the blob.
    private func begin(mountingFrom donor: Endpoint?) async throws -> Session? {
        // Only here: a token server that does not grant the other repository must not stand in the way of the upload.
        let scopes = donor.map { self.scopes.union([.pull($0)]) } ?? self.scopes
        var request = RegistryRequest(.POST, endpoint, "/blobs/uploads/", scopes: scopes, accepted: [201, 202])
        if let donor { request.parameters = [("mount", descriptor.digest.description), ("from", donor.path)] }
        request.headers.add(name: "Content-Length", value: "0")
        let answer: Answer
        do { answer = try await client.perform(request) } catch let error as RegistryError where donor != nil && [.denied, .unauthorized, .notFound].contains(error.code) {
            // The other repository may be none of ours: then the blob is sent.
            return try await begin(mountingFrom: nil)
        }
        await answer.drain(limits: client.limits)
        if answer.status == 201, donor != nil { return nil }
        let smallest = answer.header("oci-chunk-min-length").flatMap { Int64($0) } ?? 0
        return Session(location: try location(of: answer, required: true), smallestChunk: max(0, smallest))
    }

    private func location(of answer: Answer, required: Bool) throws -> HTTPAddress {
        guard let text = answer.header("location") else {
            guard required else { return answer.address }
            throw RegistryError(.malformedAnswer, request: answer.request, "the answer does not say where the upload goes on (Location)")
        }
        do {
            let location = try HTTPAddress(text, relativeTo: answer.address)
            guard location.isSecure || !answer.address.isSecure else { throw RegistryError(.redirect, request: answer.request, "the upload would go on without encryption, at \(location)") }
            return location
        } catch let error as AddressError { throw RegistryError(.malformedAnswer, request: answer.request, "Location: \(error)") }
    }

    private func request(_ method: HTTPMethod, _ session: Session, _ range: Range<Int64>, accepted: Set<Int>) -> RegistryRequest {
        var request = RegistryRequest(method, endpoint, "/blobs/uploads/", scopes: scopes, accepted: accepted)
        request.address = session.location
        request.headers.add(name: "Content-Type", value: "application/octet-stream")
        request.bodyLength = range.upperBound - range.lowerBound
        request.body = { .stream(SourceBytes(source: source, range: range, progress: progress), length: .known(range.upperBound - range.lowerBound)) }
        return request
    }

    private func complete(_ session: Session, body: Range<Int64>) async throws {
        var request = request(.PUT, session, body, accepted: [201, 204])
        request.parameters = [("digest", descriptor.digest.description)]
        let answer = try await client.performOnce(request)
        await answer.drain(limits: client.limits)
    }

    private func sendChunks(_ session: inout Session, of size: Int64) async throws {
        var offset: Int64 = 0
        var attempt = 0
        while offset < descriptor.size {
            let end = min(offset + size, descriptor.size)
            var request = request(.PATCH, session, offset..<end, accepted: [202, 204])
            request.headers.add(name: "Content-Range", value: "\(offset)-\(end - 1)")
            do {
                let answer = try await client.performOnce(request)
                await answer.drain(limits: client.limits)
                session.location = try location(of: answer, required: false)
                guard let received = Self.received(answer) else { throw RegistryError(.malformedAnswer, request: answer.request, "the answer does not say how much was received (Range)") }
                // It may have taken less than all of the chunk.
                guard received > offset, received <= end else { throw RegistryError(.malformedAnswer, request: answer.request, "\(end) bytes were sent, and the registry says it has \(received)") }
                offset = received
                attempt = 0
            } catch var error as RegistryError {
                if error.code == .notFound { throw error }
                // What it has and what it was sent do not meet: it can tell what it has.
                if Self.isLost(error) { error.mayPass = true }
                do { try await pause(client.configuration, after: error, attempt: attempt) } catch {
                    session.isHopeless = true
                    throw error
                }
                attempt += 1
                offset = try await resumption(&session, after: error)
            }
        }
    }

    /// The upload is gone (404, BLOB_UPLOAD_UNKNOWN), or a chunk does not follow the one before (416).
    private static func isLost(_ error: RegistryError) -> Bool { error.code == .notFound || error.code == .status(416) }

    /// Asks how much the registry has (distribution-spec, "Pushing a blob in chunks": the status of an upload).
    private func resumption(_ session: inout Session, after failure: RegistryError) async throws -> Int64 {
        var request = RegistryRequest(.GET, endpoint, "/blobs/uploads/", scopes: scopes, accepted: [204])
        request.address = session.location
        let answer: Answer
        // A registry that cannot tell makes the upload fail as it failed before, and begin anew.
        do { answer = try await client.perform(request) } catch is RegistryError { throw failure }
        session.location = try location(of: answer, required: false)
        guard let received = Self.received(answer), (0...descriptor.size).contains(received) else { throw failure }
        return received
    }

    /// `Range: 0-9` says that 10 bytes are there; `0-0` that none or one is, which registries do not tell apart before the first chunk.
    private static func received(_ answer: Answer) -> Int64? {
        guard let text = answer.header("range") else { return nil }
        let ends = text.split(separator: "=").last?.split(separator: "-", omittingEmptySubsequences: false).map { Int64($0) } ?? []
        guard ends.count == 2, ends[0] == 0, let last = ends[1], last >= 0, last < .max else { return nil }
        return last == 0 ? 0 : last + 1
    }

    /// Tells the registry that it can forget what it has. That it cannot be told changes nothing.
    private func cancel(_ session: Session) async {
        var request = RegistryRequest(.DELETE, endpoint, "/blobs/uploads/", scopes: scopes, accepted: [204, 202, 200])
        request.address = session.location
        let (client, prepared) = (client, request)
        // In a task of its own: this one may be cancelled, of which the registry is to hear all the same. Not for long.
        await Task {
            _ = try? await within(min(client.limits.answerTimeout, .seconds(5)), "") { await (try client.performOnce(prepared)).drain(limits: client.limits) }
        }.value
    }
}

/// A source's bytes as they are sent.
private struct SourceBytes: AsyncSequence, Sendable {
    typealias Element = ByteBuffer
    let source: any BlobSource
    let range: Range<Int64>
    let progress: (@Sendable (Int64) -> Void)?

    struct AsyncIterator: AsyncIteratorProtocol {
        let bytes: SourceBytes
        var offset: Int64

        mutating func next() async throws -> ByteBuffer? {
            guard offset < bytes.range.upperBound else { return nil }
            let wanted = Int(Swift.min(256 << 10, bytes.range.upperBound - offset))
            let read = try await bytes.source.read(at: offset, count: wanted)
            guard read.count == wanted else { throw RegistryError(.wrongContent, "the blob to send ends after \(offset + Int64(read.count)) bytes, and not after \(bytes.range.upperBound)") }
            offset += Int64(wanted)
            bytes.progress?(offset)
            return ByteBuffer(bytes: read)
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(bytes: self, offset: range.lowerBound) }
}
