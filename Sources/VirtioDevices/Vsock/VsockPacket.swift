internal import Virtio

/// The header of every packet on the receive and transmit queues (VIRTIO 1.2, 5.10.6).
struct VsockHeader: Equatable {
    /// Bytes.
    static let size = 44
    /// VIRTIO_VSOCK_TYPE_STREAM
    static let streamType: UInt16 = 1

    enum Operation: UInt16 {
        case request = 1, response, reset, shutdown, data, creditUpdate, creditRequest
    }

    var sourceContext: UInt64
    var destinationContext: UInt64
    var sourcePort: UInt32
    var destinationPort: UInt32
    /// Payload bytes that follow.
    var length: UInt32 = 0
    var type: UInt16 = VsockHeader.streamType
    /// An `Operation`, or something else from a strange guest.
    var operation: UInt16
    var flags: UInt32 = 0
    /// The sender's receive buffer for this connection, in bytes.
    var bufferSize: UInt32 = 0
    /// How many bytes the sender has taken out of it, ever (modulo 2^32).
    var forwarded: UInt32 = 0

    init(from source: VsockAddress, to destination: VsockAddress, _ operation: Operation) {
        sourceContext = source.context
        destinationContext = destination.context
        sourcePort = source.port
        destinationPort = destination.port
        self.operation = operation.rawValue
    }

    /// nil for fewer than 44 bytes.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= VsockHeader.size else { return nil }
        func field<Integer: FixedWidthInteger>(_ offset: Int, _: Integer.Type) -> Integer {
            var value: Integer = 0
            for index in 0..<(Integer.bitWidth / 8) { value |= Integer(truncatingIfNeeded: bytes[offset + index]) << Integer(8 * index) }
            return value
        }
        sourceContext = field(0, UInt64.self)
        destinationContext = field(8, UInt64.self)
        sourcePort = field(16, UInt32.self)
        destinationPort = field(20, UInt32.self)
        length = field(24, UInt32.self)
        type = field(28, UInt16.self)
        operation = field(30, UInt16.self)
        flags = field(32, UInt32.self)
        bufferSize = field(36, UInt32.self)
        forwarded = field(40, UInt32.self)
    }

    var bytes: [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(VsockHeader.size)
        func append<Integer: FixedWidthInteger>(_ value: Integer) {
            for index in 0..<(Integer.bitWidth / 8) { result.append(UInt8(truncatingIfNeeded: value >> Integer(8 * index))) }
        }
        append(sourceContext)
        append(destinationContext)
        append(sourcePort)
        append(destinationPort)
        append(length)
        append(type)
        append(operation)
        append(flags)
        append(bufferSize)
        append(forwarded)
        return result
    }
}

/// One end of a connection.
struct VsockAddress: Hashable {
    var context: UInt64
    var port: UInt32
}

/// The directions that one end has closed for good.
public struct VsockShutdown: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE: that end takes no more bytes.
    public static let receive = VsockShutdown(rawValue: 1)
    /// VIRTIO_VSOCK_SHUTDOWN_F_SEND: that end sends no more bytes.
    public static let send = VsockShutdown(rawValue: 2)
    public static let both: VsockShutdown = [.receive, .send]
}

/// Bytes that wait, in the chunks in which they came.
struct ByteQueue {
    private var chunks: [[UInt8]] = []
    private var firstChunk = 0
    private var offset = 0
    private(set) var count = 0
    var isEmpty: Bool { count == 0 }

    mutating func append(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        chunks.append(bytes)
        count += bytes.count
    }

    /// The bytes at the front that lie together; empty when there are none.
    var front: ArraySlice<UInt8> { firstChunk < chunks.count ? chunks[firstChunk][offset...] : [] }

    mutating func removeFirst(_ wanted: Int) {
        var left = min(wanted, count)
        count -= left
        while left > 0 {
            let here = chunks[firstChunk].count - offset
            if left < here {
                offset += left
                return
            }
            left -= here
            chunks[firstChunk] = []
            firstChunk += 1
            offset = 0
        }
        chunks.forget(&firstChunk, atLeast: 64)
    }

    mutating func removeAll() { self = ByteQueue() }
}

extension Array {
    /// Takes elements that were taken from the front out, once they are many and most of all: so that each costs the same.
    mutating func forget(_ taken: inout Int, atLeast least: Int) {
        if taken == count { removeAll(keepingCapacity: true) } else if taken >= least && taken * 2 > count { removeFirst(taken) } else { return }
        taken = 0
    }
}
