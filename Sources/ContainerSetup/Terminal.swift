internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// The process's terminal: a pseudo-terminal of the container's own devpts, whose master goes to the launcher.
struct Terminal {
    let process: InitProcess

    /// Opens the pair through the root that is being built, and shows the terminal as /dev/console.
    func openInRoot() throws(SetupError) {
        guard process.process.terminal else { return }
        try process.withRoot { (root) throws(SetupError) in
            let peer = try open { () throws(SystemError) in try root.open("/dev/pts/ptmx", flags: O_RDWR | O_NOCTTY) }
            try doing("mount /dev/console") { () throws(SystemError) in
                let target = try root.file("/dev/console")
                try MountDescriptor(cloning: peer, recursive: false).attach(over: target)
            }
            try adopt(peer)
        }
    }

    /// The same for a further process, which is in the container's root already.
    func openInContainer() throws(SetupError) {
        guard process.process.terminal else { return }
        let peer = try open { () throws(SystemError) in try OwnedDescriptor(opening: "/dev/pts/ptmx", flags: O_RDWR | O_NOCTTY) }
        try adopt(peer)
    }

    private func open(_ openMaster: () throws(SystemError) -> OwnedDescriptor) throws(SetupError) -> OwnedDescriptor {
        let master = try doing("open a terminal") { () throws(SystemError) in try openMaster() }
        let peer = try doing("open a terminal") { () throws(SystemError) in
            let peer = try PseudoTerminal.openPeer(of: master)
            if let size = process.process.consoleSize, size.width != 0 || size.height != 0 {
                try TerminalDevice.setSize(master.rawValue, columns: size.width, rows: size.height)
            }
            return peer
        }
        do throws(InitChannelError) {
            try process.channel.send(.terminal, descriptors: [SharedDescriptor(master)])
        } catch { throw SetupError("\(error)") }
        return peer
    }

    private func adopt(_ peer: consuming OwnedDescriptor) throws(SetupError) {
        let shared = SharedDescriptor(peer)
        process.standardStreams = [shared, shared, shared]
    }

    /// A session of its own, so that signals of the launcher's terminal do not reach it, with the terminal as the controlling one.
    static func startSession(_ process: InitProcess) throws(SetupError) {
        try doing("setsid") { () throws(SystemError) in try OwnProcess.startSession() }
        if process.process.terminal, let terminal = process.standardStreams.first {
            try doing("controlling terminal") { () throws(SystemError) in try TerminalDevice.makeControlling(terminal.rawValue) }
        }
    }
}
