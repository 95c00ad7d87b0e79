import Glibc
import LinuxSystem
import Testing

/// Sockets, and the descriptors that travel through them.
@Suite struct SocketTests {
    private static func content(_ descriptor: SharedDescriptor) throws -> String {
        String(decoding: try descriptor.with { (file) throws(SystemError) in try file.bytes(at: 0, count: 100) }, as: UTF8.self)
    }

    /// Files that say their number.
    private static func files(_ count: Int, in directory: Directory) throws -> [SharedDescriptor] {
        try (0..<count).map { index in
            try writeFile(directory.path + "/\(index)", Array("\(index)".utf8))
            return SharedDescriptor(try OwnedDescriptor(opening: directory.path + "/\(index)", flags: O_RDONLY))
        }
    }

    @Test(arguments: [0, 1, 2, 31, 32]) func descriptorsArriveInOrder(count: Int) throws {
        let directory = try Directory()
        let files = try Self.files(count, in: directory)
        let pair = try OwnedDescriptor.socketPair()
        #expect(try pair.first.send([7, 8], descriptors: files.map(\.rawValue)) == 2)
        var received: [SharedDescriptor] = []
        var buffer = [UInt8](repeating: 0, count: 16)
        #expect(try pair.second.receive(into: &buffer, descriptors: &received) == 2)
        #expect(buffer[..<2] == [7, 8])
        #expect(try received.map(Self.content) == (0..<count).map { "\($0)" })
        // Numbers of their own, that close at execve.
        #expect(Set(received.map(\.rawValue)).isDisjoint(with: files.map(\.rawValue)))
        for descriptor in received { #expect(fcntl(descriptor.rawValue, F_GETFD) == FD_CLOEXEC) }
    }

    @Test func tooManyDescriptorsAreRefused() throws {
        let pair = try OwnedDescriptor.socketPair()
        let many = [Int32](repeating: pair.first.rawValue, count: 254)
        #expect(throws: SystemError(.invalidArgument, "sendmsg")) { _ = try pair.first.send([1], descriptors: many) }
        #expect(throws: SystemError(.badDescriptor, "sendmsg")) { _ = try pair.first.send([1], descriptors: [-1]) }
        var buffer = [UInt8](repeating: 0, count: 1), received: [SharedDescriptor] = []
        #expect(throws: SystemError(.wouldBlock, "recvmsg")) { _ = try pair.second.receive(into: &buffer, descriptors: &received, nonBlocking: true) }
    }

    /// What is received and not kept is closed, also when the bytes are taken without the descriptors.
    @Test func descriptorsInFlightDoNotLeak() async {
        await #expect(processExitsWith: .success) {
            let null = try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR)
            let before = try openDescriptorCount()
            for round in 0..<20 {
                let pair = try OwnedDescriptor.socketPair()
                _ = try pair.first.send([1], descriptors: [Int32](repeating: null.rawValue, count: 32))
                var buffer = [UInt8](repeating: 0, count: 1), nothing: [UInt8] = [], received: [SharedDescriptor] = []
                switch round % 4 {
                case 0: _ = try pair.second.receive(into: &buffer, descriptors: &received)
                case 1: _ = try pair.second.read(into: &buffer)
                case 2: _ = try pair.second.receive(into: &nothing, descriptors: &received)
                default: break
                }
                if round % 4 == 0 { #expect(received.count == 32, "received") }
            }
            #expect(try openDescriptorCount() == before, "open")
        }
    }

    @Test func descriptorsComeWithTheirFirstByte() throws {
        let directory = try Directory()
        let files = try Self.files(2, in: directory)
        let pair = try OwnedDescriptor.socketPair()
        _ = try pair.first.send([1, 2, 3], descriptors: [files[0].rawValue])
        _ = try pair.first.send([4], descriptors: [files[1].rawValue])
        var received: [SharedDescriptor] = []
        var one = [UInt8](repeating: 0, count: 1), many = [UInt8](repeating: 0, count: 10)
        #expect(try pair.second.receive(into: &one, descriptors: &received) == 1)
        #expect(received.count == 1)
        // What was sent without joins the bytes before it, and nothing joins what has descriptors.
        _ = try pair.first.send([5])
        #expect(try pair.second.receive(into: &many, descriptors: &received) == 3)
        #expect(try many[..<3] == [2, 3, 4] && received.map(Self.content) == ["0", "1"])
        #expect(try pair.second.receive(into: &many, descriptors: &received) == 1)
    }

    @Test func messagesKeepTheirBounds() throws {
        let pair = try OwnedDescriptor.socketPair(sequencedPacket: true)
        _ = try pair.first.send([1, 2, 3])
        _ = try pair.first.send([4])
        var buffer = [UInt8](repeating: 0, count: 10), received: [SharedDescriptor] = []
        #expect(try pair.second.receive(into: &buffer, descriptors: &received) == 3)
        #expect(try pair.second.receive(into: &buffer, descriptors: &received) == 1)
        #expect(received.isEmpty)
    }

