import Foundation
import Testing

@Suite("config.json: what the guest's kernel does, and what is refused", .requiresKVM, .serialized)
struct ConfigurationTests {
    @Test("root of a user namespace may be an ordinary user outside of it")
    func ordinaryRoot() throws {
        let bundle = try Bundle(["sh", "-c", "cat /proc/self/uid_map; id -u; echo >/tmp/x && ls /tmp"])
        bundle.linux {
            $0["namespaces"] = (($0["namespaces"] as? [[String: Any]]) ?? []) + [["type": "user"]]
            $0["uidMappings"] = [["containerID": 0, "hostID": 100_000, "size": 65536]]
            $0["gidMappings"] = [["containerID": 0, "hostID": 100_000, "size": 65536]]
        }
        bundle.configuration["mounts"] = ((bundle.configuration["mounts"] as? [[String: Any]]) ?? []) + [["destination": "/tmp", "type": "tmpfs", "source": "tmpfs"]]
        try bundle.save()
        let outcome = try bundle.nacelle("run", "--bundle", bundle.path, "c")
        #expect(outcome.text.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") } == ["0 100000 65536", "0", "x"], "\(outcome.text)\(outcome.errorText)")
        try bundle.expectNothingLeft()
    }

    @Test("scheduler, I/O priority, memory policy, personality, time offsets")
    func process() throws {
        let bundle = try Bundle()
        bundle.process {
            $0["scheduler"] = ["policy": "SCHED_BATCH", "nice": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]]
            $0["ioPriority"] = ["class": "IOPRIO_CLASS_IDLE", "priority": 0]
        }
        bundle.linux {
            $0["namespaces"] = ["pid", "network", "ipc", "uts", "mount", "cgroup", "time"].map { ["type": $0] }
            $0["timeOffsets"] = ["boottime": ["secs": 1_000_000]]
            $0["memoryPolicy"] = ["mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]]
            $0["personality"] = ["domain": "LINUX32"]
        }
        let outcome = try bundle.runScript(
            "set -- $(cat /proc/$$/stat); echo policy ${41} nice ${19}; busybox ionice -p $$; grep -o -m1 'interleave=static:0' /proc/self/numa_maps; uname -m; awk '{print ($1 > 1000000)}' /proc/uptime")
        #expect(outcome.text == "policy 3 nice 5\nidle\ninterleave=static:0\ni686\n1\n", "\(outcome.text)\(outcome.errorText)")
        try bundle.expectNothingLeft()
    }

    @Test("a further process runs on the CPUs that it asks for, which are the machine's")
    func execCPUAffinity() throws {
        let bundle = try Bundle(["sleep", "1000"])
        bundle.configuration["vm"] = ["kernel": ["path": Nacelle.stage + "/guest/vmlinux", "parameters": ["nacelle.test=two words", "quiet"]], "hwConfig": ["vcpus": 2, "memory": 192 << 20]]
        bundle.process { $0["execCPUAffinity"] = ["initial": "0", "final": "1"] }
        try bundle.save()
        #expect(try bundle.nacelle("run", "--detach", "--bundle", bundle.path, "c").status == 0)
        let inherited = try bundle.nacelle("exec", "c", "sh", "-c", "grep Cpus_allowed_list /proc/self/status; nproc; cat /proc/cmdline; awk '/MemTotal/{print ($2 < 192*1024 && $2 > 128*1024)}' /proc/meminfo")
        let lines = inherited.text.split(separator: "\n")
        #expect(lines.prefix(2) == ["Cpus_allowed_list:\t1", "1"] && lines.last == "1", "\(inherited.text)\(inherited.errorText)")
        #expect(inherited.text.contains("\"nacelle.test=two words\" quiet"), "\(inherited.text)")
        var process = bundle.configuration["process"] as? [String: Any] ?? [:]
        process["args"] = ["grep", "Cpus_allowed_list", "/proc/self/status"]
        process["execCPUAffinity"] = ["final": "0-1"]
        try JSONSerialization.data(withJSONObject: process).write(to: URL(fileURLWithPath: bundle.path + "/process.json"))
        let own = try bundle.nacelle("exec", "--process", bundle.path + "/process.json", "c")
        #expect(own.text == "Cpus_allowed_list:\t0-1\n", "\(own.errorText)")
        process["execCPUAffinity"] = ["final": "7"]
        try JSONSerialization.data(withJSONObject: process).write(to: URL(fileURLWithPath: bundle.path + "/process.json"))
        let absent = try bundle.nacelle("exec", "--process", bundle.path + "/process.json", "c")
        #expect(absent.status == 255 && absent.errorText.contains("process.execCPUAffinity.final: CPUs 7: "), "\(absent.errorText)")
        #expect(try bundle.nacelle("delete", "--force", "c").status == 0)
        try bundle.expectNothingLeft()
    }

