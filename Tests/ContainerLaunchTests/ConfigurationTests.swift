import AgentProtocol
import ContainerLaunch
import Glibc
import JSONText
import LinuxSystem
import OCISpec
import Testing

/// Fields of config.json that the launcher has a part in, and what the kernel then says.
extension LaunchTests { @Suite struct ConfigurationTests {
    // MARK: The process

    /// What the kernel says of the process: of its scheduling class, I/O class, CPUs, memory.
    @Test func schedulingAndMemory() throws {
        let bundle = try TestBundle()
        let outcome = try run(
            bundle.script("set -- $(cat /proc/$$/stat); echo policy ${41}; busybox ionice -p $$; cat /proc/self/numa_maps; busybox uname -m; cat /proc/self/oom_score_adj; umask") { spec in
                spec.process?.scheduler = SchedulerSpec()
                spec.process?.scheduler?.policy = .batch
                spec.process?.scheduler?.flags = [.resetOnFork]
                spec.process?.ioPriority = IOPrioritySpec()
                spec.process?.ioPriority?.class = .bestEffort
                spec.process?.ioPriority?.priority = 6
                spec.linux?.memoryPolicy = MemoryPolicySpec()
                spec.linux?.memoryPolicy?.mode = .bind
                spec.linux?.memoryPolicy?.nodes = "0"
                spec.linux?.memoryPolicy?.flags = [.staticNodes]
                spec.linux?.personality = PersonalitySpec()
                spec.linux?.personality?.domain = .linux32
                spec.process?.oomScoreAdj = 17
                spec.process?.user.umask = 0o027
            }, bundle)
        // SCHED_BATCH
        #expect(outcome.lines.first == "policy 3", "\(outcome.output)\(outcome.error)")
        #expect(outcome.output.contains("best-effort: prio 6"), "\(outcome.output)")
        #expect(outcome.output.contains(" bind=static:0 "), "\(outcome.output)\(outcome.error)")
        #expect(Array(outcome.lines.suffix(4)) == ["i686", "17", "0027", ""], "\(outcome.output)")
    }

    @Test(arguments: [
        ("1000", "linux.memoryPolicy: MPOL_BIND 1000: set_mempolicy: invalid argument"), ("x", "linux.memoryPolicy.nodes: \"x\" is not a list of nodes"),
    ])
    func memoryPoliciesThatAreRefused(nodes: String, message: String) throws {
        let bundle = try TestBundle()
        #expect(throws: LaunchError(.other, message)) {
            try run(bundle.script("true") { spec in
                spec.linux?.memoryPolicy = MemoryPolicySpec()
                spec.linux?.memoryPolicy?.mode = .bind
                spec.linux?.memoryPolicy?.nodes = nodes
            }, bundle)
        }
    }

    @Test func execCPUAffinity() throws {
        let bundle = try TestBundle()
        let own = try CPUAffinity.get(of: 0)
        let idle = try Capture()
        let container = try launcher(bundle.plan(["/bin/sleep", "100"]), bundle).create(streams: try idle.streams())
        try container.start()
        defer {
            try? container.signal(SIGKILL)
            _ = try? waitForProcess(container.pid)
            try? container.delete()
        }
        func exec(_ change: (inout ExecCPUAffinitySpec) -> Void) throws -> String {
            let capture = try Capture()
            var process = bundle.process(["/bin/grep", "Cpus_allowed_list", "/proc/self/status"])
            var affinity = ExecCPUAffinitySpec()
            change(&affinity)
            process.execCPUAffinity = affinity
            let launched = try container.exec(process: process, streams: try capture.streams())
            let ended = try #require(try waitForProcess(launched.pid))
            return try capture.outcome(ended.status, []).output
        }
        #expect(try exec { $0.final = "0" } == "Cpus_allowed_list:\t0\n")
        // The container's group decides after the first, as far as it says anything.
        #expect(try exec { ($0.initial, $0.final) = ("1", "0-1") } == "Cpus_allowed_list:\t0-1\n")
        #expect(throws: LaunchError(.other, "process.execCPUAffinity.initial: CPUs 4000: sched_setaffinity: invalid argument")) { _ = try exec { $0.initial = "4000" } }
        #expect(throws: LaunchError(.other, "process.execCPUAffinity.final: CPUs 4000: sched_setaffinity: invalid argument")) { _ = try exec { $0.final = "4000" } }
        // The launcher itself is where it was.
        #expect(try CPUAffinity.get(of: 0) == own)
    }

