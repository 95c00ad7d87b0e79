import ArgumentParser
import ContainerEngine
import JSONText
import LinuxSystem

struct Stats: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats", abstract: "Print what containers use, again and again.",
        discussion: "Of all that run, or those named. Of one in a machine the figures are the guest's. Fields of --format: ID, Name, CPUPerc, MemUsage, MemPerc, BlockIO, PIDs.")
    @ParentCommand var parent: Nacelle
    @Flag(help: "Once.") var noStream = false
    @Flag(help: "A JSON array, once.") var json = false
    @Option(help: "A template, such as {{.Name}} {{.CPUPerc}}; or json for an object a line.") var format: String?
    @Argument(help: "Names or ids.") var containers: [String] = []

    func run() throws {
        let engine = try parent.engine()
        let named = try containers.map { (name) throws(EngineError) in try engine.store.find(name) }
        for folder in named where !engine.view(folder).isRunning { throw EngineError("container \(folder.id.prefix(12)) does not run: it uses nothing") }
        let loop = try EventLoop()
        var meter = UsageMeter(engine)
        try meter.sample(named.isEmpty ? try running(engine) : named)
        repeat {
            let start = monotonicNanoseconds()
            while monotonicNanoseconds() - start < 1_000_000_000 { try loop.runOnce(timeout: Int32(clamping: max(1, 1000 - (monotonicNanoseconds() - start) / 1_000_000))) }
            let folders = named.isEmpty ? try running(engine) : named
            let rows = try meter.sample(folders)
            try show(rows)
            if rows.isEmpty && !named.isEmpty { return }
        } while !noStream && !json
    }

    private func running(_ engine: Engine) throws(EngineError) -> [ContainerFolder] { try engine.views().filter(\.isRunning).map(\.folder) }

    private func show(_ rows: [JSONValue]) throws {
        if json { return Output.line(JSONValue.array(rows).text(indent: "  ")) }
        if format == "json" { return rows.forEach { Output.line($0.text()) } }
        let standard = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.BlockIO}}\t{{.PIDs}}"
        let template = try OutputTemplate(format ?? standard)
        let lines = try rows.map { (row) throws(EngineError) in printable(try template.text(row)) }
        guard template.isTable else { return lines.forEach(Output.line) }
        let header = format == nil ? "ID\tNAME\tCPU %\tMEM USAGE / LIMIT\tMEM %\tBLOCK IO\tPIDS" : template.header
        // From the top of the screen, as long as it goes on on a terminal.
        if !noStream && Terminal.isOutput { Output.write("\u{1B}[H\u{1B}[J") }
        TextTable.lines(([header] + lines).map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }).forEach(Output.line)
    }
}
