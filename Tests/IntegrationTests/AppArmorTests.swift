import Foundation
import Glibc
import Testing

private let canLoadProfiles = Isolation.canRun && (try? String(contentsOfFile: "/sys/module/apparmor/parameters/enabled", encoding: .utf8)) == "Y\n"
    && FileManager.default.fileExists(atPath: "/sys/kernel/security/apparmor") && FileManager.default.isExecutableFile(atPath: "/sbin/apparmor_parser")

/// A profile that the kernel has as long as this lives.
private final class Profile {
    let name = "nacelle-test-\(UUID().uuidString)"

    /// - Parameter rules: what is forbidden of what an engine's profile allows.
    init(_ rules: String = "deny /{,**/}secret rwklx,") throws {
        // Files of a share lie in no file tree that this process could reach: hence `attach_disconnected`.
        let text = """
            profile \(name) flags=(attach_disconnected,mediate_deleted) {
              network, capability, file, umount, signal, ptrace,
              \(rules)
            }

            """
        let outcome = try run("/sbin/apparmor_parser", ["--replace", "--skip-cache"], input: Data(text.utf8))
        #expect(outcome.status == 0, "\(outcome.errorText)")
        self.text = text
    }

    private let text: String

    deinit { _ = try? run("/sbin/apparmor_parser", ["--remove"], input: Data(text.utf8)) }
}

@Suite("AppArmor", .serialized, .enabled(if: canLoadProfiles, "needs root, built programs (NACELLE_STAGE), AppArmor with its securityfs, and apparmor_parser"))
struct AppArmorTests {
    private static func bundle(_ profile: String, _ arguments: [String] = ["sleep", "1000"]) throws -> Bundle {
        let bundle = try Bundle(arguments)
        bundle.process { $0["apparmorProfile"] = profile }
        try shell("echo hidden > \(bundle.rootfs)/secret; echo shown > \(bundle.rootfs)/open")
        return bundle
    }

    private static func profile(of pid: Int32, thread: String? = nil) throws -> String {
        try String(contentsOfFile: "/proc/\(pid)/task/\(thread ?? "\(pid)")/attr/apparmor/current", encoding: .utf8)
    }

    private static let files = "cat /open; cat /secret; echo made > /new && cat /new; mv /open /moved; cat /moved"
    private static let seen = "shown\nmade\nshown\n"
    private static let refused = "cat: can't open '/secret': Permission denied\n"

    @Test("a container's process has its profile, and so has a further one", .requiresRoot)
    func namespace() throws {
        let profile = try Profile()
        let bundle = try Self.bundle(profile.name)
        try bundle.create(.namespace)
        try bundle.start(.namespace)
        try eventually("the program runs") { try Self.profile(of: bundle.pid()) == "\(profile.name) (enforce)\n" }
        let files = try bundle.nacelle("exec", "c", "sh", "-c", Self.files)
        #expect(files.text == Self.seen && files.errorText == Self.refused)
        let read = ["cat", "/proc/self/attr/apparmor/current"]
        #expect(try bundle.nacelle("exec", "c", read[0], read[1]).text == "\(profile.name) (enforce)\n")
        let other = try Profile("deny /open r,")
        #expect(try bundle.nacelle("exec", "--apparmor", other.name, "c", read[0], read[1]).text == "\(other.name) (enforce)\n")
        #expect(try bundle.nacelle("exec", "--apparmor", "unconfined", "c", read[0], read[1]).text == "unconfined\n")
        let missing = try bundle.nacelle("exec", "--apparmor", "nacelle-none", "c", "true")
        #expect(missing.status == 255, "\(missing.errorText)")
        #expect(missing.errorText.contains("process.apparmorProfile: unable to apply apparmor profile nacelle-none: the profile is not loaded (apparmor_parser loads profiles)"), "\(missing.errorText)")
        #expect(try bundle.nacelle("delete", "--force", "c").status == 0)
        try bundle.expectNothingLeft()
    }

    @Test("without new privileges, as an engine's user asks for it, the profile holds as well", .requiresRoot, arguments: Isolation.available)
    func withoutNewPrivileges(_ isolation: Isolation) throws {
        let profile = try Profile()
        let bundle = try Self.bundle(profile.name, ["sh", "-c", "cat /secret; exit 3"])
        bundle.process { $0["noNewPrivileges"] = true }
        try bundle.save()
        let outcome = try bundle.oci(isolation, "run", "--bundle", bundle.path, "c")
        #expect(outcome.status == 3 && outcome.errorText == Self.refused, "\(outcome.errorText)")
        try bundle.expectNothingLeft()
    }

