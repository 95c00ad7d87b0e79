import AgentProtocol
import ContainerLaunch
import Glibc
import LinuxSystem
import OCISpec
import Testing

/// Starting, failing, further processes, terminals, filters.
extension LaunchTests { @Suite struct ProcessTests {
    /// The words are those of runc 1.1.5 and later: engines make 126 and 127 of them.
    @Test(arguments: [
        ("nope", LaunchError(.executableNotFound, "exec: \"nope\": executable file not found in $PATH")),
        ("/nope", LaunchError(.executableNotFound, "exec: \"/nope\": stat /nope: no such file or directory")),
        ("/etc/passwd", LaunchError(.permissionDenied, "exec: \"/etc/passwd\": permission denied")),
        ("/etc", LaunchError(.permissionDenied, "exec: \"/etc\": is a directory: permission denied")),
        ("", LaunchError(.executableNotFound, "exec: \"\": executable file not found in $PATH")),
    ])
    func reportsWhatCannotBeExecuted(name: String, error: LaunchError) throws {
        let bundle = try TestBundle()
        #expect(throws: error) { try run(bundle.plan([name]), bundle) }
        let capture = try Capture()
        let container = try launcher(bundle.plan(["/bin/sleep", "100"]), bundle).create(streams: try capture.streams())
        try container.start()
        #expect(throws: error) { try container.exec(process: bundle.process([name]), streams: try capture.streams()) }
        try container.signal(SIGKILL)
        _ = try waitForProcess(container.pid)
        try container.delete()
    }

    @Test func reportsABrokenProgramAtStart() throws {
        let bundle = try TestBundle()
        try bundle.write("/bin/broken", "not a program", mode: 0o755)
        #expect(throws: LaunchError(.other, "exec /bin/broken: exec format error")) { try run(bundle.plan(["/bin/broken"]), bundle) }
        try bundle.write("/bin/loaderless", "#!/no/such/shell\n", mode: 0o755)
        #expect(throws: LaunchError(.executableNotFound, "exec /bin/loaderless: no such file or directory")) { try run(bundle.plan(["/bin/loaderless"]), bundle) }
    }

    @Test func workingDirectories() throws {
        let bundle = try TestBundle()
        // A first process's is made; a further one's is not.
        let made = try run(bundle.script("pwd") { $0.process?.cwd = "/made/for/it" }, bundle)
        #expect(made.output == "/made/for/it\n")
        let capture = try Capture()
        let container = try launcher(bundle.plan(["/bin/sleep", "100"]), bundle).create(streams: try capture.streams())
        try container.start()
        var process = bundle.process(["/bin/true"])
        process.cwd = "/x"
        #expect(throws: LaunchError(.other, "chdir to cwd (\"/x\") set in config.json failed: no such file or directory")) {
            try container.exec(process: process, streams: try capture.streams())
        }
        try container.signal(SIGKILL)
        _ = try waitForProcess(container.pid)
        try container.delete()
    }

    @Test func waitsBetweenCreateAndStart() throws {
        let bundle = try TestBundle()
        let capture = try Capture()
        var seen: Int32 = 0
        let launcher = try launcher(bundle.script("echo started"), bundle)
        launcher.beforePivot = { (pid) in seen = pid }
        let container = try launcher.create(streams: try capture.streams())
        #expect(seen == container.pid)
        #expect(try container.processes() == [container.pid])
        #expect(try capture.outcome(.exited(0), []).output == "")
        // One thread, and nothing open that a container should not have once it runs.
        let status = String(decoding: try readFile("/proc/\(container.pid)/status"), as: UTF8.self)
        #expect(status.contains("Threads:\t1\n"))
        try container.start()
        #expect(throws: LaunchError(.invalidState, "the process was started already")) { try container.start() }
        let ended = try waitForProcess(container.pid)
        #expect(ended?.status == .exited(0))
        try container.delete()
        #expect(try capture.outcome(.exited(0), []).output == "started\n")
    }

    /// The directory is entered, and looked at, before the filter; with the rights of before the change of user, as under runc.
    @Test func aWorkingDirectoryThatFilterAndUserKeepFrom() throws {
        let bundle = try TestBundle()
        var rule = SeccompSpec.SystemCallRule()
        (rule.names, rule.action) = (["getcwd"], .errno)
        var seccomp = SeccompSpec()
        seccomp.syscalls = [rule]
        for isPrivileged in [true, false] {
            let outcome = try run(
                bundle.script("readlink /proc/self/cwd; ls; true") {
                    $0.process?.cwd = "/secret"
                    $0.process?.noNewPrivileges = !isPrivileged
                    $0.process?.user = UserSpec(uid: 1000, gid: 1000)
                    $0.linux?.seccomp = seccomp
                    $0.mounts.append(MountSpec(destination: "/secret", type: "tmpfs", source: "tmpfs", options: ["mode=0700"]))
                }, bundle)
            #expect(outcome.output == "/secret\n" && outcome.error.contains("ermission denied"), "\(outcome.output)\(outcome.error)")
        }
    }

