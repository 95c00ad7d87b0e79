internal import JSONText
public import LinuxSystem
public import OCISpec

/// Makes config.json of an image's configuration and the user's flags (image-spec, conversion.md).
public struct Conversion: Sendable {
    public var id: String
    public var image: ImageSettings
    public var options: ContainerOptions
    /// Absolute.
    public var rootfs: String
    /// On the host: the container's own /etc/hosts, /etc/hostname and anonymous volumes.
    public var folder: String
    /// Ranges of ids of a user namespace; empty is none.
    public var userMappings: [IDMappingSpec] = []
    public var groupMappings: [IDMappingSpec] = []
    /// Whether limits of the control group may be named.
    public var hasControlGroup = true
    /// A static program of this host that is to be the first process (`--init`).
    public var initProgram: String?

    public init(id: String, image: ImageSettings, options: ContainerOptions, rootfs: String, folder: String) {
        (self.id, self.image, self.options, self.rootfs, self.folder) = (id, image, options, rootfs, folder)
    }

    /// - Parameter root: the container's root directory, in which users are looked up.
    public func spec(root: borrowing OwnedDescriptor) throws(EngineError) -> RuntimeSpec {
        var spec = RuntimeSpec()
        spec.ociVersion = "1.0.2"
        spec.root = RootSpec(path: rootfs, readonly: options.isReadOnly)
        spec.hostname = hostname
        spec.process = try process(UserLookup(root: root))
        spec.mounts = try mounts()
        spec.annotations = annotations
        spec.linux = linux(capabilities: Set(try capabilities()))
        do throws(ConfigurationError) { try spec.validate() } catch { throw EngineError("these flags and this image make no valid container: \(error.reason)") }
        return spec
    }

    private var hostname: String? { options.network == .host && options.hostname == nil ? nil : options.hostname ?? String(id.prefix(12)) }

    // MARK: The process

    /// The program and its arguments: a given entrypoint does away with the image's command as well (conversion.md, `process.args`).
    func arguments() throws(EngineError) -> [String] {
        let entrypoint = options.entrypoint ?? image.entrypoint
        let command = !options.command.isEmpty ? options.command : options.entrypoint == nil ? image.command : []
        let arguments = entrypoint + command
        guard let program = arguments.first else { throw EngineError("no command: neither the image nor the command line says what to run; name a program after the image") }
        guard !program.isEmpty else { throw EngineError("the command is empty: name a program after the image", exitStatus: EngineError.notFound) }
        if let bad = arguments.first(where: { $0.utf8.contains(0) }) { throw EngineError("the argument \(quoted(bad)) contains a NUL byte") }
        return arguments
    }

    private func process(_ users: UserLookup) throws(EngineError) -> ProcessSpec {
        var process = ProcessSpec()
        process.terminal = options.terminal
        process.args = (initProgram == nil ? [] : [Self.initPlace, "--"]) + (try arguments())
        process.oomScoreAdj = options.oomScoreAdjustment
        let identity = try users.identity(options.user ?? image.user)
        process.user = identity.user
        for group in options.furtherGroups {
            let number = try users.group(group)
            if !process.user.additionalGids.contains(number) { process.user.additionalGids.append(number) }
        }
        process.env = environment(home: identity.home)
        let folder = options.workingDirectory ?? (image.workingDirectory.isEmpty ? "/" : image.workingDirectory)
        guard folder.hasPrefix("/") else { throw EngineError("the working directory \(quoted(folder)) is not absolute: name it from / on (--workdir)") }
        process.cwd = cleanPath(folder)
        var sets = CapabilitySets()
        let names = try capabilities()
        // Ambient and inheritable stay empty, so that a program that is not root's starts without any.
        (sets.bounding, sets.effective, sets.permitted) = (names, names, names)
        process.capabilities = sets
        process.noNewPrivileges = options.security.noNewPrivileges
        process.apparmorProfile = options.security.apparmor
        process.rlimits = options.limits
        return process
    }

    /// Later ones win: the usual, the image's, the user's.
    private func environment(home: String) -> [String] {
        var names: [String] = []
        var values: [String: String] = [:]
        let usual = [StandardContainer.path, "HOSTNAME=\(hostname ?? "localhost")"] + (options.terminal ? ["TERM=xterm"] : [])
        for entry in usual + image.environment + options.environment {
            let name = String(entry.prefix { $0 != "=" })
            // An image's entry without a value or name says nothing.
            guard !name.isEmpty, entry.utf8.count > name.utf8.count else { continue }
            if values.updateValue(entry, forKey: name) == nil { names.append(name) }
        }
        if values["HOME"] == nil {
            names.append("HOME")
            values["HOME"] = "HOME=\(home)"
        }
        return names.compactMap { values[$0] }
    }

