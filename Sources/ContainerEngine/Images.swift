public import ImageStore
internal import JSONText
public import OCIImage

/// The engine's images: by name, or by the beginning of an id, as people write them.
public struct Images: Sendable {
    let root: String
    private let configuration: StoreConfiguration

    /// - Parameters:
    ///   - data: the engine's folder.
    ///   - driver: how layers are kept, by name; nil is the best that works.
    init(data: String, driver: String?) throws(EngineError) {
        root = data + "/store"
        var configuration = StoreConfiguration()
        if let driver {
            guard let kind = DriverKind(rawValue: driver) else {
                throw EngineError("engine.storage_driver: \(quoted(driver)) is not one of \(DriverKind.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            configuration.driver = kind
        }
        self.configuration = configuration
    }

    /// An image that was found.
    public struct Found: Sendable {
        public var stored: StoredImage
        /// In the store; nil for one that was named by its id.
        public var name: String?
        /// As people write it.
        public var shownName: String
    }

    public func store() throws(EngineError) -> ImageStore {
        do throws(StoreError) { return try ImageStore(root, configuration: configuration) } catch { throw EngineError("\(error)") }
    }

    /// A name with all that people leave out: `busybox` is `docker.io/library/busybox:latest`.
    public static func reference(_ text: String) throws(EngineError) -> Reference {
        do throws(ReferenceError) { return try Reference(text).tagged } catch { throw EngineError("\(error)") }
    }

    /// - Throws: when nothing, or more than one thing, has that name or id.
    public func image(_ text: String, platform: Platform = .current) throws(EngineError) -> Found {
        let store = try store()
        if let found = try find(text, platform: platform, store) { return found }
        throw EngineError("no such image: \(quoted(text)) is neither a name nor the beginning of an id in the store (nacelle images lists them, nacelle pull fetches one)")
    }

    /// nil when nothing has that name or id.
    public func find(_ text: String, platform: Platform = .current) throws(EngineError) -> Found? { try find(text, platform: platform, store()) }

    private func find(_ text: String, platform: Platform, _ store: ImageStore) throws(EngineError) -> Found? {
        do throws(StoreError) {
            if let reference = try? Reference(text).tagged, let descriptor = try store.resolve("\(reference)") {
                return Found(stored: try store.image(descriptor, platform: platform), name: "\(reference)", shownName: reference.familiar)
            }
            // What was taken in under another kind of name.
            if let descriptor = try store.resolve(text) { return Found(stored: try store.image(descriptor, platform: platform), name: text, shownName: text) }
            let hex = text.hasPrefix("sha256:") ? text.dropFirst(7) : text[...]
            guard hex.utf8.count >= 4, hex.utf8.allSatisfy({ (0x30...0x39).contains($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0) }) else { return nil }
            var matching: [Digest: Found] = [:]
            for named in try store.images() {
                guard let stored = try? store.image(named.descriptor, platform: platform), stored.id.hex.hasPrefix(hex) || named.descriptor.digest.hex.hasPrefix(hex) else { continue }
                let shown = named.name.flatMap { try? Reference($0).familiar } ?? named.name ?? String(stored.id.hex.prefix(12))
                if matching[stored.id] == nil { matching[stored.id] = Found(stored: stored, name: named.name, shownName: shown) }
            }
            if matching.count > 1 { throw StoreError.invalid("\(quoted(text)) is the beginning of \(matching.count) images' ids: write more of it") }
            return matching.values.first
        } catch { throw EngineError("\(error)") }
    }

    /// How new containers get their files.
    func driverName() throws(EngineError) -> String {
        if let driver = configuration.driver { return driver.rawValue }
        return try with { (store) throws(StoreError) in
            do throws(StoreError) { return try store.driverKind().rawValue } catch {
                if case .unsupported = error { return "" }
                throw error
            }
        }
    }

    /// Does something with the store.
    /// - Throws: its errors as the engine's.
    public func with<Result>(_ body: (ImageStore) throws(StoreError) -> Result) throws(EngineError) -> Result {
        let store = try store()
        do throws(StoreError) { return try body(store) } catch { throw EngineError("\(error)") }
    }
}
