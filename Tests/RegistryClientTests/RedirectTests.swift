import NIOHTTP1
import OCIImage
import Testing

@testable import RegistryClient

@Suite("redirects")
struct RedirectTests {
    private let content = someBytes(5000)
    private func configuration(_ server: FaultServer, _ change: (inout ClientConfiguration) -> Void = { _ in }) -> ClientConfiguration {
        testConfiguration(server.authority) {
            $0.credentials = GivenCredential(domain: server.authority, .password(user: "alice", password: "geheim"))
            change(&$0)
        }
    }

    private func fetch(_ server: FaultServer, _ sink: RecordingSink = RecordingSink()) async throws {
        try await RegistryClient.withClient(configuration(server)) { client in try await client.blob(descriptor(of: content), in: try Reference("\(server.authority)/a"), to: sink) }
    }

    /// Asks for a password before anything else.
    private static func guarded(_ request: SeenRequest, _ reaction: Reaction) -> Reaction {
        request.headers.first(name: "authorization") == "Basic YWxpY2U6Z2VoZWlt" ? reaction : .answer(401, "", [("WWW-Authenticate", #"Basic realm="r""#)])
    }

    @Test("credentials do not follow to another host", arguments: [301, 302, 303, 307, 308])
    func otherHost(status: Int) async throws {
        let content = content
        try await FaultServer.with({ request, _ in .file(content, for: request) }) { storage in
            try await FaultServer.with({ request, _ in Self.guarded(request, .answer(status, "", [("Location", "http://127.0.0.1:\(storage.port)/signed?token=x")])) }) { server in
                let sink = RecordingSink()
                try await fetch(server, sink)
                #expect(sink.bytes == content)
                #expect(server.requests.last?.headers.first(name: "authorization") != nil)
            }
            #expect(storage.requests.map(\.target) == ["/signed?token=x"])
            for request in storage.requests { #expect(request.headers.first(name: "authorization") == nil) }
        }
    }

    @Test("another port is another host")
    func otherPort() async throws {
        let content = content
        try await FaultServer.with({ request, _ in .file(content, for: request) }) { storage in
            try await FaultServer.with({ request, _ in Self.guarded(request, .answer(307, "", [("Location", "http://localhost:\(storage.port)/x")])) }) { server in try await fetch(server) }
            #expect(storage.requests.count == 1 && storage.requests[0].headers.first(name: "authorization") == nil)
        }
    }

    @Test("at the same host they do")
    func sameHost() async throws {
        let content = content
        try await FaultServer.with({ request, _ in Self.guarded(request, request.path == "/x" ? .file(content, for: request) : .answer(307, "", [("Location", "/x")])) }) { server in
            let sink = RecordingSink()
            try await fetch(server, sink)
            #expect(sink.bytes == content)
        }
    }

    @Test("another host's wish for credentials is not granted")
    func otherHostAsks() async throws {
        try await FaultServer.with({ _, _ in .answer(401, "", [("WWW-Authenticate", #"Basic realm="phish""#)]) }) { other in
            try await FaultServer.with({ _, _ in .answer(307, "", [("Location", "http://127.0.0.1:\(other.port)/x")]) }) { server in
                let error = await failure { try await fetch(server) }
                #expect(error?.code == .unauthorized)
            }
            #expect(other.requests.count == 1 && other.requests[0].headers.first(name: "authorization") == nil)
        }
    }

    @Test("a circle ends", arguments: ["/v2/a/blobs/self", "self", "/b/%d"])
    func circle(location: String) async throws {
        try await FaultServer.with({ request, server in
            let target = location == "self" ? request.target : location.replacing("%d", with: "\(server.requests.count)")
            return .answer(302, "", [("Location", target)])
        }) { server in
            let error = await failure { try await fetch(server) }
            #expect(error?.code == .redirect)
            #expect(server.requests.count <= 7)
        }
    }

    @Test("a redirect to nowhere is refused", arguments: ["", "ftp://h/", "http://user:p@h/", "http://h:99999/", "file:///etc/passwd"])
    func nowhere(location: String) async throws {
        try await FaultServer.with({ _, _ in .answer(302, "", location.isEmpty ? [] : [("Location", location)]) }) { server in
            let error = await failure { try await fetch(server) }
            #expect(error?.code == .malformedAnswer)
        }
    }

    @Test("a redirect's own body is not waited for")
    func slowRedirect() async throws {
        try await FaultServer.with({ request, _ in
            guard request.path != "/there" else { return .answer(200, #"{"tags":["x"]}"#) }
            var reaction = Reaction.answer(307, String(repeating: "x", count: 1000), [("Location", "/there")])
            reaction.stallAfter = 10
            return reaction
        }) { server in
            let tags = try await RegistryClient.withClient(testConfiguration(server.authority)) { client in try await client.tags(of: try Reference("\(server.authority)/a")) }
            #expect(tags == ["x"])
        }
    }

    @Test("what changes something is not redirected")
    func push() async throws {
        try await FaultServer.with({ request, _ in request.method == "HEAD" ? .answer(404) : .answer(307, "", [("Location", "/x")]) }) { server in
            let error = await failure {
                try await RegistryClient.withClient(configuration(server)) { client in
                    try await client.push(descriptor(of: content), from: MemorySource(content), to: try Reference("\(server.authority)/a"))
                }
            }
            #expect(error?.code == .redirect)
            #expect(!server.requests.contains { $0.path == "/x" })
        }
    }

    @Test("an upload that goes on at another host goes on without credentials")
    func uploadElsewhere() async throws {
        let content = content
        try await FaultServer.with({ _, _ in .answer(201) }) { other in
            try await FaultServer.with({ request, _ in
                Self.guarded(request, request.method == "HEAD" ? .answer(404) : .answer(202, "", [("Location", "http://127.0.0.1:\(other.port)/upload?s=1")]))
            }) { server in
                try await RegistryClient.withClient(configuration(server)) { client in
                    let outcome = try await client.push(descriptor(of: content), from: MemorySource(content), to: try Reference("\(server.authority)/a"))
                    #expect(outcome == .uploaded)
                }
            }
            #expect(other.requests.map(\.description) == ["PUT /upload?s=1&digest=\(HTTPAddress.escaped(Digest(of: content).description))"])
            #expect(other.requests[0].headers.first(name: "authorization") == nil && other.requests[0].body == content)
        }
    }
}
