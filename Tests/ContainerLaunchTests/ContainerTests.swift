import AgentProtocol
import ContainerLaunch
import Glibc
import LinuxSystem
import OCISpec
import Testing

/// Containers made on this machine, and what their processes see. Namespaces, mounts and control groups need root.
extension LaunchTests { @Suite struct ContainerTests {
    @Test func seesOneThreadPidOneAndItsHostName() throws {
        let bundle = try TestBundle()
        let outcome = try run(bundle.script("echo $$; hostname; grep Threads /proc/self/status; ls -1 /proc | grep -c '^[0-9]'"), bundle)
        #expect(outcome.status == .exited(0))
        #expect(outcome.error == "")
        #expect(outcome.lines.prefix(2) == ["1", "nacelle-test"])
        #expect(outcome.warnings == [])
    }

    @Test(arguments: [(0, LinuxSystem.ExitStatus.exited(0)), (7, .exited(7)), (255, .exited(255))])
    func passesExitCodes(code: Int, status: LinuxSystem.ExitStatus) throws {
        let bundle = try TestBundle()
        #expect(try run(bundle.script("exit \(code)"), bundle).status == status)
    }

    @Test func diesBySignal() throws {
        let bundle = try TestBundle()
        let capture = try Capture()
        let container = try launcher(bundle.plan(["/bin/sleep", "100"]), bundle).create(streams: try capture.streams())
        try container.start()
        try container.signal(SIGKILL)
        #expect(try waitForProcess(container.pid)?.status == .signaled(SIGKILL))
        #expect(throws: LaunchError(.noSuchProcess, "container not running")) { try container.signal(SIGTERM) }
        #expect(throws: LaunchError(.noSuchProcess, "cannot exec in a stopped container")) {
            try container.exec(process: bundle.process(["/bin/true"]), streams: try capture.streams())
        }
        try container.delete()
    }

    @Test func hasCapabilitiesLimitsAndIdentity() throws {
        let bundle = try TestBundle()
        let spec = bundle.script("grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups|Uid|Gid)' /proc/self/status; umask; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; echo $HOME") { spec in
            spec.process?.user = UserSpec(uid: 1000, gid: 1001)
            spec.process?.user.additionalGids = [5, 42]
            spec.process?.user.umask = 0o027
            spec.process?.capabilities?.inheritable = ["CAP_NET_BIND_SERVICE"]
            spec.process?.capabilities?.ambient = ["CAP_NET_BIND_SERVICE"]
            spec.process?.capabilities?.bounding.append("CAP_NOT_A_CAPABILITY")
            spec.process?.rlimits = [RlimitSpec("RLIMIT_NOFILE", soft: 100, hard: 200)]
            spec.process?.oomScoreAdj = 321
        }
        let outcome = try run(spec, bundle)
        #expect(outcome.status == .exited(0), "\(outcome.error)")
        var fields: [Substring: String] = [:]
        for line in outcome.lines where line.contains(":") {
            let parts = line.split(separator: ":", maxSplits: 1)
            fields[parts[0]] = parts.count > 1 ? String(parts[1].drop { $0 == "\t" || $0 == " " }.reversed().drop { $0 == " " }.reversed()) : ""
        }
        #expect(fields["Uid"] == "1000\t1000\t1000\t1000")
        #expect(fields["Gid"] == "1001\t1001\t1001\t1001")
        #expect(fields["Groups"] == "5 42")
        // CAP_KILL is 5, CAP_NET_BIND_SERVICE 10. execve leaves a user that is not root only the ambient ones.
        #expect(fields["CapBnd"] == "0000000000000420")
        #expect(fields["CapInh"] == "0000000000000400")
        #expect(fields["CapAmb"] == "0000000000000400")
        #expect(fields["CapPrm"] == "0000000000000400")
        #expect(fields["CapEff"] == "0000000000000400")
        #expect(fields["NoNewPrivs"] == "1")
        #expect(fields["Seccomp"] == "0")
        #expect(Array(outcome.lines.suffix(6)) == ["0027", "100", "200", "321", "/home/alice", ""])
        #expect(outcome.warnings == ["ignoring unknown or unavailable capabilities: CAP_NOT_A_CAPABILITY"])
    }

