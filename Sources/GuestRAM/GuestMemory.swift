public import LinuxSystem

/// The memory that a guest sees, as this process sees it: the only way in which the VMM touches it.
///
/// The guest's vCPUs write at any time, so nothing in it is ever a Span: callers copy bytes out, then parse the copy.
public final class GuestMemory: Sendable {
    /// A contiguous range of guest-physical addresses backed by one mapping.
    public struct Region: Sendable {
        public let base: GuestAddress
        public let mapping: Mapping
        /// False for memory that the guest and its devices may only read (a shared image).
        public let isWritable: Bool
        public var count: Int { mapping.count }

        public init(base: GuestAddress, mapping: Mapping, isWritable: Bool = true) {
            self.base = base
            self.mapping = mapping
            self.isWritable = isWritable
        }
    }

    /// In ascending order, not overlapping.
    public let regions: [Region]

    public init(regions: [Region]) {
        self.regions = regions.sorted { $0.base < $1.base }
    }

    /// `count` bytes at `address`, or nil unless all of them lie in one region (and it is writable, when that is asked for).
    public func slice(at address: GuestAddress, count: Int, writable: Bool = false) -> GuestSlice? {
        guard count >= 0 else { return nil }
        for region in regions where address >= region.base {
            let offset = address.rawValue - region.base.rawValue
            guard offset <= UInt64(region.count), UInt64(count) <= UInt64(region.count) - offset else { continue }
            if writable && !region.isWritable { return nil }
            return GuestSlice(region.mapping, offset: Int(offset), count: count)
        }
        return nil
    }

    /// Copies bytes out; nil when the range is not guest memory.
    public func read(at address: GuestAddress, count: Int) -> [UInt8]? {
        slice(at: address, count: count)?.bytes()
    }

    /// Copies bytes in. False when the range is not writable guest memory.
    public func write(_ bytes: [UInt8], at address: GuestAddress) -> Bool {
        guard let slice = slice(at: address, count: bytes.count, writable: true) else { return false }
        slice.write(bytes, at: 0)
        return true
    }
}
