internal import CLinux
internal import Glibc
public import GuestRAM
internal import KVM
public import LinuxSystem
internal import MachineBoot
internal import Synchronization
public import Virtio

/// Why a machine could not be built.
public enum MachineError: Error, Sendable, CustomStringConvertible {
    case system(SystemError)
    case boot(String)
    case kvm(String)
    case image(path: String, String)

    public var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .boot(let text), .kvm(let text): text
        case .image(let path, let text): "guest image \(path): \(text)"
        }
    }
}

/// One virtual machine: memory, interrupt controller, devices, vCPUs.
///
/// Build it (`init`, `attach`, `load`), then `start` it; `ended` becomes readable when the guest stops by itself.
public final class Machine: @unchecked Sendable {
    public let configuration: MachineConfiguration
    public let memory: GuestMemory
    private let virtualMachine: VirtualMachine
    private let cpuid: CPUIDTable
    private var bus: Bus
    private let loop: EventLoop
    private var vcpus: [VCPU] = []
    private let end = Mutex<MachineEnd?>(nil)
    /// Signalled once when the guest has stopped by itself.
    public let ended: EventDescriptor
    /// The read-only images' places in the guest, for persistent-memory devices: the guest's root, then the others.
    public let images: [GuestMemory.Region]

    /// Creates the machine with its memory. Nothing runs yet.
    /// - Parameter images: files that are mapped into the guest beside its root.
    public init(_ configuration: MachineConfiguration, images files: [SharedDescriptor] = [], loop: EventLoop) throws(MachineError) {
        self.configuration = configuration
        self.loop = loop
        do throws(SystemError) {
            ended = try EventDescriptor()
            let kvm = try KVMSystem()
            for needed in [KVMSystem.Capability.splitIRQChip, .irqfd, .ioeventfd, .readOnlyMemory, .tscDeadlineTimer] where kvm.check(needed) == 0 {
                throw SystemError(.notSupported, "KVM_CHECK_EXTENSION", path: "\(needed)")
            }
            virtualMachine = try kvm.createMachine()
            cpuid = try kvm.supportedCPUID()
        } catch {
            throw .kvm("KVM cannot be used: \(error); `nacelle-oci doctor` says more")
        }
        var images = [try Self.mapRoot(configuration)]
        do throws(SystemError) {
            for file in files { images.append(try Self.map(file, at: MachineLayout.persistentMemoryBase(after: images[images.count - 1]))) }
            self.images = images
            memory = GuestMemory(regions: try Self.mapMemory(configuration.memory) + images)
            for (slot, region) in memory.regions.enumerated() {
                try virtualMachine.setMemory(
                    slot: UInt32(slot), guestAddress: region.base.rawValue, mapping: region.mapping, readOnly: !region.isWritable)
            }
            try virtualMachine.setTaskStateAddress(MachineLayout.taskStateBase)
            try virtualMachine.enableSplitIRQChip(pins: MachineLayout.ioapicPins)
        } catch { throw .system(error) }
        bus = Bus(virtualMachine: virtualMachine)
    }

    /// RAM: memory of this process whose pages exist once they are touched. Not a memfd: a fault on shared memory costs a third more,
    /// and there is nobody to share it with.
    private static func mapMemory(_ size: UInt64) throws(SystemError) -> [GuestMemory.Region] {
        let low = min(size, MachineLayout.lowMemoryLimit)
        func map(_ base: GuestAddress, _ count: UInt64) throws(SystemError) -> GuestMemory.Region {
            let mapping = try Mapping(nil, count: Int(count), protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_NORESERVE)
            // A guest touches a little everywhere: huge pages would nearly double what an idle one keeps resident.
            mapping.preferSmallPages()
            return GuestMemory.Region(base: base, mapping: mapping)
        }
        var regions = [try map(GuestAddress(0), low)]
        if size > low { regions.append(try map(MachineLayout.highMemoryBase, size - low)) }
        return regions
    }

    /// The guest kernel refuses a region of 16 MiB and more that is no multiple of 16 MiB (MEMREMAP_COMPAT_ALIGN_MAX).
    private static let imageAlignment: Int64 = 16 << 20

