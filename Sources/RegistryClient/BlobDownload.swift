import NIOHTTP1
public import OCIImage

/// Where a blob's bytes go, in their order.
public protocol BlobSink: Sendable {
    /// Takes the next bytes. The next call comes when this one has returned.
    func write(_ bytes: [UInt8]) async throws
    /// All bytes are there, and have the size and the digest that they should have.
    func finish() async throws
    /// The blob will not come, or what came is not it: whatever was written is to be forgotten.
    func abandon() async
}

extension RegistryClient {
    /// Fetches a blob (distribution-spec, "Pulling blobs"), in several parts at once when it is large, and goes on where it was when a connection breaks.
    ///
    /// `finish` or `abandon` is called on `sink` before this returns or throws.
    /// - Parameters:
    ///   - descriptor: what it is.
    ///   - reference: the repository that has it; its tag and digest mean nothing here.
    ///   - sink: what takes it.
    ///   - progress: is called with the number of bytes that came, now and then.
    /// - Throws: `RegistryError`: among others when the bytes have not the size or the digest of the descriptor; or what `sink` throws.
    public func blob(_ descriptor: Descriptor, in reference: Reference, to sink: any BlobSink, progress: (@Sendable (Int64) -> Void)? = nil) async throws {
        try await blob(descriptor, in: reference, mirrors: true, to: sink, progress: progress)
    }

    /// - Parameter mirrors: whether they are asked.
    func blob(_ descriptor: Descriptor, in reference: Reference, mirrors: Bool, to sink: any BlobSink, progress: (@Sendable (Int64) -> Void)?) async throws {
        do {
            var download = BlobDownload(client: self, descriptor: descriptor, sink: sink, progress: progress)
            if let data = descriptor.data {
                try await download.deliver(data)
            } else {
                let reference = reference.repository.with(digest: descriptor.digest)
                // A download that one place began, another can go on with: the digest says that it is the same.
                do {
                    try await firstAnswer(for: reference, mirrors: mirrors) { endpoint in try await download.fetch(from: .registry(endpoint)) }
                } catch let error as RegistryError where error.code == .notFound && !descriptor.urls.isEmpty {
                    try await download.fetchFromURLs(after: error, for: try pushEndpoint(reference))
                }
            }
            try download.verify()
            try await sink.finish()
        } catch {
            await sink.abandon()
            throw error
        }
    }

    /// Fetches a small blob into memory.
    /// - Parameters:
    ///   - descriptor: what it is.
    ///   - reference: the repository that has it; its tag and digest mean nothing here.
    ///   - limit: the most bytes that it may have.
    public func blobBytes(_ descriptor: Descriptor, in reference: Reference, limit: Int) async throws -> [UInt8] {
        guard descriptor.size <= Int64(limit) else { throw RegistryError(.tooLarge, "\(descriptor.digest) has \(descriptor.size) bytes, more than the limit of \(limit)") }
        let sink = MemorySink()
        try await blob(descriptor, in: reference, to: sink)
        return await sink.bytes
    }

    /// Fetches an image's configuration.
    public func configuration(of image: Manifest, in reference: Reference) async throws -> ImageConfiguration {
        let bytes = try await blobBytes(image.config, in: reference, limit: limits.configurationSize)
        do throws(DocumentError) { return try ImageConfiguration(parsing: bytes, limit: limits.configurationSize) } catch {
            throw RegistryError(.malformedAnswer, "\(reference.familiar): the configuration \(image.config.digest): \(error)")
        }
    }
}

private actor MemorySink: BlobSink {
    private(set) var bytes: [UInt8] = []
    func write(_ more: [UInt8]) { bytes += more }
    func finish() {}
    func abandon() { bytes = [] }
}

/// One blob on its way. Bytes go to the sink and into the hash in their order, whoever sent them.
struct BlobDownload: Sendable {
    let client: RegistryClient
    let descriptor: Descriptor
    let sink: any BlobSink
    let progress: (@Sendable (Int64) -> Void)?
    /// Who has it.
    enum Place: Sendable {
        case registry(Endpoint)
        /// One of the descriptor's URLs, of a repository's blob.
        case address(HTTPAddress, Endpoint)
    }
    private var hash: ContentHash
    /// False when a server has answered one with something else.
    private var usesRanges = true
    private var offset: Int64 { hash.count }

