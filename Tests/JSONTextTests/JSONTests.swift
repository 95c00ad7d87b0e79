import Testing

@testable import JSONText

@Suite("JSON text")
struct JSONTests {
    @Test("values are read as RFC 8259 has them", arguments: [
        ("null", .null), (" true ", .bool(true)), ("-0", .integer(0)), ("9223372036854775807", .integer(.max)), ("18446744073709551615", .unsigned(.max)),
        ("1.5", .number(1.5)), ("1e3", .integer(1000)), (#""a\n\u00e9\ud83d\ude00\/""#, .string("a\né😀/")), ("[1,[],{}]", .array([.integer(1), .array([]), .object(JSONObject())])),
    ] as [(String, JSONValue)])
    func accepted(_ text: String, _ value: JSONValue) throws {
        #expect(try JSONValue(parsing: Array(text.utf8)) == value)
    }

    @Test("what is no JSON is refused with its place", arguments: [
        ("", "line 1, column 1: the text ends where a value is expected"),
        ("{", "line 1, column 2: a member's name in quotes is expected"),
        ("{\n \"a\":1,\n \"a\":2}", "line 3, column 2: the member \"a\" occurs twice"),
        ("[1,]", "line 1, column 4: a value is expected"),
        ("[1 2]", "line 1, column 4: `,` or `]` is expected"),
        ("{\"a\" 1}", "line 1, column 6: `:` is expected"),
        ("tru", "line 1, column 1: a value is expected"),
        ("01", "line 1, column 1: a malformed number"),
        ("1.", "line 1, column 1: a malformed number"),
        ("-", "line 1, column 1: a malformed number"),
        ("1e999", "line 1, column 1: a number out of range"),
        ("\"abc", "line 1, column 1: a string does not end"),
        ("\"\u{1}\"", "line 1, column 2: a control character in a string must be escaped"),
        (#""\x""#, "line 1, column 3: an unknown escape"),
        (#""\ud800""#, "line 1, column 8: half of a surrogate pair"),
        (#""\u12g4""#, "line 1, column 4: four hexadecimal digits are expected"),
        ("1 1", "line 1, column 3: unexpected text after the value"),
    ])
    func refused(_ text: String, _ message: String) {
        do {
            let value = try JSONValue(parsing: Array(text.utf8))
            Issue.record("accepted: \(value)")
        } catch { #expect("\(error)" == message) }
    }

    @Test("depth, size and UTF-8 are bounded")
    func limits() {
        var limits = JSONLimits()
        limits.depth = 3
        #expect(throws: Never.self) { try JSONValue(parsing: Array("[[[1]]]".utf8), limits: limits) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: Array("[[[[1]]]]".utf8), limits: limits) }
        limits.bytes = 3
        #expect(throws: JSONError.self) { try JSONValue(parsing: Array("1234".utf8), limits: limits) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xFF, 0x22]) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: [UInt8](repeating: UInt8(ascii: "["), count: 1 << 20)) }
    }

    @Test("what is written reads back the same")
    func roundTrip() throws {
        let text = #"{"a":[1,-2,18446744073709551615,1.25,true,null],"b":"q\"\\\u0001\n\té","c":{"d":{}}}"#
        let value = try JSONValue(parsing: Array(text.utf8))
        #expect(try JSONValue(parsing: value.bytes()) == value)
        #expect(try JSONValue(parsing: Array(value.text(indent: "\t").utf8)) == value)
        #expect(JSONValue.array([]).text(indent: "\t") == "[]")
        #expect(value.text().hasPrefix(#"{"a":[1,-2,18446744073709551615,1.25,true,null],"b":"q\"\\\u0001\n\té""#))
    }

    @Test("a shape that is not asked for names its path", arguments: [
        ("a", "a: expected a string, found a number"), ("b", "b: is missing"), ("c", "c[1]: expected a string, found null"), ("e", "e: expected an array, found an object"),
    ])
    func shapes(_ key: String, _ message: String) throws {
        let members = try JSONCursor(JSONValue(parsing: Array(#"{"a":1,"b":null,"c":["x",null],"e":{}}"#.utf8))).object()
        do {
            if key == "c" || key == "e" { _ = try members.required(key).strings() } else { _ = try members.required(key).string() }
            Issue.record("accepted")
        } catch { #expect("\(error)" == message) }
    }

    @Test("integers fit the type that is asked for")
    func integers() throws {
        let cursor = JSONCursor(.integer(300), path: "n")
        #expect(try cursor.integer(UInt16.self) == 300)
        #expect(throws: JSONShapeError(path: "n", problem: "300 is not from 0 to 255")) { try cursor.integer(UInt8.self) }
        #expect(throws: JSONShapeError.self) { try JSONCursor(.number(1.5)).integer(Int.self) }
    }

    @Test("a name that would not be clear in a path is quoted", arguments: [
        ("args", "a.args"), ("dev.nacelle.memory", "a.dev.nacelle.memory"), ("net/x-y_z+@$0", "a.net/x-y_z+@$0"), ("end.", "a.end."),
        ("", "a[\"\"]"), (".x", "a[\".x\"]"), (".", "a[\".\"]"), ("x..y", "a[\"x..y\"]"), ("x y", "a[\"x y\"]"), ("é", "a[\"é\"]"),
    ])
    func paths(_ name: String, _ path: String) { #expect(memberPath("a", name) == path) }

    @Test("mutations of a document never trap")
    func fuzz() {
        let seed = Array(#"{"ociVersion":"1.0.2","process":{"args":["sh","-c","é\n"],"user":{"uid":0}},"n":[1,2.5e3,-7,null,true]}"#.utf8)
        var state: UInt64 = 42
        func random(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(limit))
        }
        for _ in 0..<50_000 {
            var text = seed
            for _ in 0...random(4) {
                switch random(3) {
                case 0: text[random(text.count)] = UInt8(random(256))
                case 1: text.insert(UInt8(random(256)), at: random(text.count))
                default: if text.count > 1 { text.remove(at: random(text.count)) }
                }
            }
            if let value = try? JSONValue(parsing: text) { #expect((try? JSONValue(parsing: value.bytes())) == value) }
        }
    }
}