    @Test func anEndThatClosesIsSeen() throws {
        let pair = try OwnedDescriptor.socketPair()
        try pair.first.shutdown(Int32(SHUT_WR))
        var buffer = [UInt8](repeating: 0, count: 10), received: [SharedDescriptor] = []
        #expect(try pair.second.receive(into: &buffer, descriptors: &received) == 0)
        #expect(try pair.second.read(into: &buffer) == 0)
        // An error and no signal.
        #expect(throws: SystemError(.brokenPipe, "sendmsg")) { _ = try pair.first.send([1]) }
    }

    @Test func aFullSocketWouldBlock() throws {
        let pair = try OwnedDescriptor.socketPair()
        let chunk = [UInt8](repeating: 1, count: 65536)
        #expect(throws: SystemError(.wouldBlock, "sendmsg")) { while true { _ = try pair.first.send(chunk, nonBlocking: true) } }
    }

    @Test(arguments: [true, false]) func listenersAndConnections(isNonBlocking: Bool) throws {
        let directory = try Directory()
        let path = directory.path + "/socket"
        let listener = try OwnedDescriptor.unixListener(path: path)
        try listener.setNonBlocking(true)
        #expect(throws: SystemError(.wouldBlock, "accept")) { _ = try listener.accept() }
        let client = try OwnedDescriptor.unixConnection(path: path)
        let server = try listener.accept(nonBlocking: isNonBlocking)
        #expect((fcntl(server.rawValue, F_GETFL) & O_NONBLOCK != 0) == isNonBlocking)
        #expect(fcntl(server.rawValue, F_GETFD) == FD_CLOEXEC && fcntl(client.rawValue, F_GETFD) == FD_CLOEXEC)
        _ = try client.send([9])
        var buffer = [UInt8](repeating: 0, count: 4), received: [SharedDescriptor] = []
        #expect(try server.receive(into: &buffer, descriptors: &received) == 1)
        #expect(throws: SystemError(Errno(rawValue: EADDRINUSE), "bind", path: path)) { _ = try OwnedDescriptor.unixListener(path: path) }
    }

    /// In a process of its own: in this one another test may start a program, which has all descriptors for a moment.
    @Test func nobodyListensAnyMore() async {
        await #expect(processExitsWith: .success) {
            let directory = try Directory()
            let path = directory.path + "/socket"
            try OwnedDescriptor.unixListener(path: path).close()
            #expect(throws: SystemError(.connectionRefused, "connect", path: path)) { _ = try OwnedDescriptor.unixConnection(path: path) }
        }
    }

    /// 107 bytes are a path, 108 are not.
    @Test func theLongestPath() throws {
        let directory = try Directory()
        let path = directory.path + "/" + String(repeating: "x", count: 106 - directory.path.utf8.count)
        #expect(path.utf8.count == 107)
        let listener = try OwnedDescriptor.unixListener(path: path)
        let client = try OwnedDescriptor.unixConnection(path: path)
        let server = try listener.accept()
        #expect(client.rawValue != server.rawValue)
        #expect(throws: SystemError(.nameTooLong, "bind", path: path + "x")) { _ = try OwnedDescriptor.unixListener(path: path + "x") }
    }

    @Test func transfersWithoutBlocking() throws {
        let (readEnd, writeEnd) = try Pipe(nonBlocking: true).split()
        var buffer = [UInt8](repeating: 0, count: 16)
        #expect(readEnd.readSome(into: &buffer) == .wouldBlock)
        #expect(writeEnd.writeSome([1, 2, 3, 4], 1..<3) == .bytes(2))
        #expect(try readEnd.readableByteCount() == 2)
        #expect(readEnd.readSome(into: &buffer) == .bytes(2))
        #expect(buffer[..<2] == [2, 3])
        for range in [0..<0, 4..<4, 3..<5, -1..<2, 9..<10] { #expect(writeEnd.writeSome([1, 2, 3, 4], range) == .failed(.invalidArgument)) }
        while case .bytes = writeEnd.writeSome([UInt8](repeating: 0, count: 65536), 0..<65536) {}
        #expect(writeEnd.writeSome([1], 0..<1) == .wouldBlock)
        let directory = SharedDescriptor(try OwnedDescriptor(opening: "/", flags: O_RDONLY | O_DIRECTORY))
        #expect(directory.readSome(into: &buffer) == .failed(.isDirectory))
        #expect(directory.writeSome([1], 0..<1) == .failed(.badDescriptor))
        try writeEnd.setNonBlocking(false)
        #expect(fcntl(writeEnd.rawValue, F_GETFL) & O_NONBLOCK == 0)
    }
}
