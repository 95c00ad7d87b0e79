internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// Mounts of type "cgroup": what the container sees of its control group.
struct ControlGroupMounts {
    let process: InitProcess
    let mounting: Mounting

    func perform(_ mount: MountSpec, _ options: MountOptions, _ root: borrowing RootDirectory) throws(SetupError) {
        let places = process.plan.controlGroups
        if places.isEmpty { return try outside(mount, options, root) }
        if let unified = places.first(where: { $0.controllers.isEmpty }), places.count == 1 {
            try version2(unified, mount, options, root)
        } else {
            try version1(places.filter { !$0.controllers.isEmpty }, mount, options, root)
        }
    }

    private var hasOwnNamespace: Bool { process.linux.namespace(.cgroup) != nil }

    /// A container without a group of its own (an ordinary user's) is in its launcher's.
    private func outside(_ mount: MountSpec, _ options: MountOptions, _ root: borrowing RootDirectory) throws(SetupError) {
        let target = try doing("create mount point") { () throws(SystemError) in try root.directory(mount.destination) }
        var attributes = options
        (attributes.data, attributes.instanceFlags) = ([], [])
        let path = "/sys/fs/cgroup"
        let source = try doing("open") { () throws(SystemError) in try OwnedDescriptor(opening: path, flags: O_PATH | O_DIRECTORY) }
        let isVersion2 = (try? source.fileSystemType()) == Self.version2Magic
        if isVersion2 && hasOwnNamespace {
            return try attach(try mounting.instance("cgroup2", source: "cgroup", attributes), attributes, over: target)
        }
        let clone = try doing("open_tree") { () throws(SystemError) in
            let clone = try MountDescriptor(cloning: source, recursive: true)
            if !options.set.isEmpty { try clone.setAttributes(options.set, recursive: true) }
            return clone
        }
        try attach(clone, attributes, over: target)
    }

    /// CGROUP2_SUPER_MAGIC
    private static let version2Magic = 0x6367_7270

    /// In a control-group namespace of its own the container's group is the root of what is mounted.
    private func version2(_ place: InitPlan.ControlGroupPlace, _ mount: MountSpec, _ options: MountOptions, _ root: borrowing RootDirectory) throws(SetupError) {
        let target = try doing("create mount point") { () throws(SystemError) in try root.directory(mount.destination) }
        var attributes = options
        attributes.data = []
        attributes.instanceFlags = []
        if hasOwnNamespace {
            let made = try mounting.instance("cgroup2", source: "cgroup", attributes)
            return try attach(made, attributes, over: target)
        }
        try attach(try clone(place.path), attributes, over: target)
    }

    /// A tmpfs with a directory per hierarchy, and a symbolic link per controller that shares one.
    private func version1(_ places: [InitPlan.ControlGroupPlace], _ mount: MountSpec, _ options: MountOptions, _ root: borrowing RootDirectory) throws(SetupError) {
        let target = try doing("create mount point") { () throws(SystemError) in try root.directory(mount.destination) }
        var attributes = options
        attributes.instanceFlags = []
        attributes.data = ["mode=755"]
        let made = try mounting.instance("tmpfs", source: "tmpfs", attributes)
        for place in places {
            try doing("mkdir") { () throws(SystemError) in try made.descriptor.makeDirectory(place.hierarchy, mode: 0o755) }
            for controller in place.controllers.split(separator: ",") where controller != place.hierarchy && !controller.contains("=") {
                try? made.descriptor.makeSymbolicLink(String(controller), to: place.hierarchy)
            }
        }
        try attach(made, MountOptions(), over: target)
        for place in places {
            let directory = try doing("open") { () throws(SystemError) in try OwnedDescriptor(opening: place.hierarchy, at: made.descriptor, flags: O_PATH | O_DIRECTORY) }
            try attach(try hierarchy(place, attributes), attributes, over: directory)
        }
        try doing("set mount attributes") { () throws(SystemError) in
            try made.setAttributes(options.set, clearing: options.clear)
        }
    }

    private func hierarchy(_ place: InitPlan.ControlGroupPlace, _ options: MountOptions) throws(SetupError) -> MountDescriptor {
        guard hasOwnNamespace else { return try clone(place.path) }
        var own = options
        own.data = place.controllers.hasPrefix("name=") ? ["none", place.controllers] : [place.controllers]
        return try mounting.instance("cgroup", source: "cgroup", own)
    }

    private func clone(_ path: String) throws(SetupError) -> MountDescriptor {
        try doing("open_tree") { () throws(SystemError) in
            let source = try OwnedDescriptor(opening: path, flags: O_PATH | O_DIRECTORY)
            return try MountDescriptor(cloning: source, recursive: false)
        }
    }

    private func attach(_ made: borrowing MountDescriptor, _ options: MountOptions, over target: borrowing OwnedDescriptor) throws(SetupError) {
        try doing("mount") { () throws(SystemError) in
            if !options.set.isEmpty || !options.clear.isEmpty { try made.setAttributes(options.set, clearing: options.clear) }
            try made.attach(over: target)
            for propagation in options.propagations { try made.setAttributes([], propagation: propagation.kind, recursive: propagation.recursive) }
        }
    }
}
