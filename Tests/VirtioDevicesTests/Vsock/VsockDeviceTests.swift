import GuestRAM
import LinuxSystem
import Testing
import Virtio
@testable import VirtioDevices

@Suite struct VsockDeviceTests {
    @Test func configurationSpace() throws {
        let guest = try VsockGuest()
        #expect(guest.device.configuration == [3, 0, 0, 0, 0, 0, 0, 0])
        #expect(guest.device.queueSizes.count == 3)
        #expect(guest.device.features == 0)
    }

    @Test func acceptsOnlyWhereSomebodyListens() throws {
        let guest = try VsockGuest()
        var accepted: [VsockConnection] = []
        guest.device.listen(port: 1024, once: true) { accepted.append($0) }
        let first = guest.connect(guestPort: 5000, hostPort: 1024)
        #expect(first.isConnected && !first.isReset)
        #expect(first.peerBuffer == UInt32(VsockConnection.receiveBuffer))
        #expect(accepted.count == 1 && accepted[0].guestPort == 5000 && accepted[0].hostPort == 1024)
        let second = guest.connect(guestPort: 5001, hostPort: 1024)
        #expect(second.isReset && !second.isConnected, "once means once")
        let third = guest.connect(guestPort: 5002, hostPort: 99)
        #expect(third.isReset)
        #expect(guest.device.connectionCount == 1)
    }

    @Test func moves10MegabytesToTheHostUnderExhaustedCredit() throws {
        let guest = try VsockGuest()
        var connection: VsockConnection?
        var got: [UInt8] = []
        var unconsumed = 0
        guest.device.listen(port: 1, once: true) {
            connection = $0
            $0.onData = {
                got += $0
                unconsumed += $0.count
            }
        }
        let stream = guest.connect(guestPort: 9, hostPort: 1)
        var noise = Noise(state: 1)
        let data = noise.bytes(10 << 20)
        var rest = data[...]
        var stalls = 0
        while !rest.isEmpty {
            rest = rest.dropFirst(stream.send(rest))
            guest.settle()
            if stream.credit == 0 {
                stalls += 1
                #expect(unconsumed == VsockConnection.receiveBuffer)
                connection?.consume(unconsumed)
                unconsumed = 0
                guest.settle()
                #expect(stream.credit == VsockConnection.receiveBuffer)
            }
        }
        #expect(got == data)
        #expect(stalls >= 39)
    }

    @Test func moves10MegabytesToTheGuestUnderExhaustedCredit() throws {
        let guest = try VsockGuest()
        var connection: VsockConnection?
        guest.device.listen(port: 1, once: true) { connection = $0 }
        let stream = guest.connect(guestPort: 9, hostPort: 1)
        stream.reads = false
        var noise = Noise(state: 2)
        let data = noise.bytes(10 << 20)
        let accepted = try #require(connection)
        accepted.sendLimit = 32 << 20
        #expect(accepted.send(data) == data.count)
        while stream.received.count < data.count {
            let before = stream.received.count
            guest.settle()
            #expect(stream.received.count - before == min(GuestStream.buffer, data.count - before), "exactly the guest's buffer fills")
            if stream.received.count == before { break }
            stream.read()
        }
        #expect(stream.received == data)
        #expect(accepted.unsentCount == 0)
    }

    @Test func sendTakesNoMoreThanItsLimit() throws {
        let guest = try VsockGuest()
        var connection: VsockConnection?
        guest.device.listen(port: 1, once: true) { connection = $0 }
        let stream = guest.connect(guestPort: 9, hostPort: 1)
        stream.reads = false
        let accepted = try #require(connection)
        accepted.sendLimit = 100_000
        var writable = 0
        accepted.onWritable = { writable += 1 }
        let data = [UInt8](repeating: 7, count: 300_000)
        #expect(accepted.send(data) == 100_000)
        #expect(accepted.unsentCount == 100_000 - GuestStream.buffer)
        guest.settle()
        #expect(accepted.sendSpace == 0)
        #expect(writable > 0)
        stream.read()
        guest.settle()
        #expect(stream.received.count == 100_000)
    }

