internal import GuestRAM
public import LinuxSystem
public import Virtio

/// virtio-console (VIRTIO 1.2, 5.3) with one port: what the guest prints goes to a file. Nothing is ever typed.
public final class ConsoleDevice: VirtioDevice {
    private enum Queue {
        static let transmit = 1
        static let size: UInt16 = 64
    }

    private let output: OwnedDescriptor
    private var context: ActivationContext?

    /// Output is appended to `output`; what cannot be written is lost.
    public init(output: consuming OwnedDescriptor) { self.output = output }

    public var type: DeviceType { .console }
    public var features: UInt64 { 0 }
    public var queueSizes: [UInt16] { [Queue.size, Queue.size] }
    /// cols, rows, max_nr_ports, emerg_wr: not offered, read as zero.
    public var configuration: [UInt8] { [UInt8](repeating: 0, count: 12) }
    public func writeConfiguration(_ bytes: [UInt8], at offset: Int) {}
    public func activate(_ context: ActivationContext) { self.context = context }
    public func reset() { context = nil }

    public func process(queue: Int) {
        guard queue == Queue.transmit else { return }
        context?.serve(queue: queue) { chain in
            let total = chain.readable.byteCount
            var done = 0
            while done < total {
                guard let written = try? chain.readable.part(from: done).write(to: output.rawValue), written > 0 else { break }
                done += written
            }
            return 0
        }
    }
}
