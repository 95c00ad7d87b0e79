import Glibc
import LinuxSystem
import Testing

/// The event loop and what it watches. No test waits for a time: each waits for something that has happened.
@Suite struct EventTests {
    @Test func eventsAreCountedAndTaken() throws {
        let event = try EventDescriptor()
        #expect(event.drain() == 0)
        for _ in 0..<3 { event.signal() }
        #expect(event.drain() == 3 && event.drain() == 0)
        let waiting = try WaitingEvent()
        waiting.signal()
        waiting.signal()
        waiting.wait()
    }

    @Test func aSaturatedEventStaysSignalled() throws {
        let event = try EventDescriptor()
        var most = UInt64.max - 1
        #expect(unsafe write(event.descriptor.rawValue, &most, 8) == 8)
        event.signal()
        #expect(event.drain() == UInt64.max - 1)
    }

    @Test func handlersRunForWhatIsReady() throws {
        let loop = try EventLoop()
        let first = try EventDescriptor(), second = try EventDescriptor()
        var ran: [String] = []
        try loop.add(first.descriptor.rawValue, .readable) { ran.append("first \($0.contains(.readable))") }
        try loop.add(second.descriptor.rawValue, .readable) { ran.append("second \($0.contains(.readable))") }
        #expect(try loop.runOnce(timeout: 0) == 0)
        second.signal()
        // Level-triggered: as long as nobody takes it.
        #expect(try loop.runOnce() == 1 && loop.runOnce() == 1)
        #expect(ran == ["second true", "second true"])
        first.signal()
        #expect(try loop.runOnce() == 2)
        #expect(Set(ran.suffix(2)) == ["first true", "second true"])
        first.drain()
        second.drain()
        #expect(try loop.runOnce(timeout: 0) == 0)
    }

    @Test func anEdgeIsSeenOnce() throws {
        let loop = try EventLoop()
        let event = try EventDescriptor()
        var count = 0
        try loop.add(event.descriptor.rawValue, [.readable, .edgeTriggered]) { _ in count += 1 }
        event.signal()
        try loop.runOnce()
        #expect(try loop.runOnce(timeout: 0) == 0)
        event.signal()
        try loop.runOnce()
        #expect(count == 2)
    }

    @Test func whatIsRemovedIsSilent() throws {
        let loop = try EventLoop()
        let events = [SharedDescriptor(try EventDescriptor().descriptor.duplicate()), SharedDescriptor(try EventDescriptor().descriptor.duplicate())]
        var ran: [Int] = []
        // Both are ready at once; whichever comes first takes the other away, whose event is in hand already.
        for index in 0...1 {
            try loop.add(events[index].rawValue, .readable) { _ in
                ran.append(index)
                loop.remove(events[1 - index].rawValue)
            }
            #expect(events[index].writeSome([1, 0, 0, 0, 0, 0, 0, 0], 0..<8) == .bytes(8))
        }
        #expect(try loop.runOnce() == 1)
        #expect(ran.count == 1)
        loop.remove(events[0].rawValue)
        loop.remove(events[1].rawValue)
        loop.remove(-1)
        #expect(try loop.runOnce(timeout: 0) == 0)
        // A number that is used again is another descriptor.
        try loop.add(events[0].rawValue, .readable) { _ in ran.append(9) }
        try loop.runOnce()
        #expect(ran.last == 9)
    }

    @Test func interestCanChange() throws {
        let loop = try EventLoop()
        let pair = try OwnedDescriptor.socketPair()
        var seen: [Readiness] = []
        try loop.add(pair.first.rawValue, .readable) { seen.append($0) }
        try loop.modify(pair.first.rawValue, .writable)
        try loop.runOnce()
        #expect(seen == [.writable])
        try loop.modify(pair.first.rawValue, [.readable, .peerClosed])
        try pair.second.shutdown(Int32(SHUT_WR))
        try loop.runOnce()
        #expect(seen.last == [.readable, .peerClosed])
        // With no interest at all, hang-ups are still told.
        try loop.modify(pair.first.rawValue, [])
        try pair.first.shutdown(Int32(SHUT_RDWR))
        try loop.runOnce()
        #expect(seen.last == .hangup)
        #expect(throws: SystemError(.noSuchFile, "epoll_ctl")) { try loop.modify(12345, .readable) }
    }