    @Test func halfCloseByTheGuestLeavesTheOtherDirection() throws {
        let guest = try VsockGuest()
        var connection: VsockConnection?
        var told: [VsockShutdown] = []
        var closed = 0
        guest.device.listen(port: 1, once: true) {
            connection = $0
            $0.onPeerShutdown = { told.append($0) }
            $0.onClosed = { closed += 1 }
        }
        let stream = guest.connect(guestPort: 9, hostPort: 1)
        stream.shutDown(.send)
        guest.settle()
        #expect(told == [.send] && closed == 0)
        connection?.send([1, 2, 3])
        guest.settle()
        #expect(stream.received == [1, 2, 3])
        stream.shutDown(.receive)
        guest.settle()
        #expect(told == [.send, .both] && closed == 1)
        #expect(stream.isReset, "Linux's close waits for it")
        #expect(guest.device.connectionCount == 0)
    }

    @Test func halfCloseByTheHostComesAfterTheData() throws {
        let guest = try VsockGuest()
        var connection: VsockConnection?
        var got: [UInt8] = []
        guest.device.listen(port: 1, once: true) { accepted in
            connection = accepted
            accepted.onData = { got += $0; accepted.consume($0.count) }
        }
        let stream = guest.connect(guestPort: 9, hostPort: 1)
        connection?.send([UInt8](repeating: 1, count: 150_000))
        connection?.shutdownSend()
        #expect(connection?.send([9]) == 0)
        guest.settle()
        #expect(stream.received.count == 150_000 && stream.shutdown == .send)
        #expect(stream.operations.last == .shutdown)
        #expect(stream.send([4, 5]) == 2)
        guest.settle()
        #expect(got == [4, 5])
        connection?.shutdownReceive()
        guest.settle()
        #expect(stream.shutdown == .both)
        // On its way already: dropped, without credit.
        #expect(stream.send([6]) == 1)
        guest.settle()
        #expect(got == [4, 5] && !stream.isReset)
        guest.transmit(stream.header(.reset))
        guest.settle()
        #expect(guest.device.connectionCount == 0)
        #expect(!stream.isReset, "a reset is not answered")
    }

    @Test func resetByEitherEnd() throws {
        let guest = try VsockGuest()
        var connections: [VsockConnection] = []
        var closed = 0
        guest.device.listen(port: 1, once: false) {
            connections.append($0)
            $0.onClosed = { closed += 1 }
        }
        let first = guest.connect(guestPort: 1, hostPort: 1)
        guest.transmit(first.header(.reset))
        guest.settle()
        #expect(closed == 1 && !connections[0].isOpen && connections[0].send([1]) == 0)
        let second = guest.connect(guestPort: 2, hostPort: 1)
        second.reads = false  // or each of its credit updates for what came before would be answered by a reset
        connections[1].send([UInt8](repeating: 0, count: 1 << 20))
        connections[1].reset()
        connections[1].reset()
        guest.settle()
        #expect(closed == 2 && second.isReset)
        #expect(second.operations.filter { $0 == .reset }.count == 1)
        #expect(guest.device.connectionCount == 0)
        let third = guest.connect(guestPort: 2, hostPort: 1)
        #expect(third.isConnected, "the port can be used again")
    }

    @Test func driverResetClosesEverything() throws {
        let guest = try VsockGuest()
        var closed = 0
        guest.device.listen(port: 1, once: false) { $0.onClosed = { closed += 1 } }
        for port in 1...5 { _ = guest.connect(guestPort: UInt32(port), hostPort: 1) }
        #expect(guest.device.connectionCount == 5)
        guest.resetDevice()
        guest.runLoop()
        #expect(closed == 5 && guest.device.connectionCount == 0)
    }

    @Test func creditRequestIsAnswered() throws {
        let guest = try VsockGuest()
        guest.device.listen(port: 1, once: true) { _ in }
        let stream = guest.connect(guestPort: 1, hostPort: 1)
        guest.transmit(stream.header(.creditRequest))
        guest.settle()
        #expect(stream.operations == [.response, .creditUpdate])
    }

    @Test func overrunEndsTheConnection() throws {
        let guest = try VsockGuest()
        var closed = 0
        guest.device.listen(port: 1, once: true) { $0.onClosed = { closed += 1 } }
        let stream = guest.connect(guestPort: 1, hostPort: 1)
        let chunk = [UInt8](repeating: 0, count: 8000)
        for _ in 0..<32 { guest.transmit(stream.header(.data), chunk) }
        #expect(closed == 0)
        guest.transmit(stream.header(.data), chunk)  // 264,000 of 262,144
        guest.settle()
        #expect(closed == 1 && stream.isReset && !guest.isBroken)
    }

