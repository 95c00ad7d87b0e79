import ArgumentParser
import ContainerEngine
import ContainerRuntime
import JSONText

struct VolumeVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "volume", abstract: "Make, list and remove named volumes.",
        discussion: "A volume is a folder that containers share (run -v NAME:/PATH) and that outlives them. One that is not there yet is made when a container is.",
        subcommands: [VolumeCreate.self, VolumeList.self, VolumeInspect.self, VolumeRemove.self, VolumePrune.self])
    @ParentCommand var parent: Nacelle
}

struct VolumeCreate: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "create", abstract: "Make a volume; print its name.")
    @ParentCommand var parent: VolumeVerb
    @Option(name: [.customShort("l", allowingJoined: true), .long], help: ArgumentHelp("Label. Repeatable.", valueName: "NAME[=VALUE]")) var label: [String] = []
    @Argument(help: "Its name; one is made up otherwise. One that is there is no error.") var name: String?

    func run() throws {
        let volumes = try parent.parent.engine().volumes
        var labels: [String: String] = [:]
        for text in label {
            let (name, value) = try FlagValues.pair(text, flag: "--label", valueNeeded: false)
            labels[name] = value
        }
        guard let name else { return Output.line(try volumes.makeUnnamed(labels: labels)) }
        try volumes.make(try Volumes.check(name), labels: labels)
        Output.line(name)
    }
}

struct VolumeList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List volumes.", discussion: "Fields of --format: Name, Driver, Scope, Mountpoint, CreatedAt, Labels.", aliases: ["list"])
    @ParentCommand var parent: VolumeVerb
    @Flag(name: [.short, .long], help: "Names only.") var quiet = false
    @Flag(help: "A JSON array.") var json = false
    @Option(help: "A template ({{.Name}}), or json for an object a line.") var format: String?
    @Option(name: [.short, .long], help: "name= (a part), label=NAME[=VALUE], dangling=true (no container has it) or false. Repeatable.") var filter: [String] = []

    func run() throws {
        let volumes = try parent.parent.engine().volumes
        let filters = try filter.map { (text) throws(EngineError) in try VolumeFilter(text) }
        let users = try volumes.users()
        let records = try volumes.list().filter { record in filters.allSatisfy { $0.matches(record, isUsed: users[record.name] != nil) } }
        if quiet { return records.forEach { Output.line($0.name) } }
        let rows = records.map(volumes.inspection)
        if json { return Output.line(JSONValue.array(rows).text(indent: "  ")) }
        if format == "json" { return rows.forEach { Output.line($0.text()) } }
        let template = try OutputTemplate(format ?? "table {{.Driver}}\t{{.Name}}")
        let lines = try rows.map { (row) throws(EngineError) in printable(try template.text(row)) }
        guard template.isTable else { return lines.forEach(Output.line) }
        let header = format == nil ? "DRIVER\tVOLUME NAME" : template.header
        TextTable.lines(([header] + lines).map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }).forEach(Output.line)
    }
}

struct VolumeInspect: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "inspect", abstract: "Print all that is known of volumes, as JSON.")
    @ParentCommand var parent: VolumeVerb
    @Option(name: [.short, .long], help: "A template, such as {{.Mountpoint}}.") var format: String?
    @Argument(help: "Names.") var names: [String]

    func run() throws {
        let volumes = try parent.parent.engine().volumes
        let values = try names.map { (name) throws(EngineError) in volumes.inspection(try volumes.record(name)) }
        guard let format else { return Output.line(JSONValue.array(values).text(indent: "    ")) }
        let template = try OutputTemplate(format)
        for value in values { Output.line(printable(try template.text(value))) }
    }
}

struct VolumeRemove: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "rm", abstract: "Remove volumes, with all that is in them.", discussion: "One that a container has, running or not, stays.")
    @ParentCommand var parent: VolumeVerb
    @Flag(name: [.short, .long], help: "One that does not exist is no error.") var force = false
    @Argument(help: "Names.") var names: [String]

    func run() throws {
        let volumes = try parent.parent.engine().volumes
        try Output.each(names) { (name) throws(EngineError) in
            try volumes.remove(name, force: force)
            Output.line(name)
        }
    }
}

struct VolumePrune: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "prune", abstract: "Remove all volumes that no container has; print their names.")
    @ParentCommand var parent: VolumeVerb
    @Flag(name: [.short, .long], help: "Accepted: there is no question asked.") var force = false
    @Flag(name: [.short, .long], help: "Accepted: volumes with a name are always among them.") var all = false
    @Option(help: "name= (a part), label=NAME[=VALUE]. Repeatable.") var filter: [String] = []

    func run() throws {
        let filters = try filter.map { (text) throws(EngineError) in try VolumeFilter(text) }
        for name in try parent.parent.engine().volumes.prune({ record in filters.allSatisfy { $0.matches(record, isUsed: false) } }) { Output.line(name) }
    }
}

private struct VolumeFilter {
    let name: String
    let value: String

    init(_ text: String) throws(EngineError) {
        (name, value) = try FlagValues.pair(text, flag: "--filter", valueNeeded: true)
        guard ["name", "label", "dangling"].contains(name), name != "dangling" || ["true", "false"].contains(value) else {
            throw EngineError("--filter \(quoted(text)): there are name=, label= and dangling=true or false")
        }
    }

    func matches(_ volume: VolumeRecord, isUsed: Bool) -> Bool {
        switch name {
        case "name": return volume.name.contains(value)
        case "dangling": return isUsed == (value == "false")
        default:
            let parts = value.split(separator: "=", maxSplits: 1).map(String.init)
            guard let label = parts.first, let found = volume.labels[label] else { return false }
            return parts.count == 1 || found == parts[1]
        }
    }
}
