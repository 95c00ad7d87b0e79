import Glibc
import GuestRAM
import LinuxSystem
import Testing
import Virtio
@testable import VirtioDevices

/// A driver of a virtio-blk device whose file is a sparse one of this host.
final class BlockGuest {
    let path: String
    let device: BlockDevice
    let bench: DriverBench
    static let sectors = 4096

    private enum Place { static let sent: UInt64 = 0x40000, received: UInt64 = 0x80000 }

    init(readOnly: Bool = false, contents: [UInt8] = [], folder: String = "/tmp") throws {
        path = "\(folder)/nacelle-block.\(getpid()).\(UInt64.random(in: 0 ... .max))"
        try writeFile(path, contents)
        let file = try OwnedDescriptor(opening: path, flags: O_RDWR)
        try file.truncate(to: Int64(Self.sectors * 512))
        device = try BlockDevice(file: readOnly ? try OwnedDescriptor(opening: path, flags: O_RDONLY) : file, readOnly: readOnly, identifier: "nacelle-7")
        bench = try DriverBench(device)
    }

    deinit {
        // The threads must not outlive the memory.
        bench.transport.write(0x70, value: 0, count: 4)
        unsafe unlink(path)
    }

    struct Answer: Equatable {
        /// nil: the device did not take the request.
        var status: UInt8?
        var data: [UInt8] = []
        var written = 0
        init(_ status: UInt8?, _ data: [UInt8] = [], written: Int = 0) { (self.status, self.data, self.written) = (status, data, written) }
    }

    static func header(_ type: UInt32, _ sector: UInt64) -> [UInt8] { little(type) + little(UInt32(0)) + little(sector) }
    static func little<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] { (0..<MemoryLayout<Value>.size).map { UInt8(truncatingIfNeeded: value >> Value(8 * $0)) } }
    static func segment(_ sector: UInt64, _ count: UInt32, _ flags: UInt32 = 0) -> [UInt8] { little(sector) + little(count) + little(flags) }

    /// Sends bytes in buffers of so many (the rest in a last one) and offers room in others, and waits for the answer.
    func ask(_ sent: [UInt8], cut: [Int] = [], room: Int, cutRoom: [Int] = []) throws -> Answer {
        #expect(bench.memory.write(sent, at: GuestAddress(Place.sent)))
        #expect(bench.memory.write([UInt8](repeating: 0xEE, count: max(room, 1)), at: GuestAddress(Place.received)))
        let buffers = Self.buffers(Place.sent, sent.count, cut, false) + Self.buffers(Place.received, room, cutRoom, true)
        #expect(bench.rings[0].offer(buffers) != nil)
        bench.transport.notify(queue: 0)
        guard let used = wait() else { return Answer(nil) }
        let all = bench.memory.read(at: GuestAddress(Place.received), count: room) ?? []
        return Answer(all.last, Array(all.dropLast()), written: used)
    }

    func read(_ sector: UInt64, _ count: Int) throws -> Answer { try ask(Self.header(0, sector), room: count + 1) }
    func write(_ sector: UInt64, _ bytes: [UInt8]) throws -> Answer { try ask(Self.header(1, sector) + bytes, room: 1) }

    private static func buffers(_ start: UInt64, _ count: Int, _ cut: [Int], _ isWritable: Bool) -> [(address: UInt64, count: Int, isWritable: Bool)] {
        var (result, done): ([(address: UInt64, count: Int, isWritable: Bool)], Int) = ([], 0)
        for piece in cut + [count - cut.reduce(0, +)] where piece > 0 {
            result.append((start + UInt64(done), piece, isWritable))
            done += piece
        }
        return result
    }

    /// The length of the next answer; nil when the device is broken.
    private func wait() -> Int? {
        while !bench.isBroken {
            if let used = bench.rings[0].takeUsed() { return used.written }
            usleep(100)
        }
        return nil
    }

    /// What the file takes on the host's disk, in bytes.
    func blocks() throws -> UInt64 { try OwnedDescriptor(opening: path, flags: O_RDONLY).attributes().blocks * 512 }
}
