import ArgumentParser
import ContainerEngine

struct Stop: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "End containers: their stop signal, and after a while SIGKILL.", discussion: "One that does not run is no error.")
    @ParentCommand var parent: Nacelle
    @Option(name: [.customShort("t", allowingJoined: true), .customLong("time"), .customLong("timeout")], help: "Seconds to wait before SIGKILL; what --stop-timeout said, or 10.") var time: Int?
    @Flag(name: [.short, .long], help: "All that run.") var all = false
    @Argument(help: "Names or ids.") var containers: [String] = []

    func run() throws {
        if let time, !(0...86400).contains(time) { throw EngineError("--time \(time): seconds from 0 to 86400 are expected") }
        let engine = try parent.engine()
        try Output.each(try Chosen.names(containers, all: all, engine) { $0.isRunning }) { (name) throws(EngineError) in
            try engine.stop(try engine.store.find(name), timeout: time)
            Output.line(name)
        }
    }
}

struct Restart: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "restart", abstract: "Stop containers and start them again.")
    @ParentCommand var parent: Nacelle
    @Option(name: [.customShort("t", allowingJoined: true), .customLong("time"), .customLong("timeout")], help: "Seconds to wait before SIGKILL.") var time: Int?
    @Argument(help: "Names or ids.") var containers: [String]

    func run() throws {
        let engine = try parent.engine()
        try Output.each(containers) { (name) throws(EngineError) in
            let folder = try engine.store.find(name)
            try engine.stop(folder, timeout: time)
            try engine.start(folder, attach: false)
            Output.line(name)
        }
    }
}

struct Kill: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "kill", abstract: "Send containers a signal.")
    @ParentCommand var parent: Nacelle
    @Option(name: [.customShort("s", allowingJoined: true), .long], help: "Name (with or without SIG) or number.") var signal = "KILL"
    @Flag(name: [.short, .long], help: "All that run.") var all = false
    @Argument(help: "Names or ids.") var containers: [String] = []

    func run() throws {
        let engine = try parent.engine()
        let number = try FlagValues.signal(signal, flag: "--signal")
        try Output.each(try Chosen.names(containers, all: all, engine) { $0.isRunning }) { (name) throws(EngineError) in
            try engine.kill(try engine.store.find(name), signal: number)
            Output.line(name)
        }
    }
}

struct Rm: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove containers.", discussion: "Their anonymous volumes go with them; named volumes, and a directory that was given by --rootfs, stay.")
    @ParentCommand var parent: Nacelle
    @Flag(name: [.short, .long], help: "End one that runs, whatever state it is in; one that does not exist is no error.") var force = false
    @Flag(name: [.short, .long], help: "All of them.") var all = false
    @Flag(name: [.short, .long], help: "Accepted: anonymous volumes always go with their container.") var volumes = false
    @Argument(help: "Names or ids.") var containers: [String] = []

    func run() throws {
        let engine = try parent.engine()
        try Output.each(try Chosen.names(containers, all: all, engine) { _ in true }) { (name) throws(EngineError) in
            let folder: ContainerFolder
            do throws(EngineError) { folder = try engine.store.find(name) } catch {
                if force && error.message.hasPrefix("no such container") { return }
                throw error
            }
            try engine.remove(folder, force: force)
            Output.line(name)
        }
    }
}

struct Pause: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "pause", abstract: "Stop containers where they are, for `unpause`.")
    @ParentCommand var parent: Nacelle
    @Flag(name: [.short, .long], help: "All that run.") var all = false
    @Argument(help: "Names or ids.") var containers: [String] = []

    func run() throws {
        let engine = try parent.engine()
        try Output.each(try Chosen.names(containers, all: all, engine) { $0.status == .running }) { (name) throws(EngineError) in
            try engine.setPaused(try engine.store.find(name), true)
            Output.line(name)
        }
    }
}

struct Unpause: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "unpause", abstract: "Let containers that are paused go on.")
    @ParentCommand var parent: Nacelle
    @Flag(name: [.short, .long], help: "All that are paused.") var all = false
    @Argument(help: "Names or ids.") var containers: [String] = []

    func run() throws {
        let engine = try parent.engine()
        try Output.each(try Chosen.names(containers, all: all, engine) { $0.status == .paused }) { (name) throws(EngineError) in
            try engine.setPaused(try engine.store.find(name), false)
            Output.line(name)
        }
    }
}

struct Rename: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "rename", abstract: "Give a container another name.")
    @ParentCommand var parent: Nacelle
    @Argument(help: "Name or id.") var container: String
    @Argument(help: "The new name.") var name: String

    func run() throws {
        let engine = try parent.engine()
        try engine.rename(try engine.store.find(container), to: try FlagValues.name(name))
    }
}

struct Wait: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "wait", abstract: "Wait until containers have ended; print their exit statuses.")
    @ParentCommand var parent: Nacelle
    @Argument(help: "Names or ids.") var containers: [String]

    func run() throws {
        let engine = try parent.engine()
        try Output.each(containers) { (name) throws(EngineError) in
            guard let code = try engine.wait(try engine.store.find(name)) else { throw EngineError("container \(name) was removed before its exit status could be read") }
            Output.line("\(code)")
        }
    }
}

struct Prune: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "prune", abstract: "Remove all containers that do not run, images without a name, and what nothing needs any more.")
    @ParentCommand var parent: Nacelle
    @Flag(name: [.short, .long], help: "Accepted: there is no question asked.") var force = false
    @Flag(name: [.short, .long], help: "Also images with a name, if no container was made of them.") var all = false
    @Flag(help: "Also named volumes that no container has.") var volumes = false

    func run() throws {
        let engine = try parent.engine()
        let ended = try engine.views().filter { $0.status == .exited || $0.status == .created }.map(\.folder.id)
        try Output.each(ended) { (id) throws(EngineError) in
            try engine.remove(engine.store.folder(id), force: false)
            Output.line(id)
        }
        if volumes { for name in try engine.volumes.prune({ _ in true }) { Output.line(name) } }
        Output.line("Freed: \(HumanText.bytes(UInt64(max(0, try engine.pruneImages(all: all)))))")
    }
}

/// The containers that a verb is for.
enum Chosen {
    static func names(_ names: [String], all: Bool, _ engine: Engine, _ matches: (ContainerView) -> Bool) throws(EngineError) -> [String] {
        if all {
            guard names.isEmpty else { throw EngineError("--all: names are not expected as well") }
            return try engine.views().filter(matches).map(\.folder.id)
        }
        guard !names.isEmpty else { throw EngineError("no container is named: give names or ids, or --all") }
        return names
    }
}
