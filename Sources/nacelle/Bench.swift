import ArgumentParser
import ContainerEngine
import Glibc
import JSONText

struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure what isolation costs on this machine.",
        discussion: """
            The same bundle goes in turn through nacelle-oci in each isolation that works here and through other OCI runtimes, by their command lines: create, start, the program's end and \
            delete, as FIRST BYTE until its first output and as CREATE TO DELETE; another program in a container that runs (EXEC); and the proportional set size of all processes of an idle \
            container (MEMORY; what the kernel holds for it is not in it). Printed are the median, the least and the most, and the ratio to the first row. Two rounds come first that do not count. \
            Without an image the program is one of nacelle's own, of 0.2 KiB; an image needs true and sleep, and its first byte is not told. Nothing stays behind, after Ctrl-C neither.
            """)
    @ParentCommand var parent: Nacelle
    @Option(help: "Other OCI runtime, by name or path. Repeatable; without it runc, crun and runsc, if they are there.") var runtime: [String] = []
    @Option(name: [.customShort("n", allowingJoined: true), .long], help: "Rounds, 1 to 10000.") var count = 10
    @Flag(help: "The argument is a directory of this host that is the root file system.") var rootfs = false
    @Flag(help: "All figures, as JSON.") var json = false
    @Option(help: "When to fetch the image: missing, always or never.") var pull = PullPolicy.missing
    @Argument(help: "An image.") var image: String?

    func run() throws {
        guard (1...10_000).contains(count) else { throw EngineError("--count \(count): 1 to 10000 rounds are expected") }
        if rootfs && image == nil { throw EngineError("--rootfs: the directory is missing") }
        let engine = try parent.engine()
        var source: RootSource?
        if let image {
            if !rootfs { try Transfers.provide(image, pull: pull, platform: nil, tlsVerify: true, isQuiet: false, engine) }
            source = try engine.roots(isDirectory: rootfs).look(up: image)
        }
        if isatty(2) == 1 { Output.write("Measuring: \(count + 2) rounds of each …\n", to: 2) }
        let report = try engine.benchmark(source, runtimes: runtime, rounds: count)
        for omission in report.omissions { Output.write(printable("Not measured: \(omission.name): \(omission.reason)") + "\n", to: 2) }
        guard !report.results.isEmpty else { throw EngineError("nothing could be measured") }
        if json { return Output.line(report.json.text(indent: "  ")) }
        Output.line(printable(report.facts.map { "\($0.0): \($0.1)" }.joined(separator: "; ") + "; \(report.rounds) rounds of \(report.image)"))
        TextTable.lines(report.table).forEach(Output.line)
    }
}
