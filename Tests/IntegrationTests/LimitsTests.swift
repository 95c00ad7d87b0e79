import Foundation
import Glibc
import Testing

@Suite("Limits and figures of a container in a machine", .requiresKVM, .serialized)
struct LimitsTests {
    /// A running container that can make control groups below its own, with a limit of 40 MiB.
    private func running() throws -> Bundle {
        let bundle = try Bundle(["sleep", "1000"])
        let mounts = bundle.configuration["mounts"] as? [[String: Any]] ?? []
        bundle.configuration["mounts"] = mounts.map { mount in
            var mount = mount
            if mount["type"] as? String == "cgroup" { mount["options"] = (mount["options"] as? [String] ?? []).filter { $0 != "ro" } }
            return mount
        }
        // A cpuset names the host's processors, of which the machine need not have as many.
        let last = max(0, sysconf(Int32(_SC_NPROCESSORS_ONLN)) - 1)
        bundle.linux { $0["resources"] = ["memory": ["limit": 40 << 20, "swap": 40 << 20], "cpu": ["cpus": "\(last)"], "devices": [["allow": false, "access": "rwm"]]] }
        try bundle.save()
        let outcome = try bundle.nacelle("run", "--detach", "--bundle", bundle.path, "c")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        return bundle
    }

    private func inside(_ bundle: Bundle, _ files: String...) throws -> [String] {
        let outcome = try bundle.nacelle("exec", "c", "sh", "-c", "cd /sys/fs/cgroup; cat \(files.joined(separator: " "))")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        return outcome.text.split(separator: "\n").map(String.init)
    }

