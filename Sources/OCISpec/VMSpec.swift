public import JSONText

/// The section for runtimes on virtual machines (config-vm.md).
public struct VMSpec: SpecObject {
    public var hypervisor: Hypervisor?
    public var kernel: Kernel?
    public var image: Image?
    public var hwConfig: HardwareConfiguration?
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.optional("hypervisor", &hypervisor)
        try mapper.optional("kernel", &kernel)
        try mapper.optional("image", &image)
        try mapper.optional("hwConfig", &hwConfig)
    }

    public struct Hypervisor: SpecObject {
        public var path = ""
        public var parameters: [String] = []
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.required("path", &path)
            try mapper.list("parameters", &parameters)
        }
    }

    public struct Kernel: SpecObject {
        public var path = ""
        public var parameters: [String] = []
        public var initrd: String?
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.required("path", &path)
            try mapper.list("parameters", &parameters)
            try mapper.optional("initrd", &initrd)
        }
    }

    public struct Image: SpecObject {
        public var path = ""
        public var format = ""
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.required("path", &path)
            try mapper.required("format", &format)
        }
    }

    public struct HardwareConfiguration: SpecObject {
        public var deviceTree: String?
        public var vcpus: UInt32?
        /// Bytes.
        public var memory: UInt64?
        public var dtdevs: [String] = []
        public var iomems: [IOMemory] = []
        public var irqs: [UInt32] = []
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.optional("deviceTree", &deviceTree)
            try mapper.optional("vcpus", &vcpus)
            try mapper.optional("memory", &memory)
            try mapper.list("dtdevs", &dtdevs)
            try mapper.list("iomems", &iomems)
            try mapper.list("irqs", &irqs)
        }
    }

    /// A range of the host's I/O memory, in pages.
    public struct IOMemory: SpecObject {
        public var firstGFN: UInt64?
        public var firstMFN: UInt64 = 0
        public var nrMFNs: UInt64 = 0
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.optional("firstGFN", &firstGFN)
            try mapper.required("firstMFN", &firstMFN)
            try mapper.required("nrMFNs", &nrMFNs)
        }
    }
}
