import Foundation
import Testing

/// nacelle, the engine, with microVMs beneath.
@Suite("nacelle run: machines", .requiresKVM, .serialized)
struct EngineTests {
    private let folder = "/tmp/nacelle-engine.\(UUID().uuidString)"
    private var root: String { folder + "/root" }

    init() throws {
        try shell("mkdir -p \(root)/bin \(root)/etc && cp /bin/busybox \(root)/bin/ && for name in sh cat uname id echo sleep hostname grep; do ln -s busybox \(root)/bin/$name; done")
        try shell("echo 'web:x:33:44::/:/bin/sh' > \(root)/etc/passwd")
    }

    private func nacelle(_ arguments: [String], input: Data? = nil) throws -> Outcome {
        try run(Nacelle.stage + "/nacelle", ["--root", folder + "/data"] + arguments, input: input)
    }

    private func clean() throws {
        #expect(try nacelle(["ps", "-aq"]).text == "")
        try shell("rm -rf \(folder)")
    }

    @Test("a program runs on a kernel of its own, with streams, user, volume and status")
    func foreground() throws {
        try shell("mkdir \(folder)/volume && echo shared > \(folder)/volume/file")
        let outcome = try nacelle(
            ["run", "--rm", "-i", "-u", "web", "-m", "128m", "-v", "\(folder)/volume:/v:ro", "--rootfs", root, "sh", "-c", "uname -r; id -u; cat; cat /v/file; echo err >&2; exit 9"], input: Data("typed\n".utf8))
        #expect(outcome.status == 9, "\(outcome.errorText)")
        let lines = outcome.text.split(separator: "\n").map(String.init)
        #expect(lines.first != (try shell("uname -r")) && Array(lines.dropFirst()) == ["33", "typed", "shared"])
        #expect(outcome.errorText == "err\n")
        try clean()
    }

    @Test("detached: exec, logs, stop; an image of a tar")
    func detached() throws {
        try shell("tar -C \(root) -cf \(folder)/base.tar .")
        #expect(try nacelle(["import", folder + "/base.tar", "base"]).status == 0)
        let started = try nacelle(["run", "-d", "--name", "one", "base", "sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done"])
        #expect(started.status == 0, "\(started.errorText)")
        try eventually("it writes") { (try? nacelle(["logs", "one"]).text) == "up\n" }
        #expect(try nacelle(["exec", "one", "sh", "-c", "echo in; exit 5"]).status == 5)
        try eventually("its isolation is known") { (try? nacelle(["inspect", "--format", "{{.Isolation}}", "one"]).line) == "microvm" }
        #expect(try nacelle(["stop", "one"]).status == 0)
        #expect(try nacelle(["wait", "one"]).line == "3")
        #expect(try nacelle(["rm", "one"]).status == 0)
        #expect(try nacelle(["run", "--network", "host", "base", "id"]).status == 125)
        try clean()
    }

