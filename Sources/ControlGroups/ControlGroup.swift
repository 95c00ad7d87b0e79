internal import Glibc
internal import LinuxSystem

/// A container's control group: one directory in version 2, one in each hierarchy of version 1 (cgroupfs semantics: no systemd).
public final class ControlGroup {
    /// A hierarchy and the group's directory in it.
    public struct Place: Hashable, Sendable {
        public let hierarchy: ControlGroupHierarchy
        public let directory: String
    }

    public let layout: ControlGroupLayout
    public let places: [Place]
    /// Gets to know lines before `change` and `restore` write them, if somebody else writes such files as well (systemd).
    public var beforeChange: (([ResourceWrite]) throws(ControlGroupError) -> Void)?

    init(layout: ControlGroupLayout, places: [Place]) {
        self.layout = layout
        self.places = places
    }

    /// The one directory that processes are put into by clone3(2), in a unified layout.
    public var unifiedDirectory: String? { layout.isUnified ? places.first?.directory : nil }

    /// The group's directories, one a hierarchy: what must be kept to find the group again.
    public var directories: [String] { places.map(\.directory) }

    /// A group by its directories; nil when there are none. Another process, in a group of its own, cannot find it by a relative path.
    public static func existing(_ directories: [String]) throws(ControlGroupError) -> ControlGroup? {
        guard !directories.isEmpty else { return nil }
        let layout = try ControlGroupLayout.current()
        var places: [Place] = []
        for directory in directories {
            // Hybrid layouts have one mount point below another's: the longest is meant.
            let holder = layout.hierarchies.filter { directory.hasPrefix($0.mountPoint + "/") }.max { $0.mountPoint.utf8.count < $1.mountPoint.utf8.count }
            guard let holder else { throw .invalidPath(directory) }
            places.append(Place(hierarchy: holder, directory: directory))
        }
        return ControlGroup(layout: layout, places: places)
    }

    /// Where the group of a configuration is or would be; touches nothing.
    /// - Parameters:
    ///   - path: linux.cgroupsPath; nil or empty: a child (in version 2 a sibling) of the caller's own group, named by the container's identifier.
    public static func locate(path: String?, identifier: String) throws(ControlGroupError) -> ControlGroup {
        let layout = try ControlGroupLayout.current()
        guard !layout.hierarchies.isEmpty else { throw .notMounted }
        let own: [String: String]
        do throws(SystemError) {
            own = ControlGroupLayout.memberships(String(decoding: try readFile("/proc/self/cgroup"), as: UTF8.self))
        } catch { throw .system(error) }
        var places: [Place] = []
        for hierarchy in layout.hierarchies {
            let membership = own[hierarchy.controllers.joined(separator: ",")]
                ?? own.first { Set($0.key.split(separator: ",").map(String.init)) == Set(hierarchy.controllers) }?.value ?? "/"
            let directory = try ControlGroupLayout.directory(in: hierarchy, path: path, identifier: identifier, membership: membership)
            places.append(Place(hierarchy: hierarchy, directory: directory))
        }
        return ControlGroup(layout: layout, places: places)
    }

    /// Makes the group's directories and enables the controllers above them.
    /// - Throws: `.notEmpty` if the group exists and has processes.
    public static func create(path: String?, identifier: String) throws(ControlGroupError) -> ControlGroup {
        let group = try locate(path: path, identifier: identifier)
        // Before anything is made, so that a refusal does not remove what is somebody else's.
        for place in group.places where !(try group.processes(in: place.directory)).isEmpty { throw .notEmpty(path: place.directory) }
        do throws(ControlGroupError) {
            for place in group.places { try group.make(place) }
        } catch {
            try? group.delete()
            throw error
        }
        return group
    }

    /// The group that systemd has put a process into; where systemd does not manage a hierarchy of version 1, the group of that path there.
    public static func adopting(_ pid: Int32) throws(ControlGroupError) -> ControlGroup {
        let own: [String: String]
        do throws(SystemError) { own = ControlGroupLayout.memberships(String(decoding: try readFile("/proc/\(pid)/cgroup"), as: UTF8.self)) } catch { throw .system(error) }
        guard let path = own["name=systemd"] ?? own[""], path != "/" else { throw .invalidPath("/proc/\(pid)/cgroup") }
        let group = try locate(path: path, identifier: "")
        for place in group.places where (try? FileStatus(path: place.directory)) == nil { try group.make(place) }
        try group.add(pid)
        return group
    }

    private func make(_ place: Place) throws(ControlGroupError) {
        let relative = place.directory.dropFirst(place.hierarchy.mountPoint.count).split(separator: "/")
        var directory = place.hierarchy.mountPoint
        for component in relative {
            if place.hierarchy.isVersion2 { enableControllers(in: directory) }
            let parent = directory
            directory += "/" + component
            do throws(SystemError) {
                try LinuxSystem.makeDirectory(directory)
            } catch { throw .system(error) }
            if place.hierarchy.controllers.contains("cpuset") { inheritCPUSet(directory, from: parent) }
        }
    }

