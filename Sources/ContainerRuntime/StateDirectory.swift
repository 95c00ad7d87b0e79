internal import CLinux
internal import Glibc
internal import JSONText
internal import LinuxSystem
internal import OCISpec

/// The folder of all containers' states (`--root`), and one container's place in it.
///
///     ROOT/ID/state.json   the record, replaced as a whole
///     ROOT/ID/config.json  the bundle's, as it was when the container was created
///     ROOT/ID/vmm.sock     the machine's control socket
///     ROOT/ID/vmm.log      the machine's messages
///     ROOT/ID/start, ROOT/ID/answer  where a process of this host waits to be started
///     ROOT/.ID@lock        held while a command changes the container (no container's name has an `@`)
public struct StateDirectory: Sendable {
    public let root: String
    public let id: String
    public var path: String { root + "/" + id }
    static let socketName = "vmm.sock"
    var socketPath: String { path + "/" + Self.socketName }
    var logPath: String { path + "/vmm.log" }
    var startPath: String { path + "/start" }
    var answerPath: String { path + "/answer" }
    private var recordPath: String { path + "/state.json" }
    private var configurationPath: String { path + "/config.json" }
    private var lockPath: String { root + "/." + id + "@lock" }

    /// - Throws: when the name cannot be used.
    public init(root: String, id: String) throws(RuntimeError) {
        if let problem = ContainerID.problem(id) { throw RuntimeError(problem) }
        self.root = root
        self.id = id
    }

