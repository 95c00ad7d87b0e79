import Foundation
import Glibc
import JSONText
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

/// `update`, `events` and what else concerns limits, over a machine that does as it is told.
extension CommandTests {
    /// A running container and the command whose output its process has.
    private func running(_ scenario: String = "", _ change: (inout RuntimeSpec) -> Void = { _ in }) throws -> (fixture: Fixture, command: Running) {
        let fixture = try Fixture(scenario)
        change(&fixture.spec)
        try fixture.save()
        let command = try Running(fixture, ["run", "--detach", "--bundle", fixture.bundle, "c"])
        #expect(command.wait().status == 0, "\(command.error)")
        return (fixture, command)
    }

    @Test("update sends what changes to the machine, and keeps it")
    func update() throws {
        let (fixture, command) = try running()
        for (flags, expected) in [
            (["--memory", "64m", "--memory-swap", "128MB"], #"{"memory":{"limit":67108864,"swap":134217728}}"#),
            (["--memory-reservation", "32k", "--kernel-memory", "5"], #"{"memory":{"reservation":32768}}"#),
            (["--memory", "-1"], #"{"memory":{"limit":-1}}"#),
            (["--cpu-quota", "50000"], #"{"cpu":{"quota":50000}}"#),
            (["--cpu-period", "60000", "--cpu-burst", "0", "--cpu-idle=0"], #"{"cpu":{"quota":50000,"burst":0,"period":60000,"idle":0}}"#),
            // A cpuset is of the host's processors.
            (["--cpuset-cpus", "0", "--cpuset-mems", "0", "--cpu-share", "512"], #"{"cpu":{"shares":512}}"#),
            (["--cpu-rt-period", "7", "--cpu-rt-runtime", "6"], #"{"cpu":{"realtimeRuntime":6,"realtimePeriod":7}}"#),
            // So are disks.
            (["--pids-limit", "-1", "--blkio-weight", "20"], #"{"pids":{"limit":-1}}"#),
            (["--memory", "0", "--pids-limit=0"], "{}"),
        ] {
            let outcome = try Running(fixture, ["update"] + flags + ["c"]).wait()
            #expect(outcome.status == 0, "\(flags): \(outcome)")
            let last = command.output.split(separator: "\n").last.map(String.init) ?? ""
            #expect(try resources(last) == resources("update " + expected), "\(flags): \(last)")
        }
        let kept = try fixture.container().state.configuration().linux?.resources
        #expect(kept?.memory?.limit == -1 && kept?.memory?.swap == nil && kept?.cpu?.period == 60000 && kept?.cpu?.cpus == "0" && kept?.cpu?.shares == 512 && kept?.pids?.limit == -1 && kept?.blockIO?.weight == 20)
        #expect(kept?.devices == fixture.spec.linux?.resources?.devices)
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
        fixture.expectNothingLeft()
    }

    private func resources(_ line: String) throws -> ResourcesSpec {
        #expect(line.hasPrefix("update "), "\(line)")
        return try ResourcesSpec.parse(Array(line.dropFirst("update ".count).utf8)).resources
    }

    @Test("update --resources reads a file or standard input, and leaves device rules alone")
    func updateResources() throws {
        let (fixture, command) = try running()
        let json = #"{"devices":[{"allow":true}],"memory":{"limit":33554432,"swap":0},"cpu":{"shares":0},"pids":{"limit":9},"strange":1}"#
        try Data(json.utf8).write(to: URL(fileURLWithPath: fixture.folder + "/limits.json"))
        let fromFile = try oci(fixture, "update", "--resources", fixture.folder + "/limits.json", "--memory", "nonsense", "c")
        #expect(fromFile.status == 0 && fromFile.error == "WARN[0000] resources: strange: unknown field, ignored\n", "\(fromFile)")
        let pipe = Pipe()
        let fromInput = try Running(fixture, ["update", "-r", "-", "c"], input: pipe.fileHandleForReading)
        try pipe.fileHandleForWriting.write(contentsOf: Data(json.utf8))
        try pipe.fileHandleForWriting.close()
        #expect(fromInput.wait().status == 0)
        let lines = command.output.split(separator: "\n").filter { $0.hasPrefix("update ") }.map(String.init)
        #expect(lines.count == 2)
        for line in lines { #expect(try resources(line) == resources(#"update {"memory":{"limit":33554432},"pids":{"limit":9}}"#), "\(line)") }
        for (arguments, text) in [
            (["-r", "/nonexistent"], "cannot read the resources: open /nonexistent: no such file or directory"), (["-r", "/dev/null"], "resources: "), (["-r", "/etc/passwd"], "resources: "),
            (["-r", "/"], "cannot read the resources"),
        ] {
            let outcome = try Running(fixture, ["update"] + arguments + ["c"]).wait()
            #expect(outcome.status == 1 && outcome.error.contains(text), "\(arguments): \(outcome)")
        }
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
    }

    @Test("update refuses what is no limit, what a machine cannot have, and what is not there", arguments: [
        (["--memory", "zz"], "invalid value for memory: invalid size: 'zz'"), (["--memory-swap", "1.2.3m"], "invalid value for memory-swap: invalid size: '1.2.3m'"),
        (["--memory", "-2"], "invalid value for memory: invalid size: '-2'"), (["--memory", "9999999p"], "invalid value for memory: invalid size"),
        (["--cpu-quota", "abc"], "invalid value for cpu-quota: \"abc\" is not a number"), (["--cpu-share", "-1"], "cpu-share"), (["--blkio-weight", "70000"], "blkio-weight"),
        (["--pids-limit", "1k"], "invalid value for pids-limit"), (["--l3-cache-schema", "x"], "Intel RDT/CAT: l3 cache schema is not enabled"),
        (["--mem-bw-schema", "x"], "Intel RDT/MBA: memory bandwidth schema is not enabled"),
        (["--memory", "1g"], "linux.resources.memory.limit: 1073741824 bytes are more than the 256 MiB that the running machine has; create it with more (annotation dev.nacelle.memory)"),
    ])
    func badUpdate(_ flags: [String], _ text: String) throws {
        let (fixture, command) = try running()
        let before = try fixture.container().state.configuration()
        let outcome = try Running(fixture, ["update"] + flags + ["c"]).wait()
        #expect(outcome.status == 1 && outcome.error.contains(text), "\(outcome)")
        #expect(!command.output.contains("update"))
        #expect(try fixture.container().state.configuration() == before)
        #expect(try oci(fixture, "update", "absent").error.contains("container does not exist"))
        #expect(try oci(fixture, "kill", "c", "KILL").status == 0)
        eventually("the end") { (try? fixture.container().currentState().status) == .stopped }
        #expect(try oci(fixture, "update", "--memory", "64m", "c").error.contains("container not running"))
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
    }

    @Test("update asks for no more processors than the machine has", .enabled(if: sysconf(Int32(_SC_NPROCESSORS_ONLN)) > 1, "needs two processors"))
    func tooManyProcessors() throws {
        let (fixture, _) = try running()
        let outcome = try oci(fixture, "update", "--cpu-quota", "150000", "c")
        #expect(outcome.status == 1 && outcome.error.contains("linux.resources.cpu.quota: asks for 2 processors, and the running machine has 1"), "\(outcome)")
        #expect(try oci(fixture, "update", "--cpu-quota", "150000", "--cpu-period", "150000", "c").status == 0)
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
    }

    @Test("what the guest refuses is told in its words and not kept")
    func refusedUpdate() throws {
        let (fixture, _) = try running("refuse-update")
        let outcome = try oci(fixture, "update", "--pids-limit", "9", "c")
        #expect(outcome.status == 1 && outcome.error == "ERRO[0000] cgroup: write 9: invalid argument\n", "\(outcome)")
        #expect(try fixture.container().state.configuration().linux?.resources?.pids == nil)
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
    }

    @Test("events --stats prints the guest's figures once, and nothing else that it says")
    func statistics() throws {
        let (fixture, _) = try running()
        let outcome = try oci(fixture, "events", "--stats", "c")
        var figures = StatisticsSpec()
        (figures.memory.usage.usage, figures.memory.usage.limit, figures.pids.current) = (4096, .max, 3)
        #expect(outcome.status == 0 && outcome.output == figures.event(id: "c").text() + "\n", "\(outcome)")
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
        let (other, _) = try running("garbage-statistics")
        let garbage = try oci(other, "events", "--stats", "c")
        #expect(garbage.status == 1 && garbage.output == "" && garbage.error.contains("the machine's answer cannot be understood: "), "\(garbage)")
        #expect(try oci(other, "delete", "--force", "c").status == 0)
    }

    @Test("events streams figures and kills for want of memory until the container ends")
    func eventStream() throws {
        let (fixture, _) = try running()
        let stream = try Running(fixture, ["events", "--interval", "20ms", "c"])
        eventually("figures") { stream.output.contains("\"type\":\"stats\"") }
        let kill = "{\"type\":\"oom\",\"id\":\"c\"}"
        func kills() -> Int { stream.output.split(separator: "\n").filter { $0 == kill }.count }
        for number in 1...3 {
            #expect(try oci(fixture, "exec", "c", "oom").status == 0)
            eventually("an event") { kills() == number }
        }
        _ = try oci(fixture, "exec", "c", "oom-and-end")
        #expect(stream.wait().status == 0 && stream.error == "")
        #expect(kills() == 4)
        for line in stream.output.split(separator: "\n") { #expect(line.hasPrefix("{\"type\":\"") && line.hasSuffix("}")) }
        for (arguments, text) in [
            (["c"], "container with id c is not running"), (["--stats", "c"], "container with id c is not running"), (["--interval", "0s", "c"], "duration interval must be greater than 0"),
            (["--interval", "5", "c"], "invalid value \"5\" for flag -interval: parse error"), (["absent"], "container does not exist"),
        ] {
            let outcome = try Running(fixture, ["events"] + arguments).wait()
            #expect(outcome.status == 1 && outcome.error.contains(text), "\(arguments): \(outcome)")
        }
        #expect(try oci(fixture, "delete", "c").status == 0)
    }

    @Test("a reader who goes away ends events")
    func closedStream() throws {
        let (fixture, _) = try running()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", "\(Built.program ?? "") --root \(fixture.root) events --interval 20ms c | head -n 1"]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        eventually("the end") { !process.isRunning }
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
    }

    @Test("checkpoint and restore take runc's flags and refuse in one line")
    func checkpoint() throws {
        let (fixture, _) = try running()
        let flags = [
            "--image-path", "/i", "--work-path", "/w", "--parent-path", "/p", "--leave-running", "--tcp-established", "--ext-unix-sk", "--shell-job", "--lazy-pages", "--status-fd", "5",
            "--page-server", "a:1", "--file-locks", "--pre-dump", "--manage-cgroups-mode", "soft", "--empty-ns", "network", "--auto-dedup",
        ]
        let checkpoint = try Running(fixture, ["checkpoint"] + flags + ["c"]).wait()
        #expect(checkpoint.status == 1 && checkpoint.error == "ERRO[0000] checkpoint is not supported yet: container c goes on as it is\n", "\(checkpoint)")
        #expect(try fixture.container().currentState().status == .running)
        let restore = try oci(
            fixture, "restore", "--console-socket", "/s", "--image-path", "/i", "--work-path", "/w", "--tcp-established", "--ext-unix-sk", "--shell-job", "--file-locks",
            "--manage-cgroups-mode", "soft", "-b", "/b", "-d", "--pid-file", "/f", "--no-subreaper", "--no-pivot", "--empty-ns", "network", "--auto-dedup", "--lazy-pages", "d")
        #expect(restore.status == 1 && restore.error == "ERRO[0000] restore is not supported yet: container d was not made\n", "\(restore)")
        #expect(try oci(fixture, "checkpoint", "absent").error.contains("container does not exist"))
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
    }

    @Test("exec --cgroup names a group below the container's")
    func execGroup() throws {
        let (fixture, _) = try running()
        #expect(try oci(fixture, "exec", "--cgroup", "a/b", "c", "group").output == "a/b\n")
        #expect(try oci(fixture, "exec", "c", "group").output == "\n")
        for (flags, text) in [
            (["--cgroup", "a", "--cgroup", "b"], "invalid --cgroup argument: a (missing <controller>: prefix)"), (["--cgroup", ":a"], "invalid --cgroup argument: :a (empty <controller> prefix)"),
            (["--cgroup", "cpu:a", "--cgroup", "cpu,memory:b"], "invalid --cgroup argument(s): controller cpu specified multiple times"), (["--cgroup", "cpu:a"], "a machine has cgroup v2"),
        ] {
            let outcome = try Running(fixture, ["exec"] + flags + ["c", "group"]).wait()
            #expect(outcome.status == 255 && outcome.error.contains(text), "\(outcome)")
        }
        #expect(try oci(fixture, "delete", "--force", "c").status == 0)
    }

    @Test("kill --all of a container that has stopped is no error")
    func killAllStopped() throws {
        let (fixture, _) = try running("exit=0")
        eventually("the end") { (try? fixture.container().currentState().status) == .stopped }
        #expect(try oci(fixture, "kill", "c", "KILL").error.contains("container not running"))
        #expect(try oci(fixture, "kill", "--all", "c", "KILL").status == 0)
        #expect(try oci(fixture, "delete", "c").status == 0)
    }
}