    /// Passes every controller on to the children. Which ones are needed shows when limits are written.
    private func enableControllers(in directory: String) {
        guard let bytes = try? readFile(directory + "/cgroup.controllers") else { return }
        let available = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
        let line = available.map { "+\($0)" }.joined(separator: " ")
        do throws(SystemError) { return try overwrite(directory + "/cgroup.subtree_control", line) } catch {
            // There are processes in it: those controllers that it could pass on all the same would make its children part of it, into
            // which no process can be put ("domain invalid").
            if error.errno == .busy { return }
        }
        // One that cannot be enabled (realtime processes forbid cpu) must not keep the others off.
        for controller in available { try? overwrite(directory + "/cgroup.subtree_control", "+\(controller)") }
    }

    /// A new cpuset of version 1 is empty and takes no process.
    private func inheritCPUSet(_ directory: String, from parent: String) {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            guard let own = try? readFile(directory + "/" + file), own.allSatisfy({ $0 == UInt8(ascii: "\n") }),
                let inherited = try? readFile(parent + "/" + file) else { continue }
            try? overwrite(directory + "/" + file, String(decoding: inherited, as: UTF8.self))
        }
    }

    func attachDeviceFilter(_ rules: [DeviceRule], to directory: String) throws(ControlGroupError) {
        do throws(SystemError) {
            let program = try DeviceFilterProgram(instructions: DeviceFilter.program(rules))
            let group = try OwnedDescriptor(opening: directory, flags: O_RDONLY | O_DIRECTORY)
            try program.attach(to: group)
        } catch {
            if error.errno == .notImplemented || error.errno == .invalidArgument {
                throw .unsupported(field: "devices", reason: "this kernel has no eBPF filters for devices (CONFIG_CGROUP_BPF)")
            }
            throw .system(error)
        }
    }

    /// The directory of the hierarchy with a controller of version 1.
    func directory(of controller: String) -> String? {
        places.first { $0.hierarchy.controllers.contains(controller) }?.directory
    }

    func perform(_ write: ResourceWrite, in directory: String) throws(ControlGroupError) {
        do throws(SystemError) {
            try overwrite(directory + "/" + write.file, write.value)
        } catch {
            guard error.errno == .noSuchFile else { throw .system(error) }
            if let other = write.otherwise {
                return try perform(ResourceWrite(write.controller, other.file, other.value, optional: write.optional), in: directory)
            }
            if !write.optional { throw .missingController(write.controller, file: write.file) }
        }
    }

    /// Moves a process into the group.
    public func add(_ pid: Int32) throws(ControlGroupError) {
        do throws(SystemError) {
            for place in places { try overwrite(place.directory + "/cgroup.procs", "\(pid)") }
        } catch { throw .system(error) }
    }

    /// The processes of the group and of groups beneath it, in the caller's pid namespace, without those that cannot be seen from there.
    public func processes() throws(ControlGroupError) -> [Int32] {
        var all: Set<Int32> = []
        for place in relevantPlaces { all.formUnion(try processes(in: place.directory)) }
        return all.sorted()
    }

    /// Version 1: one hierarchy suffices, for all processes are in every one. In a hybrid layout the version 2 tree may have fewer.
    private var relevantPlaces: [Place] {
        if layout.isUnified { return places }
        let first = places.first { $0.hierarchy.controllers.contains("devices") || $0.hierarchy.controllers.contains("freezer") } ?? places.first
        return first.map { [$0] } ?? []
    }

    private func processes(in directory: String) throws(ControlGroupError) -> [Int32] {
        do throws(SystemError) {
            var result = String(decoding: try readFile(directory + "/cgroup.procs"), as: UTF8.self).split(separator: "\n").compactMap { Int32($0) }.filter { $0 > 0 }
            for child in try subdirectories(of: directory) { result += (try? processes(in: directory + "/" + child)) ?? [] }
            return result
        } catch {
            // A threaded group has no list; one that is gone has no processes.
            if error.errno == .noSuchFile || error.errno == .notSupported || error.errno == Errno(rawValue: ENODEV) { return [] }
            throw .system(error)
        }
    }

    private func subdirectories(of directory: String) throws(SystemError) -> [String] {
        let handle = try OwnedDescriptor(opening: directory, flags: O_RDONLY | O_DIRECTORY)
        return try handle.entries().filter { (try? handle.status(of: $0))?.isDirectory ?? false }
    }
}

// MARK: Freezing, killing, removing

extension ControlGroup {
    /// Whether the group's processes are stopped, or about to be.
    public var isFrozen: Bool {
        if let directory = unifiedDirectory { return number(directory + "/cgroup.freeze") == 1 }
        guard let directory = directory(of: "freezer"), let state = try? readFile(directory + "/freezer.state") else { return false }
        return state.starts(with: "FR".utf8)  // FROZEN, FREEZING
    }