    @Test func aSecondRegistrationDoesNotReplaceTheFirst() throws {
        let loop = try EventLoop()
        let event = try EventDescriptor()
        var ran = 0
        try loop.add(event.descriptor.rawValue, .readable) { _ in ran += 1 }
        #expect(throws: SystemError(.fileExists, "epoll_ctl")) { try loop.add(event.descriptor.rawValue, .readable) { _ in ran += 100 } }
        event.signal()
        try loop.runOnce()
        #expect(ran == 1)
    }

    @Test func filesThatAreAlwaysReadyAreRefused() throws {
        let loop = try EventLoop()
        let file = try OwnedDescriptor(opening: "/proc/self/exe", flags: O_RDONLY)
        #expect(throws: SystemError(.notPermitted, "epoll_ctl")) { try loop.add(file.rawValue, .readable) { _ in } }
        #expect(throws: SystemError(.badDescriptor, "epoll_ctl")) { try loop.add(-1, .readable) { _ in } }
    }

    @Test func aLoopRunsUntilItIsStopped() throws {
        let loop = try EventLoop()
        let event = try EventDescriptor()
        var rounds = 0
        try loop.add(event.descriptor.rawValue, .readable) { _ in
            rounds += 1
            if rounds == 5 { loop.stop() }
        }
        event.signal()
        try loop.run()
        #expect(rounds == 5)
    }

    /// More than one call to the kernel returns.
    @Test func manyEventsComeInTurns() throws {
        let loop = try EventLoop()
        var events: [SharedDescriptor] = []
        var ran: Set<Int> = []
        for index in 0..<200 {
            let event = try EventDescriptor()
            event.signal()
            events.append(SharedDescriptor(try event.descriptor.duplicate()))
            try loop.add(events[index].rawValue, .readable) { _ in
                ran.insert(index)
                loop.remove(events[index].rawValue)
            }
        }
        while try loop.runOnce(timeout: 0) > 0 {}
        #expect(ran.count == 200)
    }

    @Test func timersFire() throws {
        let loop = try EventLoop()
        let timer = try TimerDescriptor()
        var fired = 0
        try loop.add(timer.descriptor.rawValue, .readable) { _ in
            timer.drain()
            fired += 1
        }
        try timer.set(nanoseconds: 0)
        #expect(try loop.runOnce(timeout: 0) == 0)
        try timer.set(nanoseconds: 1)
        try loop.runOnce()
        try timer.set(nanoseconds: 1, interval: 1)
        for _ in 0..<3 { try loop.runOnce() }
        #expect(fired == 4)
        #expect(throws: SystemError(.invalidArgument, "timerfd_settime")) { try timer.set(nanoseconds: -1) }
        timer.drain()
    }

    @Test func signalsBecomeEvents() async {
        await #expect(processExitsWith: .success) {
            try blockSignals([SIGUSR1, SIGUSR2])
            let signals = try SignalDescriptor([SIGUSR1, SIGUSR2])
            #expect(signals.next() == nil)
            // To this thread, for others do not block them.
            #expect(pthread_kill(pthread_self(), SIGUSR2) == 0 && pthread_kill(pthread_self(), SIGUSR1) == 0)
            #expect(try waitReadable(signals.descriptor.rawValue, milliseconds: 0))
            #expect(Set([signals.next(), signals.next()]) == [SIGUSR1, SIGUSR2])
            #expect(signals.next() == nil)
        }
    }

    @Test func readinessWithoutALoop() throws {
        let pipe = try Pipe()
        #expect(try !waitReadable(pipe.readEnd.rawValue, milliseconds: 0))
        try pipe.writeEnd.writeAll([1])
        #expect(try waitReadable(pipe.readEnd.rawValue, milliseconds: 0) && waitReadable(pipe.readEnd.rawValue, milliseconds: .max))
    }

    @Test func bitsAreThoseOfTheKernel() {
        #expect(Readiness.readable.rawValue == 1 && Readiness.writable.rawValue == 4 && Readiness.error.rawValue == 8 && Readiness.hangup.rawValue == 16)
        #expect(Readiness.peerClosed.rawValue == 0x2000 && Readiness.edgeTriggered.rawValue == 0x8000_0000)
    }
}
