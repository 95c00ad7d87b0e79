/// What passes between a supervisor and who is attached to it, over a Unix stream.
///
///     0  u8   kind          4  u32  length of the payload, at most 65536, big-endian
///     1  0 0 0              then the payload
enum AttachMessage: Equatable, Sendable {
    // To the supervisor.
    /// The first of each connection: whether output is wanted.
    case hello(wantsOutput: Bool)
    case input([UInt8])
    case inputEnd
    case resize(columns: UInt16, rows: UInt16)
    case signal(Int32)
    // From it.
    case output([UInt8])
    case errors([UInt8])
    /// The last: the shell's number of the end, and what the engine has to say of it.
    case ended(Int32, String)

    static let largestPayload = 65536

    var bytes: [UInt8] {
        switch self {
        case .hello(let wantsOutput): frame(1, [wantsOutput ? 1 : 0])
        case .input(let bytes): frame(2, bytes)
        case .inputEnd: frame(3, [])
        case .resize(let columns, let rows): frame(4, [UInt8(columns >> 8), UInt8(columns & 255), UInt8(rows >> 8), UInt8(rows & 255)])
        case .signal(let number): frame(5, [UInt8(truncatingIfNeeded: number)])
        case .output(let bytes): frame(6, bytes)
        case .errors(let bytes): frame(7, bytes)
        case .ended(let code, let text): frame(8, [UInt8(truncatingIfNeeded: code)] + Array(text.utf8.prefix(Self.largestPayload - 1)))
        }
    }

    private func frame(_ kind: UInt8, _ payload: [UInt8]) -> [UInt8] {
        let count = UInt32(payload.count)
        return [kind, 0, 0, 0, UInt8(count >> 24), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)] + payload
    }

    init?(kind: UInt8, _ payload: [UInt8]) {
        switch (kind, payload.count) {
        case (1, 1): self = .hello(wantsOutput: payload[0] != 0)
        case (2, _): self = .input(payload)
        case (3, 0): self = .inputEnd
        case (4, 4): self = .resize(columns: UInt16(payload[0]) << 8 | UInt16(payload[1]), rows: UInt16(payload[2]) << 8 | UInt16(payload[3]))
        case (5, 1) where (1...64).contains(payload[0]): self = .signal(Int32(payload[0]))
        case (6, _): self = .output(payload)
        case (7, _): self = .errors(payload)
        case (8, 1...): self = .ended(Int32(payload[0]), String(decoding: payload[1...], as: UTF8.self))
        default: return nil
        }
    }
}

/// Puts messages together from pieces of a stream.
struct AttachReader {
    struct Malformed: Error, Equatable {}

    private var pending: [UInt8] = []

    mutating func add(_ bytes: [UInt8]) { pending += bytes }

    /// The next whole message, nil when it has not come yet.
    mutating func next() throws(Malformed) -> AttachMessage? {
        guard pending.count >= 8 else { return nil }
        let length = pending[4..<8].reduce(0) { $0 << 8 | Int($1) }
        guard pending[1..<4].allSatisfy({ $0 == 0 }), length <= AttachMessage.largestPayload else { throw Malformed() }
        guard pending.count >= 8 + length else { return nil }
        guard let message = AttachMessage(kind: pending[0], Array(pending[8..<(8 + length)])) else { throw Malformed() }
        pending.removeFirst(8 + length)
        return message
    }
}
