public import ArgumentParser
public import ContainerRuntime
import Glibc
import JSONText
import LinuxSystem
import OCISpec
import Synchronization

/// The root command: runc's global flags. Each verb is a file beside this one.
struct NacelleOCI: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nacelle-oci",
        abstract: "An OCI runtime that runs every container in a KVM microVM of its own, or on request in namespaces of this host.",
        discussion: """
            Engines select it as they select runc: podman --runtime, dockerd --add-runtime, ctr run --runc-binary. By hand: make a bundle (a folder \
            with config.json and rootfs/; `nacelle-oci spec` writes a config.json), then `nacelle-oci run ID` in it. Called by a name that ends in \
            `-namespace` (a link), it makes containers without a machine, as with --isolation namespace.

            Files: /run/nacelle (state; --root), /etc/nacelle/config.toml (settings; --config or NACELLE_CONFIG names another), nacelle-vmm, nacelle-init, guest/vmlinux and guest/root.erofs beside this program or in ../libexec/nacelle \
            (NACELLE_VMM, NACELLE_INIT, NACELLE_KERNEL and NACELLE_GUEST_IMAGE name others). `nacelle-oci doctor` checks the machine.
            """,
        version: Version.text,
        subcommands: [
            Create.self, Start.self, State.self, Kill.self, Delete.self, Run.self, Exec.self, List.self, Pause.self, Resume.self, Ps.self,
            Update.self, Events.self, Spec.self, FeaturesCommand.self, Doctor.self, Checkpoint.self, Restore.self,
        ])

    @Option(help: "Folder for the containers' state: /run/nacelle, or for an ordinary user $XDG_RUNTIME_DIR/nacelle.") var root: String?
    @Option(help: "Configuration file instead of /etc/nacelle/config.toml.") var config: String?
    @Option(help: "File to write the log to instead of standard error.") var log: String?
    @Option(help: "Format of the log: text or json.") var logFormat: RuntimeLog.Format?
    @Flag(help: "Log what is done.") var debug = false
    @Option(help: "How new containers are kept apart from the host: microvm (the default), namespace, or auto.") var isolation: IsolationChoice?
    @Flag(help: "Have systemd make the control group; linux.cgroupsPath is slice:prefix:name.") var systemdCgroup = false
    @Option(help: "crun's: cgroupfs (the default), systemd (the same as --systemd-cgroup), or disabled.") var cgroupManager: ControlGroupDriver?
    @Option(help: "Do without control groups and device rules where they cannot be had: true, false or auto (the default).") var rootless: String?
    @Option(help: ArgumentHelp("Accepted as runc does.", visibility: .hidden)) var criu: String?

    func validate() throws {
        if root?.isEmpty == true { throw ValidationError("--root: is empty: the name of a folder is expected") }
        do throws(RuntimeError) { _ = try Rootless.choice(rootless) } catch { throw ValidationError(error.message) }
    }

    func makeLog() throws(RuntimeError) -> RuntimeLog {
        let file = try configuration()
        return try RuntimeLog(path: log ?? file.log, format: logFormat ?? file.logFormat ?? .text, debug: debug || file.debug ?? false)
    }

    func container(_ id: String) throws(RuntimeError) -> Container {
        let container = try Container(root: absoluteRoot, id: id, log: makeLog(), configuration: configuration())
        container.isRootless = try Rootless.choice(rootless)
        container.controlGroupDriver = cgroupManager ?? (systemdCgroup ? .systemd : .cgroupfs)
        return container
    }

    var absoluteRoot: String {
        get throws(RuntimeError) {
            if let root { return absolutePath(root) }
            if let root = try configuration().root { return root }
            return try Rootless.defaultRoot()
        }
    }

    /// The configuration file, read once.
    func configuration() throws(RuntimeError) -> ConfigurationFile {
        if let known = Self.known.withLock({ $0 }) { return known }
        let file = try ConfigurationFile.load(config.map(absolutePath))
        Self.known.withLock { $0 = file }
        return file
    }

    private static let known = Mutex<ConfigurationFile?>(nil)
}

extension RuntimeLog.Format: ExpressibleByArgument {}
extension ControlGroupDriver: ExpressibleByArgument {}