    @Test func threeHundredStreamsInTurn() throws {
        let guest = try VsockGuest(receiveBuffers: 16)
        var connections: [VsockConnection] = []
        guest.device.listen(port: 7, once: false) { accepted in
            connections.append(accepted)
            accepted.onData = { accepted.send($0); accepted.consume($0.count) }
        }
        let streams = (0..<300).map { guest.connect(guestPort: UInt32(1000 + $0), hostPort: 7) }
        #expect(streams.allSatisfy { $0.isConnected })
        #expect(guest.device.connectionCount == 300)
        // Fairness: with everybody sending and few buffers, after one round everybody has got something.
        for connection in connections { connection.send([UInt8](repeating: 1, count: 40_000)) }
        var rounds = 0
        while streams.contains(where: { $0.received.isEmpty }) && rounds < 1000 {
            rounds += 1
            guest.receive()
        }
        // The first two had the buffers to themselves while the others had not sent.
        let counts = streams.map(\.received.count).dropFirst(2)
        #expect((counts.max() ?? 0) <= 2 * 4096, "nobody got ahead")
        guest.settle()
        #expect(streams.allSatisfy { $0.received.count == 40_000 })
        for (index, stream) in streams.enumerated() {
            stream.received = []
            _ = stream.send([UInt8](repeating: UInt8(index & 255), count: 500)[...])
            if index % 20 == 0 { guest.settle() }
        }
        guest.settle()
        for (index, stream) in streams.enumerated() { #expect(stream.received == [UInt8](repeating: UInt8(index & 255), count: 500)) }
    }

    @Test func refusalsAreBoundedAndStopTheTransmitQueue() throws {
        let guest = try VsockGuest(receiveBuffers: 8)
        guest.holdsReceiveBuffers = true
        var sent = 0
        for port in 0..<1000 {
            if !guest.transmit(guest.header(.data, guestPort: UInt32(port), hostPort: 5)) { break }
            sent += 1
        }
        // 8 buffers, 256 in the queue, 60 slots of the driver: then nothing moves.
        #expect(sent < 400 && guest.untakenTransmits == 60)
        guest.holdsReceiveBuffers = false
        guest.receive()
        guest.settle()
        #expect(guest.untakenTransmits == 0)
        #expect(guest.strays.count == sent && guest.strays.allSatisfy { $0.operation == .reset })
    }

    struct Hostile: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let isReset: Bool
        let change: @Sendable (inout VsockHeader) -> Void
        init(_ name: String, isReset: Bool, _ change: @escaping @Sendable (inout VsockHeader) -> Void) {
            (testDescription, self.isReset, self.change) = (name, isReset, change)
        }
    }

    @Test(arguments: [
        Hostile("another's source", isReset: false) { $0.sourceContext = 4 },
        Hostile("source with high bits", isReset: false) { $0.sourceContext |= 1 << 40 },
        Hostile("another destination", isReset: true) { $0.destinationContext = 5 },
        Hostile("sequenced packets", isReset: true) { $0.type = 2 },
        Hostile("unknown type", isReset: true) { $0.type = 0xFFFF },
        Hostile("response to nothing", isReset: true) { $0.operation = 2 },
        Hostile("data for nobody", isReset: true) { $0.operation = 5 },
        Hostile("unknown operation", isReset: true) { $0.operation = 77 },
        Hostile("reset of nothing", isReset: false) { $0.operation = 3 },
    ])
    func strangePackets(_ hostile: Hostile) throws {
        let guest = try VsockGuest()
        guest.device.listen(port: 1, once: false) { _ in }
        var header = guest.header(.request, guestPort: 3, hostPort: 1)
        hostile.change(&header)
        guest.transmit(header)
        guest.settle()
        #expect(guest.device.connectionCount == 0)
        #expect(guest.strays.map(\.operation) == (hostile.isReset ? [.reset] : []))
        #expect(!guest.isBroken)
    }

