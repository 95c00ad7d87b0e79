import Glibc
import LinuxSystem
import Testing
import Virtio
@testable import VirtioDevices

/// A relay between a descriptor and a stream of a fake guest.
private final class Bench {
    let guest: VsockGuest
    let relay: StreamRelay
    let stream: GuestStream
    let finished = Counter()

    final class Counter { var count = 0 }

    init(_ descriptor: consuming OwnedDescriptor, _ direction: StreamRelay.Direction, processDescriptors: String = "/proc/self/fd", reads: Bool = true) throws {
        try ignoreBrokenPipeSignal()
        guest = try VsockGuest()
        let directory = try OwnedDescriptor(opening: processDescriptors, flags: O_RDONLY | O_DIRECTORY)
        let finished = finished
        let relay = try StreamRelay(device: guest.device, descriptor: descriptor, direction: direction, processDescriptors: directory) { finished.count += 1 }
        self.relay = relay
        guest.device.listen(port: 70, once: true) { relay.attach(to: $0) }
        stream = guest.connect(guestPort: 600, hostPort: 70, reads: reads)
        guest.settle()
    }

    /// Sends until the guest is stopped by missing credit; returns how much went.
    func fill(_ data: ArraySlice<UInt8>) -> Int {
        var done = 0
        while true {
            let count = stream.send(data.dropFirst(done))
            done += count
            guest.settle()
            if count == 0 { return done }
        }
    }
}

/// What can be read now; nil at the end of the file.
private func readNow(_ descriptor: borrowing OwnedDescriptor, limit: Int = 1 << 20) -> [UInt8]? {
    try? descriptor.setNonBlocking(true)
    var result: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while result.count < limit {
        guard let count = try? descriptor.read(into: &buffer) else { return result }
        if count == 0 { return result.isEmpty ? nil : result }
        result += buffer[..<count]
    }
    return result
}

private func flags(_ descriptor: borrowing OwnedDescriptor) -> Int32 { fcntl(descriptor.rawValue, F_GETFL) }

/// A directory without entries 0, 1, 2 …: opening a second time fails, as when it is not permitted.
private let nowhere = "/proc/self/ns"

@Suite struct StreamRelayTests {
    @Test(arguments: ["/proc/self/fd", nowhere])
    func aSlowReaderStopsTheGuest(processDescriptors: String) throws {
        let pipe = try Pipe()
        let kept = try pipe.writeEnd.duplicate()
        let bench = try Bench(try pipe.writeEnd.duplicate(), .toHost, processDescriptors: processDescriptors)
        var noise = Noise(state: 3)
        let data = noise.bytes(2 << 20)
        let first = bench.fill(data[...])
        // A pipe's capacity and one window: no more is in flight.
        #expect(first >= VsockConnection.receiveBuffer && first <= VsockConnection.receiveBuffer + (64 << 10))
        #expect(!bench.relay.isDrained && bench.finished.count == 0)
        #expect(flags(kept) & O_NONBLOCK == 0, "the engine's open file is as it was")
        var sent = first
        var got: [UInt8] = []
        while got.count < data.count, let piece = readNow(pipe.readEnd) {
            got += piece
            bench.guest.settle()
            sent += bench.fill(data[sent...])
        }
        #expect(got == data)
        #expect(bench.relay.isDrained)
        bench.stream.shutDown(.both)
        bench.guest.settle()
        #expect(bench.finished.count == 1 && bench.relay.isFinished && bench.stream.isReset)
    }

    @Test func everythingIsWrittenBeforeTheEnd() throws {
        var pipe = try Pipe()
        let reader = try pipe.readEnd.duplicate()
        let writer = try pipe.writeEnd.duplicate()
        pipe = try Pipe()
        let bench = try Bench(writer, .toHost)
        let data = [UInt8](repeating: 5, count: 200_000)
        #expect(bench.fill(data[...]) == data.count)
        bench.stream.shutDown(.both)
        bench.guest.settle()
        #expect(bench.stream.isReset, "the guest need not wait")
        #expect(!bench.relay.isDrained && bench.finished.count == 0)
        var got: [UInt8] = []
        while let piece = readNow(reader), got.count < data.count {
            got += piece
            bench.guest.settle()
        }
        #expect(got == data && bench.relay.isDrained && bench.finished.count == 1)
        #expect(readNow(reader) == nil, "the descriptor is closed")
    }

    @Test(arguments: ["/proc/self/fd", nowhere])
    func aReaderThatLeavesIsToldWhileIdle(processDescriptors: String) throws {
        let (reader, writer) = try { () throws -> (SharedDescriptor, SharedDescriptor) in
            let pipe = try Pipe()
            return (SharedDescriptor(try pipe.readEnd.duplicate()), SharedDescriptor(try pipe.writeEnd.duplicate()))
        }()
        let bench = try Bench(try writer.duplicate(), .toHost, processDescriptors: processDescriptors)
        #expect(bench.stream.shutdown.isEmpty)
        try shut(reader)
        bench.guest.settle()
        #expect(bench.stream.shutdown == .receive && bench.finished.count == 1)
        // A guest that goes on gets nothing but its window.
        #expect(bench.fill([UInt8](repeating: 0, count: 1 << 20)[...]) == VsockConnection.receiveBuffer)
        #expect(bench.relay.isDrained)
        bench.stream.shutDown(.both)
        bench.guest.settle()
        #expect(bench.stream.isReset && bench.guest.device.connectionCount == 0)
    }

