import ArgumentParser
import ContainerEngine
import Glibc
import JSONText
import LinuxSystem
import OCISpec

/// The flags that `run` and `create` share.
struct ContainerFlags: ParsableArguments {
    @Flag(help: "The first argument is a directory of this host that is the root file system.") var rootfs = false
    @Option(help: "The container's name; one is made up otherwise.") var name: String?
    @Flag(name: [.short, .long], help: "Pass standard input on.") var interactive = false
    @Flag(name: [.short, .long], help: "Give it a terminal.") var tty = false
    @Flag(name: .customLong("rm"), help: "Remove the container when it has ended.") var removes = false
    @Option(name: [.customShort("e", allowingJoined: true), .long], help: ArgumentHelp("Variable; without a value this process's own. Repeatable.", valueName: "NAME[=VALUE]")) var env: [String] = []
    @Option(help: ArgumentHelp("Variables, one a line. Repeatable.", valueName: "file")) var envFile: [String] = []
    @Option(name: [.customShort("v", allowingJoined: true), .long], help: ArgumentHelp("Show a folder or file of this host, or a named volume, in the container; DESTINATION alone is a volume that lives as long as it. Options: ro, rw, bind, rbind, [r]private, [r]shared, [r]slave, and of a named volume nocopy: it does not get what the image has there.", valueName: "SOURCE:DESTINATION[:OPTIONS]"))
    var volume: [String] = []
    @Option(help: ArgumentHelp("The same and --tmpfs in other words: type=bind, volume or tmpfs, source=, target=, readonly … Repeatable.", valueName: "type=TYPE,target=PATH,…")) var mount: [String] = []
    @Option(help: ArgumentHelp("A file system in memory.", valueName: "DESTINATION[:OPTIONS]")) var tmpfs: [String] = []
    @Option(name: [.customShort("w", allowingJoined: true), .long], help: "Working directory.") var workdir: String?
    @Option(name: [.customShort("u", allowingJoined: true), .long], help: ArgumentHelp("User, by name (in the container) or number.", valueName: "USER[:GROUP]")) var user: String?
    @Option(help: "Further group, by name or number. Repeatable.") var groupAdd: [String] = []
    @Option(name: [.customShort("m", allowingJoined: true), .long], help: "Memory limit: 512m, 2g. A machine gets so much and 48 MiB.") var memory: String?
    @Option(help: "Limit of memory and swap together; -1 is none.") var memorySwap: String?
    @Option(help: "Memory that it is pushed back to when memory is short.") var memoryReservation: String?
    @Option(help: "How many processors it may use: 1.5.") var cpus: String?
    @Option(name: [.customShort("c", allowingJoined: true), .long], help: "Weight among others, 1024 by default.") var cpuShares: String?
    @Option(help: "Processors that it may run on: 0-3,7.") var cpusetCpus: String?
    @Option(help: "How many processes and threads; -1 is no limit.") var pidsLimit: String?
    @Flag(help: "The root file system cannot be written to.") var readOnly = false
    @Option(help: ArgumentHelp("Capability to add; ALL. Repeatable.", valueName: "capability")) var capAdd: [String] = []
    @Option(help: ArgumentHelp("Capability to take away; ALL. Repeatable.", valueName: "capability")) var capDrop: [String] = []
    @Option(help: ArgumentHelp("seccomp=FILE, seccomp=unconfined, apparmor=PROFILE or no-new-privileges. Repeatable.", valueName: "option")) var securityOpt: [String] = []
    @Flag(help: "All capabilities, no system call filter, nothing masked. The host's devices are not passed on.") var privileged = false
    @Option(help: "Program in place of the image's; or a JSON array; empty for none.") var entrypoint: String?
    @Option(name: [.long, .customLong("net")], help: "none (loopback alone), or host (only --isolation namespace, or another runtime).") var network: String?
    @Option(help: ArgumentHelp("A line for /etc/hosts. Repeatable.", valueName: "NAME:ADDRESS")) var addHost: [String] = []
    @Option(help: "Server of names, in /etc/resolv.conf. Repeatable.") var dns: [String] = []
    @Option(help: "Domain in which names are looked up. Repeatable.") var dnsSearch: [String] = []
    @Option(help: "Option of resolv.conf(5). Repeatable.") var dnsOption: [String] = []
    @Option(help: ArgumentHelp("Device of this host (only --isolation namespace, or another runtime). Repeatable.", valueName: "HOST[:CONTAINER][:rwm]")) var device: [String] = []
    @Flag(name: .customLong("init"), help: "An init of this host's (catatonit, tini) is the first process, and takes orphans.") var hasInit = false
    @Option(name: [.customShort("h", allowingJoined: true), .long], help: "Host name; the beginning of the id otherwise.") var hostname: String?
    @Option(name: [.customShort("l", allowingJoined: true), .long], help: ArgumentHelp("Label. Repeatable.", valueName: "NAME[=VALUE]")) var label: [String] = []
    @Option(help: ArgumentHelp("Annotation for the runtime, such as dev.nacelle.vcpus=2. Repeatable.", valueName: "NAME=VALUE")) var annotation: [String] = []
    @Option(help: ArgumentHelp("Resource limit, such as nofile=1024:4096. Repeatable.", valueName: "NAME=SOFT[:HARD]")) var ulimit: [String] = []
    @Option(help: ArgumentHelp("Kernel parameter of its namespaces. Repeatable.", valueName: "NAME=VALUE")) var sysctl: [String] = []
    @Option(help: "Size of /dev/shm; 64m by default.") var shmSize: String?
    @Option(help: "How soon it is killed when memory is short, -1000 to 1000.") var oomScoreAdj: Int?
    @Option(help: "Signal that `stop` sends.") var stopSignal: String?
    @Option(help: "Seconds that `stop` waits before it kills.") var stopTimeout: Int?
    @Option(help: "How it is kept apart from this host: microvm, namespace or auto (nacelle-oci's).") var isolation: String?
    @Option(help: "OCI runtime by name or path instead of nacelle-oci: runc, crun …") var runtime: String?
    @Option(help: ArgumentHelp("max-size=SIZE or max-file=COUNT of log files. Repeatable.", valueName: "NAME=VALUE")) var logOpt: [String] = []
    @Option(help: ArgumentHelp("Where a machine keeps what it writes, with the storage driver erofs: upper=shared, upper=disk or upper=tmpfs; size=SIZE of a disk (10g otherwise) or tmpfs. Repeatable.", valueName: "NAME=VALUE")) var storageOpt: [String] = []
    @Flag(help: "Keep no log.") var noLog = false
    @Option(help: ArgumentHelp("File that gets the container's id; it must not exist.", valueName: "file")) var cidfile: String?

