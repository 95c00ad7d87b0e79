import OCISpec
import Testing

@testable import ControlGroups

/// linux.resources.devices: as rules, as lines of version 1, and as a program of version 2.
@Suite struct DeviceRulesTests {
    static let parsed: [(String, DeviceRule)] = [
        (#"{"allow":false,"access":"rwm"}"#, DeviceRule(allow: false, kind: .all, major: nil, minor: nil, access: .all)),
        (#"{"allow":true}"#, DeviceRule(allow: true, kind: .all, major: nil, minor: nil, access: .all)),
        (#"{"allow":true,"type":"a","access":""}"#, DeviceRule(allow: true, kind: .all, major: nil, minor: nil, access: .all)),
        (#"{"allow":true,"type":"c","major":1,"minor":3,"access":"rw"}"#, DeviceRule(allow: true, kind: .character, major: 1, minor: 3, access: [.read, .write])),
        (#"{"allow":true,"type":"u","major":1,"access":"m"}"#, DeviceRule(allow: true, kind: .character, major: 1, minor: nil, access: .makeNode)),
        (#"{"allow":false,"type":"b","minor":2,"access":"r"}"#, DeviceRule(allow: false, kind: .block, major: nil, minor: 2, access: .read)),
        (#"{"allow":true,"type":"c","major":-1,"minor":-1,"access":"w"}"#, DeviceRule(allow: true, kind: .character, major: nil, minor: nil, access: .write)),
        (#"{"allow":true,"type":"c","major":4294967295,"minor":0,"access":"r"}"#, DeviceRule(allow: true, kind: .character, major: .max, minor: 0, access: .read)),
    ]
    @Test(arguments: parsed) func rulesAreRead(json: String, expected: DeviceRule) throws {
        #expect(DeviceRule(try Self.spec(json)) == expected)
    }

    /// What cannot be allows nothing, and denies everything.
    @Test(arguments: [#""type":"z""#, #""type":"p""#, #""major":4294967296"#, #""minor":-2"#, #""type":"c","major":9223372036854775807,"minor":0"#])
    func impossibleRulesErrOnTheSafeSide(members: String) throws {
        let allowing = DeviceRule(try Self.spec("{\"allow\":true,\(members)}"))
        #expect(allowing.access.isEmpty)
        #expect(allowing.version1Lines == [])
        let denying = DeviceRule(try Self.spec("{\"allow\":false,\(members)}"))
        #expect(denying.access == .all && denying.allow == false)
    }

    private static func spec(_ json: String) throws -> ResourcesSpec.DeviceRuleSpec {
        try #require(try ResourceWritesTests.resources("{\"devices\":[\(json)]}").devices.first)
    }

    // MARK: Version 1

    /// The kernel takes a line that begins with "a" as everything, whatever follows.
    static let lines: [(DeviceRule, [String])] = [
        (DeviceRule(allow: false, kind: .all, major: nil, minor: nil, access: .all), ["a"]),
        (DeviceRule(allow: true, kind: .all, major: nil, minor: nil, access: .all), ["a"]),
        (DeviceRule(allow: true, kind: .all, major: nil, minor: nil, access: .read), ["b *:* r", "c *:* r"]),
        (DeviceRule(allow: true, kind: .all, major: 1, minor: 3, access: .all), ["b 1:3 rwm", "c 1:3 rwm"]),
        (DeviceRule(allow: true, kind: .character, major: nil, minor: nil, access: .makeNode), ["c *:* m"]),
        (DeviceRule(allow: true, kind: .character, major: 136, minor: nil, access: [.read, .write]), ["c 136:* rw"]),
        (DeviceRule(allow: true, kind: .block, major: nil, minor: 7, access: [.write, .makeNode]), ["b *:7 wm"]),
        (DeviceRule(allow: true, kind: .block, major: nil, minor: nil, access: []), []),
        (DeviceRule(allow: true, kind: .all, major: nil, minor: nil, access: []), []),
    ]
    @Test(arguments: lines) func linesOfVersion1(rule: DeviceRule, expected: [String]) { #expect(rule.version1Lines == expected) }

    @Test func version1StartsFromNothingAndEndsWithTheDefaults() throws {
        let resources = try ResourceWritesTests.resources(#"{"devices":[{"allow":true,"type":"c","major":10,"minor":200,"access":"rw"},{"allow":false,"type":"b","access":"w"}]}"#)
        let writes = try version1Writes(resources)
        #expect(writes.map { "\($0.file) \($0.value)" } == [
            "devices.deny a", "devices.allow c 10:200 rw", "devices.deny b *:* w", "devices.allow c *:* m", "devices.allow b *:* m",
            "devices.allow c 1:3 rwm", "devices.allow c 1:8 rwm", "devices.allow c 1:7 rwm", "devices.allow c 5:0 rwm", "devices.allow c 1:5 rwm",
            "devices.allow c 1:9 rwm", "devices.allow c 136:* rwm", "devices.allow c 5:2 rwm", "devices.allow c 5:1 rwm",
        ])
    }

    /// Version 1 takes back only what was given with the same numbers.
    @Test(arguments: [
        ("[]", nil), (#"[{"allow":false},{"allow":true,"type":"c","major":1,"minor":3}]"#, nil),
        (#"[{"allow":true,"type":"c","major":1,"access":"rw"},{"allow":false,"type":"c","major":1,"access":"w"}]"#, nil),
        (#"[{"allow":true,"type":"c","major":1},{"allow":false,"type":"b","major":1,"minor":3},{"allow":false,"type":"c","major":2,"minor":3}]"#, nil),
        (#"[{"allow":true,"type":"c","major":1,"access":"r"},{"allow":false,"type":"c","major":1,"minor":3,"access":"w"}]"#, nil),
        (#"[{"allow":true,"type":"c","major":1},{"allow":false},{"allow":false,"type":"c","major":1,"minor":3}]"#, nil),
        (#"[{"allow":true},{"allow":false,"type":"c","major":1,"minor":11,"access":"w"}]"#, nil),
        (#"[{"allow":true,"type":"c","major":1},{"allow":false,"type":"c","major":1,"minor":3,"access":"w"}]"#, "deny c 1:3 w"),
        (#"[{"allow":true,"type":"c","major":1,"minor":3},{"allow":false,"type":"c","access":"w"}]"#, "deny c *:* w"),
        (#"[{"allow":true,"type":"c","major":1,"minor":3},{"allow":false,"major":1}]"#, "deny b 1:* rwm and c 1:* rwm"),
        (#"[{"allow":true},{"allow":false,"type":"c","major":1},{"allow":true,"type":"c","major":1,"minor":3}]"#, "allow c 1:3 rwm"),
    ] as [(String, String?)])
    func whatVersion1WouldNotEnforceIsRefused(json: String, refused: String?) throws {
        let resources = try ResourceWritesTests.resources("{\"devices\":\(json)}")
        if let refused {
            #expect(throws: ControlGroupError.unsupported(field: "devices", reason: "cgroup v1 cannot \(refused) after a rule for other numbers")) { try version1Writes(resources) }
        } else {
            _ = try version1Writes(resources)
        }
        // Version 2 can do all of it.
        _ = try version2Writes(resources)
    }

    // MARK: Version 2

    /// Executes a device filter as the kernel would; nil when it leaves what was loaded or is not what a verifier accepts.
    private static func decide(_ program: [UInt64], isBlock: Bool, access: UInt32, major: UInt32, minor: UInt32) -> Bool? {
        let context = [access << 16 | (isBlock ? 1 : 2), major, minor]
        // Only what has been written may be read; r1 is the context's address.
        var registers: [Int: UInt64] = [1: 0]
        var position = 0
        while position < program.count {
            let instruction = program[position]
            let destination = Int(instruction >> 8 & 0xF), source = Int(instruction >> 12 & 0xF)
            let offset = Int(Int16(truncatingIfNeeded: instruction >> 16)), immediate = UInt32(truncatingIfNeeded: instruction >> 32)
            position += 1
            switch UInt8(truncatingIfNeeded: instruction) {
            case 0x61:  // ldxw
                guard source == 1, registers[1] == 0, offset % 4 == 0, context.indices.contains(offset / 4) else { return nil }
                registers[destination] = UInt64(context[offset / 4])
            case 0x54:  // and32 by a constant
                guard let value = registers[destination] else { return nil }
                registers[destination] = UInt64(UInt32(truncatingIfNeeded: value) & immediate)
            case 0x74:  // rsh32 by a constant
                guard let value = registers[destination], immediate < 32 else { return nil }
                registers[destination] = UInt64(UInt32(truncatingIfNeeded: value) >> immediate)
            case 0xb7: registers[destination] = UInt64(bitPattern: Int64(Int32(bitPattern: immediate)))  // mov of a constant
            case 0xbc:  // mov32
                guard let value = registers[source] else { return nil }
                registers[destination] = UInt64(UInt32(truncatingIfNeeded: value))
            case 0x16, 0x56:  // jeq32, jne32 with a constant: forward only, so that the program ends
                guard let value = registers[destination], offset >= 0 else { return nil }
                let isEqual = UInt32(truncatingIfNeeded: value) == immediate
                if isEqual == (UInt8(truncatingIfNeeded: instruction) == 0x16) { position += offset }
            case 0x95: return registers[0].map { $0 != 0 }
            default: return nil
            }
        }
        return nil
    }

    /// The specification's rule: each access is decided by the last rule that speaks of it, and what none speaks of is denied.
    private static func expected(_ rules: [DeviceRule], isBlock: Bool, access: UInt32, major: UInt32, minor: UInt32) -> Bool {
        (0..<3).map { UInt32(1) << $0 }.filter { access & $0 != 0 }.allSatisfy { bit in
            rules.last { rule in
                rule.access.rawValue & bit != 0 && (rule.kind == .all || (rule.kind == .block) == isBlock)
                    && (rule.major ?? major) == major && (rule.minor ?? minor) == minor
            }?.allow ?? false
        }
    }

    /// The kernel refuses a program with an instruction that no way leads to, or a way that leads out of it.
    private static func isSound(_ program: [UInt64]) -> Bool {
        var reached: Set<Int> = []
        var ways = [0]
        while let position = ways.popLast() {
            guard program.indices.contains(position) else { return false }
            guard reached.insert(position).inserted else { continue }
            let code = UInt8(truncatingIfNeeded: program[position])
            if code == 0x95 { continue }  // exit
            if code == 0x16 || code == 0x56 { ways.append(position + 1 + Int(Int16(truncatingIfNeeded: program[position] >> 16))) }
            ways.append(position + 1)
        }
        return reached.count == program.count
    }

    @Test func aRuleAboutEverythingEndsTheProgram() {
        func everything(_ allow: Bool) -> DeviceRule { DeviceRule(allow: allow, kind: .all, major: nil, minor: nil, access: .all) }
        let program = DeviceFilter.program([DeviceRule(allow: true, kind: .block, major: 8, minor: 0, access: .read), everything(true)])
        #expect(program == DeviceFilter.program([everything(true)]) && Self.isSound(program))
        #expect(Self.decide(program, isBlock: false, access: 7, major: 9, minor: 9) == true)
        // The deny-all that every container's rules begin with costs no arithmetic (BPF_AND), and no rule for all accesses does.
        let defaults = DeviceFilter.program(DeviceRule.effective([]))
        #expect(Self.isSound(defaults) && defaults.count(where: { UInt8(truncatingIfNeeded: $0) == 0x54 }) == 3)
    }

    @Test func theProgramDecidesAsTheRulesSay() {
        var state: UInt64 = 11
        func random(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(limit))
        }
        let numbers: [UInt32] = [0, 1, 5, .max]
        let kinds: [DeviceRule.Kind] = [.all, .block, .character]
        for round in 0..<300 {
            let rules = (0..<random(8)).map { _ in
                DeviceRule(
                    allow: random(2) == 0, kind: kinds[random(3)], major: random(2) == 0 ? nil : numbers[random(4)],
                    minor: random(2) == 0 ? nil : numbers[random(4)], access: DeviceRule.Access(rawValue: UInt32(random(8))))
            }
            let program = DeviceFilter.program(rules)
            if !Self.isSound(program) { Issue.record("round \(round): the kernel refuses the program of \(rules)") }
            for major in numbers { for minor in numbers { for access in UInt32(1)...7 { for isBlock in [false, true] {
                let decision = Self.decide(program, isBlock: isBlock, access: access, major: major, minor: minor)
                if decision != Self.expected(rules, isBlock: isBlock, access: access, major: major, minor: minor) {
                    Issue.record("round \(round): \(major):\(minor) access \(access) block \(isBlock): \(rules)")
                    return
                }
            } } } }
        }
    }

    @Test(arguments: [
        (false, 7, 1, 3, true), (false, 7, 1, 9, true), (false, 7, 5, 2, true), (false, 7, 136, 77, true), (false, 1, 200, 1, true), (true, 1, 8, 0, true),
        (false, 2, 1, 1, false), (false, 4, 1, 11, false), (true, 2, 8, 0, false), (false, 3, 200, 1, false), (false, 2, 10, 200, true), (false, 4, 10, 200, false),
    ] as [(Bool, UInt32, UInt32, UInt32, Bool)])
    func whatEveryContainerMayUse(isBlock: Bool, access: UInt32, major: UInt32, minor: UInt32, isAllowed: Bool) throws {
        let tunnel = try Self.spec(#"{"allow":true,"type":"c","major":10,"minor":200,"access":"r"}"#)
        let program = DeviceFilter.program(DeviceRule.effective([tunnel]))
        #expect(Self.decide(program, isBlock: isBlock, access: access, major: major, minor: minor) == isAllowed)
    }

    @Test func noRulesMeanNothingIsAllowed() {
        #expect(Self.decide(DeviceFilter.program([]), isBlock: false, access: 2, major: 1, minor: 3) == false)
    }
}
