/// A message of the D-Bus protocol (D-Bus Specification, "Message Protocol"), as far as systemd's manager needs it: little-endian, without
/// descriptors.
struct DBusMessage {
    enum Kind: UInt8 { case call = 1, reply, error, signal }

    var kind = Kind.call
    var serial: UInt32 = 0
    var replySerial: UInt32 = 0
    var path = ""
    var interface = ""
    var member = ""
    var errorName = ""
    var signature = ""
    var body: [UInt8] = []

    /// What a header and a body may have at most; systemd's messages are far smaller.
    static let limit = 1 << 20

    struct Malformed: Error {}

    // MARK: Writing

    func bytes() -> [UInt8] {
        var writer = DBusWriter()
        writer.byte(UInt8(ascii: "l"))
        writer.byte(kind.rawValue)
        writer.byte(0)
        writer.byte(1)
        writer.uint32(UInt32(body.count))
        writer.uint32(serial)
        writer.array(alignment: 8) { fields in
            for (code, signature, text) in [(1, "o", path), (2, "s", interface), (3, "s", member), (8, "g", self.signature)] as [(UInt8, String, String)] where !text.isEmpty {
                fields.align(8)
                fields.byte(code)
                fields.signature(signature)
                if signature == "g" { fields.signature(text) } else { fields.string(text) }
            }
        }
        writer.align(8)
        return writer.bytes + body
    }

    // MARK: Reading

    /// How long a message is whose first 16 bytes these are.
    static func length(_ start: ArraySlice<UInt8>) throws(Malformed) -> Int {
        var reader = DBusReader(start)
        guard try reader.byte() == UInt8(ascii: "l") else { throw Malformed() }
        _ = try (reader.byte(), reader.byte())
        guard try reader.byte() == 1 else { throw Malformed() }
        let body = Int(try reader.uint32())
        _ = try reader.uint32()
        let fields = Int(try reader.uint32())
        guard body <= limit, fields <= limit else { throw Malformed() }
        return 16 + (fields + 7) / 8 * 8 + body
    }

    init() {}

    init(parsing bytes: ArraySlice<UInt8>) throws(Malformed) {
        var reader = DBusReader(bytes)
        _ = try reader.byte()
        guard let kind = Kind(rawValue: try reader.byte()) else { throw Malformed() }
        self.kind = kind
        _ = try (reader.byte(), reader.byte())
        let bodyLength = Int(try reader.uint32())
        serial = try reader.uint32()
        let end = 16 + Int(try reader.uint32())
        while reader.position < end {
            try reader.align(8)
            let code = try reader.byte()
            let type = try reader.signature()
            switch (code, type) {
            case (1, "o"): path = try reader.string()
            case (2, "s"): interface = try reader.string()
            case (3, "s"): member = try reader.string()
            case (4, "s"): errorName = try reader.string()
            case (5, "u"): replySerial = try reader.uint32()
            case (8, "g"): signature = try reader.signature()
            case (_, "s"), (_, "o"): _ = try reader.string()
            case (_, "u"): _ = try reader.uint32()
            case (_, "g"): _ = try reader.signature()
            default: throw Malformed()
            }
        }
        try reader.align(8)
        body = Array(try reader.rest(bodyLength))
    }
}

/// Values in D-Bus's marshalling: each aligned to its size.
struct DBusWriter {
    private(set) var bytes: [UInt8] = []

    mutating func align(_ size: Int) { while bytes.count % size != 0 { bytes.append(0) } }
    mutating func byte(_ value: UInt8) { bytes.append(value) }
    mutating func boolean(_ value: Bool) { uint32(value ? 1 : 0) }

    mutating func uint32(_ value: UInt32) {
        align(4)
        for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(shift))) }
    }

    mutating func uint64(_ value: UInt64) {
        align(8)
        for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift))) }
    }

    mutating func string(_ text: String) {
        uint32(UInt32(text.utf8.count))
        bytes += text.utf8
        bytes.append(0)
    }

    mutating func signature(_ text: String) {
        bytes.append(UInt8(text.utf8.count))
        bytes += text.utf8
        bytes.append(0)
    }

    /// An array's length does not count the padding before its first element.
    mutating func array(alignment: Int, _ elements: (inout DBusWriter) -> Void) {
        uint32(0)
        let place = bytes.count - 4
        align(alignment)
        let start = bytes.count
        elements(&self)
        let length = UInt32(bytes.count - start)
        for index in 0..<4 { bytes[place + index] = UInt8(truncatingIfNeeded: length >> UInt32(8 * index)) }
    }
}

struct DBusReader {
    private let bytes: ArraySlice<UInt8>
    private(set) var position = 0

    init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    mutating func rest(_ count: Int) throws(DBusMessage.Malformed) -> ArraySlice<UInt8> {
        guard count >= 0, count <= bytes.count - position else { throw DBusMessage.Malformed() }
        defer { position += count }
        return bytes[(bytes.startIndex + position)..<(bytes.startIndex + position + count)]
    }

    mutating func align(_ size: Int) throws(DBusMessage.Malformed) { _ = try rest((size - position % size) % size) }

    mutating func byte() throws(DBusMessage.Malformed) -> UInt8 {
        guard let value = try rest(1).first else { throw DBusMessage.Malformed() }
        return value
    }

    mutating func uint32() throws(DBusMessage.Malformed) -> UInt32 {
        try align(4)
        return try rest(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    mutating func string() throws(DBusMessage.Malformed) -> String { try text(Int(try uint32())) }
    mutating func signature() throws(DBusMessage.Malformed) -> String { try text(Int(try byte())) }

    private mutating func text(_ count: Int) throws(DBusMessage.Malformed) -> String {
        let text = String(decoding: try rest(count), as: UTF8.self)
        guard try byte() == 0 else { throw DBusMessage.Malformed() }
        return text
    }
}