    @Test("what a machine writes is on a disk of its own, as large as was asked for, or in its memory")
    func storageOptions() throws {
        try shell("mkdir \(folder)/data && truncate -s 512M \(folder)/data.ext4 && mkfs.ext4 -q \(folder)/data.ext4 && mount -o loop \(folder)/data.ext4 \(folder)/data")
        defer { _ = try? run("/bin/umount", [folder + "/data"]) }
        try shell("printf '[engine]\\nstorage_driver = \"erofs\"\\n' > \(folder)/config.toml && tar -C \(root) -cf \(folder)/base.tar .")
        func nacelle(_ arguments: String...) throws -> Outcome { try self.nacelle(["--config", folder + "/config.toml"] + arguments) }
        #expect(try nacelle("import", folder + "/base.tar", "base").status == 0)
        let script = "cat /kept; echo kept >/kept; cat /dev/zero >/big; /bin/busybox stat -f -c %b /; /bin/busybox rm /big"
        let first = try nacelle("run", "--name", "one", "--storage-opt", "size=64m", "base", "/bin/busybox", "sh", "-c", script)
        #expect(first.status == 0 && first.errorText.contains("No space left on device"), "\(first.errorText)")
        // Blocks of 4 KiB; the file system's own are not in it.
        let blocks = Int(first.line) ?? 0
        #expect(blocks > 12 << 8 && blocks <= 64 << 8, "\(first.text)")
        #expect(try nacelle("start", "-a", "one").text.hasPrefix("kept\n"))
        #expect(try nacelle("inspect", "--format", "{{json .HostConfig.StorageOpt}}", "one").line == #"{"upper":"disk","size":"67108864"}"#)
        #expect(try shell("stat -c %s \(folder)/data/containers/*/disk.ext4") == "67108864")
        for verb in [["diff", "one"], ["commit", "one", "x"], ["export", "one"], ["cp", "one:/kept", folder + "/x"]] {
            let refused = try self.nacelle(["--config", folder + "/config.toml"] + verb)
            #expect(refused.status != 0 && refused.errorText.contains("keeps its files on a disk of its machine's"), "\(verb): \(refused.errorText)")
        }
        #expect(try nacelle("rm", "one").status == 0)
        let memory = try nacelle("run", "--rm", "--storage-opt", "upper=tmpfs", "--storage-opt", "size=1m", "base", "/bin/busybox", "sh", "-c", "cat /dev/zero >/big; /bin/busybox stat -f -c %b /")
        #expect(memory.line == "256" && memory.errorText.contains("No space left on device"), "\(memory.text)\(memory.errorText)")
        for (flags, why) in [(["--isolation", "namespace"], "only a machine"), (["--runtime", "runc"], "runc has no machine")] {
            let refused = try self.nacelle(["--config", folder + "/config.toml", "run", "--storage-opt", "size=1g"] + flags + ["base", "true"])
            #expect(refused.status == 125 && refused.errorText.contains("--storage-opt: \(why)"), "\(refused.errorText)")
        }
        let directory = try nacelle("run", "--storage-opt", "upper=disk", "--rootfs", root, "true")
        #expect(directory.status == 125 && directory.errorText.contains("--rootfs"), "\(directory.errorText)")
        let driver = try self.nacelle(["run", "--storage-opt", "upper=disk", "base", "true"])
        #expect(driver.status == 125 && driver.errorText.contains("storage_driver = \"erofs\""), "\(driver.errorText)")
        #expect(try shell("grep -c \(folder)/data/ /proc/self/mounts || true") == "0")
        #expect(try nacelle("ps", "-aq").text == "")
        try shell("umount \(folder)/data && rm -rf \(folder)")
    }

    @Test("a named volume is filled, shared by a machine and a container of the host, and kept; a machine is paused, and stopped meanwhile")
    func volumes() throws {
        try shell("mkdir \(root)/data && echo filled > \(root)/data/file && chown 33:44 \(root)/data/file")
        let first = try nacelle(["run", "--rm", "-v", "shared:/data", "--rootfs", root, "sh", "-c", "cat /data/file; echo machine > /data/more"])
        #expect(first.text == "filled\n", "\(first.errorText)")
        #expect(try nacelle(["run", "--rm", "--isolation", "namespace", "-v", "shared:/v:ro", "--rootfs", root, "cat", "/v/more"]).line == "machine")
        #expect(try nacelle(["run", "-d", "--name", "one", "--mount", "source=shared,target=/v", "--rootfs", root, "sleep", "1000"]).status == 0)
        #expect(try nacelle(["volume", "rm", "shared"]).errorText.contains("is used by container one"))
        #expect(try nacelle(["pause", "one"]).status == 0)
        #expect(try nacelle(["ps", "--format", "{{.State}}"]).line == "paused")
        #expect(try nacelle(["unpause", "one"]).status == 0)
        #expect(try nacelle(["exec", "one", "cat", "/v/file"]).line == "filled")
        #expect(try nacelle(["pause", "one"]).status == 0)
        #expect(try nacelle(["stop", "-t", "0", "one"]).status == 0)
        #expect(try nacelle(["rm", "one"]).status == 0)
        #expect(try nacelle(["volume", "rm", "shared"]).status == 0)
        try clean()
    }

