import AgentProtocol
import LinuxSystem

/// Frames and messages of the control protocol, as runtime, VMM, agent and nacelle-init take them off a stream.
struct MessageTarget: FuzzTarget {
    static let name = "messages"

    init() {}

    mutating func run(_ random: inout Random) -> Verdict {
        let sent = (0...random.below(5)).map { _ in Self.frame(&random) }
        var stream = sent.flatMap { $0.encoded() }
        let isDamaged = !random.once(in: 3)
        if isDamaged { for _ in 0...random.below(4) { Self.damage(&stream, &random) } }
        let whole = Self.frames([stream])
        let pieces = Self.frames(Self.cut(stream, &random))
        guard whole.frames == pieces.frames, whole.error == pieces.error else { return .failed("the pieces that a stream came in change what is read") }
        if !isDamaged, whole.frames != sent || whole.error != nil { return .failed("frames are not read as they were sent: \(whole)") }
        var accepted = !whole.frames.isEmpty
        for frame in whole.frames {
            if let problem = Self.check(frame, wasSent: !isDamaged, &accepted) { return .failed(problem) }
        }
        return accepted ? .accepted : .refused
    }

    private static func frames(_ pieces: [[UInt8]]) -> (frames: [Frame], error: ProtocolError?) {
        var decoder = FrameDecoder()
        var frames: [Frame] = []
        do throws(ProtocolError) {
            for piece in pieces {
                decoder.append(piece)
                while let frame = try decoder.next() { frames.append(frame) }
            }
            return (frames, nil)
        } catch { return (frames, error) }
    }

    /// Reads a frame as each kind of message: of one family at most, and what is understood is written and read again equal.
    private static func check(_ frame: Frame, wasSent: Bool, _ accepted: inout Bool) -> String? {
        var families = 0
        do throws(ProtocolError) {
            let message = try Request(frame)
            families += 1
            if try Request(message.frame(request: frame.request)) != message { return "a request is not read back as it was written" }
        } catch { if "\(error)".isEmpty { return "an error that says nothing" } }
        do throws(ProtocolError) {
            let message = try Reply(frame)
            families += 1
            if try Reply(message.frame(request: frame.request)) != message { return "a reply is not read back as it was written" }
        } catch { if "\(error)".isEmpty { return "an error that says nothing" } }
        do throws(ProtocolError) {
            let message = try InitMessage(frame)
            families += 1
            if try InitMessage(message.frame()) != message { return "a message of nacelle-init is not read back as it was written" }
        } catch { if "\(error)".isEmpty { return "an error that says nothing" } }
        if families > 1 { return "kind \(frame.kind) belongs to \(families) families" }
        if wasSent && families == 0 { return "a message of kind \(frame.kind) is not understood" }
        if families == 0 { accepted = false }
        return nil
    }

    // MARK: What is sent

    private static func text(_ random: inout Random) -> String {
        switch random.below(4) {
        case 0: ""
        case 1: String(decoding: random.bytes(random.below(40)), as: UTF8.self)
        default: random.pick(["a", "/bin/sh", "exec: \"x\": not found", "é\n"])
        }
    }

    private static func bytes(_ random: inout Random) -> [UInt8] { random.bytes(random.once(in: 300) ? random.below(100_000) : random.below(60)) }

    private static func streams(_ random: inout Random) -> ProcessStreams {
        ProcessStreams(
            terminal: random.once(in: 2), size: TerminalSize(columns: random.integer(), rows: random.integer()), input: random.integer(), output: random.integer(), error: random.integer())
    }

    private static func frame(_ random: inout Random) -> Frame {
        switch random.below(3) {
        case 0: request(&random).frame(request: random.integer())
        case 1: reply(&random).frame(request: random.integer())
        default: initMessage(&random).frame()
        }
    }

    private static func request(_ random: inout Random) -> Request {
        let process = ProcessIdentifier(rawValue: random.integer())
        return switch random.below(12) {
        case 0: .create(plan: bytes(&random), streams: streams(&random))
        case 1: .start
        case 2: .exec(process: process, plan: bytes(&random), group: text(&random), streams: streams(&random))
        case 3: .signal(process: process, number: random.integer(), everyProcess: random.once(in: 2))
        case 4: .resize(process: process, size: TerminalSize(columns: random.integer(), rows: random.integer()))
        case 5: .listProcesses
        case 6: .wait(process: process)
        case 7: .state
        case 8: .update(resources: bytes(&random))
        case 9: .statistics
        case 10: .outOfMemory(after: random.once(in: 2) ? random.integer() : nil)
        default: .shutDown
        }
    }

