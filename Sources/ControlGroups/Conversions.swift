/// Numbers of the specification, which are version 1's, in version 2's terms.
public enum Conversions {
    /// cpu.shares (2 to 262144) as cpu.weight (1 to 10000). 0 means "leave it".
    public static func cpuWeight(shares: UInt64) -> UInt64 {
        if shares == 0 { return 0 }
        let bounded = min(max(shares, 2), 262_144)
        return 1 + ((bounded - 2) * 9999) / 262_142
    }

    /// blkio.weight (10 to 1000) as io.weight (1 to 10000).
    public static func ioWeight(blockIOWeight weight: UInt16) -> UInt64 {
        let bounded = UInt64(min(max(weight, 10), 1000))
        return 1 + ((bounded - 10) * 9999) / 990
    }

    /// The content of cpu.max: quota and period in microseconds.
    public static func cpuMax(quota: Int64?, period: UInt64?) -> String? {
        let hasQuota = quota.map { $0 != 0 } ?? false
        let hasPeriod = period.map { $0 != 0 } ?? false
        if !hasQuota && !hasPeriod { return nil }
        let limit = quota.flatMap { $0 > 0 ? "\($0)" : nil } ?? "max"
        return hasPeriod ? "\(limit) \(period ?? 0)" : limit
    }

    /// A limit as version 2 writes it: -1 is "max", 0 is none given.
    public static func limit(_ value: Int64?) -> String? {
        guard let value, value != 0 else { return nil }
        return value < 0 ? "max" : "\(value)"
    }

    /// memory.swap.max of version 2 counts swap alone; the specification's number is memory and swap together.
    public static func swapMax(limit: Int64?, swap: Int64?) throws(ControlGroupError) -> String? {
        guard let swap, swap != 0 else {
            // Unlimited memory with nothing said of swap: unlimited too.
            return limit == -1 ? "max" : nil
        }
        if swap < 0 { return "max" }
        guard let limit, limit > 0 else {
            throw .invalidValue(field: "memory.swap", reason: "unable to set swap limit without memory limit")
        }
        if swap < limit { throw .invalidValue(field: "memory.swap", reason: "memory+swap limit must be at least the memory limit") }
        return "\(swap - limit)"
    }
}