    @Test("a machine's process is in the container's profile with all its threads, jailed as without", .requiresKVM)
    func machine() throws {
        let profile = try Profile()
        let bundle = try Self.bundle(profile.name)
        try bundle.create(.microvm)
        try bundle.start(.microvm)
        let pid = try bundle.pid()
        let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")
        #expect(threads.count >= 4)
        for thread in threads { #expect(try Self.profile(of: pid, thread: thread) == "\(profile.name) (enforce)\n") }
        #expect(try shell("grep -hE '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/\(pid)/task/*/status | sort -u")
            == "CapBnd:\t000000008800001b\nCapEff:\t000000008800001b\nNoNewPrivs:\t1\nSeccomp:\t2")
        // What it serves of the host's files is what the profile allows.
        let files = try bundle.nacelle("exec", "c", "sh", "-c", Self.files)
        #expect(files.text == Self.seen && files.errorText == Self.refused)
        #expect(try shell("cat \(bundle.rootfs)/new") == "made")
        #expect(try bundle.nacelle("kill", "c", "KILL").status == 0)
        try eventually("its end") { try bundle.status() == "stopped" }
        #expect(try bundle.nacelle("delete", "c").status == 0)
        try bundle.expectNothingLeft()
    }

    @Test("what an engine's exec repeats of the container's profile is taken; another is refused", .requiresKVM)
    func furtherProcess() throws {
        let profile = try Profile()
        let bundle = try Self.bundle(profile.name)
        try bundle.create(.microvm)
        try bundle.start(.microvm)
        var process = try #require(bundle.configuration["process"] as? [String: Any])
        process["args"] = ["echo", "here"]
        let file = bundle.path + "/process.json"
        for (name, isTaken) in [(profile.name, true), ("", true), ("unconfined", false), ("nacelle-none", false)] {
            process["apparmorProfile"] = name
            try JSONSerialization.data(withJSONObject: process).write(to: URL(fileURLWithPath: file))
            let outcome = try bundle.nacelle("exec", "--process", file, "c")
            #expect(outcome.status == (isTaken ? 0 : 255) && outcome.text == (isTaken ? "here\n" : ""), "\(outcome.errorText)")
            if isTaken { continue }
            #expect(outcome.errorText.contains("process.apparmorProfile: \"\(name)\" cannot hold for one process of a machine") && outcome.errorText.contains("this one's is \"\(profile.name)\"\n"), "\(outcome.errorText)")
        }
        #expect(try bundle.nacelle("exec", "--apparmor", profile.name, "c", "true").status == 0)
        #expect(try bundle.nacelle("delete", "--force", "c").status == 0)
        try bundle.expectNothingLeft()
    }

    @Test("a machine ends as its container's process does, in a profile as well", .requiresKVM)
    func ends() throws {
        let profile = try Profile()
        let bundle = try Self.bundle(profile.name, ["sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done"])
        try bundle.save()
        for (signal, status) in [(SIGTERM, 9), (SIGKILL, 137)] as [(Int32, Int32)] {
            let command = try bundle.start("run", "--bundle", bundle.path, "c")
            try eventually("it is ready") { command.outputSoFar() == "ready\n" }
            #expect(try bundle.nacelle("kill", "c", "\(signal)").status == 0)
            #expect(try command.wait().status == status)
            try bundle.expectNothingLeft()
        }
    }

    @Test("a profile in which nobody could reach the machine is told, and nothing stays", .requiresKVM)
    func unreachable() throws {
        let profile = try Profile("deny network unix,")
        let outcome = try Self.bundle(profile.name).runContainer()
        #expect(outcome.status == 1)
        #expect(outcome.errorText.contains("process.apparmorProfile: \(profile.name) does not let the machine's process accept a connection: `network unix stream` is needed"), "\(outcome.errorText)")
    }

    @Test("a profile that is not there is told by its path and name, and nothing stays", .requiresRoot, arguments: Isolation.available)
    func missing(_ isolation: Isolation) throws {
        let bundle = try Self.bundle("nacelle-none")
        try bundle.save()
        let outcome = try bundle.oci(isolation, "run", "--bundle", bundle.path, "c")
        #expect(outcome.status == 1)
        #expect(outcome.errorText.contains(
            "config.json: process.apparmorProfile: unable to apply apparmor profile \"nacelle-none\": it is not loaded on this host (apparmor_parser loads profiles)"), "\(outcome.errorText)")
        try bundle.expectNothingLeft()
    }
}
