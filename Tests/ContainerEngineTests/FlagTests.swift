import JSONText
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerEngine

private let here = Surroundings(environment: ["HOME=/root", "LANG=C"], workingDirectory: "/work/dir", user: 0)

/// A wrong value and the whole complaint.
private let wrong: [(complaint: String, body: @Sendable () throws -> Void)] = [
    ("--volume \"\": SOURCE:DESTINATION[:OPTIONS] is expected, or DESTINATION alone for a volume of the container's own", { _ = try VolumeRequest("", here) }),
    ("--volume \"/a:b\": the destination \"b\" is not an absolute path other than /", { _ = try VolumeRequest("/a:b", here) }),
    ("--volume \"/a:/x/..\": the destination \"/x/..\" is not an absolute path other than /", { _ = try VolumeRequest("/a:/x/..", here) }),
    ("volume \"a\": a name has 2 to 255 letters, digits, `_`, `.` and `-`, a letter or digit first (a folder of this host is named by its path, such as ./a)", { _ = try VolumeRequest("a:/x", here) }),
    ("volume \"_a\": a name has 2 to 255 letters, digits, `_`, `.` and `-`, a letter or digit first (a folder of this host is named by its path, such as ./_a)", { _ = try VolumeRequest("_a:/x", here) }),
    ("--volume \"/a:/b:nocopy\": \"nocopy\" is no option of a volume: there are ro, rw, bind, rbind, private, rprivate, shared, rshared, slave, rslave, and nocopy of a named volume", { _ = try VolumeRequest("/a:/b:nocopy", here) }),
    ("--mount \"type=nfs,target=/x\": there are type=bind, type=volume and type=tmpfs", { _ = try MountFlag("type=nfs,target=/x", here) }),
    ("--mount \"type=bind,source=/x\": target= with an absolute path other than / is expected", { _ = try MountFlag("type=bind,source=/x", here) }),
    ("--mount \"type=bind,target=/x\": a bind needs source= with a path of this host", { _ = try MountFlag("type=bind,target=/x", here) }),
    ("--mount \"type=tmpfs,source=a,target=/x\": a tmpfs has no source", { _ = try MountFlag("type=tmpfs,source=a,target=/x", here) }),
    ("--mount \"type=volume,target=/x,bind-propagation=shared\": \"bind-propagation\" is no option of a volume: there are source, target, readonly, and volume-nocopy of a named one", { _ = try MountFlag("type=volume,target=/x,bind-propagation=shared", here) }),
    ("--mount \"target=/x,volume-nocopy\": \"volume-nocopy\" is no option of a volume: there are source, target, readonly, and volume-nocopy of a named one", { _ = try MountFlag("target=/x,volume-nocopy", here) }),
    ("--mount readonly=\"perhaps\": true or false is expected", { _ = try MountFlag("target=/x,readonly=perhaps", here) }),
    ("--device \"/dev/null:x\": \"x\" is no access: letters of rwm are expected", { _ = try DeviceRequest("/dev/null:x", here) }),
    ("--device \"/etc\": is no device", { _ = try DeviceRequest("/etc", here) }),
    ("--device \"/dev/nosuch\": no such file or directory", { _ = try DeviceRequest("/dev/nosuch", here) }),
    ("--add-host \"db\": NAME:ADDRESS is expected, such as db:10.0.0.2", { var names = NameRequest(); try names.addHost("db") }),
    ("--add-host \"db:1.2.3.4\\nevil\": NAME:ADDRESS is expected, such as db:10.0.0.2", { var names = NameRequest(); try names.addHost("db:1.2.3.4\nevil") }),
    ("--dns \"here\": an address is expected, such as 10.0.0.1", { var names = NameRequest(); try names.addServer("here") }),
    ("--dns-search \"a b\": one word is expected", { var names = NameRequest(); try names.addSearched("a b") }),
    ("--volume \"/a:/b:rx\": \"rx\" is no option of a volume: there are ro, rw, bind, rbind, private, rprivate, shared, rshared, slave, rslave, and nocopy of a named volume", { _ = try VolumeRequest("/a:/b:rx", here) }),
    ("--tmpfs \"x\": DESTINATION[:OPTIONS] with an absolute path other than / is expected", { _ = try TemporaryRequest("x") }),
    ("--tmpfs \"/x:size\": \"size\" is no option of a tmpfs: there are size=, mode=, uid=, gid=, nr_inodes= and the options of mount(8)", { _ = try TemporaryRequest("/x:size") }),
    ("--memory \"12x\": a size is expected: bytes, or a number with k, m or g (512m, 1.5g)", { _ = try ResourceRequest.memory("12x", flag: "--memory") }),
    ("--memory \"1m\": 1048576 bytes are less than a container can run in: 6m is the least", { _ = try ResourceRequest.memory("1m", flag: "--memory") }),
    ("--memory-swap \"-2\": memory and swap together are expected as a size (1g), or -1 for no limit", { _ = try ResourceRequest.swap("-2") }),
    ("--cpus \"0\": a number of processors from 0.01 to 8192 is expected, such as 1.5", { _ = try ResourceRequest.quota(cpus: "0") }),
    ("--cpus \"1e3\": a number of processors from 0.01 to 8192 is expected, such as 1.5", { _ = try ResourceRequest.quota(cpus: "1e3") }),
    ("--cpu-shares \"1\": a weight from 2 to 262144 is expected (1024 is the usual)", { _ = try ResourceRequest.shares("1") }),
    ("--pids-limit \"many\": a number from 1 to 4194304 is expected, or -1 for no limit", { _ = try ResourceRequest.pids("many") }),
    ("--cpuset-cpus \"3-1\": a list of processors is expected, such as 0-3,7", { _ = try ResourceRequest.cpuList("3-1") }),
    ("--ulimit \"nofile=9:3\": NAME=SOFT[:HARD] is expected, such as nofile=1024:4096, with SOFT not above HARD and a name of getrlimit(2) in lower case", { _ = try RlimitSpec(ulimit: "nofile=9:3") }),
    ("--env \"=x\": the name before `=` is missing", { _ = try FlagValues.environment("=x", here) }),
    ("--env-file f:2: the name \"A B\" contains a blank", { _ = try FlagValues.environmentFile(Array("# c\nA B=1\n".utf8), path: "f", here) }),
    ("--env-file f:1: is not UTF-8", { _ = try FlagValues.environmentFile([0xFF], path: "f", here) }),
    ("--name \"-x\": 1 to 128 letters, digits, `_`, `.` and `-` are expected, a letter or digit first", { _ = try FlagValues.name("-x") }),
    ("--hostname \"a_.-b\": at most 64 letters, digits, `-` and `.` are expected", { _ = try FlagValues.hostname("a_.-b") }),
    ("--stop-signal \"FOO\": a signal's name (TERM, SIGTERM) or number is expected", { _ = try FlagValues.signal("FOO", flag: "--stop-signal") }),
    ("--cap-add \"FLY\": there is no such capability (capabilities(7)); NET_ADMIN is an example, and ALL means all", { _ = try FlagValues.capability("FLY", flag: "--cap-add") }),
    ("--entrypoint \"[\\\"a\\\"\": is not JSON: line 1, column 5: `,` or `]` is expected", { _ = try FlagValues.entrypoint("[\"a\"") }),
    ("--label \"=v\": NAME=VALUE is expected", { _ = try FlagValues.pair("=v", flag: "--label", valueNeeded: false) }),
    ("--log-opt max-size=1: a size of 4k or more is expected, such as 10m", { var log = LogSettings(); try FlagValues.logOption("max-size=1", &log) }),
    ("--log-opt \"colour=red\": there are max-size= and max-file=", { var log = LogSettings(); try FlagValues.logOption("colour=red", &log) }),
    ("--storage-opt upper=ram: there are shared, disk, tmpfs", { var storage = StorageRequest(); try storage.add("upper=ram") }),
    ("--storage-opt size=big: a size is expected, such as 10g", { var storage = StorageRequest(); try storage.add("size=big") }),
    ("--storage-opt \"dm.size=1\": there are upper= and size=", { var storage = StorageRequest(); try storage.add("dm.size=1") }),
    ("--storage-opt size=: 1048576 bytes cannot be a disk's: 16m to 8t can", { var storage = StorageRequest(); try storage.add("size=1m"); _ = try storage.place() }),
    ("--storage-opt size=: a shared upper layer has no size: leave upper=shared out for a disk, or say upper=tmpfs",
     { var storage = StorageRequest(); try storage.add("size=1g"); try storage.add("upper=shared"); _ = try storage.place() }),
    ("--security-opt \"label=x\": there are seccomp=FILE, seccomp=unconfined, apparmor=PROFILE, apparmor=unconfined and no-new-privileges",
     { var request = SecurityRequest(); try request.add("label=x") { _ throws(EngineError) in [] } }),
    ("seccomp profile p: defaultAction: is missing", { var request = SecurityRequest(); try request.add("seccomp=p") { _ throws(EngineError) in Array("{}".utf8) } }),
    ("--memory-swap: is memory and swap together, so it needs --memory as well", { var request = ResourceRequest(); request.memorySwap = 1 << 30; try request.check() }),
    ("--change \"RUN x\": there are CMD, ENTRYPOINT, ENV, WORKDIR, USER, LABEL, VOLUME, EXPOSE and STOPSIGNAL", { _ = try ImageChange("RUN x") }),
    ("--change \"EXPOSE 99999\": PORT or PORT/tcp is expected", { _ = try ImageChange("EXPOSE 99999") }),
    ("cp: a path is empty", { _ = try CopyPlace("") }),
    ("--format \"{{.A\": `}}` is missing", { _ = try OutputTemplate("{{.A") }),
    ("--format \"{{range .}}\": of templates there are {{.Field}}, {{json .Field}} and {{json .}}, not {{range .}}", { _ = try OutputTemplate("{{range .}}") }),
]

