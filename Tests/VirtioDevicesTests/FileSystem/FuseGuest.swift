import Glibc
import GuestRAM
import LinuxSystem
import Virtio
@testable import VirtioDevices

/// Bytes of a request, little-endian.
struct FuseArguments {
    private(set) var bytes: [UInt8] = []
    init() {}
    init(_ parts: FusePart...) { for part in parts { append(part) } }
    mutating func append(_ part: FusePart) {
        switch part {
        case .u32(let value): for index in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(8 * index))) }
        case .u64(let value): for index in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
        case .name(let text): bytes += Array(text.utf8) + [0]
        case .raw(let raw): bytes += raw
        }
    }
}

enum FusePart {
    case u32(UInt32)
    case u64(UInt64)
    case name(String)
    case raw([UInt8])
}

/// A reply; integers by their offset in its body.
struct FuseResponse {
    let error: Int32
    let unique: UInt64
    let body: [UInt8]

    func u32(_ offset: Int) -> UInt32 {
        guard offset + 4 <= body.count else { return .max }
        return (0..<4).reduce(0) { $0 | UInt32(body[offset + $1]) << UInt32(8 * $1) }
    }
    func u64(_ offset: Int) -> UInt64 { UInt64(u32(offset)) | UInt64(u32(offset + 4)) << 32 }

    // struct fuse_entry_out, or struct fuse_attr_out when `attribute` is 16.
    var node: UInt64 { u64(0) }
    func attribute(_ field: Attribute, in start: Int = 40) -> UInt64 {
        field.rawValue < 48 ? u64(start + field.rawValue) : UInt64(u32(start + field.rawValue))
    }

    enum Attribute: Int {
        case inode = 0, size = 8, blocks = 16, accessTime = 24, modificationTime = 32, modificationPart = 52, mode = 60, links = 64, user = 68
        case group = 72, device = 76, flags = 84
    }
}

/// A guest with a FUSE driver of its own over real rings. Each request is awaited on the calling thread.
final class FuseGuest {
    static let requestAddress: UInt64 = 0x100000
    static let replyAddress: UInt64 = 0x400000
    let device: FileSystemDevice
    let transport: MMIOTransport
    let memory: GuestMemory
    private(set) var ring: DriverRing
    private(set) var priority: DriverRing
    private var unique: UInt64 = 0
    var user: UInt32 = 0
    var group: UInt32 = 0
    /// Features of INIT: all that Linux 6.1 offers.
    var features: UInt64 = 0x7FFF_FFFF

    init(_ device: FileSystemDevice, starts: Bool = true) throws {
        self.device = device
        let mapping = try Mapping(nil, count: 8 << 20, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE)
        memory = GuestMemory(regions: [.init(base: GuestAddress(0), mapping: mapping)])
        transport = try MMIOTransport(device, memory: memory)
        priority = DriverRing(memory, base: 0x10000, size: 128)
        ring = DriverRing(memory, base: 0x20000, size: 128)
        activate()
        if starts { try initialize() }
    }

    deinit { resetDevice() }

    private func register(_ offset: UInt64, _ value: UInt64) { transport.write(offset, value: value, count: 4) }

    func activate() {
        priority = DriverRing(memory, base: 0x10000, size: 128)
        ring = DriverRing(memory, base: 0x20000, size: 128)
        for address in [priority.availableRing, priority.usedRing, ring.availableRing, ring.usedRing] { ring.store(UInt64(0), at: address) }
        for status in [1, 3] { register(0x70, UInt64(status)) }
        register(0x24, 1)
        register(0x20, 1)  // VIRTIO_F_VERSION_1
        register(0x70, 11)
        for (index, ring) in [priority, ring].enumerated() {
            register(0x30, UInt64(index))
            register(0x38, UInt64(ring.size))
            for (offset, value) in [(0x80, ring.descriptors), (0x90, ring.availableRing), (0xA0, ring.usedRing)] {
                register(UInt64(offset), value)
                register(UInt64(offset + 4), 0)
            }
            register(0x44, 1)
        }
        register(0x70, 15)
    }

    func resetDevice() { register(0x70, 0) }

    var isBroken: Bool { transport.read(0x70, count: 4) & 64 != 0 }

    struct Unanswered: Error {}

    /// Waits for a used buffer, for as long as nobody would wait.
    func await(_ ring: DriverRing) throws -> (head: UInt16, written: Int) {
        for round in 0..<4_000_000 {
            if let used = ring.takeUsed() { return used }
            if round > 2000 { usleep(20) } else { sched_yield() }
            if isBroken { break }
        }
        throw Unanswered()
    }

