internal import ControlGroups
internal import Glibc
internal import OCISpec

/// Where a container's control group is on this host.
struct HostControlGroup {
    /// Absolute below each hierarchy's root, or relative to the caller's group, as linux.cgroupsPath is.
    let path: String
    /// The group's directories, one a hierarchy.
    let directories: [String]

    /// - Throws: when the place cannot be used: it has processes already, which a later `delete` would kill.
    static func locate(_ spec: RuntimeSpec, id: String) throws(RuntimeError) -> HostControlGroup {
        // Two folders of states may have containers of one name.
        let path = spec.linux?.cgroupsPath.flatMap { $0.isEmpty ? nil : $0 } ?? "\(id).\(getpid())"
        do throws(ControlGroupError) {
            let group = try ControlGroup.locate(path: path, identifier: id)
            let processes = try group.processes()
            guard processes.isEmpty else { throw .notEmpty(path: group.directories.first ?? path) }
            return HostControlGroup(path: path, directories: group.directories)
        } catch { throw RuntimeError("\(error)") }
    }
}
