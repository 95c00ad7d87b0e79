import AgentProtocol
import Glibc
import GuestRAM
import KVM
import LinuxSystem
import MachineMonitor
import VirtioDevices

/// This process: one machine, its container's session and the control socket, on one event loop.
final class Monitor {
    private let loop: EventLoop
    private let machine: Machine
    /// Devices that have threads.
    private let files: FileSystemDevice
    private let disks: [BlockDevice]
    private let servesFiles: Bool
    private let session: Session
    private let control: OwnedDescriptor
    private let log: Log
    private let trace: Trace
    private let signals: SignalDescriptor
    private let bootTimer: TimerDescriptor
    private let bootTimeout: Int64
    private let appArmorProfile: String?
    private var agentLost: String?
    private var clients: [ObjectIdentifier: ControlClient] = [:]

    /// Signals to this process that are passed on to the container's.
    private static let passedSignals: [Int32] = [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGCONT, SIGTSTP, SIGALRM]

    init(_ description: MachineDescription, control: consuming OwnedDescriptor, log: Log) throws {
        signal(SIGPIPE, SIG_IGN)
        // A file that grows beyond RLIMIT_FSIZE (a disk, a share's) is an error to the guest.
        signal(SIGXFSZ, SIG_IGN)
        try blockSignals(Self.passedSignals + [SIGWINCH])
        self.log = log
        self.control = control
        bootTimeout = description.bootTimeout
        appArmorProfile = description.appArmorProfile
        loop = try EventLoop()
        signals = try SignalDescriptor(Self.passedSignals + [SIGWINCH])
        bootTimer = try TimerDescriptor()
        trace = Trace(try description.trace.map { SharedDescriptor(try OwnedDescriptor(opening: $0, flags: O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)) })
        trace.mark("vmm starts")
        if try !Jail.becomeRoot() {
            log.warning("this user can make no user namespace: files have the host's owners in the guest, and none can be given away")
        }
        if description.needsProbe { try Self.probe() }

        let console = try description.console.map { SharedDescriptor(try OwnedDescriptor(opening: $0, flags: O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY, mode: 0o600)) }
        machine = try Machine(
            MachineConfiguration(
                memory: description.memoryMiB << 20, vcpus: description.vcpus, kernelPath: description.kernel, imagePath: description.image,
                extraCommandLine: description.commandLine, hasConsole: console != nil),
            images: description.images.map { SharedDescriptor(OwnedDescriptor(owning: $0)) }, loop: loop)
        // /proc is gone after the jail; descriptors are reopened through this.
        let processDescriptors = SharedDescriptor(try OwnedDescriptor.ownDescriptors(flags: O_PATH))
        let vsock = try VsockDevice(loop: loop)
        let streams = StreamPorts(vsock, processDescriptors: processDescriptors)
        session = Session(streams: streams, log: log, trace: trace) { status in exitProcess(as: status) }
        (files, disks) = try Self.attach(description, to: machine, vsock: vsock, console: console, log: log)
        servesFiles = !description.shares.isEmpty
        try machine.load()
        trace.mark("machine built")
        vsock.listen(port: WellKnown.controlPort, once: true) { [session] connection in session.connected(AgentLink(connection)) }
    }

    /// Refuses a KVM that cannot run a guest, before the guest hangs or crawls.
    private static func probe() throws {
        if case .unusable(let reason) = KVMProbe.run() { throw Refused(description: "\(reason); `nacelle-oci doctor` says more") }
        // That it is absent or not permitted is said by the machine's first use of it.
    }

    private struct Refused: Error, CustomStringConvertible { let description: String }

    private static func attach(_ description: MachineDescription, to machine: Machine, vsock: VsockDevice, console: SharedDescriptor?, log: Log) throws -> (FileSystemDevice, [BlockDevice]) {
        // In this order the guest numbers them: its root is /dev/pmem0.
        for image in machine.images { try machine.attach(PersistentMemoryDevice(start: image.base, size: UInt64(image.count))) }
        let disks = try description.disks.enumerated().map { index, disk in
            try BlockDevice(file: OwnedDescriptor(owning: disk.descriptor), readOnly: disk.isReadOnly, identifier: "nacelle-\(index)", log: { log.warning($0) })
        }
        for disk in disks { try machine.attach(disk) }
        try machine.attach(vsock)
        let shares = try description.shares.map { share in
            try FileSystemDevice.Share(
                name: share.name, descriptor: try Jail.detach(OwnedDescriptor(owning: share.descriptor), readOnly: share.isReadOnly), readOnly: share.isReadOnly)
        }
        // Empty if there are none: the guest mounts it before it knows.
        let files = try FileSystemDevice(tag: WellKnown.shareTag, shares: shares, log: { log.warning($0) })
        try machine.attach(files)
        try machine.attach(EntropyDevice())
        if let console {
            try machine.attach(ConsoleDevice(output: try console.duplicate()))
            machine.setDebugOutput(console)
        }
        return (files, disks)
    }