    @Flag(help: "Remove a container that has the name first, even one that runs.") var replace = false
    @Flag(name: [.short, .long], help: "Show no progress of a fetch.") var quiet = false
    @Option(help: "When to fetch the image: missing, always or never.") var pull = PullPolicy.missing
    @Option(help: "Platform of the image to fetch, such as linux/amd64.") var platform: String?
    @Option(help: "false: the registry may have no certificate, or no TLS.") var tlsVerify = true

    func options(_ engine: Engine, _ command: [String]) throws(EngineError) -> ContainerOptions {
        let here = engine.surroundings
        var options = ContainerOptions()
        options.name = try Self.each(name, FlagValues.name)
        options.hostname = try Self.each(hostname, FlagValues.hostname)
        (options.terminal, options.interactive, options.removesItself) = (tty, interactive, removes)
        for path in envFile { options.environment += try FlagValues.environmentFile(Self.contents(path, "--env-file"), path: path, here) }
        for text in env { if let entry = try FlagValues.environment(text, here) { options.environment.append(entry) } }
        try setMounts(&options, here)
        (options.workingDirectory, options.user, options.furtherGroups) = (workdir, user, groupAdd)
        (options.isReadOnly, options.isPrivileged) = (readOnly, privileged)
        for text in capAdd { options.addedCapabilities.append(try FlagValues.capability(text, flag: "--cap-add")) }
        for text in capDrop { options.droppedCapabilities.append(try FlagValues.capability(text, flag: "--cap-drop")) }
        for text in securityOpt { try options.security.add(text) { (path) throws(EngineError) in try Self.contents(path, "--security-opt seccomp") } }
        options.entrypoint = try Self.each(entrypoint, FlagValues.entrypoint)
        options.command = command
        for text in label {
            let (name, value) = try FlagValues.pair(text, flag: "--label", valueNeeded: false)
            options.labels[name] = value
        }
        for text in annotation {
            let (name, value) = try FlagValues.pair(text, flag: "--annotation", valueNeeded: true)
            options.annotations[name] = value
        }
        for text in ulimit { options.limits.append(try RlimitSpec(ulimit: text)) }
        for text in sysctl {
            let (name, value) = try FlagValues.pair(text, flag: "--sysctl", valueNeeded: true)
            options.sysctls[name] = value
        }
        if let shmSize { options.sharedMemory = try FlagValues.sharedMemory(shmSize) }
        if let stopSignal { options.stopSignal = try FlagValues.signal(stopSignal, flag: "--stop-signal") }
        if let stopTimeout {
            guard (0...86400).contains(stopTimeout) else { throw EngineError("--stop-timeout \(stopTimeout): seconds from 0 to 86400 are expected") }
            options.stopTimeout = stopTimeout
        }
        if let oomScoreAdj {
            guard (-1000...1000).contains(oomScoreAdj) else { throw EngineError("--oom-score-adj \(oomScoreAdj): a number from -1000 to 1000 is expected") }
            options.oomScoreAdjustment = oomScoreAdj
        }
        options.hasInit = hasInit
        options.runtime = runtime
        try setPlace(&options)
        options.resources = try resources()
        options.log = engine.standardLog
        options.log.isKept = !noLog
        for text in storageOpt { try options.storage.add(text) }
        for text in logOpt { try FlagValues.logOption(text, &options.log) }
        return options
    }

