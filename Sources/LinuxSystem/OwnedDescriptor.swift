internal import CLinux
internal import Glibc

/// A file descriptor that is closed when its owner lets go of it.
public struct OwnedDescriptor: ~Copyable, Sendable {
    /// The number, valid only while this value lives; never store it elsewhere.
    public let rawValue: Int32

    /// Takes over a descriptor that nobody else will close.
    public init(owning rawValue: Int32) { self.rawValue = rawValue }

    deinit { _ = clinux_close(rawValue) }

    /// Gives up ownership: the caller must see that the number is closed.
    public consuming func release() -> Int32 {
        let value = rawValue
        discard self
        return value
    }

    /// Closes, reporting what close(2) says (late write errors).
    public consuming func close() throws(SystemError) {
        let value = release()
        try checked(clinux_close(value), "close")
    }

    /// A second descriptor for the same open file, close-on-exec.
    public func duplicate() throws(SystemError) -> OwnedDescriptor {
        try OwnedDescriptor(duplicating: rawValue)
    }

    /// A second descriptor for the same open file as a descriptor that somebody else owns.
    public init(duplicating rawValue: Int32) throws(SystemError) {
        self.rawValue = Int32(try checked(clinux_dup(rawValue, 3), "dup"))
    }

    /// Opens relative to a directory, always close-on-exec. The flags are those of openat(2).
    public init(opening path: String, at directory: borrowing OwnedDescriptor, flags: Int32, mode: UInt32 = 0) throws(SystemError) {
        let raw = directory.rawValue
        rawValue = Int32(try retried("openat", path: path) { unsafe clinux_open(raw, path, flags, mode) })
    }

    /// Opens an absolute path, or one relative to the working directory.
    public init(opening path: String, flags: Int32, mode: UInt32 = 0) throws(SystemError) {
        rawValue = Int32(try retried("open", path: path) { unsafe clinux_open(AT_FDCWD, path, flags, mode) })
    }

    /// Opens with openat2(2), so that resolution can be confined (`RESOLVE_BENEATH`, `RESOLVE_IN_ROOT` …).
    public init(opening path: String, beneath directory: borrowing OwnedDescriptor, flags: UInt64, mode: UInt64 = 0, resolve: UInt64) throws(SystemError) {
        let raw = directory.rawValue
        rawValue = Int32(try retried("openat2", path: path) { unsafe clinux_openat2(raw, path, flags, mode, resolve) })
    }

    /// Clears or sets close-on-exec.
    public func setCloseOnExec(_ on: Bool) throws(SystemError) {
        try checked(clinux_fcntl(rawValue, F_SETFD, on ? Int(FD_CLOEXEC) : 0), "fcntl(F_SETFD)")
    }

    /// Sets or clears O_NONBLOCK, on the open file: every holder of it sees the change.
    public func setNonBlocking(_ on: Bool) throws(SystemError) {
        let flags = try checked(clinux_fcntl(rawValue, F_GETFL, 0), "fcntl(F_GETFL)")
        let wanted = on ? flags | Int(O_NONBLOCK) : flags & ~Int(O_NONBLOCK)
        try checked(clinux_fcntl(rawValue, F_SETFL, wanted), "fcntl(F_SETFL)")
    }
}

extension OwnedDescriptor {
    /// Takes the lock of the open file (flock(2)), which the kernel gives back when its last descriptor is closed.
    /// - Returns: false when somebody else has it and `wait` is false.
    @discardableResult
    public func lock(shared: Bool = false, wait: Bool = true) throws(SystemError) -> Bool {
        let raw = rawValue
        do throws(SystemError) {
            try retried("flock") { clinux_flock(raw, (shared ? LOCK_SH : LOCK_EX) | (wait ? 0 : LOCK_NB)) }
            return true
        } catch where error.errno == .wouldBlock && !wait { return false }
    }
}

/// A descriptor with several owners; the last one closes it.
public final class SharedDescriptor: Sendable {
    private let owned: OwnedDescriptor
    public var rawValue: Int32 { owned.rawValue }
    public init(_ owned: consuming OwnedDescriptor) { self.owned = owned }
    /// A second, independently owned descriptor of the same open file.
    public func duplicate() throws(SystemError) -> OwnedDescriptor { try owned.duplicate() }
    /// Lends the descriptor.
    public func with<R, E: Error>(_ body: (borrowing OwnedDescriptor) throws(E) -> R) throws(E) -> R { try body(owned) }
}

