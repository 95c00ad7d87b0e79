import Foundation
import Glibc
import Testing

/// A sentence of the specification and what a container must find for it to hold.
struct Must: Sendable, CustomTestStringConvertible {
    var sentence: String
    var key: String
    var expected: String
    var testDescription: String { sentence }
    init(_ sentence: String, _ key: String, _ expected: String) { (self.sentence, self.key, self.expected) = (sentence, key, expected) }
}

extension ConformanceTests { @Suite("config.md and config-linux.md: what a container finds")
struct ConfigTests {
    private static let processMusts: [Must] = [
        Must("config.md, Process: args are the program's, all of them and unchanged", "args", "zero|one two||2"),
        Must("config.md, Process: cwd is the working directory", "pwd", "/work"),
        Must("config.md, Process: env is the environment, values with `=` in them whole", "env", "one=two three"),
        Must("config.md, POSIX process: rlimits are set, soft and hard", "nofile", "100 200"),
        Must("config.md, Linux process: noNewPrivileges is in force", "status.NoNewPrivs", "1"),
        Must("config.md, Linux process: oomScoreAdj is set", "oom", "100"),
        Must("config.md, Linux process: the effective capabilities are those listed", "status.CapEff", "0000000000000020"),
        Must("config.md, Linux process: the permitted capabilities are those listed", "status.CapPrm", "0000000000000020"),
        Must("config.md, Linux process: the inheritable capabilities are those listed", "status.CapInh", "0000000000000020"),
        Must("config.md, Linux process: the bounding set is the one listed", "status.CapBnd", "0000000000000421"),
        Must("config.md, Linux process: the ambient capabilities are those listed", "status.CapAmb", "0000000000000020"),
        Must("config.md, User: uid", "uid", "5"),
        Must("config.md, User: gid", "gid", "6"),
        Must("config.md, User: additionalGids are added", "groups", "6 7 8"),
        Must("config.md, User: umask", "umask", "0027"),
        Must("config.md, Hostname: it is the one seen by processes inside", "hostname", "conform"),
        Must("config.md, Domainname: it is the one seen by processes inside", "domainname", "example.test"),
    ]
    private static let mountMusts: [Must] = [
        Must("config.md, Root: readonly makes the root read-only inside", "write.root", "no"),
        Must("config.md, Mounts: they are made in the listed order", "type./scratch/inner", "tmpfs"),
        Must("config.md, Mounts: the type is the file system's", "type./scratch", "tmpfs"),
        Must("config.md, Mounts: a bind shows its source", "read.readonlyVolume", "yes"),
        Must("config.md, Mounts: `rw` lets write, although the root is read-only", "write.volume", "yes"),
        Must("config.md, Mounts: `ro` is in force on a bind", "write.readonlyVolume", "no"),
        Must("config-linux.md, Default Filesystems: /proc is a proc", "type./proc", "proc"),
        Must("config-linux.md, Default Filesystems: /sys is a sysfs", "type./sys", "sysfs"),
        Must("config-linux.md, Default Filesystems: /dev/pts is a devpts", "type./dev/pts", "devpts"),
        Must("config-linux.md, Default Filesystems: /dev/shm is a tmpfs", "type./dev/shm", "tmpfs"),
    ]
    private static let linuxMusts: [Must] = [
        Must("config-linux.md, Default Devices: /dev/null", "device.null", "character special file 1:3 666"),
        Must("config-linux.md, Default Devices: /dev/zero", "device.zero", "character special file 1:5 666"),
        Must("config-linux.md, Default Devices: /dev/full", "device.full", "character special file 1:7 666"),
        Must("config-linux.md, Default Devices: /dev/random", "device.random", "character special file 1:8 666"),
        Must("config-linux.md, Default Devices: /dev/urandom", "device.urandom", "character special file 1:9 666"),
        Must("config-linux.md, Default Devices: /dev/tty", "device.tty", "character special file 5:0 666"),
        Must("config-linux.md, Default Devices: /dev/ptmx leads to the container's own devpts", "link.ptmx", "pts/ptmx"),
        Must("config-linux.md, Default Devices: they may be used, whatever the rules deny", "use.null", "yes"),
        Must("runtime-linux.md, Dev symbolic links: /dev/fd", "link.fd", "/proc/self/fd"),
        Must("runtime-linux.md, Dev symbolic links: /dev/stdin", "link.stdin", "/proc/self/fd/0"),
        Must("runtime-linux.md, Dev symbolic links: /dev/stdout", "link.stdout", "/proc/self/fd/1"),
        Must("runtime-linux.md, Dev symbolic links: /dev/stderr", "link.stderr", "/proc/self/fd/2"),
        Must("config-linux.md, Devices: type, numbers, mode and owner are those listed", "device.conform", "character special file 1:5 640 5 6"),
        Must("config-linux.md, Devices: a FIFO, in a folder that is made for it", "device.fifo", "fifo 600 5 6"),
        Must("config-linux.md, Namespaces: a new pid namespace begins with the container's process", "pid", "1"),
        Must("config-linux.md, Sysctl: they are set at runtime", "sysctl", "1 123456"),
        Must("config-linux.md, Seccomp: the filter is in force", "status.Seccomp", "2"),
        Must("config-linux.md, Seccomp: errnoRet is what a refused call returns", "seccomp", "No space left"),
        Must("config-linux.md, Masked Paths: a file cannot be read", "masked.file", "0"),
        Must("config-linux.md, Masked Paths: a folder cannot be listed", "masked.directory", "0"),
        Must("config-linux.md, Readonly Paths: nothing below can be written", "write.readonlyPath", "no"),
        Must("config-linux.md, Readonly Paths: /proc/sys", "write.sysctl", "no"),
    ]

