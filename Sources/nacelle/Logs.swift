import ArgumentParser
import ContainerEngine
import Glibc
import LinuxSystem

struct Logs: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "logs", abstract: "Print what a container has written.")
    @ParentCommand var parent: Nacelle
    @Flag(name: [.short, .long], help: "Go on until it ends.") var follow = false
    @Flag(name: [.short, .long], help: "With the time of each line.") var timestamps = false
    @Option(name: [.customShort("n", allowingJoined: true), .long], help: "The last so many lines; all.") var tail = "all"
    @Option(help: "What is not older: 10m, 1h30m, 2026-11-26T10:00:00Z, or seconds since 1970.") var since: String?
    @Option(help: "What is not newer.") var until: String?
    @Argument(help: "Name or id.") var container: String

    func run() throws {
        let engine = try parent.engine()
        let folder = try engine.store.find(container)
        if !(try folder.record().log.isKept) { throw EngineError("container \(container) keeps no log (--no-log)") }
        var selection = LogReader.Selection()
        if tail != "all" && tail != "-1" {
            guard let count = Int(tail), count >= 0 else { throw EngineError("--tail \(tail): a number of lines is expected, or all") }
            selection.tail = count
        }
        let now = realtimeNanoseconds()
        if let since { selection.since = try LogTime.parse(since, flag: "--since", now: now) }
        if let until { selection.until = try LogTime.parse(until, flag: "--until", now: now) }
        let reader = LogReader(folder.logPath, selection, showsTimes: timestamps)
        try reader.past(show)
        guard follow else { return }
        let loop = try EventLoop()
        while true {
            // Asked before reading: what is written before the end is read after it.
            let isRunning = engine.view(folder).isRunning
            let isAny = try reader.next(show)
            if !isAny && !isRunning { return }
            if !isAny { try loop.runOnce(timeout: 100) }
        }
    }

    private func show(_ lines: [LogReader.Shown]) {
        // One write a stream and turn.
        var rest = lines[...]
        while let first = rest.first {
            let run = rest.prefix { $0.isErrors == first.isErrors }
            Output.write(run.flatMap(\.text), to: first.isErrors ? 2 : 1)
            rest = rest.dropFirst(run.count)
        }
    }
}
