import AsyncHTTPClient
import NIOCore

/// The bytes of a body as they come, refused when there are too many of them or they come too slowly.
struct BodyReader {
    private var iterator: HTTPClientResponse.Body.AsyncIterator
    private let request: String
    private let limits: ClientLimits
    private var left: Int64
    /// What came, and how long it was waited for, in this interval. The time that a receiver takes with the bytes is not the sender's.
    private var intervalBytes: Int64 = 0
    private var waited: Duration = .zero

    /// - Parameter limit: the most bytes that may come.
    init(_ answer: Answer, limit: Int64, limits: ClientLimits) {
        iterator = answer.body.makeAsyncIterator()
        (request, self.limits, left) = (answer.request, limits, limit)
    }

    /// The next bytes; nil at the end.
    mutating func next() async throws -> [UInt8]? {
        let asked = ContinuousClock.now
        let buffer: ByteBuffer?
        do { buffer = try await iterator.next() } catch { throw Connections.failure(error, request: request) }
        guard let buffer else { return nil }
        left -= Int64(buffer.readableBytes)
        guard left >= 0 else { throw RegistryError(.tooLarge, request: request, "the answer is longer than it may be") }
        waited += ContinuousClock.now - asked
        intervalBytes += Int64(buffer.readableBytes)
        if intervalBytes >= limits.progressBytes {
            (intervalBytes, waited) = (0, .zero)
        } else if waited > limits.progressInterval {
            throw RegistryError(.tooSlow, request: request, "only \(intervalBytes) bytes came in \(limits.progressInterval)")
        }
        return Array(buffer.readableBytesView)
    }
}

extension Answer {
    /// The whole body.
    /// - Parameter limit: the most bytes that it may have.
    /// - Throws: when it has more, or does not come in time.
    func collect(limit: Int, limits: ClientLimits) async throws -> [UInt8] {
        if let length = header("content-length").flatMap({ Int64($0) }), length > Int64(limit) {
            throw RegistryError(.tooLarge, request: request, "the answer has \(length) bytes, more than the limit of \(limit)")
        }
        return try await within(limits.answerTimeout, request) {
            var reader = BodyReader(self, limit: Int64(limit), limits: limits)
            var bytes: [UInt8] = []
            while let next = try await reader.next() { bytes += next }
            return bytes
        }
    }

    /// What is left of an answer of which only the head was wanted, so that its connection can be used again. What is long or slow is not waited for.
    func drain(limits: ClientLimits) async {
        _ = try? await within(min(limits.answerTimeout, .seconds(2)), request) { try await collect(limit: 65536, limits: limits) }
    }
}

/// Runs something that must end in time.
func within<Value: Sendable>(_ time: Duration, _ request: String, _ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
    try await withThrowingTaskGroup(of: Value.self) { group in
        defer { group.cancelAll() }
        group.addTask(operation: body)
        group.addTask {
            try await Task.sleep(for: time)
            throw RegistryError(.tooSlow, request: request, "no complete answer in \(time)")
        }
        guard let value = try await group.next() else { throw CancellationError() }
        return value
    }
}
