/// Somebody else's text as a message shows it: in quotes, on one line, without what a terminal would obey, and cut when it is long.
public func quoted(_ text: String) -> String {
    var result = "\""
    var count = 0
    for scalar in text.unicodeScalars {
        guard count < 100 else { return result + "…\"" }
        count += 1
        switch scalar.value {
        case 0x22, 0x5C: result += "\\" + String(scalar)
        case 0x0A: result += "\\n"
        case 0x0D: result += "\\r"
        case 0x09: result += "\\t"
        case _ where isObeyed(scalar): result += escape(scalar)
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}

/// A message for a terminal: with its lines, but without what a terminal would obey, wherever that has come from.
public func printable(_ message: String) -> String {
    guard message.unicodeScalars.contains(where: { isObeyed($0) && $0 != "\n" && $0 != "\t" }) else { return message }
    var result = ""
    for scalar in message.unicodeScalars {
        if isObeyed(scalar) && scalar != "\n" && scalar != "\t" { result += escape(scalar) } else { result.unicodeScalars.append(scalar) }
    }
    return result
}

/// Control characters, and what ends a line or turns the direction of text.
private func isObeyed(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0, 0x061C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF: true
    default: false
    }
}

private func escape(_ scalar: Unicode.Scalar) -> String {
    let digits = String(scalar.value, radix: 16)
    return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
}

/// The path of an object's member: `process.args`, or `annotations["a b"]` when the name would not be clear without quotes.
public func memberPath(_ path: String, _ key: String) -> String {
    var last = UInt8(ascii: ".")
    let isPlain = (1...100).contains(key.utf8.count) && key.utf8.allSatisfy { byte in
        defer { last = byte }
        switch byte {
        // Neither the first nor after another.
        case UInt8(ascii: "."): return last != byte
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): return true
        case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "/"), UInt8(ascii: "+"), UInt8(ascii: "@"), UInt8(ascii: "$"): return true
        default: return false
        }
    }
    guard isPlain else { return "\(path)[\(quoted(key))]" }
    return path.isEmpty ? key : "\(path).\(key)"
}