    @Test(arguments: [(5, 100, 99), (5, 0, 1), (5, 4, Int(UInt32.max)), (1, 0, 0), (2, 0, 0), (77, 0, 0)])
    func strangePacketsOnAConnectionResetIt(operation: Int, payload: Int, length: Int) throws {
        let guest = try VsockGuest()
        guest.device.listen(port: 1, once: false) { _ in }
        let stream = guest.connect(guestPort: 3, hostPort: 1)
        var header = stream.header(.data)
        header.operation = UInt16(operation)
        guest.transmit(header, [UInt8](repeating: 0, count: payload), length: length)
        guest.settle()
        // Bytes beyond the stated length are no error: they are not looked at.
        #expect(stream.isReset == (length >= payload))
        #expect(guest.device.connectionCount == (stream.isReset ? 0 : 1))
    }

    @Test func shortHeadersAreDropped() throws {
        let guest = try VsockGuest()
        for count in [1, 8, 43] { guest.transmitRaw([UInt8](repeating: 0xFF, count: count), headerCount: 44) }
        guest.settle()
        #expect(guest.untakenTransmits == 0 && guest.strays.isEmpty && !guest.isBroken)
    }

    @Test func aReceiveBufferWithoutRoomForAHeaderBreaksTheDevice() throws {
        let guest = try VsockGuest(receiveBuffers: 0)
        guest.receiveRing.offer([(0x100000, 43, true)])
        guest.transmit(guest.header(.request, guestPort: 1, hostPort: 1))
        guest.settle()
        #expect(guest.isBroken)
    }

    @Test func headersSplitInAnyWayAreUnderstood() throws {
        let guest = try VsockGuest()
        var got: [UInt8] = []
        guest.device.listen(port: 1, once: false) { $0.onData = { got += $0 } }
        let stream = guest.connect(guestPort: 3, hostPort: 1)
        for split in [1, 10, 43, 45, 50] {
            var header = stream.header(.data)
            header.length = 8
            guest.transmitRaw(header.bytes + [1, 2, 3, 4, 5, 6, 7, 8], headerCount: split)
        }
        #expect(got == (0..<5).flatMap { _ in Array(1...8) as [UInt8] })
    }

    @Test func randomPacketsNeverTrap() throws {
        let guest = try VsockGuest()
        var accepted = 0
        var live: [VsockConnection] = []
        guest.device.listen(port: 1, once: false) { connection in
            accepted += 1
            live.append(connection)
            connection.onData = { connection.consume($0.count / 2); connection.send($0) }
            connection.onWritable = { if connection.unsentCount < 10 { connection.send([1]) } }
            connection.onPeerShutdown = { if $0 == .send { connection.shutdownSend() } }
        }
        var noise = Noise(state: 42)
        for round in 0..<100_000 {
            var header = guest.header(.request, guestPort: UInt32.random(in: 0..<8, using: &noise), hostPort: UInt32.random(in: 0..<3, using: &noise))
            header.operation = UInt16.random(in: 0...9, using: &noise)
            header.flags = UInt32.random(in: 0...5, using: &noise)
            header.bufferSize = Bool.random(using: &noise) ? 65536 : UInt32(truncatingIfNeeded: noise.next())
            header.forwarded = Bool.random(using: &noise) ? 0 : UInt32(truncatingIfNeeded: noise.next())
            if noise.next() % 16 == 0 { header.type = UInt16(truncatingIfNeeded: noise.next()) }
            if noise.next() % 16 == 0 { header.destinationContext = noise.next() }
            let payload = noise.bytes(Int(noise.next() % 64))
            let length = noise.next() % 8 == 0 ? Int(UInt32(truncatingIfNeeded: noise.next())) : payload.count
            if noise.next() % 32 == 0 {
                guest.transmitRaw(noise.bytes(1 + Int(noise.next() % 60)), headerCount: 1 + Int(noise.next() % 44))
            } else {
                guest.transmit(header, payload, length: length)
            }
            if round % 16 == 0 {
                guest.receive()
                guest.runLoop()
            }
            if round % 5000 == 4999 { live.first?.reset(); live = live.filter(\.isOpen) }
        }
        guest.settle()
        #expect(accepted > 100)
        #expect(!guest.isBroken)
        #expect(guest.device.connectionCount <= 8 * 3)
    }
}
