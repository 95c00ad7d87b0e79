internal import GuestRAM
internal import Glibc
internal import LinuxSystem
internal import Virtio

/// Serves a disk's requests from one file of the host. Requests may run on several threads at once: a driver orders its own.
final class BlockServer: ChainServer {
    let geometry: BlockGeometry
    let name = "virtio-blk"
    let log: @Sendable (String) -> Void
    private let file: OwnedDescriptor
    private let identifier: [UInt8]

    init(file: consuming OwnedDescriptor, _ geometry: BlockGeometry, identifier: [UInt8], log: @escaping @Sendable (String) -> Void) {
        (self.geometry, self.identifier, self.log) = (geometry, identifier, log)
        self.file = file
    }

    func prepareThread() throws(SystemError) {}

    func serve(_ chain: DescriptorChain, announce: () -> Void) -> ChainOutcome {
        let room = chain.writable.byteCount
        guard room > 0 else { return .broken }
        // Bytes of data that are in the chain; behind them all, and only then, the status is the next.
        var written = 0
        var status = BlockStatus.done
        do throws(BlockStatus) {
            let request = try BlockRequest(chain, on: geometry)
            if case .flush = request { announce() }
            do throws(SystemError) { try perform(request, chain, &written) } catch { throw error.errno == .notSupported ? .unsupported : .failed }
        } catch { status = error }
        chain.writable.write([status.rawValue], at: room - 1)
        return .used(written == room - 1 ? room : written)
    }

    private func perform(_ request: BlockRequest, _ chain: DescriptorChain, _ written: inout Int) throws(SystemError) {
        switch request {
        case .read(let range): try read(range, into: chain.writable, &written)
        case .write(let range): try write(range, from: chain.readable)
        case .flush: if !geometry.isReadOnly { try file.synchronize(dataOnly: true) }
        case .identify: written = chain.writable.write(identifier)
        case .discard(let ranges): for range in ranges { try free(range) }
        case .writeZeroes(let ranges):
            for zeroes in ranges {
                if zeroes.mayFree { try free(zeroes.range) } else {
                    try file.allocate(mode: FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset: zeroes.range.offset, length: zeroes.range.count)
                }
            }
        }
    }

    private func read(_ range: BlockRange, into buffers: [GuestSlice], _ written: inout Int) throws(SystemError) {
        while written < range.count {
            let count = try buffers.part(from: written, count: Int(range.count) - written).read(from: file.rawValue, offset: range.offset + Int64(written))
            // Somebody has cut the file off.
            if count == 0 { throw SystemError(.ioError, "preadv") }
            written += count
        }
    }

    private func write(_ range: BlockRange, from buffers: [GuestSlice]) throws(SystemError) {
        var done = 0
        while done < range.count {
            let rest = buffers.part(from: BlockRequest.headerSize + done, count: Int(range.count) - done)
            let count = try rest.write(to: file.rawValue, offset: range.offset + Int64(done))
            if count == 0 { throw SystemError(.ioError, "pwritev") }
            done += count
        }
    }

    /// Gives the room back: what is read there afterwards is zeros.
    private func free(_ range: BlockRange) throws(SystemError) {
        try file.allocate(mode: FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset: range.offset, length: range.count)
    }
}
