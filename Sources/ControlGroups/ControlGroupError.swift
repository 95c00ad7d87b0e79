public import LinuxSystem

/// Why a control group could not be made, limited or removed.
public enum ControlGroupError: Error, Equatable, Sendable, CustomStringConvertible {
    case system(SystemError)
    /// No cgroup file system is mounted.
    case notMounted
    /// linux.cgroupsPath has the form of systemd's driver.
    case systemdPath(String)
    /// linux.cgroupsPath cannot be used.
    case invalidPath(String)
    /// The group has processes of somebody else.
    case notEmpty(path: String)
    /// A limit needs a controller that this machine does not have.
    case missingController(String, file: String)
    /// A field of linux.resources that this kernel's control groups cannot express.
    case unsupported(field: String, reason: String)
    /// A field of linux.resources with an impossible value.
    case invalidValue(field: String, reason: String)
    /// What systemd has to say of the group that it made.
    case systemd(String)
    /// A group below the container's that cannot be one.
    case invalidSubgroup(String)
    /// A change failed half way, and so did writing what was there before.
    case inconsistent(String, setBack: String)
    /// Processes of the group did not stop (or go on) in time.
    case freezer(path: String, frozen: Bool)
    /// Processes of the group do not end.
    case stillBusy(path: String)

    /// Whether there are no control groups here, or none that this user may make.
    public var meansNone: Bool {
        switch self {
        case .notMounted: true
        case .system(let reason): [.permissionDenied, .notPermitted, .readOnly].contains(reason.errno)
        default: false
        }
    }

    public var description: String {
        switch self {
        case .system(let error): "cgroup: \(error)"
        case .notMounted: "cgroup: no cgroup file system is mounted"
        case .systemdPath(let path):
            "cgroup: linux.cgroupsPath \"\(path)\" is for systemd's cgroup driver: use it (--systemd-cgroup), or the cgroupfs driver (podman --cgroup-manager=cgroupfs, dockerd --exec-opt native.cgroupdriver=cgroupfs)"
        case .invalidPath(let path): "cgroup: invalid linux.cgroupsPath \"\(path)\""
        case .notEmpty(let path): "cgroup: container's cgroup is not empty: \(path)"
        case .missingController(let controller, let file): "cgroup: controller \(controller) is not available (no file \(file))"
        case .unsupported(let field, let reason): "cgroup: linux.resources.\(field): \(reason)"
        case .invalidValue(let field, let reason): "cgroup: linux.resources.\(field): \(reason)"
        case .systemd(let message): message
        case .invalidSubgroup(let path): "bad sub cgroup path: \(path)"
        case .inconsistent(let reason, let setBack): "\(reason) (setting the limits back failed as well: \(setBack))"
        case .freezer(let path, true): "cgroup: processes of \(path) did not stop in time, and go on"
        case .freezer(let path, false): "cgroup: processes of \(path) did not go on in time"
        case .stillBusy(let path): "cgroup: processes of \(path) do not end"
        }
    }
}
