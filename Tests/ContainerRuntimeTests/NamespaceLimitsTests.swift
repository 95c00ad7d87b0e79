import Foundation
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

extension NamespaceTests { @Suite("Limits in namespaces of this host", .requiresProgram)
struct LimitsTests {
    private static let idle = "while :; do sleep 0.05; done"

    @Test("update changes the group's limits, and later ones start from it")
    func update() throws {
        let bundle = try HostBundle(Self.idle)
        #expect(try bundle.oci("run", "-d", "c").status == 0)
        func update(_ flags: String...) throws -> String {
            let command = try HostCommand(bundle, ["update"] + flags + ["c"])
            command.wait()
            return command.error
        }
        #expect(try update("--memory", "64m", "--memory-swap", "96m", "--pids-limit", "30", "--cpu-quota", "20000") == "")
        var figures = try bundle.container().statistics()
        #expect(figures.memory.usage.limit == 64 << 20 && figures.memory.swap.limit == 96 << 20 && figures.pids.limit == 30)
        // Below memory and swap together as they are: that stays in the way, as it is known.
        #expect(try update("--memory", "128m") != "")
        #expect(try bundle.container().statistics().memory.usage.limit == 64 << 20)
        #expect(try update("--memory", "32m") == "")
        #expect(try update("--memory", "256m", "--memory-swap", "512m", "--pids-limit", "-1") == "")
        figures = try bundle.container().statistics()
        #expect(figures.memory.usage.limit == 256 << 20 && figures.memory.swap.limit == 512 << 20 && figures.pids.limit == 0)
        #expect(try update("--cpu-period", "50000") == "")
        #expect(try quota(bundle) == "20000 50000")
        #expect(try update("--memory", "128m", "--cpuset-cpus", "nonsense").contains("linux.resources.cpu.cpus: "))
        // What only the kernel refuses comes after the memory is set.
        #expect(try update("--memory", "128m", "--cpuset-cpus", "4000").contains("cpuset.cpus: "))
        #expect(try bundle.container().statistics().memory.usage.limit == 256 << 20)
        let kept = try bundle.container().state.configuration().linux?.resources
        #expect(kept?.memory?.limit == 256 << 20 && kept?.cpu?.period == 50000 && kept?.cpu?.quota == 20000 && kept?.cpu?.cpus == nil)
        // Devices are as before: what was allowed still is.
        #expect(try bundle.oci("exec", "c", "sh", "-c", "echo x >/dev/null && head -c 1 /dev/zero | wc -c").output == "1\n")
        #expect(try bundle.oci("pause", "c").status == 0)
        #expect(try update("--pids-limit", "40") == "")
        #expect(try bundle.oci("events", "--stats", "c").output.contains("\"limit\":40}"))
        #expect(try bundle.oci("delete", "-f", "c").status == 0)
        bundle.expectNothingLeft()
    }

    /// Quota and period.
    private func quota(_ bundle: HostBundle) throws -> String {
        for directory in bundle.groups {
            if let text = try? String(contentsOfFile: directory + "/cpu.max", encoding: .utf8) { return text.trimmingCharacters(in: .whitespacesAndNewlines) }
            let files = ["cpu.cfs_quota_us", "cpu.cfs_period_us"].compactMap { try? String(contentsOfFile: directory + "/" + $0, encoding: .utf8) }
            if files.count == 2 { return files.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }.joined(separator: " ") }
        }
        return ""
    }

