import Glibc
import LinuxSystem
import Synchronization
import Testing

/// Children, their ends, and this process's threads and terminals.
@Suite struct ProcessTests {
    /// A shell that carries out a script, with its signals as they are by default.
    private static func shell(_ script: String) throws -> Int32 {
        try ProgramStart.start("/bin/sh", arguments: ["-c", script], descriptors: [nil, nil, nil], newSession: false)
    }

    @Test(arguments: [
        (0x0000, .exited(0), 0), (0x0300, .exited(3), 3), (0xFF00, .exited(255), 255), (0x0009, .signaled(9), 137), (0x008B, .signaled(11), 139), (0x000F, .signaled(15), 143),
    ] as [(Int32, LinuxSystem.ExitStatus, Int32)])
    func waitStatuses(raw: Int32, status: LinuxSystem.ExitStatus, shellCode: Int32) {
        #expect(LinuxSystem.ExitStatus(waitStatus: raw) == status && status.shellCode == shellCode)
    }

    @Test(arguments: [("exit 0", .exited(0)), ("exit 7", .exited(7)), ("kill -9 $$", .signaled(9)), ("kill -TERM $$", .signaled(15))] as [(String, LinuxSystem.ExitStatus)])
    func childrenAreWaitedFor(script: String, status: LinuxSystem.ExitStatus) throws {
        let pid = try Self.shell(script)
        let ended = try waitForProcess(pid)
        #expect(ended?.pid == pid && ended?.status == status)
        // Nobody is waited for twice.
        #expect(try waitForProcess(pid) == nil && waitForProcess(pid, noHang: true) == nil)
        #expect(throws: SystemError(.noSuchProcess, "kill", path: "\(pid)")) { try sendSignal(0, to: pid) }
    }

    @Test func aProcessDescriptorIsOfOneProcess() throws {
        let pid = try Self.shell("exec sleep infinity")
        let process = try ProcessDescriptor(pid)
        #expect(try waitForProcess(pid, noHang: true) == nil && !waitReadable(process.descriptor.rawValue, milliseconds: 0))
        try sendSignal(0, toProcess: process.descriptor)
        try process.signal(SIGKILL)
        // It becomes readable at the process's end.
        #expect(try waitReadable(process.descriptor.rawValue, milliseconds: .max))
        #expect(try waitForProcess(pid)?.status == .signaled(SIGKILL))
        #expect(throws: SystemError(.noSuchProcess, "pidfd_send_signal")) { try process.signal(0) }
        #expect(throws: SystemError(.noSuchProcess, "pidfd_send_signal")) { try sendSignal(0, toProcess: process.descriptor) }
    }

    @Test func aProcessEndsAsItIsTold() async {
        await #expect(processExitsWith: .exitCode(42)) { exitProcess(as: .exited(42)) }
        await #expect(processExitsWith: .signal(SIGTERM)) { exitProcess(as: .signaled(SIGTERM)) }
        await #expect(processExitsWith: .signal(SIGSEGV)) { exitProcess(as: .signaled(SIGSEGV)) }
        // A signal that is ignored by default ends nothing; the shell's number stands for it.
        await #expect(processExitsWith: .exitCode(128 + SIGCHLD)) { exitProcess(as: .signaled(SIGCHLD)) }
    }

    /// Descriptors are put in their places though one stands in another's, and what else is open closes.
    @Test func descriptorsAreInstalledForAProgram() async {
        await #expect(processExitsWith: .success) {
            let null = try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR)
            let first = try OwnedDescriptor(duplicating: null.rawValue, above: 50)
            try OwnProcess.closeOnExec(from: 3)
            #expect(fcntl(first.rawValue, F_GETFD) == FD_CLOEXEC, "closed")
            try OwnProcess.install(first, as: first.rawValue)
            #expect(fcntl(first.rawValue, F_GETFD) == 0, "kept")
            try OwnProcess.install(first, as: 77)
            #expect(fcntl(77, F_GETFD) == 0, "copied")
        }
    }

    @Test func aProgramThatCannotBeExecuted() {
        #expect(OwnProcess.execute("/no/such", arguments: ["x"], environment: []) == SystemError(.noSuchFile, "exec", path: "/no/such"))
        #expect(OwnProcess.execute("/proc", arguments: ["x"], environment: []) == SystemError(.permissionDenied, "exec", path: "/proc"))
    }

    /// What a thread says of itself.
    private final class Account: Sendable {
        let name = Mutex("")
        let identity = Mutex<ThreadIdentity?>(nil)
        let isWritten: WaitingEvent
        init() throws { isWritten = try WaitingEvent() }
    }

    @Test func threadsHaveTheirNames() throws {
        let account = try Account()
        try startThread(name: "nacelle-unit") {
            account.name.withLock { $0 = String(decoding: (try? readFile("/proc/thread-self/comm")) ?? [], as: UTF8.self) }
            account.identity.withLock { $0 = .current }
            account.isWritten.signal()
        }
        account.isWritten.wait()
        #expect(account.name.withLock { $0 } == "nacelle-unit\n")
        #expect(account.identity.withLock { $0 } != .current && ThreadIdentity.current == .current)
    }

    @Test func terminals() throws {
        let master = try OwnedDescriptor(opening: "/dev/ptmx", flags: O_RDWR | O_NOCTTY)
        let peer = try PseudoTerminal.openPeer(of: master)
        #expect(fcntl(peer.rawValue, F_GETFD) == FD_CLOEXEC)
        try TerminalDevice.setSize(master.rawValue, columns: 100, rows: 40)
        #expect(try TerminalDevice.size(peer.rawValue) == (100, 40))
        try SharedDescriptor(peer.duplicate()).setWindowSize(columns: 1, rows: 2)
        #expect(try TerminalDevice.size(master.rawValue) == (1, 2))
        // Raw: a newline stays one, and nothing is echoed.
        try TerminalDevice.makeRaw(peer.rawValue)
        try master.writeAll(Array("a\n\u{3}".utf8))
        var buffer = [UInt8](repeating: 0, count: 10)
        #expect(try peer.read(into: &buffer) == 3)
        #expect(buffer[..<3] == [97, 10, 3])
        try peer.writeAll([10])
        #expect(try master.read(into: &buffer) == 1)
        let null = try OwnedDescriptor(opening: "/dev/null", flags: O_RDWR)
        #expect(throws: SystemError(.notTerminal, "tcgetattr")) { try TerminalDevice.makeRaw(null.rawValue) }
        #expect(throws: SystemError(.notTerminal, "ioctl(TIOCGWINSZ)")) { _ = try TerminalDevice.size(null.rawValue) }
        #expect(throws: SystemError(.notTerminal, "ioctl(TIOCSPTLCK)")) { _ = try PseudoTerminal.openPeer(of: null) }
    }

    @Test func namespacesHaveTheKernelsBits() {
        let bits: [(NamespaceSet, Int32)] = [
            (.mount, CLONE_NEWNS), (.controlGroup, CLONE_NEWCGROUP), (.uts, CLONE_NEWUTS), (.ipc, CLONE_NEWIPC), (.user, CLONE_NEWUSER), (.pid, CLONE_NEWPID), (.network, CLONE_NEWNET),
        ]
        for (namespace, flag) in bits { #expect(namespace.rawValue == UInt64(flag)) }
        #expect(NamespaceSet.time.rawValue == 0x80)
    }
}
