import ContainerRuntime
import ControlGroups
import JSONText
import OCISpec

/// config.json: text to RuntimeSpec, its checks, what is written of it, and the plans that are made from it.
struct ConfigurationTarget: FuzzTarget {
    static let name = "configuration"
    private let documents: [JSONValue]
    private let components = Components.locate()

    init() {
        let everything = (try? JSONValue(parsing: Array(everyField.utf8))) ?? .null
        documents = [RuntimeSpec.example().json, RuntimeSpec.example(rootless: true).json, everything]
    }

    mutating func run(_ random: inout Random) -> Verdict {
        var mutation = JSONMutation(documents: documents, random: random)
        let text = mutation.makeText()
        random = mutation.random
        if let value = try? JSONValue(parsing: text), (try? JSONValue(parsing: value.bytes())) != value { return .failed("JSON is not read back as it was written") }
        do throws(ConfigurationError) {
            let (spec, unknown) = try RuntimeSpec.parse(text)
            let written = spec.json.bytes()
            let again = try RuntimeSpec.parse(written)
            guard again.spec == spec.withoutForeignSections else { return .failed("a configuration is not read back as it was written") }
            guard again.unknown.isEmpty else { return .failed("a configuration is written with the unknown fields \(again.unknown)") }
            guard again.spec.json.bytes() == written else { return .failed("a configuration is written differently the second time") }
            guard unknown.allSatisfy({ !$0.isEmpty && $0.utf8.count < 8000 }) else { return .failed("an unknown field without a path") }
            try spec.validate()
            return use(spec)
        } catch { return Self.check(error) }
    }

    /// What is done with a configuration that is right.
    private func use(_ spec: RuntimeSpec) -> Verdict {
        for mount in spec.mounts { _ = mount.parsedOptions() }
        if let resources = spec.linux?.resources {
            _ = try? version1Writes(resources)
            _ = try? version2Writes(resources)
            _ = DeviceFilter.program(DeviceRule.effective(resources.devices))
        }
        do throws(RuntimeError) {
            _ = try MachineSettings(spec, components: components)
            let plan = try GuestPlan(spec, bundle: "/bundle", state: StateSpec())
            guard let read = try? RuntimeSpec.parse(plan.json).spec, read == plan.spec else { return .failed("the guest's plan is not read as it was written") }
            if let why = problem(with: read) { return .failed("the guest's plan is not right: \(why)") }
            return .accepted
        } catch { return Self.isFit(error.message) ? .accepted : .failed("a message that is not fit to be shown: \(error.message.prefix(300))") }
    }

    private func problem(with spec: RuntimeSpec) -> String? {
        do throws(ConfigurationError) {
            try spec.validate()
            return nil
        } catch { return "\(error)" }
    }

    private static func check(_ error: ConfigurationError) -> Verdict {
        guard isFit("\(error)") else { return .failed("a message that is not fit to be shown: \("\(error)".prefix(300))") }
        switch error {
        case .notJSON(let error): return error.line > 0 && error.column > 0 ? .refused : .failed("an error without a place: \(error)")
        case .shape(let error):
            let isWhole = error.problem.hasPrefix("expected an object")
            return !error.path.isEmpty || isWhole ? .refused : .failed("an error without a path: \(error)")
        case .invalid(let problems): return problems.allSatisfy { !$0.path.isEmpty && !$0.text.isEmpty } ? .refused : .failed("an error without a path: \(error)")
        }
    }

    /// Whether a message is short enough to be read, and has nothing that a terminal or a log would obey.
    static func isFit(_ message: String) -> Bool {
        message.utf8.count < 20000 && !message.isEmpty && !message.unicodeScalars.contains { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) }
    }
}

extension RuntimeSpec {
    /// What cannot be written, since it is refused.
    fileprivate var withoutForeignSections: RuntimeSpec {
        var copy = self
        copy.foreignSections = []
        return copy
    }
}

