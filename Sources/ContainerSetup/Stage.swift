internal import AgentProtocol
internal import Glibc
internal import LinuxSystem

/// The way into namespaces that a process must be born in: see "Staged" in InitMessage.swift. The order is runc's.
enum Stage {
    /// Returns in the sibling, which is where it should be; the process that was here before is gone.
    static func enter(_ process: InitProcess) throws(SetupError) {
        guard let stage = process.plan.stage else { return }
        // Processes of the namespaces to come must not get at this one's memory and descriptors, which are the launcher's; its sibling
        // inherits that, and loses it when it executes the container's program.
        try setDumpable(false)
        try join(process.stageJoins)
        if stage.makesUserNamespace { try makeUserNamespace(process) }
        if NamespaceSet(rawValue: process.plan.unshares).contains(.time) {
            // /proc/self/timens_offsets belongs to the machine's root while this process is not dumpable.
            try setDumpable(true)
            try doing("new time namespace") { () throws(SystemError) in try Namespaces.prepareTimeNamespace(process.linux) }
            try setDumpable(false)
        }
        let child = try doing("enter namespaces") { () throws(SystemError) in try OwnProcess.forkSibling(NamespaceSet(rawValue: stage.cloned)) }
        if child != 0 {
            do throws(InitChannelError) { try process.channel.send(.moved(pid: child)) } catch {
                // Nobody would know of it.
                try? sendSignal(SIGKILL, to: child)
                OwnProcess.exitNow(1)
            }
            OwnProcess.exitNow(0)
        }
        process.stageJoins = []
        // What this one says must come after what the other has said.
        try proceed(process)
    }

    /// As the launcher's user what it may, as the root of a joined user namespace the rest: an ordinary user has rights over namespaces
    /// only there, and of namespaces that the joined one does not own only the launcher has.
    private static func join(_ joins: [(namespaces: NamespaceSet, descriptor: SharedDescriptor)]) throws(SetupError) {
        let user = joins.first { $0.namespaces == .user }
        var later: [(namespaces: NamespaceSet, descriptor: SharedDescriptor)] = []
        for join in joins where join.namespaces != .user {
            do throws(SystemError) { try join.namespaces.join(join.descriptor.rawValue) } catch {
                guard user != nil, error.errno == .notPermitted else { throw SetupError("join namespaces", error) }
                later.append(join)
            }
        }
        if let user { try Namespaces.join(user.namespaces, user.descriptor) }
        for join in later { try Namespaces.join(join.namespaces, join.descriptor) }
    }

    private static func makeUserNamespace(_ process: InitProcess) throws(SetupError) {
        // The maps' files too belong to the machine's root otherwise. Nobody of the container is in this process's namespaces.
        try setDumpable(true)
        try doing("new user namespace") { () throws(SystemError) in try NamespaceSet.user.unshare() }
        do throws(InitChannelError) { try process.channel.send(.unmapped) } catch { throw SetupError("\(error)") }
        try proceed(process)
        try setDumpable(false)
        try doing("new user namespace") { () throws(SystemError) in try Namespaces.becomeRoot() }
    }

    private static func proceed(_ process: InitProcess) throws(SetupError) {
        do throws(InitChannelError) {
            guard case .proceed? = try process.channel.receive(timeout: -1)?.message else { throw .system(SystemError(.connectionReset, "handshake")) }
        } catch { throw SetupError("\(error)") }
    }

    private static func setDumpable(_ on: Bool) throws(SetupError) {
        try doing("dumpable") { () throws(SystemError) in try OwnProcess.setDumpable(on) }
    }
}
