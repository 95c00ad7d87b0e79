// The control protocol, spoken on two hops with the same frames:
//
//     nacelle-oci  ── Unix stream, descriptors by SCM_RIGHTS ──  nacelle-vmm  ── vsock stream ──  nacelle-agent
//
// A frame is a 12-byte header and a payload, all little-endian:
//
//     0  u32  payload length (at most `Frame.maximumPayload`)
//     4  u16  message kind
//     6  u16  protocol version
//     8  u32  request identifier: a reply carries its request's; 0 is an event that answers nothing
//
// Both ends treat what arrives as hostile: lengths are bounded, every field is checked, and a malformed frame ends the connection.

/// One message as it travels.
public struct Frame: Equatable, Sendable {
    /// Changed whenever the meaning of any frame changes; both ends must have the same.
    public static let version: UInt16 = 1
    /// Bytes: a container's configuration is the largest payload.
    public static let maximumPayload = 16 << 20
    static let headerSize = 12

    public var kind: UInt16
    /// Who asked: chosen by the requester, repeated in the reply; 0 for events.
    public var request: UInt32
    public var payload: [UInt8]

    public init(kind: UInt16, request: UInt32, payload: [UInt8]) {
        self.kind = kind
        self.request = request
        self.payload = payload
    }

    /// The bytes to send.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter()
        writer.append(UInt32(truncatingIfNeeded: payload.count))
        writer.append(kind)
        writer.append(Frame.version)
        writer.append(request)
        return writer.bytes + payload
    }
}

/// Why bytes from the other end could not be understood.
public enum ProtocolError: Error, Equatable, Sendable, CustomStringConvertible {
    case versionMismatch(theirs: UInt16)
    case frameTooLarge(Int)
    case truncated(String)
    case invalid(String)
    case unknownKind(UInt16)

    public var description: String {
        switch self {
        case .versionMismatch(let theirs):
            "the other end speaks version \(theirs) of the control protocol, this one version \(Frame.version): runtime, VMM and guest image must come from one build"
        case .frameTooLarge(let size): "a control message of \(size) bytes exceeds the limit of \(Frame.maximumPayload)"
        case .truncated(let what): "a control message ends before its \(what)"
        case .invalid(let what): "a control message has an invalid \(what)"
        case .unknownKind(let kind): "a control message has the unknown kind \(kind)"
        }
    }
}

/// Collects received bytes and cuts them into frames.
public struct FrameDecoder: Sendable {
    private var buffer: [UInt8] = []
    private var start = 0

    public init() {}

    public mutating func append(_ bytes: some Sequence<UInt8>) {
        if start > 0 {
            buffer.removeFirst(start)
            start = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// The next whole frame, or nil until more bytes come.
    public mutating func next() throws(ProtocolError) -> Frame? {
        guard buffer.count - start >= Frame.headerSize else { return nil }
        var header = ByteReader(buffer[start..<(start + Frame.headerSize)])
        let length = Int(try header.integer(UInt32.self, "length"))
        let kind = try header.integer(UInt16.self, "kind")
        let version = try header.integer(UInt16.self, "version")
        let request = try header.integer(UInt32.self, "request")
        guard version == Frame.version else { throw .versionMismatch(theirs: version) }
        guard length <= Frame.maximumPayload else { throw .frameTooLarge(length) }
        let first = start + Frame.headerSize
        guard buffer.count - first >= length else { return nil }
        start = first + length
        return Frame(kind: kind, request: request, payload: Array(buffer[first..<start]))
    }
}
