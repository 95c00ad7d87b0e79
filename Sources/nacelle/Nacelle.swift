import ArgumentParser
import ContainerEngine
import ContainerRuntime
import Glibc
import JSONText
import LinuxSystem
import OCISpec

/// The root command: global flags. Each verb is a file beside this one.
struct Nacelle: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nacelle",
        abstract: "Run containers, each in a KVM microVM of its own.",
        discussion: """
            nacelle run -it docker.io/library/busybox fetches an image and runs it; nacelle run --rootfs DIR sh runs a program on a directory that has a root file system. The words and flags are podman's and Docker's. \
            Containers are made by nacelle-oci (beside this program, or in PATH) in a microVM, on request in namespaces of this host (--isolation namespace), or by another OCI \
            runtime (--runtime runc).

            Files: /var/lib/nacelle (containers and images; for an ordinary user $XDG_DATA_HOME/nacelle or ~/.local/share/nacelle; --root), /run/nacelle-engine (the runtime's states), \
            /etc/nacelle/config.toml (settings; --config or NACELLE_CONFIG names another). `nacelle doctor` says whether microVMs can run here.

            Exit statuses: the program's own, 128 + N when signal N ended it, 125 for an error of nacelle's, 126 for a program that cannot be run, 127 for one that is not there.
            """,
        version: "nacelle version \(ProgramVersion.number)",
        subcommands: [
            Run.self, Create.self, Start.self, Stop.self, Restart.self, Kill.self, Rm.self, Ps.self, Exec.self, Attach.self, Logs.self, Inspect.self, Cp.self, Wait.self, Top.self, Pause.self, Unpause.self, Rename.self,
            Stats.self, Diff.self, Commit.self, Export.self, Pull.self, Push.self, ListImages.self, Rmi.self, Tag.self, Load.self, Save.self, Import.self, History.self, Login.self, Logout.self, VolumeVerb.self, Prune.self, Fsck.self, Doctor.self, Bench.self, Info.self, VersionCommand.self, Supervise.self,
        ])

    @Option(help: "Folder for containers instead of /var/lib/nacelle.") var root: String?
    @Option(help: "Configuration file instead of /etc/nacelle/config.toml.") var config: String?

    func engine() throws -> Engine { try Engine(data: root, configuration: config, try Surroundings.current()) }
}

@main
enum Program {
    static func main() {
        // A caller may leave standard streams closed; what is opened next must not take their numbers.
        while let null = try? OwnedDescriptor(opening: "/dev/null", flags: O_RDWR), null.rawValue <= 2 { _ = null.release() }
        let arguments = Array(CommandLine.arguments.dropFirst())
        do {
            try checkVerb(arguments)
            var command = try Nacelle.parseAsRoot(arguments)
            try command.run()
        } catch let error as EngineError {
            // Without a message somebody else has said it.
            if !error.message.isEmpty { Output.complain(error.message) }
            exit(error.exitStatus)
        } catch let error as ExitCode {
            exit(error.rawValue)
        } catch {
            if Nacelle.exitCode(for: error).isSuccess {
                Output.write(Nacelle.fullMessage(for: error) + "\n")
                exit(0)
            }
            if let refusal = Refusal.find(in: arguments) { Output.complain(refusal) } else { Output.write(printable(Nacelle.fullMessage(for: error)) + "\n", to: 2) }
            exit(EngineError.ownFailure)
        }
    }

    /// ArgumentParser would call an unknown verb, and all that follows it, unexpected arguments.
    private static func checkVerb(_ arguments: [String]) throws(EngineError) {
        if arguments.first?.hasPrefix("--generate-completion-script") == true || arguments.first == "---completion" { return }
        var rest = arguments[...]
        while let first = rest.first, first.hasPrefix("-") { rest = rest.dropFirst(first == "--root" || first == "--config" ? 2 : 1) }
        let verbs = Nacelle.configuration.subcommands.filter { $0.configuration.shouldDisplay }.compactMap { $0.configuration.commandName }
        guard let verb = rest.first, verb != "help", verb != Engine.supervisorVerb, !verbs.contains(verb) else { return }
        if let advice = Refusal.verbs[verb] { throw EngineError("\(verb): \(advice)") }
        throw EngineError("unknown verb \(quoted(verb)): there are \(verbs.joined(separator: ", "))")
    }
}

