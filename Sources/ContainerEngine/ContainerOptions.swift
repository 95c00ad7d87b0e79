internal import JSONText
internal import LinuxSystem
public import OCISpec

/// What a user asks for by flags of `run` and `create`, each checked.
public struct ContainerOptions: Equatable, Sendable {
    public enum Network: String, CaseIterable, Sendable { case none, host }

    public var name: String?
    public var hostname: String?
    public var terminal = false
    public var interactive = false
    public var removesItself = false
    /// NAME=VALUE
    public var environment: [String] = []
    public var volumes: [VolumeRequest] = []
    public var temporaries: [TemporaryRequest] = []
    public var devices: [DeviceRequest] = []
    public var workingDirectory: String?
    public var user: String?
    public var furtherGroups: [String] = []
    public var resources = ResourceRequest()
    public var isReadOnly = false
    public var isPrivileged = false
    public var addedCapabilities: [String] = []
    public var droppedCapabilities: [String] = []
    public var security = SecurityRequest()
    /// nil is the image's; an empty list is none.
    public var entrypoint: [String]?
    public var command: [String] = []
    public var network = Network.none
    /// `--add-host`, `--dns` and its like.
    public var names = NameRequest()
    /// An init of this host's is the first process, and runs the program.
    public var hasInit = false
    /// -1000 to 1000; nil is the caller's.
    public var oomScoreAdjustment: Int?
    public var labels: [String: String] = [:]
    public var annotations: [String: String] = [:]
    public var limits: [RlimitSpec] = []
    public var sysctls: [String: String] = [:]
    /// Bytes, of /dev/shm.
    public var sharedMemory: Int64 = 64 << 20
    /// A signal's number.
    public var stopSignal: Int32?
    /// Seconds
    public var stopTimeout = 10
    public var isolation: String?
    /// A name or path; nil is nacelle-oci.
    public var runtime: String?
    public var log = LogSettings()
    public var storage = StorageRequest()

    public init() {}
}

/// `-v SOURCE:DESTINATION[:OPTIONS]`
public struct VolumeRequest: Equatable, Sendable {
    /// Absolute, on the host; nil is a volume: a named one, or an anonymous one, which lives as long as the container.
    public var source: String?
    /// Of a named volume.
    public var name: String?
    /// An empty named volume gets what the image has in its place.
    public var copies = true
    public var destination: String
    public var isReadOnly = false
    /// `rprivate`, `rshared` …; nil is rprivate.
    public var propagation: String?
    /// What is mounted beneath the source comes along.
    public var isRecursive = true

    static let propagations = ["private", "rprivate", "shared", "rshared", "slave", "rslave"]

    /// - Parameter text: what follows `-v`.
    public init(_ text: String, _ surroundings: Surroundings) throws(EngineError) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        func wrong(_ why: String) -> EngineError { EngineError("--volume \(quoted(text)): \(why)") }
        guard (1...3).contains(parts.count), !parts.contains("") else { throw wrong("SOURCE:DESTINATION[:OPTIONS] is expected, or DESTINATION alone for a volume of the container's own") }
        destination = parts.count == 1 ? parts[0] : parts[1]
        guard destination.hasPrefix("/"), cleanPath(destination) != "/" else { throw wrong("the destination \(quoted(destination)) is not an absolute path other than /") }
        destination = cleanPath(destination)
        if parts.count > 1 {
            if parts[0].contains("/") || parts[0].hasPrefix(".") { source = surroundings.absolute(parts[0]) } else { name = try Volumes.check(parts[0]) }
        }
        for option in parts.count == 3 ? parts[2].split(separator: ",", omittingEmptySubsequences: false).map(String.init) : [] {
            switch option {
            case "ro": isReadOnly = true
            case "rw": isReadOnly = false
            case "rbind": isRecursive = true
            case "bind": isRecursive = false
            case "nocopy" where name != nil: copies = false
            // Without SELinux there is nothing to do, as under podman and Docker.
            case "z", "Z": if SELinux.isEnabled { throw wrong("\(quoted(option)) gives files SELinux labels, which is not done here: leave it out") }
            case "U": throw wrong("\"U\" changes the files' owner, which is not done here: use chown(1)")
            case _ where Self.propagations.contains(option): propagation = option
            default: throw wrong("\(quoted(option)) is no option of a volume: there are ro, rw, bind, rbind, \(Self.propagations.joined(separator: ", ")), and nocopy of a named volume")
            }
        }
    }

    init(source: String?, name: String?, destination: String) { (self.source, self.name, self.destination) = (source, name, destination) }
}

/// `--tmpfs DESTINATION[:OPTIONS]`
public struct TemporaryRequest: Equatable, Sendable {
    public var destination: String
    public var options: [String]

    public init(_ text: String) throws(EngineError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let path = parts.first, path.hasPrefix("/"), cleanPath(path) != "/" else {
            throw EngineError("--tmpfs \(quoted(text)): DESTINATION[:OPTIONS] with an absolute path other than / is expected")
        }
        destination = cleanPath(path)
        let asked = parts.count == 2 ? parts[1].split(separator: ",", omittingEmptySubsequences: false).map(String.init) : []
        for option in asked {
            let word = String(option.prefix { $0 != "=" })
            let takesValue = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"].contains(word)
            guard takesValue ? option.count > word.count + 1 : MountOption.named(option) != nil else {
                throw EngineError("--tmpfs \(quoted(text)): \(quoted(option)) is no option of a tmpfs: there are size=, mode=, uid=, gid=, nr_inodes= and the options of mount(8)")
            }
        }
        // Docker's; what is asked for comes after it and wins.
        options = ["noexec", "nosuid", "nodev"].filter { word in !asked.contains(String(word.dropFirst(2))) } + asked
    }
}

/// `--security-opt`
public struct SecurityRequest: Equatable, Sendable {
    public enum Seccomp: Equatable, Sendable {
        case standard, unconfined
        case profile(SeccompProfile)
    }
    public var seccomp = Seccomp.standard
    public var noNewPrivileges = false
    /// An AppArmor profile; nil is none of the container's own.
    public var apparmor: String?
    public init() {}

    /// Adds one `--security-opt`.
    /// - Parameter read: reads a profile's file.
    public mutating func add(_ text: String, read: (String) throws(EngineError) -> [UInt8]) throws(EngineError) {
        let separator = text.firstIndex { $0 == "=" || $0 == ":" }
        let word = String(text[..<(separator ?? text.endIndex)])
        let value = separator.map { String(text[text.index(after: $0)...]) }
        switch (word, value) {
        case ("no-new-privileges", nil), ("no-new-privileges", "true"?): noNewPrivileges = true
        case ("no-new-privileges", "false"?): noNewPrivileges = false
        case ("seccomp", "unconfined"?): seccomp = .unconfined
        case ("seccomp", let path?) where !path.isEmpty: seccomp = .profile(try SeccompProfile.parse(try read(path), path: path))
        case ("apparmor", "unconfined"?): apparmor = nil
        case ("apparmor", let profile?) where !profile.isEmpty: apparmor = profile
        default:
            throw EngineError("--security-opt \(quoted(text)): there are seccomp=FILE, seccomp=unconfined, apparmor=PROFILE, apparmor=unconfined and no-new-privileges")
        }
    }
}
