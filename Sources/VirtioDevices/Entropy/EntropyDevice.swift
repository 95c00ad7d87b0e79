internal import GuestRAM
internal import LinuxSystem
public import Virtio

/// virtio-rng (VIRTIO 1.2, 5.4): fills buffers from the host's random number generator.
public final class EntropyDevice: VirtioDevice {
    /// Bytes given for one request; the driver asks again for more.
    static let requestLimit = 64 << 10
    private static let queueSize: UInt16 = 64

    private var context: ActivationContext?

    public init() {}

    public var type: DeviceType { .entropy }
    public var features: UInt64 { 0 }
    public var queueSizes: [UInt16] { [EntropyDevice.queueSize] }
    public var configuration: [UInt8] { [] }
    public func writeConfiguration(_ bytes: [UInt8], at offset: Int) {}
    public func activate(_ context: ActivationContext) { self.context = context }
    public func reset() { context = nil }

    public func process(queue: Int) {
        context?.serve(queue: queue) { chain in
            let count = min(chain.writable.byteCount, EntropyDevice.requestLimit)
            guard let bytes = try? randomBytes(count) else { return 0 }
            return chain.writable.write(bytes)
        }
    }
}
