internal import Glibc
internal import LinuxSystem

/// One mounted hierarchy of control groups.
public struct ControlGroupHierarchy: Hashable, Sendable {
    /// Where it is mounted.
    public var mountPoint: String
    /// The group that is the mount's root: "/" unless only a part is mounted.
    public var root: String
    /// Version 1: its controllers, or "name=…" of one without. Version 2: empty.
    public var controllers: [String]
    public var isVersion2: Bool { controllers.isEmpty }

    public init(mountPoint: String, root: String, controllers: [String]) {
        self.mountPoint = mountPoint
        self.root = root
        self.controllers = controllers
    }
}

/// Which hierarchies a machine has: pure v2, v1, or hybrid (v1 controllers beside a v2 tree without any).
public struct ControlGroupLayout: Equatable, Sendable {
    public var hierarchies: [ControlGroupHierarchy]
    /// Whether limits go to version 2: there is no version 1 hierarchy.
    public var isUnified: Bool { !hierarchies.isEmpty && hierarchies.allSatisfy(\.isVersion2) }

    public init(hierarchies: [ControlGroupHierarchy]) { self.hierarchies = hierarchies }

    /// From the text of /proc/self/mountinfo (proc_pid_mountinfo(5)). A hierarchy that is mounted twice counts once.
    public init(mountInfo: String) {
        hierarchies = []
        // By bytes: a carriage return before it would make the newline another character.
        for line in mountInfo.utf8.split(separator: UInt8(ascii: "\n")) where Self.mayBeControlGroup(line) {
            let fields = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false).map { Substring($0) }
            guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 3 else { continue }
            let type = fields[dash + 1]
            guard type == "cgroup" || type == "cgroup2" else { continue }
            let controllers = type == "cgroup2" ? [] : ControlGroupLayout.controllers(ofOptions: String(fields[dash + 3]))
            if type == "cgroup" && controllers.isEmpty { continue }
            let found = ControlGroupHierarchy(
                mountPoint: ControlGroupLayout.unescaped(fields[4]), root: ControlGroupLayout.unescaped(fields[3]), controllers: controllers)
            if !hierarchies.contains(where: { $0.controllers == controllers }) { hierarchies.append(found) }
        }
    }

    /// Whether ` - cgroup` stands in a line: most are of other file systems, and to take one apart costs a hundred times as much.
    private static func mayBeControlGroup(_ line: Substring.UTF8View) -> Bool {
        let word = " - cgroup".utf8
        var rest = line
        while let dash = rest.firstIndex(of: UInt8(ascii: "-")) {
            if dash != line.startIndex, line[line.index(before: dash)...].starts(with: word) { return true }
            rest = rest[line.index(after: dash)...]
        }
        return false
    }

    /// The layout of the calling process's mount namespace.
    public static func current() throws(ControlGroupError) -> ControlGroupLayout {
        do throws(SystemError) {
            return ControlGroupLayout(mountInfo: String(decoding: try readFile("/proc/self/mountinfo"), as: UTF8.self))
        } catch { throw .system(error) }
    }

    /// The super-block options of a version 1 mount that are controllers or the hierarchy's name.
    static func controllers(ofOptions options: String) -> [String] {
        let general: Set<Substring> = ["rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "release_agent", "seclabel", "relatime", "none", "all"]
        return options.split(separator: ",").filter { !general.contains($0) && !$0.hasPrefix("release_agent=") }.map(String.init)
    }

    /// mountinfo writes blanks, tabs, newlines and backslashes as three octal digits.
    static func unescaped(_ field: Substring) -> String {
        guard field.utf8.contains(UInt8(ascii: "\\")) else { return String(field) }
        let bytes = Array(field.utf8)
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "\\"), index + 3 < bytes.count,
                let value = UInt8(String(decoding: bytes[(index + 1)...(index + 3)], as: UTF8.self), radix: 8) {
                result.append(value)
                index += 4
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// The calling process's group in each hierarchy, from the text of /proc/self/cgroup: keyed like `controllers`, joined by commas.
    static func memberships(_ text: String) -> [String: String] {
        var result: [String: String] = [:]
        for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
            let parts = line.split(separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false).map { Substring($0) }
            if parts.count == 3 { result[String(parts[1])] = String(parts[2]) }
        }
        return result
    }

    /// The directory of a group in one hierarchy.
    ///
    /// - Parameters:
    ///   - path: linux.cgroupsPath. Absolute: from the hierarchy's root. Relative, or nil: from the caller's own group, in version 2 from that
    ///     one's parent, as under runc: a group with processes in it can pass no controllers on.
    ///   - identifier: the container's, the name when there is no path.
    ///   - membership: the caller's own group in this hierarchy.
    public static func directory(in hierarchy: ControlGroupHierarchy, path: String?, identifier: String, membership: String) throws(ControlGroupError) -> String {
        let wanted = path.flatMap { $0.isEmpty ? nil : $0 } ?? identifier
        if wanted.split(separator: ":", omittingEmptySubsequences: false).count == 3, !wanted.utf8.contains(UInt8(ascii: "/")) { throw .systemdPath(wanted) }
        guard let relative = cleaned(wanted), !relative.isEmpty, !wanted.utf8.contains(0) else { throw .invalidPath(wanted) }
        if wanted.hasPrefix("/") { return hierarchy.mountPoint + "/" + relative }
        var own = membership
        if own == hierarchy.root || own.hasPrefix(hierarchy.root + "/") { own = String(own.dropFirst(hierarchy.root.count)) }
        guard let inner = cleaned(own) else { throw .invalidPath(own) }
        let base = hierarchy.isVersion2 ? inner.split(separator: "/").dropLast().joined(separator: "/") : inner
        return hierarchy.mountPoint + (base.isEmpty ? "" : "/" + base) + "/" + relative
    }

    /// Without ".", "..", empty components and leading slash. nil when it climbs above its start.
    static func cleaned(_ path: String) -> String? {
        var components: [Substring] = []
        for component in path.split(separator: "/") where component != "." {
            if component == ".." {
                if components.popLast() == nil { return nil }
            } else {
                components.append(component)
            }
        }
        return components.joined(separator: "/")
    }
}