    @Test("bench measures machines beside namespaces, and leaves nothing")
    func bench() throws {
        let outcome = try nacelle(["bench", "-n", "1", "--json", "--runtime", "nosuch"])
        #expect(outcome.status == 0, "\(outcome.errorText)")
        let report = try #require(try JSONSerialization.jsonObject(with: Data(outcome.text.utf8)) as? [String: Any])
        let results = try #require(report["results"] as? [[String: Any]])
        #expect(results.map { $0["isolation"] as? String } == ["microvm", "namespace"])
        // A machine's process has more than its program.
        #expect((results.first?["memoryBytes"] as? Int ?? 0) > 4 << 20)
        #expect(results.allSatisfy { $0["firstByteNanoseconds"] is [String: Any] })
        #expect(try shell("ls -d /tmp/nacelle-bench-* 2>/dev/null | wc -l") == "0")
        try clean()
    }

    @Test("layers as EROFS images: the machine puts its root together; exec, cp, diff, commit and the next start see what it wrote")
    func erofs() throws {
        // A file system with user.* attributes.
        try shell("mkdir \(folder)/data && truncate -s 512M \(folder)/data.ext4 && mkfs.ext4 -q \(folder)/data.ext4 && mount -o loop \(folder)/data.ext4 \(folder)/data")
        defer { _ = try? run("/bin/umount", [folder + "/data"]) }
        try shell("printf '[engine]\\nstorage_driver = \"erofs\"\\n' > \(folder)/config.toml && tar -C \(root) -cf \(folder)/base.tar .")
        func nacelle(_ arguments: String...) throws -> Outcome { try self.nacelle(["--config", folder + "/config.toml"] + arguments) }
        #expect(try nacelle("import", folder + "/base.tar", "base").status == 0)
        let started = try nacelle("run", "-d", "--name", "one", "base", "sh", "-c", "grep -o 'overlay / overlay' /proc/mounts; echo new >/etc/new; echo web:x:77:77::/: >/etc/passwd; while :; do sleep 0.1; done")
        #expect(started.status == 0, "\(started.errorText)")
        try eventually("it is up") { (try? nacelle("exec", "one", "cat", "/etc/passwd").line) == "web:x:77:77::/:" }
        #expect(try nacelle("logs", "one").line == "overlay / overlay")
        #expect(try shell("grep -c \(folder)/data/ /proc/self/mounts || true") == "0")
        #expect(try nacelle("exec", "-u", "web", "one", "id", "-u").line == "77")
        #expect(try nacelle("cp", "one:/etc/new", folder + "/copied").status == 0)
        #expect(try shell("cat \(folder)/copied") == "new")
        let refused = try nacelle("cp", folder + "/copied", "one:/x")
        #expect(refused.status != 0 && refused.errorText.contains("has its files for itself"), "\(refused.errorText)")
        #expect(try nacelle("stop", "-t", "0", "one").status == 0)
        #expect(try nacelle("diff", "one").text.split(separator: "\n").sorted() == ["A /etc/new", "C /etc", "C /etc/passwd"])
        #expect(try nacelle("commit", "one", "changed").status == 0)
        #expect(try nacelle("run", "--rm", "changed", "cat", "/etc/new", "/etc/passwd").text == "new\nweb:x:77:77::/:\n")
        #expect(try nacelle("cp", folder + "/copied", "one:/x").status == 0)
        #expect(try nacelle("start", "one").status == 0)
        #expect(try nacelle("exec", "one", "cat", "/x", "/etc/new").text == "new\nnew\n")
        #expect(try nacelle("rm", "-f", "one").status == 0)
        // Namespaces of the host mount the same images.
        #expect(try nacelle("run", "--rm", "--isolation", "namespace", "changed", "cat", "/etc/new").line == "new")
        #expect(try shell("grep -c \(folder)/data/ /proc/self/mounts || true") == "0")
        #expect(try nacelle("ps", "-aq").text == "")
        try shell("umount \(folder)/data && rm -rf \(folder)")
    }
}