@Suite("flags")
struct FlagTests {
    @Test("each wrong value has its complaint", arguments: wrong.indices)
    func complaint(index: Int) {
        let error = #expect(throws: EngineError.self) { try wrong[index].body() }
        #expect(error?.message == wrong[index].complaint)
    }

    @Test("where a machine keeps what it writes", arguments: [
        ([], .shared, 0), (["upper=shared"], .shared, 0), (["size=64m"], .disk, 64 << 20), (["upper=disk"], .disk, 10 << 30), (["upper=disk", "size=16777217"], .disk, 16 << 20 + 4096),
        (["upper=tmpfs"], .tmpfs, 0), (["size=1m", "upper=tmpfs"], .tmpfs, 1 << 20),
    ] as [([String], UpperPlace, Int64)])
    func storage(words: [String], upper: UpperPlace, size: Int64) throws {
        var request = StorageRequest()
        for word in words { try request.add(word) }
        let place = try request.place()
        #expect(place.upper == upper && place.size == size)
    }

    @Test("right values")
    func values() throws {
        #expect(try VolumeRequest("../x:/y:ro,bind,rshared", here).source == "/work/x")
        #expect(try VolumeRequest("data:/y:nocopy,ro", here).name == "data")
        #expect(((try? VolumeRequest("/a:/b:z", here)) == nil) == SELinux.isEnabled)
        #expect(try VolumeRequest("data:/y:nocopy,ro", here).copies == false)
        #expect(try VolumeRequest("/y", here) == VolumeRequest(source: nil, name: nil, destination: "/y"))
        #expect(try MountFlag("type=bind,src=../x,dst=/y,ro,bind-propagation=rshared", here) == .volume(VolumeRequest("/work/x:/y:ro,rshared", here)))
        #expect(try MountFlag("source=data,target=/y/", here) == .volume(VolumeRequest("data:/y", here)))
        #expect(try MountFlag("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777", here) == .temporary(TemporaryRequest("/t:size=1m,mode=1777")))
        let device = try DeviceRequest("/dev/full:/dev/x:rw", here)
        #expect(device.device.path == "/dev/x" && device.device.major == 1 && device.device.minor == 7 && device.access == "rw")
        #expect(try ResourceRequest.memory("1.5g", flag: "-m") == 1_610_612_736)
        #expect(try ResourceRequest.quota(cpus: "1.5") == 150_000)
        #expect(try ResourceRequest.pids("0") == -1)
        #expect(try FlagValues.environment("LANG", here) == "LANG=C")
        #expect(try FlagValues.environment("NOTSET", here) == nil)
        #expect(try FlagValues.environmentFile(Array("# comment\n\n A=1\r\nHOME\nNOTSET\nB=\"x\"\n".utf8), path: "f", here) == ["A=1", "HOME=/root", "B=\"x\""])
        #expect(try FlagValues.entrypoint("[\"a\", \"b c\"]") == ["a", "b c"])
        #expect(try FlagValues.entrypoint("a b") == ["a b"])
        #expect(try FlagValues.capability("cap_net_admin", flag: "") == "CAP_NET_ADMIN")
        #expect(try CopyPlace("c:x") == .container("c", path: "/x"))
        #expect(try CopyPlace("./a:b") == .host("./a:b"))
        #expect(try RlimitSpec(ulimit: "core=-1").hard == .max)
        #expect(try ImageChange("CMD echo hi") == .command(["/bin/sh", "-c", "echo hi"]))
        #expect(try ImageChange("CMD=[\"a\"]") == .command(["a"]))
    }

