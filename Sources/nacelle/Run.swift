import ArgumentParser
import ContainerEngine
import Glibc
import LinuxSystem

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Make a container, start it and show it.",
        discussion: "nacelle run [FLAGS] IMAGE [COMMAND…], or with --rootfs a directory in place of the image. Flags come first; all after the image is the command. An image that is not in the store is fetched (--pull). Ctrl-P Ctrl-Q lets go of a terminal (-it).", helpNames: .long)
    @ParentCommand var parent: Nacelle
    @Flag(name: [.short, .long], help: "Do not wait; print the id.") var detach = false
    @OptionGroup var flags: ContainerFlags
    @Flag(inversion: .prefixedNo, help: "Pass signals that this process gets on.") var sigProxy = true
    @Argument(parsing: .captureForPassthrough, help: ArgumentHelp("The image (with --rootfs: the directory), and the command.", valueName: "IMAGE COMMAND")) var arguments: [String]

    func run() throws {
        let engine = try parent.engine()
        if flags.tty && flags.interactive && !detach && isatty(0) == 0 {
            throw EngineError("-it: standard input is no terminal: leave -t out to pass a pipe or file on (-i)")
        }
        let folder = try flags.create(engine, arguments, for: Self.self)
        if detach {
            try engine.start(folder, attach: false)
            return Output.line(folder.id)
        }
        try Shown.run(engine, folder, Self.settings(flags, sigProxy))
    }

    static func settings(_ flags: ContainerFlags, _ sigProxy: Bool) -> AttachClient.Settings {
        AttachClient.Settings(isTerminal: flags.tty, passesInput: flags.interactive, passesSignals: sigProxy && !flags.tty)
    }
}

/// A container that is started and shown.
enum Shown {
    static func run(_ engine: Engine, _ folder: ContainerFolder, _ settings: AttachClient.Settings) throws {
        let client = try AttachClient(settings)
        guard let connection = try engine.start(folder, attach: true) else { return }
        try finish(try client.run(connection), folder)
    }

    static func finish(_ end: AttachClient.End, _ folder: ContainerFolder) throws {
        switch end {
        case .exited(let code, let text):
            if !text.isEmpty { Output.complain(text) }
            throw ExitCode(code)
        case .detached: Output.write("\r\n", to: 2)
        case .interrupted(let number): throw ExitCode(128 + number)
        case .lost: throw EngineError("the supervisor of container \(folder.id.prefix(12)) is gone; the container may still run: nacelle ps -a shows it, nacelle rm -f removes it")
        }
    }
}

struct Create: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a container, for `start`; print its id.", discussion: "The flags are those of `run`.", helpNames: .long)
    @ParentCommand var parent: Nacelle
    @OptionGroup var flags: ContainerFlags
    @Argument(parsing: .captureForPassthrough, help: ArgumentHelp("The image (with --rootfs: the directory), and the command.", valueName: "IMAGE COMMAND")) var arguments: [String]

    func run() throws { Output.line(try flags.create(try parent.engine(), arguments, for: Self.self).id) }
}

struct Start: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "start", abstract: "Start containers that do not run.")
    @ParentCommand var parent: Nacelle
    @Flag(name: [.short, .long], help: "Show it, and wait for its end.") var attach = false
    @Flag(name: [.short, .long], help: "Pass standard input on as well.") var interactive = false
    @Argument(help: "Names or ids.") var containers: [String]

    func run() throws {
        let engine = try parent.engine()
        if attach || interactive {
            guard containers.count == 1 else { throw EngineError("start -a: one container at a time can be shown") }
            let folder = try engine.store.find(containers[0])
            let record = try folder.record()
            // One that runs is shown from now on.
            if engine.view(folder).isRunning { return try Attach.show(engine, folder, passesInput: interactive, sigProxy: true) }
            return try Shown.run(engine, folder, AttachClient.Settings(isTerminal: record.terminal, passesInput: interactive && record.interactive, passesSignals: !record.terminal))
        }
        try Output.each(containers) { (name) throws(EngineError) in
            let folder = try engine.store.find(name)
            // One that runs is no error.
            if !engine.view(folder).isRunning { try engine.start(folder, attach: false) }
            Output.line(name)
        }
    }
}

struct Attach: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "attach", abstract: "Show a container that runs.", discussion: "Ctrl-P Ctrl-Q lets go of a terminal.")
    @ParentCommand var parent: Nacelle
    @Flag(help: "Do not pass standard input on.") var noStdin = false
    @Flag(inversion: .prefixedNo, help: "Pass signals that this process gets on.") var sigProxy = true
    @Argument(help: "Name or id.") var container: String

    func run() throws {
        let engine = try parent.engine()
        let folder = try engine.store.find(container)
        try Self.show(engine, folder, passesInput: !noStdin, sigProxy: sigProxy)
    }

    static func show(_ engine: Engine, _ folder: ContainerFolder, passesInput: Bool, sigProxy: Bool) throws {
        let view = engine.view(folder)
        guard view.status == .running || view.status == .starting else { throw EngineError("container \(view.record.name) does not run under a supervisor (it is \(view.status.rawValue)): there is nothing to attach to") }
        let client = try AttachClient(AttachClient.Settings(
            isTerminal: view.record.terminal, passesInput: view.record.interactive && passesInput, passesSignals: sigProxy && !view.record.terminal))
        try Shown.finish(try client.run(try AttachClient.connect(folder)), folder)
    }
}

/// The process that holds a container while it runs; started by this program alone.
struct Supervise: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: Engine.supervisorVerb, abstract: "Hold a container.", shouldDisplay: false)
    @ParentCommand var parent: Nacelle
    @Argument var id: String
    @Argument var attached: String?

    func run() throws {
        // Descriptor 3 takes the answer, and 4 is a connection. Whoever is at the other end may be gone.
        _ = signal(SIGPIPE, SIG_IGN)
        var answer: OwnedDescriptor? = OwnedDescriptor(owning: 3)
        let connection = attached.map { _ in SharedDescriptor(OwnedDescriptor(owning: 4)) }
        for number: Int32 in [3, 4] where number == 3 || attached != nil { _ = fcntl(number, F_SETFD, FD_CLOEXEC) }
        func tell(_ error: EngineError?) {
            guard let pipe = answer.take() else { return }
            try? pipe.writeAll(Engine.answer(error))
        }
        do throws(EngineError) {
            let engine: Engine
            do { engine = try parent.engine() } catch let error as EngineError { throw error } catch { throw EngineError("\(error)") }
            try Supervisor(engine, id: id) { Output.complain($0) }.run(attached: connection, report: tell)
        } catch {
            tell(error)
            if let connection { Supervisor.refuse(connection, error) }
            throw error
        }
    }
}
