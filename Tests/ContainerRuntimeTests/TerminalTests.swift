import Foundation
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

@Suite("Terminals")
struct TerminalTests {
    @Test("a pair has the size asked for, and its other end")
    func pair() throws {
        let pair = try ConsolePair(columns: 91, rows: 33)
        let size = try TerminalDevice.size(pair.slave.rawValue)
        #expect(size.columns == 91 && size.rows == 33 && pair.name.hasPrefix("/dev/pts/"))
        #expect(isatty(pair.slave.rawValue) == 1)
    }

    @Test("the master goes to the console socket, named by the terminal")
    func consoleSocket() throws {
        let fixture = try Fixture()
        let listener = try OwnedDescriptor.unixListener(path: fixture.folder + "/console")
        let pair = try ConsolePair()
        try pair.sendMaster(to: fixture.folder + "/console")
        let connection = try listener.accept()
        var buffer = [UInt8](repeating: 0, count: 100)
        var descriptors: [SharedDescriptor] = []
        let count = try connection.receive(into: &buffer, descriptors: &descriptors)
        #expect(String(decoding: buffer[..<count], as: UTF8.self) == pair.name)
        let master = try #require(descriptors.first)
        #expect(descriptors.count == 1)
        try TerminalDevice.makeRaw(pair.slave.rawValue)
        try pair.slave.writeAll(Array("hello".utf8))
        #expect(try master.with { (end: borrowing OwnedDescriptor) throws in try end.read(into: &buffer) } == 5)
        #expect(message { () throws(RuntimeError) in try pair.sendMaster(to: "/nonexistent/socket") }?.contains("/nonexistent/socket") == true)
    }

    @Test("much in both directions at once, and nobody waits for the other", arguments: [1 << 20])
    func relay(_ size: Int) throws {
        let pair = try ConsolePair()
        let master = SharedDescriptor(try pair.master.duplicate())
        let slave = SharedDescriptor(try pair.slave.duplicate())
        try TerminalDevice.makeRaw(slave.rawValue)
        let (inputReader, inputWriter) = try LinuxSystem.Pipe().split()
        let (outputReader, outputWriter) = try LinuxSystem.Pipe().split()
        let data = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        // A process that writes each piece that it reads twice before it reads the next.
        Thread.detachNewThread {
            var buffer = [UInt8](repeating: 0, count: 3000)
            while let count = slave.with({ (end: borrowing OwnedDescriptor) in try? end.read(into: &buffer) }), count > 0 {
                let piece = Array(buffer[..<count])
                if slave.with({ (end: borrowing OwnedDescriptor) in try? end.writeAll(piece + piece.map { ~$0 }) }) == nil { break }
            }
        }
        Thread.detachNewThread { inputWriter.with { (end: borrowing OwnedDescriptor) in try? end.writeAll(data) } }
        let relayThread = Thread {
            guard let loop = try? EventLoop(),
                let relay = try? TerminalRelay(master, input: inputReader.rawValue, output: outputWriter.rawValue, loop: loop, onResize: { _, _ in }) else { return }
            while !Thread.current.isCancelled { _ = try? loop.runOnce(timeout: 100) }
            try? relay.drain()
        }
        relayThread.start()
        var received = 0
        var buffer = [UInt8](repeating: 0, count: 65536)
        while received < 2 * size {
            let readable = try waitReadable(outputReader.rawValue, milliseconds: 30_000)
            try #require(readable, "stuck after \(received) bytes")
            received += try outputReader.with { (end: borrowing OwnedDescriptor) throws in try end.read(into: &buffer) }
        }
        relayThread.cancel()
        #expect(received == 2 * size)
    }

    @Test("a user who has gone away does not stop the process; a file is read to its end")
    func closedOutput() throws {
        let fixture = try Fixture()
        try Data(repeating: 0x61, count: 200_000).write(to: URL(fileURLWithPath: fixture.folder + "/input"))
        let pair = try ConsolePair()
        let master = SharedDescriptor(try pair.master.duplicate())
        let slave = SharedDescriptor(try pair.slave.duplicate())
        try TerminalDevice.makeRaw(slave.rawValue)
        let input = SharedDescriptor(try OwnedDescriptor(opening: fixture.folder + "/input", flags: O_RDONLY))
        signal(SIGPIPE, SIG_IGN)
        let output = try closedPipe()
        let loop = try EventLoop()
        let relay = try TerminalRelay(master, input: input.rawValue, output: output.rawValue, loop: loop, onResize: { _, _ in })
        let count = Count()
        Thread.detachNewThread {
            var buffer = [UInt8](repeating: 0, count: 4096)
            while count.value < 200_000, let read = slave.with({ (end: borrowing OwnedDescriptor) in try? end.read(into: &buffer) }), read > 0 {
                count.add(read)
                slave.with { (end: borrowing OwnedDescriptor) in try? end.writeAll(Array(buffer[..<read])) }
            }
        }
        for _ in 0..<2000 where count.value < 200_000 { try loop.runOnce(timeout: 20) }
        #expect(count.value == 200_000)
        try relay.drain()
    }

    /// The writing end of a pipe that nobody reads any more, opened before the reader went.
    private func closedPipe() throws -> SharedDescriptor {
        let (reader, writer) = try LinuxSystem.Pipe().split()
        _ = consume reader
        return writer
    }
}

private final class Count: @unchecked Sendable {
    private let lock = NSLock()
    private var storage = 0
    var value: Int { lock.withLock { storage } }
    func add(_ number: Int) { lock.withLock { storage += number } }
}