/// A configuration with every field of the specification, valid as a whole.
private let everyField = #"""
    {"ociVersion":"1.3.0","hostname":"h","domainname":"d.example","annotations":{"a":"b","dev.nacelle.memory":"512M","dev.nacelle.vcpus":"2"},
    "root":{"path":"rootfs","readonly":true},
    "process":{"terminal":true,"consoleSize":{"height":24,"width":80},"user":{"uid":1,"gid":2,"umask":18,"additionalGids":[3,4],"username":"u"},
      "args":["sh","-c","exit 0"],"env":["PATH=/bin","A=b=c"],"cwd":"/","noNewPrivileges":true,"oomScoreAdj":100,"apparmorProfile":"p","selinuxLabel":"",
      "capabilities":{"bounding":["CAP_CHOWN"],"effective":["CAP_KILL"],"inheritable":["CAP_KILL"],"permitted":["CAP_KILL"],"ambient":["CAP_KILL"]},
      "rlimits":[{"type":"RLIMIT_NOFILE","soft":10,"hard":20},{"type":"RLIMIT_CORE","soft":0,"hard":18446744073709551615}],
      "ioPriority":{"class":"IOPRIO_CLASS_IDLE","priority":4},"execCPUAffinity":{"initial":"0-1","final":"1"},
      "scheduler":{"policy":"SCHED_DEADLINE","nice":1,"flags":["SCHED_FLAG_RECLAIM"],"runtime":2000,"deadline":3000,"period":4000}},
    "mounts":[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/v","type":"bind","source":"/v","options":["rbind","ro","rprivate"]},
      {"destination":"/m","type":"bind","source":"m","options":["bind","idmap"],"uidMappings":[{"containerID":0,"hostID":5,"size":9}],"gidMappings":[{"containerID":0,"hostID":5,"size":9}]},
      {"destination":"/t","type":"tmpfs","source":"tmpfs","options":["size=1m","tmpcopyup","nosuid"]}],
    "hooks":{"prestart":[{"path":"/h","args":["h","1"],"env":["A=b"],"timeout":5}],"createRuntime":[{"path":"/h"}],"createContainer":[{"path":"/h"}],
      "startContainer":[{"path":"/h","timeout":1}],"poststart":[{"path":"/h"}],"poststop":[{"path":"/h"}]},
    "vm":{"hypervisor":{"path":"/q","parameters":["a"]},"kernel":{"path":"/k","parameters":["quiet"],"initrd":"/i"},"image":{"path":"/i","format":"raw"},
      "hwConfig":{"deviceTree":"/d","vcpus":2,"memory":268435456,"dtdevs":["x"]}},
    "linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/n"},{"type":"mount"},{"type":"ipc"},{"type":"uts"},{"type":"user"},{"type":"cgroup"},{"type":"time"}],
      "uidMappings":[{"containerID":0,"hostID":1000,"size":10},{"containerID":10,"hostID":2000,"size":5}],"gidMappings":[{"containerID":0,"hostID":1000,"size":10}],
      "timeOffsets":{"monotonic":{"secs":5,"nanosecs":6},"boottime":{"secs":-1}},
      "devices":[{"path":"/dev/fuse","type":"c","major":10,"minor":229,"fileMode":438,"uid":0,"gid":0},{"path":"/dev/p","type":"p"}],
      "netDevices":{"eth0":{"name":"c0"}},"cgroupsPath":"/a/b","rootfsPropagation":"slave","maskedPaths":["/proc/kcore"],"readonlyPaths":["/proc/sys"],"mountLabel":"l",
      "personality":{"domain":"LINUX32","flags":[]},"sysctl":{"net.ipv4.ip_forward":"1","kernel.shmmax":"5"},
      "intelRdt":{"closID":"c","schemata":["L3:0=f"],"l3CacheSchema":"s","memBwSchema":"m","enableMonitoring":true},
      "memoryPolicy":{"mode":"MPOL_BIND","nodes":"0","flags":["MPOL_F_STATIC_NODES"]},
      "seccomp":{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"flags":["SECCOMP_FILTER_FLAG_LOG"],
        "listenerPath":"/l","listenerMetadata":"m","syscalls":[{"names":["read","write"],"action":"SCMP_ACT_ALLOW"},
        {"names":["personality"],"action":"SCMP_ACT_ERRNO","errnoRet":1,"args":[{"index":0,"value":8,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ"}]}]},
      "resources":{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":10,"minor":-1,"access":"rw"}],
        "memory":{"limit":268435456,"reservation":1000000,"swap":300000000,"kernel":-1,"kernelTCP":0,"swappiness":50,"disableOOMKiller":false,"useHierarchy":true,"checkBeforeUpdate":false},
        "cpu":{"shares":1024,"quota":50000,"burst":1000,"period":100000,"realtimeRuntime":0,"realtimePeriod":0,"cpus":"0-1,3","mems":"0","idle":0},"pids":{"limit":100},
        "blockIO":{"weight":100,"leafWeight":10,"weightDevice":[{"major":8,"minor":0,"weight":500,"leafWeight":10}],"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":600}],
          "throttleWriteBpsDevice":[{"major":8,"minor":0,"rate":600}],"throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":600}],"throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":600}]},
        "hugepageLimits":[{"pageSize":"2MB","limit":9}],"network":{"classID":7,"priorities":[{"name":"eth0","priority":5}]},
        "rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":100}},"unified":{"memory.high":"100","io.max":"8:0 rbps=1"}}}}
    """#