    /// Replaces the descriptor by /dev/null, which closes the pipe's end that it was.
    private func shut(_ descriptor: SharedDescriptor) throws {
        let null = try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR)
        #expect(dup3(null.rawValue, descriptor.rawValue, O_CLOEXEC) >= 0)
    }

    @Test func aReaderThatIsGoneAlreadyIsNoError() throws {
        let pipe = try Pipe()
        let writer = try pipe.writeEnd.duplicate()
        let null = try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR)
        #expect(dup3(null.rawValue, pipe.readEnd.rawValue, O_CLOEXEC) >= 0)
        let bench = try Bench(writer, .toHost)
        #expect(bench.stream.isConnected && !bench.stream.isReset && bench.stream.shutdown == .receive)
        #expect(bench.finished.count == 1)
    }

    @Test(arguments: ["/proc/self/fd", nowhere])
    func inputIsReadOnlyForTheGuestsCredit(processDescriptors: String) throws {
        let pipe = try Pipe()
        let bench = try Bench(try pipe.readEnd.duplicate(), .toGuest, processDescriptors: processDescriptors)
        bench.stream.reads = false
        let writer = try pipe.writeEnd.duplicate()
        try writer.setNonBlocking(true)
        var noise = Noise(state: 4)
        let data = noise.bytes(1 << 20)
        var sent = 0
        func push() {
            while sent < data.count, let count = try? writer.write(data[sent...]) {
                sent += count
                bench.guest.settle()
            }
        }
        push()
        #expect(bench.stream.received.count == GuestStream.buffer)
        #expect(sent <= GuestStream.buffer + (64 << 10), "credit and the pipe, nothing in between")
        #expect(flags(pipe.readEnd) & O_NONBLOCK == 0)
        while sent < data.count {
            bench.stream.read()
            bench.guest.settle()
            push()
        }
        bench.stream.reads = true
        bench.stream.read()
        bench.guest.settle()
        #expect(bench.stream.received == data && bench.stream.shutdown.isEmpty)
    }

    @Test func theEndOfInputComesAfterTheData() throws {
        let bench: Bench
        do {
            let pipe = try Pipe()
            try pipe.writeEnd.writeAll([UInt8](repeating: 8, count: 1000))
            bench = try Bench(try pipe.readEnd.duplicate(), .toGuest)
        }
        bench.guest.settle()
        #expect(bench.stream.received.count == 1000 && bench.stream.shutdown == .send && !bench.stream.isReset)
        #expect(bench.finished.count == 1)
    }

    /// containerd opens its named pipes for reading and writing, so that they never end.
    @Test func aPipeOpenedBothWaysHasNoEnd() throws {
        let path = "/tmp/nacelle-relay-\(getpid()).fifo"
        #expect(unsafe mkfifo(path, 0o600) == 0)
        defer { unsafe unlink(path) }
        let bench = try Bench(try OwnedDescriptor(opening: path, flags: O_RDWR), .toGuest)
        for byte in 1...3 as ClosedRange<UInt8> {
            let writer = try OwnedDescriptor(opening: path, flags: O_WRONLY | O_NONBLOCK)
            try writer.writeAll([byte])
            try writer.close()
            bench.guest.settle()
        }
        #expect(bench.stream.received == [1, 2, 3] && bench.stream.shutdown.isEmpty)
    }

    @Test func aGuestThatWantsNoMoreInput() throws {
        let pipe = try Pipe()
        let bench = try Bench(try pipe.readEnd.duplicate(), .toGuest)
        bench.stream.shutDown(.receive)
        bench.guest.settle()
        #expect(bench.finished.count == 1)
        try pipe.writeEnd.writeAll([1])
        bench.guest.settle()
        #expect(bench.stream.received.isEmpty)
    }

    @Test func regularFiles() throws {
        let size = 3_000_000
        var noise = Noise(state: 6)
        let data = noise.bytes(size)
        let input = OwnedDescriptor(owning: unsafe memfd_create("in", 1))
        try input.writeAll(data)
        #expect(lseek(input.rawValue, 0, SEEK_SET) == 0)
        let reading = try Bench(input, .toGuest)
        reading.guest.settle()
        #expect(reading.stream.received == data && reading.stream.shutdown == .send && reading.finished.count == 1)

        let output = OwnedDescriptor(owning: unsafe memfd_create("out", 1))
        let kept = try output.duplicate()
        let writing = try Bench(output, .toHost)
        #expect(writing.fill(data[...]) == size)
        writing.stream.shutDown(.send)
        writing.guest.settle()
        #expect(writing.finished.count == 1 && writing.relay.isDrained)
        #expect(try kept.bytes(at: 0, count: size + 1) == data)
    }

    @Test func nullDevice() throws {
        let input = try Bench(try OwnedDescriptor(opening: "/dev/null", flags: O_RDONLY), .toGuest)
        #expect(input.stream.isConnected && input.stream.shutdown == .send && input.finished.count == 1)
        let output = try Bench(try OwnedDescriptor(opening: "/dev/null", flags: O_WRONLY), .toHost)
        #expect(output.fill([UInt8](repeating: 0, count: 5 << 20)[...]) == 5 << 20)
        #expect(output.relay.isDrained)
    }

    @Test func endlessInputLeavesTheLoopToOthers() throws {
        let bench = try Bench(try OwnedDescriptor(opening: "/dev/zero", flags: O_RDONLY), .toGuest, reads: false)
        for _ in 0..<200 {
            bench.stream.read()
            bench.guest.settle()
        }
        #expect(bench.stream.received.count > 1 << 20 && bench.stream.received.allSatisfy { $0 == 0 })
        bench.relay.cancel()
        bench.guest.settle()
        #expect(bench.stream.isReset && bench.finished.count == 1)
    }

    @Test func socketsBothWays() throws {
        let (mine, theirs) = try OwnedDescriptor.socketPair().split()
        let bench = try Bench(try theirs.duplicate(), .both)
        try theirs.with { descriptor throws in
            let null = try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR)
            #expect(dup3(null.rawValue, descriptor.rawValue, O_CLOEXEC) >= 0)
        }
        let data = [UInt8](repeating: 3, count: 500_000)
        var sent = bench.fill(data[...])
        #expect(sent >= VsockConnection.receiveBuffer)
        var got: [UInt8] = []
        let end = try mine.duplicate()
        #expect(flags(end) & O_NONBLOCK == 0)
        while got.count < data.count, let piece = readNow(end) {
            got += piece
            bench.guest.settle()
            sent += bench.fill(data[sent...])
        }
        #expect(got == data)
        #expect(try end.write([1, 2, 3]) == 3)
        bench.guest.settle()
        #expect(bench.stream.received == [1, 2, 3])
        try end.shutdown(2)
        bench.guest.settle()
        #expect(bench.stream.shutdown == .both && bench.finished.count == 1)
    }

    private func terminal() throws -> (master: SharedDescriptor, slave: SharedDescriptor) {
        let master = OwnedDescriptor(owning: posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC))
        #expect(grantpt(master.rawValue) == 0 && unlockpt(master.rawValue) == 0)
        var name = [CChar](repeating: 0, count: 64)
        #expect(unsafe ptsname_r(master.rawValue, &name, 64) == 0)
        let path = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let slave = try OwnedDescriptor(opening: path, flags: O_RDWR | O_NOCTTY)
        try TerminalDevice.makeRaw(slave.rawValue)
        return (SharedDescriptor(master), SharedDescriptor(slave))
    }

    @Test(arguments: ["/proc/self/fd", nowhere])
    func terminalsBothWays(processDescriptors: String) throws {
        let bench: Bench
        do {
            let (master, slave) = try terminal()
            bench = try Bench(try slave.duplicate(), .both, processDescriptors: processDescriptors)
            try master.with { end throws in try end.writeAll([65, 3, 4, 0, 255]) }
            // The line discipline hands over in a kernel thread.
            for _ in 0..<1000 where bench.stream.received.count < 5 {
                usleep(1000)
                bench.guest.settle()
            }
            #expect(bench.stream.received == [65, 3, 4, 0, 255])
            #expect(bench.stream.send([10, 13, 200]) == 3)
            bench.guest.settle()
            var got: [UInt8] = []
            for _ in 0..<1000 where got.count < 3 {
                usleep(1000)
                master.with { got += readNow($0) ?? [] }
            }
            #expect(got == [10, 13, 200])
            #expect(bench.finished.count == 0)
        }
        // The master is closed: a hang-up.
        bench.guest.settle()
        #expect(bench.finished.count == 1 && bench.stream.shutdown == .both)
    }

    @Test func aTerminalsMasterIsNotOpenedAgain() throws {
        let (master, slave) = try terminal()
        let bench = try Bench(try master.duplicate(), .both)
        try slave.with { end throws in try end.writeAll([1, 2]) }
        for _ in 0..<1000 where bench.stream.received.count < 2 {
            usleep(1000)
            bench.guest.settle()
        }
        #expect(bench.stream.received == [1, 2])
        bench.stream.shutDown(.both)
        bench.guest.settle()
        #expect(bench.finished.count == 1 && bench.relay.isDrained && bench.stream.isReset)
    }

    @Test func aGuestsResetEndsTheRelay() throws {
        let pipe = try Pipe()
        let bench = try Bench(try pipe.readEnd.duplicate(), .toGuest)
        bench.guest.transmit(bench.stream.header(.reset))
        bench.guest.settle()
        #expect(bench.finished.count == 1 && bench.guest.device.connectionCount == 0)
    }
}
