internal import OCISpec

/// What a plan says about the process, as far as the agent itself must know.
public struct ProcessTraits {
    /// The process's user and group as the root user namespace numbers them.
    public var owner: (user: UInt32, group: UInt32)
    /// Whether the end of this process ends every process that could hold its streams: it is the first of a pid namespace.
    public var endsNamespace: Bool
    public var terminal: Bool

    public init(owner: (user: UInt32, group: UInt32), endsNamespace: Bool, terminal: Bool) {
        self.owner = owner
        self.endsNamespace = endsNamespace
        self.terminal = terminal
    }

    /// - Parameter isFirst: whether it is the container's own process and not an exec'd one.
    init(_ process: ProcessSpec, linux: LinuxSpec?, isFirst: Bool) {
        owner = (
            ProcessTraits.outside(process.user.uid, linux?.uidMappings ?? []),
            ProcessTraits.outside(process.user.gid, linux?.gidMappings ?? []))
        endsNamespace = isFirst && linux?.namespace(.pid).map { $0.path ?? "" } == ""
        terminal = process.terminal
    }

    /// What an identifier of the container is outside of it. One that is not mapped stays: the launch will refuse it.
    private static func outside(_ identifier: UInt32, _ mappings: [IDMappingSpec]) -> UInt32 {
        for mapping in mappings where identifier >= mapping.containerID && identifier - mapping.containerID < mapping.size {
            let (sum, overflow) = mapping.hostID.addingReportingOverflow(identifier - mapping.containerID)
            return overflow ? identifier : sum
        }
        return identifier
    }
}