    /// By number, as the kernel lists them.
    func capabilities() throws(EngineError) -> [String] {
        var names = Set(StandardContainer.capabilities)
        if options.isPrivileged || options.addedCapabilities.contains("ALL") { names = Set(Capability.all.map(\.name)) }
        if options.droppedCapabilities.contains("ALL") {
            if options.addedCapabilities.contains("ALL") { throw EngineError("--cap-add ALL and --cap-drop ALL exclude each other") }
            names = []
        }
        for name in options.addedCapabilities where name != "ALL" {
            if options.droppedCapabilities.contains(name) { throw EngineError("--cap-add and --cap-drop: \(name) is in both") }
            names.insert(name)
        }
        names.subtract(options.droppedCapabilities)
        return Capability.all.map(\.name).filter(names.contains)
    }

    // MARK: Mounts

    /// In the container, as far away from an image's own files as there is.
    static let initPlace = "/run/nacelle-init"

    private func mounts() throws(EngineError) -> [MountSpec] {
        var asked: [MountSpec] = []
        let anonymous = Dictionary(anonymousVolumes.map { ($0.destination, $0.source) }, uniquingKeysWith: { first, _ in first })
        var destinations: Set<String> = []
        func note(_ destination: String) throws(EngineError) {
            guard destinations.insert(destination).inserted else { throw EngineError("two mounts at \(destination): --volume, --mount and --tmpfs must name different places") }
        }
        for volume in options.volumes {
            try note(volume.destination)
            let source = volume.source ?? anonymous[volume.destination] ?? folder
            asked.append(MountSpec(
                destination: volume.destination, type: "bind", source: source,
                options: [volume.isRecursive ? "rbind" : "bind", volume.isReadOnly ? "ro" : "rw", volume.propagation ?? "rprivate"]))
        }
        for temporary in options.temporaries {
            try note(temporary.destination)
            asked.append(MountSpec(destination: temporary.destination, type: "tmpfs", source: "tmpfs", options: temporary.options))
        }
        for volume in imageVolumes where destinations.insert(volume).inserted {
            asked.append(MountSpec(destination: volume, type: "bind", source: anonymous[volume] ?? folder, options: ["rbind", "rw", "rprivate"]))
        }
        for name in options.names.files(options.network) where !destinations.contains("/etc/" + name) && !destinations.contains("/etc") {
            asked.append(MountSpec(destination: "/etc/" + name, type: "bind", source: folder + "/" + name, options: ["bind", "rw", "rprivate"]))
        }
        if let initProgram { asked.append(MountSpec(destination: Self.initPlace, type: "bind", source: initProgram, options: ["bind", "ro", "rprivate"])) }
        let usual = StandardContainer.mounts(sharedMemory: options.sharedMemory, isPrivileged: options.isPrivileged).filter { !destinations.contains($0.destination) }
        // What lies beneath another comes after it.
        return usual + asked.sorted { ($0.destination.split(separator: "/").count, $0.destination) < ($1.destination.split(separator: "/").count, $1.destination) }
    }

    /// The image's volumes that the user has not put something else on. A path that is none is the image's mistake, not a reason to mount over /.
    var imageVolumes: [String] {
        image.volumes.filter { $0.hasPrefix("/") && cleanPath($0) != "/" && !$0.utf8.contains(0) }.map(cleanPath).sorted()
    }

    /// Places in the container that get a folder of the host, which lives as long as the container.
    public var anonymousVolumes: [(destination: String, source: String)] {
        let taken = Set(options.volumes.filter { $0.source != nil }.map(\.destination) + options.temporaries.map(\.destination))
        let all = Set(options.volumes.filter { $0.source == nil }.map(\.destination) + imageVolumes).subtracting(taken)
        return all.sorted().enumerated().map { ($1, "\(folder)/volumes/\($0)") }
    }

    // MARK: The rest

    private var annotations: [String: String] {
        var result = image.annotations.merging(options.labels) { _, own in own }
        for (name, value) in options.annotations { result[name] = value }
        return result
    }

    private func linux(capabilities: Set<String>) -> LinuxSpec {
        var linux = LinuxSpec()
        linux.namespaces = [.pid, .ipc, .uts, .mount, .cgroup].map { NamespaceSpec($0) }
        if options.network == .none { linux.namespaces.append(NamespaceSpec(.network)) }
        if options.network == .host && options.hostname == nil { linux.namespaces.removeAll { $0.type == .uts } }
        if !userMappings.isEmpty {
            linux.namespaces.append(NamespaceSpec(.user))
            (linux.uidMappings, linux.gidMappings) = (userMappings, groupMappings)
        }
        linux.resources = options.resources.spec
        if hasControlGroup {
            linux.cgroupsPath = "/nacelle-\(id)"
            var resources = linux.resources ?? ResourcesSpec()
            resources.devices = StandardContainer.deviceRules(isPrivileged: options.isPrivileged) + options.devices.map(\.rule)
            linux.resources = resources
        }
        linux.devices = options.devices.map(\.device)
        if !options.isPrivileged {
            linux.maskedPaths = StandardContainer.maskedPaths
            linux.readonlyPaths = StandardContainer.readonlyPaths
        }
        linux.sysctl = options.sysctls
        switch options.security.seccomp {
        case .standard: linux.seccomp = options.isPrivileged ? nil : StandardSeccomp.profile.spec(capabilities: capabilities)
        case .unconfined: break
        case .profile(let profile): linux.seccomp = profile.spec(capabilities: capabilities)
        }
        return linux
    }
}