    static func header(_ length: Int, _ opcode: UInt32, unique: UInt64, node: UInt64, user: UInt32 = 0, group: UInt32 = 0) -> [UInt8] {
        FuseArguments(.u32(UInt32(length)), .u32(opcode), .u64(unique), .u64(node), .u32(user), .u32(group), .u32(1), .u32(0)).bytes
    }

    /// Sends raw bytes with `room` bytes for the reply, and returns what was written.
    func send(_ bytes: [UInt8], room: Int, split: Int = 40) throws -> [UInt8] {
        _ = memory.write(bytes, at: GuestAddress(Self.requestAddress))
        var buffers: [(address: UInt64, count: Int, isWritable: Bool)] = []
        let first = min(split, bytes.count)
        if first > 0 { buffers.append((Self.requestAddress, first, false)) }
        if bytes.count > first { buffers.append((Self.requestAddress + UInt64(first), bytes.count - first, false)) }
        if room > 0 { buffers.append((Self.replyAddress, min(room, 16), true)) }
        if room > 16 { buffers.append((Self.replyAddress + 16, room - 16, true)) }
        guard ring.offer(buffers) != nil else { throw Unanswered() }
        transport.notify(queue: 1)
        let used = try self.await(ring)
        return memory.read(at: GuestAddress(Self.replyAddress), count: used.written) ?? []
    }

    @discardableResult
    func ask(_ opcode: Fuse.Opcode, _ node: UInt64, _ arguments: FusePart..., room: Int = 256) throws -> FuseResponse {
        var body = FuseArguments()
        for part in arguments { body.append(part) }
        return try ask(opcode, node, bytes: body.bytes, room: room)
    }

    func ask(_ opcode: Fuse.Opcode, _ node: UInt64, bytes: [UInt8], room: Int = 256) throws -> FuseResponse {
        unique += 1
        let header = Self.header(40 + bytes.count, opcode.rawValue, unique: unique, node: node, user: user, group: group)
        let reply = try send(header + bytes, room: 16 + room)
        let response = Self.parse(reply)
        guard response.unique == unique else { throw Unanswered() }
        return response
    }

    static func parse(_ reply: [UInt8]) -> FuseResponse {
        let raw = FuseResponse(error: 0, unique: 0, body: reply)
        return FuseResponse(error: Int32(bitPattern: raw.u32(4)), unique: raw.u64(8), body: Array(reply.dropFirst(16)))
    }

    @discardableResult
    func initialize(major: UInt32 = 7, minor: UInt32 = 38) throws -> FuseResponse {
        try ask(
            .initialize, 0, .u32(major), .u32(minor), .u32(131072), .u32(UInt32(truncatingIfNeeded: features)), .u32(UInt32(features >> 32)),
            .raw([UInt8](repeating: 0, count: 44)), room: 64)
    }

    // MARK: Requests by name

    func lookup(_ name: String, in node: UInt64) throws -> FuseResponse { try ask(.lookup, node, .name(name)) }

    /// The node of a path from the root; 0 when a component is missing.
    func walk(_ path: String...) throws -> UInt64 {
        var node: UInt64 = 1
        for name in path {
            let response = try lookup(name, in: node)
            guard response.error == 0, response.node != 0 else { return 0 }
            node = response.node
        }
        return node
    }

    func forget(_ node: UInt64, _ count: UInt64) throws {
        unique += 1
        let bytes = Self.header(48, Fuse.Opcode.forget.rawValue, unique: unique, node: node) + FuseArguments(.u64(count)).bytes
        _ = memory.write(bytes, at: GuestAddress(Self.requestAddress))
        priority.offer([(Self.requestAddress, bytes.count, false)])
        transport.notify(queue: 0)
        _ = try self.await(priority)
    }

    func attributes(_ node: UInt64) throws -> FuseResponse { try ask(.getAttributes, node, .u32(0), .u32(0), .u64(0)) }

    func open(_ node: UInt64, _ flags: Int32, kill: Bool = false) throws -> FuseResponse {
        try ask(.open, node, .u32(UInt32(bitPattern: flags)), .u32(kill ? 1 : 0))
    }

    func create(_ name: String, in node: UInt64, flags: Int32 = O_RDWR, mode: UInt32 = 0o644, mask: UInt32 = 0) throws -> FuseResponse {
        try ask(.create, node, .u32(UInt32(bitPattern: flags | O_CREAT)), .u32(S_IFREG | mode), .u32(mask), .u32(0), .name(name))
    }

    func read(_ node: UInt64, _ handle: UInt64, offset: UInt64, count: Int, room: Int? = nil) throws -> FuseResponse {
        try ask(
            .read, node, .u64(handle), .u64(offset), .u32(UInt32(clamping: count)), .u32(0), .u64(0), .u32(0), .u32(0), room: room ?? count)
    }

