import Foundation
import Glibc
import Testing

@Suite("Trouble on the host is said, and nothing stays", .requiresKVM, .serialized)
struct HostTroubleTests {
    /// Runs nacelle-oci in a mount namespace of its own after a script has changed what it sees.
    private func run(_ bundle: Bundle, after script: String) throws -> Outcome {
        try IntegrationTests.run(
            "/usr/bin/unshare", ["-m", "sh", "-ec", "\(script); exec '\(Nacelle.program)' --root '\(bundle.root)' run --bundle '\(bundle.path)' c"])
    }

    @Test("KVM is absent or cannot run a guest", arguments: [
        ("mkdir /tmp/dev; mount -t tmpfs none /tmp/dev; cp -a /dev/null /dev/zero /dev/urandom /tmp/dev; mount --move /tmp/dev /dev", "open /dev/kvm: no such file or directory"),
        ("mount --bind /dev/null /dev/kvm", "inappropriate ioctl for device"),
    ])
    func kvm(_ script: String, _ message: String) throws {
        let bundle = try Bundle(["true"])
        try bundle.save()
        let outcome = try run(bundle, after: script)
        #expect(outcome.status == 1)
        #expect(outcome.errorText.contains(message) && outcome.errorText.contains("`nacelle-oci doctor`"), "\(outcome.errorText)")
        try bundle.expectNothingLeft()
    }

    @Test("the state directory is full or read-only", arguments: [
        ("size=16k", "head -c 1M /dev/zero > DIRECTORY/full || true", "no space left on device"),
        ("nr_inodes=2", "touch DIRECTORY/full", "no space left on device"),
        ("size=1m", "mount -o remount,ro DIRECTORY", "read-only file system"),
    ])
    func stateDirectory(_ options: String, _ preparation: String, _ message: String) throws {
        let bundle = try Bundle(["true"])
        try bundle.save()
        let script = "mkdir -p '\(bundle.root)'; mount -t tmpfs -o \(options) none '\(bundle.root)'; \(preparation.replacingOccurrences(of: "DIRECTORY", with: bundle.root)) 2>/dev/null"
        let outcome = try run(bundle, after: script)
        #expect(outcome.status == 1)
        #expect(outcome.errorText.contains(message) && outcome.errorText.contains(bundle.root), "\(outcome.errorText)")
        try bundle.expectNothingLeft()
    }

    @Test("of two creates at once one wins, and the other leaves it alone")
    func twoCreates() throws {
        let bundle = try Bundle(["sleep", "1000"])
        try bundle.save()
        let both = try (0..<2).map { _ in try bundle.start("create", "--bundle", bundle.path, "c") }
        let outcomes = try both.map { try $0.wait() }
        #expect(outcomes.map(\.status).sorted() == [0, 1])
        #expect(outcomes.contains { $0.errorText.contains("container with given ID already exists") }, "\(outcomes.map(\.errorText))")
        #expect(try bundle.status() == "created")
        #expect(try bundle.nacelle("delete", "--force", "c").status == 0)
        try bundle.expectNothingLeft()
    }

    /// Milliseconds after the start of `run`: before the machine, during its boot, around the process's start, while it runs.
    private static let moments: [UInt32] = [10, 60, 150, 300, 500, 800, 1200, 1800]

    @Test("the machine killed at any moment of `run`", arguments: moments)
    func machineKilled(_ milliseconds: UInt32) throws {
        let bundle = try Bundle(["sleep", "1000"])
        try bundle.save()
        let command = try bundle.start("run", "--bundle", bundle.path, "c")
        usleep(milliseconds * 1000)
        var killed = false
        // Too early there is none yet: then the first moment of its life is taken.
        try eventually("there was a machine") {
            for pid in try bundle.vmmProcesses() where kill(pid, SIGKILL) == 0 { killed = true }
            return killed
        }
        let outcome = try command.wait()
        #expect(outcome.status == 1 || outcome.status == 137, "\(outcome.status): \(outcome.errorText)")
        #expect(outcome.status == 137 || outcome.errorText.contains("machine"), "\(outcome.errorText)")
        try bundle.expectNothingLeft()
    }

    @Test("the runtime killed at any moment of `create`: delete --force mends it", arguments: moments)
    func runtimeKilled(_ milliseconds: UInt32) throws {
        let bundle = try Bundle(["sleep", "1000"])
        try bundle.save()
        let command = try bundle.start("create", "--bundle", bundle.path, "c")
        usleep(milliseconds * 1000)
        command.signal(SIGKILL)
        _ = try command.wait()
        let deletion = try bundle.nacelle("delete", "--force", "c")
        #expect(deletion.status == 0, "\(deletion.errorText)")
        try bundle.expectNothingLeft()
    }

    @Test("a guest that hangs at boot is given up after the time set for it")
    func hang() throws {
        let bundle = try Bundle(["true"])
        // The kernel waits for a root device that never comes.
        bundle.configuration["annotations"] = ["dev.nacelle.cmdline": "root=/dev/absent rootwait", "dev.nacelle.boot_timeout": "3"]
        let outcome = try bundle.runContainer()
        #expect(outcome.status == 1)
        #expect(outcome.errorText.contains("the guest has not booted within 3 s"), "\(outcome.errorText)")
        try bundle.expectNothingLeft()
    }
}
