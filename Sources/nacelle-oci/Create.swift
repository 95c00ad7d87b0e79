import ArgumentParser
import ContainerRuntime
import Glibc
import LinuxSystem
import OCISpec

/// The flags that `create` and `run` share.
struct BundleOptions: ParsableArguments {
    @Option(name: [.short, .long], help: "The bundle's folder.") var bundle = "."
    @Option(help: "Unix socket that gets the terminal's master end.") var consoleSocket: String?
    @Option(help: "Unix socket that gets a descriptor of the process that stands for the container.") var pidfdSocket: String?
    @Option(help: "File for the pid of the process that stands for the container.") var pidFile: String?
    @Flag(help: "Accepted as runc does; the root is always pivoted to.") var noPivot = false
    @Flag(help: "Accepted as runc does.") var noNewKeyring = false
    @Option(help: "Pass so many further descriptors on, from 3: not possible into a machine.") var preserveFds = 0

    /// Absolute and without symbolic links, as `state` shows it.
    var path: String { realPath(absolutePath(bundle)) }

    func validate() throws {
        if preserveFds < 0 { throw RuntimeError("--preserve-fds: \(preserveFds) is no number of descriptors") }
    }

    /// Makes the container, in either isolation.
    func create(_ container: Container, _ spec: RuntimeSpec, _ streams: Container.Streams, _ isolation: Isolation) throws(RuntimeError) -> Int32 {
        let listener = try pidfdSocket.map { (path) throws(RuntimeError) in try ProcessListener(path) }
        var spec = spec
        let sockets = ListenSockets.count
        if sockets > 0 { spec.process?.env += ["LISTEN_FDS=\(sockets)", "LISTEN_PID=1"] }
        let pid = try container.create(
            spec, bundle: path, streams: streams, pidFile: pidFile.map(absolutePath), isolation: isolation,
            preservedDescriptors: sockets + preserveFds)
        do throws(RuntimeError) { try listener?.tell(pid, "standard") } catch {
            try? container.delete(force: true)
            throw error
        }
        return pid
    }
}

struct Create: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "create", abstract: "Create a container: all but the start of its program.")
    @ParentCommand var parent: NacelleOCI
    @OptionGroup var options: BundleOptions
    @Argument(help: "The container's name.") var id: String

    func run() throws {
        let container = try parent.container(id)
        let spec = try Container.configuration(bundle: options.path, log: parent.makeLog())
        let isolation = try parent.isolation(for: spec)
        let streams = try detachedStreams(spec.process, consoleSocket: options.consoleSocket, isolation)
        _ = try options.create(container, spec, streams, isolation)
    }
}

/// Sockets that a service manager has opened for this process (sd_listen_fds(3)): its descriptors from 3 on.
enum ListenSockets {
    static var count: Int { number("LISTEN_PID") == getpid() ? Int(max(0, number("LISTEN_FDS") ?? 0)) : 0 }

    private static func number(_ variable: String) -> Int32? {
        guard let text = unsafe getenv(variable) else { return nil }
        return unsafe Int32(String(cString: text))
    }
}

/// Whoever listens at `--pidfd-socket`: gets a descriptor of a process, with runc's word for what it is.
final class ProcessListener {
    private let socket: OwnedDescriptor
    private let path: String

    /// Connects, before there is a process.
    init(_ path: String) throws(RuntimeError) {
        self.path = path
        do throws(SystemError) { socket = try OwnedDescriptor.unixConnection(path: path) } catch { throw RuntimeError("cannot connect to the pidfd socket \(path)", error) }
    }

    func tell(_ pid: Int32, _ kind: String) throws(RuntimeError) {
        do throws(SystemError) {
            let process = try ProcessDescriptor(pid)
            _ = try socket.send(Array(kind.utf8), descriptors: [process.descriptor.rawValue])
        } catch { throw RuntimeError("cannot send the process to the pidfd socket \(path)", error) }
    }
}

/// Streams of a process that nobody waits for in the foreground.
func detachedStreams(_ process: ProcessSpec?, consoleSocket: String?, _ isolation: Isolation) throws -> Container.Streams {
    guard let process, process.terminal else {
        if consoleSocket != nil { throw RuntimeError("cannot use console socket if runc will not detach or allocate tty") }
        return .inherited
    }
    guard let consoleSocket else { throw RuntimeError("cannot allocate tty if runc will detach without setting console socket") }
    if isolation == .namespace { return sendingTerminal(to: consoleSocket) }
    let pair = try terminalPair(process)
    try pair.sendMaster(to: consoleSocket)
    return .terminal(SharedDescriptor(try pair.slave.duplicate()))
}

/// A terminal of the size that the process asks for or, in the foreground, of the user's. Raw from the start: it is the guest's
/// terminal that echoes and edits, also what is typed before the guest is there.
func terminalPair(_ process: ProcessSpec, user: Bool = false) throws(RuntimeError) -> ConsolePair {
    let asked = process.consoleSize.map { (columns: $0.width, rows: $0.height) }
    let size = user ? UserTerminal.size ?? asked : asked
    do throws(SystemError) {
        let pair = try ConsolePair(columns: size?.columns ?? 0, rows: size?.rows ?? 0)
        try TerminalDevice.makeRaw(pair.slave.rawValue)
        return pair
    } catch {
        throw RuntimeError("cannot make a terminal", error)
    }
}
