internal import CLinux
internal import Glibc

/// A stream socket that can carry descriptors (Unix), or a vsock stream.
extension OwnedDescriptor {
    /// A connected pair of Unix stream (or sequenced-packet) sockets.
    public static func socketPair(sequencedPacket: Bool = false) throws(SystemError) -> SocketPair {
        var fds: [Int32] = [-1, -1]
        let type = sequencedPacket ? Int32(SOCK_SEQPACKET.rawValue) : Int32(SOCK_STREAM.rawValue)
        try checked(unsafe clinux_socketpair(type, &fds), "socketpair")
        return SocketPair(first: OwnedDescriptor(owning: fds[0]), second: OwnedDescriptor(owning: fds[1]))
    }

    /// A Unix stream socket listening at `path` (at most 107 bytes).
    public static func unixListener(path: String, backlog: Int32 = 128) throws(SystemError) -> OwnedDescriptor {
        let socket = OwnedDescriptor(owning: Int32(try checked(clinux_socket(AF_UNIX, Int32(SOCK_STREAM.rawValue)), "socket")))
        try checked(unsafe clinux_unix_bind(socket.rawValue, path), "bind", path: path)
        try checked(clinux_listen(socket.rawValue, backlog), "listen", path: path)
        return socket
    }

    /// A Unix stream socket connected to the listener at `path`.
    public static func unixConnection(path: String) throws(SystemError) -> OwnedDescriptor {
        let socket = OwnedDescriptor(owning: Int32(try checked(clinux_socket(AF_UNIX, Int32(SOCK_STREAM.rawValue)), "socket")))
        let raw = socket.rawValue
        try retried("connect", path: path) { unsafe clinux_unix_connect(raw, path) }
        return socket
    }

    /// A vsock stream to `port` of the machine with context `context` (2 is the host).
    public static func vsockConnection(context: UInt32, port: UInt32) throws(SystemError) -> OwnedDescriptor {
        let socket = OwnedDescriptor(owning: Int32(try checked(clinux_socket(AF_VSOCK, Int32(SOCK_STREAM.rawValue)), "socket")))
        let raw = socket.rawValue
        try retried("connect", path: "vsock:\(context):\(port)") { clinux_vsock_connect(raw, context, port) }
        return socket
    }

    /// Accepts a connection, close-on-exec.
    public func accept(nonBlocking: Bool = false) throws(SystemError) -> OwnedDescriptor {
        let raw = rawValue
        let flags = nonBlocking ? Int32(SOCK_NONBLOCK.rawValue) : 0
        return OwnedDescriptor(owning: Int32(try retried("accept") { clinux_accept(raw, flags) }))
    }

    /// Ends one direction (SHUT_RD 0, SHUT_WR 1) or both (2).
    public func shutdown(_ how: Int32) throws(SystemError) {
        try checked(clinux_shutdown(rawValue, how), "shutdown")
    }

    /// Sends some bytes with descriptors attached to the first of them; returns how many bytes went.
    public func send(_ bytes: some Sequence<UInt8>, descriptors: [Int32] = [], nonBlocking: Bool = false) throws(SystemError) -> Int {
        let raw = rawValue
        let buffer = ContiguousArray(bytes)
        let flags = nonBlocking ? Int32(MSG_DONTWAIT) : 0
        return try retried("sendmsg") {
            unsafe buffer.withUnsafeBytes { unsafe clinux_send_descriptors(raw, $0.baseAddress, $0.count, descriptors, Int32(descriptors.count), flags) }
        }
    }

    /// Receives bytes into the start of `buffer` (0: the peer has closed) and what descriptors came with them.
    public func receive(into buffer: inout [UInt8], descriptors: inout [SharedDescriptor], nonBlocking: Bool = false) throws(SystemError) -> Int {
        let raw = rawValue
        let flags = nonBlocking ? Int32(MSG_DONTWAIT) : 0
        var fds = [Int32](repeating: -1, count: Int(CLINUX_MAXIMUM_DESCRIPTORS))
        var fdCount: Int32 = 0
        let count = buffer.count
        let result = try retried("recvmsg") {
            unsafe buffer.withUnsafeMutableBytes { unsafe clinux_receive_descriptors(raw, $0.baseAddress, count, &fds, &fdCount, flags) }
        }
        for index in 0..<Int(fdCount) { descriptors.append(SharedDescriptor(OwnedDescriptor(owning: fds[index]))) }
        return result
    }
}

/// The two ends of a socketpair(2).
public struct SocketPair: ~Copyable {
    public var first: OwnedDescriptor
    public var second: OwnedDescriptor
    public consuming func split() -> (first: SharedDescriptor, second: SharedDescriptor) {
        (SharedDescriptor(first), SharedDescriptor(second))
    }
}

/// The two ends of a pipe(2).
public struct Pipe: ~Copyable {
    public var readEnd: OwnedDescriptor
    public var writeEnd: OwnedDescriptor

    public init(nonBlocking: Bool = false) throws(SystemError) {
        var fds: [Int32] = [-1, -1]
        try checked(unsafe clinux_pipe2(&fds, O_CLOEXEC | (nonBlocking ? O_NONBLOCK : 0)), "pipe2")
        readEnd = OwnedDescriptor(owning: fds[0])
        writeEnd = OwnedDescriptor(owning: fds[1])
    }
}
