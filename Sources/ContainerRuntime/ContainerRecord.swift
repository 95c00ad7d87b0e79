internal import JSONText
internal import LinuxSystem
internal import OCISpec

/// What is written down of a container: `state.json` in its state directory.
public struct ContainerRecord: Equatable, Sendable {
    public var id = ""
    /// The bundle's absolute path.
    public var bundle = ""
    public var rootfs = ""
    /// That of the process that stands for the container: nacelle-vmm's, or its own. 0 until it runs.
    public var pid: Int32 = 0
    /// The process's start in clock ticks since boot, so that a pid that was used again is not taken for it.
    public var startTime: UInt64 = 0
    /// RFC 3339
    public var created = ""
    /// The user who created it.
    public var owner: UInt32 = 0
    public var ociVersion = ""
    public var annotations: [String: String] = [:]
    public var isolation = Isolation.microVM
    /// The directories of its control group on the host, one a hierarchy; none if it has no group.
    public var controlGroups: [String] = []
    /// Directories of the resctrl file system that are the container's alone.
    public var resourceGroups: [String] = []
    /// Its scope, if systemd made its control group.
    public var systemdUnit = ""
    /// The machine's memory in MiB and its vCPUs, which no update changes; 0 without a machine.
    public var machineMemory: UInt64 = 0
    public var machineVCPUs = 0
    /// `create` has come to its end.
    public var isCreated = false
    /// Whether the configuration has hooks for after `create`. If not, it need not be read for them.
    public var hasLaterHooks = true

    public init() {}

    func text() -> [UInt8] {
        var object = JSONObject()
        object["version"] = .integer(1)
        object["id"] = .string(id)
        object["bundle"] = .string(bundle)
        object["rootfs"] = .string(rootfs)
        object["pid"] = .integer(Int64(pid))
        object["startTime"] = .unsigned(startTime)
        object["created"] = .string(created)
        object["owner"] = .integer(Int64(owner))
        object["ociVersion"] = .string(ociVersion)
        object["isolation"] = .string(isolation.rawValue)
        object["cgroups"] = .array(controlGroups.map { .string($0) })
        object["resctrl"] = .array(resourceGroups.map { .string($0) })
        if !systemdUnit.isEmpty { object["systemdUnit"] = .string(systemdUnit) }
        object["machineMemory"] = .unsigned(machineMemory)
        object["machineVCPUs"] = .integer(Int64(machineVCPUs))
        object["isCreated"] = .bool(isCreated)
        object["hasLaterHooks"] = .bool(hasLaterHooks)
        var notes = JSONObject()
        for key in annotations.keys.sorted() { notes[key] = annotations[key].map { .string($0) } }
        object["annotations"] = .object(notes)
        return JSONValue.object(object).bytes()
    }

    init(parsing text: [UInt8]) throws(RuntimeError) {
        do throws(JSONShapeError) {
            let value: JSONValue
            do throws(JSONError) { value = try JSONValue(parsing: text) } catch { throw JSONShapeError(path: "", problem: "\(error)") }
            let members = try JSONCursor(value).object()
            guard try members.required("version").integer(Int.self) == 1 else { throw JSONShapeError(path: "version", problem: "is not 1") }
            id = try members.required("id").string()
            bundle = try members.required("bundle").string()
            rootfs = try members.required("rootfs").string()
            pid = try members.required("pid").integer()
            startTime = try members.required("startTime").integer()
            created = try members.required("created").string()
            owner = try members.required("owner").integer()
            ociVersion = try members.required("ociVersion").string()
            let word = try members.required("isolation").string()
            guard let isolation = Isolation(rawValue: word) else { throw JSONShapeError(path: "isolation", problem: "is not known") }
            self.isolation = isolation
            controlGroups = try members["cgroups"]?.strings() ?? []
            resourceGroups = try members["resctrl"]?.strings() ?? []
            systemdUnit = try members["systemdUnit"]?.string() ?? ""
            machineMemory = try members["machineMemory"]?.integer() ?? 0
            machineVCPUs = try members["machineVCPUs"]?.integer() ?? 0
            isCreated = try members["isCreated"]?.bool() ?? false
            hasLaterHooks = try members["hasLaterHooks"]?.bool() ?? true
            for (key, value) in try members["annotations"]?.map({ (cursor) throws(JSONShapeError) in try cursor.string() }) ?? [] { annotations[key] = value }
        } catch { throw RuntimeError("state.json is damaged: \(error)") }
    }
}

extension ContainerRecord {
    /// The container's state as the specification has it.
    func state(_ status: StateSpec.Status) -> StateSpec {
        var document = StateSpec()
        (document.ociVersion, document.id, document.status, document.bundle) = (ociVersion, id, status, bundle)
        document.pid = status == .stopped ? 0 : Int(pid)
        document.annotations = annotations
        return document
    }

    /// Whether the process that stands for the container still runs.
    var isAlive: Bool { pid > 0 && ProcessIdentity.startTime(of: pid) == startTime }
}

/// Whether a process still is the one that was meant.
enum ProcessIdentity {
    /// The start time of a process in clock ticks since boot; nil when there is none, or it has ended and waits to be reaped.
    static func startTime(of pid: Int32) -> UInt64? {
        guard let fields = processFields(pid), fields.count > 19, fields[0] != [UInt8(ascii: "Z")][...], fields[0] != [UInt8(ascii: "X")][...] else { return nil }
        return UInt64(String(decoding: fields[19], as: UTF8.self))
    }
}
