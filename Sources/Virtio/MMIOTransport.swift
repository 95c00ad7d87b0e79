public import GuestRAM
public import LinuxSystem
internal import Synchronization

/// The MMIO transport (VIRTIO 1.2, 4.2): one device's registers, as vCPU threads reach them.
///
/// Interrupt status and acknowledgement, which come with every interrupt, take no lock; all else is serialised with the device.
public final class MMIOTransport: @unchecked Sendable {
    /// Register offsets (4.2.2).
    private enum Register: UInt64 {
        case magic = 0x00, version = 0x04, deviceType = 0x08, vendor = 0x0C
        case deviceFeatures = 0x10, deviceFeaturesSelect = 0x14, driverFeatures = 0x20, driverFeaturesSelect = 0x24
        case queueSelect = 0x30, queueSizeMaximum = 0x34, queueSize = 0x38, queueReady = 0x44, queueNotify = 0x50
        case interruptStatus = 0x60, interruptAcknowledge = 0x64, status = 0x70
        case descriptorsLow = 0x80, descriptorsHigh = 0x84, availableLow = 0x90, availableHigh = 0x94, usedLow = 0xA0, usedHigh = 0xA4
        case memorySelect = 0xAC, memoryLengthLow = 0xB0, memoryLengthHigh = 0xB4, memoryBaseLow = 0xB8, memoryBaseHigh = 0xBC
        case configurationGeneration = 0xFC

        static let configurationSpace: UInt64 = 0x100
        static let magicValue: UInt32 = 0x7472_6976  // "virt"
        static let versionValue: UInt32 = 2
        static let vendorValue: UInt32 = 0x4C43_414E  // "NACL"
        /// What MemoryLength and MemoryBase read when there is no such shared memory region.
        static let noMemory: UInt32 = 0xFFFF_FFFF
    }

    /// The device status field (2.1).
    private struct Status: OptionSet {
        let rawValue: UInt32
        static let acknowledge = Status(rawValue: 1)
        static let driver = Status(rawValue: 2)
        static let driverReady = Status(rawValue: 4)
        static let featuresAccepted = Status(rawValue: 8)
        static let needsReset = Status(rawValue: 64)
        static let failed = Status(rawValue: 128)
    }

    /// Queue parameters as the driver writes them, before they are believed.
    private struct QueueSetup {
        var size: UInt16
        var isReady = false
        var descriptors: UInt64 = 0
        var available: UInt64 = 0
        var used: UInt64 = 0
    }

    private let device: any VirtioDevice
    private let memory: GuestMemory
    private let lock = DeviceLock()
    /// The device's interrupt, to be attached to KVM.
    public let interrupt: InterruptLine
    public let queueCount: Int

    // All below is guarded by `lock`.
    private var status: Status = []
    private var featuresSelect: UInt32 = 0
    private var driverFeaturesSelect: UInt32 = 0
    private var driverFeatures: UInt64 = 0
    private var queueSelect = 0
    private var queues: [QueueSetup]
    private var isActive = false
    private let broken = Atomic<Bool>(false)

    public init(_ device: any VirtioDevice, memory: GuestMemory) throws(SystemError) {
        self.device = device
        self.memory = memory
        interrupt = try InterruptLine()
        queues = device.queueSizes.map { QueueSetup(size: $0) }
        queueCount = queues.count
    }

    /// The offset at which the driver notifies; the value written is the queue's number.
    public static let notifyOffset = Register.queueNotify.rawValue

    /// A queue's notification arrived (through an ioeventfd or the register).
    public func notify(queue: Int) {
        lock.withLock {
            if isActive && queue < queueCount && !broken.load(ordering: .relaxed) { device.process(queue: queue) }
        }
    }

    // MARK: The driver's accesses

    /// A read of `count` bytes at `offset` of the register page.
    public func read(_ offset: UInt64, count: Int) -> UInt64 {
        if offset == Register.interruptStatus.rawValue { return UInt64(interrupt.status) }
        var value: UInt64 = 0
        lock.withLock {
            if offset >= Register.configurationSpace {
                value = readConfiguration(Int(offset - Register.configurationSpace), count)
            } else if count == 4, let register = Register(rawValue: offset) {
                value = UInt64(read(register))
            }
        }
        return value
    }

