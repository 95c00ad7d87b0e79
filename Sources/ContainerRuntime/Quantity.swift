/// Sizes and times as engines write them for runc.
public enum Quantity {
    /// Bytes: a number, with a fraction if need be, and a unit of 1024: `512`, `64k`, `1.5g`, `2GB`, `1 GiB`.
    public static func bytes(_ text: String) -> Int64? {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        var unit = text[digits.endIndex...].lowercased()
        if unit.hasPrefix(" ") { unit.removeFirst() }
        guard let number = Double(digits), number.isFinite, let scale = scales[unit] else { return nil }
        return Int64(exactly: (number * Double(scale)).rounded(.towardZero))
    }

    private static let scales: [String: Int64] = {
        var result: [String: Int64] = ["": 1, "b": 1]
        for (index, letter) in ["k", "m", "g", "t", "p"].enumerated() {
            for suffix in ["", "b", "ib"] { result[letter + suffix] = 1 << (10 * Int64(index + 1)) }
        }
        return result
    }()

    /// Nanoseconds, from Go's form of a time: `5s`, `100ms`, `1m30s`, `1.5h`, `0`.
    public static func nanoseconds(_ text: String) -> Int64? {
        if text == "0" { return 0 }
        var rest = text[...]
        var total = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest[digits.endIndex...]
            let unit = rest.prefix { !($0.isASCII && ($0.isNumber || $0 == ".")) }
            rest = rest[unit.endIndex...]
            guard let number = Double(digits), let scale = times[String(unit)] else { return nil }
            total += number * scale
        }
        return Int64(exactly: total.rounded(.towardZero))
    }

    private static let times: [String: Double] = ["ns": 1, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9]
}