    @Test("events: figures in runc's words, kills for want of memory, and an end with the container")
    func events() throws {
        let bundle = try HostBundle(Self.idle)
        var memory = ResourcesSpec.MemorySpec()
        (memory.limit, memory.swap) = (24 << 20, 24 << 20)
        bundle.fixture.spec.linux?.resources?.memory = memory
        try bundle.fixture.save()
        #expect(try bundle.oci("run", "-d", "c").status == 0)
        let once = try bundle.oci("events", "--stats", "c")
        let figures = try #require(try JSONSerialization.jsonObject(with: Data(once.output.utf8)) as? [String: Any])
        let data = try #require(figures["data"] as? [String: Any])
        #expect(figures["type"] as? String == "stats" && figures["id"] as? String == "c")
        #expect(Set(data.keys) == ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"])
        #expect(((data["memory"] as? [String: Any])?["usage"] as? [String: Any])?["limit"] as? Int == 24 << 20, "\(once)")
        #expect(((data["pids"] as? [String: Any])?["current"] as? Int ?? 0) >= 1)
        let stream = try HostCommand(bundle, ["events", "--interval", "50ms", "c"])
        eventually("figures") { stream.output.contains("\"type\":\"stats\"") }
        // Nothing has been killed yet.
        #expect(!stream.output.contains("oom"))
        let greedy = try bundle.oci("exec", "c", "sh", "-c", "x=$(head -c 60000000 /dev/zero | tr '\\0' x)")
        #expect(greedy.status == 137, "\(greedy)")
        eventually("the kill is reported") { stream.output.contains("{\"type\":\"oom\",\"id\":\"c\"}\n") }
        #expect(stream.process.isRunning)
        #expect(try bundle.oci("kill", "c", "KILL").status == 0)
        #expect(stream.wait() == 0 && stream.error == "", "\(stream.error)")
        #expect(try bundle.oci("events", "c").error.contains("container with id c is not running"))
        #expect(try bundle.oci("delete", "c").status == 0)
        bundle.expectNothingLeft()
    }

    @Test("exec --cgroup puts the process into a group below the container's")
    func execGroup() throws {
        let bundle = try HostBundle(Self.idle)
        #expect(try bundle.oci("run", "-d", "c").status == 0)
        let groups = bundle.groups
        let isUnified = groups == ["/sys/fs/cgroup" + bundle.controlGroup]
        let group = try #require(groups.first { isUnified || $0.contains("/pids/") })
        try FileManager.default.createDirectory(atPath: group + "/inner", withIntermediateDirectories: false)
        let outcome = try bundle.oci("exec", "--cgroup", isUnified ? "inner" : "pids:inner", "c", "sh", "-c", "cat /proc/self/cgroup")
        #expect(outcome.status == 0 && outcome.output.contains("/inner\n"), "\(outcome)")
        #expect(try !bundle.oci("exec", "c", "cat", "/proc/self/cgroup").output.contains("/inner"))
        for path in ["absent", "../x"] {
            let refused = try bundle.oci("exec", "--cgroup", isUnified ? path : "pids:" + path, "c", "true")
            #expect(refused.status == 255 && refused.error.contains(path == "absent" ? "/absent/cgroup.procs: no such file or directory" : "bad sub cgroup path: ../x"), "\(refused)")
        }
        #expect(try bundle.oci("delete", "-f", "c").status == 0)
        bundle.expectNothingLeft()
    }

    @Test("without a pid namespace of its own KILL is for every process")
    func killWithoutNamespace() throws {
        let bundle = try HostBundle("sleep 77 & sleep 78")
        bundle.fixture.spec.linux?.namespaces.removeAll { $0.type == .pid }
        try bundle.fixture.save()
        #expect(try bundle.oci("run", "-d", "c").status == 0)
        eventually("both run") { bundle.processCount >= 2 }
        #expect(try bundle.oci("kill", "c", "KILL").status == 0)
        eventually("nothing is left") { bundle.processCount == 0 }
        #expect(try bundle.oci("delete", "c").status == 0)
        bundle.expectNothingLeft()
    }

    @Test("kill --all reaches what has outlived the container's process")
    func killAllStopped() throws {
        let bundle = try HostBundle("sleep 77 & exit 0")
        bundle.fixture.spec.linux?.namespaces.removeAll { $0.type == .pid }
        try bundle.fixture.save()
        #expect(try bundle.oci("run", "-d", "c").status == 0)
        eventually("the end") { (try? bundle.container().currentState().status) == .stopped }
        #expect(bundle.processCount == 1)
        #expect(try bundle.oci("kill", "--all", "c", "KILL").status == 0)
        eventually("nothing is left") { bundle.processCount == 0 }
        #expect(try bundle.oci("delete", "c").status == 0)
        bundle.expectNothingLeft()
    }
}}

extension HostBundle {
    /// Of the container's control group, on this host.
    fileprivate var processCount: Int {
        groups.compactMap { try? String(contentsOfFile: $0 + "/cgroup.procs", encoding: .utf8) }.map { $0.split(separator: "\n").count }.max() ?? 0
    }
}
