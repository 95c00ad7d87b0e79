import ArgumentParser
import ContainerRuntime

/// Reads the command lines that engines write, without ArgumentParser: that one looks at every type by reflection, 14 million instructions
/// a call, a tenth of a whole start. What is not plain (an unknown flag, `-df`, a missing value, `--help`, another verb) gives nil, and
/// ArgumentParser reads the line, and complains about it, as if this were not here.
///
/// The table names every property of a command: one that nobody has set has no value.
enum PlainArguments {
    /// The command that a line asks for.
    static func command(_ arguments: [String]) -> (any ParsableCommand)? {
        guard var line = PlainLine(arguments), let verb = line.verb else { return nil }
        switch verb {
        case "create":
            var command = Create()
            command.options = BundleOptions()
            return line.read(command, bundleOptions())
        case "run":
            var command = Run()
            command.options = BundleOptions()
            return line.read(command, bundleOptions() + [
                .flag("--detach", "-d") { $0.detach = $1 }, .flag("--keep") { $0.keep = $1 }, .flag("--no-subreaper") { $0.noSubreaper = $1 },
            ])
        case "start": return line.read(Start())
        case "state": return line.read(State())
        case "pause": return line.read(Pause())
        case "resume": return line.read(Resume())
        case "delete": return line.read(Delete(), [.flag("--force", "-f") { $0.force = $1 }])
        case "kill":
            return line.read(Kill(), [.flag("--all", "-a") { $0.all = $1 }]) { command, operands in
                command.signal = operands.first ?? "SIGTERM"
                return operands.count <= 1
            }
        case "exec":
            return line.read(Exec(), execOptions, passesRest: true) { command, operands in
                command.command = operands
                return true
            }
        case "ps":
            return line.read(Ps(), [.value("--format", "-f", as: Ps.Format.init(rawValue:)) { $0.format = $1 ?? .table }], passesRest: true) { command, operands in
                command.options = operands
                return true
            }
        case "events":
            return line.read(Events(), [.text("--interval") { $0.interval = $1 ?? "5s" }, .flag("--stats") { $0.stats = $1 }])
        case "update": return line.read(Update(), updateOptions)
        case "list":
            var command = List()
            command.parent = line.parent
            let options: [PlainOption<List>] = [.value("--format", "-f", as: List.Format.init(rawValue:)) { $0.format = $1 ?? .table }, .flag("--quiet", "-q") { $0.quiet = $1 }]
            return PlainOption.take(&line.words, options, into: &command)?.isEmpty == true ? command : nil
        default: return nil
        }
    }

    /// The flags before the verb. What their commands' `validate` would refuse is not plain.
    static var globals: [PlainOption<NacelleOCI>] {
        [
            .value("--root", as: { $0.isEmpty ? nil : $0 }) { $0.root = $1 },
            .text("--config") { $0.config = $1 },
            .text("--log") { $0.log = $1 },
            .value("--log-format", as: RuntimeLog.Format.init(rawValue:)) { $0.logFormat = $1 },
            .flag("--debug") { $0.debug = $1 },
            .value("--isolation", as: IsolationChoice.init(rawValue:)) { $0.isolation = $1 },
            .flag("--systemd-cgroup") { $0.systemdCgroup = $1 },
            .value("--cgroup-manager", as: ControlGroupDriver.init(rawValue:)) { $0.cgroupManager = $1 },
            // Not `try?`, which makes one of its nil, for `auto`, and of an error.
            .value("--rootless", as: { do throws(RuntimeError) { _ = try Rootless.choice($0) } catch { return nil }; return $0 }) { $0.rootless = $1 },
            .text("--criu") { $0.criu = $1 },
        ]
    }

    static func bundleOptions<Command: BundleCommand>() -> [PlainOption<Command>] {
        [
            .text("--bundle", "-b") { $0.options.bundle = $1 ?? "." },
            .text("--console-socket") { $0.options.consoleSocket = $1 },
            .text("--pidfd-socket") { $0.options.pidfdSocket = $1 },
            .text("--pid-file") { $0.options.pidFile = $1 },
            .flag("--no-pivot") { $0.options.noPivot = $1 },
            .flag("--no-new-keyring") { $0.options.noNewKeyring = $1 },
            .value("--preserve-fds", as: { Int($0).flatMap { $0 >= 0 ? $0 : nil } }) { $0.options.preserveFds = $1 ?? 0 },
        ]
    }

    static var execOptions: [PlainOption<Exec>] {
        [
            .text("--console-socket") { $0.consoleSocket = $1 },
            .text("--pidfd-socket") { $0.pidfdSocket = $1 },
            .text("--cwd") { $0.cwd = $1 },
            .values("--env", "-e", as: { $0 }) { $0.env = $1 },
            .flag("--tty", "-t") { $0.tty = $1 },
            .text("--user", "-u") { $0.user = $1 },
            .values("--additional-gids", "-g", as: { UInt32($0) }) { $0.additionalGids = $1 },
            .text("--process", "-p") { $0.process = $1 },
            .flag("--detach", "-d") { $0.detach = $1 },
            .text("--pid-file") { $0.pidFile = $1 },
            .text("--process-label") { $0.processLabel = $1 },
            .text("--apparmor") { $0.apparmor = $1 },
            .flag("--no-new-privs") { $0.noNewPrivs = $1 },
            .values("--cap", "-c", as: { $0 }) { $0.cap = $1 },
            .value("--preserve-fds", as: { Int($0) }) { $0.preserveFds = $1 ?? 0 },
            .values("--cgroup", as: { $0 }) { $0.cgroup = $1 },
            .flag("--ignore-paused") { $0.ignorePaused = $1 },
        ]
    }

    static var updateOptions: [PlainOption<Update>] {
        [
            .text("--resources", "-r") { $0.resources = $1 },
            .text("--blkio-weight") { $0.blkioWeight = $1 },
            .text("--cpu-period") { $0.cpuPeriod = $1 },
            .text("--cpu-quota") { $0.cpuQuota = $1 },
            .text("--cpu-burst") { $0.cpuBurst = $1 },
            .text("--cpu-share") { $0.cpuShare = $1 },
            .text("--cpu-rt-period") { $0.cpuRtPeriod = $1 },
            .text("--cpu-rt-runtime") { $0.cpuRtRuntime = $1 },
            .text("--cpu-idle") { $0.cpuIdle = $1 },
            .text("--cpuset-cpus") { $0.cpusetCpus = $1 },
            .text("--cpuset-mems") { $0.cpusetMems = $1 },
            .text("--memory") { $0.memory = $1 },
            .text("--memory-reservation") { $0.memoryReservation = $1 },
            .text("--memory-swap") { $0.memorySwap = $1 },
            .text("--pids-limit") { $0.pidsLimit = $1 },
            .text("--kernel-memory") { $0.kernelMemory = $1 },
            .text("--kernel-memory-tcp") { $0.kernelMemoryTcp = $1 },
            .text("--l3-cache-schema") { $0.l3CacheSchema = $1 },
            .text("--mem-bw-schema") { $0.memBwSchema = $1 },
        ]
    }
}
