@testable import AgentCore
import AgentProtocol
import Testing

struct TraitsTests {
    private func traits(_ text: String) throws -> ProcessTraits {
        try LaunchBackend { _ in }.configure(plan: Array(text.utf8))
    }

    @Test(arguments: [
        (#""namespaces": [{"type": "pid"}]"#, true), (#""namespaces": [{"type": "pid", "path": "/proc/1/ns/pid"}]"#, false),
        (#""namespaces": [{"type": "mount"}]"#, false), (#""namespaces": []"#, false),
    ]) func onlyTheFirstOfANamespaceEndsIt(linux: String, ends: Bool) throws {
        let result = try traits(#"{"ociVersion": "1.0.2", "process": {"cwd": "/", "args": ["a"], "terminal": true}, "linux": {\#(linux)}}"#)
        #expect(result.endsNamespace == ends)
        #expect(result.terminal)
        #expect(result.owner.user == 0 && result.owner.group == 0)
    }

    @Test(arguments: [
        (0, 100_000), (999, 100_999), (1000, 5000), (1001, 1001), (UInt32.max, UInt32.max),
    ] as [(UInt32, UInt32)]) func ownersAreMapped(inside: UInt32, outside: UInt32) throws {
        let mappings = #"[{"containerID": 0, "hostID": 100000, "size": 1000}, {"containerID": 1000, "hostID": 5000, "size": 1},"#
            + #" {"containerID": 4294967295, "hostID": 4294967295, "size": 4294967295}]"#
        let result = try traits(
            #"{"ociVersion": "1.0.2", "process": {"cwd": "/", "user": {"uid": \#(inside), "gid": \#(inside)}}, "linux": {"uidMappings": \#(mappings), "gidMappings": \#(mappings)}}"#)
        #expect(result.owner.user == outside && result.owner.group == outside)
    }

    @Test(arguments: ["", "{", "[]", "{}", #"{"ociVersion": "1.0.2"}"#, #"{"ociVersion": "1.0.2", "process": 1}"#])
    func unusablePlans(text: String) {
        #expect(throws: Failure.self) { try traits(text) }
        #expect(throws: Failure.self) { try LaunchBackend { _ in }.traits(processPlan: Array(text.utf8)) }
    }

    @Test func nothingBeforeTheContainer() throws {
        let backend = LaunchBackend { _ in }
        #expect(try backend.processes() == [])
        #expect(throws: Failure.self) { try backend.start() }
        #expect(throws: Failure.self) { try backend.signalEveryProcess(9) }
        #expect(throws: Failure.self) { try backend.create(streams: nil) }
    }
}
