internal import JSONText

/// A place outside a store that images are imported from or exported to, in skopeo's words (containers-transports(5)).
public struct ImageLocation: Sendable, Hashable, CustomStringConvertible {
    /// The form that images have there.
    public enum Transport: String, Sendable, Hashable, CaseIterable {
        /// A directory in the OCI image-layout format.
        case oci
        /// A tar of such a directory.
        case ociArchive = "oci-archive"
        /// What `docker save` writes.
        case dockerArchive = "docker-archive"
    }
    /// The form.
    public var transport: Transport
    /// Of a directory or a file.
    public var path: String
    /// The image's name there.
    public var name: String?

    /// A place in words of one's own.
    public init(_ transport: Transport, path: String, name: String? = nil) { (self.transport, self.path, self.name) = (transport, path, name) }

    /// Reads `TRANSPORT:PATH[:NAME]`. A path has no colon.
    /// - Throws: when it is not of this form.
    public init(_ text: String) throws(StoreError) {
        let parts = text.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        guard parts.count >= 2, let transport = Transport(rawValue: parts[0]), !parts[1].isEmpty, parts.count < 3 || !parts[2].isEmpty else {
            throw .invalid("\(quoted(text)) is no place of images; one is TRANSPORT:PATH or TRANSPORT:PATH:NAME, with oci, oci-archive or docker-archive")
        }
        self.init(transport, path: parts[1], name: parts.count > 2 ? parts[2] : nil)
    }

    public var description: String { "\(transport.rawValue):\(path)\(name.map { ":\($0)" } ?? "")" }
}
