internal import LayerArchive
internal import LinuxSystem
internal import OCIImage
internal import Synchronization

/// Keeps content and layers from being collected while something is being made of them: a pull, an import, an unpacking.
///
/// It is a file of digests that a process holds locked; it ends with `end`, with its last reference, and with the process.
public final class Lease: Sendable {
    let name: String
    private let store: ImageStore
    private let path: String
    private let state: Mutex<State>

    private struct State: ~Copyable, Sendable {
        var lock: FileLock?
        var held: Set<String> = []
        /// A line was not written whole, because the disk is full.
        var isCut = false
    }

    init(_ store: ImageStore) throws(StoreError) {
        self.store = store
        name = uniqueName()
        let path = "\(store.paths.leases)/\(name)"
        self.path = path
        // Not between a collection's look at the leases and its end.
        let gate = try store.lock("collection", exclusive: false)
        defer { withExtendedLifetime(gate) {} }
        let lock = try StoreError.wrapped("make the lease \(path)") { () throws(SystemError) in try FileLock(path, exclusive: true, removable: true) }
        state = Mutex(State(lock: lock))
    }

    deinit { end() }

    /// Lets go of everything.
    public func end() {
        state.withLock { state in
            guard state.lock != nil else { return }
            // A lease whose file stays is removed by the next collection, which finds that nobody holds it.
            try? DurableFile.remove(path)
            state.lock = nil
        }
    }

    func hold(blob digest: Digest) throws(StoreError) { try hold("blob \(digest)") }
    func hold(layer chainID: Digest, _ driver: DriverKind) throws(StoreError) { try hold("layer \(driver.rawValue) \(chainID.hex)") }

    /// Once it returns no collection removes what the line names; whoever asks for something asks first for the lease, and then whether it is there.
    private func hold(_ line: String) throws(StoreError) {
        if state.withLock({ $0.lock != nil && $0.held.contains(line) }) { return }
        let gate = try store.lock("collection", exclusive: false)
        defer { withExtendedLifetime(gate) {} }
        let path = path
        do throws(SystemError) {
            try state.withLock { (state) throws(SystemError) in
                guard state.lock != nil else { throw SystemError(.badDescriptor, "lease that has ended") }
                if state.held.contains(line) { return }
                let text = (state.isCut ? "\n" : "") + line + "\n"
                state.isCut = true
                try state.lock?.descriptor.writeAll(Array(text.utf8))
                state.isCut = false
                state.held.insert(line)
            }
        } catch { throw .system("write the lease \(path)", error) }
    }

    /// What the leases that somebody holds keep; the others' files are removed. The collection's lock is held.
    static func all(in store: ImageStore, except own: Lease? = nil) throws(StoreError) -> Set<String> {
        var kept: Set<String> = []
        for name in try StoreError.wrapped("read the leases", { () throws(SystemError) in try DurableFile.names(in: store.paths.leases) }) where name != own?.name {
            let path = "\(store.paths.leases)/\(name)"
            try StoreError.wrapped("read the lease \(path)") { () throws(SystemError) in
                do throws(SystemError) {
                    // Nobody can begin to hold it meanwhile: names are not used twice.
                    if let lock = try FileLock.attempt(path, exclusive: false) {
                        withExtendedLifetime(lock) {}
                        return try DurableFile.remove(path)
                    }
                    kept.formUnion(String(decoding: try readFile(path, limit: 1 << 30), as: UTF8.self).split(separator: "\n").map(String.init))
                    kept.insert("lease \(name)")
                } catch where error.errno == .noSuchFile {}
            }
        }
        return kept
    }
}

extension ImageStore {
    /// What is held by it is safe from `collect`.
    public func lease() throws(StoreError) -> Lease { try Lease(self) }
}
