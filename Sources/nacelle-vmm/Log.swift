import LinuxSystem

/// The VMM's messages: one line each, to the descriptor that the runtime gave. The runtime shows the last error when a start fails.
final class Log: Sendable {
    private let descriptor: SharedDescriptor
    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = SharedDescriptor(descriptor) }

    func error(_ message: String) { line("error", message) }
    func warning(_ message: String) { line("warning", message) }

    private func line(_ level: String, _ message: String) {
        let flat = message.split(separator: "\n").joined(separator: " ")
        // A log that cannot be written must not end the container.
        descriptor.with { log in _ = try? log.write(Array("\(level): \(flat)\n".utf8)) }
    }
}

/// Time stamps of a start's phases (CLOCK_MONOTONIC, nanoseconds), for `make bench`.
final class Trace {
    private let file: SharedDescriptor?
    init(_ file: SharedDescriptor?) { self.file = file }

    func mark(_ phase: String) {
        guard let file else { return }
        let line = "\(monotonicNanoseconds()) \(phase)\n"
        file.with { file in _ = try? file.write(Array(line.utf8)) }
    }
}
