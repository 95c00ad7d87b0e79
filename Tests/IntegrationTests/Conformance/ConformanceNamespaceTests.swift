import Foundation
import Glibc
import Testing

/// Of namespaces that the host can see; a machine has a kernel of its own and joins none.
extension ConformanceTests { @Suite("config-linux.md, Namespaces, User namespace mappings, Rootfs mount propagation")
struct NamespaceTests {
    /// As config.json and as /proc/PID/ns name them.
    private static let kinds = [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("mount", "mnt"), ("cgroup", "cgroup"), ("user", "user"), ("time", "time")]
    private static let report = "for name in pid net ipc uts mnt cgroup user time; do echo $name=$(readlink /proc/self/ns/$name); done"

    private static func own(_ name: String) -> String { (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/\(name)")) ?? "" }

    private func bundle(_ script: String, _ namespaces: [[String: Any]]) throws -> Bundle {
        let bundle = try Bundle(["sh", "-c", script])
        bundle.configuration["hostname"] = nil
        bundle.linux {
            $0["namespaces"] = namespaces
            guard namespaces.contains(where: { $0["type"] as? String == "user" }) else { return }
            $0["uidMappings"] = [["containerID": 0, "hostID": 0, "size": 1000], ["containerID": 1000, "hostID": 5000, "size": 10]]
            $0["gidMappings"] = [["containerID": 0, "hostID": 0, "size": 500]]
        }
        return bundle
    }

    @Test("without a path a new namespace MUST be made; of a kind that is not listed it MUST be the runtime's", arguments: [["mount", "pid", "ipc", "uts"], ["mount", "network", "cgroup", "user", "time"]])
    func newOrInherited(_ listed: [String]) throws {
        let bundle = try bundle(Self.report, listed.map { ["type": $0] })
        if !listed.contains("pid") {
            // A new user namespace may mount no proc of a pid namespace that is not its own.
            bundle.configuration["mounts"] = [["destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]] as [String: Any]]
            bundle.linux { ($0["maskedPaths"], $0["readonlyPaths"]) = ([String](), [String]()) }
        }
        try bundle.save()
        let outcome = try bundle.oci(.namespace, "run", "--bundle", bundle.path, "c")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        let facts = Facts(outcome.text)
        for (kind, name) in Self.kinds {
            #expect(facts[name]?.hasPrefix("\(name):[") == true, "\(outcome.text)")
            #expect((facts[name] != Self.own(name)) == listed.contains(kind), "\(kind): \(outcome.text)")
        }
        try bundle.expectNothingLeft()
    }

    @Test("with a path the namespace that it names MUST be joined; a path of another kind MUST be an error", arguments: ["network", "ipc", "uts", "pid"])
    func joined(_ kind: String) throws {
        let name = Self.kinds.first { $0.0 == kind }?.1 ?? kind
        let flag = ["network": "--net", "ipc": "--ipc", "uts": "--uts", "pid": "--pid"][kind] ?? ""
        let other = try Command("/usr/bin/unshare", [flag, "--fork", "--kill-child", "/bin/sleep", "1000"])
        defer {
            other.signal(SIGKILL)
            _ = try? other.wait()
        }
        // Its child is the one that is in a new pid namespace.
        var child = ""
        try eventually("the namespace is there") {
            child = ((try? String(contentsOfFile: "/proc/\(other.pid)/task/\(other.pid)/children", encoding: .utf8)) ?? "").trimmingCharacters(in: .whitespaces)
            let link = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(child)/ns/\(name)")) ?? ""
            return !child.isEmpty && link != Self.own(name) && !link.isEmpty
        }
        let wanted = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(child)/ns/\(name)")
        let bundle = try bundle(Self.report, [["type": "mount"], ["type": kind, "path": "/proc/\(child)/ns/\(name)"]])
        try bundle.save()
        let outcome = try bundle.oci(.namespace, "run", "--bundle", bundle.path, "c")
        #expect(outcome.status == 0 && Facts(outcome.text)[name] == wanted, "\(outcome.text)\(outcome.errorText)")
        let wrong = try self.bundle("true", [["type": "mount"], ["type": kind, "path": "/proc/\(child)/ns/mnt"]])
        try wrong.save()
        let refusal = try wrong.oci(.namespace, "run", "--bundle", wrong.path, "c")
        #expect(refusal.status == 1 && refusal.errorText.contains("linux.namespaces[1].path: /proc/\(child)/ns/mnt is no \(kind) namespace"), "\(refusal.errorText)")
        try wrong.expectNothingLeft()
    }

    @Test("uidMappings and gidMappings MUST be those of the user namespace", arguments: Isolation.available)
    func mappings(_ isolation: Isolation) throws {
        let bundle = try bundle("cat /proc/self/uid_map; echo; cat /proc/self/gid_map", ["mount", "user", "network", "pid", "ipc", "uts"].map { ["type": $0] })
        try bundle.save()
        let outcome = try bundle.oci(isolation, "run", "--bundle", bundle.path, "c")
        let numbers = outcome.text.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
        #expect(numbers == ["0 0 1000", "1000 5000 10", "0 0 500"], "\(outcome.text)\(outcome.errorText)")
        try bundle.expectNothingLeft()
    }

    @Test("rootfsPropagation MUST be the root's", arguments: Isolation.available, [("private", ""), ("slave", "master:"), ("unbindable", "unbindable")])
    func propagation(_ isolation: Isolation, _ word: (name: String, field: String)) throws {
        // The machine's own root has no peers outside, so there a slave is like a private one.
        if isolation == .microvm && word.name != "unbindable" { return }
        let bundle = try Bundle(["sh", "-c", "grep ' / / ' /proc/self/mountinfo || cat /proc/self/mountinfo"])
        bundle.linux { $0["rootfsPropagation"] = word.name }
        try bundle.save()
        let outcome = try bundle.oci(isolation, "run", "--bundle", bundle.path, "c")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        let root = outcome.text.split(separator: "\n").first { $0.split(separator: " ").dropFirst(4).first == "/" } ?? ""
        let fields = root.components(separatedBy: " - ")[0]
        #expect(!fields.contains("shared:") && (word.field.isEmpty || isShared() == false || fields.contains(word.field)), "\(outcome.text)")
        try bundle.expectNothingLeft()
    }

    /// Whether the host's root has peers, without which nothing can be a slave of it.
    private func isShared() -> Bool {
        let lines = (try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8))?.split(separator: "\n") ?? []
        return lines.contains { $0.split(separator: " ").dropFirst(4).first == "/" && $0.contains("shared:") }
    }
}}
