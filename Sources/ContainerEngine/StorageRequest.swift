internal import ContainerRuntime
internal import JSONText
public import OCISpec

/// Where a container in a machine, whose image is attached as EROFS layers, keeps what it writes.
public enum UpperPlace: String, SpecWord {
    /// A directory of the store, shared with the machine.
    case shared
    /// A file in the container's folder, which is the machine's disk.
    case disk
    /// The machine's memory: gone when it stops.
    case tmpfs
}

/// `--storage-opt`
public struct StorageRequest: Equatable, Sendable {
    public var upper: UpperPlace?
    /// Bytes
    public var size: Int64?
    public init() {}

    static let standardSize: Int64 = 10 << 30
    static let diskSizes: ClosedRange<Int64> = 16 << 20...8 << 40

    /// Adds one.
    public mutating func add(_ text: String) throws(EngineError) {
        let (name, value) = try FlagValues.pair(text, flag: "--storage-opt", valueNeeded: true)
        switch name {
        case "upper":
            guard let place = UpperPlace(rawValue: value) else {
                throw EngineError("--storage-opt upper=\(value): there are \(UpperPlace.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            upper = place
        case "size":
            guard let bytes = Quantity.bytes(value), bytes > 0 else { throw EngineError("--storage-opt size=\(value): a size is expected, such as 10g") }
            size = bytes
        default: throw EngineError("--storage-opt \(quoted(text)): there are upper= and size=")
        }
    }

    /// What they mean together: a size alone is a disk's. The size is 0 where none belongs, and where a tmpfs may take half of the memory.
    func place() throws(EngineError) -> (upper: UpperPlace, size: Int64) {
        switch upper ?? (size == nil ? .shared : .disk) {
        case .shared:
            if size != nil { throw EngineError("--storage-opt size=: a shared upper layer has no size: leave upper=shared out for a disk, or say upper=tmpfs") }
            return (.shared, 0)
        case .disk:
            let size = size ?? Self.standardSize
            guard Self.diskSizes.contains(size) else { throw EngineError("--storage-opt size=: \(size) bytes cannot be a disk's: 16m to 8t can") }
            return (.disk, (size + 4095) / 4096 * 4096)
        case .tmpfs: return (.tmpfs, size ?? 0)
        }
    }
}
