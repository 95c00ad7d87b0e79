/// What a client is told about the world: registries, credentials, certificates, proxies, and what it puts up with.
public struct ClientConfiguration: Sendable {
    /// Where repositories are, and how they are spoken to.
    public var registries = RegistryRules()
    /// Asked when a registry wants to know who asks.
    public var credentials: any CredentialSource = NoCredentials()
    /// Through which proxies requests go.
    public var proxies = ProxySettings()
    /// Directories with a directory `HOST[:PORT]` for each registry that has certificates of its own. The first that has one for a registry is used.
    public var certificateDirectories = systemCertificateDirectories
    private static let systemCertificateDirectories = ["/etc/containers/certs.d", "/etc/docker/certs.d"]
    /// Times, sizes and counts.
    public var limits = ClientLimits()
    /// What this client calls itself (User-Agent).
    public var userAgent = "nacelle"
    /// Called before a request is made again: why, and after which wait.
    public var onRetry: (@Sendable (RegistryError, Duration) -> Void)?

    public init() {}

    /// The directories of the user whose environment this is: `~/.config/containers/certs.d`, and then the system's (containers-certs.d(5)).
    public static func certificateDirectories(environment: [String: String]) -> [String] {
        let home = environment["HOME"].flatMap { $0.isEmpty ? nil : "\($0)/.config/containers/certs.d" }
        return [home].compactMap { $0 } + systemCertificateDirectories
    }
}

/// Times, sizes and counts.
public struct ClientLimits: Sendable {
    /// To make a connection, with TLS.
    public var connectTimeout: Duration = .seconds(15)
    /// Without one byte.
    public var idleTimeout: Duration = .seconds(30)
    /// For a whole answer that is not a blob.
    public var answerTimeout: Duration = .seconds(120)
    /// In each such time a blob's bytes must come …
    public var progressInterval: Duration = .seconds(30)
    /// … at least this many, or the connection counts as broken.
    public var progressBytes: Int64 = 30 << 10

    /// How often a request is made that fails for reasons that may pass, counted anew when a download has made real progress.
    public var attempts = 5
    /// Before the second attempt; it doubles with each one …
    public var firstRetryDelay: Duration = .milliseconds(500)
    /// … up to this.
    public var longestRetryDelay: Duration = .seconds(15)
    /// A registry that asks for a longer wait (Retry-After) is not waited for.
    public var longestRetryAfter: Duration = .seconds(120)
    /// How many redirects of one request are followed.
    public var redirects = 5

    /// In bytes.
    public var manifestSize = 4 << 20
    /// Of an image's configuration, in bytes.
    public var configurationSize = 8 << 20
    /// Of an image's layers as they are transferred, in bytes.
    public var imageSize: Int64 = 256 << 30
    /// How many names a list of tags or referrers may have.
    public var listLength = 100_000
    /// How many pages it may come in.
    public var pages = 2000
    /// How many layers a manifest may have.
    public var layers = 4096

    /// Blobs of at least this many bytes come in parts …
    public var partsFrom: Int64 = 16 << 20
    /// … of this many, …
    public var partSize: Int64 = 2 << 20
    /// … so many at once. Parts wait in memory until those before them are there.
    public var parallelParts = 3
    /// How many blobs are pulled or pushed at once.
    public var parallelBlobs = 3

    /// Blobs larger than this are pushed in chunks of this many bytes, so that a broken connection costs one chunk; nil: always as a whole.
    public var chunkSize: Int64? = 32 << 20

    public init() {}

    /// For an answer to so many bytes, which may take as long as the least progress takes for them: the time of the way is not the server's.
    func answerTime(after bytes: Int64) -> Duration {
        guard progressBytes > 0, bytes > 0 else { return answerTimeout }
        return answerTimeout + min(progressInterval * (Double(bytes) / Double(progressBytes)), .seconds(86400))
    }

    var backoff: Backoff { Backoff(first: firstRetryDelay, longest: longestRetryDelay) }
}