    func write(_ node: UInt64, _ handle: UInt64, offset: UInt64, _ data: [UInt8], flags: UInt32 = 0, openFlags: Int32 = 0, size: UInt32? = nil) throws
        -> FuseResponse
    {
        try ask(
            .write, node, .u64(handle), .u64(offset), .u32(size ?? UInt32(data.count)), .u32(flags), .u64(0), .u32(UInt32(bitPattern: openFlags)), .u32(0),
            .raw(data))
    }

    func setAttributes(
        _ node: UInt64, _ valid: Fuse.SetValid, handle: UInt64 = 0, size: UInt64 = 0, times: (UInt64, UInt64) = (0, 0), mode: UInt32 = 0,
        user: UInt32 = 0, group: UInt32 = 0
    ) throws -> FuseResponse {
        try ask(
            .setAttributes, node, .u32(valid.rawValue), .u32(0), .u64(handle), .u64(size), .u64(0), .u64(times.0), .u64(times.1), .u64(0), .u32(5),
            .u32(6), .u32(0), .u32(mode), .u32(0), .u32(user), .u32(group), .u32(0))
    }

    struct Line: Equatable {
        var name: String
        var offset: UInt64
        var type: UInt32
        /// Of READDIRPLUS; 0 when none was given.
        var node: UInt64
    }

    func readDirectory(_ node: UInt64, _ handle: UInt64, offset: UInt64, count: Int = 4096, plus: Bool = false) throws -> [Line] {
        let response = try ask(
            plus ? .readDirectoryPlus : .readDirectory, node, .u64(handle), .u64(offset), .u32(UInt32(count)), .u32(0), .u64(0), .u32(0), .u32(0),
            room: count)
        guard response.error == 0 else { throw SystemError(Errno(rawValue: -response.error), "readdir") }
        var lines: [Line] = []
        var position = 0
        while position < response.body.count {
            let told = plus ? response.u64(position) : 0
            let start = position + (plus ? 128 : 0)
            let length = Int(response.u32(start + 16))
            let name = String(decoding: response.body[(start + 24)..<(start + 24 + length)], as: UTF8.self)
            lines.append(Line(name: name, offset: response.u64(start + 8), type: response.u32(start + 20), node: told))
            position = start + (24 + length + 7) & ~7
        }
        return lines
    }
}

/// A directory of the host that goes with the test.
final class ScratchDirectory {
    let path: String
    let outside: String

    init() throws {
        var template = Array("/tmp/nacelle-fs-XXXXXX".utf8CString)
        guard let made = unsafe mkdtemp(&template) else { throw SystemError(Errno(rawValue: errno), "mkdtemp") }
        outside = unsafe String(cString: made)
        path = outside + "/share"
        unsafe chmod(outside, 0o755)
        unsafe mkdir(path, 0o755)
        try writeFile(outside + "/secret", Array("secret".utf8))
    }

    deinit { run("rm", "-rf", outside) }

    @discardableResult
    func run(_ arguments: String...) -> Int32 {
        let command = arguments.map { "'" + $0 + "'" }.joined(separator: " ")
        return unsafe system(command)
    }

    func share(_ name: String = "rootfs", _ relative: String = "", readOnly: Bool = false) throws -> FileSystemDevice.Share {
        try .init(name: name, descriptor: try OwnedDescriptor(opening: path + relative, flags: O_PATH | O_NOFOLLOW), readOnly: readOnly)
    }

    func guest() throws -> FuseGuest { try FuseGuest(try FileSystemDevice(tag: "nacelle", shares: [try share()])) }

    func write(_ name: String, _ text: String) throws { try writeFile(path + "/" + name, Array(text.utf8)) }
    func text(_ name: String) throws -> String { String(decoding: try readFile(path + "/" + name), as: UTF8.self) }
    func status(_ name: String) -> stat {
        var status = stat()
        unsafe lstat(path + "/" + name, &status)
        return status
    }
}

/// How many descriptors of this process lie in the directory; tests that run at the same time have theirs elsewhere.
func openDescriptorCount(in directory: String) -> Int {
    guard let stream = unsafe opendir("/proc/self/fd") else { return -1 }
    defer { unsafe closedir(stream) }
    var count = 0
    while let entry = unsafe readdir(stream) {
        let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self)) }
        var target = [UInt8](repeating: 0, count: 4096)
        let length = unsafe target.withUnsafeMutableBytes { unsafe readlink("/proc/self/fd/" + name, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count) }
        if length > 0, target[..<length].starts(with: directory.utf8) { count += 1 }
    }
    return count
}
