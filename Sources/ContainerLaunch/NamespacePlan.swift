internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// How a container's namespaces come about: some at clone3(2), some joined, some made by nacelle-init.
struct NamespacePlan {
    typealias Join = (namespaces: NamespaceSet, descriptor: SharedDescriptor)

    /// New ones that the process is cloned into.
    var cloned: NamespaceSet = []
    /// New ones that it makes itself: a cgroup namespace's root is its maker's group, and time offsets precede the first process.
    var unshared: NamespaceSet = []
    /// Those of others that it joins when it runs.
    var joins: [Join] = []
    /// Those of others that are joined before it is born, when there are such (`InitPlan.Stage`).
    var stageJoins: [Join] = []

    var isStaged: Bool { !stageJoins.isEmpty }
    var hasNewUserNamespace: Bool { cloned.contains(.user) }
    var inUserNamespace: Bool { hasNewUserNamespace || stageJoins.contains { $0.namespaces == .user } }

    init(_ linux: LinuxSpec) throws(LaunchError) {
        for (index, namespace) in linux.namespaces.enumerated() {
            let bit = NamespaceSet(rawValue: namespace.type.cloneFlag)
            guard let path = namespace.path, !path.isEmpty else {
                if namespace.type == .cgroup || namespace.type == .time { unshared.insert(bit) } else { cloned.insert(bit) }
                continue
            }
            joins.append((bit, try Self.open(path, namespace.type, "config.json: linux.namespaces[\(index)].path")))
        }
        guard cloned.contains(.mount) || joins.contains(where: { $0.namespaces == .mount }) else {
            throw LaunchError(.unsupported, "linux.namespaces: a mount namespace is required")
        }
        // Of a pid and a user namespace one cannot become a member but by birth, or not safely; and whoever is in a new user namespace has
        // no right to those of others any more. A mount namespace is entered last in any case.
        let joined = joins.reduce(into: NamespaceSet()) { $0.formUnion($1.namespaces) }
        let needsStage = !joined.isDisjoint(with: [.user, .pid]) || hasNewUserNamespace && !joined.subtracting(.mount).isEmpty
        if needsStage {
            stageJoins = joins.filter { $0.namespaces != .mount }
            joins.removeAll { $0.namespaces != .mount }
        }
    }

    private static func open(_ path: String, _ kind: NamespaceSpec.Kind, _ field: String) throws(LaunchError) -> SharedDescriptor {
        let type: UInt64
        do throws(SystemError) {
            let descriptor = try OwnedDescriptor(opening: path, flags: O_RDONLY | O_NONBLOCK)
            // Whatever else the path names, setns(2) would only say that it is invalid.
            do throws(SystemError) { type = try descriptor.namespaceType() } catch { throw SystemError(error.errno, "no namespace", path: path) }
            if type == kind.cloneFlag { return SharedDescriptor(descriptor) }
        } catch { throw LaunchError(field, error) }
        throw LaunchError(.other, "\(field): \(path) is no \(kind.rawValue) namespace: its kind is \(NamespaceSet(rawValue: type).names)")
    }

    /// All namespaces that a further process of the container must join: setns(2) with a pidfd takes them at once.
    static func members(_ linux: LinuxSpec) -> NamespaceSet {
        linux.namespaces.reduce([]) { $0.union(NamespaceSet(rawValue: $1.type.cloneFlag)) }
    }
}
