public import LinuxSystem
public import Virtio
public final class FileSystemDevice: VirtioDevice {
    public struct Share: ~Copyable { public init(name: String, descriptor: consuming OwnedDescriptor, readOnly: Bool) {} }
    public let type = DeviceType.fileSystem
    public let features: UInt64 = 0
    public let queueSizes: [UInt16] = [128, 128]
    public let configuration: [UInt8]
    public init(tag: String, shares: [Int]) throws { configuration = Array(tag.utf8) + [UInt8](repeating: 0, count: 36 - tag.utf8.count) + [1, 0, 0, 0] }
    public func writeConfiguration(_ bytes: [UInt8], at offset: Int) {}
    public func activate(_ context: ActivationContext) {}
    public func process(queue: Int) {}
    public func reset() {}
}
