internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// Namespaces that a process enters once it runs; the others it was cloned into.
enum Namespaces {
    /// Those of others, but a mount namespace by itself.
    static func join(_ process: InitProcess) throws(SetupError) {
        for (namespaces, descriptor) in process.joins where namespaces != .mount { try join(namespaces, descriptor) }
    }

    static func joinMounts(_ process: InitProcess) throws(SetupError) {
        for (namespaces, descriptor) in process.joins where namespaces == .mount { try join(namespaces, descriptor) }
    }

    static func join(_ namespaces: NamespaceSet, _ descriptor: SharedDescriptor) throws(SetupError) {
        try doing("join namespaces") { () throws(SystemError) in
            try namespaces.join(descriptor.rawValue)
            // In a user namespace one starts as nobody, though with all capabilities.
            if namespaces.contains(.user) { try becomeRoot() }
        }
    }

    /// Of the own user namespace.
    static func becomeRoot() throws(SystemError) {
        try OwnProcess.setGroup(0)
        try OwnProcess.setUser(0)
    }

    /// A control-group namespace takes its maker's group as its root, so the process had to be in its group first.
    static func makeControlGroupNamespace(_ process: InitProcess) throws(SetupError) {
        guard NamespaceSet(rawValue: process.plan.unshares).contains(.controlGroup) else { return }
        try doing("new cgroup namespace") { () throws(SystemError) in try NamespaceSet.controlGroup.unshare() }
    }

    /// A new time namespace's offsets can be set only while nobody is in it; then this process enters it by its descriptor.
    static func makeTimeNamespace(_ process: InitProcess) throws(SetupError) {
        // Otherwise it was born in it.
        guard process.plan.stage == nil, NamespaceSet(rawValue: process.plan.unshares).contains(.time) else { return }
        try doing("new time namespace") { () throws(SystemError) in
            try prepareTimeNamespace(process.linux)
            let namespace = try OwnedDescriptor(opening: "/proc/self/ns/time_for_children", flags: O_RDONLY)
            try NamespaceSet.time.join(namespace.rawValue)
        }
    }

    /// Makes the one that children are born in.
    static func prepareTimeNamespace(_ linux: LinuxSpec) throws(SystemError) {
        try NamespaceSet.time.unshare()
        for (clock, offset) in linux.timeOffsets.sorted(by: { $0.key < $1.key }) {
            let file = try OwnedDescriptor(opening: "/proc/self/timens_offsets", flags: O_WRONLY)
            _ = try file.write(Array("\(clock) \(offset.secs) \(offset.nanosecs)\n".utf8))
        }
    }

    /// A new network namespace has a loopback interface, which is down.
    static func bringUpLoopback(_ process: InitProcess) throws(SetupError) {
        guard let network = process.linux.namespace(.network), (network.path ?? "").isEmpty else { return }
        try doing("loopback interface") { () throws(SystemError) in try OwnProcess.bringUp(interface: "lo") }
    }

    static func setNames(_ process: InitProcess) throws(SetupError) {
        try doing("sethostname") { () throws(SystemError) in
            if let name = process.spec.hostname, !name.isEmpty { try OwnProcess.setHostName(name) }
            if let name = process.spec.domainname, !name.isEmpty { try OwnProcess.setDomainName(name) }
        }
    }

    /// linux.sysctl, through the outside's /proc: the kernel answers by the namespaces of whoever opens.
    ///
    /// Which names a container may set, the specification's validation has checked; here only that a name stays in /proc/sys.
    static func setParameters(_ process: InitProcess) throws(SetupError) {
        for (name, value) in process.linux.sysctl.sorted(by: { $0.key < $1.key }) {
            let path = name.contains("/") ? name : String(name.map { $0 == "." ? "/" : $0 })
            guard path.split(separator: "/").allSatisfy({ $0 != ".." && $0 != "." }) else { throw SetupError("invalid sysctl \(name)") }
            try doing("sysctl \(name)") { () throws(SystemError) in
                let file = try OwnedDescriptor(opening: "/proc/sys/" + path, flags: O_WRONLY)
                _ = try file.write(Array(value.utf8))
            }
        }
    }
}
