internal import CLinux
internal import Glibc

/// What a read or write that does not block came to.
public enum TransferResult: Equatable, Sendable {
    /// So many bytes, at least one.
    case bytes(Int)
    /// The end of the file (reads only).
    case end
    /// Nothing can be done now (EAGAIN).
    case wouldBlock
    case failed(Errno)

    init(_ result: Int) {
        switch result {
        case 0: self = .end
        case 1...: self = .bytes(result)
        case -Int(EAGAIN): self = .wouldBlock
        default: self = .failed(Errno(rawValue: Int32(truncatingIfNeeded: -result)))
        }
    }
}

extension SharedDescriptor {
    /// Reads what is there into the start of `buffer`.
    public func readSome(into buffer: inout [UInt8]) -> TransferResult {
        let raw = rawValue
        return unsafe buffer.withUnsafeMutableBytes { bytes in
            var result = unsafe clinux_read(raw, bytes.baseAddress, bytes.count)
            while result == -Int(EINTR) { result = unsafe clinux_read(raw, bytes.baseAddress, bytes.count) }
            return TransferResult(result)
        }
    }

    /// Writes as much of `bytes[range]` as fits; a range that is not the array's is `EINVAL`.
    public func writeSome(_ bytes: [UInt8], _ range: Range<Int>) -> TransferResult {
        let raw = rawValue
        guard range.lowerBound >= 0, range.upperBound <= bytes.count, !range.isEmpty else { return .failed(.invalidArgument) }
        return unsafe bytes.withUnsafeBytes { bytes in
            // SAFETY: the range was checked against the array's bounds.
            let start = unsafe bytes.baseAddress.map { unsafe $0 + range.lowerBound }
            var result = unsafe clinux_write(raw, start, range.count)
            while result == -Int(EINTR) { result = unsafe clinux_write(raw, start, range.count) }
            return TransferResult(result)
        }
    }

    /// How many bytes can be read at once (FIONREAD).
    public func readableByteCount() throws(SystemError) -> Int {
        try checked(clinux_guest_readable_bytes(rawValue), "FIONREAD")
    }

    /// Sets the size of the terminal that this is an end of (TIOCSWINSZ); its foreground processes get SIGWINCH.
    public func setWindowSize(columns: UInt16, rows: UInt16) throws(SystemError) {
        try TerminalDevice.setSize(rawValue, columns: columns, rows: rows)
    }

    /// Gives the open file to a user and group (fchown(2)).
    public func setOwner(user: UInt32, group: UInt32) throws(SystemError) {
        try checked(clinux_fchown(rawValue, user, group), "fchown")
    }

    /// Sets or clears O_NONBLOCK, on the open file.
    public func setNonBlocking(_ on: Bool) throws(SystemError) {
        try with { (descriptor) throws(SystemError) in try descriptor.setNonBlocking(on) }
    }
}

extension Pipe {
    /// Both ends, each with several owners.
    public consuming func split() -> (readEnd: SharedDescriptor, writeEnd: SharedDescriptor) {
        (SharedDescriptor(readEnd), SharedDescriptor(writeEnd))
    }
}
