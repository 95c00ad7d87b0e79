import Foundation
import Glibc
import Synchronization
import Testing

/// Both ways to keep a container apart: what the specification says holds in either.
enum Isolation: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case namespace, microvm
    var testDescription: String { rawValue }

    /// Those that this machine can do. With REQUIRE_KVM=1, `RequirementTests` fails where machines are missing.
    static let available: [Isolation] = canRun ? (Nacelle.canRun ? [.namespace, .microvm] : [.namespace]) : []
    static let canRun = geteuid() == 0 && FileManager.default.isExecutableFile(atPath: Nacelle.program)
}

extension Trait where Self == ConditionTrait {
    static var requiresRoot: Self { .enabled(if: Isolation.canRun, "needs root and built programs (NACELLE_STAGE)") }
}

/// What the specification (1.3.0) says of containers, a test for each MUST that opencontainers/runtime-tools' programs cover and no other test
/// of ours does (docs/testing.md, "Conformance"). One after another: each container is one machine.
@Suite("Conformance", .serialized, .requiresRoot)
struct ConformanceTests {}

extension Bundle {
    /// nacelle-oci with an isolation.
    func oci(_ isolation: Isolation, _ arguments: String..., input: Data? = nil) throws -> Outcome {
        try run(Nacelle.program, ["--root", root, "--isolation", isolation.rawValue] + arguments, input: input)
    }

    /// Saves the configuration and creates the container `c`.
    func create(_ isolation: Isolation, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try save()
        let outcome = try oci(isolation, "create", "--bundle", path, "c")
        #expect(outcome.status == 0, "\(outcome.errorText)", sourceLocation: sourceLocation)
    }

    func start(_ isolation: Isolation, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let outcome = try oci(isolation, "start", "c")
        #expect(outcome.status == 0, "\(outcome.errorText)", sourceLocation: sourceLocation)
    }

    func waitForStatus(_ status: String) throws { try eventually("the container is \(status)") { try self.status() == status } }

    /// A script that holds until a signal, which `trap` answers.
    static func waiting(_ prelude: String = ":") -> [String] { ["sh", "-c", "\(prelude); while :; do sleep 0.1; done"] }
}

/// What a container found out about itself: `key=value` lines. One container an isolation serves all tests.
struct Facts {
    private let values: [String: String]
    let text: String

    subscript(key: String) -> String? { values[key] }

