import ArgumentParser
import ContainerEngine
import ImageStore
import JSONText
import LinuxSystem
import OCIImage
import RegistryClient
import Synchronization

/// `--pull`
enum PullPolicy: String, CaseIterable, ExpressibleByArgument { case missing, always, never }

/// Images to and from registries.
enum Transfers {
    /// Sees to it that the store has the image that a container is to be made of.
    static func provide(_ name: String, pull: PullPolicy, platform: String?, tlsVerify: Bool, isQuiet: Bool, _ engine: Engine) throws(EngineError) {
        let wanted = try Self.platform(platform)
        let isThere = try engine.images.find(name, platform: wanted) != nil
        switch pull {
        case .missing where isThere, .never where isThere: return
        case .never: throw EngineError("no such image: \(quoted(name)), and --pull never forbids to fetch it")
        // What was named by its id is no registry's.
        case .always where isThere && (try? Reference(name)) == nil: return
        case .missing, .always: break
        }
        _ = try Transfers.pull(name, platform: wanted, tlsVerify: tlsVerify, isQuiet: isQuiet, engine)
    }

    static func platform(_ text: String?) throws(EngineError) -> Platform {
        guard let text else { return .current }
        do throws(PlatformError) { return try Platform(text) } catch { throw EngineError("--platform: \(error)") }
    }

    /// Fetches an image and unpacks its layers, those that are there while others are on their way.
    static func pull(_ name: String, platform: Platform, tlsVerify: Bool, isQuiet: Bool, _ engine: Engine) throws(EngineError) -> StoredImage {
        let reference = try Images.reference(name)
        let configuration = try client(tlsVerify ? nil : reference, engine)
        let progress = Progress(isQuiet: isQuiet)
        progress.say("Trying to pull \(reference)...")
        let store = try engine.images.store()
        do {
            let lease = try store.lease()
            defer { lease.end() }
            let receiver = StoreReceiver(store: store, lease: lease)
            let arrivals = Arrivals(store, lease)
            let image = try Waiting.run({ nudge in try await RegistryClient.withClient(configuration) { client in
                try await client.pull(reference, platform: platform, into: receiver) { event in
                    progress.show(event)
                    arrivals.note(event)
                    if case .finished = event { nudge() }
                }
            } }, onNudge: arrivals.unpack)
            progress.finish()
            let stored = try store.image(image.manifest.descriptor, platform: platform)
            try store.unpack(stored, lease: lease)
            try store.setName("\(reference)", to: image.root.descriptor, lease: lease)
            return stored
        } catch {
            progress.finish()
            throw EngineError("cannot pull \(reference): \(error)")
        }
    }

    static func push(_ found: Images.Found, to reference: Reference, tlsVerify: Bool, isQuiet: Bool, _ engine: Engine) throws(EngineError) -> Digest {
        let configuration = try client(tlsVerify ? nil : reference, engine)
        let progress = Progress(isQuiet: isQuiet)
        let store = try engine.images.store()
        do {
            let document = try ManifestDocument(try store.read(found.stored.descriptor), mediaType: found.stored.descriptor.mediaType)
            let other = found.name.flatMap { try? Reference($0) }
            progress.say("Pushing \(reference)")
            let digest = try Waiting.run { try await RegistryClient.withClient(configuration) { client in
                try await client.push(document, from: StoreProvider(store: store), to: reference, mountingFrom: other?.domain == reference.domain ? other : nil) { progress.show($0) }
            } }
            progress.finish()
            return digest
        } catch {
            progress.finish()
            throw EngineError("cannot push \(reference): \(error)")
        }
    }

    /// Asks a registry whether it takes a credential, and keeps it.
    /// - Returns: the file that has it now.
    static func login(_ domain: String, _ credential: Credential, tlsVerify: Bool, _ engine: Engine) throws(EngineError) -> String {
        do {
            var configuration = try client(tlsVerify ? nil : try Images.reference("\(domain)/x"), engine)
            configuration.credentials = GivenCredential(domain: domain, credential)
            let asked = configuration
            let files = CredentialFiles(environment: try CredentialFiles.processEnvironment())
            return try Waiting.run {
                try await RegistryClient.withClient(asked) { client in try await client.ping(domain) }
                return try await files.store(credential, for: domain)
            }
        } catch { throw error as? EngineError ?? EngineError("cannot log in to \(domain): \(error)") }
    }

    static func logout(_ domain: String) throws(EngineError) -> Bool {
        do {
            let files = CredentialFiles(environment: try CredentialFiles.processEnvironment())
            return try Waiting.run { try await files.remove(domain) }
        } catch { throw EngineError("cannot log out of \(domain): \(error)") }
    }

