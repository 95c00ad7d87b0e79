import ArgumentParser
import ContainerEngine
import Glibc
import ImageStore
import JSONText
import LinuxSystem
import OCIImage

struct ListImages: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "images", abstract: "List images.", discussion: "Fields of --format: Repository, Tag, ID, Digest, CreatedAt, CreatedSince, Size, Labels.")
    @ParentCommand var parent: Nacelle
    @Flag(name: [.short, .long], help: "Accepted: all are listed.") var all = false
    @Option(name: [.short, .long], help: "reference=NAME[:TAG] (with * for any part), dangling=true (no name) or false, label=NAME[=VALUE]. Repeatable.") var filter: [String] = []
    @Flag(name: [.short, .long], help: "Ids only.") var quiet = false
    @Flag(help: "Do not shorten ids.") var noTrunc = false
    @Flag(help: "With the manifests' digests.") var digests = false
    @Flag(help: "A JSON array.") var json = false
    @Option(help: "A template ({{.Repository}}:{{.Tag}}), or json for an object a line.") var format: String?
    @Argument(help: "Those of this name only.") var name: String?

    func run() throws {
        let filters = try (filter + (name.map { ["reference=\($0)"] } ?? [])).map { (text) throws(EngineError) in try ImageFilter(text) }
        let rows = try parent.engine().images.rows(shortened: !noTrunc).filter { row in filters.allSatisfy { $0.matches(row) } }
        if json { return Output.line(JSONValue.array(rows).text(indent: "  ")) }
        if format == "json" { return rows.forEach { Output.line($0.text()) } }
        let columns = digests ? "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}" : "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
        let template = try OutputTemplate(quiet ? "{{.ID}}" : format ?? "table " + columns)
        var lines = try rows.map { (row) throws(EngineError) in printable(try template.text(row)) }
        if quiet {
            var seen: Set<String> = []
            lines = lines.filter { seen.insert($0).inserted }
        }
        guard template.isTable else { return lines.forEach(Output.line) }
        let header = format != nil ? template.header : digests ? "REPOSITORY\tTAG\tDIGEST\tIMAGE ID\tCREATED\tSIZE" : "REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE"
        TextTable.lines(([header] + lines).map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }).forEach(Output.line)
    }
}

struct ImageFilter {
    private let name: String
    private let value: String

    init(_ text: String) throws(EngineError) {
        (name, value) = try FlagValues.pair(text, flag: "--filter", valueNeeded: true)
        guard ["reference", "label", "dangling"].contains(name), name != "dangling" || ["true", "false"].contains(value) else {
            throw EngineError("--filter \(quoted(text)): there are reference=, label= and dangling=true or false")
        }
    }

    func matches(_ row: JSONValue) -> Bool {
        guard case .object(let fields) = row, case .string(let repository)? = fields["Repository"], case .string(let tag)? = fields["Tag"] else { return false }
        switch name {
        case "reference": return Self.matches(value, repository) || Self.matches(value, repository + ":" + tag)
        case "dangling": return (repository == "<none>") == (value == "true")
        default:
            let parts = value.split(separator: "=", maxSplits: 1).map(String.init)
            guard let label = parts.first, case .object(let labels)? = fields["Labels"], case .string(let found)? = labels[label] else { return false }
            return parts.count == 1 || found == parts[1]
        }
    }

    /// `*` stands for any characters.
    static func matches(_ pattern: String, _ text: String) -> Bool {
        let pieces = pattern.split(separator: "*", omittingEmptySubsequences: false)
        guard pieces.count > 1, let first = pieces.first, let last = pieces.last else { return pattern == text }
        guard text.hasPrefix(first), text.hasSuffix(last), text.count >= first.count + last.count else { return false }
        var rest = text.dropFirst(first.count).dropLast(last.count)
        for piece in pieces.dropFirst().dropLast() where !piece.isEmpty {
            guard let range = rest.firstRange(of: piece) else { return false }
            rest = rest[range.upperBound...]
        }
        return true
    }
}

struct History: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "List the steps that made an image.", discussion: "Fields of --format: ID, CreatedAt, CreatedSince, CreatedBy, Size, Comment.")
    @ParentCommand var parent: Nacelle
    @Flag(help: "Do not shorten ids and commands.") var noTrunc = false
    @Flag(help: "A JSON array.") var json = false
    @Option(help: "A template ({{.CreatedBy}}), or json for an object a line.") var format: String?
    @Argument(help: "Name or id.") var image: String

    func run() throws {
        let images = try parent.engine().images
        let rows = images.history(try images.image(image), shortened: !noTrunc)
        if json { return Output.line(JSONValue.array(rows).text(indent: "  ")) }
        if format == "json" { return rows.forEach { Output.line($0.text()) } }
        let template = try OutputTemplate(format ?? "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}")
        let lines = try rows.map { (row) throws(EngineError) in printable(try template.text(row)) }
        guard template.isTable else { return lines.forEach(Output.line) }
        let header = format != nil ? template.header : "IMAGE\tCREATED\tCREATED BY\tSIZE\tCOMMENT"
        TextTable.lines(([header] + lines).map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }).forEach(Output.line)
    }
}

struct Rmi: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rmi", abstract: "Remove images.", discussion: "A name goes; content goes when no name and no container needs it. An id takes all its names away.")
    @ParentCommand var parent: Nacelle
    @Flag(name: [.short, .long], help: "Also one that containers were made of (they keep its content), or that does not exist.") var force = false
    @Flag(name: [.short, .long], help: "All of them.") var all = false
    @Argument(help: "Names or ids.") var images: [String] = []

    func run() throws {
        let engine = try parent.engine()
        guard all != !images.isEmpty else { throw EngineError(all ? "--all: names are not expected as well" : "rmi: no image is named: give names or ids, or --all") }
        let names = all ? try engine.images.identifiers() : images
        try Output.each(names) { (name) throws(EngineError) in
            for line in try engine.removeImage(name, force: force) { Output.line(line) }
        }
        _ = try engine.images.with { (store) throws(StoreError) in try store.collect() }
    }
}