    // MARK: Seccomp listeners

    private static func seccomp(_ path: String) -> SeccompSpec {
        var seccomp = SeccompSpec()
        (seccomp.listenerPath, seccomp.listenerMetadata) = (path, "for the agent")
        seccomp.flags = [.threadSync, .log]
        var rule = SeccompSpec.SystemCallRule()
        (rule.names, rule.action) = (["mkdir", "mkdirat"], .notify)
        seccomp.syscalls = [rule]
        return seccomp
    }

    /// What an agent gets on one connection: the message and the one descriptor.
    private static func receive(_ listener: borrowing OwnedDescriptor) throws -> (ContainerProcessState, SharedDescriptor) {
        let connection = try listener.accept()
        var bytes: [UInt8] = []
        var descriptors: [SharedDescriptor] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = try connection.receive(into: &buffer, descriptors: &descriptors)
            if count == 0 { break }
            bytes += buffer[..<count]
        }
        #expect(descriptors.count == 1)
        var unknown: [String] = []
        let state = try ContainerProcessState(JSONCursor(try JSONValue(parsing: bytes)), unknown: &unknown)
        #expect(unknown.isEmpty)
        return (state, try #require(descriptors.first))
    }

    /// The listener is real: while somebody has it the call waits, and when nobody does it fails with ENOSYS.
    @Test(arguments: [true, false])
    func listenerGoesToTheAgent(noNewPrivileges: Bool) throws {
        let bundle = try TestBundle()
        let path = bundle.directory + "/agent"
        let agent = try OwnedDescriptor.unixListener(path: path)
        let capture = try Capture()
        let launcher = try launcher(bundle.script("echo before; mkdir /tmp/x; echo $?") { spec in
            spec.linux?.seccomp = Self.seccomp(path)
            spec.process?.noNewPrivileges = noNewPrivileges
        }, bundle)
        launcher.hookState = { (pid, status) in
            var state = StateSpec()
            (state.id, state.pid, state.status, state.bundle, state.ociVersion) = ("c", Int(pid), status, "/b", "1.3.0")
            return state
        }
        let container = try launcher.create(streams: try capture.streams())
        do {
            let (state, listener) = try Self.receive(agent)
            #expect(state.fds == ["seccompFd"] && state.metadata == "for the agent" && state.ociVersion == RuntimeSpec.version)
            #expect(state.pid == Int(container.pid) && state.state.pid == Int(container.pid) && state.state.id == "c" && state.state.status == .creating)
            try container.start()
            // A notification is there to be read.
            #expect(try waitReadable(listener.rawValue, milliseconds: 10_000))
            #expect(try waitForProcess(container.pid, noHang: true) == nil)
        }
        let ended = try #require(try waitForProcess(container.pid))
        try container.delete()
        let outcome = try capture.outcome(ended.status, [])
        #expect(outcome.output == "before\n1\n")
        #expect(outcome.error.contains("Function not implemented"))
    }

    @Test func listenerOfAFurtherProcess() throws {
        let bundle = try TestBundle()
        let path = bundle.directory + "/agent"
        let agent = try OwnedDescriptor.unixListener(path: path)
        let capture = try Capture()
        let container = try launcher(bundle.script("exec sleep 100") { $0.linux?.seccomp = Self.seccomp(path) }, bundle).create(streams: try capture.streams())
        _ = try Self.receive(agent)
        try container.start()
        let launched = try container.exec(process: bundle.process(["/bin/mkdir", "/tmp/y"]), streams: try capture.streams())
        do {
            let (state, listener) = try Self.receive(agent)
            #expect(state.pid == Int(launched.pid) && state.state.pid == Int(container.pid) && state.state.status == .running)
            #expect(try waitReadable(listener.rawValue, milliseconds: 10_000))
        }
        #expect(try waitForProcess(launched.pid)?.status == .exited(1))
        try container.signal(SIGKILL)
        _ = try waitForProcess(container.pid)
        try container.delete()
    }