    /// - Parameter insecure: a repository whose registry may have no certificate, or no TLS.
    private static func client(_ insecure: Reference?, _ engine: Engine) throws(EngineError) -> ClientConfiguration {
        do {
            let environment = try CredentialFiles.processEnvironment()
            var configuration = ClientConfiguration()
            configuration.credentials = CredentialFiles(environment: environment)
            configuration.proxies = try ProxySettings(environment: environment)
            configuration.certificateDirectories = ClientConfiguration.certificateDirectories(environment: environment)
            if let path = engine.configurationPath { configuration.registries = try RegistryRules(file: path) }
            if let insecure { configuration.registries.rules.append(RegistryRule(prefix: insecure.domain, transport: .insecure)) }
            configuration.onRetry = { error, delay in
                let seconds = Double(delay.components.seconds) + Double(delay.components.attoseconds) / 1e18
                Output.write(printable("\(error): trying again in \(HumanText.decimal(seconds, 1)) s") + "\n", to: 2)
            }
            return configuration
        } catch { throw EngineError("\(error)") }
    }
}

/// Waits on this thread for what is asynchronous.
enum Waiting {
    private final class Outcome<Value: Sendable>: Sendable {
        let event: WaitingEvent
        let result = Mutex<Result<Value, any Error>?>(nil)
        init() throws(SystemError) { event = try WaitingEvent() }
    }

    static func run<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) throws -> Value { try run({ _ in try await body() }, onNudge: {}) }

    /// - Parameters:
    ///   - body: gets a function that has this thread do `onNudge` soon.
    ///   - onNudge: its error ends all.
    static func run<Value: Sendable>(
        _ body: @escaping @Sendable (_ nudge: @escaping @Sendable () -> Void) async throws -> Value, onNudge: () throws -> Void
    ) throws -> Value {
        let outcome = try Outcome<Value>()
        let task = Task.detached {
            let result: Result<Value, any Error>
            do { result = .success(try await body { outcome.event.signal() }) } catch { result = .failure(error) }
            outcome.result.withLock { $0 = result }
            outcome.event.signal()
        }
        var failure: (any Error)?
        while true {
            outcome.event.wait()
            if let result = outcome.result.withLock({ $0 }) {
                if let failure { throw failure }
                return try result.get()
            }
            guard failure == nil else { continue }
            do { try onNudge() } catch {
                failure = error
                task.cancel()
            }
        }
    }
}

/// The store, as a registry's client fills it.
private struct StoreReceiver: ContentReceiver {
    let store: ImageStore
    let lease: Lease

    func contains(_ descriptor: Descriptor) throws -> Bool { try store.hold(descriptor, lease: lease) }
    func sink(for descriptor: Descriptor) throws -> any BlobSink { StoreSink(try store.beginBlob(descriptor, lease: lease), size: descriptor.size) }
}

/// Unpacks an image's layers from the base up, as far as they have come.
private final class Arrivals: Sendable {
    private let store: ImageStore
    private let lease: Lease
    private let found = Mutex<FetchedImage?>(nil)

    init(_ store: ImageStore, _ lease: Lease) { (self.store, self.lease) = (store, lease) }

    func note(_ event: TransferEvent) { if case .found(let image) = event { found.withLock { $0 = image } } }

    func unpack() throws {
        // What a layer unpacks to is in the configuration.
        guard let image = found.withLock({ $0 }), try store.hold(image.content.config, lease: lease) else { return }
        _ = try store.put(image.manifest.document.bytes, lease: lease)
        _ = try store.unpackAvailable(try store.image(image.manifest.descriptor), lease: lease)
    }
}

/// One blob on its way in. The client calls one method at a time.
private final class StoreSink: BlobSink {
    private struct State: ~Copyable { var writer: BlobWriter? }
    private let state: Mutex<State>
    private let size: Int64

    init(_ writer: consuming sending BlobWriter, size: Int64) {
        self.size = size
        state = Mutex(State(writer: writer))
    }

    func write(_ bytes: [UInt8]) throws { try state.withLock { state in try state.writer?.write(bytes) } }
    func finish() throws { try state.withLock { state in _ = try state.writer.take()?.commit(length: size) } }
    func abandon() { state.withLock { state in state.writer = nil } }
}

private struct StoreProvider: ContentProvider {
    let store: ImageStore
    func source(of descriptor: Descriptor) throws -> any BlobSource { StoreSource(file: try store.file(descriptor.digest)) }
}

private struct StoreSource: BlobSource {
    let file: SharedDescriptor
    func read(at offset: Int64, count: Int) throws -> [UInt8] { try file.with { (file: borrowing OwnedDescriptor) throws(SystemError) in try file.bytes(at: offset, count: count) } }
}