struct Tag: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "tag", abstract: "Give an image a further name.")
    @ParentCommand var parent: Nacelle
    @Argument(help: "Name or id.") var image: String
    @Argument(help: "New names.") var names: [String]

    func run() throws {
        let engine = try parent.engine()
        let found = try engine.images.image(image)
        for name in names { try engine.images.tag(found, as: name) }
    }
}

struct Load: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load", abstract: "Take in images from archives.", discussion: "Of docker save, podman save and skopeo copy: a docker-archive or an oci-archive; or TRANSPORT:PATH[:NAME] with oci, oci-archive or docker-archive.")
    @ParentCommand var parent: Nacelle
    @Option(name: [.short, .long], help: "The archive, or TRANSPORT:PATH[:NAME]; standard input.") var input: String?
    @Flag(name: [.short, .long], help: "Print nothing.") var quiet = false

    func run() throws {
        let engine = try parent.engine()
        if input == nil && isatty(0) == 1 { throw EngineError("load: an archive is not typed: use -i FILE, or redirect") }
        for name in try input.map({ (path) throws(EngineError) in try engine.images.load(path, engine.surroundings) }) ?? engine.images.loadStandardInput() where !quiet { Output.line("Loaded image: \(name)") }
    }
}

struct Save: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "save", abstract: "Write an image to an archive.")
    @ParentCommand var parent: Nacelle
    @Option(name: [.short, .long], help: "The archive, which must not exist; of oci a directory. Without it a pipe on standard output.") var output: String?
    @Option(help: "docker-archive, oci-archive or oci.") var format = "docker-archive"
    @Argument(help: "Name or id.") var image: String

    func run() throws {
        let engine = try parent.engine()
        guard let transport = ImageLocation.Transport(rawValue: format) else { throw EngineError("--format \(quoted(format)): there are \(ImageLocation.Transport.allCases.map(\.rawValue).joined(separator: ", "))") }
        if output == nil {
            let attributes = try OwnedDescriptor(duplicating: 1).attributes()
            guard attributes.mode & UInt32(S_IFMT) == UInt32(S_IFIFO), transport != .oci else { throw EngineError("save: standard output is no pipe: name a file that does not exist by -o") }
        }
        try engine.images.save(try engine.images.image(image), to: ImageLocation(transport, path: output.map(engine.surroundings.absolute) ?? "/proc/self/fd/1"))
    }
}

struct Import: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Make an image of a tar of a root file system; print its id.",
        discussion: "What nacelle export, docker export or tar -C ROOT -c . wrote, compressed with gzip or zstd or not at all; of another kind, xz -d < FILE | nacelle import -. (Archives of images are for nacelle load.)")
    @ParentCommand var parent: Nacelle
    @Option(name: [.short, .long], help: "A change to its configuration: CMD, ENTRYPOINT, ENV, WORKDIR, USER, LABEL, VOLUME, EXPOSE or STOPSIGNAL, as in a Dockerfile. Repeatable.") var change: [String] = []
    @Option(name: [.short, .long], help: "A comment for its history.") var message: String?
    @Argument(help: "The tar; - is standard input.") var tar: String
    @Argument(help: "The image's name.") var name: String?

    func run() throws {
        let engine = try parent.engine()
        Output.line(try engine.images.importTar(tar, as: name, changes: try ImageChange.all(change), comment: message, engine.surroundings))
    }
}

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "export", abstract: "Write a container's files as a tar.")
    @ParentCommand var parent: Nacelle
    @Option(name: [.short, .long], help: "The file; standard output.") var output: String?
    @Argument(help: "Name or id.") var container: String

    func run() throws {
        let engine = try parent.engine()
        if output == nil && Terminal.isOutput { throw EngineError("export: a tar is not for a terminal: use -o FILE, or redirect") }
        try engine.export(try engine.store.find(container), to: output)
    }
}

struct Diff: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "diff", abstract: "List what has changed in a container since it was made.", discussion: "A: added, C: changed, D: deleted.")
    @ParentCommand var parent: Nacelle
    @Argument(help: "Name or id.") var container: String

    func run() throws {
        let engine = try parent.engine()
        try engine.changes(of: try engine.store.find(container)) { Output.line(printable("\($0) \($1)")) }
    }
}

struct Commit: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "commit", abstract: "Make an image of a container; print its id.", discussion: "What the runtime mounts (volumes, /dev, /etc/hosts …) is not in it.")
    @ParentCommand var parent: Nacelle
    @Option(name: [.short, .long], help: "A change to its configuration: CMD, ENTRYPOINT, ENV, WORKDIR, USER, LABEL, VOLUME, EXPOSE or STOPSIGNAL, as in a Dockerfile. Repeatable.") var change: [String] = []
    @Option(name: [.short, .long], help: "A comment for its history.") var message: String?
    @Option(name: [.short, .long], help: "Its author.") var author: String?
    @Argument(help: "Name or id.") var container: String
    @Argument(help: "The image's name.") var name: String?

    func run() throws {
        let engine = try parent.engine()
        Output.line(try engine.commit(try engine.store.find(container), as: name, changes: try ImageChange.all(change), comment: message, author: author))
    }
}