    init(_ text: String) {
        self.text = text
        var values: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { values[String(parts[0])] = String(parts[1]) }
        }
        self.values = values
    }

    private static let known = Mutex<[Isolation: Facts]>([:])

    static func of(_ isolation: Isolation) throws -> Facts {
        if let facts = known.withLock({ $0[isolation] }) { return facts }
        let bundle = try configured()
        try bundle.save()
        let outcome = try bundle.oci(isolation, "run", "--bundle", bundle.path, "c")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        try bundle.expectNothingLeft()
        let facts = Facts(outcome.text)
        known.withLock { $0[isolation] = facts }
        return facts
    }

    /// A configuration that uses as much of the specification as one container can.
    private static func configured() throws -> Bundle {
        let bundle = try Bundle(["sh", "-c", script, "zero", "one two", ""])
        try shell(
            """
            cd \(bundle.rootfs) && mkdir work masked-dir readonly-dir writable-dir volume volume-ro scratch && chmod 777 work readonly-dir writable-dir
            echo secret > masked-file && touch masked-dir/file && mkdir -m 777 \(bundle.path)/volume \(bundle.path)/volume-ro && echo here > \(bundle.path)/volume-ro/file
            """)
        bundle.root { $0["readonly"] = true }
        bundle.configuration["hostname"] = "conform"
        bundle.configuration["domainname"] = "example.test"
        bundle.configuration["unknownField"] = ["a": 1]
        bundle.configuration["annotations"] = ["org.example.unknown": "", "org.example.key": "v"]
        bundle.process {
            $0["user"] = ["uid": 5, "gid": 6, "umask": 0o027, "additionalGids": [7, 8]] as [String: Any]
            $0["env"] = ["PATH=/bin", "CONFORM=one=two three"]
            $0["cwd"] = "/work"
            $0["rlimits"] = [["type": "RLIMIT_NOFILE", "soft": 100, "hard": 200]]
            let kill = ["CAP_KILL"]
            $0["capabilities"] = ["bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"], "effective": kill, "permitted": kill, "inheritable": kill, "ambient": kill]
            $0["noNewPrivileges"] = true
            $0["oomScoreAdj"] = 100
        }
        bundle.mount("/volume", source: bundle.path + "/volume", options: ["bind", "rw"])
        bundle.mount("/volume-ro", source: bundle.path + "/volume-ro", options: ["bind", "ro"])
        bundle.mount("/scratch", type: "tmpfs", source: "tmpfs", options: ["size=1m", "mode=1777", "noexec", "nosuid", "nodev"])
        bundle.mount("/scratch/inner", type: "tmpfs", source: "tmpfs", options: ["mode=1777"])
        bundle.linux {
            $0["sysctl"] = ["net.ipv4.ip_forward": "1", "kernel.shmmax": "123456"]
            $0["maskedPaths"] = ["/masked-file", "/masked-dir", "/not-there"]
            $0["readonlyPaths"] = ["/proc/sys", "/writable-dir", "/not-there"]
            $0["devices"] = [
                ["path": "/dev/conform", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 5, "gid": 6],
                ["path": "/dev/sub/fifo", "type": "p", "fileMode": 0o600, "uid": 5, "gid": 6],
            ]
            $0["resources"] = ["devices": [["allow": false, "access": "rwm"]], "pids": ["limit": 50]] as [String: Any]
            $0["seccomp"] = [
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [["names": ["link", "linkat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28]],
            ] as [String: Any]
        }
        return bundle
    }

    private static let script = #"""
        say() { echo "$1=$2"; }
        try() { name=$1; shift; if sh -c "$*" > /dev/null 2>&1; then say $name yes; else say $name no; fi; }
        say args "$0|$1|$2|$#"
        say pid $$
        say uid $(id -u); say gid $(id -g); say groups "$(id -G)"; say umask $(umask); say pwd $(pwd)
        say env "$CONFORM"; say variables "$(env | grep -cE '^(PATH|CONFORM|HOME|PWD|SHLVL)=') of $(env | wc -l)"
        say nofile "$(ulimit -S -n) $(ulimit -H -n)"
        say oom $(cat /proc/self/oom_score_adj)
        while read key value; do say status.${key%:} "$value"; done < /proc/self/status
        say hostname "$(hostname)"; say domainname "$(cat /proc/sys/kernel/domainname)"
        try write.root 'echo x > /work/file'
        try write.readonlyPath 'echo x > /writable-dir/file'
        try write.sysctl 'echo 0 > /proc/sys/net/ipv4/ip_forward'
        try write.volume 'echo written > /volume/file'
        try write.readonlyVolume 'echo x > /volume-ro/file'
        try read.readonlyVolume 'grep here /volume-ro/file'
        try write.scratch 'echo x > /scratch/file'
        try write.inner 'echo x > /scratch/inner/file'
        say masked.file "$(cat /masked-file | wc -c)"; say masked.directory "$(ls /masked-dir | wc -l)"
        for path in /proc /sys /dev/pts /dev/shm /scratch /scratch/inner; do say "type.$path" "$(grep " $path " /proc/mounts | tail -1 | cut -d' ' -f3)"; done
        say options.scratch "$(grep ' /scratch ' /proc/mounts | cut -d' ' -f4)"
        for name in null zero full random urandom tty; do say device.$name "$(stat -c '%F %t:%T %a' /dev/$name)"; done
        say device.conform "$(stat -c '%F %t:%T %a %u %g' /dev/conform)"; say device.fifo "$(stat -c '%F %a %u %g' /dev/sub/fifo)"
        for name in fd stdin stdout stderr ptmx; do say link.$name "$(readlink /dev/$name)"; done
        try use.null 'echo x > /dev/null && head -c 4 /dev/zero && head -c 1 /dev/urandom'
        say sysctl "$(cat /proc/sys/net/ipv4/ip_forward) $(cat /proc/sys/kernel/shmmax)"
        say seccomp "$(touch /scratch/a; ln /scratch/a /scratch/b 2>&1 | grep -o 'No space left')"
        """#
}