    /// Stops all processes of the group (or lets them go on). Those that do not stop in so many milliseconds, as on a machine that has too much to do, go on.
    public func setFrozen(_ frozen: Bool, patience: Int = 10_000) throws(ControlGroupError) {
        do throws(SystemError) {
            if let directory = unifiedDirectory {
                try overwrite(directory + "/cgroup.freeze", frozen ? "1" : "0")
                for attempt in 0..<patience / 2 {
                    let events = String(decoding: try readFile(directory + "/cgroup.events"), as: UTF8.self)
                    if events.contains("frozen \(frozen ? 1 : 0)") { return }
                    // The kernel does not stop threads of its own, yet counts them: with KVM's (kvm-nx-lpage-recovery) in it a group
                    // is never told to be frozen. Its other threads stop at their next return to user mode, within milliseconds.
                    if attempt > 0, attempt % 25 == 0, hasKernelThread(directory) { return }
                    sleep(milliseconds: 2)
                }
                if frozen { try overwrite(directory + "/cgroup.freeze", "0") }
            } else if let directory = directory(of: "freezer") {
                // A process that forks meanwhile makes the state stick at FREEZING until it is asked again.
                for _ in 0..<patience / 2 {
                    try overwrite(directory + "/freezer.state", frozen ? "FROZEN" : "THAWED")
                    let state = String(decoding: try readFile(directory + "/freezer.state"), as: UTF8.self)
                    if state.hasPrefix(frozen ? "FROZEN" : "THAWED") { return }
                    sleep(milliseconds: 2)
                }
                if frozen { try overwrite(directory + "/freezer.state", "THAWED") }
            } else { throw SystemError(.notSupported, "freezer") }
        } catch { throw .system(error) }
        throw .freezer(path: unifiedDirectory ?? directory(of: "freezer") ?? "", frozen: frozen)
    }

    private func hasKernelThread(_ directory: String) -> Bool {
        // Whoever is in a pid namespace sees 0 in their place.
        if let text = try? readFile(directory + "/cgroup.procs"), String(decoding: text, as: UTF8.self).split(separator: "\n").contains("0") { return true }
        // Only they have no program.
        return ((try? processes(in: directory)) ?? []).contains { pid in
            guard let folder = try? OwnedDescriptor(opening: "/proc/\(pid)", flags: O_PATH | O_DIRECTORY) else { return false }
            return (try? folder.linkTarget(of: "exe")) == nil
        }
    }

    /// Sends a signal to every process of the group. SIGKILL reaches those that fork meanwhile, too.
    public func signalAll(_ number: Int32) throws(ControlGroupError) {
        if number == SIGKILL, let directory = unifiedDirectory, (try? overwrite(directory + "/cgroup.kill", "1")) != nil { return }
        // While they are frozen, none can fork away from the signal.
        let frozen = (try? setFrozen(true, patience: 2_000)) != nil
        defer { if frozen { try? setFrozen(false) } }
        for pid in try processes() {
            do throws(SystemError) {
                try sendSignal(number, to: pid)
            } catch {
                if error.errno != .noSuchProcess { throw .system(error) }
            }
        }
    }

    /// Removes the group, killing what is in it. Waits a few seconds for processes to be gone, which somebody else must reap.
    public func delete() throws(ControlGroupError) {
        var lastError: ControlGroupError?
        for place in places {
            do throws(ControlGroupError) {
                try remove(place.directory)
            } catch { lastError = error }
        }
        if let lastError { throw lastError }
    }

    private func remove(_ directory: String) throws(ControlGroupError) {
        var delay: UInt32 = 1
        for _ in 0..<12 {
            do throws(SystemError) {
                for child in try subdirectories(of: directory) { try? remove(directory + "/" + child) }
                try removeDirectory(directory)
                return
            } catch {
                if error.errno == .noSuchFile { return }
                guard error.errno == .busy || error.errno == .notEmpty else { throw .system(error) }
            }
            for pid in (try? processes(in: directory)) ?? [] { try? sendSignal(SIGKILL, to: pid) }
            sleep(milliseconds: delay)
            delay *= 2
        }
        throw .stillBusy(path: directory)
    }
}

/// Writes a value into a file that exists.
func overwrite(_ path: String, _ value: String) throws(SystemError) {
    let file = try OwnedDescriptor(opening: path, flags: O_WRONLY)
    do throws(SystemError) {
        try file.writeAll(Array(value.utf8))
    } catch { throw SystemError(error.errno, "write \(value)", path: path) }
}

/// The number that is all of a small file, or nil ("max", or no such file).
func number(_ path: String) -> UInt64? {
    guard let bytes = try? readFile(path, limit: 4096) else { return nil }
    return UInt64(String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
}
