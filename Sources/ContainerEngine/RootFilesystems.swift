public import ContainerRuntime
internal import Glibc
internal import JSONText
internal import LinuxSystem

/// Where containers' root file systems come from.
public protocol RootFilesystems: Sendable {
    /// What `run` was given: what the container starts from. Nothing is made yet.
    func look(up name: String) throws(EngineError) -> RootSource
    /// Makes what a new container needs of its own.
    func make(for id: String, _ source: RootSource) throws(EngineError)
    /// Makes the root directory usable, for a start; again and again is no error.
    /// - Returns: its path on the host.
    func mount(_ record: ContainerRecord) throws(EngineError) -> String
    /// Undoes `mount` after the container's end; what is not mounted is no error.
    func unmount(_ record: ContainerRecord) throws(EngineError)
    /// Removes what `make` made; what is gone is no error.
    func remove(_ record: ContainerRecord) throws(EngineError)
    /// What a machine puts the root together of itself, instead of `mount`; nil where it is to be shared as a directory.
    func images(_ record: ContainerRecord) throws(EngineError) -> RootImages?
    /// Shows, read-only, what a machine has put together itself, as it is now. Undone by `unmount`.
    /// - Returns: the root directory's path on the host.
    func view(_ record: ContainerRecord) throws(EngineError) -> String
}

/// What a container starts from.
public struct RootSource: Equatable, Sendable {
    /// As it is shown.
    public var name: String
    public var imageID = ""
    public var settings = ImageSettings()
    /// A directory of the host that is the root as it is.
    public var directory = ""
    public init(name: String) { self.name = name }
}

/// `--rootfs`: a directory of the host, which containers use as it is and leave as they make it.
public struct DirectoryRoots: RootFilesystems {
    private let surroundings: Surroundings
    public init(_ surroundings: Surroundings) { self.surroundings = surroundings }

    public func look(up name: String) throws(EngineError) -> RootSource {
        var source = RootSource(name: name)
        let path = surroundings.absolute(name)
        guard path != "/" else { throw EngineError("--rootfs \(quoted(name)): the host's own root is no container's") }
        try check(path)
        do throws(SystemError) {
            // Without links, so that it stays the same directory.
            let directory = try OwnedDescriptor(opening: path, flags: O_PATH | O_DIRECTORY)
            let real = try OwnedDescriptor(opening: "/proc/self/fd/\(directory.rawValue)", flags: O_PATH | O_NOFOLLOW).readSymbolicLink()
            source.directory = String(decoding: real, as: UTF8.self)
        } catch { throw EngineError("--rootfs \(quoted(name))", error) }
        return source
    }

    private func check(_ path: String) throws(EngineError) {
        do throws(SystemError) { _ = try OwnedDescriptor(opening: path, flags: O_PATH | O_DIRECTORY) } catch {
            throw EngineError("the root directory \(path): \(error.errno): --rootfs takes a directory that has the container's file system")
        }
    }

    public func make(for id: String, _ source: RootSource) throws(EngineError) {}
    public func mount(_ record: ContainerRecord) throws(EngineError) -> String {
        try check(record.rootfs)
        return record.rootfs
    }
    public func unmount(_ record: ContainerRecord) throws(EngineError) {}
    public func remove(_ record: ContainerRecord) throws(EngineError) {}
    public func images(_ record: ContainerRecord) throws(EngineError) -> RootImages? { nil }
    public func view(_ record: ContainerRecord) throws(EngineError) -> String { try mount(record) }
}
