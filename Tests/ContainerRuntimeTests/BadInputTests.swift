import Foundation
import Glibc
import LinuxSystem
import Testing

/// What is wrong with a configuration or a command line is said exactly, by the program that engines call, and nothing is left behind.
@Suite("Bad input", .requiresProgram)
struct BadInputTests {
    private static let good = #"""
        {"ociVersion":"1.0.2","process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}},"root":{"path":"rootfs"},
         "linux":{"namespaces":[{"type":"pid"},{"type":"mount"},{"type":"network"},{"type":"ipc"},{"type":"uts"}]}}
        """#

    /// RFC 7396
    private static func merged(_ target: Any?, _ patch: Any) -> Any {
        guard let patch = patch as? [String: Any] else { return patch }
        var result = target as? [String: Any] ?? [:]
        for (key, value) in patch { result[key] = value is NSNull ? nil : merged(result[key], value) }
        return result
    }

    private func document(_ patch: String) throws -> Data {
        let target = try JSONSerialization.jsonObject(with: Data(Self.good.utf8))
        let change = try JSONSerialization.jsonObject(with: Data(BadCase.expanded(patch[...]).utf8))
        return try JSONSerialization.data(withJSONObject: Self.merged(target, change))
    }

    private struct Outcome {
        var status: LinuxSystem.ExitStatus?
        var output: String
        var error: String
    }

    private func oci(_ arguments: [String]) throws -> Outcome {
        let (output, error) = (try MemoryFile.make("out", []), try MemoryFile.make("err", []))
        let pid = try ProgramStart.start(
            Built.program ?? "", arguments: arguments,
            environment: ["NACELLE_VMM=\(Built.fakeMachine)", "NACELLE_GUEST_IMAGE=/dev/null", "NACELLE_KERNEL=/dev/null", "NACELLE_INIT=/bin/true"],
            descriptors: [nil, output, error], newSession: false)
        let status = try waitForProcess(pid)?.status
        func text(_ file: SharedDescriptor) throws -> String { String(decoding: try readFile("/proc/self/fd/\(file.rawValue)"), as: UTF8.self) }
        return Outcome(status: status, output: try text(output), error: try text(error))
    }

    /// Tries to create a container of a configuration that is wrong.
    private func expectRefusal(_ text: Data?, isolation: String? = nil, _ message: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let fixture = try Fixture()
        if let text { try text.write(to: URL(fileURLWithPath: fixture.bundle + "/config.json")) }
        let outcome = try oci(["--root", fixture.root] + (isolation.map { ["--isolation", $0] } ?? []) + ["create", "--bundle", fixture.bundle, "c"])
        #expect(outcome.status == .exited(1), sourceLocation: sourceLocation)
        #expect(outcome.error == "ERRO[0000] \(message.replacing("BUNDLE", with: fixture.bundle))\n", sourceLocation: sourceLocation)
        #expect(outcome.output == "", sourceLocation: sourceLocation)
        fixture.expectNothingLeft(sourceLocation: sourceLocation)
    }

    @Test("there are enough of them, and each stands there once")
    func tables() {
        for (table, least) in [(badConfigurations, 300), (badCommands, 80)] {
            let cases = BadCase.table(table)
            #expect(cases.count >= least)
            #expect(Set(cases.map(\.testDescription)).count == cases.count)
        }
    }

    @Test("config.json", arguments: BadCase.table(badConfigurations))
    func configuration(_ bad: BadCase) throws {
        let message = bad.expected.hasPrefix("cgroup: ") ? bad.expected : "config.json: \(bad.expected)"
        try expectRefusal(try document(bad.given), isolation: bad.kind == "any" ? nil : bad.kind, message)
    }

    private static let noDocuments: [(String, String)] = [
        ("", "line 1, column 1: the text ends where a value is expected"), ("\n\n  ", "line 3, column 3: the text ends where a value is expected"),
        ("{", "line 1, column 2: a member's name in quotes is expected"), ("{\"a\":", "line 1, column 6: the text ends where a value is expected"),
        ("{\"a\" 1}", "line 1, column 6: `:` is expected"), ("{\"a\":1,}", "line 1, column 8: a member's name in quotes is expected"),
        ("{a:1}", "line 1, column 2: a member's name in quotes is expected"), ("{'a':1}", "line 1, column 2: a member's name in quotes is expected"),
        ("{\"a\":[1,]}", "line 1, column 9: a value is expected"), ("{\"a\":[1 2]}", "line 1, column 9: `,` or `]` is expected"),
        ("{} {}", "line 1, column 4: unexpected text after the value"), ("// no\n{}", "line 1, column 1: a value is expected"),
        ("\u{FEFF}{}", "line 1, column 1: a value is expected"), ("{\"a\":NaN}", "line 1, column 6: a value is expected"),
        ("{\"a\":0x10}", "line 1, column 7: `,` or `}` is expected"), ("{\"a\":010}", "line 1, column 6: a malformed number"),
        ("{\"a\":1e400}", "line 1, column 6: a number out of range"), ("{\"a\":-}", "line 1, column 6: a malformed number"),
        ("{\"a\":True}", "line 1, column 6: a value is expected"), ("{\"a\":\"b", "line 1, column 6: a string does not end"),
        ("{\"a\":\"b\nc\"}", "line 1, column 8: a control character in a string must be escaped"), ("{\"a\":\"\\x\"}", "line 1, column 8: an unknown escape"),
        ("{\"a\":\"\\ud800\"}", "line 1, column 13: half of a surrogate pair"), ("{\"a\":\"\\u12\"}", "line 1, column 9: four hexadecimal digits are expected"),
        ("{\"a\":1,\"a\":2}", "line 1, column 8: the member \"a\" occurs twice"),
        ("{\"process\":{\n\"cwd\":\"/\",\n\"c\\u0077d\":\"/tmp\"}}", "line 3, column 1: the member \"cwd\" occurs twice"),
        ("{\"a\":" + String(repeating: "[", count: 100_000), "line 1, column 69: values are nested more than 64 deep"),
        (String(repeating: "{\"a\":", count: 65), "line 1, column 321: values are nested more than 64 deep"),
    ]
    private static let damagedTexts: [([UInt8], String)] = [
        ([0x7B, 0x22, 0x61, 0x22, 0x3A, 0x22, 0xFF, 0x22, 0x7D], "line 1, column 6: a string is not valid UTF-8"),
        ([0x7B, 0x22, 0xC0, 0xAF, 0x22, 0x3A, 0x31, 0x7D], "line 1, column 2: a string is not valid UTF-8"),
        // UTF-16
        ([0xFF, 0xFE, 0x7B, 0x00, 0x7D, 0x00], "line 1, column 1: a value is expected"),
        ([0x7B, 0x7D, 0x00], "line 1, column 3: unexpected text after the value"),
    ]

    @Test("texts that are no JSON", arguments: noDocuments)
    func text(_ text: String, _ expected: String) throws { try expectRefusal(Data(text.utf8), "config.json: is not JSON: \(expected)") }

    @Test("bytes that are no text", arguments: damagedTexts)
    func bytes(_ bytes: [UInt8], _ expected: String) throws { try expectRefusal(Data(bytes), "config.json: is not JSON: \(expected)") }

    @Test("documents that are no configuration", arguments: [("[]", "an array"), ("null", "null"), ("7", "a number"), ("\"x\"", "a string")])
    func documents(_ text: String, _ kind: String) throws { try expectRefusal(Data(text.utf8), "config.json: expected an object, found \(kind)") }

    private static func many(_ count: Int, _ element: (Int) -> String) -> String { (0..<count).map(element).joined(separator: ",") }
    private static let large: [(String, String)] = [
        ("{\"process\":{\"args\":[" + many(400_000) { _ in "7" } + "]}}", "process.args[0]: expected a string, found a number"),
        ("{\"process\":{\"env\":[" + many(200_000) { _ in "\"x\"" } + "]}}", "process.env[0]: \"x\" is not of the form NAME=VALUE; …; and 199980 more"),
        ("{\"annotations\":{" + many(100_000) { "\"k\($0)\":\"\"" } + "},\"root\":null}", "root: is missing"),
        ("{\"hooks\":{\"prestart\":[" + many(50000) { _ in "{\"path\":\"/x\",\"y\":1}" } + "]},\"root\":null}", "root: is missing"),
    ]

    @Test("much of anything takes no longer than its reading", arguments: large.indices)
    func bounded(_ index: Int) throws {
        let (patch, expected) = Self.large[index]
        let fixture = try Fixture()
        try document(patch).write(to: URL(fileURLWithPath: fixture.bundle + "/config.json"))
        let start = Date()
        let outcome = try oci(["--root", fixture.root, "create", "--bundle", fixture.bundle, "c"])
        #expect(Date().timeIntervalSince(start) < 60)
        let parts = "ERRO[0000] config.json: \(expected)\n".components(separatedBy: "…")
        #expect(outcome.status == .exited(1) && outcome.error.hasPrefix(parts[0]) && outcome.error.hasSuffix(parts.last ?? ""), "\(outcome.error.prefix(500))")
        #expect(outcome.error.utf8.count < 10000)
    }

    @Test("config.json is missing, a folder, or too long")
    func files() throws {
        try expectRefusal(nil, "JSON specification file BUNDLE/config.json not found")
        try expectRefusal(Data(count: (4 << 20) + 1), "BUNDLE/config.json is longer than 4 MiB")
        let fixture = try Fixture()
        try FileManager.default.createDirectory(atPath: fixture.bundle + "/config.json", withIntermediateDirectories: false)
        let outcome = try oci(["--root", fixture.root, "create", "--bundle", fixture.bundle, "c"])
        #expect(outcome.error == "ERRO[0000] cannot read config.json: read \(fixture.bundle)/config.json: is a directory\n")
    }

    @Test("what a message quotes cannot command a terminal, and is on one line")
    func quoting() throws {
        try expectRefusal(try document(#"{"process":{"cwd":"\u001b[2Jx\ny\u202e"}}"#), #"config.json: process.cwd: "\u001b[2Jx\ny\u202e" is not an absolute path"#)
        try expectRefusal(try document(#"{"linux":{"sysctl":{"kernel.\u001b[2J":"1"}}}"#), #"config.json: linux.sysctl["kernel.\u001b[2J"]: is not in a separate kernel namespace"#)
        let outcome = try oci(["--root", "/nonexistent", "state", "\u{1B}[2J"])
        #expect(outcome.error == "ERRO[0000] invalid container ID format: \\u001b[2J\n")
    }

    @Test("command lines", arguments: BadCase.table(badCommands))
    func command(_ bad: BadCase) throws {
        let fixture = try Fixture()
        try Data(Self.good.utf8).write(to: URL(fileURLWithPath: fixture.bundle + "/config.json"))
        let words = BadCase.expanded(bad.given[...]).replacing("BUNDLE", with: fixture.bundle).split(separator: " ", omittingEmptySubsequences: false)
        // A word in single quotes may have blanks.
        var arguments: [String] = []
        var isOpen = false
        for word in words {
            if isOpen { arguments[arguments.count - 1] += " " + word } else { arguments.append(String(word)) }
            if word.filter({ $0 == "'" }).count == 1 { isOpen.toggle() }
        }
        arguments = arguments.map { $0.replacing("'", with: "") }
        let outcome = try oci(bad.given.contains("--root") ? arguments : ["--root", fixture.root] + arguments)
        #expect(outcome.status == .exited(UInt8(bad.kind) ?? 0) && outcome.output == "")
        let line = outcome.error.components(separatedBy: "\n")[0]
        let expected = bad.expected.replacing("BUNDLE", with: fixture.bundle)
        if expected.hasSuffix("…") { #expect(line.hasPrefix(expected.dropLast())) } else { #expect(line == expected) }
        fixture.expectNothingLeft()
    }
}

/// One line of a table.
struct BadCase: CustomTestStringConvertible, Sendable {
    var given: String
    var expected: String
    /// The first word of the line.
    var kind: String
    var testDescription: String { "\(kind) \(given)" }

    static func table(_ text: String) -> [BadCase] {
        text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
            let space = line.firstIndex(of: " ") ?? line.startIndex
            let arrow = line.range(of: " => ", options: .backwards) ?? line.startIndex..<line.startIndex
            return BadCase(given: String(line[line.index(after: space)..<arrow.lowerBound]), expected: expanded(line[arrow.upperBound...]), kind: String(line[..<space]))
        }
    }

    /// With words of so many letters in place of `<N>`.
    static func expanded(_ text: Substring) -> String {
        var parts = text.components(separatedBy: "<")
        for index in parts.indices.dropFirst() {
            let part = parts[index]
            guard let end = part.firstIndex(of: ">"), let count = Int(part[..<end]) else {
                parts[index] = "<" + part
                continue
            }
            parts[index] = String(repeating: "a", count: count) + part[part.index(after: end)...]
        }
        return parts.joined()
    }
}
