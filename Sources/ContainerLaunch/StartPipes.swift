internal import AgentProtocol
internal import ControlGroups
internal import Glibc
public import LinuxSystem

/// Two named pipes by which a container is started from another process than the one that created it.
///
/// nacelle-init holds both, close-on-exec, from its creation until it executes the program. So whether somebody reads `start` tells
/// whether the container still waits, without anything that could be out of date being written down; and the end of `answer` without
/// a word means that the program runs. Only read(2) and write(2) are needed on its side, which every system call filter allows.
public struct StartPipes: Sendable {
    let start: SharedDescriptor
    let answer: SharedDescriptor

    /// Makes the pipes, which must not exist.
    public init(start: String, answer: String) throws(SystemError) {
        try makeNamedPipe(start, mode: 0o600)
        try makeNamedPipe(answer, mode: 0o600)
        // Both directions: reading never sees an end when a starter dies, and opening does not wait for the other side.
        self.start = SharedDescriptor(try OwnedDescriptor(opening: start, flags: O_RDWR | O_NOFOLLOW))
        self.answer = SharedDescriptor(try OwnedDescriptor(opening: answer, flags: O_RDWR | O_NOFOLLOW))
    }

    /// Whether a process waits for `start`.
    public static func isWaiting(start: String) -> Bool {
        (try? OwnedDescriptor(opening: start, flags: O_WRONLY | O_NONBLOCK | O_NOFOLLOW)) != nil
    }

    /// Lets the process execute its program; returns when it has, or has ended.
    /// - Parameter isAlive: whether there still is somebody who could answer.
    public static func send(start: String, answer: String, isAlive: () -> Bool) throws(LaunchError) {
        let reply: [UInt8]
        do throws(SystemError) {
            // First: when the process has executed its program there is nobody left to open it for.
            let answers = try OwnedDescriptor(opening: answer, flags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW)
            let pipe = try OwnedDescriptor(opening: start, flags: O_WRONLY | O_NONBLOCK | O_NOFOLLOW)
            try pipe.writeAll(InitMessage.start.frame().encoded())
            // The end of a pipe that nobody held when it was opened is never told.
            while try !waitReadable(answers.rawValue, milliseconds: 100) {
                guard isAlive() else { throw SystemError(.noSuchProcess, "start") }
            }
            try answers.setNonBlocking(false)
            reply = try answers.readAll(limit: 1 << 20)
        } catch {
            if error.errno == Errno(rawValue: ENXIO) || error.errno == .noSuchProcess {
                throw LaunchError(.noSuchProcess, "the container's process has ended before it was started")
            }
            throw LaunchError("start", error)
        }
        guard !reply.isEmpty else {
            // execve closes one pipe after the other: until the second is closed as well the container would still be taken for created.
            while isWaiting(start: start) && isAlive() { sleep(milliseconds: 1) }
            return
        }
        var decoder = FrameDecoder()
        decoder.append(reply[...])
        let message: InitMessage?
        do throws(ProtocolError) { message = try decoder.next().map { (frame) throws(ProtocolError) in try InitMessage(frame) } } catch {
            throw LaunchError(.other, "nacelle-init cannot be understood: \(error)")
        }
        if case .failed(let failure)? = message { throw LaunchError(failure) }
        throw LaunchError(.other, "nacelle-init sent an unexpected message")
    }
}

extension ContainerLauncher {
    /// A container that a launcher with the same plan has created, in whatever process.
    /// - Parameters:
    ///   - pid: its first process, which the caller knows to be the right one.
    ///   - controlGroups: the directories of its control group; none when it has none.
    public func existing(pid: Int32, controlGroups: [String]) throws(LaunchError) -> LaunchedContainer {
        LaunchedContainer(process: try LaunchedProcess(existing: pid), handshake: nil, launcher: self, group: try controlGroup(at: controlGroups))
    }

    private func controlGroup(at directories: [String]) throws(LaunchError) -> ControlGroup? {
        do throws(ControlGroupError) { return try ControlGroup.existing(directories) } catch { throw LaunchError(error) }
    }
}
