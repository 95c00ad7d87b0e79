/// Numbers that a seed and an input's number determine (SplitMix64), so that any input can be made again by itself.
struct Random: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64, input: UInt64) { state = (seed &* 0xD134_2543_DE82_EF95) ^ (input &* 0x9E37_79B9_7F4A_7C15) }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    /// From 0 up to, and without, `limit`.
    mutating func below(_ limit: Int) -> Int { limit <= 1 ? 0 : Int(next() % UInt64(limit)) }
    mutating func once(in chances: Int) -> Bool { below(chances) == 0 }
    mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }

    /// A number that is often at the edge of a type.
    mutating func integer<Integer: FixedWidthInteger>(_ type: Integer.Type = Integer.self) -> Integer {
        switch below(4) {
        case 0: Integer(truncatingIfNeeded: next())
        case 1: pick([Integer.min, Integer.max, Integer.max &- 1, 0, 1, Integer(truncatingIfNeeded: -1)])
        default: Integer(truncatingIfNeeded: below(300))
        }
    }
}
