/// Lists of CPUs and memory nodes as Linux writes them: "0-3,7".
public enum NumberList {
    /// One more than the largest number that a list may have.
    public static let limit = 4096

    /// The numbers in ascending order; nil when the text is not such a list, or an empty one.
    public static func parse(_ text: String) -> [Int]? {
        var numbers: Set<Int> = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
            guard let first = ends.first.flatMap(number), let last = ends.last.flatMap(number), first <= last else { return nil }
            numbers.formUnion(first...last)
        }
        return numbers.sorted()
    }

    private static func number(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), let value = Int(text), value < limit else { return nil }
        return value
    }

    /// The numbers as a mask of 64-bit words, lowest first.
    public static func mask(_ numbers: [Int]) -> [UInt64] {
        var words = [UInt64](repeating: 0, count: limit / 64)
        for number in numbers where (0..<limit).contains(number) { words[number / 64] |= 1 << UInt64(number % 64) }
        return words
    }
}
