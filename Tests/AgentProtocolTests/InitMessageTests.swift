import AgentProtocol
import Testing

/// The handshake's messages as bytes.
struct InitMessageTests {
    @Test func comeBackAsTheyWere() throws {
        var plan = InitPlan(role: .container, configuration: [1, 2, 3])
        (plan.joins, plan.stopsInNamespaces, plan.startsByPipes) = ([7], true, true)
        let messages: [InitMessage] = [
            .plan(plan), .start, .warning("w"), .terminal, .inNamespaces, .mounts([]), .mounts([0, 7, .max]), .beforePivot, .seccompListener(9), .prepared,
            .failed(Failure(.other, "why")),
        ]
        for message in messages { #expect(try InitMessage(message.frame()) == message, "\(message)") }
    }

    @Test(arguments: [1, 2, 3, 5, 6, 9]) func positionsAreWholeNumbers(count: Int) {
        let kind = InitMessage.mounts([]).frame().kind
        #expect(throws: ProtocolError.self) { try InitMessage(Frame(kind: kind, request: 0, payload: [UInt8](repeating: 0, count: count))) }
        let listener = InitMessage.seccompListener(0).frame().kind
        #expect(throws: ProtocolError.self) { try InitMessage(Frame(kind: listener, request: 0, payload: [UInt8](repeating: 0, count: count))) }
    }
}
