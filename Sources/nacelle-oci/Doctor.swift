import ArgumentParser
import ContainerRuntime
import Glibc
import JSONText
import KVM
import LinuxSystem

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check what the runtime needs on this machine.",
        discussion: "One line each: ok, or what is wrong and how to mend it. Exit status 1 when microVMs cannot run.")
    @ParentCommand var parent: NacelleOCI
    @Flag(help: "As JSON.") var json = false
    @Flag(help: "Only whether KVM can run a guest.") var kvm = false

    private struct Check {
        var name: String
        var isOK: Bool
        /// MicroVMs cannot run without it.
        var isNeeded = true
        var text: String
        var remedy = ""
    }

    func run() throws {
        let checks = kvm ? Self.kvmChecks() : Self.kvmChecks() + configurationChecks() + Self.hostChecks()
        json ? Self.printJSON(checks) : Self.printLines(checks)
        if checks.contains(where: { !$0.isOK && $0.isNeeded }) { throw ExitCode(1) }
    }

    private static func printLines(_ checks: [Check]) {
        for check in checks {
            print("\(check.isOK ? "ok   " : check.isNeeded ? "FAIL " : "warn ") \(check.name): \(check.text)" + (check.isOK || check.remedy.isEmpty ? "" : ": \(check.remedy)"))
        }
    }

    private static func printJSON(_ checks: [Check]) {
        print(JSONValue.array(checks.map { check in
            var object = JSONObject()
            object["check"] = .string(check.name)
            object["ok"] = .bool(check.isOK)
            object["needed"] = .bool(check.isNeeded)
            object["message"] = .string(check.text)
            if !check.isOK && !check.remedy.isEmpty { object["remedy"] = .string(check.remedy) }
            return .object(object)
        }).text(indent: "  "))
    }

    private static func kvmChecks() -> [Check] {
        switch KVMProbe.run() {
        case .absent:
            return [Check(
                name: "kvm present", isOK: false, text: "there is no /dev/kvm",
                remedy: "load kvm_intel or kvm_amd, enable virtualisation in the firmware, or (in a virtual machine) ask for nested virtualisation")]
        case .notPermitted:
            return [
                Check(name: "kvm present", isOK: true, text: "/dev/kvm"),
                Check(name: "kvm permitted", isOK: false, text: "this user may not open /dev/kvm", remedy: "join the group kvm, or run as root"),
            ]
        case .unusable(let reason):
            return [
                Check(name: "kvm present", isOK: true, text: "/dev/kvm"), Check(name: "kvm permitted", isOK: true, text: "yes"),
                Check(name: "kvm runs a guest", isOK: false, text: reason, remedy: "use a machine with hardware virtualisation (scripts/testbed emulates one for tests)"),
            ]
        case .usable:
            return [
                Check(name: "kvm present", isOK: true, text: "/dev/kvm"), Check(name: "kvm permitted", isOK: true, text: "yes"),
                Check(name: "kvm runs a guest", isOK: true, text: "a guest of a few instructions ran as it should"),
            ]
        }
    }

    /// The configuration file, which is needed in order if it is there, and the files that it names or that are found.
    private func configurationChecks() -> [Check] {
        do throws(RuntimeError) {
            let file = try parent.configuration()
            let text = file.path ?? "none (\(ConfigurationFile.defaultPath) does not exist)"
            return [Check(name: "configuration", isOK: true, text: text)] + Self.fileChecks(.locate(file))
        } catch {
            return [Check(name: "configuration", isOK: false, text: error.message, remedy: "nothing can be run until it is mended")] + Self.fileChecks(.locate())
        }
    }

    private static func fileChecks(_ components: Components) -> [Check] {
        func check(_ name: String, _ path: String, _ variable: String, magic: [UInt8], at offset: Int64, what: String) -> Check {
            do {
                let file = try OwnedDescriptor(opening: path, flags: O_RDONLY)
                let isRight = try file.bytes(at: offset, count: magic.count) == magic
                return Check(name: name, isOK: isRight, text: isRight ? path : "\(path) is no \(what)", remedy: "install Nacelle whole, or name another by \(variable)")
            } catch {
                return Check(name: name, isOK: false, text: "\(error)", remedy: "install Nacelle whole, or name it by \(variable)")
            }
        }
        let elf: [UInt8] = [0x7F, 0x45, 0x4C, 0x46]
        return [
            check("machine monitor", components.monitor, "NACELLE_VMM", magic: elf, at: 0, what: "program"),
            check("guest kernel", components.kernel, "NACELLE_KERNEL", magic: elf, at: 0, what: "ELF kernel"),
            check("guest image", components.image, "NACELLE_GUEST_IMAGE", magic: [0xE2, 0xE1, 0xF5, 0xE0], at: 1024, what: "EROFS image"),
        ]
    }

    private static func hostChecks() -> [Check] {
        let isV2 = unsafe access("/sys/fs/cgroup/cgroup.controllers", R_OK) == 0
        let hasV1 = unsafe access("/sys/fs/cgroup/memory", F_OK) == 0
        let namespaces = ["mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"].filter { unsafe access("/proc/self/ns/\($0)", F_OK) != 0 }
        let memory = MachineSettings.hostMemory()
        return [
            Check(
                name: "cgroups", isOK: isV2 || hasV1, isNeeded: false, text: isV2 ? "v2" : hasV1 ? "v1" : "none are mounted at /sys/fs/cgroup",
                remedy: "mount -t cgroup2 cgroup2 /sys/fs/cgroup"),
            Check(
                name: "namespaces", isOK: namespaces.isEmpty, isNeeded: false, text: namespaces.isEmpty ? "all kinds" : "the kernel lacks \(namespaces.joined(separator: ", "))",
                remedy: "microVMs bring their own; the machine's jail is weaker"),
            Check(
                name: "user", isOK: geteuid() == 0, isNeeded: false, text: geteuid() == 0 ? "root" : "uid \(geteuid())",
                remedy: "as an ordinary user: to containers this user's files are root's, all others nobody's, and there is no cgroup but a delegated one"),
            Check(
                name: "memory", isOK: memory >= 512, isNeeded: false, text: "\(memory) MiB", remedy: "each machine takes up to its size"),
        ]
    }
}
