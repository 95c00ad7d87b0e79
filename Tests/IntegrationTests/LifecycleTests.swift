import Foundation
import Glibc
import Testing

@Suite("Lifecycle", .requiresKVM, .serialized)
struct LifecycleTests {
    @Test("create, state, start, exec, kill, delete")
    func wholeLife() throws {
        let bundle = try Bundle(["sh", "-c", "echo started > /tmp/mark; trap 'exit 7' TERM; while true; do sleep 0.1; done"])
        try bundle.save()
        let pidFile = bundle.path + "/pid"
        let created = try bundle.nacelle("create", "--bundle", bundle.path, "--pid-file", pidFile, "c")
        #expect(created.status == 0, "\(created.errorText)")
        #expect(try bundle.status() == "created")
        let pid = try bundle.pid()
        #expect(try String(contentsOfFile: pidFile, encoding: .utf8) == "\(pid)")
        #expect(kill(pid, 0) == 0)
        #expect(!FileManager.default.fileExists(atPath: bundle.rootfs + "/tmp/mark"), "the process must not run before start")

        let again = try bundle.nacelle("create", "--bundle", bundle.path, "c")
        #expect(again.status == 1)
        #expect(again.errorText.contains("container with given ID already exists"), "\(again.errorText)")

        #expect(try bundle.nacelle("start", "c").status == 0)
        #expect(try bundle.status() == "running")
        #expect(try bundle.nacelle("start", "c").status == 1)
        try eventually("the process has started") { FileManager.default.fileExists(atPath: bundle.rootfs + "/tmp/mark") }

        let exec = try bundle.nacelle("exec", "c", "sh", "-c", "cat /tmp/mark; cat; exit 9", input: Data("from outside".utf8))
        #expect(exec.status == 9 && exec.text == "started\nfrom outside", "\(exec.status) \(exec.text)\(exec.errorText)")
        let missing = try bundle.nacelle("exec", "c", "nope")
        #expect(missing.status == 255)
        #expect(missing.errorText.contains("exec: \"nope\": executable file not found in $PATH"), "\(missing.errorText)")
        let user = try bundle.nacelle("exec", "--user", "5:6", "--cwd", "/etc", "--env", "X=y", "c", "sh", "-c", "echo $(id -u):$(id -g) $(pwd) $X")
        #expect(user.line == "5:6 /etc y", "\(user.text)\(user.errorText)")

        let undeletable = try bundle.nacelle("delete", "c")
        #expect(undeletable.status == 1 && undeletable.errorText.contains("cannot delete container c that is not stopped: running"), "\(undeletable.errorText)")
        #expect(try bundle.nacelle("kill", "c", "TERM").status == 0)
        try eventually("the container has stopped") { try bundle.status() == "stopped" }
        let late = try bundle.nacelle("kill", "c")
        #expect(late.status == 1 && late.errorText.contains("container not running"), "\(late.errorText)")
        #expect(try bundle.nacelle("delete", "c").status == 0)
        let gone = try bundle.nacelle("state", "c")
        #expect(gone.status == 1 && gone.errorText.contains("container does not exist"), "\(gone.errorText)")
        try bundle.expectNothingLeft()
    }

