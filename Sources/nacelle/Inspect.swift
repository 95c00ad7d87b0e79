import ArgumentParser
import ContainerEngine
import JSONText

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "inspect", abstract: "Print all that is known of containers, images or volumes, as JSON.")
    @ParentCommand var parent: Nacelle
    @Option(name: [.short, .long], help: "A template, such as {{.State.Status}} or {{json .Mounts}}.") var format: String?
    @Argument(help: "Names or ids.") var containers: [String]

    func run() throws {
        let engine = try parent.engine()
        let template = try format.map { (text) throws(EngineError) in try OutputTemplate(text) }
        var found: [JSONValue] = []
        var failures: [EngineError] = []
        for name in containers {
            do throws(EngineError) { found.append(try Self.inspection(name, engine)) } catch { failures.append(error) }
        }
        func show(_ text: String) { Output.line(Terminal.isOutput ? printable(text) : text) }
        if let template { for value in found { show(try template.text(value)) } } else { show(JSONValue.array(found).text(indent: "    ")) }
        for failure in failures { Output.complain(failure.message) }
        if let last = failures.last { throw ExitCode(last.exitStatus) }
    }

    /// A container comes before an image of that name, and that before a volume.
    private static func inspection(_ name: String, _ engine: Engine) throws(EngineError) -> JSONValue {
        let folder: ContainerFolder
        do throws(EngineError) { folder = try engine.store.find(name) } catch {
            if let image = try engine.inspection(image: name) { return image }
            if let volume = try engine.volumes.list().first(where: { $0.name == name }) { return engine.volumes.inspection(volume) }
            throw error
        }
        return try engine.inspection(folder)
    }
}
