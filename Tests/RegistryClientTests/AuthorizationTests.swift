import NIOHTTP1
import OCIImage
import Synchronization
import Testing

@testable import RegistryClient

/// A registry and its token server in one, which notes what it was asked for.
private struct TokenRegistry: Sendable {
    var realm = "http://{host}/token"
    var user: String? = "YWxpY2U6Z2VoZWlt"  // alice:geheim
    var tokenAnswer = #"{"token":"{scope}","expires_in":300}"#
    var scope: String?

    func react(_ request: SeenRequest, _ server: FaultServer) -> Reaction {
        if request.path == "/token" {
            if let user, request.headers.first(name: "authorization") != "Basic \(user)" { return .answer(401, #"{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}"#) }
            let scopes = request.target.split(separator: "?").last?.split(separator: "&").filter { $0.hasPrefix("scope=") }.map { $0.dropFirst(6) }.sorted().joined(separator: "+") ?? ""
            return .answer(200, tokenAnswer.replacing("{scope}", with: "token-for-\(scopes)"))
        }
        guard let header = request.headers.first(name: "authorization"), header.hasPrefix("Bearer token-for-") else {
            let scope = scope.map { ",scope=\"\($0)\"" } ?? ""
            return .answer(401, "", [("WWW-Authenticate", #"Bearer realm="\#(realm.replacing("{host}", with: server.authority))",service="registry.test"\#(scope)"#)])
        }
        return request.method == "HEAD" ? .answer(404) : .answer(200, #"{"name":"a","tags":["x"]}"#)
    }
}

@Suite("authorization")
struct AuthorizationTests {
    private func ask(
        _ registry: TokenRegistry, _ credential: Credential?, _ body: @escaping @Sendable (RegistryClient, Reference) async throws -> Void = { client, reference in _ = try await client.tags(of: reference) }
    ) async throws -> (error: RegistryError?, requests: [SeenRequest]) {
        try await FaultServer.with({ request, server in registry.react(request, server) }) { server in
            let configuration = testConfiguration(server.authority) {
                if let credential { $0.credentials = GivenCredential(domain: server.authority, credential) }
            }
            do {
                try await RegistryClient.withClient(configuration) { client in try await body(client, try Reference("\(server.authority)/a/b")) }
                return (nil, server.requests)
            } catch let error as RegistryError { return (error, server.requests) }
        }
    }

    private let alice = Credential.password(user: "alice", password: "geheim")

    @Test("a token is bought once, and used while it is good")
    func token() async throws {
        let (error, requests) = try await ask(TokenRegistry(), alice) { client, reference in for _ in 0..<3 { _ = try await client.tags(of: reference) } }
        #expect(error == nil)
        #expect(requests.map(\.path) == ["/v2/a/b/tags/list", "/token", "/v2/a/b/tags/list", "/v2/a/b/tags/list", "/v2/a/b/tags/list"])
        #expect(requests[1].target == "/token?service=registry.test&account=alice&scope=repository%3Aa%2Fb%3Apull")
        #expect(requests[2].headers["authorization"] == ["Bearer token-for-repository%3Aa%2Fb%3Apull"])
    }

    @Test("requests that come at once share one token")
    func shared() async throws {
        let (error, requests) = try await ask(TokenRegistry(), alice) { client, reference in
            _ = try await client.tags(of: reference)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 { group.addTask { _ = try await client.hasBlob(Digest(of: [1]), in: reference) } }
                try await group.waitForAll()
            }
        }
        #expect(error == nil && requests.filter { $0.path == "/token" }.count == 1)
    }

    @Test("who waits for what another began does it anew when that one is cancelled")
    func sharedAndCancelled() async throws {
        let kept = KeptValues<Int, String> { _ in true }
        let (begun, signal) = AsyncStream.makeStream(of: Void.self)
        let first = Task {
            try await kept.value(for: 1) {
                signal.finish()
                try await Task.sleep(for: .seconds(600))
                return "first"
            }
        }
        for await _ in begun {}
        let others = (0..<3).map { number in Task { try await kept.value(for: 1) { "other \(number)" } } }
        for _ in 0..<100 { await Task.yield() }
        first.cancel()
        await #expect(throws: CancellationError.self) { try await first.value }
        var values: Set<String> = []
        for other in others { values.insert(try await other.value) }
        #expect(values.count == 1 && values.first?.hasPrefix("other") == true)
    }

    @Test("what is not good any more is got again")
    func outdated() async throws {
        let kept = KeptValues<Int, Int> { $0 > 1 }
        var values: [Int] = []
        for number in 1...3 { values.append(try await kept.value(for: 1) { number }) }
        #expect(values == [1, 2, 2])
    }

    private actor CountingSource: CredentialSource {
        var count = 0
        func credential(domain: String, path: String) async throws -> Credential? {
            count += 1
            try await Task.sleep(for: .milliseconds(20))
            return .password(user: "alice", password: "geheim")
        }
    }

    @Test("a source of credentials is asked once, however many requests need them at once")
    func askedOnce() async throws {
        let (registry, source) = (TokenRegistry(), CountingSource())
        try await FaultServer.with({ request, server in registry.react(request, server) }) { server in
            try await RegistryClient.withClient(testConfiguration(server.authority) { $0.credentials = source }) { client in
                let reference = try Reference("\(server.authority)/a/b")
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<5 { group.addTask { _ = try await client.tags(of: reference) } }
                    try await group.waitForAll()
                }
            }
            #expect(await source.count == 1)
        }
    }

    @Test("without credentials a token is asked for anonymously")
    func anonymous() async throws {
        var registry = TokenRegistry()
        registry.user = nil
        let (error, requests) = try await ask(registry, nil)
        #expect(error == nil)
        #expect(requests[1].target == "/token?service=registry.test&scope=repository%3Aa%2Fb%3Apull" && requests[1].headers.first(name: "authorization") == nil)
    }

    @Test("what a registry asks for besides is asked for too")
    func moreScope() async throws {
        var registry = TokenRegistry()
        registry.scope = "repository:a/b:pull repository:other:pull"
        let (error, requests) = try await ask(registry, alice)
        #expect(error == nil)
        #expect(requests[1].target.hasSuffix("&scope=repository%3Aa%2Fb%3Apull&scope=repository%3Aother%3Apull"))
    }

    @Test("a push asks for more than a pull")
    func pushScope() async throws {
        let (_, requests) = try await ask(TokenRegistry(), alice) { client, reference in
            _ = try await client.push(descriptor(of: [1]), from: MemorySource([1]), to: reference, mountingFrom: try Reference("\(reference.domain)/donor"))
        }
        #expect(requests[1].target.hasSuffix("&scope=repository%3Aa%2Fb%3Apull%2Cpush"))
        #expect(requests.contains { $0.target.hasSuffix("&scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Adonor%3Apull") })
    }

    @Test("an identity token buys others")
    func identityToken() async throws {
        var registry = TokenRegistry()
        registry.user = nil
        registry.tokenAnswer = #"{"access_token":"token-for-x"}"#
        let (error, requests) = try await ask(registry, .identityToken("geheim+"))
        #expect(error == nil)
        #expect(requests[1].method == "POST" && requests[1].target == "/token")
        #expect(String(decoding: requests[1].body, as: UTF8.self) == "service=registry.test&grant_type=refresh_token&client_id=nacelle&scope=repository%3Aa%2Fb%3Apull&refresh_token=geheim%2B")
    }

    @Test("a registry token is shown as it is")
    func registryToken() async throws {
        let (error, requests) = try await ask(TokenRegistry(), .registryToken("token-for-me"))
        #expect(error == nil && requests.count == 2 && requests[1].headers["authorization"] == ["Bearer token-for-me"])
    }

    @Test("an error says whose credentials were not accepted, and not the password")
    func refused() async throws {
        let (error, requests) = try await ask(TokenRegistry(), .password(user: "mallory", password: "falsch"))
        #expect(error?.code == .unauthorized && requests.count == 2)
        #expect(error?.description.contains("wrong password") == true)
        let (basic, _) = try await FaultServer.with({ _, _ in .answer(401, "", [("WWW-Authenticate", "Basic realm=x")]) }) { server in
            try await RegistryClient.withClient(testConfiguration(server.authority) { $0.credentials = GivenCredential(domain: server.authority, .password(user: "mallory", password: "falsch")) }) { client in
                (await failure { try await client.ping(server.authority) }, server.requests)
            }
        }
        #expect(basic?.code == .unauthorized)
        #expect(basic?.description.contains("asked with the password of mallory for localhost:") == true)
        #expect(basic?.description.contains("falsch") == false)
    }

    @Test("without credentials an error says so")
    func missing() async throws {
        let error = try await FaultServer.with({ _, _ in .answer(401, "", [("WWW-Authenticate", "Basic realm=x")]) }) { server in
            try await RegistryClient.withClient(testConfiguration(server.authority)) { client in await failure { try await client.ping(server.authority) } }
        }
        #expect(error?.description.contains("there are no credentials for localhost:") == true)
    }

    @Test("a token server's nonsense is refused", arguments: ["", "{}", #"{"token":""}"#, #"{"token":"a\r\nX: y"}"#, #"{"token":7}"#, "<html>"])
    func nonsense(answer: String) async throws {
        var registry = TokenRegistry()
        registry.tokenAnswer = answer
        let (error, requests) = try await ask(registry, alice)
        #expect(error?.code == .malformedAnswer && requests.count == 2)
    }

    @Test("a realm that is no URL gets nothing", arguments: ["", "ftp://h/", "token", "http://user:p@h/"])
    func realm(text: String) async throws {
        var registry = TokenRegistry()
        registry.realm = text
        let (error, requests) = try await ask(registry, alice)
        #expect(error?.code == .malformedAnswer && requests.count == 1)
    }

    @Test("a token that has run out is bought anew")
    func expired() async throws {
        var registry = TokenRegistry()
        registry.tokenAnswer = #"{"token":"{scope}","expires_in":0}"#
        let (error, requests) = try await ask(registry, alice) { client, reference in for _ in 0..<2 { _ = try await client.tags(of: reference) } }
        #expect(error == nil && requests.filter { $0.path == "/token" }.count >= 2)
    }

    @Test("a token that is not accepted any more is bought anew, once")
    func revoked() async throws {
        let registry = TokenRegistry()
        let (tokens, lists) = try await FaultServer.with({ request, server in
            // Every second list is refused, whatever it shows.
            if request.path.hasSuffix("list"), request.earlier == 2 { return .answer(401, "", [("WWW-Authenticate", #"Bearer realm="http://\#(server.authority)/token",service="registry.test""#)]) }
            return registry.react(request, server)
        }) { server in
            try await RegistryClient.withClient(testConfiguration(server.authority) { $0.credentials = GivenCredential(domain: server.authority, .password(user: "alice", password: "geheim")) }) { client in
                let reference = try Reference("\(server.authority)/a/b")
                for _ in 0..<2 { #expect(try await client.tags(of: reference) == ["x"]) }
            }
            return (server.requests.filter { $0.path == "/token" }.count, server.requests.filter { $0.path.hasSuffix("list") }.count)
        }
        #expect(tokens == 2 && lists == 4)
    }

    @Test("a secret is never sent to a realm in the clear for a registry that is asked by TLS")
    func clearRealm() async throws {
        let fetched = Mutex(0)
        let authorizer = Authorizer(GivenCredential(domain: "example.com", .password(user: "alice", password: "geheim")), limits: ClientLimits()) { _, _ in
            fetched.withLock { $0 += 1 }
            throw RegistryError(.connection, "")
        }
        let endpoint = try Endpoint("example.com/a", transport: .tls)
        _ = await authorizer.learn(Challenge.parse([#"Bearer realm="http://auth.example.com/token""#]), from: endpoint, refused: nil)
        let error = await failure { try await authorizer.header(for: endpoint, [.pull(endpoint)]) }
        #expect(error?.code == .redirect && fetched.withLock { $0 } == 0)
    }

    @Test("an insecure registry is asked in plain HTTP when nothing speaks TLS there")
    func insecure() async throws {
        try await FaultServer.with({ _, _ in .answer(200, #"{"tags":["x"]}"#) }) { server in
            let configuration = testConfiguration(server.authority) { $0.registries = RegistryRules([RegistryRule(prefix: server.authority, transport: .insecure)]) }
            try await RegistryClient.withClient(configuration) { client in
                let reference = try Reference("\(server.authority)/a")
                for _ in 0..<2 { #expect(try await client.tags(of: reference) == ["x"]) }
            }
            // It was found out once.
            #expect(server.requests.map(\.path) == ["/v2/", "/v2/a/tags/list", "/v2/a/tags/list"])
        }
    }

    @Test("nothing is asked in plain HTTP unless the configuration says so")
    func tlsByDefault() async throws {
        try await FaultServer.with({ _, _ in .answer(200) }) { server in
            let error = await failure {
                try await RegistryClient.withClient(testConfiguration(server.authority) { $0.registries = RegistryRules() }) { client in try await client.ping(server.authority) }
            }
            #expect(error?.code == .tls)
            #expect(server.requests.isEmpty)
        }
    }
}