    @Test func listenerWithoutAnAgentIsAFailure() throws {
        let bundle = try TestBundle()
        let path = bundle.directory + "/nobody"
        #expect(throws: LaunchError(.other, "linux.seccomp.listenerPath: unable to send the seccomp listener to \(path): connect \(path): no such file or directory")) {
            try run(bundle.script("true") { $0.linux?.seccomp = Self.seccomp(path) }, bundle)
        }
    }

    // MARK: Network devices

    private static func ip(_ arguments: String...) -> String? {
        HookProgram(running: "/sbin/ip", arguments: ["ip"] + arguments, environment: [], input: [], timeout: 10).failure
    }

    private static func hasDevice(_ name: String) throws -> Bool { try RouteSocket().devices().contains { $0.name == name } }

    @Test func networkDevicesMoveWithTheirAddresses() throws {
        try #require(Self.ip("link", "add", "nacelle-t0", "type", "veth", "peer", "name", "nacelle-t1") == nil)
        defer { for name in ["nacelle-t0", "nacelle-t1"] { _ = Self.ip("link", "del", name) } }
        for address in ["10.99.8.7/24", "fd00:99::5/64"] { try #require(Self.ip("addr", "add", address, "dev", "nacelle-t0") == nil) }
        let bundle = try TestBundle()
        // A name that is taken there: refused before anything has moved.
        #expect(throws: LaunchError(.other, "linux.netDevices: a device \"lo\" is in the container's network namespace nacelle-t0: file exists")) {
            try run(bundle.script("true") { spec in
                var device = NetDeviceSpec()
                device.name = "lo"
                spec.linux?.netDevices = ["nacelle-t0": device]
            }, bundle)
        }
        #expect(throws: LaunchError(.other, "linux.netDevices: find the device nacelle-none: no such device")) {
            try run(bundle.script("true") { $0.linux?.netDevices = ["nacelle-none": NetDeviceSpec()] }, bundle)
        }
        #expect(try Self.hasDevice("nacelle-t0"))
        let outcome = try run(bundle.script("ip link show eth7; ip -o addr show eth7; ip link show nacelle-t1 2>&1; ls /sys/class/net") { spec in
            var device = NetDeviceSpec()
            device.name = "eth7"
            spec.linux?.netDevices = ["nacelle-t0": device]
        }, bundle)
        #expect(outcome.output.contains("inet 10.99.8.7/24") && outcome.output.contains("inet6 fd00:99::5/64 scope global"), "\(outcome.output)\(outcome.error)")
        #expect(outcome.output.contains("UP"), "\(outcome.output)")
        #expect(outcome.lines.suffix(3) == ["eth7", "lo", ""], "\(outcome.output)")
        // The kernel has ended it with the container's namespace.
        #expect(try !Self.hasDevice("nacelle-t0"))
    }

    @Test func networkDeviceNamesMayBePatterns() throws {
        try #require(Self.ip("link", "add", "nacelle-p0", "type", "veth", "peer", "name", "nacelle-p1") == nil)
        defer { for name in ["nacelle-p0", "nacelle-p1"] { _ = Self.ip("link", "del", name) } }
        let bundle = try TestBundle()
        let outcome = try run(bundle.script("ls /sys/class/net; cat /sys/class/net/con1/flags") { spec in
            var device = NetDeviceSpec()
            device.name = "con%d"
            spec.linux?.netDevices = ["nacelle-p0": device, "nacelle-p1": device]
        }, bundle)
        #expect(outcome.output == "con0\ncon1\nlo\n0x1003\n", "\(outcome.output)\(outcome.error)")
    }

    // MARK: Mounts

    /// Whether files below /tmp can be shown with other owners: not those of every file system.
    private static let canMapOwners: Bool = {
        guard let folder = try? OwnedDescriptor(opening: "/tmp", flags: O_RDONLY | O_DIRECTORY), let type = try? folder.fileSystemType() else { return false }
        return [0xEF53, 0x5846_5342, 0x9123_683E].contains(type)  // ext4, XFS, Btrfs
    }()

    /// A file of user 1000 on the disk, as different mounts show it.
    @Test(.enabled(if: canMapOwners, "needs /tmp on ext4, XFS or Btrfs")) func identityMappedMounts() throws {
        let bundle = try TestBundle()
        let volume = bundle.directory + "/volume"
        try makeDirectory(volume)
        try makeDirectory(volume + "/sub")
        for (name, user) in [("root", UInt32(0)), ("user", 1000)] {
            try writeFile(volume + "/" + name, [])
            try OwnedDescriptor(opening: volume, flags: O_RDONLY | O_DIRECTORY).setOwner(of: name, user: user, group: user)
        }
        func mount(_ options: [String], _ mappings: [IDMappingSpec]) -> MountSpec {
            var mount = MountSpec(destination: "/mnt", type: "bind", source: volume, options: options)
            (mount.uidMappings, mount.gidMappings) = (mappings, mappings)
            return mount
        }
        let script = "stat -c '%n %u:%g' /mnt/root /mnt/user; stat -f -c %T /mnt > /dev/null; grep -c ' /mnt .*idmapped' /proc/self/mountinfo"
        // Its own mappings, which are enough without the option.
        for options in [["rbind", "ridmap"], ["bind", "idmap"], ["rbind"]] {
            let outcome = try run(bundle.script(script) { $0.mounts.append(mount(options, [IDMappingSpec(0, 7, 1), IDMappingSpec(1000, 2000, 1)])) }, bundle)
            #expect(outcome.output == "/mnt/root 7:7\n/mnt/user 2000:2000\n1\n", "\(options): \(outcome.error)")
        }
        // The container's: the disk's root is the container's root, which would be nobody's otherwise.
        for (options, user) in [(["rbind", "idmap"], "0:0"), (["rbind"], "65534:65534")] {
            let outcome = try run(bundle.script("stat -c '%n %u:%g' /mnt/root; touch /mnt/made; echo $?") { spec in
                spec.mounts.append(MountSpec(destination: "/mnt", type: "bind", source: volume, options: options))
                spec.linux?.namespaces.append(NamespaceSpec(.user))
                spec.linux?.uidMappings = [IDMappingSpec(0, 100_000, 65536)]
                spec.linux?.gidMappings = [IDMappingSpec(0, 100_000, 65536)]
            }, bundle)
            #expect(outcome.lines.first == "/mnt/root \(user)", "\(outcome.error)")
            #expect(outcome.lines.dropFirst().first == (user == "0:0" ? "0" : "1"), "\(outcome.error)")
        }
        // What the mapped root made belongs to the disk's root.
        #expect(try FileStatus(path: volume + "/made").user == 0)
        #expect(throws: LaunchError.self) { try run(bundle.script("true") { $0.mounts.append(mount(["rbind", "idmap"], [])) }, bundle) }
    }

    /// Beside joined namespaces a new user namespace comes about in another way, and the process is another one.
    @Test(.enabled(if: canMapOwners, "needs /tmp on ext4, XFS or Btrfs")) func identitiesAndDevicesBesideJoinedNamespaces() throws {
        try #require(Self.ip("link", "add", "nacelle-j0", "type", "veth", "peer", "name", "nacelle-j1") == nil)
        defer { for name in ["nacelle-j0", "nacelle-j1"] { _ = Self.ip("link", "del", name) } }
        let other = try TestBundle()
        let holder = try launcher(other.plan(["/bin/sleep", "100"]), other).create(streams: try Capture().streams())
        defer {
            try? holder.signal(SIGKILL)
            _ = try? waitForProcess(holder.pid)
            try? holder.delete()
        }
        try holder.start()
        let bundle = try TestBundle()
        let volume = bundle.directory + "/volume"
        for directory in [volume, bundle.rootfs + "/mnt"] { try makeDirectory(directory) }
        let outcome = try run(bundle.script("stat -c %u:%g /mnt; ls /sys/class/net") { spec in
            spec.mounts.append(MountSpec(destination: "/mnt", type: "bind", source: volume, options: ["bind", "idmap"]))
            spec.linux?.namespaces = [.pid, .ipc, .uts, .mount, .user].map { NamespaceSpec($0) } + [NamespaceSpec(.network, path: "/proc/\(holder.pid)/ns/net")]
            spec.linux?.uidMappings = [IDMappingSpec(0, 100_000, 65536)]
            spec.linux?.gidMappings = [IDMappingSpec(0, 100_000, 65536)]
            spec.linux?.netDevices = ["nacelle-j0": NetDeviceSpec()]
        }, bundle)
        #expect(outcome.output.hasPrefix("0:0\n"), "\(outcome.output)\(outcome.error)")
        // It is in the holder's namespace, and stays there.
        let namespace = try OwnedDescriptor(opening: "/proc/\(holder.pid)/ns/net", flags: O_RDONLY)
        #expect(try RouteSocket(in: namespace).devices().contains { $0.name == "nacelle-j0" })
    }

    @Test func aTmpfsHasThePermissionsOfWhatItCovers() throws {
        let bundle = try TestBundle()
        try OwnedDescriptor(opening: bundle.rootfs, flags: O_RDONLY | O_DIRECTORY).setPermissions(of: "root", 0o710)
        let outcome = try run(bundle.script("stat -c '%n %a' /root /tmp /new") { spec in
            spec.mounts += [
                MountSpec(destination: "/root", type: "tmpfs", source: "tmpfs"), MountSpec(destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["size=64k,mode=1700"]),
                // Relative to the root, as old configurations have it.
                MountSpec(destination: "new", type: "tmpfs", source: "tmpfs"),
            ]
        }, bundle)
        #expect(outcome.output == "/root 710\n/tmp 1700\n/new 1777\n", "\(outcome.error)")
    }

    @Test(arguments: [("shared", "shared:"), ("rshared", "shared:"), ("private", ""), ("rprivate", ""), ("unbindable", "unbindable"), ("runbindable", "unbindable"), ("slave", ""), ("", "")])
    func rootfsPropagation(word: String, expected: String) throws {
        let bundle = try TestBundle()
        let outcome = try run(bundle.script("grep -m1 ' / / \\| /[^ ]*/rootfs / ' /proc/self/mountinfo; sed -n 's/.* \\/dev \\(.*\\) - .*/dev \\1/p' /proc/self/mountinfo") { $0.linux?.rootfsPropagation = word }, bundle)
        let line = outcome.lines.first.map(String.init) ?? ""
        let fields = line.split(separator: " - ").first ?? ""
        #expect(outcome.status == .exited(0) && !fields.isEmpty, "\(outcome.error)")
        if expected.isEmpty {
            #expect(!fields.contains("shared:") && !fields.contains("unbindable"), "\(line)")
        } else {
            #expect(fields.contains(expected), "\(line)")
        }
    }

    /// With a source of a shared mount, "rshared" and a shared root the outside sees what the container mounts; otherwise it never does.
    @Test func sharedMountsPropagate() async {
        await #expect(processExitsWith: .success) {
            try NamespaceSet.mount.unshare()
            let bundle = try TestBundle()
            let volume = bundle.directory + "/volume"
            try makeDirectory(volume)
            try GuestSystem.mount("tmpfs", at: volume)
            defer { try? MountTree.detach(volume) }
            try MountTree.setPropagation(volume, .shared, recursive: false)
            try makeDirectory(volume + "/point")
            func seenOutside(_ root: String?, _ option: String) throws -> Bool {
                let outcome = try run(bundle.script("mount -t tmpfs inner /volume/point && echo mounted") { spec in
                    spec.linux?.rootfsPropagation = root
                    spec.mounts.append(MountSpec(destination: "/volume", type: "bind", source: volume, options: ["rbind", option]))
                    for path in [\CapabilitySets.bounding, \.effective, \.permitted] { spec.process?.capabilities?[keyPath: path].append("CAP_SYS_ADMIN") }
                }, bundle)
                #expect(outcome.output == "mounted\n", "\(outcome.error)")
                // Of this thread: the others are in the machine's own namespace still.
                let seen = String(decoding: try readFile("/proc/thread-self/mountinfo"), as: UTF8.self).contains(volume + "/point")
                if seen { try MountTree.detach(volume + "/point") }
                return seen
            }
            #expect(try seenOutside("rshared", "rshared"))
            #expect(try seenOutside("shared", "rprivate") == false)
            #expect(try seenOutside(nil, "rshared") == false)
            #expect(try seenOutside("rslave", "rslave") == false)
        }
    }

    @Test func devicesDoNotReplaceWhatTheImageHas() throws {
        let bundle = try TestBundle()
        try bundle.write("/dev/thing", "a file")
        #expect(throws: LaunchError(.other, "creating device nodes: /dev/thing: mknod /dev/thing: file exists")) {
            try run(bundle.script("true") { spec in
                spec.mounts.removeAll { $0.destination.hasPrefix("/dev") }
                spec.linux?.devices = [DeviceSpec("/dev/thing", .character, 1, 3, mode: 0o666, uid: 0)]
            }, bundle)
        }
    }
} }
