internal import ContainerRuntime
internal import Glibc
internal import JSONText
internal import LinuxSystem
public import OCISpec

/// One container's folder.
///
///     container.json        the record, written when the container is made
///     state.json            the state, replaced as a whole
///     config.json           the bundle's
///     root-images.json      the bundle's, if the machine has put its root together itself since it was last started
///     disk.ext4             what it writes, if it keeps that on a disk of its machine's
///     hosts, hostname       the container's own /etc/hosts and /etc/hostname
///     volumes/N             anonymous volumes
///     log, log.1 …          output
///     supervisor            locked by the supervisor as long as it lives
///     supervisor.log        what it has to complain of
///     attach                the supervisor's socket
///     paused                there while it is paused
///     runtime.log, pid      of the runtime's last command
public struct ContainerFolder: Sendable {
    public let path: String
    /// 64 hexadecimal digits.
    public let id: String

    public init(containers: String, id: String) {
        (path, self.id) = (containers + "/" + id, id)
    }

    static func isID(_ text: String) -> Bool {
        text.utf8.count == 64 && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0) }
    }

    public var logPath: String { path + "/log" }
    public var configurationPath: String { path + "/config.json" }
    var diskPath: String { path + "/" + UpperDisk.fileName }
    var runtimeLogPath: String { path + "/runtime.log" }
    var pidPath: String { path + "/pid" }
    var supervisorLogPath: String { path + "/supervisor.log" }

    /// A path of the folder that is short whatever the folder's is: a socket's may have 107 bytes. Valid while `folder` is open, in this process.
    static func shortPath(_ name: String, in folder: borrowing OwnedDescriptor) -> String { "/proc/self/fd/\(folder.rawValue)/\(name)" }

    func open() throws(SystemError) -> OwnedDescriptor { try OwnedDescriptor(opening: path, flags: O_PATH | O_DIRECTORY | O_NOFOLLOW) }

    // MARK: Records

    public func record() throws(EngineError) -> ContainerRecord { try read("container.json") ?? ContainerRecord() }
    public func state() throws(EngineError) -> ContainerState { try read("state.json") ?? ContainerState() }
    func save(_ record: ContainerRecord) throws(EngineError) { try replace("container.json", record.json) }
    func save(_ state: ContainerState) throws(EngineError) { try replace("state.json", state.json) }

    public func configuration() throws(EngineError) -> RuntimeSpec {
        let text = try doing("cannot read container \(id.prefix(12))'s configuration") { () throws(SystemError) in try readFile(configurationPath) }
        do throws(ConfigurationError) { return try RuntimeSpec.parse(text).spec } catch { throw EngineError("container \(id.prefix(12)) is damaged: \(error)") }
    }

    /// Whether the machine puts its root together itself: while it runs, what the host mounts must not be written to.
    var hasRootImages: Bool { (try? OwnedDescriptor(opening: path + "/" + RootImages.fileName, flags: O_PATH)) != nil }

    /// nil when the file is not there: a command that made or removed the container was interrupted.
    private func read<Value: SpecObject>(_ name: String) throws(EngineError) -> Value? {
        let text: [UInt8]
        do throws(SystemError) { text = try readFile(path + "/" + name, limit: Self.largestFile) } catch {
            if error.errno == .noSuchFile { return nil }
            throw EngineError("cannot read container \(id.prefix(12))", error)
        }
        var unknown: [String] = []
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: text) } catch { throw damaged(name, "\(error)") }
        do throws(JSONShapeError) { return try Value(JSONCursor(value), unknown: &unknown) } catch { throw damaged(name, "\(error)") }
    }

    private func damaged(_ name: String, _ why: String) -> EngineError {
        EngineError("container \(id.prefix(12)) is damaged: \(path)/\(name): \(why); `nacelle rm -f \(id.prefix(12))` removes it")
    }

    /// Bytes of a file that can be read again, which is what the runtimes take of config.json.
    private static let largestFile = 4 << 20

    /// Writes a file whole or not at all.
    func replace(_ name: String, _ value: JSONValue) throws(EngineError) {
        let bytes = value.bytes()
        guard bytes.count <= Self.largestFile else {
            throw EngineError("container \(id.prefix(12)): \(name) would have \(bytes.count) bytes, more than \(Self.largestFile): the image, or the flags, have too much environment, too many labels or volumes")
        }
        do throws(SystemError) {
            try writeFile("\(path)/\(name).new", bytes, mode: 0o600)
            let folder = try open()
            try folder.rename(try EntryName(name + ".new"), to: folder, try EntryName(name), flags: 0)
        } catch { throw EngineError("cannot write container \(id.prefix(12))'s \(name)", error) }
    }

    /// Whether it was paused since it was last started.
    var isPaused: Bool { (try? OwnedDescriptor(opening: path + "/paused", flags: O_PATH)) != nil }

    func setPaused(_ on: Bool) throws(SystemError) {
        if on { return try writeFile(path + "/paused", [], mode: 0o600) }
        do throws(SystemError) { try open().removeFile(try EntryName("paused")) } catch where error.errno == .noSuchFile {}
    }

    // MARK: The supervisor

    /// Takes the lock that a supervisor holds as long as it lives.
    /// - Returns: nil when another one lives.
    func lockSupervisor() throws(EngineError) -> SharedDescriptor? {
        do throws(SystemError) {
            let file = try OwnedDescriptor(opening: path + "/supervisor", flags: O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
            while try !file.lock(wait: false) {
                // Whoever only looks has it shared, and not for long.
                if try !file.lock(shared: true, wait: false) { return nil }
            }
            return SharedDescriptor(file)
        } catch { throw EngineError("cannot lock container \(id.prefix(12))", error) }
    }

    public var hasSupervisor: Bool {
        guard let file = try? OwnedDescriptor(opening: path + "/supervisor", flags: O_RDONLY | O_NOFOLLOW) else { return false }
        // Whoever looks takes it for a moment, shared, so that two who look do not take each other for a supervisor.
        return (try? file.lock(shared: true, wait: false)) == false
    }

    /// Waits until no supervisor lives.
    func waitForSupervisor() throws(EngineError) {
        do throws(SystemError) {
            let file = try OwnedDescriptor(opening: path + "/supervisor", flags: O_RDONLY | O_NOFOLLOW)
            try file.lock(shared: true)
        } catch {
            if error.errno == .noSuchFile || error.errno == .notDirectory { return }
            throw EngineError("cannot wait for container \(id.prefix(12))", error)
        }
    }

    // MARK: Making and removing

    func make() throws(EngineError) {
        do throws(SystemError) {
            let containers = try OwnedDescriptor(opening: String(path.dropLast(id.utf8.count + 1)), flags: O_PATH | O_DIRECTORY)
            try containers.makeDirectory(try EntryName(id), mode: 0o700)
        } catch { throw EngineError("cannot make the container's folder \(path)", error) }
    }

    /// Removes the folder, the record last: while it is there the container can be named.
    func remove() throws(EngineError) {
        do throws(SystemError) {
            let folder = try open()
            let last = try EntryName("container.json")
            for name in try folder.entryNames() where name != last { try folder.removeTree(name) }
            do throws(SystemError) { try folder.removeFile(last) } catch where error.errno == .noSuchFile {}
            let containers = try OwnedDescriptor(opening: String(path.dropLast(id.utf8.count + 1)), flags: O_PATH | O_DIRECTORY)
            try containers.removeDirectory(try EntryName(id))
        } catch {
            if error.errno == .noSuchFile { return }
            throw EngineError("cannot remove container \(id.prefix(12)) whole (`nacelle rm -f` again goes on)", error)
        }
    }
}
