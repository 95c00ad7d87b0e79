internal import ContainerRuntime
internal import Glibc
internal import JSONText
internal import LinuxSystem
public import OCISpec

/// `--mount type=bind|volume|tmpfs,source=…,target=…`: what `-v` and `--tmpfs` say, in other words.
public enum MountFlag: Equatable, Sendable {
    case volume(VolumeRequest)
    case temporary(TemporaryRequest)

    public init(_ text: String, _ surroundings: Surroundings) throws(EngineError) {
        func wrong(_ why: String) -> EngineError { EngineError("--mount \(quoted(text)): \(why)") }
        var (type, source, target): (String, String?, String?) = ("volume", nil, nil)
        var words: [(name: String, value: String)] = []
        for field in text.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let value = parts.count == 2 ? parts[1] : "true"
            switch parts.first ?? "" {
            case "type": type = value
            case "source", "src": source = value
            case "target", "destination", "dst": target = value
            case let name: words.append((name, value))
            }
        }
        guard let target, target.hasPrefix("/"), cleanPath(target) != "/" else { throw wrong("target= with an absolute path other than / is expected") }
        switch type {
        case "bind", "volume":
            var request = VolumeRequest(source: nil, name: nil, destination: cleanPath(target))
            if type == "bind" {
                guard let source, !source.isEmpty else { throw wrong("a bind needs source= with a path of this host") }
                request.source = surroundings.absolute(source)
            } else if let source, !source.isEmpty { request.name = try Volumes.check(source) }
            for (name, value) in words { guard try Self.set(name, value, of: &request) else { throw wrong("\(quoted(name)) is no option of a \(type): there are \(Self.options(of: type))") } }
            self = .volume(request)
        case "tmpfs":
            guard source == nil else { throw wrong("a tmpfs has no source") }
            var options: [String] = []
            for (name, value) in words {
                switch name {
                case "tmpfs-size": options.append("size=\(value)")
                case "tmpfs-mode": options.append("mode=\(value)")
                case "readonly", "ro": if try Self.truth(name, value) { options.append("ro") }
                default: throw wrong("\(quoted(name)) is no option of a tmpfs: there are tmpfs-size, tmpfs-mode, readonly")
                }
            }
            self = .temporary(try TemporaryRequest(cleanPath(target) + ":" + (options.isEmpty ? ["rw"] : options).joined(separator: ",")))
        default: throw wrong("there are type=bind, type=volume and type=tmpfs")
        }
    }

    private static func options(of type: String) -> String {
        type == "bind" ? "source, target, readonly, bind-propagation, bind-nonrecursive" : "source, target, readonly, and volume-nocopy of a named one"
    }

    private static func set(_ name: String, _ value: String, of request: inout VolumeRequest) throws(EngineError) -> Bool {
        switch name {
        case "readonly", "ro": request.isReadOnly = try truth(name, value)
        case "rw": request.isReadOnly = try !truth(name, value)
        case "bind-nonrecursive" where request.source != nil: request.isRecursive = try !truth(name, value)
        case "bind-propagation" where request.source != nil:
            guard VolumeRequest.propagations.contains(value) else { throw EngineError("--mount bind-propagation=\(quoted(value)): there are \(VolumeRequest.propagations.joined(separator: ", "))") }
            request.propagation = value
        case "volume-nocopy" where request.name != nil: request.copies = try !truth(name, value)
        default: return false
        }
        return true
    }

    private static func truth(_ name: String, _ value: String) throws(EngineError) -> Bool {
        switch value {
        case "true", "1": return true
        case "false", "0": return false
        default: throw EngineError("--mount \(name)=\(quoted(value)): true or false is expected")
        }
    }
}

/// `--device HOST[:CONTAINER][:PERMISSIONS]`: a device of this host, for containers on its kernel.
public struct DeviceRequest: Equatable, Sendable {
    public var device = DeviceSpec()
    /// Of `rwm`.
    public var access = "rwm"

    public init(_ text: String, _ surroundings: Surroundings) throws(EngineError) {
        func wrong(_ why: String) -> EngineError { EngineError("--device \(quoted(text)): \(why)") }
        var parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        if parts.count > 1, let last = parts.last, !last.hasPrefix("/") {
            guard !last.isEmpty, last.utf8.count <= 3, last.allSatisfy({ "rwm".contains($0) }) else { throw wrong("\(quoted(last)) is no access: letters of rwm are expected") }
            access = last
            parts.removeLast()
        }
        guard (1...2).contains(parts.count), !parts[0].isEmpty, parts.count == 1 || parts[1].hasPrefix("/") else { throw wrong("HOST[:CONTAINER][:PERMISSIONS] is expected, such as /dev/fuse or /dev/sda:/dev/disk:r") }
        let path = surroundings.absolute(parts[0])
        let attributes: FileAttributes
        do throws(SystemError) { attributes = try OwnedDescriptor(opening: path, flags: O_PATH).attributes() } catch { throw wrong("\(error.errno)") }
        switch attributes.mode & UInt32(S_IFMT) {
        case UInt32(S_IFCHR): device.type = .character
        case UInt32(S_IFBLK): device.type = .block
        default: throw wrong("is no device")
        }
        device.path = cleanPath(parts.count == 2 ? parts[1] : path)
        (device.major, device.minor) = (Int64(attributes.deviceMajor), Int64(attributes.deviceMinor))
        (device.fileMode, device.uid, device.gid) = (attributes.mode & 0o777, attributes.user, attributes.group)
    }

    var rule: ResourcesSpec.DeviceRuleSpec {
        var rule = ResourcesSpec.DeviceRuleSpec()
        (rule.allow, rule.type, rule.major, rule.minor, rule.access) = (true, device.type.rawValue, device.major, device.minor, access)
        return rule
    }
}
