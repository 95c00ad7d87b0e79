public import GuestRAM

/// What a driver did that the specification forbids. The device then asks for a reset; the machine lives on.
public enum VirtqueueError: Error, Equatable, Sendable {
    /// A ring or its size lies outside guest memory, or is misaligned.
    case invalidRing
    /// The available index moved further than the queue has entries.
    case invalidAvailableIndex
    /// A descriptor index is not below the queue's size, or a chain loops.
    case invalidDescriptor
    /// A buffer does not lie in guest memory (or, for a device's writes, in writable memory).
    case invalidBuffer
}

/// A chain of buffers that the driver offered: all of it was checked before it is handed out.
public struct DescriptorChain: Sendable {
    /// The head's index, which names the chain in the used ring.
    public let head: UInt16
    /// What the device reads, in order.
    public let readable: [GuestSlice]
    /// What the device writes, in order.
    public let writable: [GuestSlice]
}

/// A split virtqueue (VIRTIO 1.2, 2.7), seen from the device. Used by one thread at a time.
public final class Virtqueue: @unchecked Sendable {
    /// Entries, a power of two.
    public let size: UInt16
    private let memory: GuestMemory
    private let descriptors: GuestSlice
    private let available: GuestSlice
    private let used: GuestSlice
    private let hasEventIndex: Bool
    private var nextAvailable: UInt16 = 0
    private var nextUsed: UInt16 = 0
    private var signalledUsed: UInt16 = 0

    private enum Layout {
        static let descriptorSize = 16
        static let ringHeader = 4
        static let availableEntry = 2
        static let usedEntry = 8
    }

    private struct Flags {
        static let next: UInt16 = 1
        static let write: UInt16 = 2
        static let indirect: UInt16 = 4
    }

    /// Takes over rings that the driver placed. With `hasEventIndex`, VIRTIO_F_EVENT_IDX was negotiated.
    public init(memory: GuestMemory, size: UInt16, descriptors: GuestAddress, available: GuestAddress, used: GuestAddress, hasEventIndex: Bool) throws(VirtqueueError) {
        guard size > 0, size & (size &- 1) == 0, size <= 32768,
            descriptors.rawValue & 15 == 0, available.rawValue & 1 == 0, used.rawValue & 3 == 0
        else { throw .invalidRing }
        let entries = Int(size)
        guard let descriptorTable = memory.slice(at: descriptors, count: entries * Layout.descriptorSize),
            let availableRing = memory.slice(at: available, count: Layout.ringHeader + entries * Layout.availableEntry + 2),
            let usedRing = memory.slice(at: used, count: Layout.ringHeader + entries * Layout.usedEntry + 2, writable: true)
        else { throw .invalidRing }
        self.memory = memory
        self.size = size
        self.descriptors = descriptorTable
        self.available = availableRing
        self.used = usedRing
        self.hasEventIndex = hasEventIndex
    }

    /// The next chain that the driver offered, or nil when there is none.
    ///
    /// When it returns nil the driver has been asked to notify about the next one.
    public func pop() throws(VirtqueueError) -> DescriptorChain? {
        var index = available.loadAcquire16(at: 2)
        if index == nextAvailable {
            requestNotification()
            memoryFence()
            index = available.loadAcquire16(at: 2)
            if index == nextAvailable { return nil }
        }
        guard index &- nextAvailable <= size else { throw .invalidAvailableIndex }
        let slot = Int(nextAvailable & (size &- 1))
        guard let head = available.load(UInt16.self, at: Layout.ringHeader + slot * Layout.availableEntry) else { throw .invalidRing }
        let chain = try chain(from: head)
        nextAvailable &+= 1
        return chain
    }

    /// True when `pop` would return a chain now, without asking for a notification.
    public var hasAvailable: Bool { available.loadAcquire16(at: 2) != nextAvailable }

    private func requestNotification() {
        guard hasEventIndex else { return }
        used.storeRelease16(nextAvailable, at: Layout.ringHeader + Int(size) * Layout.usedEntry)
    }

    private func chain(from head: UInt16) throws(VirtqueueError) -> DescriptorChain {
        var readable: [GuestSlice] = []
        var writable: [GuestSlice] = []
        var table = descriptors
        var tableSize = size
        var index = head
        var inIndirectTable = false
        var budget = Int(size)
        while true {
            guard index < tableSize, budget > 0 else { throw .invalidDescriptor }
            budget -= 1
            // One copy, then checks on the copy: the driver may change the table meanwhile.
            let raw = table.part(from: Int(index) * Layout.descriptorSize, count: Layout.descriptorSize)
            guard let address = raw.load(UInt64.self, at: 0), let length = raw.load(UInt32.self, at: 8),
                let flags = raw.load(UInt16.self, at: 12), let next = raw.load(UInt16.self, at: 14)
            else { throw .invalidDescriptor }
            if flags & Flags.indirect != 0 {
                // 2.7.5.3: an indirect descriptor stands alone, is not nested and holds whole descriptors.
                let count = Int(length) / Layout.descriptorSize
                guard !inIndirectTable, flags & (Flags.next | Flags.write) == 0, readable.isEmpty, writable.isEmpty,
                    length % UInt32(Layout.descriptorSize) == 0, count > 0, count <= Int(size),
                    let indirect = memory.slice(at: GuestAddress(address), count: Int(length))
                else { throw .invalidDescriptor }
                table = indirect
                tableSize = UInt16(count)
                index = 0
                inIndirectTable = true
                budget = count
                continue
            }
            let isWrite = flags & Flags.write != 0
            guard let slice = memory.slice(at: GuestAddress(address), count: Int(length), writable: isWrite) else { throw .invalidBuffer }
            if isWrite {
                writable.append(slice)
            } else {
                // 2.7.4.2: what the device reads comes before what it writes.
                guard writable.isEmpty else { throw .invalidDescriptor }
                readable.append(slice)
            }
            if flags & Flags.next == 0 { break }
            index = next
        }
        return DescriptorChain(head: head, readable: readable, writable: writable)
    }

    /// Gives a chain back, with the number of bytes written to it.
    public func push(_ head: UInt16, written: Int) {
        let slot = Layout.ringHeader + Int(nextUsed & (size &- 1)) * Layout.usedEntry
        used.store(UInt32(head), at: slot)
        used.store(UInt32(truncatingIfNeeded: written), at: slot + 4)
        nextUsed &+= 1
        used.storeRelease16(nextUsed, at: 2)
    }

    /// Whether the driver wants an interrupt for what was pushed since this was last asked (2.7.7).
    public func needsInterrupt() -> Bool {
        let old = signalledUsed
        guard nextUsed != old else { return false }
        memoryFence()
        signalledUsed = nextUsed
        if hasEventIndex {
            let event = available.loadAcquire16(at: Layout.ringHeader + Int(size) * Layout.availableEntry)
            return nextUsed &- event &- 1 < nextUsed &- old
        }
        return available.loadAcquire16(at: 0) & 1 == 0
    }
}