    /// A file of any size, with zeros up to the next multiple.
    private static func map(_ file: SharedDescriptor, at base: GuestAddress) throws(SystemError) -> GuestMemory.Region {
        try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in
            let size = try file.size()
            guard size > 0, size < Int64.max / 2 else { throw SystemError(.invalidArgument, "image") }
            let room = (size + imageAlignment - 1) / imageAlignment * imageAlignment
            let mapping = try Mapping(nil, count: Int(room), protection: PROT_READ, flags: MAP_PRIVATE | MAP_NORESERVE)
            try mapping.overlay(at: 0, with: file, fileOffset: 0, count: Int(size), protection: PROT_READ, flags: MAP_SHARED)
            return GuestMemory.Region(base: base, mapping: mapping, isWritable: false)
        }
    }

    private static func mapRoot(_ configuration: MachineConfiguration) throws(MachineError) -> GuestMemory.Region {
        let path = configuration.imagePath
        let size: Int64
        let isImage: Bool
        let mapping: Mapping
        do throws(SystemError) {
            let file = try OwnedDescriptor(opening: path, flags: O_RDONLY)
            size = try file.size()
            isImage = try file.holds(.erofs)
            mapping = try Mapping(file.rawValue, count: Int(max(size, 1)), protection: PROT_READ, flags: MAP_SHARED)
        } catch { throw .image(path: path, "\(error)") }
        guard size > 0, size % imageAlignment == 0 else {
            throw .image(path: path, "its size (\(size) bytes) is not a multiple of 16 MiB: it is truncated or no guest image")
        }
        guard isImage else { throw .image(path: path, "it is not an EROFS image") }
        return GuestMemory.Region(base: MachineLayout.persistentMemoryBase(memorySize: configuration.memory), mapping: mapping, isWritable: false)
    }

    /// Adds a device: its registers, its interrupt and its queues' notifications.
    public func attach(_ device: any VirtioDevice) throws(MachineError) {
        guard bus.transports.count < MachineLayout.maximumDevices else { throw .boot("the machine has no room for more than \(MachineLayout.maximumDevices) devices") }
        do throws(SystemError) {
            let transport = try MMIOTransport(device, memory: memory)
            let index = bus.transports.count
            try virtualMachine.attachInterrupt(transport.interrupt.event, gsi: UInt32(MachineLayout.firstDevicePin + index))
            for queue in 0..<transport.queueCount {
                let address = MachineLayout.deviceBase + UInt64(index) * MachineLayout.deviceStride + MMIOTransport.notifyOffset
                if let own = device.notification {
                    try virtualMachine.attachNotification(own, address: address, value: UInt32(queue))
                    continue
                }
                let event = SharedEvent(try EventDescriptor())
                try virtualMachine.attachNotification(event.event.descriptor.rawValue, address: address, value: UInt32(queue))
                try loop.add(event.event.descriptor.rawValue, .readable) { _ in
                    event.event.drain()
                    transport.notify(queue: queue)
                }
            }
            bus.transports.append(transport)
        } catch { throw .system(error) }
    }

    /// Loads the kernel and prepares the vCPUs: after this the files are needed no more.
    public func load() throws(MachineError) {
        let entry: EntryState
        do throws(BootError) {
            let file: OwnedDescriptor
            do throws(SystemError) {
                file = try OwnedDescriptor(opening: configuration.kernelPath, flags: O_RDONLY)
            } catch { throw .kernelUnreadable(error) }
            let kernel = try KernelImage(path: configuration.kernelPath, file: file)
            try kernel.load(file: file, into: memory.regions[0])
            let devices = bus.transports.indices.map {
                DeviceTree.Device(
                    address: MachineLayout.deviceBase + UInt64($0) * MachineLayout.deviceStride, size: MachineLayout.deviceStride,
                    pin: UInt32(MachineLayout.firstDevicePin + $0))
            }
            entry = try LinuxBoot.prepare(
                memory: memory, memorySize: configuration.memory, kernel: kernel, commandLine: configuration.commandLine,
                deviceTree: try DeviceTree(vcpus: configuration.vcpus, devices: devices).flattened())
        } catch { throw .boot("\(error)") }
        do throws(SystemError) {
            for id in 0..<UInt32(configuration.vcpus) {
                let vcpu = try virtualMachine.createVCPU(id)
                try vcpu.setCPUID(cpuid.forVCPU(id, of: UInt32(configuration.vcpus)))
                if id == 0 {
                    try vcpu.enterLongMode(LongModeState(pageTable: entry.pageTable, descriptorTable: entry.descriptorTable))
                    try vcpu.setRegisters(GeneralRegisters(rip: entry.instructionPointer, rsp: entry.stackPointer, rsi: entry.bootParameters))
                }
                vcpus.append(vcpu)
            }
        } catch { throw .kvm("\(error)") }
    }

    /// Where an output-only debug port (0x3F8) writes, for early kernel messages. Set before `start`.
    public func setDebugOutput(_ descriptor: SharedDescriptor) { bus.debugOutput = descriptor }

    /// Starts one thread per vCPU. `prepareThread` runs first on each (its seccomp filter).
    public func start(prepareThread: @escaping @Sendable () -> Void) throws(MachineError) {
        let bus = self.bus
        for vcpu in vcpus {
            do throws(SystemError) {
                try startThread(name: "vcpu\(vcpu.id)") { [self] in
                    prepareThread()
                    finish(Self.run(vcpu, bus))
                }
            } catch { throw .system(error) }
        }
    }

    /// Why the guest has stopped, once `ended` is signalled.
    public var result: MachineEnd? { end.withLock { $0 } }

    private func finish(_ reason: MachineEnd) {
        end.withLock { if $0 == nil { $0 = reason } }
        ended.signal()
    }

    private static func run(_ vcpu: VCPU, _ bus: Bus) -> MachineEnd {
        while true {
            do throws(SystemError) {
                switch try vcpu.run() {
                case .mmioRead(let address, let count): vcpu.completeRead(bus.read(address, count: count))
                case .mmioWrite(let address, let value, let count):
                    if bus.write(address, value: value, count: count) == .panic { return .panicked }
                case .portRead(let port, let count): vcpu.completeInput(bus.input(port, count: count))
                case .portWrite(let port, let value, _): bus.output(port, value)
                case .interrupted, .endOfInterrupt: continue
                case .shutdown, .systemEvent: return .reset
                case .halt: return .failed("it halted without an interrupt controller", address: vcpu.instructionPointer())
                case .entryFailed(let reason): return .failed("KVM could not enter the guest (reason 0x\(String(reason, radix: 16)))", address: vcpu.instructionPointer())
                case .internalError(let suberror): return .failed("KVM internal error \(suberror)" + (suberror == 1 ? " (an instruction that it cannot emulate)" : ""), address: vcpu.instructionPointer())
                case .unknown(let reason): return .failed("unknown exit \(reason)", address: vcpu.instructionPointer())
                }
            } catch {
                return .failed("\(error)", address: vcpu.instructionPointer())
            }
        }
    }
}

/// An eventfd that a closure keeps.
private final class SharedEvent: Sendable {
    let event: EventDescriptor
    init(_ event: consuming EventDescriptor) { self.event = event }
}
