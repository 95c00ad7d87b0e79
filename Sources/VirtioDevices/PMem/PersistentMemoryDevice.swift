public import GuestRAM
public import Virtio

/// virtio-pmem (VIRTIO 1.2, 5.19): tells the driver where a mapped image lies in guest-physical memory.
///
/// The image is read-only, so a flush has nothing to do.
public final class PersistentMemoryDevice: VirtioDevice {
    private enum Request {
        /// VIRTIO_PMEM_REQ_TYPE_FLUSH
        static let flush: UInt32 = 0
        static let succeeded: UInt32 = 0
        static let failed: UInt32 = 1
        static let size = 4
    }

    private let start: GuestAddress
    private let size: UInt64
    private var context: ActivationContext?

    /// `size` bytes at `start`: what the machine has mapped there.
    public init(start: GuestAddress, size: UInt64) {
        self.start = start
        self.size = size
    }

    public var type: DeviceType { .persistentMemory }
    public var features: UInt64 { 0 }
    public var queueSizes: [UInt16] { [64] }
    public var configuration: [UInt8] {
        [start.rawValue, size].flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) } }
    }

    public func writeConfiguration(_ bytes: [UInt8], at offset: Int) {}
    public func activate(_ context: ActivationContext) { self.context = context }
    public func reset() { context = nil }

    public func process(queue: Int) {
        context?.serve(queue: queue) { chain in
            let request = chain.readable.bytes(count: Request.size)
            let isFlush = request.count == Request.size && request.allSatisfy { $0 == UInt8(Request.flush) }
            let status = isFlush ? Request.succeeded : Request.failed
            return chain.writable.write((0..<4).map { UInt8(truncatingIfNeeded: status >> UInt32(8 * $0)) })
        }
    }
}