    @Test("config.md, Process, User, Hostname", arguments: Isolation.available, processMusts)
    func process(_ isolation: Isolation, _ must: Must) throws { try expect(isolation, must) }

    @Test("config.md, Root, Mounts; Default Filesystems", arguments: Isolation.available, mountMusts)
    func mounts(_ isolation: Isolation, _ must: Must) throws { try expect(isolation, must) }

    @Test("config-linux.md", arguments: Isolation.available, linuxMusts)
    func linux(_ isolation: Isolation, _ must: Must) throws { try expect(isolation, must) }

    private func expect(_ isolation: Isolation, _ must: Must) throws {
        let facts = try Facts.of(isolation)
        #expect(facts[must.key] == must.expected, "\(must.sentence)\n\(facts.text)")
    }

    @Test("config.md, Mounts: the options of the file system reach it", arguments: Isolation.available)
    func options(_ isolation: Isolation) throws {
        let options = Set((try Facts.of(isolation)["options.scratch"] ?? "").split(separator: ","))
        #expect(options.isSuperset(of: ["rw", "noexec", "nosuid", "nodev", "size=1024k"]), "\(options)")
    }

    @Test("config.md, Process: the environment has nothing of the runtime's", arguments: Isolation.available)
    func environment(_ isolation: Isolation) throws {
        let counts = (try Facts.of(isolation)["variables"] ?? "").components(separatedBy: " of ")
        #expect(counts.count == 2 && counts[0] == counts[1], "\(counts)")
    }

    @Test("config.md, Extensibility and Annotations: unknown fields and keys are no error", arguments: Isolation.available)
    func unknown(_ isolation: Isolation) throws { #expect(try Facts.of(isolation)["uid"] == "5") }

    @Test("config.md: values that the kernel has not are an error", arguments: Isolation.available, [
        (#"{"type":"RLIMIT_TEST","soft":1,"hard":1}"#, "rlimits", "process.rlimits[0].type"), (#""CAP_TEST""#, "capabilities", "process.capabilities.bounding[0]"),
    ])
    func invalid(_ isolation: Isolation, _ change: (value: String, field: String, path: String)) throws {
        let bundle = try Bundle(["true"])
        let value = try JSONSerialization.jsonObject(with: Data(change.value.utf8), options: .fragmentsAllowed)
        bundle.process { $0[change.field] = change.field == "rlimits" ? [value] : ["bounding": [value]] }
        try bundle.save()
        let outcome = try bundle.oci(isolation, "create", "--bundle", bundle.path, "c")
        #expect(outcome.status == 1 && outcome.errorText.contains(change.path), "\(outcome.errorText)")
        try bundle.expectNothingLeft()
    }
}}
