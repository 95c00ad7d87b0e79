internal import CLinux
internal import Glibc

/// A network device of one network namespace.
public struct NetworkDevice: Equatable, Sendable {
    public var index: Int32
    public var name: String
}

/// An address of a network device: `struct ifaddrmsg` and the attributes that are the address's own.
public struct NetworkAddress: Equatable, Sendable {
    /// AF_INET, AF_INET6 …
    public var family: UInt8
    public var prefixLength: UInt8
    /// IFA_F_*
    public var flags: UInt32
    /// RT_SCOPE_*: 0 is the universe.
    public var scope: UInt8
    var attributes: [RouteMessage.Attribute]
    /// IFA_F_PERMANENT: nobody's lease, and no autoconfiguration.
    public var isPermanent: Bool { flags & 0x80 != 0 }
}

/// A socket to the routing part of one network namespace (rtnetlink(7)). One request at a time, each answered before it returns.
public struct RouteSocket: ~Copyable {
    private let socket: OwnedDescriptor

    /// Of the calling thread's network namespace.
    public init() throws(SystemError) {
        socket = OwnedDescriptor(owning: Int32(try checked(clinux_route_socket(), "socket(NETLINK_ROUTE)")))
    }

    /// Of another one, which the calling thread enters for a moment: a socket stays in the namespace that it was made in.
    public init(in namespace: borrowing OwnedDescriptor) throws(SystemError) {
        let own = try OwnedDescriptor(opening: "/proc/thread-self/ns/net", flags: O_RDONLY)
        try NamespaceSet.network.join(namespace.rawValue)
        let made = clinux_route_socket()
        do throws(SystemError) {
            try NamespaceSet.network.join(own.rawValue)
        } catch {
            if made >= 0 { _ = OwnedDescriptor(owning: Int32(made)) }
            throw error
        }
        socket = OwnedDescriptor(owning: Int32(try checked(made, "socket(NETLINK_ROUTE)")))
    }

    /// All devices.
    public func devices() throws(SystemError) -> [NetworkDevice] {
        try list(RouteMessage(.getLink, header: RouteMessage.link(index: 0))).compactMap { answer in
            guard answer.header.count >= 16, let name = answer.attributes.first(where: { $0.type == 3 /* IFLA_IFNAME */ }) else { return nil }
            return NetworkDevice(index: Int32(bitPattern: RouteMessage.word(answer.header, at: 4)), name: String(decoding: name.value.prefix { $0 != 0 }, as: UTF8.self))
        }
    }

    /// The addresses of a device, of all families.
    public func addresses(of device: Int32) throws(SystemError) -> [NetworkAddress] {
        try list(RouteMessage(.getAddress, header: [0, 0, 0, 0] + RouteMessage.bytes(UInt32(0)))).compactMap { answer in
            let header = answer.header
            guard header.count >= 8, RouteMessage.word(header, at: 4) == UInt32(bitPattern: device) else { return nil }
            var flags = UInt32(header[2])
            if let all = answer.attributes.first(where: { $0.type == 8 /* IFA_FLAGS */ }), all.value.count >= 4 { flags = RouteMessage.word(all.value, at: 0) }
            // IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_RT_PRIORITY; not IFA_LABEL, which has the device's name in it.
            let kept = answer.attributes.filter { [1, 2, 4, 9].contains($0.type) }
            return NetworkAddress(family: header[0], prefixLength: header[1], flags: flags, scope: header[3], attributes: kept)
        }
    }

    /// Moves a device into another namespace, down, with all that hangs on its name; a name with `%d` is completed by the kernel.
    public func move(_ device: Int32, to namespace: borrowing OwnedDescriptor, name: String) throws(SystemError) {
        var message = RouteMessage(.newLink, header: RouteMessage.link(index: device))
        message.attributes = [
            .init(type: 3 /* IFLA_IFNAME */, value: Array(name.utf8) + [0]),
            .init(type: 28 /* IFLA_NET_NS_FD */, value: RouteMessage.bytes(UInt32(bitPattern: namespace.rawValue))),
        ]
        try request(message)
    }

    public func setUp(_ device: Int32, _ isUp: Bool) throws(SystemError) {
        try request(RouteMessage(.newLink, header: RouteMessage.link(index: device, flags: isUp ? 1 : 0, change: 1 /* IFF_UP */)))
    }

    /// Gives a device an address as it was on another.
    public func add(_ address: NetworkAddress, to device: Int32) throws(SystemError) {
        // What the user chose: NODAD, HOMEADDRESS, MANAGETEMPADDR, NOPREFIXROUTE, MCAUTOJOIN. The others are the kernel's to say.
        let flags = address.flags & 0x712
        var message = RouteMessage(
            .newAddress, header: [address.family, address.prefixLength, UInt8(truncatingIfNeeded: flags), address.scope] + RouteMessage.bytes(UInt32(bitPattern: device)))
        message.attributes = address.attributes + [.init(type: 8 /* IFA_FLAGS */, value: RouteMessage.bytes(flags))]
        message.flags |= 0x600  // NLM_F_CREATE | NLM_F_EXCL
        try request(message)
    }

