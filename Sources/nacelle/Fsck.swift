import ArgumentParser
import ContainerEngine
import ImageStore
import JSONText
import LinuxSystem

struct Fsck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fsck", abstract: "Verify images and containers' files; say what is wrong, and what to do.",
        discussion: """
            Every blob is hashed, every image must be complete, every container have its layers and files; with --layers every unpacked layer is compared with its archive. Others may go on meanwhile. \
            Exit status: 0 if nothing is wrong, 1 if something is, also what --repair has put right, 125 if that cannot be told. Podman's word is `system check`. \
            Fields of --format: Kind (index, blob, image, layer, container), Name, Problem, Remedy, Repairable, Repaired.
            """)
    @ParentCommand var parent: Nacelle
    @Flag(help: "Also unpack every layer anew, and compare. It takes as long as unpacking, and room for the largest.") var layers = false
    @Flag(help: "Remove damaged blobs and unpacked layers that nothing uses; pull or load the images again that then miss something.") var repair = false
    @Flag(help: "A JSON array.") var json = false
    @Option(help: "A template ({{.Kind}} {{.Name}}), or json for an object a line.") var format: String?

    func run() throws {
        var options = FsckOptions()
        (options.layers, options.repair) = (layers, repair)
        let template = try format.flatMap { (text) throws(EngineError) in text == "json" ? nil : try OutputTemplate(text) }
        let asked = options
        let problems = try parent.engine().images.with { (store) throws(StoreError) in try store.fsck(asked) }
        let rows = problems.map(Self.row)
        if json {
            Output.line(JSONValue.array(rows).text(indent: "  "))
        } else if format == "json" {
            for row in rows { Output.line(row.text()) }
        } else if let template {
            let lines = try rows.map { (row) throws(EngineError) in printable(try template.text(row)) }
            guard template.isTable else { for line in lines { Output.line(line) }; return try end(problems) }
            TextTable.lines(([template.header] + lines).map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }).forEach(Output.line)
        } else {
            for problem in problems { Output.line(printable("\(problem)")) }
        }
        try end(problems)
    }

    private func end(_ problems: [StoreProblem]) throws { if !problems.isEmpty { throw ExitCode(1) } }

    private static func row(_ problem: StoreProblem) -> JSONValue {
        var object = JSONObject()
        object["Kind"] = .string(problem.subject.rawValue)
        object["Name"] = .string(problem.name)
        object["Problem"] = .string(problem.problem)
        object["Remedy"] = .string(problem.remedy)
        object["Repairable"] = .bool(problem.isRepairable)
        object["Repaired"] = .bool(problem.isRepaired)
        return .object(object)
    }
}
