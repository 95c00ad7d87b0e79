import JSONText
import Testing

@testable import OCISpec

@Suite("Runtime specification")
struct SpecTests {
    /// A configuration that is right, as an object to break.
    private static func good() -> JSONObject {
        let text = #"{"ociVersion":"1.0.2","process":{"args":["a"],"cwd":"/","user":{"uid":0,"gid":0}},"root":{"path":"rootfs"},"linux":{"namespaces":[{"type":"uts"},{"type":"ipc"},{"type":"network"}]}}"#
        guard case .object(let object)? = try? JSONValue(parsing: Array(text.utf8)) else { return JSONObject() }
        return object
    }

    private static func problem(_ text: String) -> String {
        do throws(ConfigurationError) {
            try RuntimeSpec.parse(Array(text.utf8)).spec.validate()
            return "accepted"
        } catch { return "\(error)" }
    }

    @Test("each kind of mistake is told with its path", arguments: [
        (#""ociVersion":1"#, "ociVersion: expected a string, found a number"),
        (#""ociVersion":"2.0.0""#, #"ociVersion: version "2.0.0" is not supported"#),
        (#""ociVersion":"1.4.0""#, "is not supported"),
        (#""ociVersion":"1.0""#, "is not supported"),
        (#""ociVersion":null"#, "ociVersion: is missing"),
        (#""process":[]"#, "process: expected an object, found an array"),
        (#""process":{"args":["a"]}"#, "process.cwd: is missing"),
        (#""process":{"args":["a"],"cwd":"x"}"#, #"process.cwd: "x" is not an absolute path"#),
        (#""process":{"args":[],"cwd":"/"}"#, "process.args: must not be empty"),
        (#""process":{"args":["a",1],"cwd":"/"}"#, "process.args[1]: expected a string, found a number"),
        (#""process":{"args":["a\u0000"],"cwd":"/"}"#, "process.args[0]: contains a NUL byte"),
        (#""process":{"args":["a"],"cwd":"/","user":{"uid":-1}}"#, "process.user.uid: -1 is not from 0 to 4294967295"),
        (#""process":{"args":["a"],"cwd":"/","user":{"umask":4096}}"#, "process.user.umask: is more than 0777"),
        (#""process":{"args":["a"],"cwd":"/","capabilities":{"bounding":["CAP_NOPE"]}}"#, #"process.capabilities.bounding[0]: "CAP_NOPE" is not a capability"#),
        (#""process":{"args":["a"],"cwd":"/","rlimits":[{"type":"RLIMIT_X","soft":1,"hard":1}]}"#, "process.rlimits[0].type"),
        (#""process":{"args":["a"],"cwd":"/","rlimits":[{"type":"RLIMIT_CPU","soft":2,"hard":1}]}"#, "process.rlimits[0].soft: is greater than the hard limit"),
        (#""process":{"args":["a"],"cwd":"/","rlimits":[{"type":"RLIMIT_CPU","soft":1}]}"#, "process.rlimits[0].hard: is missing"),
        (#""process":{"args":["a"],"cwd":"/","oomScoreAdj":1001}"#, "process.oomScoreAdj: must be from -1000 to 1000"),
        (#""process":{"args":["a"],"cwd":"/","scheduler":{"policy":"X"}}"#, #"process.scheduler.policy: "X" is not one of"#),
        (#""process":{"args":["a"],"cwd":"/","ioPriority":{"class":"IOPRIO_CLASS_BE","priority":9}}"#, "process.ioPriority.priority"),
        (#""root":{}"#, "root.path: is missing"),
        (#""root":{"path":""}"#, "root.path: is empty"),
        (#""root":null"#, "root: is missing"),
        (#""hostname":"h","linux":{}"#, "hostname: needs a uts namespace"),
        (#""domainname":"d","linux":{}"#, "domainname: needs a uts namespace"),
        (#""mounts":[{"type":"tmpfs"}]"#, "mounts[0].destination: is missing"),
        (#""mounts":[{"destination":"/x"}]"#, "mounts[0].type: is missing, and the mount is no bind mount"),
        (#""mounts":[{"destination":"/x","type":"bind"}]"#, "mounts[0].source: a bind mount needs a source"),
        (#""mounts":[{"destination":"/x","type":"tmpfs","uidMappings":[{"containerID":0,"hostID":0,"size":1}]}]"#, "mounts[0].uidMappings: uidMappings and gidMappings go together"),
        (#""hooks":{"poststop":[{"path":"x"}]}"#, #"hooks.poststop[0].path: "x" is not absolute"#),
        (#""hooks":{"prestart":[{"path":"/x","timeout":0}]}"#, "hooks.prestart[0].timeout: must be greater than 0"),
        (#""annotations":{"":"x"}"#, "annotations: a key is empty"),
        (#""annotations":{"a":1}"#, "annotations.a: expected a string, found a number"),
        (#""windows":{}"#, "windows: a configuration for another platform"),
        (#""linux":{"namespaces":[{"type":"pid"},{"type":"pid"}]}"#, "linux.namespaces[1]: the pid namespace occurs twice"),
        (#""linux":{"namespaces":[{"type":"x"}]}"#, #"linux.namespaces[0].type: "x" is not one of pid, network"#),
        (#""linux":{"namespaces":[{"type":"pid","path":"x"}]}"#, "linux.namespaces[0].path"),
        (#""linux":{"uidMappings":[{"containerID":0,"hostID":0,"size":1}]}"#, "linux.uidMappings: need a user namespace"),
        (#""linux":{"timeOffsets":{"monotonic":{}}}"#, "linux.timeOffsets: need a time namespace"),
        (#""linux":{"devices":[{"path":"x","type":"c","major":1,"minor":3}]}"#, "linux.devices[0].path"),
        (#""linux":{"devices":[{"path":"/x","type":"q"}]}"#, "linux.devices[0].type"),
        (#""linux":{"maskedPaths":["x"]}"#, "linux.maskedPaths[0]"),
        (#""linux":{"readonlyPaths":["x"]}"#, "linux.readonlyPaths[0]"),
        (#""linux":{"rootfsPropagation":"x"}"#, "linux.rootfsPropagation"),
        (#""linux":{"cgroupsPath":"/a/../b"}"#, "linux.cgroupsPath: must not contain `..`"),
        (#""linux":{"sysctl":{"net.x":"1"}}"#, "linux.sysctl.net.x: needs a network namespace"),
        (#""linux":{"sysctl":{"kernel.panic":"1"}}"#, "linux.sysctl.kernel.panic: is not in a separate kernel namespace"),
        (#""linux":{"sysctl":{"kernel.hostname":"1"}}"#, "linux.sysctl.kernel.hostname: is set by `hostname`"),
        (#""linux":{"sysctl":{"net..x":"1"},"namespaces":[{"type":"network"}]}"#, "is malformed"),
        (#""linux":{"seccomp":{}}"#, "linux.seccomp.defaultAction: is missing"),
        (#""linux":{"seccomp":{"defaultAction":"X"}}"#, #"linux.seccomp.defaultAction: "X" is not one of"#),
        (#""linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_ERRNO"}]}}"#, "linux.seccomp.syscalls[0].names: must not be empty"),
        (#""linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ERRNO","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}}"#, "args[0].index"),
        (#""linux":{"resources":{"devices":[{"access":"rwm"}]}}"#, "linux.resources.devices[0].allow: is missing"),
        (#""linux":{"resources":{"devices":[{"allow":true,"type":"z"}]}}"#, "linux.resources.devices[0].type"),
        (#""linux":{"resources":{"devices":[{"allow":true,"access":"x"}]}}"#, "linux.resources.devices[0].access"),
        (#""linux":{"resources":{"memory":{"limit":"1"}}}"#, "linux.resources.memory.limit: expected an integer, found a string"),
        (#""process":{"args":["a"],"cwd":"/","scheduler":{"policy":"SCHED_OTHER","nice":20}}"#, "process.scheduler.nice: must be from -20 to 19"),
        (#""process":{"args":["a"],"cwd":"/","scheduler":{"policy":"SCHED_FIFO"}}"#, "process.scheduler.priority: must be from 1 to 99 for SCHED_FIFO"),
        (#""process":{"args":["a"],"cwd":"/","scheduler":{"policy":"SCHED_RR","priority":100}}"#, "process.scheduler.priority: must be from 1 to 99 for SCHED_RR"),
        (#""process":{"args":["a"],"cwd":"/","scheduler":{"policy":"SCHED_IDLE","priority":1}}"#, "process.scheduler.priority: SCHED_IDLE has none: SCHED_FIFO and SCHED_RR have"),
        (#""process":{"args":["a"],"cwd":"/","scheduler":{"policy":"SCHED_BATCH","runtime":1}}"#, "process.scheduler.runtime: SCHED_BATCH has none: SCHED_DEADLINE has"),
        (#""process":{"args":["a"],"cwd":"/","scheduler":{"policy":"SCHED_BATCH","flags":["X"]}}"#, #"process.scheduler.flags[0]: "X" is not one of"#),
        (#""process":{"args":["a"],"cwd":"/","execCPUAffinity":{"initial":"0,"}}"#, #"process.execCPUAffinity.initial: "0," is not a list of CPUs"#),
        (#""process":{"args":["a"],"cwd":"/","execCPUAffinity":{"final":"3-1"}}"#, #"process.execCPUAffinity.final: "3-1" is not a list of CPUs"#),
        (#""mounts":[{"destination":"/x","type":"tmpfs","options":["idmap"]}]"#, "mounts[0].options: only bind mounts can be id-mapped"),
        (#""mounts":[{"destination":"/x","type":"bind","source":"/x","options":["ridmap"]}]"#, "mounts[0].options: an id-mapped mount needs uidMappings and gidMappings"),
        (#""mounts":[{"destination":"/x","type":"bind","source":"/x","uidMappings":[{"containerID":0,"hostID":0,"size":0}],"gidMappings":[{"containerID":0,"hostID":0,"size":1}]}]"#,
            "mounts[0].uidMappings[0].size: is 0"),
        (#""mounts":[{"destination":"/x","type":"bind","source":"/x","options":["remount","idmap"]}]"#, "mounts[0].options: a remount cannot be id-mapped"),
        (#""linux":{"namespaces":[{"type":"time"}],"timeOffsets":{"monotonic":{"nanosecs":1000000000}}}"#, "linux.timeOffsets.monotonic.nanosecs: must be from 0 to 999999999"),
        (#""linux":{"netDevices":{"eth0":{}}}"#, "linux.netDevices: need a network namespace"),
        (#""linux":{"namespaces":[{"type":"network"}],"netDevices":{"a b":{}}}"#, #"linux.netDevices["a b"]: is not the name of a network device"#),
        (#""linux":{"namespaces":[{"type":"network"}],"netDevices":{"eth0":{"name":"a-name-of-16-byte"}}}"#, #"linux.netDevices.eth0.name: "a-name-of-16-byte" is not a name"#),
        (#""linux":{"memoryPolicy":{}}"#, "linux.memoryPolicy.mode: is missing"),
        (#""linux":{"memoryPolicy":{"mode":"MPOL_X"}}"#, #"linux.memoryPolicy.mode: "MPOL_X" is not one of MPOL_DEFAULT"#),
        (#""linux":{"memoryPolicy":{"mode":"MPOL_BIND"}}"#, "linux.memoryPolicy.nodes: MPOL_BIND needs at least one node"),
        (#""linux":{"memoryPolicy":{"mode":"MPOL_LOCAL","nodes":"0"}}"#, "linux.memoryPolicy.nodes: must be empty with MPOL_LOCAL"),
        (#""linux":{"memoryPolicy":{"mode":"MPOL_BIND","nodes":"a"}}"#, #"linux.memoryPolicy.nodes: "a" is not a list of nodes"#),
        (#""linux":{"memoryPolicy":{"mode":"MPOL_BIND","nodes":"0","flags":["MPOL_F_X"]}}"#, "linux.memoryPolicy.flags[0]"),
        (#""linux":{"personality":{"domain":"LINUX","flags":["X"]}}"#, "linux.personality.flags: the specification has none"),
        (#""linux":{"intelRdt":{"closID":"../x"}}"#, #"linux.intelRdt.closID: "../x" is not the name of a directory"#),
        (#""linux":{"intelRdt":{"memBwSchema":"L3:0=f"}}"#, "linux.intelRdt.memBwSchema: must start with MB:"),
        (#""linux":{"intelRdt":{"schemata":["L3:0=f","L3:0=f\nMB:0=1"]}}"#, "linux.intelRdt.schemata[1]: must be one line"),
        (#""linux":{"seccomp":{"defaultAction":"SCMP_ACT_NOTIFY","listenerPath":"/x"}}"#, "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default action"),
        (#""linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","listenerMetadata":"x"}}"#, "linux.seccomp.listenerMetadata: needs listenerPath"),
        (#""linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_NOTIFY"}]}}"#, "linux.seccomp.listenerPath: SCMP_ACT_NOTIFY needs the path"),
        (#""linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x","syscalls":[{"names":["a","write"],"action":"SCMP_ACT_NOTIFY"}]}}"#,
            "linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY cannot be used for the write syscall"),
        (#""linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}}"#, "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW returns no errno"),
        (#""linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ERRNO","errnoRet":4096}]}}"#,
            "linux.seccomp.syscalls[0].errnoRet: must be from 0 to 4095"),
        (#""vm":{"kernel":{"path":"vmlinux"}}"#, #"vm.kernel.path: "vmlinux" is not absolute"#),
        (#""vm":{"hwConfig":{"iomems":[{"firstMFN":1}]}}"#, "vm.hwConfig.iomems[0].nrMFNs: is missing"),
        (#""vm":{"kernel":{}}"#, "vm.kernel.path: is missing"),
        (#""vm":{"hwConfig":{"vcpus":"2"}}"#, "vm.hwConfig.vcpus"),
    ])
    func mistakes(_ member: String, _ expected: String) throws {
        var object = Self.good()
        guard case .object(let change) = try JSONValue(parsing: Array("{\(member)}".utf8)) else { return }
        for (key, value) in change.members { object[key] = value }
        let message = Self.problem(JSONValue.object(object).text())
        #expect(message.hasPrefix("config.json: "), "\(message)")
        #expect(message.contains(expected), "\(message)")
    }

    @Test("all mistakes are told at once")
    func several() {
        let message = Self.problem(#"{"ociVersion":"1.0.2","process":{"args":[],"cwd":"x"},"root":{"path":""}}"#)
        #expect(message.contains("root.path: is empty; process.args: must not be empty; process.cwd:"), "\(message)")
    }

    @Test("the example is valid, and comes back as it was", arguments: [false, true])
    func example(_ rootless: Bool) throws {
        let example = RuntimeSpec.example(rootless: rootless)
        try example.validate()
        let (again, unknown) = try RuntimeSpec.parse(example.json.bytes())
        #expect(again == example)
        #expect(unknown == [])
    }

    @Test("fields that the specification does not have are reported, not refused")
    func unknown() throws {
        var object = Self.good()
        object["extra"] = .bool(true)
        let text = JSONValue.object(object).text().replacing(#""cwd":"/""#, with: #""cwd":"/","shiny":1"#)
        let (spec, unknown) = try RuntimeSpec.parse(Array(text.utf8))
        try spec.validate()
        #expect(Set(unknown) == ["extra", "process.shiny"])
    }

    @Test("versions", arguments: [("1.0.0", true), ("1.0.2-dev", true), ("1.1.0-rc.1", true), ("1.3.9+x", true), ("1.4.0", false), ("0.9.0", false), ("", false), ("1.0.x", false)])
    func versions(_ version: String, _ supported: Bool) { #expect(RuntimeSpec.isSupported(version) == supported) }

    @Test("names of containers", arguments: [("a", true), ("A-b_c.d+1", true), ("", false), (".", false), ("..", false), ("a/b", false), ("a b", false), ("é", false), (String(repeating: "x", count: 1025), false)])
    func names(_ name: String, _ valid: Bool) { #expect((ContainerID.problem(name) == nil) == valid) }

    @Test("tables have the kernel's numbers")
    func tables() {
        #expect(Capability.all.count == 41)
        #expect(Capability.named("CAP_SYS_ADMIN")?.number == 21 && Capability.named("CAP_CHECKPOINT_RESTORE")?.number == 40)
        #expect(ResourceLimit.number("RLIMIT_NOFILE") == 7 && ResourceLimit.number("RLIMIT_RTTIME") == 15)
        #expect(Set(MountOption.table.map(\.name)).count == MountOption.table.count)
    }

    @Test("mount options", arguments: [
        (["ro", "nosuid", "rw"], 2, 1, []), (["rbind", "rprivate"], 0x5000, 0, [0x4_4000]), (["size=1m", "mode=755"], 0, 0, []),
    ] as [([String], UInt64, UInt64, [UInt64])])
    func options(_ words: [String], _ set: UInt64, _ cleared: UInt64, _ propagation: [UInt64]) {
        let parsed = MountSpec(destination: "/x", type: "tmpfs", options: words).parsedOptions()
        #expect(parsed.flags == set && parsed.clearedFlags == cleared && parsed.propagation == propagation)
        #expect(parsed.data == words.filter { $0.contains("=") })
    }

    @Test("mutations of the example never trap")
    func fuzz() {
        let seed = RuntimeSpec.example().json.bytes()
        var state: UInt64 = 7
        func random(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(limit))
        }
        let words = ["null", "-1", "[]", "{}", "\"\"", "99999999999999999999", "true"].map { Array($0.utf8) }
        for _ in 0..<3_000 {
            var text = seed
            for _ in 0...random(3) {
                if random(2) == 0 { text[random(text.count)] = UInt8(random(128)) } else {
                    // A value in place of another: after a colon.
                    let colons = text.indices.filter { text[$0] == UInt8(ascii: ":") }
                    let at = colons[random(colons.count)] + 1
                    let end = text[at...].firstIndex { [UInt8(ascii: ","), UInt8(ascii: "}")].contains($0) } ?? at
                    text.replaceSubrange(at..<end, with: words[random(words.count)])
                }
            }
            if let spec = try? RuntimeSpec.parse(text).spec { try? spec.validate() }
        }
    }
}
