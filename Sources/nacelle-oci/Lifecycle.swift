import ArgumentParser
import ContainerRuntime
import JSONText
import OCISpec

struct Start: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "start", abstract: "Start the program of a created container.")
    @ParentCommand var parent: NacelleOCI
    @Argument(help: "The container's name.") var id: String
    func run() throws { try parent.container(id).start() }
}

struct State: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "state", abstract: "Print a container's state as JSON.")
    @ParentCommand var parent: NacelleOCI
    @Argument(help: "The container's name.") var id: String
    func run() throws {
        let container = try parent.container(id)
        let record = try container.record()
        guard case .object(var object) = try container.currentState().json else { return }
        if object["pid"] == nil { object["pid"] = .integer(0) }
        object["rootfs"] = .string(record.rootfs)
        object["created"] = .string(record.created)
        object["owner"] = .string("")
        object["isolation"] = .string(record.isolation.rawValue)
        print(JSONValue.object(object).text(indent: "  "))
    }
}

struct Kill: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "kill", abstract: "Send a signal to a container's process.")
    @ParentCommand var parent: NacelleOCI
    @Flag(name: [.short, .long], help: "To all processes in the container.") var all = false
    @Argument(help: "The container's name.") var id: String
    @Argument(help: "Name (with or without SIG) or number.") var signal = "SIGTERM"
    func run() throws {
        guard let number = SignalName.number(signal) else { throw RuntimeError("unknown signal \"\(signal)\"") }
        try parent.container(id).kill(number, all: all)
    }
}

struct Delete: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "delete", abstract: "Delete a container that has stopped.")
    @ParentCommand var parent: NacelleOCI
    @Flag(name: [.short, .long], help: "Kill it first if it runs; no error if it does not exist.") var force = false
    @Argument(help: "The container's name.") var id: String
    func run() throws { try parent.container(id).delete(force: force) }
}