    /// Excludes other commands on the same container until the lock is dropped; waits for one that holds it.
    public func lock() throws(RuntimeError) -> StateLock {
        do throws(SystemError) {
            try Self.makeFolders(root)
            while true {
                let file = try OwnedDescriptor(opening: lockPath, flags: O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
                let raw = file.rawValue
                try retried("flock", path: lockPath) { clinux_flock(raw, LOCK_EX) }
                // The one who held it may have removed the file: then this lock is of a file that nobody else will find.
                if Self.isSame(file, lockPath) { return StateLock(file, path: lockPath) }
            }
        } catch { throw RuntimeError("cannot lock the state of container \(id)", error) }
    }

    /// What a command that was killed before it made anything left behind.
    func removeStaleLock() throws(RuntimeError) {
        var status = stat()
        if unsafe clinux_fstatat(AT_FDCWD, lockPath, &status, AT_SYMLINK_NOFOLLOW) == 0 { _ = try lock() }
    }

    private static func isSame(_ file: borrowing OwnedDescriptor, _ path: String) -> Bool {
        var mine = stat()
        var theirs = stat()
        return unsafe clinux_fstatat(file.rawValue, "", &mine, AT_EMPTY_PATH) == 0 && clinux_fstatat(AT_FDCWD, path, &theirs, AT_SYMLINK_NOFOLLOW) == 0
            && mine.st_ino == theirs.st_ino && mine.st_dev == theirs.st_dev
    }

    /// Makes a folder and its parents, for this user only.
    static func makeFolders(_ path: String) throws(SystemError) {
        var done = ""
        for part in path.split(separator: "/") {
            done += "/" + part
            let result = unsafe clinux_mkdirat(AT_FDCWD, done, 0o700)
            if result < 0 && result != -Int(EEXIST) { try checked(result, "mkdir", path: done) }
        }
    }

    /// Makes the container's folder. The caller holds the lock.
    /// - Throws: when there is a container of that name.
    func create() throws(RuntimeError) {
        do throws(SystemError) {
            try unsafe checked(clinux_mkdirat(AT_FDCWD, path, 0o700), "mkdir", path: path)
        } catch where error.errno == .fileExists {
            // A folder without a record is all that a `create` killed at its very start left: no machine runs before there is one.
            var status = stat()
            guard unsafe clinux_fstatat(AT_FDCWD, recordPath, &status, AT_SYMLINK_NOFOLLOW) == -Int(ENOENT) else {
                throw RuntimeError("container with given ID already exists")
            }
            try remove()
            do throws(SystemError) {
                try unsafe checked(clinux_mkdirat(AT_FDCWD, path, 0o700), "mkdir", path: path)
            } catch { throw RuntimeError("cannot create the state directory", error) }
        } catch { throw RuntimeError("cannot create the state directory", error) }
    }

    /// Keeps the configuration: changes to the bundle's after `create` must not concern the container (runtime.md, "Lifecycle").
    func save(configuration: RuntimeSpec) throws(RuntimeError) {
        try replace(configurationPath, configuration.json.bytes())
    }

    /// The configuration that the container was created from.
    func configuration() throws(RuntimeError) -> RuntimeSpec {
        let text: [UInt8]
        do throws(SystemError) { text = try readFile(configurationPath) } catch { throw RuntimeError("cannot read the state of container \(id)", error) }
        do throws(ConfigurationError) { return try RuntimeSpec.parse(text).spec } catch { throw RuntimeError("the state of container \(id) is damaged: \(error)") }
    }

    /// The record.
    /// - Throws: `container does not exist`.
    public func load() throws(RuntimeError) -> ContainerRecord {
        let text: [UInt8]
        do throws(SystemError) {
            text = try readFile(recordPath)
        } catch where error.errno == .noSuchFile || error.errno == .notDirectory {
            throw RuntimeError("container does not exist")
        } catch { throw RuntimeError("cannot read the state of container \(id)", error) }
        return try ContainerRecord(parsing: text)
    }

    func save(_ record: ContainerRecord) throws(RuntimeError) { try replace(recordPath, record.text()) }

    /// Writes a file whole or not at all.
    private func replace(_ path: String, _ bytes: [UInt8]) throws(RuntimeError) {
        do throws(SystemError) {
            let new = path + ".new"
            try writeFile(new, bytes, mode: 0o600)
            try unsafe checked(clinux_renameat2(AT_FDCWD, new, AT_FDCWD, path, 0), "rename", path: path)
        } catch { throw RuntimeError("cannot write the state of container \(id)", error) }
    }

    var exists: Bool {
        var status = stat()
        return unsafe clinux_fstatat(AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) == 0
    }

    /// Removes the container's folder. All its files are known by name.
    func remove() throws(RuntimeError) {
        do throws(SystemError) {
            // The record last: while it is there, `delete` finds the rest again.
            for name in ["vmm.sock", "vmm.log", "start", "answer", "config.json.new", "config.json", "state.json.new", "state.json"] {
                let result = unsafe clinux_unlinkat(AT_FDCWD, path + "/" + name, 0)
                if result < 0 && result != -Int(ENOENT) { try checked(result, "unlink", path: path + "/" + name) }
            }
            let result = unsafe clinux_unlinkat(AT_FDCWD, path, AT_REMOVEDIR)
            if result < 0 && result != -Int(ENOENT) { try checked(result, "rmdir", path: path) }
        } catch { throw RuntimeError("cannot remove the state of container \(id)", error) }
    }

    /// The machine's last error message, if it left one.
    func lastMachineError() -> String? {
        guard let text = try? readFile(logPath, limit: 1 << 20) else { return nil }
        let errors = String(decoding: text, as: UTF8.self).split(separator: "\n").filter { $0.hasPrefix("error: ") }
        return errors.last.map { String($0.dropFirst("error: ".count)) }
    }

    /// The names of all containers below `root`.
    public static func identifiers(root: String) throws(RuntimeError) -> [String] {
        guard let folder = unsafe opendir(root) else {
            if errno == ENOENT { return [] }
            throw RuntimeError("cannot read \(root)", SystemError(Errno(rawValue: errno), "opendir"))
        }
        defer { unsafe closedir(folder) }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            var status = stat()
            let isFolder = unsafe clinux_fstatat(dirfd(folder), name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_mode & S_IFMT == S_IFDIR
            if isFolder && ContainerID.problem(name) == nil { names.append(name) }
        }
        return names.sorted()
    }
}

/// A held lock; letting go of it removes its file.
public final class StateLock {
    private let file: OwnedDescriptor
    private let path: String
    init(_ file: consuming OwnedDescriptor, path: String) {
        self.file = file
        self.path = path
    }
    deinit { _ = unsafe clinux_unlinkat(AT_FDCWD, path, 0) }
}
