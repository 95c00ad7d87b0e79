extension RuntimeSpec {
    /// What `spec` writes: the configuration that runc users know, for a shell on a terminal.
    public static func example(rootless: Bool = false) -> RuntimeSpec {
        var spec = RuntimeSpec()
        spec.ociVersion = "1.2.1"
        spec.process = exampleProcess()
        spec.root = RootSpec(path: "rootfs", readonly: true)
        spec.hostname = "nacelle"
        spec.mounts = exampleMounts()
        spec.linux = exampleLinux()
        if rootless { spec.makeRootless() }
        return spec
    }

    private static func exampleProcess() -> ProcessSpec {
        var process = ProcessSpec()
        process.terminal = true
        process.args = ["sh"]
        process.env = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"]
        process.cwd = "/"
        let names = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
        var sets = CapabilitySets()
        (sets.bounding, sets.effective, sets.permitted, sets.ambient) = (names, names, names, names)
        process.capabilities = sets
        var files = RlimitSpec()
        (files.type, files.soft, files.hard) = ("RLIMIT_NOFILE", 1024, 1024)
        process.rlimits = [files]
        process.noNewPrivileges = true
        return process
    }

    private static func exampleMounts() -> [MountSpec] {
        [
            MountSpec(destination: "/proc", type: "proc", source: "proc"),
            MountSpec(destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            MountSpec(destination: "/dev/pts", type: "devpts", source: "devpts", options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            MountSpec(destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            MountSpec(destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"]),
            MountSpec(destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"]),
            MountSpec(destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ]
    }

    private static func exampleLinux() -> LinuxSpec {
        var linux = LinuxSpec()
        linux.namespaces = [.pid, .network, .ipc, .uts, .mount, .cgroup].map { NamespaceSpec($0) }
        var denyAll = ResourcesSpec.DeviceRuleSpec()
        denyAll.access = "rwm"
        var resources = ResourcesSpec()
        resources.devices = [denyAll]
        linux.resources = resources
        linux.maskedPaths = [
            "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
            "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
        ]
        linux.readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        return linux
    }

    /// For an ordinary user: a user namespace, no network namespace of its own, no cgroup limits, /sys from the host.
    private mutating func makeRootless() {
        linux?.namespaces.removeAll { $0.type == .network || $0.type == .user }
        linux?.namespaces.append(NamespaceSpec(.user))
        var mapping = IDMappingSpec()
        mapping.size = 1
        linux?.uidMappings = [mapping]
        linux?.gidMappings = [mapping]
        linux?.resources = nil
        for index in mounts.indices {
            mounts[index].options.removeAll { $0.hasPrefix("gid=") || $0.hasPrefix("uid=") }
            if mounts[index].destination == "/sys" {
                mounts[index] = MountSpec(destination: "/sys", type: "none", source: "/sys", options: ["rbind", "nosuid", "noexec", "nodev", "ro"])
            }
        }
    }
}
