internal import AgentProtocol
internal import JSONText
internal import LinuxSystem
internal import OCISpec

extension ContainerLauncher {
    /// Hands a filter's listener to the agent at linux.seccomp.listenerPath, with the state of the process (config-linux.md, "Seccomp").
    func deliver(_ listener: SharedDescriptor, ofProcess pid: Int32, _ state: StateSpec) throws(LaunchError) {
        guard let seccomp = plan.linux?.seccomp, let path = seccomp.listenerPath else { throw LaunchError(.other, "nacelle-init sent an unexpected message") }
        var message = ContainerProcessState()
        (message.ociVersion, message.fds, message.pid, message.state) = (RuntimeSpec.version, ["seccompFd"], Int(pid), state)
        message.metadata = seccomp.listenerMetadata.flatMap { $0.isEmpty ? nil : $0 }
        do throws(SystemError) {
            // One state a connection; it closes with the descriptor.
            let agent = try OwnedDescriptor.unixConnection(path: path)
            var rest = message.json.bytes()[...]
            var descriptors = [listener.rawValue]
            while !rest.isEmpty {
                rest = rest.dropFirst(try agent.send(rest, descriptors: descriptors))
                descriptors = []
            }
        } catch { throw LaunchError("linux.seccomp.listenerPath: unable to send the seccomp listener to \(path)", error) }
    }
}