    @Test func aCreatedContainerThatIsNotStartedCanBeKilled() throws {
        let bundle = try TestBundle()
        let capture = try Capture()
        let container = try launcher(bundle.script("echo started"), bundle).create(streams: try capture.streams())
        try container.signalEveryProcess(SIGKILL)
        #expect(try waitForProcess(container.pid)?.status == .signaled(SIGKILL))
        try container.delete()
        #expect(try capture.outcome(.exited(0), []).output == "")
    }

    @Test func furtherProcesses() throws {
        let bundle = try TestBundle()
        let capture = try Capture()
        var spec = bundle.plan(["/bin/sleep", "100"])
        spec.linux?.namespaces.append(NamespaceSpec(.cgroup))
        let container = try launcher(spec, bundle).create(streams: try capture.streams())
        try container.start()
        let own = try Capture()
        var process = bundle.process(["sh", "-c", "hostname; cat /proc/1/cmdline | head -c 10; echo; id -u; for n in cgroup mnt pid; do readlink /proc/self/ns/$n; done; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; ls /proc/self/fd; pwd; ls -d /etc/passwd"])
        process.user = UserSpec(uid: 1000, gid: 1000)
        process.cwd = "/tmp"
        process.capabilities = CapabilitySets()
        let further = try container.exec(process: process, streams: try own.streams())
        let ended = try #require(try waitForProcess(further.pid))
        let outcome = try own.outcome(ended.status, [])
        #expect(outcome.status == .exited(0), "\(outcome.error)")
        let namespaces = try OwnedDescriptor(opening: "/proc/\(container.pid)/ns", flags: O_PATH | O_DIRECTORY)
        var wanted = ["nacelle-test", "/bin/sleep", "1000"]
        for name in ["cgroup", "mnt", "pid"] { wanted.append(try namespaces.linkTarget(of: name)) }
        wanted += ["CapEff:\t0000000000000000", "NoNewPrivs:\t1", "0", "1", "2", "3", "/tmp", "/etc/passwd", ""]
        #expect(outcome.lines.map(String.init) == wanted)
        try container.signal(SIGKILL)
        _ = try waitForProcess(container.pid)
        try container.delete()
    }

    @Test func preservedDescriptorsAndNoOthers() throws {
        let bundle = try TestBundle()
        let extra = SharedDescriptor(try OwnedDescriptor(opening: "/tmp", flags: O_RDWR | O_TMPFILE, mode: 0o600))
        let outcome = try run(bundle.script("ls /proc/self/fd; echo hello >&3"), bundle, preserved: [extra])
        // 4 is the directory that ls reads.
        #expect(outcome.output == "0\n1\n2\n3\n4\n")
        #expect(try readFile("/proc/self/fd/\(extra.rawValue)") == Array("hello\n".utf8))
    }

    @Test func terminal() throws {
        let bundle = try TestBundle()
        let spec = bundle.script("tty; stty size; ls -l /dev/console | grep -c '^c'; test -t 0 && test -t 1 && test -t 2 && echo all; read line; echo got $line") { spec in
            spec.process?.terminal = true
            spec.process?.user = UserSpec(uid: 1000, gid: 1000)
            var size = ConsoleSize()
            (size.width, size.height) = (91, 33)
            spec.process?.consoleSize = size
        }
        let container = try launcher(spec, bundle).create(streams: .terminal())
        let master = try #require(container.terminal)
        try container.start()
        // What is typed earlier is echoed earlier.
        var text = try readTerminal(master, until: "all\r\n")
        try master.with { try $0.writeAll(Array("typed\n".utf8)) }
        text += try readTerminal(master, until: "got typed")
        #expect(text.contains("got typed"), "\(text)")
        #expect(text.contains("/dev/pts/0\r\n33 91\r\n1\r\nall\r\n"), "\(text)")
        #expect(try waitForProcess(container.pid)?.status == .exited(0))
        try container.delete()
    }