    /// A write of `count` bytes.
    public func write(_ offset: UInt64, value: UInt64, count: Int) {
        if offset == Register.interruptAcknowledge.rawValue { return interrupt.acknowledge(UInt32(truncatingIfNeeded: value)) }
        lock.withLock {
            if offset >= Register.configurationSpace {
                let bytes = (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
                device.writeConfiguration(bytes, at: Int(offset - Register.configurationSpace))
            } else if count == 4, let register = Register(rawValue: offset) {
                write(register, UInt32(truncatingIfNeeded: value))
            }
        }
    }

    private var offeredFeatures: UInt64 {
        device.features | TransportFeature.version1 | TransportFeature.indirectDescriptors | TransportFeature.eventIndex
    }

    private func readConfiguration(_ offset: Int, _ count: Int) -> UInt64 {
        let space = device.configuration
        var value: UInt64 = 0
        for byte in 0..<min(count, 8) where offset + byte < space.count { value |= UInt64(space[offset + byte]) << UInt64(8 * byte) }
        return value
    }

    private func read(_ register: Register) -> UInt32 {
        switch register {
        case .magic: return Register.magicValue
        case .version: return Register.versionValue
        case .deviceType: return device.type.rawValue
        case .vendor: return Register.vendorValue
        case .deviceFeatures:
            return featuresSelect < 2 ? UInt32(truncatingIfNeeded: offeredFeatures >> UInt64(32 * featuresSelect)) : 0
        case .queueSizeMaximum: return queueSelect < queues.count ? UInt32(device.queueSizes[queueSelect]) : 0
        case .queueReady: return queueSelect < queues.count && queues[queueSelect].isReady ? 1 : 0
        case .status: return status.rawValue | (broken.load(ordering: .relaxed) ? Status.needsReset.rawValue : 0)
        case .memoryLengthLow, .memoryLengthHigh, .memoryBaseLow, .memoryBaseHigh: return Register.noMemory
        default: return 0
        }
    }

    private func write(_ register: Register, _ value: UInt32) {
        switch register {
        case .deviceFeaturesSelect: featuresSelect = value
        case .driverFeaturesSelect: driverFeaturesSelect = value
        case .driverFeatures where !status.contains(.featuresAccepted) && driverFeaturesSelect < 2:
            let shift = UInt64(32 * driverFeaturesSelect)
            driverFeatures = driverFeatures & ~(0xFFFF_FFFF << shift) | UInt64(value) << shift
        case .queueSelect: queueSelect = Int(value)
        case .queueNotify where isActive && Int(value) < queueCount && !broken.load(ordering: .relaxed): device.process(queue: Int(value))
        case .status: setStatus(Status(rawValue: value))
        default: writeQueue(register, value)
        }
    }

    private func writeQueue(_ register: Register, _ value: UInt32) {
        // 4.2.3.2: a queue's parameters stand still while it is ready.
        guard queueSelect < queues.count, !isActive, register == .queueReady || !queues[queueSelect].isReady else { return }
        func low(_ field: inout UInt64) { field = field & ~0xFFFF_FFFF | UInt64(value) }
        func high(_ field: inout UInt64) { field = field & 0xFFFF_FFFF | UInt64(value) << 32 }
        switch register {
        case .queueSize: queues[queueSelect].size = UInt16(clamping: value)
        case .queueReady: queues[queueSelect].isReady = value == 1
        case .descriptorsLow: low(&queues[queueSelect].descriptors)
        case .descriptorsHigh: high(&queues[queueSelect].descriptors)
        case .availableLow: low(&queues[queueSelect].available)
        case .availableHigh: high(&queues[queueSelect].available)
        case .usedLow: low(&queues[queueSelect].used)
        case .usedHigh: high(&queues[queueSelect].used)
        default: break
        }
    }

    private func setStatus(_ new: Status) {
        if new.rawValue == 0 { return reset() }
        // 2.1.1: the driver sets bits one after another and never clears one but by a reset.
        guard new.isSuperset(of: status) else { return }
        let added = new.subtracting(status)
        if added.contains(.featuresAccepted) {
            let acceptable = driverFeatures & ~offeredFeatures == 0 && driverFeatures & TransportFeature.version1 != 0
            // 3.1.1: refusing means not showing FEATURES_OK.
            status = acceptable ? new : new.subtracting(.featuresAccepted)
            return
        }
        status = new
        if added.contains(.driverReady) && status.contains(.featuresAccepted) && !isActive { activate() }
    }

    private func activate() {
        let hasEventIndex = driverFeatures & TransportFeature.eventIndex != 0
        var rings: [Virtqueue?] = []
        for (setup, maximum) in zip(queues, device.queueSizes) {
            guard setup.isReady else {
                rings.append(nil)
                continue
            }
            guard setup.size <= maximum,
                let ring = try? Virtqueue(
                    memory: memory, size: setup.size, descriptors: GuestAddress(setup.descriptors),
                    available: GuestAddress(setup.available), used: GuestAddress(setup.used), hasEventIndex: hasEventIndex)
            else { return markBroken() }
            rings.append(ring)
        }
        isActive = true
        device.activate(ActivationContext(
            memory: memory, features: driverFeatures, queues: rings, interrupt: interrupt,
            needsReset: { [weak self] in self?.markBroken() }, lock: lock))
    }

    private func markBroken() {
        broken.store(true, ordering: .relaxed)
        interrupt.raiseConfigurationChange()
    }

    private func reset() {
        if isActive { device.reset() }
        isActive = false
        broken.store(false, ordering: .relaxed)
        status = []
        (featuresSelect, driverFeaturesSelect, driverFeatures, queueSelect) = (0, 0, 0, 0)
        queues = device.queueSizes.map { QueueSetup(size: $0) }
        interrupt.clear()
    }
}