    init(client: RegistryClient, descriptor: Descriptor, sink: any BlobSink, progress: (@Sendable (Int64) -> Void)?) {
        (self.client, self.descriptor, self.sink, self.progress) = (client, descriptor, sink, progress)
        hash = ContentHash(descriptor.digest.algorithm)
    }

    private var limits: ClientLimits { client.limits }

    mutating func deliver(_ bytes: [UInt8]) async throws {
        try await sink.write(bytes)
        hash.update(bytes)
        progress?(offset)
    }

    func verify() throws {
        guard offset == descriptor.size else { throw RegistryError(.wrongContent, "\(descriptor.digest) has \(offset) bytes, and not \(descriptor.size)") }
        let digest = hash.digest
        guard digest == descriptor.digest else { throw RegistryError(.wrongContent, "what came as \(descriptor.digest) has the digest \(digest)") }
    }

    /// Fetches what is missing.
    mutating func fetch(from place: Place) async throws {
        var attempt = 0
        var start = offset
        usesRanges = true
        while true {
            let inParts = usesRanges && descriptor.size - offset >= max(limits.partsFrom, 1) && limits.parallelParts > 1 && limits.partSize > 0
            let wantsRange = inParts || usesRanges && offset > 0
            do {
                if inParts {
                    try await fetchParts(from: place)
                } else {
                    try await fetchRest(from: place)
                }
                return
            } catch let error as RegistryError {
                if wantsRange, error.code == .malformedAnswer || error.code == .status(416) {
                    // It may know no ranges and not say so: then all of it once more, of which the rest is taken.
                    usesRanges = false
                    continue
                }
                // Real progress makes a failure the first one again. A byte at a time is none.
                if offset - start >= min(256 << 10, descriptor.size) { attempt = 0 }
                try await pause(client.configuration, after: error, attempt: attempt)
                attempt += 1
                start = offset
            }
        }
    }

    /// Opens the blob at an offset.
    /// - Parameter count: how many bytes are wanted from there; nil: all.
    private func open(_ place: Place, at start: Int64, count: Int64? = nil) async throws -> (answer: Answer, start: Int64) {
        let isPart = usesRanges && (start > 0 || count != nil)
        var headers = HTTPHeaders()
        if isPart { headers.add(name: "Range", value: "bytes=\(start)-\(count.map { String(start + $0 - 1) } ?? "")") }
        let answer: Answer
        switch place {
        case .registry(let endpoint):
            var request = RegistryRequest(.GET, endpoint, "/blobs/\(descriptor.digest)", scopes: [.pull(endpoint)], accepted: [200, 206])
            request.headers = headers
            answer = try await client.performOnce(request)
        case .address(let address, let endpoint): answer = try await client.open(address, headers, for: endpoint)
        }
        guard answer.status == 206 else {
            // The whole blob: the server does not know ranges.
            try checkLength(answer, descriptor.size)
            return (answer, 0)
        }
        let end = count.map { start + $0 } ?? descriptor.size
        guard isPart, let range = answer.header("content-range").flatMap(ContentRange.init), range.first == start, range.last == end - 1, range.total == nil || range.total == descriptor.size else {
            throw RegistryError(.malformedAnswer, request: answer.request, "asked for bytes \(start) to \(end - 1) of \(descriptor.size), the answer is \(answer.header("content-range") ?? "a part that does not say which")")
        }
        try checkLength(answer, end - start)
        return (answer, start)
    }

    private func checkLength(_ answer: Answer, _ expected: Int64) throws {
        guard let length = answer.header("content-length").flatMap({ Int64($0) }), length != expected else { return }
        throw RegistryError(.wrongContent, request: answer.request, "the answer has \(length) bytes, and not \(expected)")
    }

