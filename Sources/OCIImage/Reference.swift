import JSONText

/// Which image is meant: a registry, a repository, and in it a tag, a digest or both. The grammar, the limits and the defaults are those of
/// github.com/distribution/reference: `busybox` is `docker.io/library/busybox`.
///
///     reference := [domain "/"] path [":" tag] ["@" digest]
public struct Reference: Sendable, Hashable, CustomStringConvertible {
    /// The registry's host and, when there is one, port: `docker.io`, `localhost:5000`, `[::1]:5000`.
    public let domain: String
    /// The repository's name in the registry, at most 255 bytes: `library/busybox`.
    public let path: String
    /// Nil when there is none: see `tagged`.
    public let tag: String?
    /// Nil when there is none.
    public let digest: Digest?

    /// The domain of names without one.
    public static let defaultDomain = "docker.io"
    /// The tag of a reference that has neither tag nor digest.
    public static let defaultTag = "latest"
    /// The longest path in bytes.
    public static let longestPath = 255

    /// Reads a reference as people write it, with the defaults of domain (`docker.io`) and path (`library/`) applied. No tag is added: see `tagged`.
    ///
    /// A first component is a domain when it has a period, a colon or an upper-case letter, or is `localhost`.
    /// - Throws: when the text is no reference.
    public init(_ text: String) throws(ReferenceError) {
        guard !text.isEmpty else { throw .empty }
        guard text.utf8.count <= Self.longestText else { throw .tooLong(text) }
        guard text.utf8.count != 64 || !text.utf8.allSatisfy({ $0.isDigit || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0) }) else { throw .identifier(text) }
        let (domain, rest) = Self.split(text)
        let name = rest.prefix { $0 != ":" }
        guard name == name.lowercased() else { throw .uppercase(text) }
        guard let parts = ReferenceGrammar.parts(of: "\(domain)/\(rest)") else { throw .malformed(text) }
        // What looks like a domain and is none would be the first component of a path without a registry.
        guard let found = parts.domain else { throw .malformedDomain(domain, in: text) }
        guard parts.path.utf8.count <= Self.longestPath else { throw .tooLong(text) }
        self.domain = found
        path = parts.path
        tag = parts.tag
        if let text = parts.digest {
            do throws(DigestError) { digest = try Digest(text) } catch { throw .digest(error) }
        } else { digest = nil }
    }

    private init(domain: String, path: String, tag: String?, digest: Digest?) {
        (self.domain, self.path, self.tag, self.digest) = (domain, path, tag, digest)
    }

    /// A domain, a path of 255 bytes, a tag of 128 and a digest fit many times.
    private static let longestText = 4096

    private static func split(_ text: String) -> (domain: String, rest: String) {
        var (domain, rest) = (defaultDomain, text)
        if let slash = text.firstIndex(of: "/") {
            let first = String(text[..<slash])
            let isDomain = first == "localhost" || first.contains(".") || first.contains(":") || first != first.lowercased()
            if isDomain { (domain, rest) = (first, String(text[text.index(after: slash)...])) }
        }
        if domain == "index.docker.io" { domain = defaultDomain }
        if domain == defaultDomain, !rest.contains("/") { rest = "library/" + rest }
        return (domain, rest)
    }

    /// Domain and path, without tag and digest: `docker.io/library/busybox`.
    public var name: String { "\(domain)/\(path)" }

    /// The whole reference with its domain: `docker.io/library/busybox:latest@sha256:…`. Read again, it is the same reference.
    public var description: String { name + suffix }

    /// The shortest text that means the same, as `docker images` shows it: `busybox:latest`.
    public var familiar: String {
        guard domain == Self.defaultDomain else { return description }
        let short = path.hasPrefix("library/") ? String(path.dropFirst("library/".count)) : path
        let text = (short.contains("/") ? path : short) + suffix
        // What begins like a domain, or looks like an ID, means something else without its own domain.
        return (try? Reference(text)) == self ? text : description
    }

    private var suffix: String { (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "") }

    /// The reference with the tag `latest` when it has neither tag nor digest.
    public var tagged: Reference {
        tag == nil && digest == nil ? Reference(domain: domain, path: path, tag: Self.defaultTag, digest: nil) : self
    }

    /// Domain and path alone, as a reference.
    public var repository: Reference { Reference(domain: domain, path: path, tag: nil, digest: nil) }

    /// The reference with this tag instead of its own.
    /// - Throws: when it is no tag.
    public func with(tag: String) throws(ReferenceError) -> Reference {
        guard ReferenceGrammar.isTag(Array(tag.utf8)) else { throw .malformedTag(tag) }
        return Reference(domain: domain, path: path, tag: tag, digest: digest)
    }

    /// The reference with this digest instead of its own, and its tag if it has one.
    public func with(digest: Digest) -> Reference { Reference(domain: domain, path: path, tag: tag, digest: digest) }
}

/// Text that is no reference.
public enum ReferenceError: Error, Equatable, Sendable, CustomStringConvertible {
    case empty
    case malformed(String)
    /// The repository's name has an upper-case letter.
    case uppercase(String)
    case malformedDomain(String, in: String)
    case malformedTag(String)
    case digest(DigestError)
    case tooLong(String)
    /// 64 hexadecimal digits could not be told from an image's ID.
    case identifier(String)

    public var description: String {
        switch self {
        case .empty: "an image reference is empty; one is `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`"
        case .malformed(let text): "\(quoted(text)) is not an image reference; one is `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`"
        case .uppercase(let text): "the image reference \(quoted(text)) has upper-case letters in the repository's name, which must be lower-case"
        case .malformedDomain(let domain, let text): "the image reference \(quoted(text)) begins with \(quoted(domain)), which is not a registry's host and port"
        case .malformedTag(let tag): "\(quoted(tag)) is not a tag; one is up to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`"
        case .digest(let error): "\(error)"
        case .tooLong(let text): "the image reference \(quoted(text)) is too long; a repository's name has at most \(Reference.longestPath) bytes"
        case .identifier(let text): "\(quoted(text)) is an ID, not an image reference: a repository's name cannot be 64 hexadecimal digits"
        }
    }
}
