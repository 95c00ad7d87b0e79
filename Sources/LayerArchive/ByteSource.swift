public import LinuxSystem

/// Where bytes come from, piece by piece.
public struct ByteSource {
    /// Fills the start of the buffer and returns how many bytes; 0 is the end.
    public let read: (inout [UInt8]) throws(SystemError) -> Int

    /// From a closure; see `read`.
    public init(_ read: @escaping (inout [UInt8]) throws(SystemError) -> Int) { self.read = read }

    /// From where the descriptor stands on, to the end of the file.
    public init(_ descriptor: SharedDescriptor) {
        read = { (buffer) throws(SystemError) in
            try descriptor.with { (own: borrowing OwnedDescriptor) throws(SystemError) in try own.read(into: &buffer) }
        }
    }

    /// From memory.
    public init(_ bytes: [UInt8]) {
        var rest = bytes[...]
        read = { (buffer) throws(SystemError) in
            let count = min(rest.count, buffer.count)
            buffer.replaceSubrange(..<count, with: rest.prefix(count))
            rest = rest.dropFirst(count)
            return count
        }
    }
}

/// Where bytes go, piece by piece.
public typealias ByteSink = ([UInt8]) throws(SystemError) -> Void

extension [UInt8] {
    /// The bytes of a span.
    public init(copying span: RawSpan) {
        // SAFETY: the bytes are copied within the closure.
        self = unsafe span.withUnsafeBytes { unsafe Array($0) }
    }
}
