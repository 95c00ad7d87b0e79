import JSONText

/// Why a registry could not be asked, or what it answered.
public struct RegistryError: Error, Sendable, CustomStringConvertible {
    /// What went wrong, for programs.
    public enum Code: Sendable, Hashable {
        /// What was asked for is not there.
        case notFound
        /// There are no credentials, or the registry does not accept them.
        case unauthorized
        /// The credentials are good, but not for this.
        case denied
        /// Too many requests (429), also after waiting.
        case tooManyRequests
        /// The registry cannot do this.
        case unsupported
        /// Another answer that says no: the HTTP status.
        case status(Int)
        /// No connection, or one that broke.
        case connection
        /// The server does not speak TLS, or its certificate is not good for it.
        case tls
        /// The answer did not come in time, or came too slowly.
        case tooSlow
        /// The answer is not what the specification says.
        case malformedAnswer
        /// The answer is larger than it may be.
        case tooLarge
        /// Content has not the digest or the size that it should have.
        case wrongContent
        /// A redirect to where this client does not follow.
        case redirect
        /// Credentials could not be read: a file or a credential helper.
        case credentials
        /// Certificates, proxies or registries are not configured as they should be.
        case configuration
        /// The configuration forbids this registry.
        case blocked
        /// An image has nothing for the platform.
        case platform
    }

    /// What went wrong, for programs.
    public let code: Code
    /// What was asked, of whom: `GET https://localhost:5000/v2/a/manifests/b`. Empty when nothing was asked yet.
    public let request: String
    /// What went wrong, and what to do, for people.
    public let problem: String
    /// What the registry asks to wait.
    var retryAfter: Duration?
    /// There was no connection at all.
    var isUnreachable = false
    /// Another attempt can have another outcome, whatever the code says.
    var mayPass = false
    /// The error codes of the answer's body (distribution-spec, "Error Codes"), such as `MANIFEST_UNKNOWN`.
    public internal(set) var registryCodes: [String] = []

    public init(_ code: Code, request: String = "", _ problem: String) {
        (self.code, self.request, self.problem) = (code, request, problem)
    }

    public var description: String { request.isEmpty ? problem : "\(request): \(problem)" }

    /// Whether another try, or another server, may give another answer.
    var isTransient: Bool {
        if mayPass { return true }
        return switch code {
        case .connection, .tooSlow, .tooManyRequests, .status(408), .status(500), .status(502), .status(503), .status(504): true
        default: false
        }
    }
}

/// The body of an answer that says no (distribution-spec, "Error Codes").
struct ErrorBody {
    /// The codes and messages, for people; nil when the body is not of that kind.
    let text: String?
    let codes: [String]

    init(_ bytes: [UInt8]) {
        var limits = JSONLimits()
        limits.bytes = 65536
        limits.depth = 16
        guard let value = try? JSONValue(parsing: bytes, limits: limits), let members = try? JSONCursor(value).object(),
            let errors = try? members["errors"]?.array({ (cursor) throws(JSONShapeError) in
                let error = try cursor.object()
                return (code: try error["code"]?.string() ?? "", message: try error["message"]?.string() ?? "")
            })
        else {
            (text, codes) = (nil, [])
            return
        }
        codes = errors.map(\.code)
        let shown = errors.prefix(3).map { error in
            [error.code, error.message].filter { !$0.isEmpty }.map { $0.utf8.allSatisfy { (0x20...0x7E).contains($0) } && $0.utf8.count <= 200 ? $0 : quoted($0) }.joined(separator: ": ")
        }.filter { !$0.isEmpty }
        text = shown.isEmpty ? nil : shown.joined(separator: "; ")
    }
}
