internal import GuestRAM
internal import LinuxSystem
internal import Synchronization
internal import Virtio

/// What answers a device's requests, on any thread of its pool.
protocol ChainServer: Sendable {
    /// Of its threads, and in log lines.
    var name: String { get }
    var log: @Sendable (String) -> Void { get }
    /// Called on each thread before it is bound to its system calls.
    func prepareThread() throws(SystemError)
    /// Serves a request and writes its answer into the chain. Before it begins what may take long it calls `announce`, which tells the driver of the answers so far.
    func serve(_ chain: DescriptorChain, announce: () -> Void) -> ChainOutcome
}

/// What became of a chain.
enum ChainOutcome: Equatable {
    /// It goes back to the driver, with so many bytes written.
    case used(Int)
    /// There is no room for the answer that it needs.
    case broken
}

/// A device's threads: they take requests off the queues, have them served, and give them back.
///
/// They are few, and started before the guest runs, so that each can be bound to what its server needs. While one waits for a
/// slow disk, another goes on.
final class WorkerPool: Sendable {
    /// The queues of an activated device.
    private struct Active: Sendable {
        // Touched only while the mutex is held.
        let queues: [Virtqueue?]
        let interrupt: InterruptLine
        let needsReset: @Sendable () -> Void
        /// Taken off the rings and not yet being served. Emptying the rings arms their notifications, so that a request
        /// which comes while others are being served wakes another thread.
        var pending: [(queue: Int, chain: DescriptorChain)] = []
        var next = 0
        /// The driver has broken its rings, and has been told: nothing more is taken off them.
        var isBroken = false
        var hasPending: Bool { next < pending.count }
    }

    private struct State {
        var active: Active?
        var running = 0
        var sleeping = 0
        var busy = 0
        /// Replies given back since the driver was last interrupted.
        var unannounced = 0
        var isStopping = false
        var isDraining = false
    }

    /// Replies are announced at the latest after so many, for the guest to go on with them meanwhile.
    private static let announcementLimit = 8

    private let state = Mutex(State())
    private let server: any ChainServer
    private let work: WaitingEvent
    private let done: WaitingEvent

    init(_ server: any ChainServer) throws(SystemError) {
        self.server = server
        work = try WaitingEvent()
        done = try WaitingEvent()
    }

    /// What wakes a thread: for the driver's notifications, too.
    var notification: Int32 { work.rawValue }

    /// Starts threads. Each calls `prepare` once, which may bind it (seccomp), and serves until `stop`.
    func start(count: Int, prepare: @escaping @Sendable () -> Void) throws(SystemError) {
        for index in 0..<count {
            state.withLock { $0.running += 1 }
            do throws(SystemError) {
                try startThread(name: "\(server.name)/\(index)") { [self] in
                    do throws(SystemError) {
                        // Before `prepare`, which may take away the right to do it.
                        try server.prepareThread()
                        prepare()
                        serve()
                    } catch {
                        server.log("\(server.name): \(error)")
                        state.withLock { $0.running -= 1 }
                        breakDevice()
                    }
                }
            } catch {
                state.withLock { $0.running -= 1 }
                throw error
            }
        }
    }

    /// The threads end when they have finished what they are doing.
    func stop() {
        state.withLock { $0.isStopping = true }
        work.signal()
    }

    /// Takes the driver's queues. Threads that nobody has started before are started; if none can be, the driver is told that the device needs a reset.
    func activate(_ context: ActivationContext, threads: Int) {
        do throws(SystemError) {
            if state.withLock({ $0.running == 0 }) { try start(count: threads) {} }
        } catch {
            server.log("\(server.name): \(error)")
            return context.needsReset()
        }
        let active = Active(queues: context.queues, interrupt: context.interrupt, needsReset: context.needsReset)
        state.withLock { state in
            state.active = active
            state.unannounced = 0
        }
        wake()
    }

    /// The driver has offered something.
    func wake() {
        // A thread that is not asleep looks at the rings before it sleeps.
        if state.withLock({ $0.sleeping > 0 }) { work.signal() }
    }

    /// Lets go of the queues: returns when no thread touches guest memory any more.
    func deactivate() {
        while true {
            let isIdle = state.withLock { state in
                state.active = nil
                state.isDraining = state.busy > 0
                return state.busy == 0
            }
            if isIdle { return }
            done.wait()
        }
    }

    private func breakDevice() {
        let needsReset = state.withLock { state in
            defer {
                state.active?.pending = []
                state.active?.isBroken = true
            }
            return state.active?.needsReset
        }
        needsReset?()
    }

    // MARK: Threads

    private enum Step {
        case request(queue: Int, DescriptorChain)
        case sleep
        case end
    }

    private func serve() {
        var slept = false
        while true {
            let (step, wakesOther) = state.withLock { state in
                if slept { state.sleeping -= 1 }
                return Self.next(&state)
            }
            slept = false
            if wakesOther { work.signal() }
            switch step {
            case .sleep:
                work.wait()
                slept = true
            case .end:
                // Each that ends wakes the next.
                work.signal()
                return
            case .request(let queue, let chain): serve(queue, chain)
            }
        }
    }

    /// What a thread does next; called with the lock held. Also: whether there is work for another thread.
    private static func next(_ state: inout State) -> (Step, Bool) {
        if state.isStopping {
            state.running -= 1
            return (.end, false)
        }
        guard var active = state.active else {
            state.sleeping += 1
            return (.sleep, false)
        }
        state.active = nil
        defer { state.active = active }
        do throws(VirtqueueError) {
            if !active.hasPending && !active.isBroken { try refill(&active) }
        } catch {
            active.isBroken = true
            active.needsReset()
        }
        guard active.hasPending else {
            announce(&state, active)
            state.sleeping += 1
            return (.sleep, false)
        }
        let (queue, chain) = active.pending[active.next]
        active.next += 1
        state.busy += 1
        return (.request(queue: queue, chain), active.hasPending && state.sleeping > 0)
    }

    private static func refill(_ active: inout Active) throws(VirtqueueError) {
        active.pending.removeAll(keepingCapacity: true)
        active.next = 0
        for (index, queue) in active.queues.enumerated() {
            guard let queue else { continue }
            // No more than the ring holds: a driver that goes on offering is served in the next round.
            var left = Int(queue.size)
            while left > 0, let chain = try queue.pop() {
                active.pending.append((index, chain))
                left -= 1
            }
        }
    }

    private static func announce(_ state: inout State, _ active: Active) {
        if state.unannounced == 0 { return }
        state.unannounced = 0
        var isWanted = false
        for queue in active.queues where queue?.needsInterrupt() == true { isWanted = true }
        if isWanted { active.interrupt.raiseUsedBuffers() }
    }

    private func serve(_ queue: Int, _ chain: DescriptorChain) {
        let outcome = server.serve(chain) {
            state.withLock { state in
                if let active = state.active { Self.announce(&state, active) }
            }
        }
        let (isDrained, needsReset) = state.withLock { state -> (Bool, (@Sendable () -> Void)?) in
            state.busy -= 1
            let isDrained = state.isDraining && state.busy == 0
            guard let active = state.active else { return (isDrained, nil) }
            switch outcome {
            case .broken:
                state.active?.isBroken = true
                return (isDrained, active.needsReset)
            case .used(let written):
                active.queues[queue]?.push(chain.head, written: written)
                state.unannounced += 1
                if state.unannounced >= WorkerPool.announcementLimit { Self.announce(&state, active) }
                return (isDrained, nil)
            }
        }
        needsReset?()
        if isDrained { done.signal() }
    }
}
