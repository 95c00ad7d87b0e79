import Glibc
import LinuxSystem
import Testing

/// Somebody else's descriptors, used without ever blocking and without changing what the others see of them.
@Suite struct HostStreamTests {
    private static func stream(_ given: consuming OwnedDescriptor, _ access: HostStream.Access) throws -> HostStream {
        try HostStream(given, access: access, processDescriptors: OwnedDescriptor(opening: "/proc/self/fd", flags: O_PATH | O_DIRECTORY))
    }

    @Test func pipes() throws {
        let pipe = try Pipe()
        let input = try Self.stream(pipe.readEnd.duplicate(), .read), output = try Self.stream(pipe.writeEnd.duplicate(), .write)
        let isAlwaysReady = input.isAlwaysReady || output.isAlwaysReady
        #expect(!isAlwaysReady)
        #expect(#expect(throws: SystemError.self) { _ = try input.read(limit: 10) }?.errno == .wouldBlock)
        #expect(try output.write([1, 2, 3]) == 3)
        #expect(try input.read(limit: 2) == [1, 2] && input.read(limit: 10) == [3])
        let chunk = [UInt8](repeating: 0, count: 65536)
        #expect(#expect(throws: SystemError.self) { while true { _ = try output.write(chunk[...]) } }?.errno == .wouldBlock)
        // The given ends still block.
        #expect(fcntl(pipe.readEnd.rawValue, F_GETFL) & O_NONBLOCK == 0 && fcntl(pipe.writeEnd.rawValue, F_GETFL) & O_NONBLOCK == 0)
    }

    /// In a process of its own: in this one another test may start a program, which has all descriptors for a moment.
    @Test func theEndsOfAPipe() async {
        await #expect(processExitsWith: .success) {
            var ends: Ends? = try Ends()
            let input = try Self.stream(Ends.required(ends?.read).duplicate(), .read)
            #expect(ends?.write?.writeSome([1], 0..<1) == .bytes(1), "write")
            ends = nil
            #expect(try input.read(limit: 10) == [1] && input.read(limit: 10) == [], "end")
            let others = try Ends()
            let output = try Self.stream(Ends.required(others.write).duplicate(), .write)
            others.read = nil
            try ignoreBrokenPipeSignal()
            let late = try Self.stream(Ends.required(others.write).duplicate(), .write)
            for error in [#expect(throws: SystemError.self) { _ = try output.write([1]) }, #expect(throws: SystemError.self) { _ = try late.write([1]) }] {
                #expect(error?.errno == .brokenPipe, "write")
            }
            // One with a name cannot even be opened.
            let directory = try Directory()
            try directory.open().makeNode("pipe", mode: UInt32(S_IFIFO) | 0o600)
            let named = try OwnedDescriptor(opening: directory.path + "/pipe", flags: O_RDWR)
            let writer = SharedDescriptor(try OwnedDescriptor(opening: directory.path + "/pipe", flags: O_WRONLY))
            try named.close()
            let refusal = #expect(throws: SystemError.self) { _ = try Self.stream(writer.duplicate(), .write) }
            #expect(refusal?.errno == .noReader, "open")
        }
    }

    /// Of a pipe; each closes when it is let go of.
    private final class Ends {
        var read: SharedDescriptor?
        var write: SharedDescriptor?
        init() throws { (read, write) = try Pipe().split() }
        static func required(_ end: SharedDescriptor?) throws -> SharedDescriptor { try #require(end) }
    }

    @Test func sockets() throws {
        let pair = try OwnedDescriptor.socketPair()
        let stream = try Self.stream(pair.first.duplicate(), [.read, .write])
        #expect(#expect(throws: SystemError.self) { _ = try stream.read(limit: 10) }?.errno == .wouldBlock)
        #expect(try stream.write([5]) == 1 && stream.directWriteLimit() == 0)
        _ = try pair.second.send([6, 7])
        #expect(try stream.read(limit: 10) == [6, 7])
        try pair.second.shutdown(Int32(SHUT_RDWR))
        #expect(try stream.read(limit: 10) == [])
        #expect(#expect(throws: SystemError.self) { _ = try stream.write([1]) }?.errno == .brokenPipe)
        #expect(fcntl(pair.first.rawValue, F_GETFL) & O_NONBLOCK == 0)
    }

    @Test func filesAreAlwaysReady() throws {
        let directory = try Directory()
        try writeFile(directory.path + "/file", [1, 2, 3])
        let stream = try Self.stream(OwnedDescriptor(opening: directory.path + "/file", flags: O_RDWR), [.read, .write])
        let isAlwaysReady = stream.isAlwaysReady
        #expect(isAlwaysReady)
        #expect(try stream.read(limit: 2) == [1, 2] && stream.read(limit: 2) == [3] && stream.read(limit: 2) == [])
        #expect(try stream.write([4]) == 1 && stream.directWriteLimit() == .max)
        let null = try Self.stream(OwnedDescriptor(opening: "/dev/null", flags: O_RDWR), [.read, .write])
        #expect(try null.read(limit: 2) == [] && null.write([1]) == 1)
    }

    @Test func terminals() throws {
        let master = try OwnedDescriptor(opening: "/dev/ptmx", flags: O_RDWR | O_NOCTTY)
        let peer = try PseudoTerminal.openPeer(of: master)
        try TerminalDevice.makeRaw(peer.rawValue)
        let inner = try Self.stream(peer.duplicate(), [.read, .write])
        let outer = try Self.stream(master, [.read, .write])
        #expect(#expect(throws: SystemError.self) { _ = try inner.read(limit: 10) }?.errno == .wouldBlock)
        #expect(#expect(throws: SystemError.self) { _ = try outer.read(limit: 10) }?.errno == .wouldBlock)
        #expect(try outer.write([1, 2]) == 2 && inner.read(limit: 10) == [1, 2])
        #expect(try inner.write([3]) == 1 && outer.read(limit: 10) == [3])
        #expect(fcntl(peer.rawValue, F_GETFL) & O_NONBLOCK == 0)
    }
}