/// Makes a path absolute by this process's working directory.
func absolutePath(_ path: String) -> String {
    if path.hasPrefix("/") { return path }
    guard let folder = unsafe getcwd(nil, 0) else { return path }
    defer { unsafe free(folder) }
    let base = unsafe String(cString: folder)
    return path == "." || path.isEmpty ? base : base + "/" + path
}

/// The same path without symbolic links and `..`; as it is when there is nothing there.
func realPath(_ path: String) -> String {
    guard let resolved = unsafe realpath(path, nil) else { return path }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
}

enum Version {
    static let text = "nacelle-oci version \(ProgramVersion.number)\nspec: \(RuntimeSpec.version)"
}

public enum Program {
    public static func main() {
        // A caller may leave standard streams closed; what is opened next must not take their numbers.
        while let null = try? OwnedDescriptor(opening: "/dev/null", flags: O_RDWR), null.rawValue <= 2 { _ = null.release() }
        _ = signal(SIGPIPE, SIG_IGN)
        let arguments = Array(CommandLine.arguments.dropFirst())
        if arguments == ["-v"] || arguments == ["--version"] { return print(Version.text) }
        if arguments.first == ExecHelper.verb { ExecHelper.run(Array(arguments.dropFirst())) }
        let failureLog = { Globals.parse(arguments).flatMap { try? $0.makeLog() } }
        do {
            let plain = try PlainArguments.command(arguments) ?? Globals.specCommand(arguments)
            if plain == nil { try Globals.checkVerb(arguments) }
            var command = try plain ?? NacelleOCI.parseAsRoot(arguments)
            try command.run()
        } catch let error as RuntimeError {
            if let log = failureLog() { log.error(error.message) } else { complain(error.message) }
            exit(error.exitStatus)
        } catch let error as ExitCode {
            exit(error.rawValue)
        } catch {
            let text = NacelleOCI.fullMessage(for: error)
            if NacelleOCI.exitCode(for: error).isSuccess {
                print(text)
                exit(0)
            }
            complain(text)
            if let log = Globals.parse(arguments).flatMap({ try? $0.makeLog() }), Globals.parse(arguments)?.log != nil { log.error(NacelleOCI.message(for: error)) }
            exit(1)
        }
    }

    private static func complain(_ text: String) { writeError(printable(text) + "\n") }
}

func writeError(_ text: String) { if let standardError = try? OwnedDescriptor(duplicating: 2) { try? standardError.writeAll(Array(text.utf8)) } }

/// The global flags by themselves, for errors that come before (or outside of) a verb.
private enum Globals {
    static func parse(_ arguments: [String]) -> NacelleOCI? { PlainLine(arguments)?.parent ?? (try? NacelleOCI.parse(split(arguments).own)) }

    /// `spec --rootless` is a flag and the global `--rootless` has a value: ArgumentParser would take the one for the other.
    static func specCommand(_ arguments: [String]) throws -> (any ParsableCommand)? {
        let rest = split(arguments).rest
        guard rest.first == "spec", rest.contains("--rootless"), parse(arguments) != nil else { return nil }
        return try Spec.parse(Array(rest.dropFirst()))
    }

    /// ArgumentParser would call an unknown verb, and all that follows it, unexpected arguments.
    static func checkVerb(_ arguments: [String]) throws(RuntimeError) {
        let verbs = NacelleOCI.configuration.subcommands.compactMap { $0.configuration.commandName }
        guard let verb = split(arguments).rest.first, verb != "help", !verbs.contains(verb) else { return }
        throw RuntimeError("unknown verb \(quoted(verb)): there are \(verbs.joined(separator: ", "))")
    }

    /// Only the flags before the verb; the rest may be what is wrong.
    private static func split(_ arguments: [String]) -> (own: [String], rest: ArraySlice<String>) {
        var own: [String] = []
        var index = 0
        while index < arguments.count, arguments[index].hasPrefix("-") {
            own.append(arguments[index])
            if PlainArguments.globals.contains(where: { $0.takesValue && $0.names.contains(arguments[index]) }), index + 1 < arguments.count {
                index += 1
                own.append(arguments[index])
            }
            index += 1
        }
        return (own, arguments[index...])
    }
}
