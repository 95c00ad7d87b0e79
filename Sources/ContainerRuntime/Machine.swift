internal import AgentProtocol
internal import CLinux
internal import Glibc
internal import LinuxSystem

/// The process of one machine: starting it, finding it again, ending it.
struct MachineProcess {
    let state: StateDirectory

    /// Starts nacelle-vmm and connects to it. Its control socket listens before it starts, so connecting cannot come too early.
    static func start(_ settings: MachineSettings, plan: GuestPlan, root: RootAttachment?, state: StateDirectory, components: Components) throws(RuntimeError) -> (pid: Int32, connection: ControlConnection) {
        let shares = try plan.openShares()
        let firstShare: Int32 = 6
        let entries = zip(plan.shares, shares.indices).map { (share: $0, descriptor: firstShare + Int32($1)) }
        var (files, lines): ([SharedDescriptor], String) = ([], "")
        func add(_ file: SharedDescriptor, _ key: String, _ suffix: String = "") {
            lines += "\(key).\(files.count)=\(firstShare + Int32(shares.count + files.count))\(suffix)\n"
            files.append(file)
        }
        if let root {
            for file in root.persistentMemory { add(file, "image") }
            for file in root.readOnlyDisks { add(file, "disk", ":ro") }
            if let file = root.upperDisk { add(file, "disk", ":rw") }
        }
        do throws(SystemError) {
            // A socket's path has at most 107 bytes; a folder's descriptor makes any path short.
            let folder = try OwnedDescriptor(opening: state.path, flags: O_PATH | O_DIRECTORY)
            let socketPath = "/proc/self/fd/\(folder.rawValue)/" + StateDirectory.socketName
            let listener = SharedDescriptor(try OwnedDescriptor.unixListener(path: socketPath))
            let known = KnownKVM(root: state.root)
            var text = settings.description(id: state.id, shares: entries) + lines
            if !known.isUsable { text += "probe=1\n" }
            let description = try MemoryFile.make("machine", Array(text.utf8))
            let log = SharedDescriptor(try OwnedDescriptor(opening: state.logPath, flags: O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, mode: 0o600))
            let connection = ControlConnection(owning: try OwnedDescriptor.unixConnection(path: socketPath))
            let pid = try ProgramStart.start(
                components.monitor, environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                descriptors: [nil, nil, log, listener, description, log] + shares + files, newSession: true)
            return (pid, connection)
        } catch { throw RuntimeError("cannot start the machine", error) }
    }

    /// Waits for the end of a machine that is ending. False if it does not end.
    static func waitForEnd(_ record: ContainerRecord) -> Bool {
        guard record.pid > 0, let process = try? ProcessDescriptor(record.pid) else { return false }
        return (try? waitReadable(process.descriptor.rawValue, milliseconds: 10_000)) ?? false
    }

    /// Kills the machine and waits until it is gone.
    static func kill(_ record: ContainerRecord) throws(RuntimeError) {
        guard record.pid > 0 else { return }
        do throws(SystemError) {
            let process = try ProcessDescriptor(record.pid)
            // The descriptor names one process for good; only now is it known that it is the right one.
            guard record.isAlive else { return }
            try process.signal(SIGKILL)
            // A frozen one does not end.
            if HostControlGroup.isFrozen(record) { try? HostControlGroup.setFrozen(false, record) }
            if try !waitReadable(process.descriptor.rawValue, milliseconds: 10_000) {
                throw SystemError(.timedOut, "the machine's process \(record.pid) does not end")
            }
        } catch where error.errno == .noSuchProcess {
            return
        } catch { throw RuntimeError("cannot kill the machine", error) }
    }
}
