internal import ContainerRuntime
internal import JSONText
internal import LinuxSystem
internal import OCISpec

/// Values of flags that are more than a word.
public enum FlagValues {
    /// `-e`: NAME=VALUE, or NAME for what this process has (nothing, if it has none).
    public static func environment(_ text: String, _ surroundings: Surroundings) throws(EngineError) -> String? {
        guard let separator = text.firstIndex(of: "=") else {
            guard !text.isEmpty else { throw EngineError("--env: NAME=VALUE or NAME is expected") }
            return surroundings.environment.first { $0.hasPrefix(text + "=") }
        }
        guard separator != text.startIndex else { throw EngineError("--env \(quoted(text)): the name before `=` is missing") }
        return text
    }

    /// `--env-file`: a variable a line, as Docker reads it: `#` begins a comment line, values are taken as they are, quotes too.
    public static func environmentFile(_ bytes: [UInt8], path: String, _ surroundings: Surroundings) throws(EngineError) -> [String] {
        var result: [String] = []
        for (index, piece) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            let place = "--env-file \(path):\(index + 1)"
            guard var line = String(validating: piece.last == UInt8(ascii: "\r") ? piece.dropLast() : piece, as: UTF8.self) else { throw EngineError("\(place): is not UTF-8") }
            if line.utf8.contains(0) { throw EngineError("\(place): contains a NUL byte") }
            line = String(line.drop { $0 == " " || $0 == "\t" })
            if line.isEmpty || line.hasPrefix("#") { continue }
            let name = line.prefix { $0 != "=" }
            if name.isEmpty { throw EngineError("\(place): the name before `=` is missing") }
            if name.contains(where: \.isWhitespace) { throw EngineError("\(place): the name \(quoted(String(name))) contains a blank") }
            if let entry = try environment(line, surroundings) { result.append(entry) }
        }
        return result
    }

    /// `-l`, `--annotation`, `--sysctl`: NAME=VALUE.
    public static func pair(_ text: String, flag: String, valueNeeded: Bool) throws(EngineError) -> (name: String, value: String) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let name = parts.first, !name.isEmpty, parts.count == 2 || !valueNeeded else { throw EngineError("\(flag) \(quoted(text)): NAME=VALUE is expected") }
        return (name, parts.count == 2 ? parts[1] : "")
    }

    /// `--name`
    public static func name(_ text: String) throws(EngineError) -> String {
        let isName = text.utf8.enumerated().allSatisfy { index, byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"): index > 0
            default: false
            }
        }
        guard isName, (1...128).contains(text.utf8.count) else {
            throw EngineError("--name \(quoted(text)): 1 to 128 letters, digits, `_`, `.` and `-` are expected, a letter or digit first")
        }
        return text
    }

    /// `--hostname`
    public static func hostname(_ text: String) throws(EngineError) -> String {
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        let isName = labels.allSatisfy { label in
            !label.isEmpty && !label.hasPrefix("-") && !label.hasSuffix("-") && label.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
                default: false
                }
            }
        }
        guard isName, text.utf8.count <= 64 else { throw EngineError("--hostname \(quoted(text)): at most 64 letters, digits, `-` and `.` are expected") }
        return text
    }

    /// `--stop-signal`, `kill -s`
    public static func signal(_ text: String, flag: String) throws(EngineError) -> Int32 {
        guard let number = SignalName.number(text) else { throw EngineError("\(flag) \(quoted(text)): a signal's name (TERM, SIGTERM) or number is expected") }
        return number
    }

    /// `--cap-add`, `--cap-drop`: names with or without CAP_, in any case; `all`.
    public static func capability(_ text: String, flag: String) throws(EngineError) -> String {
        let upper = text.uppercased()
        if upper == "ALL" { return upper }
        let name = upper.hasPrefix("CAP_") ? upper : "CAP_" + upper
        guard Capability.named(name) != nil else { throw EngineError("\(flag) \(quoted(text)): there is no such capability (capabilities(7)); NET_ADMIN is an example, and ALL means all") }
        return name
    }

    /// `--entrypoint`: a program, or a JSON array of a program and arguments; empty is none.
    public static func entrypoint(_ text: String) throws(EngineError) -> [String] {
        if text.isEmpty { return [] }
        guard text.hasPrefix("[") else { return [text] }
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: Array(text.utf8)) } catch { throw EngineError("--entrypoint \(quoted(text)): is not JSON: \(error)") }
        do throws(JSONShapeError) { return try JSONCursor(value, path: "--entrypoint").strings() } catch { throw EngineError("\(error)") }
    }

    /// `--shm-size`
    public static func sharedMemory(_ text: String) throws(EngineError) -> Int64 {
        guard let bytes = Quantity.bytes(text), bytes > 0 else { throw EngineError("--shm-size \(quoted(text)): a size is expected, such as 64m") }
        return bytes
    }

    /// `--log-opt NAME=VALUE`
    public static func logOption(_ text: String, _ settings: inout LogSettings) throws(EngineError) {
        let (name, value) = try pair(text, flag: "--log-opt", valueNeeded: true)
        switch name {
        case "max-size":
            guard let bytes = Quantity.bytes(value), bytes >= LogSettings.smallestSize else { throw EngineError("--log-opt max-size=\(value): a size of 4k or more is expected, such as 10m") }
            settings.size = bytes
        case "max-file":
            guard let count = Int(value), (1...100).contains(count) else { throw EngineError("--log-opt max-file=\(value): a number of files from 1 to 100 is expected") }
            settings.files = count
        default: throw EngineError("--log-opt \(quoted(text)): there are max-size= and max-file=")
        }
    }
}