    /// Serves until the container ends; the process exits from within.
    func run() throws -> Never {
        try loop.add(control.rawValue, .readable) { [unowned self] _ in accept() }
        try loop.add(machine.ended.descriptor.rawValue, .readable) { [unowned self] _ in
            machine.ended.drain()
            session.fail(machine.result.map { "\($0)" } ?? "the machine has stopped")
        }
        try loop.add(signals.descriptor.rawValue, .readable) { [unowned self] _ in receiveSignals() }
        try loop.add(bootTimer.descriptor.rawValue, .readable) { [unowned self] _ in
            bootTimer.drain()
            if let agentLost {
                session.fail(agentLost)
            } else if session.phase == .booting {
                session.fail("the guest has not booted within \(bootTimeout) s: look at its console (annotation dev.nacelle.console), or raise dev.nacelle.boot_timeout")
            }
        }
        try bootTimer.set(nanoseconds: bootTimeout * 1_000_000_000)
        session.onAgentLost = { [unowned self] why in
            // A kernel that restarts takes leave first: the machine's own end, which comes next, says more.
            agentLost = why
            if (try? bootTimer.set(nanoseconds: 1_000_000_000)) == nil { session.fail(why) }
        }
        try jailAndStart()
        try loop.run()
        exit(1)
    }

    /// From here on this process can do what its guest needs and no more. Namespaces and capabilities belong to threads, so
    /// they are given up before others start; each thread then binds itself to its own system calls, this one last.
    private func jailAndStart() throws {
        // /proc is gone after this.
        let profile = try appArmorProfile.map { (name) throws(SystemError) in (name: name, attribute: SharedDescriptor(try AppArmor.open(.current))) }
        if try !Jail.leaveFileSystem() { log.warning("neither root nor in a user namespace: the machine's process keeps the host's file system in view") }
        try Jail.dropCapabilities(servesFiles: servesFiles)
        // After the bounding set was emptied, which a profile may not allow; before new privileges are forbidden, for then a process that is
        // confined already could only be confined further.
        if let profile { try enter(profile.name, by: profile.attribute) }
        try Jail.forbidPrivileges()
        let log = log
        @Sendable func bind(_ filter: SystemCallFilter) {
            do throws(SystemError) { try filter.install() } catch {
                // Isolation is never weakened in silence.
                log.error("\(error)")
                exit(1)
            }
        }
        trace.mark("kernel entered")
        try files.startWorkers(prepare: { bind(.fileServer) })
        for disk in disks { try disk.startWorkers(prepare: { bind(.block) }) }
        try machine.start(prepareThread: { bind(.vcpu) })
        bind(.eventLoop)
    }

    private func enter(_ profile: String, by attribute: SharedDescriptor) throws {
        do throws(SystemError) { try attribute.with { (file) throws(SystemError) in try AppArmor.enter(profile, by: file) } } catch {
            throw Refused(description: "config.json: process.apparmorProfile: unable to apply apparmor profile \(profile): \(error)")
        }
    }

    private func accept() {
        do throws(SystemError) {
            let client = try ControlClient(
                try control.accept(), loop: loop,
                onRequest: { [unowned self] client, number, request in session.handle(client, number, request) },
                onClose: { [unowned self] client in
                    session.closed(client)
                    clients[ObjectIdentifier(client)] = nil
                })
            clients[ObjectIdentifier(client)] = client
        } catch {
            if let appArmorProfile, error.errno == .permissionDenied {
                // Nobody can reach this machine any more.
                session.fail("config.json: process.apparmorProfile: \(appArmorProfile) does not let the machine's process accept a connection: `network unix stream` is needed (\(error))")
            }
            log.warning("control socket: \(error)")
        }
    }

    private func receiveSignals() {
        while let number = signals.next() {
            if number == SIGWINCH {
                session.resizeTerminal()
            } else {
                session.passOn(signal: number)
            }
        }
    }
}
