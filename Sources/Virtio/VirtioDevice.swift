public import GuestRAM
public import LinuxSystem
internal import Synchronization

/// Device types (VIRTIO 1.2, 5).
public enum DeviceType: UInt32, Sendable {
    case network = 1, block = 2, console = 3, entropy = 4, balloon = 5, vsock = 19, fileSystem = 26, persistentMemory = 27
}

/// Feature bits that belong to no device type (VIRTIO 1.2, 6).
public enum TransportFeature {
    /// VIRTIO_F_INDIRECT_DESC
    public static let indirectDescriptors: UInt64 = 1 << 28
    /// VIRTIO_F_EVENT_IDX
    public static let eventIndex: UInt64 = 1 << 29
    /// VIRTIO_F_VERSION_1
    public static let version1: UInt64 = 1 << 32
}

/// A device's interrupt: status bits that the driver reads, and the eventfd that KVM injects on.
public final class InterruptLine: Sendable {
    private let pending = Atomic<UInt32>(0)
    /// Given to KVM as an irqfd.
    public let event: EventDescriptor

    public init() throws(SystemError) { event = try EventDescriptor() }

    /// InterruptStatus (VIRTIO 1.2, 4.2.2).
    public var status: UInt32 { pending.load(ordering: .acquiring) }

    /// InterruptACK.
    public func acknowledge(_ bits: UInt32) { pending.bitwiseAnd(~bits, ordering: .acquiringAndReleasing) }

    /// Some buffers were used.
    public func raiseUsedBuffers() { raise(1) }

    /// The configuration or the device's status changed.
    public func raiseConfigurationChange() { raise(2) }

    private func raise(_ bit: UInt32) {
        pending.bitwiseOr(bit, ordering: .acquiringAndReleasing)
        event.signal()
    }

    func clear() { pending.store(0, ordering: .releasing) }
}

/// What a device gets when its driver has finished setting it up. The queues are the device's until it is reset.
public struct ActivationContext {
    public let memory: GuestMemory
    /// Accepted by the driver.
    public let features: UInt64
    /// Indexed as the device type numbers them; nil for a queue that the driver did not enable.
    public let queues: [Virtqueue?]
    public let interrupt: InterruptLine
    /// Tells the driver that the device is broken until it resets it (DEVICE_NEEDS_RESET).
    public let needsReset: @Sendable () -> Void
    /// Held during every call into the device. What the device does on events of its own must hold it too.
    public let lock: DeviceLock
}

/// Serialises a device's work (its queues' thread) with its driver's control (a vCPU's thread).
public final class DeviceLock: Sendable {
    private let mutex = Mutex<Void>(())
    public init() {}
    public func withLock(_ body: () -> Void) { mutex.withLock { _ in body() } }
}

/// A virtio device without its transport. All calls come with the transport's `DeviceLock` held.
public protocol VirtioDevice: AnyObject {
    var type: DeviceType { get }
    /// Device-specific feature bits offered; the transport adds its own.
    var features: UInt64 { get }
    /// The largest size of each queue.
    var queueSizes: [UInt16] { get }
    /// The device-specific configuration space as the driver reads it now.
    var configuration: [UInt8] { get }
    /// The driver wrote to the configuration space. Devices without writable fields ignore it.
    func writeConfiguration(_ bytes: [UInt8], at offset: Int)
    /// The driver is ready: from now on buffers may be used.
    func activate(_ context: ActivationContext)
    /// The driver has notified about a queue.
    func process(queue: Int)
    /// An eventfd that threads of the device's own wait for: the driver's notifications signal it, and `process` is not called for them.
    /// nil: `process` is called on the machine's thread.
    var notification: Int32? { get }
    /// The driver starts over: forget queues, connections, requests.
    func reset()
}

extension VirtioDevice {
    public var notification: Int32? { nil }
}
