internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// How a container's namespaces come about: some at clone3(2), some joined, some made by nacelle-init.
struct NamespacePlan {
    /// New ones that the process is cloned into.
    var cloned: NamespaceSet = []
    /// New ones that it makes itself: a cgroup namespace's root is its maker's group, and time offsets precede the first process.
    var unshared: NamespaceSet = []
    /// Those of others that it joins, in an order that works.
    var joins: [(namespaces: NamespaceSet, descriptor: SharedDescriptor)] = []
    /// Those of others that it must be born in.
    var userNamespace: SharedDescriptor?
    var pidNamespace: SharedDescriptor?

    var hasNewUserNamespace: Bool { cloned.contains(.user) }
    var inUserNamespace: Bool { hasNewUserNamespace || userNamespace != nil }

    init(_ linux: LinuxSpec) throws(LaunchError) {
        for (index, namespace) in linux.namespaces.enumerated() {
            let bit = NamespaceSet(rawValue: namespace.type.cloneFlag)
            guard let path = namespace.path, !path.isEmpty else {
                if namespace.type == .cgroup || namespace.type == .time { unshared.insert(bit) } else { cloned.insert(bit) }
                continue
            }
            let descriptor: SharedDescriptor
            do throws(SystemError) {
                descriptor = SharedDescriptor(try OwnedDescriptor(opening: path, flags: O_RDONLY))
            } catch { throw LaunchError("\(namespace.type.rawValue) namespace", error) }
            guard (try? NamespaceSet(kindOf: descriptor.rawValue)) == bit else {
                throw LaunchError(.other, "config.json: linux.namespaces[\(index)].path: \(path) is no \(namespace.type.rawValue) namespace")
            }
            switch namespace.type {
            case .user: userNamespace = descriptor
            case .pid: pidNamespace = descriptor
            case .mount: throw LaunchError(.unsupported, "linux.namespaces: joining a mount namespace is not supported")
            default: joins.append((bit, descriptor))
            }
        }
        if !cloned.contains(.mount) { throw LaunchError(.unsupported, "linux.namespaces: a mount namespace is required") }
    }

    /// All namespaces that a further process of the container must join: setns(2) with a pidfd takes them at once.
    static func members(_ linux: LinuxSpec) -> NamespaceSet {
        linux.namespaces.reduce([]) { $0.union(NamespaceSet(rawValue: $1.type.cloneFlag)) }
    }
}
