import JSONText

/// Makes texts that are nearly configurations: values of a document are replaced, removed, doubled, moved and nested, then the text
/// itself is written in unusual ways and damaged.
struct JSONMutation {
    private let documents: [JSONValue]
    var random: Random
    private var text: [UInt8] = []

    init(documents: [JSONValue], random: Random) { (self.documents, self.random) = (documents, random) }

    mutating func makeText() -> [UInt8] {
        var document = random.pick(documents)
        for _ in 0..<random.below(random.once(in: 3) ? 8 : 3) { document = mutated(document) }
        isPlain = random.once(in: 2)
        text = []
        write(document)
        if random.once(in: 5) { for _ in 0...random.below(3) { damage() } }
        return text
    }

    // MARK: The tree

    private static func count(_ value: JSONValue) -> Int {
        switch value {
        case .array(let values): values.reduce(1) { $0 + count($1) }
        case .object(let object): object.members.reduce(1) { $0 + count($1.value) }
        default: 1
        }
    }

    private mutating func mutated(_ document: JSONValue) -> JSONValue {
        var target = random.below(Self.count(document))
        let other = node(random.pick(documents))
        return replace(document, &target) { (value, random) in Self.change(value, other, &random) }
    }

    /// Any value of a document.
    private mutating func node(_ document: JSONValue) -> JSONValue {
        var target = random.below(Self.count(document))
        var found = JSONValue.null
        _ = replace(document, &target) { (value, _) in
            found = value
            return value
        }
        return found
    }

    /// The document with its node number `target` changed.
    private mutating func replace(_ value: JSONValue, _ target: inout Int, _ change: (JSONValue, inout Random) -> JSONValue) -> JSONValue {
        if target == 0 {
            target = -1
            return change(value, &random)
        }
        target -= 1
        switch value {
        case .array(var values):
            for index in values.indices where target >= 0 { values[index] = replace(values[index], &target, change) }
            return .array(values)
        case .object(var object):
            for member in object.members where target >= 0 { object[member.key] = replace(member.value, &target, change) }
            return .object(object)
        default: return value
        }
    }

    private static func change(_ value: JSONValue, _ other: JSONValue, _ random: inout Random) -> JSONValue {
        switch random.below(12) {
        case 0: return other
        case 1: return .null
        case 2: return .array([value])
        case 3: return .array(Array(repeating: value, count: 2 + random.below(3)))
        case 4: return nested(value, 1 + random.below(80), random.once(in: 2))
        case 5 where random.once(in: 100): return .array(Array(repeating: leaf(&random), count: 20000 + random.below(80000)))
        case 6: return leaf(&random)
        default: return near(value, &random)
        }
    }

    /// A value of the same kind.
    private static func near(_ value: JSONValue, _ random: inout Random) -> JSONValue {
        switch value {
        case .bool(let bool): return .bool(!bool)
        case .integer, .unsigned, .number: return number(&random)
        case .string(let string):
            switch random.below(5) {
            case 0: return .string(string + word(&random))
            case 1: return .string(String(string.dropFirst(1 + random.below(3))))
            case 2: return .string(word(&random) + string)
            default: return .string(word(&random))
            }
        case .array(var values):
            switch random.below(3) {
            case 0 where !values.isEmpty: values.remove(at: random.below(values.count))
            case 1 where !values.isEmpty: values.insert(random.pick(values), at: random.below(values.count))
            default: values.append(leaf(&random))
            }
            return .array(values)
        case .object(var object):
            let keys = object.members.map(\.key)
            switch random.below(4) {
            case 0 where !keys.isEmpty: object[random.pick(keys)] = nil
            case 1 where !keys.isEmpty: object[random.pick(keys)] = leaf(&random)
            case 2 where random.once(in: 50): for index in 0..<5000 { object["\(word(&random))\(index)"] = leaf(&random) }
            default: object[word(&random)] = leaf(&random)
            }
            return .object(object)
        case .null: return leaf(&random)
        }
    }

    private static func nested(_ value: JSONValue, _ depth: Int, _ asObject: Bool) -> JSONValue {
        (0..<depth).reduce(value) { inner, _ in
            guard asObject else { return .array([inner]) }
            var object = JSONObject()
            object["a"] = inner
            return .object(object)
        }
    }

    private static func leaf(_ random: inout Random) -> JSONValue {
        switch random.below(7) {
        case 0: .bool(random.once(in: 2))
        case 1: .array([])
        case 2: .object(JSONObject())
        case 3, 4: number(&random)
        default: .string(word(&random))
        }
    }

