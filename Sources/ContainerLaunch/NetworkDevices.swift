internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// linux.netDevices: moves devices of the launcher's network namespace into the container's, with their lasting addresses.
enum NetworkDevices {
    /// - Parameter pid: a process in the container's network namespace.
    static func move(_ linux: LinuxSpec, toProcess pid: Int32) throws(LaunchError) {
        if linux.netDevices.isEmpty { return }
        guard linux.namespace(.network) != nil else { throw LaunchError(.unsupported, "linux.netDevices: the container has the host's network") }
        do throws(SystemError) {
            let target = try OwnedDescriptor(opening: "/proc/\(pid)/ns/net", flags: O_RDONLY)
            let here = try RouteSocket()
            let there = try RouteSocket(in: target)
            for (name, device) in linux.netDevices.sorted(by: { $0.key < $1.key }) {
                do throws(SystemError) {
                    try move(name, to: target, as: device.name.flatMap { $0.isEmpty ? nil : $0 } ?? name, from: here, into: there)
                } catch { throw SystemError(error.errno, error.operation, path: name) }
            }
        } catch { throw LaunchError("linux.netDevices", error) }
    }

    private static func move(
        _ name: String, to namespace: borrowing OwnedDescriptor, as newName: String, from here: borrowing RouteSocket, into there: borrowing RouteSocket
    ) throws(SystemError) {
        guard let device = try here.devices().first(where: { $0.name == name }) else { throw SystemError(.noSuchDevice, "find the device") }
        let before = try there.devices()
        // The kernel would move it first, and only then find that the name is taken.
        if before.contains(where: { $0.name == newName }) { throw SystemError(.fileExists, "a device \"\(newName)\" is in the container's network namespace") }
        let addresses = try here.addresses(of: device.index).filter { $0.isPermanent && $0.scope == 0 }
        try here.setUp(device.index, false)
        try here.move(device.index, to: namespace, name: newName)
        // Its number may be another there, and the kernel has chosen the name if that was a pattern.
        let known = Set(before.map(\.index))
        guard let moved = try there.devices().first(where: { !known.contains($0.index) && ($0.name == newName || newName.contains("%")) }) else {
            throw SystemError(.noSuchDevice, "find the moved device")
        }
        try there.setUp(moved.index, true)
        for address in addresses { try there.add(address, to: moved.index) }
    }
}
