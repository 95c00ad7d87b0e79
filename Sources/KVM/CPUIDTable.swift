internal import CLinux

/// CPUID leaves as a guest will see them.
public struct CPUIDTable: Sendable {
    /// One leaf and subleaf with its four result registers.
    public struct Entry: Equatable, Sendable {
        public var function: UInt32
        public var index: UInt32
        /// KVM_CPUID_FLAG_SIGNIFCANT_INDEX
        public var flags: UInt32
        public var eax: UInt32
        public var ebx: UInt32
        public var ecx: UInt32
        public var edx: UInt32
    }

    public var entries: [Entry]

    init(_ table: clinux_cpuid) {
        var table = table
        let count = min(Int(table.nent), Int(CLINUX_MAXIMUM_CPUID_ENTRIES))
        entries = unsafe withUnsafeMutablePointer(to: &table) { pointer in
            // SAFETY: the table has room for the maximum; `count` is at most that.
            let first = unsafe clinux_cpuid_entries(pointer)
            return unsafe UnsafeBufferPointer(start: first, count: count).map {
                Entry(function: $0.function, index: $0.index, flags: $0.flags, eax: $0.eax, ebx: $0.ebx, ecx: $0.ecx, edx: $0.edx)
            }
        }
    }

    func cTable() -> clinux_cpuid {
        var table = clinux_cpuid()
        let used = entries.prefix(Int(CLINUX_MAXIMUM_CPUID_ENTRIES))
        table.nent = UInt32(used.count)
        unsafe withUnsafeMutablePointer(to: &table) { pointer in
            // SAFETY: at most as many entries as the table has room for.
            guard let first = unsafe clinux_cpuid_entries(pointer) else { return }
            for (position, entry) in used.enumerated() {
                unsafe first[position] = kvm_cpuid_entry2(
                    function: entry.function, index: entry.index, flags: entry.flags,
                    eax: entry.eax, ebx: entry.ebx, ecx: entry.ecx, edx: entry.edx, padding: (0, 0, 0))
            }
        }
        return table
    }

    private enum Leaf {
        static let features: UInt32 = 1
        static let cacheTopology: UInt32 = 4
        static let performanceMonitoring: UInt32 = 0xA
        static let topology: UInt32 = 0xB
        static let topologyV2: UInt32 = 0x1F
        static let extendedFeatures: UInt32 = 0x8000_0001
        static let addressSizes: UInt32 = 0x8000_0008
        static let svm: UInt32 = 0x8000_000A
        static let amdTopology: UInt32 = 0x8000_001E
        static let amdCacheTopology: UInt32 = 0x8000_001D
    }

    private enum Bit {
        static let vmx: UInt32 = 1 << 5
        static let x2APIC: UInt32 = 1 << 21
        static let tscDeadline: UInt32 = 1 << 24
        static let hypervisor: UInt32 = 1 << 31
        static let hyperthreading: UInt32 = 1 << 28
        static let svm: UInt32 = 1 << 2
        static let topologyExtensions: UInt32 = 1 << 22
    }

    /// The table of one vCPU: its APIC id, a flat topology of single-threaded cores in one socket, the TSC-deadline timer
    /// (which KVM has but does not list), no nested virtualisation and no performance counters.
    public func forVCPU(_ id: UInt32, of count: UInt32) -> CPUIDTable {
        var result = self
        var idBits: UInt32 = 0
        while (1 << idBits) < count { idBits += 1 }
        result.entries.removeAll { [Leaf.topologyV2, Leaf.svm, Leaf.amdTopology, Leaf.amdCacheTopology, Leaf.topology].contains($0.function) }
        for position in result.entries.indices {
            switch result.entries[position].function {
            case Leaf.features:
                result.entries[position].ebx = result.entries[position].ebx & 0xFFFF | id << 24 | min(count, 255) << 16
                result.entries[position].ecx = (result.entries[position].ecx & ~Bit.vmx) | Bit.tscDeadline | Bit.hypervisor | Bit.x2APIC
                result.entries[position].edx = count > 1 ? result.entries[position].edx | Bit.hyperthreading : result.entries[position].edx & ~Bit.hyperthreading
            case Leaf.cacheTopology where result.entries[position].eax & 0x1F != 0:
                result.entries[position].eax = result.entries[position].eax & 0x3FFF | (min(count, 64) - 1) << 26
            case Leaf.performanceMonitoring:
                (result.entries[position].eax, result.entries[position].ebx) = (0, 0)
                (result.entries[position].ecx, result.entries[position].edx) = (0, 0)
            case Leaf.extendedFeatures:
                result.entries[position].ecx &= ~(Bit.svm | Bit.topologyExtensions)
            case Leaf.addressSizes:
                result.entries[position].ecx = (count - 1) & 0xFF | idBits << 12
            default: break
            }
        }
        let significantIndex: UInt32 = 1
        result.entries.append(Entry(function: Leaf.topology, index: 0, flags: significantIndex, eax: 0, ebx: 1, ecx: 1 << 8, edx: id))
        result.entries.append(Entry(function: Leaf.topology, index: 1, flags: significantIndex, eax: idBits, ebx: count, ecx: 2 << 8 | 1, edx: id))
        return result
    }
}
