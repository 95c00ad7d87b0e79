import ArgumentParser
import ContainerRuntime
import JSONText
import LinuxSystem
import OCISpec

struct Events: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "Print what a container uses, and kills for want of memory, until it ends.",
        discussion: "One JSON object a line, as runc prints them. Of a container in a machine the figures are the guest kernel's.")
    @ParentCommand var parent: NacelleOCI
    @Option(help: "Time between two lines of figures: 5s, 500ms, 1m30s …") var interval = "5s"
    @Flag(help: "Print the figures once.") var stats = false
    @Argument(help: "The container's name.") var id: String

    func run() throws {
        guard let nanoseconds = Quantity.nanoseconds(interval) else { throw RuntimeError("invalid value \"\(interval)\" for flag -interval: parse error") }
        let container = try parent.container(id)
        _ = try container.record()
        guard nanoseconds > 0 else { throw RuntimeError("duration interval must be greater than 0") }
        if stats { return try show(try container.statistics().event(id: id)) }
        let log = try parent.makeLog()
        let loop = try EventLoop()
        let kills = try container.outOfMemoryEvents()
        // What cannot be written ends this command, from where it can be thrown.
        var failure: (any Error)?
        func attempt(_ body: () throws -> Void) { do { try body() } catch { failure = failure ?? error } }
        try kills.start(loop) { attempt { try show(.object(Self.kill(id))) } }
        let timer = try TimerDescriptor()
        try timer.set(nanoseconds: nanoseconds, interval: nanoseconds)
        try loop.add(timer.descriptor.rawValue, .readable) { _ in
            timer.drain()
            if kills.hasEnded { return }
            let figures: StatisticsSpec
            do throws(RuntimeError) { figures = try container.statistics() } catch {
                // It may be paused, or about to end, which is no error.
                if !kills.waitForEnd(milliseconds: 500) { log.warning(error.message) }
                return
            }
            attempt { try show(figures.event(id: id)) }
        }
        while !kills.hasEnded && failure == nil { try loop.runOnce() }
        if let failure { throw failure }
    }

    private static func kill(_ id: String) -> JSONObject {
        var event = JSONObject()
        (event["type"], event["id"]) = (.string("oom"), .string(id))
        return event
    }

    /// At once, whatever standard output is.
    private func show(_ event: JSONValue) throws(RuntimeError) {
        do throws(SystemError) { try OwnedDescriptor(duplicating: 1).writeAll(event.bytes() + [UInt8(ascii: "\n")]) } catch { throw RuntimeError("cannot print an event", error) }
    }
}
