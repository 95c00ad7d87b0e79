import AgentProtocol
import LinuxSystem
import Testing

struct MessageTests {
    @Test(arguments: requests) func requestRoundTrip(request: Request) throws {
        let frame = request.frame(request: 77)
        #expect(frame.request == 77)
        #expect(try Request(frame) == request)
    }

    @Test(arguments: replies) func replyRoundTrip(reply: Reply) throws {
        let frame = reply.frame(request: .max)
        #expect(frame.request == .max)
        #expect(try Reply(frame) == reply)
    }

    @Test func kindsAreDistinct() {
        let requestKinds = Set(requests.map { $0.frame(request: 0).kind })
        let replyKinds = Set(replies.map { $0.frame(request: 0).kind })
        #expect(requestKinds.count == 12 && replyKinds.count == 9)
        #expect(requestKinds.isDisjoint(with: replyKinds))
    }

    /// Each prefix of a payload, and each payload with a byte too many, is refused.
    @Test func everyTruncationIsRefused() {
        for frame in requests.map({ $0.frame(request: 1) }) {
            for count in 0..<frame.payload.count { refuseRequest(frame, Array(frame.payload[..<count])) }
            refuseRequest(frame, frame.payload + [0])
        }
        for frame in replies.map({ $0.frame(request: 1) }) {
            for count in 0..<frame.payload.count { refuseReply(frame, Array(frame.payload[..<count])) }
            refuseReply(frame, frame.payload + [0])
        }
    }

    private func refuseRequest(_ frame: Frame, _ payload: [UInt8]) {
        #expect(throws: ProtocolError.self) { try Request(Frame(kind: frame.kind, request: 1, payload: payload)) }
    }

    private func refuseReply(_ frame: Frame, _ payload: [UInt8]) {
        #expect(throws: ProtocolError.self) { try Reply(Frame(kind: frame.kind, request: 1, payload: payload)) }
    }

    @Test func unknownKinds() {
        for kind: UInt16 in [0, 13, 0x7FFF, 0x8000, 0x800A, 0xFFFF] {
            #expect(throws: ProtocolError.unknownKind(kind)) { try Request(Frame(kind: kind, request: 1, payload: [])) }
            #expect(throws: ProtocolError.unknownKind(kind)) { try Reply(Frame(kind: kind, request: 1, payload: [])) }
        }
    }

    /// Values that no field may have: bools, exit values, phases, text that is not UTF-8, counts beyond the payload.
    @Test(arguments: [
        (0x8004, [0, 0, 0, 0, 2, 0, 0, 0, 0]),  // exited: a kind that is neither
        (0x8004, [0, 0, 0, 0, 0, 0, 1, 0, 0]),  // code 256
        (0x8004, [0, 0, 0, 0, 0, 255, 255, 255, 255]),  // code -1
        (0x8004, [0, 0, 0, 0, 1, 0, 0, 0, 0]),  // signal 0
        (0x8004, [0, 0, 0, 0, 1, 65, 0, 0, 0]),  // signal 65
        (0x8005, [5, 0, 0, 0, 0]),  // phase
        (0x8007, [2, 0, 0, 0, 0xC3, 0x28]),  // not UTF-8
        (0x8007, [255, 255, 255, 255, 65]),  // a string longer than its frame
        (0x8003, [255, 255, 255, 255]),  // 4294967295 processes
    ] as [(UInt16, [UInt8])]) func invalidReplies(kind: UInt16, payload: [UInt8]) {
        #expect(throws: ProtocolError.self) { try Reply(Frame(kind: kind, request: 0, payload: payload)) }
    }

    @Test func aCountWithoutItsFlag() {
        #expect(throws: ProtocolError.invalid("count")) { try Request(Frame(kind: 12, request: 1, payload: [0, 1, 0, 0, 0, 0, 0, 0, 0])) }
        #expect(throws: ProtocolError.invalid("after")) { try Request(Frame(kind: 12, request: 1, payload: [2, 0, 0, 0, 0, 0, 0, 0, 0])) }
    }

    @Test func anUnknownFailureCodeIsStillAFailure() throws {
        let reply = try Reply(Frame(kind: 0x8006, request: 1, payload: [0xFF, 0xFF, 2, 0, 0, 0, 0x68, 0x69]))
        #expect(reply == .failed(Failure(.other, "hi")))
    }

    @Test func randomPayloadsNeverTrap() {
        var generator = Sequence64(seed: 42)
        var understood = 0
        for _ in 0..<100_000 {
            let kind = UInt16.random(in: 0...13, using: &generator) | (Bool.random(using: &generator) ? 0x8000 : 0)
            let count = Int.random(in: 0...40, using: &generator)
            // Mostly small values, so that counts and flags are often plausible.
            let payload = (0..<count).map { _ in UInt8.random(in: 0...(Bool.random(using: &generator) ? 255 : 2), using: &generator) }
            let frame = Frame(kind: kind, request: 0, payload: payload)
            if let request = try? Request(frame) {
                understood += 1
                #expect((try? Request(request.frame(request: 0))) == request)
            }
            if let reply = try? Reply(frame) {
                understood += 1
                #expect((try? Reply(reply.frame(request: 0))) == reply)
            }
        }
        #expect(understood > 100)
    }
}