    private func setMounts(_ options: inout ContainerOptions, _ here: Surroundings) throws(EngineError) {
        for text in volume { options.volumes.append(try VolumeRequest(text, here)) }
        for text in mount {
            switch try MountFlag(text, here) {
            case .volume(let request): options.volumes.append(request)
            case .temporary(let request): options.temporaries.append(request)
            }
        }
        for text in device { options.devices.append(try DeviceRequest(text, here)) }
        for text in tmpfs { options.temporaries.append(try TemporaryRequest(text)) }
    }

    private func setPlace(_ options: inout ContainerOptions) throws(EngineError) {
        for text in addHost { try options.names.addHost(text) }
        for text in dns { try options.names.addServer(text) }
        for text in dnsSearch { try options.names.addSearched(text) }
        for text in dnsOption { try options.names.addOption(text) }
        if let network {
            guard let choice = ContainerOptions.Network(rawValue: network) else {
                throw EngineError("--network \(quoted(network)): there are none (loopback alone) and host; networks that are bridged or routed do not exist here yet")
            }
            options.network = choice
        }
        if let isolation {
            guard ["microvm", "namespace", "auto"].contains(isolation) else { throw EngineError("--isolation \(quoted(isolation)): there are microvm, namespace and auto") }
            options.isolation = isolation
        }
    }

    private func resources() throws(EngineError) -> ResourceRequest {
        var result = ResourceRequest()
        if let memory { result.memory = try ResourceRequest.memory(memory, flag: "--memory") }
        result.memorySwap = try Self.each(memorySwap, ResourceRequest.swap)
        if let memoryReservation { result.memoryReservation = try ResourceRequest.memory(memoryReservation, flag: "--memory-reservation") }
        result.cpuQuota = try Self.each(cpus) { (text) throws(EngineError) in try ResourceRequest.quota(cpus: text) }
        result.cpuShares = try Self.each(cpuShares, ResourceRequest.shares)
        result.cpus = try Self.each(cpusetCpus, ResourceRequest.cpuList)
        result.pids = try Self.each(pidsLimit, ResourceRequest.pids)
        return result
    }

    private static func each<Value>(_ text: String?, _ convert: (String) throws(EngineError) -> Value) throws(EngineError) -> Value? {
        guard let text else { return nil }
        return try convert(text)
    }

    private static func contents(_ path: String, _ flag: String) throws(EngineError) -> [UInt8] {
        do throws(SystemError) { return try readFile(path, limit: 1 << 20) } catch { throw EngineError("\(flag) \(path): \(error.errno)") }
    }

    /// Makes the container of what the command line says.
    func create(_ engine: Engine, _ arguments: [String], for verb: any ParsableCommand.Type) throws -> ContainerFolder {
        let arguments = arguments.first == "--" ? Array(arguments.dropFirst()) : arguments
        guard let what = arguments.first else { throw EngineError("nothing to run: an image is expected, or --rootfs and a directory (nacelle run --help)") }
        try Refusal.check(what, of: verb)
        let options = try options(engine, Array(arguments.dropFirst()))
        let roots = engine.roots(isDirectory: rootfs)
        if !rootfs { try Transfers.provide(what, pull: pull, platform: platform, tlsVerify: tlsVerify, isQuiet: quiet, engine) }
        let source = try roots.look(up: what)
        if replace, let name { if let other = try engine.store.find(name: name) { try engine.remove(other, force: true) } }
        guard let cidfile else { return try engine.create(source, options, roots: roots) }
        try Self.reserve(cidfile)
        let folder: ContainerFolder
        do throws(EngineError) { folder = try engine.create(source, options, roots: roots) } catch {
            // Nothing is to be in the way of the next attempt.
            Self.release(engine.surroundings.absolute(cidfile))
            throw error
        }
        do throws(SystemError) { try writeFile(cidfile, Array(folder.id.utf8)) } catch { throw EngineError("--cidfile \(cidfile): \(error.errno)") }
        return folder
    }

    private static func release(_ path: String) {
        let slash = path.lastIndex(of: "/") ?? path.startIndex
        guard let folder = try? OwnedDescriptor(opening: String(path[...slash]), flags: O_PATH | O_DIRECTORY), let name = try? EntryName(String(path[path.index(after: slash)...])) else { return }
        try? folder.removeFile(name)
    }

    private static func reserve(_ path: String) throws(EngineError) {
        do throws(SystemError) { try writeFile(path, [], exclusive: true) } catch {
            throw EngineError("--cidfile \(path): \(error.errno)\(error.errno == .fileExists ? ": remove it, or name another file" : "")")
        }
    }
}