    /// Sends a request and waits for the word that it was carried out.
    private func request(_ message: RouteMessage) throws(SystemError) {
        var message = message
        message.flags |= 4  // NLM_F_ACK
        try send(message)
        while true {
            for answer in try receive() where answer.type == 2 /* NLMSG_ERROR */ { return try check(answer, message) }
        }
    }

    private func list(_ message: RouteMessage) throws(SystemError) -> [RouteMessage.Answer] {
        var message = message
        message.flags |= 0x300  // NLM_F_DUMP
        try send(message)
        var answers: [RouteMessage.Answer] = []
        while true {
            for answer in try receive() {
                if answer.type == 2 /* NLMSG_ERROR */ { try check(answer, message) }
                if answer.type == 3 /* NLMSG_DONE */ { return answers }
                answers.append(answer)
            }
        }
    }

    private func check(_ answer: RouteMessage.Answer, _ message: RouteMessage) throws(SystemError) {
        let number = answer.header.count >= 4 ? Int32(bitPattern: RouteMessage.word(answer.header, at: 0)) : -EIO
        if number != 0 { throw SystemError(Errno(rawValue: -number), "rtnetlink \(message.kind)") }
    }

    private func send(_ message: RouteMessage) throws(SystemError) {
        let bytes = message.encoded()
        let raw = socket.rawValue
        try retried("send(NETLINK_ROUTE)") { unsafe bytes.withUnsafeBytes { unsafe clinux_send(raw, $0.baseAddress, $0.count, 0) } }
    }

    private func receive() throws(SystemError) -> [RouteMessage.Answer] {
        // The kernel's datagrams are 32 KiB at most.
        var buffer = [UInt8](repeating: 0, count: 65536)
        let raw = socket.rawValue
        let size = buffer.count
        let count = try retried("recv(NETLINK_ROUTE)") { unsafe buffer.withUnsafeMutableBytes { unsafe clinux_recv(raw, $0.baseAddress, size, 0) } }
        return RouteMessage.answers(buffer[..<count])
    }
}

/// Messages of rtnetlink as bytes: `struct nlmsghdr`, a header of the kind's own, attributes padded to four bytes. Little-endian, as x86-64 is.
struct RouteMessage {
    enum Kind: UInt16 { case newLink = 16, getLink = 18, newAddress = 20, getAddress = 22 }

    struct Attribute: Equatable, Sendable {
        var type: UInt16
        var value: [UInt8]
    }

    struct Answer {
        var type: UInt16
        var header: [UInt8]
        var attributes: [Attribute]
    }

    let kind: Kind
    let header: [UInt8]
    /// NLM_F_REQUEST
    var flags: UInt16 = 1
    var attributes: [Attribute] = []

    init(_ kind: Kind, header: [UInt8]) { (self.kind, self.header) = (kind, header) }

    /// struct ifinfomsg
    static func link(index: Int32, flags: UInt32 = 0, change: UInt32 = 0) -> [UInt8] {
        [0, 0, 0, 0] + bytes(UInt32(bitPattern: index)) + bytes(flags) + bytes(change)
    }

    func encoded() -> [UInt8] {
        var body = header
        for attribute in attributes {
            body += RouteMessage.bytes(UInt16(attribute.value.count + 4)) + RouteMessage.bytes(attribute.type) + attribute.value
            while body.count % 4 != 0 { body.append(0) }
        }
        return RouteMessage.bytes(UInt32(body.count + 16)) + RouteMessage.bytes(kind.rawValue) + RouteMessage.bytes(flags) + RouteMessage.bytes(UInt32(1)) + [0, 0, 0, 0] + body
    }

    /// All messages of one datagram. What does not fit its own length ends it.
    static func answers(_ datagram: ArraySlice<UInt8>) -> [Answer] {
        var answers: [Answer] = []
        var rest = datagram
        while rest.count >= 16 {
            let length = Int(word(rest, at: 0))
            guard length >= 16, length <= rest.count else { break }
            let message = Array(rest.prefix(length))
            let type = UInt16(message[4]) | UInt16(message[5]) << 8
            let size = type == Kind.newAddress.rawValue ? 8 : type == Kind.newLink.rawValue ? 16 : length - 16
            let body = message.dropFirst(16)
            answers.append(Answer(type: type, header: Array(body.prefix(size)), attributes: parse(body.dropFirst(size))))
            rest = rest.dropFirst(min(rest.count, (length + 3) & ~3))
        }
        return answers
    }

    private static func parse(_ bytes: ArraySlice<UInt8>) -> [Attribute] {
        var attributes: [Attribute] = []
        var rest = bytes
        while rest.count >= 4 {
            let head = Array(rest.prefix(4))
            let length = Int(head[0]) | Int(head[1]) << 8
            guard length >= 4, length <= rest.count else { break }
            // Without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
            attributes.append(Attribute(type: (UInt16(head[2]) | UInt16(head[3]) << 8) & 0x3FFF, value: Array(rest.prefix(length).dropFirst(4))))
            rest = rest.dropFirst(min(rest.count, (length + 3) & ~3))
        }
        return attributes
    }

    static func word(_ bytes: some Collection<UInt8>, at offset: Int) -> UInt32 {
        bytes.dropFirst(offset).prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    static func bytes<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
        (0..<(Integer.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> Integer($0 * 8)) }
    }
}