    /// Everything from where this is, as one stream.
    private mutating func fetchRest(from place: Place) async throws {
        guard offset < descriptor.size || descriptor.size == 0 else { return }
        let (answer, start) = try await open(place, at: offset)
        try await stream(answer, from: start)
    }

    private mutating func stream(_ answer: Answer, from start: Int64) async throws {
        var reader = BodyReader(answer, limit: descriptor.size - start, limits: limits)
        var position = start
        while var bytes = try await reader.next() {
            let end = position + Int64(bytes.count)
            // What is there already: the server began at the start again.
            if position < offset { bytes.removeFirst(Int(min(offset - position, Int64(bytes.count)))) }
            position = end
            if !bytes.isEmpty { try await deliver(bytes) }
        }
        guard position == descriptor.size else { throw RegistryError(.connection, request: answer.request, "the answer ended after \(position) of \(descriptor.size) bytes") }
    }

    /// Everything from where this is, in parts of which several come at once. Each waits in memory for those before it.
    private mutating func fetchParts(from place: Place) async throws {
        let first = min(limits.partSize, descriptor.size - offset)
        let (answer, start) = try await open(place, at: offset, count: first)
        guard answer.status == 206 else { return try await stream(answer, from: start) }
        let base = offset
        let (size, partSize) = (descriptor.size - base, limits.partSize)
        // Without a sum: the size is whatever a manifest says.
        let count = Int(size / partSize) + (size % partSize == 0 ? 0 : 1)
        let fetcher = self
        try await withThrowingTaskGroup(of: (index: Int, bytes: [[UInt8]]).self) { group in
            group.addTask { (0, try await fetcher.collect(answer, first)) }
            var started = 1
            var waiting: [Int: [[UInt8]]] = [:]
            for next in 0..<count {
                while started < min(count, next + fetcher.limits.parallelParts) {
                    let index = started
                    group.addTask {
                        let start = base + Int64(index) * partSize
                        return (index, try await fetcher.part(of: place, at: start, count: min(partSize, base + size - start)))
                    }
                    started += 1
                }
                while waiting[next] == nil {
                    guard let part = try await group.next() else { throw CancellationError() }
                    waiting[part.index] = part.bytes
                }
                for bytes in waiting.removeValue(forKey: next) ?? [] { try await deliver(bytes) }
            }
        }
    }

    /// A part in the pieces that it came in: they need not be copied into one.
    private func collect(_ answer: Answer, _ count: Int64) async throws -> [[UInt8]] {
        var reader = BodyReader(answer, limit: count, limits: limits)
        var pieces: [[UInt8]] = []
        var received: Int64 = 0
        while let next = try await reader.next() {
            received += Int64(next.count)
            pieces.append(next)
        }
        guard received == count else { throw RegistryError(.connection, request: answer.request, "the answer ended after \(received) of \(count) bytes") }
        return pieces
    }

    /// One part, which is small enough to be fetched as a whole again.
    private func part(of place: Place, at start: Int64, count: Int64) async throws -> [[UInt8]] {
        try await retrying(client.configuration) {
            let (answer, _) = try await open(place, at: start, count: count)
            guard answer.status == 206 else { throw RegistryError(.malformedAnswer, request: answer.request, "a server that sent one part of the blob does not send another") }
            return try await collect(answer, count)
        }
    }
}

/// `bytes 0-9/10` (RFC 9110, 14.4).
struct ContentRange: Equatable {
    let first: Int64
    let last: Int64
    /// Nil when it is not said.
    let total: Int64?

    init?(_ text: String) {
        guard text.hasPrefix("bytes ") else { return nil }
        let parts = text.dropFirst("bytes ".count).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        let ends = parts[0].split(separator: "-", omittingEmptySubsequences: false).map { Int64($0) }
        guard ends.count == 2, let first = ends[0], let last = ends[1], first >= 0, last >= first else { return nil }
        (self.first, self.last) = (first, last)
        total = Int64(parts[1])
        guard parts[1] == "*" || total != nil else { return nil }
    }
}