    private static func number(_ random: inout Random) -> JSONValue {
        switch random.below(5) {
        case 0: .unsigned(random.integer())
        case 1: .integer(Int64(random.below(100_000)))
        case 2: .number(Double(random.below(1000)) / 8)
        default: .integer(random.pick([-1, 0, 1, 7, 8, 19, 20, 63, 64, 65, 255, 256, 511, 512, 1000, 1001, 4095, 4096, 65535, 65536, 1 << 31, (1 << 31) - 1, 1 << 32, (1 << 32) - 1, .max, .min]))
        }
    }

    private static let words = [
        "", "/", ".", "..", "/..", "x", "a/b", "/proc/self", "bind", "rbind", "ro", "rw", "shared", "idmap", "ridmap", "tmpcopyup", "tmpfs", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE",
        "SCMP_ACT_KILL", "CAP_SYS_ADMIN", "RLIMIT_CPU", "network", "user", "time", "uts", "\u{0}", "é", "e\u{301}", "a\nb", "\u{1B}[31m", "\u{202E}", "\"", "\\", "2MB", "0-3,5", "3-1", "1.0.2", "1.4.0",
        "net.ipv4.x", "kernel.sem", "memory.max", "../x", "A=b", "=", "A", "dev.nacelle.memory", "dev.nacelle.cmdline", "dev.nacelle.isolation", "microvm", "99999999999999999999", "-1", "a\nshare.9=x", "windows",
        "linux", "process", "hooks", "path", "type", "SCHED_FIFO", "SCHED_OTHER", "LINUX", "qcow2", "😀",
    ]

    private static func word(_ random: inout Random) -> String {
        switch random.below(30) {
        case 0: String(repeating: random.pick(["a", "/x", "é", "\u{1}"]), count: random.below(6000))
        case 1: String(decoding: random.bytes(random.below(12)), as: UTF8.self)
        default: random.pick(words)
        }
    }

    // MARK: The text

    /// Written without oddities.
    private var isPlain = true

    private mutating func add(_ string: String) { text += string.utf8 }

    private mutating func blank() {
        if !isPlain && random.once(in: 30) { add(random.pick([" ", "\n", "\t\r\n", "  "])) }
    }

    private mutating func write(_ value: JSONValue) {
        // Longer than any text that is read; what a few changes multiply could be gigabytes.
        guard text.count < 5 << 20 else { return }
        blank()
        switch value {
        case .integer, .number, .unsigned:
            guard !isPlain, random.once(in: 60) else { return add(value.text()) }
            add(random.pick(["1e2", "1.0", "-0", "1e400", "1E+2", "00", "-", "0x1", "1.", "18446744073709551616", "1e19", String(repeating: "9", count: 500)]))
        case .string(let string): write(string)
        case .array(let values):
            add("[")
            for (index, element) in values.enumerated() {
                if index > 0 { add(",") }
                write(element)
            }
            add("]")
        case .object(let object):
            add("{")
            for (index, member) in object.members.enumerated() {
                if index > 0 { add(",") }
                write(member.key)
                blank()
                add(":")
                write(member.value)
                guard !isPlain, random.once(in: 400) else { continue }
                add(",")
                write(member.key)
                add(":1")
            }
            add("}")
        case .null, .bool: add(value.text())
        }
        blank()
    }

    private mutating func write(_ string: String) {
        guard !isPlain, random.once(in: 30) else { return add(JSONValue.string(string).text()) }
        add("\"")
        for unit in string.utf16 {
            let digits = String(unit, radix: 16)
            add("\\u" + String(repeating: "0", count: 4 - digits.count) + digits)
        }
        add(random.once(in: 10) ? "\\ud800\"" : "\"")
    }

    /// Changes bytes without looking at what they mean.
    private mutating func damage() {
        guard !text.isEmpty else { return }
        let place = random.below(text.count)
        switch random.below(5) {
        case 0: text[place] = UInt8(truncatingIfNeeded: random.next())
        case 1: text.remove(at: place)
        case 2: text.insert(random.pick(Array("{}[]:,\"\\0-e\u{0}\u{1F}".utf8) + [0xFF, 0xC0]), at: place)
        case 3: text.removeSubrange(place..<min(text.count, place + random.below(50)))
        default: text.insert(contentsOf: text[place..<min(text.count, place + random.below(200))], at: random.below(text.count))
        }
    }
}