    @Test("mounts: recursive options, propagation, tmpcopyup, file over file, a relative destination, links in the image")
    func mounts() throws {
        let bundle = try Bundle()
        try shell("mkdir -p \(bundle.path)/volume/sub \(bundle.rootfs)/copied \(bundle.rootfs)/real; echo in > \(bundle.path)/volume/sub/file; echo c > \(bundle.rootfs)/copied/c; ln -s /real/deep \(bundle.rootfs)/link; chmod 710 \(bundle.rootfs)/copied; echo old > \(bundle.rootfs)/file")
        bundle.linux { $0["rootfsPropagation"] = "shared" }
        bundle.mount("/volume", source: bundle.path + "/volume", options: ["rbind", "rro", "rnosuid", "rnodev", "rnoexec", "rprivate"])
        bundle.mount("/copied", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup", "nosymfollow"])
        bundle.mount("/file", source: bundle.path + "/volume/sub/file", options: ["bind", "ro"])
        bundle.mount("relative", type: "tmpfs", source: "tmpfs", options: ["mode=700", "strictatime", "unbindable"])
        bundle.mount("/link/er", type: "tmpfs", source: "tmpfs", options: ["size=1m"])
        let outcome = try bundle.runScript(
            """
            cat /volume/sub/file /copied/c /file; stat -c %a /copied /relative
            touch /volume/x 2>/dev/null || echo ro; touch /copied/new && echo rw
            grep ' / / ' /proc/self/mountinfo | grep -o shared
            awk '$5=="/volume"{print $6} $5=="/relative"{print $6, $7}' /proc/self/mountinfo
            awk '$5 ~ /real/{print $5}' /proc/self/mountinfo
            """)
        let lines = outcome.text.split(separator: "\n").map(String.init)
        #expect(Array(lines.prefix(8)) == ["in", "c", "in", "710", "700", "ro", "rw", "shared"], "\(outcome.text)\(outcome.errorText)")
        #expect(lines.dropFirst(8).first?.hasPrefix("ro,nosuid,nodev,noexec") == true, "\(outcome.text)")
        #expect(lines.contains("rw unbindable") && lines.last == "/real/deep/er", "\(outcome.text)")
        try bundle.expectNothingLeft()
    }

    @Test("seccomp with every flag that a filter without a listener can have")
    func seccomp() throws {
        let bundle = try Bundle()
        bundle.linux {
            $0["seccomp"] = [
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "listenerPath": "/run/nobody",
                "flags": ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
                "syscalls": [["names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 18]],
            ]
        }
        let outcome = try bundle.runScript("mkdir /tmp/x 2>&1; grep Seccomp: /proc/self/status")
        #expect(outcome.text == "mkdir: can't create directory '/tmp/x': Invalid cross-device link\nSeccomp:\t2\n", "\(outcome.text)\(outcome.errorText)")
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        var message: String
        var change: @Sendable (Bundle) throws -> Void
        var testDescription: String { message }
        init(_ message: String, _ change: @escaping @Sendable (Bundle) throws -> Void) { (self.message, self.change) = (message, change) }
    }

    static let refusals: [Refusal] = [
        Refusal("mounts[0].source: invalid mount source /dev/null: a character device of the host") { bundle in
            bundle.configuration["mounts"] = [["destination": "/n", "type": "bind", "source": "/dev/null", "options": ["bind"]]]
        },
        Refusal("/fifo: a FIFO of the host cannot be reached from a machine") { bundle in
            try shell("mkfifo \(bundle.path)/fifo")
            bundle.mount("/f", source: bundle.path + "/fifo")
        },
        Refusal("/socket: a Unix socket of the host cannot be reached from a machine") { bundle in
            try shell("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"\(bundle.path)/socket\")'")
            bundle.mount("/s", source: bundle.path + "/socket")
        },
        Refusal("uidMappings: the guest's kernel cannot map the owners") { bundle in
            let mapping = [["containerID": 0, "hostID": 0, "size": 1]]
            bundle.configuration["mounts"] = [["destination": "/m", "source": "/tmp", "options": ["bind", "idmap"], "uidMappings": mapping, "gidMappings": mapping]]
        },
        Refusal("linux.netDevices: a network device of the host") { bundle in bundle.linux { $0["netDevices"] = ["eth0": [:] as [String: Any]] } },
        Refusal("linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY: the listener belongs to the guest's kernel") { bundle in
            bundle.linux {
                $0["seccomp"] = ["defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x", "syscalls": [["names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"]]]
            }
        },
        Refusal("process.selinuxLabel: the guest's kernel has no SELinux") { bundle in bundle.process { $0["selinuxLabel"] = "a:b:c:s0" } },
        Refusal("linux.mountLabel: the guest's kernel has no SELinux") { bundle in bundle.linux { $0["mountLabel"] = "a:b:c:s0" } },
        Refusal("linux.intelRdt: no resctrl file system is mounted on this host") { bundle in bundle.linux { $0["intelRdt"] = ["closID": "x"] } },
        Refusal("linux.resources.network.classID: the guest has cgroup v2") { bundle in bundle.linux { $0["resources"] = ["network": ["classID": 7]] } },
        Refusal("linux.resources.memory.swappiness: cgroup v2 has no swappiness per group") { bundle in bundle.linux { $0["resources"] = ["memory": ["swappiness": 7]] } },
        Refusal("vm.image: is not supported") { bundle in bundle.configuration["vm"] = ["image": ["path": "/i", "format": "raw"]] },
        Refusal("vm.hwConfig.memory: a machine's memory of 1 MiB is too small") { bundle in bundle.configuration["vm"] = ["hwConfig": ["memory": 1 << 20]] },
    ]

    @Test("what a machine cannot do is refused by its path, with the reason, and nothing stays", arguments: refusals)
    func refused(_ refusal: Refusal) throws {
        let bundle = try Bundle(["true"])
        try refusal.change(bundle)
        let outcome = try bundle.runContainer()
        #expect(outcome.status == 1)
        #expect(outcome.errorText.contains(refusal.message), "\(outcome.errorText)")
        try bundle.expectNothingLeft()
    }
}
