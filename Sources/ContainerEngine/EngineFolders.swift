internal import Glibc
internal import LinuxSystem

/// Where the engine keeps what.
///
///     DATA/containers/ID/    a container (ContainerFolder)
///     DATA/store/            images, and the files of containers that were made of them (ImageStore)
///     DATA/lock              held while a name is being given
///     RUN/                   the OCI runtime's own states (its --root)
///     RUN-NAME/              those of another runtime
public struct EngineFolders: Equatable, Sendable {
    /// /var/lib/nacelle, or for an ordinary user $XDG_DATA_HOME/nacelle.
    public var data: String
    /// /run/nacelle-engine, or for an ordinary user $XDG_RUNTIME_DIR/nacelle-engine. Short: sockets lie in it, whose paths may have 107 bytes.
    public var run: String

    public init(data: String, run: String) { (self.data, self.run) = (data, run) }

    /// - Parameter data: what a flag or the configuration file says.
    public static func standard(_ surroundings: Surroundings, data: String?) throws(EngineError) -> EngineFolders {
        let isRoot = surroundings.user == 0
        let runtimeFolder = surroundings.variable("XDG_RUNTIME_DIR").flatMap { $0.hasPrefix("/") ? $0 : nil }
        let run = isRoot ? "/run/nacelle-engine" : runtimeFolder.map { $0 + "/nacelle-engine" } ?? "/tmp/nacelle-engine-\(surroundings.user)"
        if let data { return EngineFolders(data: surroundings.absolute(data), run: run) }
        if isRoot { return EngineFolders(data: "/var/lib/nacelle", run: run) }
        if let home = surroundings.variable("XDG_DATA_HOME"), home.hasPrefix("/") { return EngineFolders(data: home + "/nacelle", run: run) }
        guard let home = surroundings.variable("HOME"), home.hasPrefix("/") else {
            throw EngineError("there is no place for containers: set HOME or XDG_DATA_HOME, or use --root DIR")
        }
        return EngineFolders(data: home + "/.local/share/nacelle", run: run)
    }

    public var containers: String { data + "/containers" }

    /// The `--root` of a runtime.
    func states(of runtime: String) -> String { runtime == OCIRuntime.ownName ? run : run + "-" + runtime }

    /// Makes the folders, for this user only.
    func make() throws(EngineError) {
        do throws(SystemError) {
            try makeFolders(containers)
            try makeFolders(run)
        } catch { throw EngineError("cannot make the engine's folders", error) }
        // Anybody may make a folder of this name in /tmp.
        do throws(SystemError) {
            let attributes = try OwnedDescriptor(opening: run, flags: O_PATH | O_DIRECTORY | O_NOFOLLOW).attributes()
            guard attributes.user == geteuid(), attributes.mode & 0o022 == 0 else { throw SystemError(.notPermitted, "it belongs to another user, or others may write to it", path: run) }
        } catch { throw EngineError("cannot use the folder of states", error) }
    }
}

/// Makes a folder and its parents; new ones are for this user only.
func makeFolders(_ path: String) throws(SystemError) {
    var parent = try OwnedDescriptor(opening: "/", flags: O_PATH | O_DIRECTORY)
    for part in path.split(separator: "/") {
        let name = try EntryName(String(part))
        do throws(SystemError) { try parent.makeDirectory(name, mode: 0o700) } catch where error.errno == .fileExists || error.errno == .readOnly {
            // There already, as the next step finds out.
        } catch { throw SystemError(error.errno, "mkdir", path: path) }
        parent = try OwnedDescriptor(opening: String(part), at: parent, flags: O_PATH | O_DIRECTORY)
    }
}