    @Test func hasTheSpecifiedDevices() throws {
        let bundle = try TestBundle()
        let outcome = try run(
            bundle.script("cd /dev; stat -c '%n %F %t:%T %a %u' null zero full random urandom tty fuse pipe; for l in fd stdin stdout stderr ptmx; do readlink $l; done; echo lost > /dev/null; head -c 3 /dev/zero | wc -c") { spec in
                spec.linux?.devices = [
                    DeviceSpec("/dev/fuse", .character, 10, 229, mode: 0o640, uid: 7), DeviceSpec("/dev/pipe", .fifo, 0, 0, mode: 0o600, uid: 0),
                ]
            }, bundle)
        #expect(outcome.output == """
            null character special file 1:3 666 0
            zero character special file 1:5 666 0
            full character special file 1:7 666 0
            random character special file 1:8 666 0
            urandom character special file 1:9 666 0
            tty character special file 5:0 666 0
            fuse character special file a:e5 640 7
            pipe fifo 0:0 600 0
            /proc/self/fd
            /proc/self/fd/0
            /proc/self/fd/1
            /proc/self/fd/2
            pts/ptmx
            3

            """, "\(outcome.error)")
    }

    @Test func masksAndProtectsPaths() throws {
        let bundle = try TestBundle()
        try makeDirectory(bundle.rootfs + "/secret")
        try bundle.write("/secret/key", "key")
        try makeDirectory(bundle.rootfs + "/fixed")
        let outcome = try run(
            bundle.script("ls /secret | wc -l; wc -c < /proc/kallsyms; touch /secret/x || echo no; touch /fixed/x || echo no; echo 1 > /proc/sys/kernel/shmmni || echo no; touch /free") { spec in
                spec.linux?.maskedPaths += ["/secret", "/proc/kallsyms"]
                spec.linux?.readonlyPaths.append("/fixed")
            }, bundle)
        #expect(outcome.output == "0\n0\nno\nno\nno\n", "\(outcome.error)")
    }

    @Test func readOnlyRootHasWritableMounts() throws {
        let bundle = try TestBundle()
        let outcome = try run(
            bundle.script("touch /x || echo no; touch /dev/shm/x && echo yes; chmod 777 /bin || echo no") { $0.root?.readonly = true }, bundle)
        #expect(outcome.output == "no\nyes\nno\n", "\(outcome.error)")
    }

    @Test func bindsFilesAndDirectories() throws {
        let bundle = try TestBundle()
        let outside = bundle.directory + "/outside"
        try makeDirectory(outside)
        try writeFile(outside + "/file", Array("data\n".utf8))
        let outcome = try run(
            bundle.script("cat /new/dir/file /new/file; echo x > /new/dir/y || echo no; echo z >> /new/file; ls -d /new/dir; touch /rw/made") { spec in
                spec.mounts += [
                    MountSpec(destination: "/new/dir", type: "bind", source: outside, options: ["rbind", "ro", "rprivate"]),
                    MountSpec(destination: "/new/file", type: "bind", source: outside + "/file", options: ["bind"]),
                    MountSpec(destination: "/rw", type: "none", source: outside, options: ["bind", "nosuid", "nodev", "noexec"]),
                ]
            }, bundle)
        #expect(outcome.output == "data\ndata\nno\n/new/dir\n", "\(outcome.error)")
        #expect(try readFile(outside + "/file") == Array("data\nz\n".utf8))
        #expect(try FileStatus(path: outside + "/made").isRegular)
    }

    @Test func mountOptionsArriveAsAttributes() throws {
        let bundle = try TestBundle()
        let outcome = try run(
            bundle.script("grep -E ' /(a|b|c) ' /proc/self/mounts | sed 's/,inode64//' ") { spec in
                spec.mounts += [
                    MountSpec(destination: "/a", type: "tmpfs", source: "src", options: ["nosuid", "nodev", "noexec", "noatime", "size=4096k", "mode=700"]),
                    MountSpec(destination: "/b", type: "tmpfs", source: "tmpfs", options: ["ro", "strictatime"]),
                    MountSpec(destination: "/c", type: "tmpfs", source: "tmpfs", options: ["size=8k"]),
                    MountSpec(destination: "/c", source: "none", options: ["remount", "bind", "ro"]),
                ]
            }, bundle)
        #expect(outcome.output == """
            src /a tmpfs rw,nosuid,nodev,noexec,noatime,size=4096k,mode=700 0 0
            tmpfs /b tmpfs ro 0 0
            tmpfs /c tmpfs ro,relatime,size=8k 0 0

            """, "\(outcome.error)")
    }

    @Test func tmpfsCopiesUp() throws {
        let bundle = try TestBundle()
        try makeDirectory(bundle.rootfs + "/data")
        try makeDirectory(bundle.rootfs + "/data/sub", mode: 0o710)
        try bundle.write("/data/sub/file", "content", mode: 0o640)
        let outcome = try run(
            bundle.script("cat /data/sub/file; stat -c ' %a' /data/sub /data/sub/file; touch /data/new") { spec in
                spec.mounts.append(MountSpec(destination: "/data", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"]))
            }, bundle)
        #expect(outcome.output == "content 710\n 640\n", "\(outcome.error)")
        #expect(throws: SystemError.self) { try FileStatus(path: bundle.rootfs + "/data/new") }
    }

    @Test func sysctlAndTime() throws {
        let bundle = try TestBundle()
        let outcome = try run(
            bundle.script("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni; ip addr show lo | grep -c 'inet 127'; cat /proc/self/timens_offsets") { spec in
                spec.linux?.sysctl = ["net.ipv4.ip_forward": "1", "kernel/shmmni": "77"]
                spec.linux?.namespaces += [NamespaceSpec(.time), NamespaceSpec(.cgroup)]
                var offset = TimeOffsetSpec()
                offset.secs = 86400
                spec.linux?.timeOffsets = ["monotonic": offset]
            }, bundle)
        #expect(outcome.lines.prefix(3) == ["1", "77", "1"], "\(outcome.error)")
        #expect(outcome.output.contains("monotonic       86400         0"), "\(outcome.output)")
    }

    @Test func userNamespace() throws {
        let bundle = try TestBundle()
        let outcome = try run(
            bundle.script("id -u; cat /proc/self/uid_map; stat -c %t:%T /dev/null; echo x > /dev/null && echo ok; touch /tmp/x || echo no") { spec in
                spec.linux?.namespaces.append(NamespaceSpec(.user))
                spec.linux?.uidMappings = [IDMappingSpec(0, 100_000, 1000)]
                spec.linux?.gidMappings = [IDMappingSpec(0, 100_000, 1000)]
                spec.process?.oomScoreAdj = 10
            }, bundle)
        #expect(outcome.lines.prefix(1) == ["0"], "\(outcome.error)")
        #expect(outcome.output.contains("100000       1000\n1:3\nok\nno"), "\(outcome.output) \(outcome.error)")
    }

    @Test func joinsNamespacesByPath() throws {
        let bundle = try TestBundle()
        let capture = try Capture()
        let first = try launcher(bundle.plan(["/bin/sleep", "100"]), bundle).create(streams: try capture.streams())
        try first.start()
        defer {
            try? first.signal(SIGKILL)
            _ = try? waitForProcess(first.pid)
            try? first.delete()
        }
        let other = try TestBundle()
        let outcome = try run(
            other.script("hostname; readlink /proc/self/ns/net; ls -1 /proc | grep -cx 1; cat /proc/1/cmdline | grep -c sleep") { spec in
                spec.hostname = nil
                spec.linux?.namespaces = [
                    NamespaceSpec(.mount), NamespaceSpec(.ipc),
                    NamespaceSpec(.uts, path: "/proc/\(first.pid)/ns/uts"), NamespaceSpec(.network, path: "/proc/\(first.pid)/ns/net"),
                    NamespaceSpec(.pid, path: "/proc/\(first.pid)/ns/pid"),
                ]
            }, other)
        #expect(outcome.status == .exited(0), "\(outcome.error)")
        let namespaces = try OwnedDescriptor(opening: "/proc/\(first.pid)/ns", flags: O_PATH | O_DIRECTORY)
        #expect(outcome.lines.prefix(4) == ["nacelle-test", Substring(try namespaces.linkTarget(of: "net")), "1", "1"])
    }
}}

extension RlimitSpec {
    init(_ type: String, soft: UInt64, hard: UInt64) {
        self.init()
        self.type = type
        self.soft = soft
        self.hard = hard
    }
}

extension DeviceSpec {
    init(_ path: String, _ type: Kind, _ major: Int64, _ minor: Int64, mode: UInt32, uid: UInt32) {
        self.init()
        self.path = path
        self.type = type
        self.major = major
        self.minor = minor
        fileMode = mode
        self.uid = uid
    }
}

extension IDMappingSpec {
    init(_ container: UInt32, _ host: UInt32, _ size: UInt32) {
        self.init()
        containerID = container
        hostID = host
        self.size = size
    }
}
