internal import JSONText

/// What is wrong with one object of a configuration, as its checks find it.
struct ProblemList {
    private let path: String
    private(set) var problems: [ConfigurationError.Problem] = []

    init(path: String) { self.path = path }

    /// Notes `text` for the field unless the condition holds.
    mutating func check(_ condition: Bool, _ field: String, _ text: @autoclosure () -> String) {
        if !condition { add(field, text()) }
    }

    mutating func add(_ field: String, _ text: String) {
        problems.append(.init(path.isEmpty ? field : field.hasPrefix("[") ? path + field : "\(path).\(field)", text))
    }

    mutating func append(_ others: [ConfigurationError.Problem]) { problems += others }

    /// A string for the kernel, which reads no further than a NUL byte.
    mutating func clean(_ text: String?, _ field: String) {
        if text?.utf8.contains(0) == true { add(field, "contains a NUL byte") }
    }

    mutating func clean(_ texts: [String], _ field: String) {
        for (index, text) in texts.enumerated() { clean(text, "\(field)[\(index)]") }
    }

    /// A path for the kernel, with or without its first slash.
    mutating func path(_ path: String?, _ field: String) {
        guard let path else { return }
        clean(path, field)
        check(path.utf8.count <= longestPath, field, "is longer than \(longestPath) bytes")
    }

    mutating func absolutePath(_ path: String, _ field: String) {
        check(path.hasPrefix("/"), field, "\(quoted(path)) is not absolute")
        self.path(path, field)
    }

    /// A user's or group's number. The last means "nobody in particular" to system calls, and "leave it as it is".
    mutating func identifier(_ number: UInt32?, _ field: String) {
        check(number != .max, field, "must be from 0 to \(UInt32.max - 1)")
    }

    /// `NAME=VALUE`
    mutating func environment(_ entries: [String], _ field: String) {
        for (index, entry) in entries.enumerated() {
            clean(entry, "\(field)[\(index)]")
            check(entry.utf8.dropFirst().contains(UInt8(ascii: "=")) && entry.utf8.first != UInt8(ascii: "="), "\(field)[\(index)]", "\(quoted(entry)) is not of the form NAME=VALUE")
        }
    }
}

/// Bytes of the longest path that the kernel takes (PATH_MAX with its NUL).
private let longestPath = 4095
