import Foundation
import Glibc
import Testing

/// Whether any user may use KVM here. (The testbed's device is so; elsewhere a group has it.)
private let kvmIsForAll = ((try? FileManager.default.attributesOfItem(atPath: "/dev/kvm"))?[.posixPermissions] as? Int).map { $0 & 0o006 == 0o006 } ?? false

@Suite("An ordinary user's machine", .requiresKVM, .enabled(if: kvmIsForAll, "/dev/kvm is not for all users"), .serialized)
struct OrdinaryUserTests {
    private static let user = 54_321

    /// A bundle of the user's, and a Nacelle where the user may read it: the checkout may lie in somebody's own folder.
    private func bundle(_ script: String) throws -> Bundle {
        let bundle = try Bundle(["sh", "-c", script])
        bundle.process { $0["capabilities"] = ["bounding", "effective", "permitted"].reduce(into: [String: [String]]()) { $0[$1] = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_SETUID", "CAP_SETGID"] } }
        try bundle.save()
        try shell("cp -RL \(Nacelle.stage) \(bundle.path)/nacelle; mkdir -p \(bundle.root); chown -R \(Self.user):\(Self.user) \(bundle.path); chmod -R a+rX \(bundle.path)/nacelle")
        return bundle
    }

    /// nacelle-oci as the user, with streams that are the user's.
    private func nacelle(_ bundle: Bundle, _ arguments: String) throws -> Outcome {
        let line = "\(bundle.path)/nacelle/nacelle-oci --root \(bundle.root) \(arguments) </dev/null >\(bundle.path)/out 2>\(bundle.path)/err"
        var outcome = try run("/usr/bin/setpriv", ["--reuid", "\(Self.user)", "--regid", "\(Self.user)", "--clear-groups", "sh", "-c", line])
        outcome.output = try Data(contentsOf: URL(fileURLWithPath: bundle.path + "/out"))
        outcome.error = try Data(contentsOf: URL(fileURLWithPath: bundle.path + "/err"))
        return outcome
    }

    @Test("its files are the user's, whom the container takes for root; other owners there are none")
    func files() throws {
        let bundle = try bundle("id -u; stat -c %u:%g / /bin/busybox; : > /made; mkdir -m 700 /folder; chmod 4711 /made; stat -c '%u %a' /made; chown 7 /made; exit 9")
        let outcome = try nacelle(bundle, "run --bundle \(bundle.path) c")
        #expect(outcome.status == 9 && outcome.text == "0\n0:0\n0:0\n0 4711\n", "\(outcome.text)\(outcome.errorText)")
        #expect(outcome.errorText == "chown: /made: Invalid argument\n")
        #expect(try shell("stat -c '%u %a' \(bundle.rootfs)/made \(bundle.rootfs)/folder") == "\(Self.user) 4711\n\(Self.user) 700")
        try bundle.expectNothingLeft()
    }

    @Test("its process is jailed as root's is, in a user namespace of one id")
    func jail() throws {
        let bundle = try bundle("sleep 1000")
        let started = try nacelle(bundle, "run --detach --bundle \(bundle.path) c")
        #expect(started.status == 0, "\(started.errorText)")
        let pid = try bundle.pid()
        #expect(try shell("tr -s ' ' < /proc/\(pid)/uid_map") == " 0 \(Self.user) 1")
        #expect(try shell("cat /proc/\(pid)/setgroups") == "deny")
        try expectEmptyWorld(of: pid)
        let status = try shell("grep -E '^(CapEff|Seccomp|NoNewPrivs):' /proc/\(pid)/status")
        #expect(status == "CapEff:\t000000008800001b\nNoNewPrivs:\t1\nSeccomp:\t2")
        let further = try nacelle(bundle, "exec c sh -c 'id -u; exit 3'")
        #expect(further.status == 3 && further.text == "0\n", "\(further.errorText)")
        #expect(try nacelle(bundle, "kill c KILL").status == 0)
        try eventually("the machine's end") { try bundle.vmmProcesses().isEmpty }
        #expect(try nacelle(bundle, "delete c").status == 0)
        try bundle.expectNothingLeft()
    }
}