    @Test("templates")
    func templates() throws {
        let value = Engine.object([("A", .string("x")), ("B", Engine.object([("C", .integer(3))]))])
        #expect(try OutputTemplate("{{.A}}-{{ .B.C }}\\t{{json .B}}").text(value) == "x-3\t{\"C\":3}")
        let table = try OutputTemplate("table {{.A}}\t{{.B.C}}")
        #expect(table.isTable && table.header == "A\tC")
        #expect(throws: EngineError("--format: there is no field \"Z\": there are A, B")) { try OutputTemplate("{{.Z}}").text(value) }
    }

    @Test("words for times and sizes", arguments: [(0, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (61, "About a minute"), (3599, "59 minutes"), (7200, "2 hours"), (172_800, "2 days")])
    func durations(seconds: Int64, text: String) { #expect(HumanText.duration(seconds: seconds) == text) }

    @Test("bytes and decimals")
    func numbers() {
        #expect(HumanText.bytes(1023) == "1023B")
        #expect(HumanText.bytes(1_572_864) == "1.50MiB")
        #expect(HumanText.decimal(-0.25, 1) == "-0.3")
        #expect(HumanText.decimal(2, 0) == "2")
    }
}

@Suite("the standard filter of system calls")
struct SeccompTests {
    private func spec(_ more: [String] = []) -> SeccompSpec { StandardSeccomp.profile.spec(capabilities: Set(StandardContainer.capabilities + more)) }
    private func allowed(_ spec: SeccompSpec) -> Set<String> { Set(spec.syscalls.filter { $0.action == .allow && $0.args.isEmpty }.flatMap(\.names)) }

    @Test("what everybody may, and nobody but who has the capability", arguments: [
        ("openat2", nil), ("execve", nil), ("chroot", nil), ("mount", "CAP_SYS_ADMIN"), ("unshare", "CAP_SYS_ADMIN"), ("bpf", "CAP_BPF"), ("reboot", "CAP_SYS_BOOT"),
        ("init_module", "CAP_SYS_MODULE"), ("clock_settime", "CAP_SYS_TIME"), ("open_by_handle_at", "CAP_DAC_READ_SEARCH"),
    ])
    func calls(name: String, capability: String?) {
        #expect(allowed(spec()).contains(name) == (capability == nil))
        if let capability { #expect(allowed(spec([capability])).contains(name)) }
    }

    @Test("never allowed", arguments: ["keyctl", "add_key", "request_key", "userfaultfd", "io_uring_setup", "kexec_load", "swapon", "nfsservctl", "uselib", "create_module", "_sysctl"])
    func never(name: String) { #expect(!StandardSeccomp.profile.rules.contains { $0.rule.names.contains(name) }) }

    @Test("new namespaces need CAP_SYS_ADMIN; clone3 is said not to exist")
    func clones() {
        let rules = spec().syscalls
        #expect(rules.first { $0.names == ["clone"] }?.args.first?.op == .maskedEqual)
        #expect(rules.first { $0.names == ["clone3"] }?.errnoRet == 38)
        #expect(!spec(["CAP_SYS_ADMIN"]).syscalls.contains { $0.names == ["clone3"] && $0.action == .errno })
    }

    @Test("no call is named twice without a condition")
    func once() {
        let names = spec().syscalls.filter { $0.action == .allow && $0.args.isEmpty }.flatMap(\.names)
        #expect(names.count == Set(names).count)
        #expect(names.count > 300)
    }

    @Test("Docker's form of a profile")
    func docker() throws {
        let text = """
            {"defaultAction": "SCMP_ACT_ERRNO", "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}, {"architecture": "SCMP_ARCH_AARCH64"}],
             "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}, {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}},
                          {"name": "ptrace", "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}}, {"names": ["x"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}},
                          {"names": ["y"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_BPF"]}}]}
            """
        let profile = try SeccompProfile.parse(Array(text.utf8), path: "p")
        #expect(profile.spec(capabilities: []).syscalls.flatMap(\.names) == ["read", "ptrace", "y"])
        #expect(profile.spec(capabilities: ["CAP_BPF"]).syscalls.flatMap(\.names) == ["read", "bpf", "ptrace"])
        #expect(profile.base.architectures == [.x86_64, .x86])
        #expect(throws: EngineError("seccomp profile p: syscalls[0].colour: there is no such field")) {
            try SeccompProfile.parse(Array(#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG","colour":1}]}"#.utf8), path: "p")
        }
    }
}
