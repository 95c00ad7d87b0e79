import ArgumentParser
import ContainerEngine
import ContainerRuntime
import JSONText
import LinuxSystem

struct Ps: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ps", abstract: "List containers.",
        discussion: "Those that run, or with -a all. Fields of --format: ID, Image, Command, CreatedAt, RunningFor, Status, State, Isolation, Runtime, Names, Labels, Pid, ExitCode.")
    @ParentCommand var parent: Nacelle
    @Flag(name: [.short, .long], help: "Also those that do not run.") var all = false
    @Flag(name: [.short, .long], help: "Ids only.") var quiet = false
    @Flag(help: "Do not shorten ids and commands.") var noTrunc = false
    @Flag(help: "A JSON array.") var json = false
    @Option(help: "A template ({{.ID}} {{.Status}}; table {{.Names}}\\t{{.Status}}), or json for an object a line.") var format: String?
    @Option(name: [.short, .long], help: "status=, name= (a part), id= (the beginning), label=NAME[=VALUE], ancestor=IMAGE, volume=NAME, exited=STATUS. Repeatable.") var filter: [String] = []
    @Flag(name: [.short, .long], help: "The one that was made last, running or not.") var latest = false
    @Option(name: [.customShort("n", allowingJoined: true), .long], help: "The so many that were made last, running or not.") var last: Int?

    func run() throws {
        let engine = try parent.engine()
        let filters = try filter.map { (text) throws(EngineError) in try Filter(text) }
        if let last, last < 1 { throw EngineError("--last \(last): a number from 1 on is expected") }
        let most = latest ? 1 : last
        let isAll = all || most != nil || filters.contains { ["status", "exited"].contains($0.name) }
        let views = try engine.views().filter { view in (isAll || view.isRunning) && filters.allSatisfy { $0.matches(view) } }.prefix(most ?? .max)
        if quiet { return views.forEach { Output.line(shortened($0.folder.id)) } }
        let rows = views.map(row)
        if json { return Output.line(JSONValue.array(rows).text(indent: "  ")) }
        guard let format else {
            let header = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "ISOLATION", "NAMES"]
            let fields = ["ID", "Image", "Command", "RunningFor", "Status", "Isolation", "Names"]
            let template = try fields.map { (field) throws(EngineError) in try OutputTemplate("{{.\(field)}}") }
            return show([header] + (try rows.map { row in try template.map { printable(try $0.text(row)) } }))
        }
        if format == "json" { return rows.forEach { Output.line($0.text()) } }
        let template = try OutputTemplate(format)
        let lines = try rows.map { (row) throws(EngineError) in printable(try template.text(row)) }
        guard template.isTable else { return lines.forEach(Output.line) }
        show(([template.header] + lines).map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) })
    }

    private func show(_ rows: [[String]]) { TextTable.lines(rows).forEach(Output.line) }
    private func shortened(_ id: String) -> String { noTrunc ? id : String(id.prefix(12)) }

    private func row(_ view: ContainerView) -> JSONValue {
        let now = realtimeNanoseconds()
        var object = JSONObject()
        let command = view.record.command.joined(separator: " ")
        object["ID"] = .string(shortened(view.folder.id))
        object["Image"] = .string(view.record.image)
        object["Command"] = .string(noTrunc || command.count <= 20 ? command : command.prefix(19) + "…")
        object["CreatedAt"] = .string(Timestamp.text(nanoseconds: view.record.created))
        object["RunningFor"] = .string(view.record.created == 0 ? "" : HumanText.duration(seconds: (now - view.record.created) / 1_000_000_000) + " ago")
        object["Status"] = .string(Self.status(view, now: now))
        object["State"] = .string(view.status.rawValue)
        object["Isolation"] = .string(view.isolation)
        object["Runtime"] = .string(view.record.runtime)
        object["Names"] = .string(view.record.name)
        var labels = JSONObject()
        for (name, value) in view.record.labels.sorted(by: { $0.key < $1.key }) { labels[name] = .string(value) }
        object["Labels"] = .object(labels)
        object["Pid"] = .integer(Int64(view.isRunning ? view.state.pid : 0))
        object["ExitCode"] = .integer(Int64(view.state.exitCode))
        return .object(object)
    }

    static func status(_ view: ContainerView, now: Int64) -> String {
        func since(_ time: Int64) -> String { HumanText.duration(seconds: max(0, now - time) / 1_000_000_000) }
        return switch view.status {
        case .created: "Created"
        case .starting: "Starting"
        case .running: "Up \(since(view.state.started))"
        case .paused: "Up \(since(view.state.started)) (Paused)"
        case .unsupervised: "Up \(since(view.state.started)) (without supervisor)"
        case .exited: "Exited (\(view.state.exitCode))" + (view.state.finished == 0 ? "" : " \(since(view.state.finished)) ago")
        case .damaged: "Damaged"
        }
    }

    private struct Filter {
        let name: String
        let value: String

        init(_ text: String) throws(EngineError) {
            (name, value) = try FlagValues.pair(text, flag: "--filter", valueNeeded: true)
            let names = ["status", "name", "id", "label", "ancestor", "volume", "exited"]
            guard names.contains(name) else { throw EngineError("--filter \(quoted(text)): there are \(names.map { $0 + "=" }.joined(separator: ", "))") }
            if name == "status" && ContainerView.Status(rawValue: value) == nil {
                throw EngineError("--filter \(quoted(text)): a status is \(ContainerView.Status.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            if name == "exited" && Int32(value) == nil { throw EngineError("--filter \(quoted(text)): an exit status is a number") }
        }

        func matches(_ view: ContainerView) -> Bool {
            switch name {
            case "status": return view.status.rawValue == value
            case "name": return view.record.name.contains(value)
            case "id": return view.folder.id.hasPrefix(value)
            case "volume": return view.record.volumes.contains(value)
            case "exited": return view.status == .exited && view.state.exitCode == Int32(value)
            case "ancestor":
                let id = value.hasPrefix("sha256:") ? value : "sha256:" + value
                return view.record.image == value || view.record.image == value + ":latest" || value.utf8.count >= 4 && view.record.imageID.hasPrefix(id)
            default:
                let parts = value.split(separator: "=", maxSplits: 1).map(String.init)
                guard let label = parts.first, let found = view.record.labels[label] else { return false }
                return parts.count == 1 || found == parts[1]
            }
        }
    }
}