extension OwnedDescriptor {
    /// Reads at most `buffer.count` bytes into the start of `buffer`; 0 is the end of the file.
    public func read(into buffer: inout [UInt8]) throws(SystemError) -> Int {
        let raw = rawValue
        return try retried("read") { unsafe buffer.withUnsafeMutableBytes { unsafe clinux_read(raw, $0.baseAddress, $0.count) } }
    }

    /// Writes some of the bytes and returns how many.
    public func write(_ bytes: some Sequence<UInt8>) throws(SystemError) -> Int {
        let buffer = ContiguousArray(bytes)
        let raw = rawValue
        return try retried("write") { unsafe buffer.withUnsafeBytes { unsafe clinux_write(raw, $0.baseAddress, $0.count) } }
    }

    /// Writes all the bytes, blocking as needed.
    public func writeAll(_ bytes: [UInt8]) throws(SystemError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            rest = rest.dropFirst(try write(rest))
        }
    }

    /// Reads to the end of the file, at most `limit` bytes.
    /// - Throws: `EFBIG` when there is more than `limit`.
    public func readAll(limit: Int) throws(SystemError) -> [UInt8] {
        var result: [UInt8] = []
        while true {
            let chunk = try read(atMost: 16384)
            if chunk.isEmpty { return result }
            if result.count + chunk.count > limit { throw SystemError(Errno(rawValue: EFBIG), "read") }
            if result.isEmpty { result = chunk } else { result += chunk }
        }
    }

    /// The next bytes; none at the end of the file.
    private func read(atMost count: Int) throws(SystemError) -> [UInt8] {
        let raw = rawValue
        var outcome = 0
        // Not zeroed first: many small files are read.
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            repeat { outcome = unsafe clinux_read(raw, buffer.baseAddress, buffer.count) } while outcome == -Int(EINTR)
            filled = max(0, outcome)
        }
        try checked(outcome, "read")
        return bytes
    }

    /// The file's size in bytes, by fstat(2).
    public func size() throws(SystemError) -> Int64 {
        var status = stat()
        let raw = rawValue
        try checked(unsafe clinux_fstatat(raw, "", &status, AT_EMPTY_PATH), "fstat")
        return Int64(status.st_size)
    }
}

/// Reads a whole small file.
public func readFile(_ path: String, limit: Int = 16 << 20) throws(SystemError) -> [UInt8] {
    let file = try OwnedDescriptor(opening: path, flags: O_RDONLY)
    do throws(SystemError) {
        return try file.readAll(limit: limit)
    } catch {
        throw SystemError(error.errno, error.operation, path: path)
    }
}

/// Creates or truncates a file (or, if `exclusive`, refuses one that exists) and writes all of `bytes`.
public func writeFile(_ path: String, _ bytes: [UInt8], mode: UInt32 = 0o644, exclusive: Bool = false) throws(SystemError) {
    let file = try OwnedDescriptor(opening: path, flags: O_WRONLY | O_CREAT | (exclusive ? O_EXCL : O_TRUNC), mode: mode)
    do throws(SystemError) {
        try file.writeAll(bytes)
        try file.close()
    } catch {
        throw SystemError(error.errno, error.operation, path: path)
    }
}

extension OwnedDescriptor {
    /// Up to `count` bytes from `offset` on; fewer at the end of the file.
    public func bytes(at offset: Int64, count: Int) throws(SystemError) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: count)
        var done = 0
        let raw = rawValue
        while done < count {
            let position = done
            let got = try retried("pread") {
                unsafe result.withUnsafeMutableBytes { bytes in
                    // SAFETY: `position` is below `count`, the buffer's size.
                    guard let base = bytes.baseAddress else { return 0 }
                    return unsafe clinux_pread(raw, base + position, count - position, offset + Int64(position))
                }
            }
            if got == 0 { break }
            done += got
        }
        return done == count ? result : Array(result[..<done])
    }
}