    /// A file of the machine's control group on the host, of version 2 or 1.
    private func outside(_ bundle: Bundle, _ names: String...) throws -> String? {
        for line in try String(contentsOfFile: "/proc/\(try bundle.pid())/cgroup", encoding: .utf8).split(separator: "\n") {
            guard let path = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).last else { continue }
            for folder in [""] + ((try? FileManager.default.contentsOfDirectory(atPath: "/sys/fs/cgroup")) ?? []).map({ "/" + $0 }) {
                for name in names {
                    if let text = try? String(contentsOfFile: "/sys/fs/cgroup\(folder)\(path)/\(name)", encoding: .utf8) { return text.trimmingCharacters(in: .newlines) }
                }
            }
        }
        return nil
    }

    @Test("update changes the guest's limits and the host's, and refuses what the machine does not have")
    func update() throws {
        let bundle = try running()
        #expect(try inside(bundle, "memory.max", "memory.swap.max", "pids.max") == ["\(40 << 20)", "0", "max"])
        let memory = try outside(bundle, "memory.max", "memory.limit_in_bytes")
        let updated = try bundle.nacelle(
            "update", "--memory", "30m", "--memory-swap", "50m", "--pids-limit", "33", "--cpu-quota", "90000", "--cpu-share", "512", "--blkio-weight", "100", "c")
        #expect(updated.status == 0 && updated.errorText == "", "\(updated.errorText)")
        #expect(try inside(bundle, "memory.max", "memory.swap.max", "pids.max", "cpu.max", "cpu.weight") == ["\(30 << 20)", "\(20 << 20)", "33", "90000 100000", "20"])
        // The machine's own allowance stays; what runs it has the quota as well.
        #expect(try outside(bundle, "memory.max", "memory.limit_in_bytes") == memory)
        #expect(try outside(bundle, "cpu.max", "cpu.cfs_quota_us")?.hasPrefix("90000") == true)
        #expect(try outside(bundle, "pids.max") == "max")
        #expect(try bundle.nacelle("update", "--cpu-quota", "-1", "--cpu-period", "50000", "c").status == 0)
        #expect(try inside(bundle, "cpu.max") == ["max 50000"])
        #expect(try bundle.nacelle("update", "--memory", "-1", "c").status == 0)
        #expect(try inside(bundle, "memory.max", "memory.swap.max") == ["max", "max"])
        let tooMuch = try bundle.nacelle("update", "--memory", "500m", "c")
        #expect(tooMuch.status == 1 && tooMuch.errorText.contains("linux.resources.memory.limit: 524288000 bytes are more than the 88 MiB that the running machine has"), "\(tooMuch.errorText)")
        // What the host refuses or, then, the guest, changes nothing, there or here.
        let burst = try bundle.nacelle("update", "--cpu-quota", "40000", "--pids-limit", "44", "--cpu-burst", "90000", "c")
        #expect(burst.status == 1 && burst.errorText.contains("linux.resources.cpu.burst: is greater than cpu.quota"), "\(burst.errorText)")
        let high = try bundle.nacelle("update", "-r", "-", "c", input: Data(#"{"cpu":{"quota":40000},"pids":{"limit":44},"unified":{"memory.high":"nonsense"}}"#.utf8))
        #expect(high.status == 1 && high.errorText.contains("cgroup: write nonsense /sys/fs/cgroup/container/memory.high: invalid argument"), "\(high.errorText)")
        #expect(try inside(bundle, "cpu.max", "pids.max") == ["max 50000", "33"])
        #expect(try outside(bundle, "cpu.max", "cpu.cfs_quota_us").map { $0.hasPrefix("max") || $0 == "-1" } == true)
        // Devices are as they were.
        #expect(try bundle.nacelle("exec", "c", "sh", "-c", "head -c 1 /dev/zero | wc -c; mknod /tmp/m c 1 11; cat /tmp/m").text == "1\n")
        #expect(try bundle.nacelle("pause", "c").status == 0)
        #expect(try bundle.nacelle("update", "--pids-limit", "9", "c").errorText.contains("container is paused"))
        #expect(try bundle.nacelle("delete", "--force", "c").status == 0)
        try bundle.expectNothingLeft()
    }

    @Test("events: the guest's figures, kills for want of memory, the one that ends the container included")
    func events() throws {
        let bundle = try running()
        let once = try bundle.nacelle("events", "--stats", "c")
        let event = try #require(try JSONSerialization.jsonObject(with: once.output) as? [String: Any], "\(once.text)\(once.errorText)")
        let data = try #require(event["data"] as? [String: Any])
        let memory = try #require(data["memory"] as? [String: Any])
        #expect((memory["usage"] as? [String: Any])?["limit"] as? Int == 40 << 20 && (memory["raw"] as? [String: Any])?["anon"] is Int)
        #expect((data["pids"] as? [String: Any])?["current"] as? Int == 1)
        #expect((((data["cpu"] as? [String: Any])?["usage"] as? [String: Any])?["total"] as? Int ?? 0) > 0)
        let stream = try bundle.start("events", "--interval", "500ms", "c")
        // More than the limit in a tmpfs, which cannot be reclaimed.
        let greedy = try bundle.nacelle("exec", "c", "dd", "if=/dev/zero", "of=/dev/shm/x", "bs=1M", "count=60")
        #expect(greedy.status == 137, "\(greedy.errorText)")
        #expect(try bundle.nacelle("exec", "c", "rm", "/dev/shm/x").status == 0)
        #expect(try bundle.nacelle("kill", "c", "KILL").status == 0)
        let outcome = try stream.wait(limit: 60)
        #expect(outcome.status == 0 && outcome.errorText == "", "\(outcome.errorText)")
        let lines = outcome.text.split(separator: "\n")
        #expect(lines.filter { $0 == "{\"type\":\"oom\",\"id\":\"c\"}" }.count == 1 && lines.count > 1, "\(outcome.text)")
        #expect(lines.allSatisfy { $0.hasPrefix("{\"type\":\"") })
        #expect(try bundle.nacelle("delete", "c").status == 0)

        // The container's own process.
        bundle.process { $0["args"] = ["sh", "-c", "until test -e /tmp/go; do sleep 0.1; done; exec dd if=/dev/zero of=/dev/shm/x bs=1M count=60"] }
        try bundle.save()
        #expect(try bundle.nacelle("run", "--detach", "--bundle", bundle.path, "c").status == 0)
        let last = try bundle.start("events", "--interval", "500ms", "c")
        try eventually("figures") { last.outputSoFar().contains("stats") }
        #expect(try bundle.nacelle("exec", "c", "touch", "/tmp/go").status == 0)
        // Figures may come between the kill and the container's end.
        let text = try last.wait(limit: 60).text
        #expect(text.split(separator: "\n").filter { $0 == "{\"type\":\"oom\",\"id\":\"c\"}" }.count == 1, "\(text)")
        #expect(try bundle.status() == "stopped")
        #expect(try bundle.nacelle("delete", "c").status == 0)
        try bundle.expectNothingLeft()
    }

    @Test("exec --cgroup puts the process into a group below the container's")
    func execGroup() throws {
        let bundle = try running()
        #expect(try bundle.nacelle("exec", "c", "mkdir", "/sys/fs/cgroup/inner").status == 0)
        #expect(try bundle.nacelle("exec", "--cgroup", "inner", "c", "cat", "/proc/self/cgroup").text == "0::/inner\n")
        #expect(try bundle.nacelle("exec", "c", "cat", "/proc/self/cgroup").text == "0::/\n")
        for (path, text) in [("absent", "no such file or directory"), ("../..", "bad sub cgroup path: ../..")] {
            let refused = try bundle.nacelle("exec", "--cgroup", path, "c", "true")
            #expect(refused.status == 255 && refused.errorText.contains(text), "\(refused.errorText)")
        }
        #expect(try bundle.nacelle("delete", "--force", "c").status == 0)
        try bundle.expectNothingLeft()
    }
}
