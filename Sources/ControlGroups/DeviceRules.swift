public import OCISpec

/// One rule about accesses to device nodes; a later rule overrides an earlier one.
public struct DeviceRule: Hashable, Sendable {
    public enum Kind: String, Sendable {
        case all = "a"
        case block = "b"
        case character = "c"
    }
    /// `BPF_DEVCG_ACC_*` of linux/bpf.h.
    public struct Access: OptionSet, Hashable, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let makeNode = Access(rawValue: 1)
        public static let read = Access(rawValue: 2)
        public static let write = Access(rawValue: 4)
        public static let all: Access = [.makeNode, .read, .write]
    }

    public var allow: Bool
    public var kind: Kind
    /// nil: every number.
    public var major: UInt32?
    public var minor: UInt32?
    public var access: Access

    public init(allow: Bool, kind: Kind, major: UInt32?, minor: UInt32?, access: Access) {
        self.allow = allow
        self.kind = kind
        self.major = major
        self.minor = minor
        self.access = access
    }

    /// From linux.resources.devices. A type or number that cannot be concerns everything if the rule denies and nothing if it allows.
    public init(_ rule: ResourcesSpec.DeviceRuleSpec) {
        allow = rule.allow
        let name = rule.type ?? ""
        let known = name.isEmpty ? Kind.all : Kind(rawValue: name == "u" ? "c" : name)
        kind = known ?? .all
        major = rule.major.flatMap { UInt32(exactly: $0) }
        minor = rule.minor.flatMap { UInt32(exactly: $0) }
        let impossible = known == nil || (major == nil && rule.major ?? -1 != -1) || (minor == nil && rule.minor ?? -1 != -1)
        if impossible {
            access = allow ? [] : .all
            return
        }
        let letters = rule.access ?? ""
        if letters.isEmpty {
            access = .all
        } else {
            access = []
            for (letter, kind) in zip("rwm".utf8, [Access.read, .write, .makeNode]) where letters.utf8.contains(letter) { access.insert(kind) }
        }
    }

    /// What every container may use: making nodes of any kind, and the devices that the specification has in every /dev.
    public static let defaults: [DeviceRule] = {
        func character(_ major: UInt32, _ minor: UInt32?) -> DeviceRule {
            DeviceRule(allow: true, kind: .character, major: major, minor: minor, access: .all)
        }
        return [
            DeviceRule(allow: true, kind: .character, major: nil, minor: nil, access: .makeNode),
            DeviceRule(allow: true, kind: .block, major: nil, minor: nil, access: .makeNode),
            character(1, 3), character(1, 8), character(1, 7), character(5, 0), character(1, 5), character(1, 9),  // null random full tty zero urandom
            character(136, nil), character(5, 2), character(5, 1),  // pts, ptmx, console
        ]
    }()

    /// All rules in force for a configuration: nothing is allowed, then its own, then the defaults.
    public static func effective(_ rules: [ResourcesSpec.DeviceRuleSpec]) -> [DeviceRule] {
        [DeviceRule(allow: false, kind: .all, major: nil, minor: nil, access: .all)] + rules.map(DeviceRule.init) + defaults
    }

    /// Refuses what version 1 would not enforce: it takes back only what was given with the same numbers, and is silent about the rest.
    static func checkVersion1(_ rules: [DeviceRule]) throws(ControlGroupError) {
        var allowsByDefault = false
        var exceptions: [DeviceRule] = []
        for rule in rules {
            if rule.version1Lines == ["a"] {
                allowsByDefault = rule.allow
                exceptions = []
            } else if rule.allow != allowsByDefault {
                exceptions.append(rule)
            } else if exceptions.contains(where: { $0.overlaps(rule) && ($0.major, $0.minor) != (rule.major, rule.minor) }) {
                throw .unsupported(field: "devices", reason: "cgroup v1 cannot \(rule.allow ? "allow" : "deny") \(rule.version1Lines.joined(separator: " and ")) after a rule for other numbers")
            }
        }
    }

    /// Whether both speak of one access to one device.
    private func overlaps(_ other: DeviceRule) -> Bool {
        (kind == .all || other.kind == .all || kind == other.kind) && (major ?? other.major) == (other.major ?? major)
            && (minor ?? other.minor) == (other.minor ?? minor) && !access.isDisjoint(with: other.access)
    }

    /// As devices.allow and devices.deny of version 1 take it, which read "a" as everything, whatever numbers and accesses follow.
    var version1Lines: [String] {
        if access.isEmpty { return [] }
        if kind == .all && major == nil && minor == nil && access == .all { return ["a"] }
        var letters = ""
        if access.contains(.read) { letters += "r" }
        if access.contains(.write) { letters += "w" }
        if access.contains(.makeNode) { letters += "m" }
        let numbers = "\(major.map { "\($0)" } ?? "*"):\(minor.map { "\($0)" } ?? "*")"
        let kinds: [Kind] = kind == .all ? [.block, .character] : [kind]
        return kinds.map { "\($0.rawValue) \(numbers) \(letters)" }
    }
}

