import ArgumentParser
import ContainerRuntime
import JSONText
import OCISpec

struct Start: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Start the program of a created container.")
    @ParentCommand var parent: NacelleOCI
    @Argument(help: "The container's name.") var id: String
    func run() throws { try parent.container(id).start() }
}

struct State: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print a container's state as JSON.")
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
        object["isolation"] = .string(record.isolation)
        print(JSONValue.object(object).text(indent: "  "))
    }
}

struct Kill: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Send a signal to a container's process.")
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
    static let configuration = CommandConfiguration(abstract: "Delete a container that has stopped.")
    @ParentCommand var parent: NacelleOCI
    @Flag(name: [.short, .long], help: "Kill it first if it runs; no error if it does not exist.") var force = false
    @Argument(help: "The container's name.") var id: String
    func run() throws { try parent.container(id).delete(force: force) }
}

/// Signals by name (signal(7)).
enum SignalName {
    private static let names = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD",
        "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ]
    private static let aliases = ["IOT": "ABRT", "POLL": "IO", "CLD": "CHLD"]

    static func number(_ text: String) -> Int32? {
        if let number = Int32(text) { return (1...64).contains(number) ? number : nil }
        var name = text.uppercased()
        if name.hasPrefix("SIG") { name.removeFirst(3) }
        if name.hasPrefix("RTMIN"), let offset = Int32(name.dropFirst(5).isEmpty ? "0" : name.dropFirst(6)), (0...30).contains(offset) { return 34 + offset }
        return names.firstIndex(of: aliases[name] ?? name).map { Int32($0 + 1) }
    }
}
