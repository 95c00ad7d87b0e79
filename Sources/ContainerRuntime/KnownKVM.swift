internal import Glibc
internal import LinuxSystem

/// Remembers, until this machine boots again, that a guest has run on its KVM. Only before that a machine looks first whether KVM can
/// run one at all (KVMProbe): it costs as much as building the machine.
struct KnownKVM {
    /// No container's name has an `@`.
    private let path: String

    init(root: String) { path = root + "/.kvm@usable" }

    private static var boot: [UInt8]? { try? readFile("/proc/sys/kernel/random/boot_id", limit: 100) }

    var isUsable: Bool {
        guard let boot = Self.boot, let known = try? readFile(path, limit: 100) else { return false }
        return known == boot
    }

    /// A guest has run. That it cannot be remembered costs the next machine a little time.
    func remember() {
        guard !isUsable, let boot = Self.boot else { return }
        try? writeFile(path, boot, mode: 0o600)
    }
}