    @Test("the VMM killed at any time leaves a stopped container that can be deleted", arguments: ["created", "running"])
    func machineKilled(_ state: String) throws {
        let bundle = try Bundle(["sleep", "1000"])
        try bundle.save()
        #expect(try bundle.nacelle("create", "--bundle", bundle.path, "c").status == 0)
        if state == "running" { #expect(try bundle.nacelle("start", "c").status == 0) }
        kill(try bundle.pid(), SIGKILL)
        try eventually("the container has stopped") { try bundle.status() == "stopped" }
        #expect(try bundle.nacelle("start", "c").status == 1)
        #expect(try bundle.nacelle("delete", "c").status == 0)
        try bundle.expectNothingLeft()
    }

    @Test("delete --force ends a running container; without one it is no error")
    func force() throws {
        let bundle = try Bundle(["sleep", "1000"])
        try bundle.save()
        #expect(try bundle.nacelle("run", "--detach", "--bundle", bundle.path, "c").status == 0)
        #expect(try bundle.nacelle("delete", "--force", "c").status == 0)
        #expect(try bundle.nacelle("delete", "--force", "c").status == 0)
        #expect(try bundle.nacelle("delete", "c").status == 1)
        try bundle.expectNothingLeft()
    }

    @Test("of two starts at once one wins")
    func twoStarts() throws {
        let bundle = try Bundle(["sleep", "1000"])
        try bundle.save()
        #expect(try bundle.nacelle("create", "--bundle", bundle.path, "c").status == 0)
        let both = [try bundle.start("start", "c"), try bundle.start("start", "c")]
        let statuses = try both.map { try $0.wait().status }.sorted()
        #expect(statuses == [0, 1])
        let deletes = [try bundle.start("delete", "--force", "c"), try bundle.start("delete", "--force", "c")]
        for delete in deletes { #expect(try delete.wait().status == 0) }
        try bundle.expectNothingLeft()
    }

    @Test("list shows what there is, in runc's columns")
    func list() throws {
        let bundle = try Bundle(["sleep", "1000"])
        try bundle.save()
        #expect(try bundle.nacelle("list", "-q").text == "")
        #expect(try bundle.nacelle("run", "-d", "--bundle", bundle.path, "c").status == 0)
        #expect(try bundle.nacelle("list", "-q").line == "c")
        let table = try bundle.nacelle("list").text
        #expect(table.hasPrefix("ID "), "\(table)")
        #expect(table.contains("running") && table.contains(bundle.path))
        let json = try JSONSerialization.jsonObject(with: try bundle.nacelle("list", "--format", "json").output) as? [[String: Any]]
        #expect(json?.first?["id"] as? String == "c")
        #expect(json?.first?["status"] as? String == "running")
    }

    @Test("eight at once and their ends leave nothing")
    func many() throws {
        let bundles = try (0..<8).map { _ in try Bundle(["sh", "-c", "echo here; sleep 0.2; exit 3"]) }
        for bundle in bundles { try bundle.save() }
        let commands = try bundles.map { try $0.start("run", "--bundle", $0.path, "c") }
        for command in commands {
            let outcome = try command.wait(limit: 240)
            #expect(outcome.status == 3 && outcome.text == "here\n", "\(outcome.status) \(outcome.errorText)")
        }
        for bundle in bundles { try bundle.expectNothingLeft() }
    }

    @Test("a hundred one after another leave nothing: processes, descriptors, mounts, cgroups, memory")
    func hundred() throws {
        let bundle = try Bundle(["sh", "-c", "exit 6"])
        try bundle.save()
        for _ in 0..<3 { #expect(try bundle.nacelle("run", "--bundle", bundle.path, "c").status == 6) }
        let before = try HostCounts()
        for number in 0..<100 {
            let outcome = try bundle.nacelle("run", "--bundle", bundle.path, "c\(number)")
            #expect(outcome.status == 6, "\(number): \(outcome.errorText)")
        }
        try bundle.expectNothingLeft()
        let after = try HostCounts()
        #expect(after.processes == before.processes)
        #expect(after.mounts == before.mounts)
        #expect(after.controlGroups == before.controlGroups)
        // The kernel frees some of it late; a leak of one a run would be 100.
        #expect(after.openFiles < before.openFiles + 50, "\(before.openFiles) then \(after.openFiles)")
        #expect(after.sharedMemoryKiB < before.sharedMemoryKiB + 8192, "\(before.sharedMemoryKiB) then \(after.sharedMemoryKiB) KiB")
    }
}

/// What there is of the things that a container could leave on the host.
private struct HostCounts {
    let processes: Int
    let mounts: Int
    let controlGroups: Int
    /// Of all processes (file-nr).
    let openFiles: Int
    /// Memory files and tmpfs: guests' memory is such.
    let sharedMemoryKiB: Int

    init() throws {
        func lines(_ path: String) throws -> [Substring] { try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") }
        processes = try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { Int($0) }
            .filter { (try? lines("/proc/\($0)/stat"))?.first?.contains("nacelle") ?? false }.count
        mounts = try lines("/proc/self/mountinfo").count
        controlGroups = Int(try shell("find /sys/fs/cgroup -type d | wc -l")) ?? -1
        openFiles = try lines("/proc/sys/fs/file-nr").first?.split(separator: "\t").first.flatMap { Int($0) } ?? -1
        sharedMemoryKiB = try lines("/proc/meminfo").first { $0.hasPrefix("Shmem:") }?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? -1
    }
}
