import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import OCIImage
import Synchronization
import Testing

@testable import RegistryClient

/// With a real registry, and with a proxy before it that breaks things.
@Suite("Debian's docker-registry", .enabled(if: Registry.isInstalled, "docker-registry is not installed (scripts/install-dependencies test)"))
struct RegistryTests {
    @Test("what was pushed is pulled, byte for byte, and what is there is not sent again")
    func roundTrip() async throws {
        try await Registry.with { registry in
            let image = try SomeImage(layers: [someBytes(200_000), someBytes(3, seed: 2), someBytes(900_000, seed: 3)])
            let reference = try Reference("\(registry.authority)/test/image:1")
            let configuration = testConfiguration(registry.authority) {
                $0.limits.chunkSize = 300_000
                $0.limits.partsFrom = 150_000
                $0.limits.partSize = 100_000
            }
            try await RegistryClient.withClient(configuration) { client in
                try await client.ping(registry.authority)
                #expect(try await client.resolve(reference) == nil)
                #expect(try await client.push(image.manifest, from: try await image.store(), to: reference) == image.digest)
                #expect(try await client.resolve(reference) == image.manifest.descriptor(digest: image.digest))
                let store = RecordingStore()
                let events = Mutex<[TransferEvent]>([])
                let pulled = try await client.pull(reference, platform: .current, into: store) { event in events.withLock { $0.append(event) } }
                #expect(pulled.manifest.digest == image.digest)
                for bytes in image.layers + [image.configuration, image.manifest.bytes] { #expect(store.bytes(Digest(of: bytes)) == bytes) }
                #expect(events.withLock { $0 }.filter { if case .finished(_, wasThere: false) = $0 { true } else { false } }.count == 4)
                #expect(try await client.configuration(of: pulled.content, in: reference).platform == .current)

                // Again: nothing moves.
                let again = Mutex<[TransferEvent]>([])
                _ = try await client.pull(reference, platform: .current, into: store) { event in again.withLock { $0.append(event) } }
                try await client.push(image.manifest, from: try await image.store(), to: reference) { event in again.withLock { $0.append(event) } }
                #expect(!again.withLock { $0 }.contains { if case .finished(_, wasThere: false) = $0 { true } else { false } })
                #expect(!again.withLock { $0 }.contains { if case .progress = $0 { true } else { false } })
            }
        }
    }

    @Test("a blob is mounted from another repository")
    func mount() async throws {
        try await Registry.with { registry in
            let blob = someBytes(10_000)
            try await RegistryClient.withClient(testConfiguration(registry.authority)) { client in
                let (first, second) = (try Reference("\(registry.authority)/a"), try Reference("\(registry.authority)/b"))
                #expect(try await client.push(descriptor(of: blob), from: MemorySource(blob), to: first) == .uploaded)
                #expect(try await client.push(descriptor(of: blob), from: MemorySource(blob), to: first) == .existed)
                #expect(try await client.push(descriptor(of: blob), from: MemorySource(blob), to: second, mountingFrom: first) == .mounted)
                #expect(try await client.blobBytes(descriptor(of: blob), in: second, limit: 10_000) == blob)
                // Nothing to mount there: it is sent.
                let other = someBytes(100, seed: 9)
                #expect(try await client.push(descriptor(of: other), from: MemorySource(other), to: second, mountingFrom: try Reference("\(registry.authority)/none")) == .uploaded)
            }
        }
    }

    @Test("an upload whose connection breaks goes on, or begins anew", arguments: [nil, 100_000] as [Int64?])
    func brokenUpload(chunkSize: Int64?) async throws {
        try await Registry.with { registry in
            let blob = someBytes(450_000)
            let broken = Mutex<Set<String>>([])
            try await FaultServer.with({ request, _ in
                // Each kind of request breaks once: before the registry has seen it, or after.
                if ["PATCH", "PUT", "POST", "HEAD"].contains(request.method), broken.withLock({ $0.insert("\(request.method) before").inserted }) { return Reaction(raw: []) }
                let reaction = try await FaultServer.forward(request, toPort: registry.port)
                if ["PATCH", "POST"].contains(request.method), broken.withLock({ $0.insert("\(request.method) after").inserted }) { return Reaction(raw: []) }
                return reaction
            }) { proxy in
                let configuration = testConfiguration(proxy.authority) {
                    $0.limits.chunkSize = chunkSize
                    $0.limits.attempts = 5
                }
                try await RegistryClient.withClient(configuration) { client in
                    let reference = try Reference("\(proxy.authority)/a")
                    #expect(try await client.push(descriptor(of: blob), from: MemorySource(blob), to: reference) == .uploaded)
                    #expect(try await client.blobBytes(descriptor(of: blob), in: reference, limit: 450_000) == blob)
                }
                #expect(proxy.requests.contains { $0.method == "PATCH" } == (chunkSize != nil))
            }
        }
    }

    @Test("a blob that is not what it was said to be is not taken by the registry")
    func wrongUpload() async throws {
        try await Registry.with { registry in
            try await RegistryClient.withClient(testConfiguration(registry.authority)) { client in
                var wrong = descriptor(of: someBytes(1000))
                let reference = try Reference("\(registry.authority)/a")
                let error = await failure { try await client.push(wrong, from: MemorySource(someBytes(1000, seed: 2)), to: reference) }
                #expect(error?.registryCodes == ["DIGEST_INVALID"])
                wrong.size = 2000
                let short = await failure { try await client.push(wrong, from: MemorySource(someBytes(1000)), to: reference) }
                #expect(short?.description.contains("ends after 1000 bytes, and not after 2000") == true, "\(short?.description ?? "")")
                #expect(try await !client.hasBlob(wrong.digest, in: reference))
            }
        }
    }

    @Test("pulls through a proxy that breaks everything once are whole")
    func brokenPull() async throws {
        try await Registry.with { registry in
            let image = try SomeImage(layers: [someBytes(500_000), someBytes(400_000, seed: 2)])
            try await RegistryClient.withClient(testConfiguration(registry.authority)) { client in
                try await client.push(image.manifest, from: try await image.store(), to: try Reference("\(registry.authority)/a:1"))
            }
            try await FaultServer.with({ request, _ in
                var reaction = try await FaultServer.forward(request, toPort: registry.port)
                switch request.earlier {
                case 0: return .answer(503)
                case 1: reaction.cutAfter = reaction.body.count / 2
                case 2: reaction.stallAfter = 10
                default: break
                }
                return reaction
            }) { proxy in
                let configuration = testConfiguration(proxy.authority) {
                    // A busy machine stalls more often than the proxy.
                    $0.limits.attempts = 1000
                    $0.limits.idleTimeout = .milliseconds(500)
                    $0.limits.partsFrom = 450_000
                    $0.limits.partSize = 100_000
                }
                try await RegistryClient.withClient(configuration) { client in
                    let store = RecordingStore()
                    _ = try await client.pull(try Reference("\(proxy.authority)/a:1"), platform: .current, into: store)
                    for bytes in image.layers + [image.configuration, image.manifest.bytes] { #expect(store.bytes(Digest(of: bytes)) == bytes) }
                }
            }
        }
    }

    @Test("tags are listed, and manifests deleted")
    func tags() async throws {
        try await Registry.with { registry in
            let image = try SomeImage(layers: [[1]])
            let reference = try Reference("\(registry.authority)/a")
            try await RegistryClient.withClient(testConfiguration(registry.authority)) { client in
                let store = try await image.store()
                for tag in ["c", "a", "b"] { try await client.push(image.manifest, from: store, to: try reference.with(tag: tag)) }
                // In no particular order, says this registry.
                let tags = try await client.tags(of: reference)
                #expect(tags.sorted() == ["a", "b", "c"])
                // This registry cannot delete a tag by itself.
                #expect(await failure { try await client.deleteManifest(try reference.with(tag: "a")) } != nil)
                try await client.deleteManifest(reference.with(digest: image.digest))
                #expect(try await client.resolve(reference.with(digest: image.digest)) == nil)
                #expect(await failure { try await client.deleteManifest(reference.with(digest: image.digest)) }?.code == .notFound)
                try await client.deleteBlob(Digest(of: [1]), in: reference)
                #expect(try await !client.hasBlob(Digest(of: [1]), in: reference))
                #expect(await failure { try await client.tags(of: try Reference("\(registry.authority)/none")) }?.code == .notFound)
            }
        }
    }

    @Test("what is about a manifest is listed, though this registry knows no such lists")
    func referrers() async throws {
        try await Registry.with { registry in
            let image = try SomeImage(layers: [[1]])
            let reference = try Reference("\(registry.authority)/a:1")
            try await RegistryClient.withClient(testConfiguration(registry.authority)) { client in
                try await client.push(image.manifest, from: try await image.store(), to: reference)
                #expect(try await client.referrers(of: image.digest, in: reference).isEmpty)
                let empty = descriptor(of: Array("{}".utf8), .empty)
                try await client.push(empty, from: MemorySource(Array("{}".utf8)), to: reference)
                var digests: [Digest] = []
                for kind in ["signature", "sbom"] {
                    let content = Manifest(
                        artifactType: MediaType("application/\(kind)"), config: empty, layers: [empty], subject: image.manifest.descriptor(digest: image.digest), annotations: ["kind": kind])
                    let document = try ManifestDocument(content.bytes, mediaType: .imageManifest)
                    digests.append(try await client.push(document, to: reference.repository.with(digest: Digest(of: document.bytes))))
                }
                let all = try await client.referrers(of: image.digest, in: reference)
                #expect(all.map(\.digest) == digests && all.map { $0.annotations["kind"] } == ["signature", "sbom"])
                #expect(try await client.referrers(of: image.digest, in: reference, artifactType: MediaType("application/sbom")).map(\.digest) == [digests[1]])
            }
        }
    }

    @Test("a password is asked for, and must be right")
    func password() async throws {
        try await Registry.with(.password) { registry in
            let image = try SomeImage(layers: [someBytes(1000)])
            let reference = try Reference("\(registry.authority)/a:1")
            func configuration(_ password: String?) -> ClientConfiguration {
                testConfiguration(registry.authority) {
                    if let password { $0.credentials = GivenCredential(domain: registry.authority, .password(user: "alice", password: password)) }
                }
            }
            try await RegistryClient.withClient(configuration("geheim")) { client in
                try await client.ping(registry.authority)
                try await client.push(image.manifest, from: try await image.store(), to: reference)
                #expect(try await client.manifest(reference).digest == image.digest)
            }
            for password in [nil, "falsch"] {
                try await RegistryClient.withClient(configuration(password)) { client in
                    #expect(await failure { try await client.ping(registry.authority) }?.code == .unauthorized)
                    #expect(await failure { try await client.manifest(reference) }?.code == .unauthorized)
                }
            }
        }
    }

    @Test("a certificate must be good, unless it need not be")
    func tls() async throws {
        try await Registry.with(.tls) { registry in
            let certificates = registry.directory + "/certs.d"
            let own = "\(certificates)/\(registry.authority)"
            func ping(_ transport: RegistryTransport, _ name: String = "localhost") async throws {
                let configuration = testConfiguration(registry.authority) {
                    $0.registries = RegistryRules([RegistryRule(prefix: "\(name):\(registry.port)", transport: transport)])
                    $0.certificateDirectories = ["/nonexistent", certificates]
                }
                try await RegistryClient.withClient(configuration) { client in try await client.ping("\(name):\(registry.port)") }
            }
            let unknown = await failure { try await ping(.tls) }
            #expect(unknown?.code == .tls && unknown?.description.contains("/etc/containers/certs.d") == true, "\(unknown?.description ?? "")")
            try await ping(.insecure)
            try await ping(.insecure, "127.0.0.1")
            try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
            try FileManager.default.copyItem(atPath: registry.directory + "/ca.crt", toPath: own + "/ca.crt")
            try await ping(.tls)
            // The certificate is for localhost.
            try FileManager.default.copyItem(atPath: own, toPath: "\(certificates)/127.0.0.1:\(registry.port)")
            #expect(await failure { try await ping(.tls, "127.0.0.1") }?.code == .tls)
            // Plain HTTP gets no answer of use from a server of TLS.
            #expect(await failure { try await ping(.plain) } != nil)
            try "garbage".write(toFile: own + "/other.crt", atomically: true, encoding: .utf8)
            #expect(await failure { try await ping(.tls) }?.description.contains("other.crt") == true)
        }
    }

    @Test("a client shows its certificate")
    func clientCertificate() async throws {
        try await Registry.with(.clientCertificate) { registry in
            let own = "\(registry.directory)/certs.d/\(registry.authority)"
            try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
            try FileManager.default.copyItem(atPath: registry.directory + "/ca.crt", toPath: own + "/ca.crt")
            func ping() async throws {
                let configuration = testConfiguration(registry.authority) {
                    $0.registries = RegistryRules()
                    $0.certificateDirectories = [registry.directory + "/certs.d"]
                }
                try await RegistryClient.withClient(configuration) { client in try await client.ping(registry.authority) }
            }
            #expect(await failure { try await ping() } != nil)
            try FileManager.default.copyItem(atPath: registry.directory + "/client.crt", toPath: own + "/me.cert")
            let error = await failure { try await ping() }
            #expect(error?.code == .configuration && error?.description.contains("me.key is missing") == true)
            try FileManager.default.copyItem(atPath: registry.directory + "/client.key", toPath: own + "/me.key")
            try await ping()
        }
    }

    /// Says yes to whoever asks for a connection by SOCKS, and is the server that was asked for.
    private final class SOCKSServer: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let asked: @Sendable (String) -> Void
        var step = 0
        init(_ asked: @escaping @Sendable (String) -> Void) { self.asked = asked }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = Array(unwrapInboundIn(data).readableBytesView)
            step += 1
            let answer: [UInt8]
            switch step {
            case 1: answer = [5, 0]
            case 2:
                // Version, command, reserved, a name (3) and its length; at the end the port.
                asked("\(String(decoding: bytes.dropFirst(5).dropLast(2), as: UTF8.self)):\(Int(bytes[bytes.count - 2]) << 8 | Int(bytes[bytes.count - 1]))")
                answer = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]
            default: answer = Array("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".utf8)
            }
            context.writeAndFlush(NIOAny(ByteBuffer(bytes: answer)), promise: nil)
        }
    }

    @Test("requests go through a proxy of SOCKS, which looks names up")
    func socks() async throws {
        let asked = Mutex<[String]>([])
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(SOCKSServer { name in asked.withLock { $0.append(name) } }) } }
            .bind(host: "127.0.0.1", port: 0).get()
        let configuration = testConfiguration("registry.test") { $0.proxies.http = try? ProxySettings.Proxy("socks5h://127.0.0.1:\(listener.localAddress?.port ?? 0)") }
        let outcome = await settled { try await RegistryClient.withClient(configuration) { client in try await client.ping("registry.test") } }
        try await listener.close()
        try outcome.get()
        #expect(asked.withLock { $0 } == ["registry.test:80"])
    }

    @Test("requests go through a proxy, but for the exceptions")
    func proxy() async throws {
        // It makes no connection: that it was asked is what is seen.
        try await FaultServer.with({ _, _ in .answer(403) }) { proxy in
            let configuration = testConfiguration("registry.test") { configuration in
                configuration.proxies.http = try? ProxySettings.Proxy("http://u:p@127.0.0.1:\(proxy.port)")
            }
            try await RegistryClient.withClient(configuration) { client in
                #expect(await failure { try await client.ping("registry.test") }?.code == .connection)
            }
            #expect(proxy.requests.allSatisfy { $0.method == "CONNECT" && $0.target == "registry.test:80" && $0.headers.first(name: "proxy-authorization") == "Basic dTpw" })
            #expect(!proxy.requests.isEmpty)
        }
    }
}
