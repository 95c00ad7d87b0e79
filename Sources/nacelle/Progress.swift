import ContainerEngine
import Glibc
import LinuxSystem
import OCIImage
import RegistryClient
import Synchronization

/// Shows how far a transfer is, on standard error: bars on a terminal, else a line for each blob that is done.
final class Progress: Sendable {
    private struct Blob {
        var digest: Digest
        var size: Int64
        var moved: Int64 = 0
        var isDone = false
        var wasThere = false
    }
    private struct State {
        var blobs: [Blob] = []
        /// Lines that are on the terminal and are drawn over.
        var drawn = 0
        var last: Int64 = 0
    }

    private let isQuiet: Bool
    private let isTerminal: Bool
    private let state = Mutex(State())

    init(isQuiet: Bool) {
        self.isQuiet = isQuiet
        isTerminal = isatty(2) == 1
    }

    func say(_ text: String) { if !isQuiet { Output.write(text + "\n", to: 2) } }

    /// From any thread.
    func show(_ event: TransferEvent) {
        guard !isQuiet else { return }
        state.withLock { state in
            let isDone = Self.note(event, &state)
            if isTerminal { draw(&state, isForced: isDone) } else if isDone, case .finished(let descriptor, let wasThere) = event {
                Output.write("\(descriptor.digest.hex.prefix(12)): \(wasThere ? "already there" : "done") (\(HumanText.bytes(UInt64(max(0, descriptor.size)))))\n", to: 2)
            }
        }
    }

    func finish() {
        guard !isQuiet, isTerminal else { return }
        state.withLock { state in
            draw(&state, isForced: true)
            state = State()
        }
    }

    private static func note(_ event: TransferEvent, _ state: inout State) -> Bool {
        let descriptor: Descriptor
        switch event {
        case .found: return false
        case .started(let of), .progress(let of, _), .finished(let of, _): descriptor = of
        }
        var index = state.blobs.firstIndex { $0.digest == descriptor.digest } ?? -1
        if index < 0 {
            state.blobs.append(Blob(digest: descriptor.digest, size: descriptor.size))
            index = state.blobs.count - 1
        }
        switch event {
        case .found, .started: return false
        case .progress(_, let bytes):
            state.blobs[index].moved = min(bytes, descriptor.size)
            return false
        case .finished(_, let wasThere):
            (state.blobs[index].isDone, state.blobs[index].wasThere, state.blobs[index].moved) = (true, wasThere, descriptor.size)
            return true
        }
    }

    private func draw(_ state: inout State, isForced: Bool) {
        let now = monotonicNanoseconds()
        guard isForced || now - state.last > 100_000_000 else { return }
        state.last = now
        var text = state.drawn > 0 ? "\u{1B}[\(state.drawn)A" : ""
        for blob in state.blobs { text += "\r\u{1B}[K" + Self.line(blob) + "\n" }
        state.drawn = state.blobs.count
        Output.write(text, to: 2)
    }

    private static func line(_ blob: Blob) -> String {
        let name = blob.digest.hex.prefix(12)
        if blob.isDone { return "\(name)  \(blob.wasThere ? "already there" : "done")  \(HumanText.bytes(UInt64(max(0, blob.size))))" }
        let width = 30
        let filled = blob.size > 0 ? Int(Double(blob.moved) / Double(blob.size) * Double(width)) : 0
        return "\(name)  [" + String(repeating: "=", count: filled) + String(repeating: " ", count: width - filled)
            + "]  \(HumanText.bytes(UInt64(max(0, blob.moved)))) / \(HumanText.bytes(UInt64(max(0, blob.size))))"
    }
}
