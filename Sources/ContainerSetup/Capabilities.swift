internal import CCapability
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// The five sets of capabilities (capabilities(7)), by libcap.
struct Capabilities {
    let sets: CapabilitySets
    /// The last capability that this kernel has.
    private static let last: Int32 = Int32(cap_max_bits()) - 1

    /// nil: the configuration says nothing, which means none at all.
    init(_ process: InitProcess) { sets = process.process.capabilities ?? CapabilitySets() }

    /// The numbers of names that this kernel knows.
    static func numbers(_ names: [String]) -> Set<Int32> {
        Set(names.compactMap { Capability.named($0)?.number }.filter { $0 <= last })
    }

    /// Names that cannot be granted are logged and not refused (config.md, "capabilities").
    static func warnOfUnknown(_ process: InitProcess) throws(SetupError) {
        let names = Set(Capabilities(process).sets.all.flatMap(\.capabilities))
        let unknown = names.filter { name in Capability.named(name).map { $0.number > last } ?? true }.sorted()
        if !unknown.isEmpty { process.warn("ignoring unknown or unavailable capabilities: \(unknown.joined(separator: ", "))") }
    }

    /// While CAP_SETPCAP is still there.
    static func dropBounding(_ process: InitProcess) throws(SetupError) {
        let kept = numbers(Capabilities(process).sets.bounding)
        for capability in 0...max(last, 0) where !kept.contains(capability) && cap_get_bound(cap_value_t(capability)) == 1 {
            if cap_drop_bound(cap_value_t(capability)) != 0 {
                throw SetupError("apply bounding set", SystemError(Errno(rawValue: errno), "prctl(PR_CAPBSET_DROP)"))
            }
        }
    }

    /// After the change of user, which clears the effective set. Ambient last: only what is permitted and inheritable can be.
    static func apply(_ process: InitProcess) throws(SetupError) {
        let sets = Capabilities(process).sets
        guard let state = unsafe cap_init() else { throw SetupError("apply caps", SystemError(.noMemory, "cap_init")) }
        defer { unsafe _ = cap_free(UnsafeMutableRawPointer(state)) }
        let flags: [(cap_flag_t, [String])] = [(CAP_EFFECTIVE, sets.effective), (CAP_PERMITTED, sets.permitted), (CAP_INHERITABLE, sets.inheritable)]
        for (flag, names) in flags {
            let values = numbers(names).map { cap_value_t($0) }
            if !values.isEmpty, unsafe cap_set_flag(state, flag, Int32(values.count), values, CAP_SET) != 0 {
                throw SetupError("apply caps", SystemError(Errno(rawValue: errno), "cap_set_flag"))
            }
        }
        if unsafe cap_set_proc(state) != 0 { throw SetupError("apply caps", SystemError(Errno(rawValue: errno), "capset")) }
        // A kernel without ambient capabilities has none to clear.
        _ = cap_reset_ambient()
        // Those that the configuration itself does not make permitted and inheritable cannot be; runc passes over them as well.
        let possible = numbers(sets.ambient).intersection(numbers(sets.permitted)).intersection(numbers(sets.inheritable))
        for capability in possible.sorted() where cap_set_ambient(cap_value_t(capability), CAP_SET) != 0 {
            let error = Errno(rawValue: errno)
            process.warn("can't raise ambient capability \(Capability.all.first { $0.number == capability }?.name ?? "\(capability)"): \(error)")
        }
    }
}
