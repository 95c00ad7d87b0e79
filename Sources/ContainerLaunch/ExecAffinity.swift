internal import AgentProtocol
internal import LinuxSystem
internal import OCISpec

/// process.execCPUAffinity: the CPUs of a further process, before and after it is in the container's control group.
enum ExecAffinity {
    /// Makes a process while this thread is confined to some CPUs, which the process inherits.
    static func confined<R>(to list: String?, _ body: () throws(LaunchError) -> R) throws(LaunchError) -> R {
        guard let list, !list.isEmpty else { return try body() }
        let own: [UInt64]
        do throws(SystemError) { own = try CPUAffinity.get(of: 0) } catch { throw LaunchError("process.execCPUAffinity.initial", error) }
        try set(list, "initial", of: 0)
        defer { try? CPUAffinity.set(of: 0, own) }
        return try body()
    }

    static func set(_ final: String?, of pid: Int32) throws(LaunchError) {
        guard let final, !final.isEmpty else { return }
        try set(final, "final", of: pid)
    }

    private static func set(_ list: String, _ field: String, of pid: Int32) throws(LaunchError) {
        guard let numbers = NumberList.parse(list) else { throw LaunchError(.other, "process.execCPUAffinity.\(field): \"\(list)\" is not a list of CPUs") }
        do throws(SystemError) { try CPUAffinity.set(of: pid, NumberList.mask(numbers)) } catch {
            throw LaunchError("process.execCPUAffinity.\(field): CPUs \(list)", error)
        }
    }
}
