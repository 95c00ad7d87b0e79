internal import LinuxSystem

/// The bytes that describe an entry: a ustar header, with a PAX header before it for what does not fit (pax(1), "pax Interchange Format").
struct TarHeader {
    private var records: [UInt8] = []
    private var block = [UInt8](repeating: 0, count: 512)
    private var path: [UInt8]
    private var isBinary = false

    /// - Parameters:
    ///   - size: of what follows the header in the archive.
    ///   - sparse: the file's real size, when what follows is a map and the parts that are no holes (GNU's format 1.0).
    static func bytes(of entry: TarEntry, size: Int64, sparse: Int64? = nil) -> [UInt8] {
        var header = TarHeader(entry, size: size, sparse: sparse)
        return header.finish(entry, size: size)
    }

    private init(_ entry: TarEntry, size: Int64, sparse: Int64?) {
        path = entry.path
        if let sparse {
            add("GNU.sparse.major", "1")
            add("GNU.sparse.minor", "0")
            add("GNU.sparse.name", path)
            add("GNU.sparse.realsize", "\(sparse)")
            path = Array("GNUSparseFile.0/".utf8) + path.suffix(80)
        } else if path.count > 100 {
            add("path", path)
        }
        let target: [UInt8] = switch entry.kind {
        case .symbolicLink(let target), .hardLink(let target): target
        default: []
        }
        if target.count > 100 { add("linkpath", target) }
        if size >= 1 << 33 { add("size", "\(size)") }
        if entry.user >= 1 << 21 { add("uid", "\(entry.user)") }
        if entry.group >= 1 << 21 { add("gid", "\(entry.group)") }
        if entry.modification.nanoseconds != 0 || !(0..<1 << 33).contains(entry.modification.seconds) { add("mtime", TarHeader.text(entry.modification)) }
        for attribute in entry.attributes { add("SCHILY.xattr." + attribute.name.text, attribute.value, isText: false) }
        if isBinary {
            // PAX text is UTF-8 unless it says so first.
            let rest = records
            records = []
            add("hdrcharset", "BINARY")
            records += rest
        }
    }

    private static func text(_ time: FileTime) -> String {
        if time.nanoseconds == 0 { return "\(time.seconds)" }
        let isNegative = time.seconds < 0
        let seconds = isNegative ? -(time.seconds + 1) : time.seconds
        let fraction = String(isNegative ? 1_000_000_000 - time.nanoseconds : time.nanoseconds)
        return "\(isNegative ? "-" : "")\(seconds).\(String(repeating: "0", count: 9 - fraction.count))\(fraction)"
    }

    private mutating func add(_ key: String, _ value: String) { add(key, Array(value.utf8)) }

    /// `LENGTH KEY=VALUE\n`, where the length counts itself as well.
    private mutating func add(_ key: String, _ value: [UInt8], isText: Bool = true) {
        if isText, String(validating: value, as: UTF8.self) == nil { isBinary = true }
        let rest = Array(" \(key)=".utf8) + value + [UInt8(ascii: "\n")]
        var length = rest.count
        while String(length).utf8.count + rest.count != length { length = String(length).utf8.count + rest.count }
        records += Array(String(length).utf8) + rest
    }

    private mutating func set(_ offset: Int, _ bytes: some Collection<UInt8>) { block.replaceSubrange(offset..<(offset + bytes.count), with: bytes) }

    private mutating func set(_ offset: Int, octal value: UInt64, digits: Int) {
        let text = String(value, radix: 8)
        set(offset, (String(repeating: "0", count: max(0, digits - text.count)) + text).utf8.prefix(digits))
    }

    private mutating func finish(_ entry: TarEntry, size: Int64) -> [UInt8] {
        var type = UInt8(ascii: "0")
        var (target, device): ([UInt8], (major: UInt32, minor: UInt32)?) = ([], nil)
        switch entry.kind {
        case .regular: break
        case .hardLink(let other): (type, target) = (UInt8(ascii: "1"), other)
        case .symbolicLink(let other): (type, target) = (UInt8(ascii: "2"), other)
        case .characterDevice(let major, let minor): (type, device) = (UInt8(ascii: "3"), (major, minor))
        case .blockDevice(let major, let minor): (type, device) = (UInt8(ascii: "4"), (major, minor))
        case .directory: type = UInt8(ascii: "5")
        case .fifo: type = UInt8(ascii: "6")
        }
        var result: [UInt8] = []
        if !records.isEmpty {
            var extended = TarHeader(plain: Array("PaxHeaders.0/".utf8) + path.suffix(80))
            result += extended.fields(type: UInt8(ascii: "x"), mode: 0o644, user: 0, group: 0, size: Int64(records.count), seconds: 0, target: [], device: nil)
            result += records + TarHeader.padding(Int64(records.count))
        }
        let seconds = entry.modification.seconds
        result += fields(
            type: type, mode: entry.mode, user: entry.user < 1 << 21 ? entry.user : 0, group: entry.group < 1 << 21 ? entry.group : 0,
            size: size < 1 << 33 ? size : 0, seconds: (0..<1 << 33).contains(seconds) ? seconds : 0, target: target, device: device)
        return result
    }

    private init(plain path: [UInt8]) { self.path = path }

    private mutating func fields(
        type: UInt8, mode: UInt32, user: UInt32, group: UInt32, size: Int64, seconds: Int64, target: [UInt8], device: (major: UInt32, minor: UInt32)?
    ) -> [UInt8] {
        set(0, path.prefix(100))
        set(100, octal: UInt64(mode), digits: 7)
        set(108, octal: UInt64(user), digits: 7)
        set(116, octal: UInt64(group), digits: 7)
        set(124, octal: UInt64(size), digits: 11)
        set(136, octal: UInt64(seconds), digits: 11)
        set(148, Array("        ".utf8))
        block[156] = type
        set(157, target.prefix(100))
        set(257, Array("ustar\u{0}00".utf8))
        if let device {
            set(329, octal: UInt64(device.major), digits: 7)
            set(337, octal: UInt64(device.minor), digits: 7)
        }
        let sum = block.reduce(0) { $0 + UInt64($1) }
        set(148, octal: sum, digits: 6)
        block[154] = 0
        return block
    }

    /// What fills the last block of something of this size.
    static func padding(_ size: Int64) -> [UInt8] { [UInt8](repeating: 0, count: Int((512 - size % 512) % 512)) }
}
