internal import ContainerRuntime
internal import JSONText
public import OCISpec

/// Limits that a user asks for.
public struct ResourceRequest: Equatable, Sendable {
    /// Bytes
    public var memory: Int64?
    /// Memory and swap together, in bytes; -1 is no limit.
    public var memorySwap: Int64?
    public var memoryReservation: Int64?
    /// Microseconds of processor time in each 100,000.
    public var cpuQuota: Int64?
    public var cpuShares: UInt64?
    public var cpus: String?
    /// -1 is no limit.
    public var pids: Int64?
    public init() {}

    static let cpuPeriod: UInt64 = 100_000
    /// As Docker has it: less than this a container does not start in.
    static let smallestMemory: Int64 = 6 << 20

    /// `-m`, `--memory-reservation`
    public static func memory(_ text: String, flag: String) throws(EngineError) -> Int64 {
        guard let bytes = Quantity.bytes(text), bytes > 0 else { throw EngineError("\(flag) \(quoted(text)): a size is expected: bytes, or a number with k, m or g (512m, 1.5g)") }
        guard bytes >= smallestMemory else { throw EngineError("\(flag) \(quoted(text)): \(bytes) bytes are less than a container can run in: 6m is the least") }
        return bytes
    }

    /// `--memory-swap`
    public static func swap(_ text: String) throws(EngineError) -> Int64 {
        if text == "-1" { return -1 }
        guard let bytes = Quantity.bytes(text), bytes > 0 else {
            throw EngineError("--memory-swap \(quoted(text)): memory and swap together are expected as a size (1g), or -1 for no limit")
        }
        return bytes
    }

    /// `--cpus`: a number of processors, with a fraction.
    public static func quota(cpus text: String) throws(EngineError) -> Int64 {
        let isNumber = !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }
        guard isNumber, let number = Double(text), number >= 0.01, number <= 8192 else { throw EngineError("--cpus \(quoted(text)): a number of processors from 0.01 to 8192 is expected, such as 1.5") }
        return Int64((number * Double(cpuPeriod)).rounded())
    }

    /// `--cpu-shares`
    public static func shares(_ text: String) throws(EngineError) -> UInt64 {
        guard let number = UInt64(text), (2...262_144).contains(number) else { throw EngineError("--cpu-shares \(quoted(text)): a weight from 2 to 262144 is expected (1024 is the usual)") }
        return number
    }

    /// `--pids-limit`
    public static func pids(_ text: String) throws(EngineError) -> Int64 {
        if text == "-1" || text == "0" || text == "unlimited" { return -1 }
        guard let number = Int64(text), number > 0, number <= 4_194_304 else { throw EngineError("--pids-limit \(quoted(text)): a number from 1 to 4194304 is expected, or -1 for no limit") }
        return number
    }

    /// `--cpuset-cpus`
    public static func cpuList(_ text: String) throws(EngineError) -> String {
        let isList = text.split(separator: ",", omittingEmptySubsequences: false).allSatisfy { range in
            let ends = range.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
            guard let first = ends.first.flatMap({ $0 }), let last = ends.last.flatMap({ $0 }) else { return false }
            return ends.count <= 2 && first <= last
        }
        guard isList else { throw EngineError("--cpuset-cpus \(quoted(text)): a list of processors is expected, such as 0-3,7") }
        return text
    }

    /// - Throws: when one limit contradicts another.
    public func check() throws(EngineError) {
        if let memorySwap {
            guard let memory else { throw EngineError("--memory-swap: is memory and swap together, so it needs --memory as well") }
            if memorySwap != -1 && memorySwap < memory { throw EngineError("--memory-swap: is memory and swap together, so it cannot be less than --memory (\(memory) bytes)") }
        }
        if let memoryReservation, let memory, memoryReservation > memory { throw EngineError("--memory-reservation: cannot be more than --memory (\(memory) bytes)") }
    }

    /// What of `linux.resources` they are; nil when nothing is asked for.
    var spec: ResourcesSpec? {
        var result = ResourcesSpec()
        if memory != nil || memorySwap != nil || memoryReservation != nil {
            var limits = ResourcesSpec.MemorySpec()
            (limits.limit, limits.swap, limits.reservation) = (memory, memorySwap, memoryReservation)
            result.memory = limits
        }
        if cpuQuota != nil || cpuShares != nil || cpus != nil {
            var limits = ResourcesSpec.CPUSpec()
            (limits.quota, limits.shares, limits.cpus) = (cpuQuota, cpuShares, cpus)
            if cpuQuota != nil { limits.period = Self.cpuPeriod }
            result.cpu = limits
        }
        if let pids {
            var limits = ResourcesSpec.PidsSpec()
            limits.limit = pids
            result.pids = limits
        }
        return result == ResourcesSpec() ? nil : result
    }
}

extension RlimitSpec {
    /// `--ulimit NAME=SOFT[:HARD]`
    public init(ulimit text: String) throws(EngineError) {
        self.init()
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let name = "RLIMIT_" + (parts.first ?? "").uppercased()
        let values = parts.count == 2 ? parts[1].split(separator: ":", omittingEmptySubsequences: false).map { $0 == "-1" || $0 == "unlimited" ? UInt64.max : UInt64($0) } : []
        guard ResourceLimit.number(name) != nil, (1...2).contains(values.count), let soft = values[0], let hard = values[values.count - 1], soft <= hard else {
            throw EngineError("--ulimit \(quoted(text)): NAME=SOFT[:HARD] is expected, such as nofile=1024:4096, with SOFT not above HARD and a name of getrlimit(2) in lower case")
        }
        (type, self.soft, self.hard) = (name, soft, hard)
    }
}
