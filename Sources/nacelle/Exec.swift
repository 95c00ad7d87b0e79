import ArgumentParser
import ContainerEngine
import Glibc
import JSONText
import LinuxSystem

struct Exec: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec", abstract: "Run another program in a container that runs.",
        discussion: "The exit status is the program's; 125, 126 or 127 when there was none (nacelle --help).")
    @ParentCommand var parent: Nacelle
    @Flag(name: [.short, .long], help: "Pass standard input on.") var interactive = false
    @Flag(name: [.short, .long], help: "Give it a terminal.") var tty = false
    @Flag(name: [.short, .long], help: "Do not wait.") var detach = false
    @Option(name: [.customShort("e", allowingJoined: true), .long], help: ArgumentHelp("Variable; without a value this process's own. Repeatable.", valueName: "NAME[=VALUE]")) var env: [String] = []
    @Option(help: ArgumentHelp("Variables, one a line. Repeatable.", valueName: "file")) var envFile: [String] = []
    @Option(name: [.customShort("w", allowingJoined: true), .long], help: "Working directory.") var workdir: String?
    @Option(name: [.customShort("u", allowingJoined: true), .long], help: ArgumentHelp("User, by name (in the container) or number.", valueName: "USER[:GROUP]")) var user: String?
    @Flag(help: "All capabilities.") var privileged = false
    @Argument(parsing: .captureForPassthrough, help: ArgumentHelp("The container, and the command.", valueName: "CONTAINER COMMAND")) var arguments: [String]

    func run() throws {
        let engine = try parent.engine()
        if detach && (tty || interactive) { throw EngineError("exec -d: nobody is there for its streams: leave -i and -t out") }
        if tty && interactive && isatty(0) == 0 { throw EngineError("-it: standard input is no terminal: leave -t out to pass a pipe or file on (-i)") }
        var words = arguments
        guard let name = words.first else { throw EngineError("exec: a container and a command are expected") }
        try Refusal.check(name, of: Self.self)
        words.removeFirst()
        if words.first == "--" { words.removeFirst() }
        var options = ExecOptions()
        (options.terminal, options.interactive, options.detaches) = (tty, interactive, detach)
        for path in envFile {
            let bytes: [UInt8]
            do throws(SystemError) { bytes = try readFile(path, limit: 1 << 20) } catch { throw EngineError("--env-file \(path): \(error.errno)") }
            options.environment += try FlagValues.environmentFile(bytes, path: path, engine.surroundings)
        }
        for text in env { if let entry = try FlagValues.environment(text, engine.surroundings) { options.environment.append(entry) } }
        (options.workingDirectory, options.user, options.isPrivileged, options.command) = (workdir, user, privileged, words)
        throw ExitCode(try engine.exec(try engine.store.find(name), options))
    }
}

struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "List the processes in a container.", discussion: "Without a machine by ps(1), whose options may follow (-ef); of a machine its own processes.")
    @ParentCommand var parent: Nacelle
    @Argument(help: "Name or id.") var container: String
    @Argument(parsing: .captureForPassthrough, help: "Options for ps(1).") var options: [String] = []

    func run() throws {
        let text = try parent.engine().processes(container, options)
        // Names of processes are the container's to choose.
        if Terminal.isOutput { Output.write(printable(String(decoding: text, as: UTF8.self))) } else { Output.write(text) }
    }
}

struct Cp: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cp", abstract: "Copy files between a container and this host.",
        discussion: """
            One of the two is CONTAINER:PATH. A folder is copied into a folder that is there, else as it; FOLDER/. is what is in it. Links are copied as links; in a container \
            they lead nowhere out of it. The container need not run. - in place of a path of this host is a tar on standard input or output.
            """)
    @ParentCommand var parent: Nacelle
    @Flag(name: [.short, .long], help: "Keep owners and groups.") var archive = false
    @Argument(help: "Whence.") var source: String
    @Argument(help: "Whither.") var target: String

    func run() throws {
        if target == "-" && Terminal.isOutput { throw EngineError("cp: a tar is not for a terminal: redirect it") }
        try parent.engine().copy(try CopyPlace(source), try CopyPlace(target), keepsOwners: archive)
    }
}

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "doctor", abstract: "Say whether microVMs can run here, and what to do if not (nacelle-oci's).")
    @ParentCommand var parent: Nacelle
    @Flag(help: "As JSON.") var json = false
    @Flag(help: "Only whether KVM can run a guest.") var kvm = false

    func run() throws { throw ExitCode(try parent.engine().doctor((json ? ["--json"] : []) + (kvm ? ["--kvm"] : []))) }
}

struct Info: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "info", abstract: "Print what there is, and where.", discussion: "Whether microVMs can run here says nacelle doctor.")
    @ParentCommand var parent: Nacelle
    @Option(name: [.short, .long], help: "A template, such as {{.Driver}}; or json.") var format: String?

    func run() throws {
        let info = try parent.engine().info()
        if format == "json" { return Output.line(info.text()) }
        if let format { return Output.line(try OutputTemplate(format).text(info)) }
        guard case .object(let object) = info else { return }
        for (name, value) in object.members { Output.line(printable("\(name): \(try OutputTemplate("{{.}}").text(value))")) }
    }
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version, and the runtime's.")
    @ParentCommand var parent: Nacelle
    @Option(help: "A template: {{.Version}}, {{.Runtime}}; or json.") var format: String?

    func run() throws {
        let versions = try parent.engine().versions()
        guard let format else { return Output.line(try OutputTemplate("Version:  {{.Version}}\\nRuntime:  {{.Runtime}}").text(versions)) }
        Output.line(format == "json" ? versions.text() : try OutputTemplate(format).text(versions))
    }
}