/// Builds the eBPF program that enforces device rules in version 2.
///
/// The kernel asks for several accesses at once (read and write, say); each is decided by the last rule that speaks of it:
///
///     r2 = type, r3 = accesses still undecided, r4 = major, r5 = minor
///     for each rule, last first, that matches type and numbers:
///         all accesses:  return 1 or 0
///         allow:  r3 &= ~access; if nothing is left: return 1
///         deny:   if r3 & access: return 0
///     return 0
public enum DeviceFilter {
    private static func instruction(_ code: UInt8, destination: UInt8 = 0, source: UInt8 = 0, offset: Int16 = 0, immediate: Int32 = 0) -> UInt64 {
        UInt64(code) | UInt64(destination) << 8 | UInt64(source) << 12
            | UInt64(UInt16(bitPattern: offset)) << 16 | UInt64(UInt32(bitPattern: immediate)) << 32
    }
    // Codes of linux/bpf_common.h and linux/bpf.h.
    private static let loadWord: UInt8 = 0x61  // BPF_LDX | BPF_MEM | BPF_W
    private static let andImmediate32: UInt8 = 0x54  // BPF_ALU | BPF_AND | BPF_K
    private static let shiftRight32: UInt8 = 0x74  // BPF_ALU | BPF_RSH | BPF_K
    private static let moveImmediate: UInt8 = 0xb7  // BPF_ALU64 | BPF_MOV | BPF_K
    private static let moveRegister32: UInt8 = 0xbc  // BPF_ALU | BPF_MOV | BPF_X
    private static let jumpIfNotEqual32: UInt8 = 0x56  // BPF_JMP32 | BPF_JNE | BPF_K
    private static let jumpIfEqual32: UInt8 = 0x16  // BPF_JMP32 | BPF_JEQ | BPF_K
    private static let exit: UInt8 = 0x95  // BPF_JMP | BPF_EXIT

    public static func program(_ rules: [DeviceRule]) -> [UInt64] {
        var program = [
            instruction(loadWord, destination: 2, source: 1, offset: 0),
            instruction(moveRegister32, destination: 3, source: 2),
            instruction(andImmediate32, destination: 2, immediate: 0xFFFF),
            instruction(shiftRight32, destination: 3, immediate: 16),
            instruction(loadWord, destination: 4, source: 1, offset: 4),
            instruction(loadWord, destination: 5, source: 1, offset: 8),
        ]
        for rule in rules.reversed() where !rule.access.isEmpty {
            // The usual rule is about all accesses: no arithmetic then, which would have the kernel's verifier follow every way through it.
            let verdict = rule.access == .all ? returning(rule.allow ? 1 : 0) : rule.allow ? allowing(rule.access) : denying(rule.access)
            var tests: [(register: UInt8, value: UInt32)] = []
            if rule.kind != .all { tests.append((2, rule.kind == .block ? 1 : 2)) }
            if let major = rule.major { tests.append((4, major)) }
            if let minor = rule.minor { tests.append((5, minor)) }
            for (index, test) in tests.enumerated() {
                let skipped = Int16(tests.count - index - 1 + verdict.count)
                program.append(instruction(jumpIfNotEqual32, destination: test.register, offset: skipped, immediate: Int32(bitPattern: test.value)))
            }
            program += verdict
            // Nothing after it is ever reached, which the kernel would refuse.
            if tests.isEmpty && rule.access == .all { return program }
        }
        return program + returning(0)
    }

    private static func returning(_ value: Int32) -> [UInt64] {
        [instruction(moveImmediate, destination: 0, immediate: value), instruction(exit)]
    }

    private static func allowing(_ access: DeviceRule.Access) -> [UInt64] {
        [instruction(andImmediate32, destination: 3, immediate: Int32(bitPattern: ~access.rawValue)), instruction(jumpIfNotEqual32, destination: 3, offset: 2)]
            + returning(1)
    }

    private static func denying(_ access: DeviceRule.Access) -> [UInt64] {
        [
            instruction(moveRegister32, destination: 1, source: 3),
            instruction(andImmediate32, destination: 1, immediate: Int32(bitPattern: access.rawValue)),
            instruction(jumpIfEqual32, destination: 1, offset: 2),
        ] + returning(0)
    }
}
