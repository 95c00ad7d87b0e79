import Glibc
import LinuxSystem
import Testing

/// What a system call's failure says: the operation, what it was about, and the C library's words.
@Suite struct ErrorTests {
    @Test(arguments: [
        (SystemError(.noSuchFile, "open", path: "/x"), "open /x: no such file or directory"), (SystemError(.badDescriptor, "close"), "close: bad file descriptor"),
        (SystemError(.invalidArgument, "mount_setattr", path: ""), "mount_setattr : invalid argument"), (SystemError(Errno(rawValue: 0), "read"), "read: success"),
        (SystemError(Errno(rawValue: 99999), "read"), "read: unknown error 99999"), (SystemError(Errno(rawValue: -1), "read"), "read: unknown error -1"),
    ])
    func descriptions(error: SystemError, text: String) { #expect("\(error)" == text) }

    static let names: [(Errno, Int32)] = [
        (.notPermitted, 1), (.noSuchFile, 2), (.noSuchProcess, 3), (.interrupted, 4), (.ioError, 5), (.noReader, 6), (.badFormat, 8), (.badDescriptor, 9), (.noChild, 10), (.wouldBlock, 11),
        (.noMemory, 12), (.permissionDenied, 13), (.busy, 16), (.fileExists, 17), (.notDirectory, 20), (.isDirectory, 21), (.invalidArgument, 22), (.notTerminal, 25), (.noSpace, 28),
        (.readOnly, 30), (.brokenPipe, 32), (.nameTooLong, 36), (.notImplemented, 38), (.notEmpty, 39), (.symbolicLinkLoop, 40), (.notSupported, 95), (.connectionReset, 104),
        (.timedOut, 110), (.connectionRefused, 111),
    ]
    @Test(arguments: names) func numbers(errno: Errno, number: Int32) { #expect(errno.rawValue == number && !"\(errno)".isEmpty) }

    private static let longPath = "/" + String(repeating: "x", count: 107)
    typealias Call = @Sendable () throws -> Void
    static let failures: [(call: Call, error: SystemError)] = [
        ({ _ = try OwnedDescriptor(opening: "/no/such", flags: O_RDONLY) }, SystemError(.noSuchFile, "open", path: "/no/such")),
        ({ _ = try OwnedDescriptor(opening: "/dev/null/x", flags: O_RDONLY) }, SystemError(.notDirectory, "open", path: "/dev/null/x")),
        ({ _ = try readFile("/proc") }, SystemError(.isDirectory, "read", path: "/proc")),
        ({ try writeFile("/dev/full", [1]) }, SystemError(.noSpace, "write", path: "/dev/full")),
        ({ try writeFile("/no/such", []) }, SystemError(.noSuchFile, "open", path: "/no/such")),
        ({ try makeDirectory("/no/such") }, SystemError(.noSuchFile, "mkdir", path: "/no/such")),
        ({ try removeDirectory("/no/such") }, SystemError(.noSuchFile, "rmdir", path: "/no/such")),
        ({ _ = try FileStatus(path: "/no/such") }, SystemError(.noSuchFile, "stat", path: "/no/such")),
        ({ try OwnedDescriptor(owning: -1).close() }, SystemError(.badDescriptor, "close")),
        ({ _ = try OwnedDescriptor(duplicating: -1) }, SystemError(.badDescriptor, "dup")),
        ({ _ = try OwnedDescriptor.unixConnection(path: "/no/such") }, SystemError(.noSuchFile, "connect", path: "/no/such")),
        ({ _ = try OwnedDescriptor.unixListener(path: "/no/such") }, SystemError(.noSuchFile, "bind", path: "/no/such")),
        ({ _ = try OwnedDescriptor.unixConnection(path: longPath) }, SystemError(.nameTooLong, "connect", path: longPath)),
        ({ _ = try OwnedDescriptor.unixListener(path: longPath) }, SystemError(.nameTooLong, "bind", path: longPath)),
        ({ _ = try ProcessDescriptor(-1) }, SystemError(.invalidArgument, "pidfd_open", path: "-1")),
        ({ try sendSignal(0, to: .max) }, SystemError(.noSuchProcess, "kill", path: "2147483647")),
        ({ try sendSignal(1000, to: getpid()) }, SystemError(.invalidArgument, "kill", path: "\(getpid())")),
        ({ try setResourceLimit(of: 0, 1000, soft: 0, hard: 0) }, SystemError(.invalidArgument, "prlimit")),
        ({ try OwnProcess.changeDirectory("/no/such") }, SystemError(.noSuchFile, "chdir", path: "/no/such")),
        ({ try NamespaceSet.network.join(-1) }, SystemError(.badDescriptor, "setns", path: "net")),
        ({ try TerminalDevice.makeRaw(-1) }, SystemError(.badDescriptor, "tcgetattr")),
        ({ _ = try TerminalDevice.size(-1) }, SystemError(.badDescriptor, "ioctl(TIOCGWINSZ)")),
        ({ _ = try Mapping(-1, count: 4096, protection: PROT_READ, flags: MAP_SHARED) }, SystemError(.badDescriptor, "mmap")),
        ({ _ = try Mapping(nil, count: 0, protection: PROT_READ, flags: MAP_PRIVATE) }, SystemError(.invalidArgument, "mmap")),
        ({ _ = try Mapping(nil, count: .max, protection: PROT_READ, flags: MAP_PRIVATE) }, SystemError(.noMemory, "mmap")),
    ]

    @Test(arguments: failures.indices) func failuresSayWhatFailed(index: Int) {
        let (call, expected) = Self.failures[index]
        #expect(throws: expected) { try call() }
    }

    @Test func resultsBecomeValuesOrErrors() throws {
        #expect(try checked(0, "x") == 0 && checked(.max, "x") == .max)
        #expect(throws: SystemError(.permissionDenied, "x", path: "p")) { try checked(-13, "x", path: "p") }
        // A call that signals interrupt is made again, and only then.
        var results = [-4, -4, 7, -4]
        #expect(try retried("x") { results.removeFirst() } == 7)
        results = [-4, -11, 1]
        #expect(throws: SystemError(.wouldBlock, "x")) { try retried("x") { results.removeFirst() } }
        #expect(results == [1])
    }
}
