/// What an image's configuration says about containers of it (image-spec, config.md, "Properties", `config`).
public struct ImageSettings: Equatable, Sendable {
    public var entrypoint: [String] = []
    public var command: [String] = []
    /// NAME=VALUE
    public var environment: [String] = []
    public var workingDirectory = ""
    /// user, uid, user:group, uid:gid …
    public var user = ""
    /// Paths in the container.
    public var volumes: [String] = []
    public var stopSignal = ""
    public var labels: [String: String] = [:]
    /// `80/tcp`, `53/udp`, `8080`
    public var exposedPorts: [String] = []
    public var operatingSystem = ""
    public var architecture = ""
    public var author = ""
    /// RFC 3339
    public var created = ""

    public init() {}

    /// Beginnings of annotations that steer a runtime (a file of the host that it writes, an isolation, hooks, properties of units): a stranger's image
    /// must not; whoever wants them says so by `--annotation`.
    static let steering = ["dev.nacelle.", "run.oci.", "krun.", "org.systemd.property.", "io.kubernetes.", "io.podman.", "io.containerd."]

    /// The annotations that the image specification makes of them (conversion.md, "Annotation Fields"): the image's labels, but for those that would steer
    /// a runtime, and what is implied where no label says otherwise.
    var annotations: [String: String] {
        let implied = [
            "org.opencontainers.image.os": operatingSystem, "org.opencontainers.image.architecture": architecture, "org.opencontainers.image.author": author,
            "org.opencontainers.image.created": created, "org.opencontainers.image.stopSignal": stopSignal,
            "org.opencontainers.image.exposedPorts": exposedPorts.joined(separator: ","),
        ]
        return implied.filter { !$0.value.isEmpty }.merging(labels.filter { label in !Self.steering.contains { label.key.hasPrefix($0) } && !label.key.isEmpty }) { _, label in label }
    }
}