    private static func reply(_ random: inout Random) -> Reply {
        switch random.below(9) {
        case 0: .done
        case 1: .created(pid: random.integer())
        case 2:
            .processes((0..<random.below(5)).map { _ in
                ProcessEntry(pid: random.integer(), parent: random.integer(), user: random.integer(), command: text(&random))
            })
        case 3: .exited(process: ProcessIdentifier(rawValue: random.integer()), status: random.once(in: 2) ? .exited(random.integer()) : .signaled(Int32(1 + random.below(64))))
        case 4: .state(phase: random.pick([.booting, .ready, .created, .running, .stopped]), pid: random.integer())
        case 5: .failed(failure(&random))
        case 6: .statistics(bytes(&random))
        case 7: .outOfMemory(kills: random.integer())
        default: .ready(release: text(&random))
        }
    }

    private static func failure(_ random: inout Random) -> Failure {
        Failure(random.pick([.other, .executableNotFound, .permissionDenied, .invalidState, .noSuchProcess, .unsupported]), text(&random))
    }

    private static func initMessage(_ random: inout Random) -> InitMessage {
        switch random.below(13) {
        case 0: .plan(plan(&random))
        case 1: .proceed(createState: bytes(&random), startState: bytes(&random))
        case 2: .start
        case 3: .warning(text(&random))
        case 4: .terminal
        case 5: .beforePivot
        case 6: .prepared
        case 7: .unmapped
        case 8: .moved(pid: random.integer())
        case 9: .seccompListener(random.integer())
        case 10: .inNamespaces
        case 11: .mounts((0..<random.below(4)).map { _ in random.integer() })
        default: .failed(failure(&random))
        }
    }

    private static func plan(_ random: inout Random) -> InitPlan {
        var plan = InitPlan(role: random.once(in: 2) ? .container : .process, configuration: bytes(&random))
        plan.hasStandardStreams = random.once(in: 2)
        plan.preservedCount = random.integer()
        plan.joins = (0..<random.below(4)).map { _ in random.integer() }
        plan.unshares = random.integer()
        plan.inUserNamespace = random.once(in: 2)
        plan.controlGroups = (0..<random.below(4)).map { _ in InitPlan.ControlGroupPlace(hierarchy: text(&random), controllers: text(&random), path: text(&random)) }
        (plan.stopsBeforePivot, plan.startsByPipes) = (random.once(in: 2), random.once(in: 2))
        if random.once(in: 2) {
            plan.stage = InitPlan.Stage(
                joins: (0..<random.below(4)).map { _ in random.integer() }, makesUserNamespace: random.once(in: 2), cloned: random.integer())
        }
        plan.stopsInNamespaces = random.once(in: 2)
        return plan
    }

    // MARK: What goes wrong with it

    private static func damage(_ stream: inout [UInt8], _ random: inout Random) {
        guard !stream.isEmpty else { return }
        let place = random.below(stream.count)
        switch random.below(7) {
        case 0: stream[place] = UInt8(truncatingIfNeeded: random.next())
        case 1: stream[place] ^= 1 << UInt8(random.below(8))
        case 2: stream.removeSubrange(place...)
        case 3: stream.insert(contentsOf: random.bytes(random.below(20)), at: place)
        case 4: stream.removeSubrange(place..<min(stream.count, place + 1 + random.below(10)))
        // A length, wherever there happens to be one.
        case 5 where place + 4 <= stream.count:
            let length: UInt32 = random.integer()
            for byte in 0..<4 { stream[place + byte] = UInt8(truncatingIfNeeded: length >> UInt32(8 * byte)) }
        // The first frame's header.
        default: stream[min(stream.count - 1, random.below(12))] = random.pick([0, 1, 2, 0x40, 0x80, 0xFF])
        }
    }

    private static func cut(_ stream: [UInt8], _ random: inout Random) -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var rest = stream[...]
        while !rest.isEmpty {
            let count = 1 + random.below(random.once(in: 2) ? 5 : max(1, rest.count / 2))
            pieces.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        return pieces
    }
}
