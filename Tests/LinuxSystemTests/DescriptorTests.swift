import Glibc
import LinuxSystem
import Testing

/// Descriptors have one owner, who closes them once. What is counted is counted in a process of its own, where nothing else opens any.
@Suite struct DescriptorTests {
    @Test func everyOwnerClosesOnce() async {
        await #expect(processExitsWith: .success) {
            func opened() throws -> OwnedDescriptor { try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR) }
            let before = try openDescriptorCount()
            do {
                let one = try opened()
                let two = try one.duplicate()
                #expect(try openDescriptorCount() == before + 2, "two")
                #expect(one.rawValue != two.rawValue)
                try one.close()
                #expect(try openDescriptorCount() == before + 1, "one")
                let shared = SharedDescriptor(two)
                let copies = [shared, shared, shared]
                #expect(copies.count == 3)
                #expect(try openDescriptorCount() == before + 1, "shared")
                _ = try shared.duplicate()
                let high = try OwnedDescriptor(duplicating: shared.rawValue, above: 100)
                #expect(high.rawValue >= 100)
            }
            #expect(try openDescriptorCount() == before, "scopes")
            // Given away, it is the receiver's.
            let raw = try opened().release()
            #expect(try openDescriptorCount() == before + 1, "given away")
            _ = OwnedDescriptor(owning: raw)
            #expect(try openDescriptorCount() == before, "release")
            // What fails leaves nothing.
            for _ in 0..<50 {
                #expect(throws: SystemError.self) { _ = try OwnedDescriptor(opening: "/no/such/file", flags: O_RDONLY) }
                #expect(throws: SystemError.self) { _ = try OwnedDescriptor.unixConnection(path: "/no/such/socket") }
                #expect(throws: SystemError.self) { _ = try OwnedDescriptor.unixListener(path: "/no/such/directory/socket") }
                #expect(throws: SystemError.self) { _ = try OwnedDescriptor(duplicating: -1) }
                #expect(throws: SystemError.self) { _ = try readFile("/proc/self/status", limit: 1) }
                #expect(throws: SystemError.self) { try writeFile("/dev/full", [1]) }
                #expect(throws: SystemError.self) { _ = try ProcessDescriptor(-1) }
                #expect(throws: SystemError.self) { _ = try opened().entries() }
            }
            #expect(try openDescriptorCount() == before, "failures")
            let all = try openDescriptorCount(withAnonymous: true)
            for _ in 0..<50 {
                _ = try OwnedDescriptor.socketPair()
                _ = try Pipe()
                _ = try Pipe().split()
                _ = try EventLoop()
                _ = try EventDescriptor()
                _ = try WaitingEvent()
                _ = try TimerDescriptor()
                _ = try SignalDescriptor([SIGUSR1])
                _ = try ProcessDescriptor(getpid())
                _ = try readFile("/proc/self/status")
                _ = try OwnedDescriptor.ownDescriptors(flags: O_PATH)
                _ = try OwnedDescriptor.emptyDirectory()
                _ = try DescriptorLinks()
            }
            #expect(try openDescriptorCount() == before, "wrappers")
            #expect(try openDescriptorCount(withAnonymous: true) < all + 50, "wrappers without a file")
        }
    }

    @Test func descriptorsDoNotOutliveAProgram() throws {
        let file = try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR)
        func isInherited(_ raw: Int32) -> Bool { fcntl(raw, F_GETFD) & FD_CLOEXEC == 0 }
        let copy = try file.duplicate(), pipe = try Pipe(), sockets = try OwnedDescriptor.socketPair(), event = try EventDescriptor()
        for raw in [file.rawValue, copy.rawValue, pipe.readEnd.rawValue, pipe.writeEnd.rawValue, sockets.first.rawValue, sockets.second.rawValue, event.descriptor.rawValue] {
            #expect(!isInherited(raw))
        }
        try file.setCloseOnExec(false)
        #expect(isInherited(file.rawValue) && !isInherited(copy.rawValue))
        try file.setCloseOnExec(true)
        #expect(!isInherited(file.rawValue))
    }

    @Test func nonBlockingIsOfTheOpenFile() throws {
        let pipe = try Pipe()
        let copy = try pipe.readEnd.duplicate()
        try pipe.readEnd.setNonBlocking(true)
        var buffer = [UInt8](repeating: 0, count: 8)
        #expect(throws: SystemError(.wouldBlock, "read")) { _ = try copy.read(into: &buffer) }
        // Other flags stay.
        let file = try OwnedDescriptor(opening: "/dev/null", flags: O_WRONLY | O_APPEND)
        try file.setNonBlocking(true)
        #expect(fcntl(file.rawValue, F_GETFL) & (O_APPEND | O_NONBLOCK) == O_APPEND | O_NONBLOCK)
        try file.setNonBlocking(false)
        #expect(fcntl(file.rawValue, F_GETFL) & (O_APPEND | O_NONBLOCK) == O_APPEND)
    }

    @Test func readingAndWriting() throws {
        let directory = try Directory()
        let path = directory.path + "/file"
        let content = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try writeFile(path, content, mode: 0o640)
        #expect(try readFile(path) == content)
        #expect(try readFile(path, limit: content.count) == content)
        #expect(throws: SystemError(Errno(rawValue: EFBIG), "read", path: path)) { try readFile(path, limit: content.count - 1) }
        #expect(try FileStatus(path: path).permissions == 0o640)
        let file = try OwnedDescriptor(opening: path, flags: O_RDONLY)
        #expect(try file.size() == 100_000)
        #expect(try file.bytes(at: 99_990, count: 100) == Array(content[99_990...]))
        #expect(try file.bytes(at: 5, count: 0) == [] && file.bytes(at: 200_000, count: 5) == [])
        var none: [UInt8] = []
        #expect(try file.read(into: &none) == 0)
        // What was longer is cut off; what exists is not touched where it must be new.
        try writeFile(path, [1])
        #expect(try readFile(path) == [1])
        #expect(throws: SystemError(.fileExists, "open", path: path)) { try writeFile(path, [2], exclusive: true) }
        #expect(try readFile(path) == [1])
    }

    @Test func nothingLeavesWithResolveBeneath() throws {
        let directory = try Directory()
        try makeDirectory(directory.path + "/inner")
        let inner = try OwnedDescriptor(opening: directory.path + "/inner", flags: O_PATH | O_DIRECTORY)
        try OwnedDescriptor(opening: directory.path + "/inner", flags: O_RDONLY | O_DIRECTORY).makeSymbolicLink("out", to: "..")
        let beneath: UInt64 = 0x08  // RESOLVE_BENEATH
        for path in ["..", "/", "out", "out/inner"] {
            #expect(throws: SystemError(Errno(rawValue: EXDEV), "openat2", path: path)) { _ = try OwnedDescriptor(opening: path, beneath: inner, flags: UInt64(O_PATH), resolve: beneath) }
        }
        _ = try OwnedDescriptor(opening: ".", beneath: inner, flags: UInt64(O_PATH), resolve: beneath)
    }
}
