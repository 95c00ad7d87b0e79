import TOMLText
import Testing

@Suite("TOML")
struct TOMLTests {
    private func names(_ text: String) throws -> [String] { try TOMLReader.entries(Array(text.utf8)).map(\.name) }

    @Test("tables of arrays are counted, each array within the last table of the one around it")
    func arrays() throws {
        let text = """
            a = 1
            [[r]]
            x = "1"
            [[ r . m ]]  # a comment
            [[r.m]]
            y = true
            [[r]]
            [[r.m]]
            y = false
            [t]
            z = 2
            """
        #expect(try names(text) == ["a", "r[0]", "r[0].x", "r[0].m[0]", "r[0].m[1]", "r[0].m[1].y", "r[1]", "r[1].m[0]", "r[1].m[0].y", "t.z"])
    }

    @Test("what is no such file is refused with its line", arguments: [
        ("[[r.m]]", 1, "[[r]] must come before its part"), ("[[r]", 1, "[[r: `]]` is missing"), ("[[]]", 1, "a table's name is expected, of letters, digits, `_` and `-`: `]]`"),
        ("[r]\n[[r]]", 2, "r[0] is a table already"), ("[[r]]\n[r]", 2, "[r] is an array of tables already"), ("[[r]]\na=1\na=2", 3, "r[0].a: is set already"), ("[[r]] x", 1, "unexpected `x`"),
        ("[[r]]\nx = [1]", 2, "r[0].x: `[1]` is no value: a string in quotes, a whole number, true or false is expected"), ("[[r.]]", 1, "[[r]] must come before its part"),
    ])
    func refused(text: String, line: Int, problem: String) {
        #expect(throws: TOMLReader.Problem(line: line, text: problem)) { try TOMLReader.entries(Array(text.utf8)) }
    }
}