/// What goes to the user.
enum Output {
    static func write(_ text: String, to descriptor: Int32 = 1) { write(Array(text.utf8), to: descriptor) }

    /// Whoever does not read any more has ended this program by SIGPIPE; another failure ends it here.
    static func write(_ bytes: [UInt8], to descriptor: Int32 = 1) {
        do throws(SystemError) { try OwnedDescriptor(duplicating: descriptor).writeAll(bytes) } catch { exit(EngineError.ownFailure) }
    }

    static func line(_ text: String) { write(text + "\n") }
    static func complain(_ message: String) { write("Error: " + printable(message) + "\n", to: 2) }

    /// Does something for each of several names, and tells of each failure; the last one's status is the program's.
    static func each(_ names: [String], _ body: (String) throws(EngineError) -> Void) throws {
        var status: Int32 = 0
        for name in names {
            do throws(EngineError) { try body(name) } catch {
                complain(error.message)
                status = error.exitStatus
            }
        }
        if status != 0 { throw ExitCode(status) }
    }
}

/// Flags that podman and Docker have and this program does not, with what to do instead.
enum Refusal {
    private static let flags: [(names: [String], advice: String)] = [
        (["-p", "--publish", "-P", "--publish-all", "--expose"], "ports are not published: containers have no network but loopback; with --isolation namespace --network host they share this host's"),
        (["--restart"], "containers are not restarted by themselves: have a service manager run `nacelle run`"),
        (["--gpus"], "drivers of this host are not passed on; with --isolation namespace, --device passes a device on"),
        (["--link", "--ip", "--mac-address", "--network-alias"], "containers have no network but loopback: there is nothing to set"),
        (["--volumes-from"], "name the volumes by --volume"),
        (["--pid", "--ipc", "--uts", "--cgroupns", "--userns", "--pod"], "containers have namespaces of their own"),
        (["--health-cmd", "--no-healthcheck", "--health-interval"], "health checks are not run: use nacelle exec"),
        (["--detach-keys"], "they are Ctrl-P Ctrl-Q"),
        (["--cpu-quota", "--cpu-period"], "write --cpus, with a fraction"),
        (["--log-driver"], "there is one form of logs: --no-log keeps none, --log-opt max-size= and max-file= bound them"),
    ]

    /// The same of verbs.
    static let verbs = [
        "build": "images are not built here: let buildah or podman build one, and push it to a registry or `nacelle load` its archive",
        "port": "ports are not published: containers have no network but loopback",
        "network": "there are no networks to make: --network is none or host",
        "update": "limits are fixed when a container is made: make another one",
        "search": "registries are not searched: look on the registry's own pages",
        "system": "write `nacelle info`, or `nacelle prune` (--volumes)",
        "container": "verbs stand alone: `nacelle ps`, `nacelle rm` …",
        "image": "verbs stand alone: `nacelle images`, `nacelle rmi`, `nacelle inspect` …",
    ]

    /// Flags that do not exist come here as the first word of the command, and so does `--help`.
    static func check(_ word: String, of verb: any ParsableCommand.Type) throws {
        if word == "--help" { throw CleanExit.helpRequest(verb) }
        guard word.hasPrefix("-") else { return }
        // ArgumentParser takes what follows the sign for a value, and the rest for a name.
        if word.count > 3, !word.hasPrefix("--"), word.contains("="), let letter = word.dropFirst().first {
            throw EngineError("\(quoted(word)): write -\(letter) \(word.dropFirst(2)), with a blank")
        }
        throw EngineError(find(in: [word]) ?? "unknown flag \(quoted(word)): --help lists those that there are")
    }

    static func find(in arguments: [String]) -> String? {
        for argument in arguments.prefix(while: { $0 != "--" }) {
            let name = String(argument.prefix { $0 != "=" })
            if let flag = flags.first(where: { $0.names.contains(name) }) { return "\(name): \(flag.advice)" }
        }
        return nil
    }
}