    @Test func terminalOfAFurtherProcess() throws {
        let bundle = try TestBundle()
        let capture = try Capture()
        let container = try launcher(bundle.plan(["/bin/sleep", "100"]), bundle).create(streams: try capture.streams())
        try container.start()
        var process = bundle.process(["/bin/sh", "-c", "tty; stty size; echo done"])
        process.terminal = true
        let further = try container.exec(process: process, streams: .terminal())
        let text = try readTerminal(try #require(further.terminal), until: "done")
        #expect(text.contains("/dev/pts/0\r\n"), "\(text)")
        _ = try waitForProcess(further.pid)
        try container.signal(SIGKILL)
        _ = try waitForProcess(container.pid)
        try container.delete()
    }

    private func readTerminal(_ master: SharedDescriptor, until end: String) throws -> String {
        var text = ""
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !text.contains(end) {
            guard try waitReadable(master.rawValue, milliseconds: 10_000) else { break }
            // EIO: the last process that had the terminal open is gone.
            guard let count = try? master.with({ try $0.read(into: &buffer) }), count > 0 else { break }
            text += String(decoding: buffer[..<count], as: UTF8.self)
        }
        return text
    }

    @Test(arguments: [true, false])
    func filterOfSystemCalls(noNewPrivileges: Bool) throws {
        let bundle = try TestBundle()
        let spec = bundle.script("mkdir /tmp/a 2>&1; chmod 700 /tmp 2>&1; chmod 711 /tmp && echo fine; grep Seccomp: /proc/self/status") { spec in
            spec.process?.noNewPrivileges = noNewPrivileges
            var seccomp = SeccompSpec()
            seccomp.defaultAction = .allow
            seccomp.architectures = [.x86_64, .x86, .x32]
            seccomp.flags = [.log]
            var mkdir = SeccompSpec.SystemCallRule()
            mkdir.names = ["mkdir", "mkdirat", "no_such_system_call"]
            mkdir.action = .errno
            mkdir.errnoRet = UInt32(ENOSPC)
            var chmod = SeccompSpec.SystemCallRule()
            chmod.names = ["chmod", "fchmodat"]
            chmod.action = .errno
            // The mode is the second argument of chmod, the third of fchmodat.
            var argument = SeccompSpec.Argument()
            (argument.index, argument.value, argument.valueTwo, argument.op) = (1, 0o077, 0, .maskedEqual)
            chmod.names = ["chmod"]
            chmod.args = [argument]
            seccomp.syscalls = [mkdir, chmod]
            spec.linux?.seccomp = seccomp
        }
        let outcome = try run(spec, bundle)
        #expect(outcome.output == """
            mkdir: can't create directory '/tmp/a': No space left on device
            chmod: /tmp: Operation not permitted
            fine
            Seccomp:\t2

            """, "\(outcome.error)")
    }

    /// Engines' lists of what is allowed are older than some calls that the last steps make under the filter.
    @Test(arguments: [true, false])
    func filterThatDoesNotKnowNewCalls(noNewPrivileges: Bool) throws {
        let bundle = try TestBundle()
        let spec = bundle.script("echo started") { spec in
            spec.process?.noNewPrivileges = noNewPrivileges
            var seccomp = SeccompSpec()
            seccomp.defaultAction = .allow
            var rule = SeccompSpec.SystemCallRule()
            rule.names = ["faccessat2", "statx", "openat2", "close_range", "clone3", "execveat", "epoll_pwait2", "mount_setattr", "open_tree", "pidfd_open", "waitid"]
            rule.action = .errno
            seccomp.syscalls = [rule]
            spec.linux?.seccomp = seccomp
        }
        let outcome = try run(spec, bundle)
        #expect(outcome.output == "started\n", "\(outcome.error)")
    }

    @Test func controlGroupLimits() throws {
        let bundle = try TestBundle()
        let capture = try Capture()
        let spec = bundle.script("(sleep 50 &) ; sleep 100") { spec in
            var resources = ResourcesSpec()
            resources.memory = ResourcesSpec.MemorySpec()
            resources.memory?.limit = 64 << 20
            resources.pids = ResourcesSpec.PidsSpec()
            resources.pids?.limit = 17
            spec.linux?.resources = resources
        }
        let container = try launcher(spec, bundle).create(streams: try capture.streams())
        try container.start()
        // The shell becomes the last command.
        while try container.processes().count < 2 { sleep(milliseconds: 5) }
        try container.setPaused(true)
        try container.setPaused(false)
        try container.signalEveryProcess(SIGKILL)
        #expect(try waitForProcess(container.pid)?.status == .signaled(SIGKILL))
        try container.delete()
        let groups = String(decoding: try readFile("/proc/self/mountinfo"), as: UTF8.self).split(separator: "\n")
            .filter { $0.contains(" - cgroup") }.map { $0.split(separator: " ")[4] }
        for point in groups { #expect(throws: SystemError.self) { try FileStatus(path: "\(point)/nacelle-tests/\(bundle.identifier)") } }
    }

    @Test func controlGroupMount() throws {
        let bundle = try TestBundle()
        for own in [false, true] {
            let outcome = try run(
                bundle.script("cat /sys/fs/cgroup/pids/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null | head -n 1; mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x 2>/dev/null || echo no") { spec in
                    spec.mounts.append(MountSpec(destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev", "relatime", "ro"]))
                    if own { spec.linux?.namespaces.append(NamespaceSpec(.cgroup)) }
                }, bundle)
            #expect(outcome.output == "1\nno\n", "\(outcome.error)")
        }
    }
}}
