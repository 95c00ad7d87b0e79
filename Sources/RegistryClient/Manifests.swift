import AsyncHTTPClient
import NIOHTTP1
public import OCIImage

/// A manifest or an index as a registry has it.
public struct FetchedManifest: Sendable, Hashable {
    public let document: ManifestDocument
    /// Of the document's bytes.
    public let digest: Digest
    /// What an index would say of it.
    public var descriptor: Descriptor { document.descriptor(digest: digest) }
}

/// The manifest that was chosen for a platform, and the index that it was chosen from, if it was.
public struct FetchedImage: Sendable, Hashable {
    /// What the reference names: an index, or the manifest itself.
    public let root: FetchedManifest
    public let manifest: FetchedManifest
    /// The manifest's content.
    public let content: Manifest
}

extension RegistryClient {
    /// Fetches the manifest or the index that a reference names (distribution-spec, "Pulling manifests").
    /// - Parameter reference: with a tag, a digest or both; of both, the digest counts.
    /// - Throws: `RegistryError`: among others when the bytes do not have the digest, or are larger than `ClientLimits.manifestSize`.
    public func manifest(_ reference: Reference) async throws -> FetchedManifest {
        try await firstAnswer(for: reference) { endpoint in try await manifest(reference, at: endpoint) }
    }

    func manifest(_ reference: Reference, at endpoint: Endpoint) async throws -> FetchedManifest {
        var request = RegistryRequest(.GET, endpoint, "/manifests/\(try Self.name(of: reference))", scopes: [.pull(endpoint)])
        request.headers.add(contentsOf: Self.acceptedManifests)
        let prepared = request
        // The body too may break off.
        let (answer, bytes) = try await retrying(configuration) {
            let answer = try await performOnce(prepared)
            return (answer, try await answer.collect(limit: limits.manifestSize, limits: limits))
        }
        let digest = try Self.check(bytes, of: answer, against: reference.digest)
        let type = Self.mediaType(of: answer)
        do throws(DocumentError) {
            return FetchedManifest(document: try ManifestDocument(bytes, mediaType: type, limit: limits.manifestSize), digest: digest)
        } catch { throw RegistryError(.malformedAnswer, request: answer.request, "the manifest: \(error)") }
    }

    /// Asks what a reference names, without fetching it (distribution-spec, "Checking if content exists in the registry").
    /// - Returns: nil when there is no such manifest. What a registry does not say in the answer is found out by fetching the manifest.
    public func resolve(_ reference: Reference) async throws -> Descriptor? {
        do {
            return try await firstAnswer(for: reference) { endpoint in
                var request = RegistryRequest(.HEAD, endpoint, "/manifests/\(try Self.name(of: reference))", scopes: [.pull(endpoint)])
                request.headers.add(contentsOf: Self.acceptedManifests)
                let answer = try await perform(request)
                if let type = Self.mediaType(of: answer), let size = answer.header("content-length").flatMap({ Int64($0) }), size >= 0,
                    let digest = try reference.digest ?? Self.contentDigest(of: answer)
                {
                    return Descriptor(mediaType: type, digest: digest, size: size)
                }
                return try await manifest(reference, at: endpoint).descriptor
            }
        } catch let error as RegistryError where error.code == .notFound { return nil }
    }

    /// Fetches the image that a reference names for a platform: the manifest itself, or the best one of an index.
    /// - Throws: `RegistryError` with the code `platform`, which names the platforms that there are, when there is none.
    public func image(_ reference: Reference, platform: Platform) async throws -> FetchedImage {
        let root = try await manifest(reference)
        var current = root
        // An index may list another; a chain of many is somebody's game.
        for _ in 0..<4 {
            switch current.document.content {
            case .manifest(let content):
                guard content.layers.count <= limits.layers else {
                    throw RegistryError(.tooLarge, "\(reference.familiar): the manifest has \(content.layers.count) layers, more than the limit of \(limits.layers)")
                }
                var size: Int64 = content.config.size
                for layer in content.layers {
                    let (sum, isTooMuch) = size.addingReportingOverflow(layer.size)
                    guard !isTooMuch, sum <= limits.imageSize else { throw RegistryError(.tooLarge, "\(reference.familiar): the image has more than the limit of \(limits.imageSize) bytes") }
                    size = sum
                }
                return FetchedImage(root: root, manifest: current, content: content)
            case .index(let index):
                guard let chosen = index.descriptors(for: platform).first else {
                    let all = index.manifests.prefix(50).compactMap { $0.platform?.normalized.description }.filter { $0 != "unknown/unknown" }
                    throw RegistryError(.platform, "\(reference.familiar) has no image for \(platform)" + (all.isEmpty ? "" : "; it has \(all.joined(separator: ", "))"))
                }
                current = try await manifest(reference.repository.with(digest: chosen.digest))
                guard Int64(current.document.bytes.count) == chosen.size else {
                    throw RegistryError(.wrongContent, "\(reference.familiar): the manifest \(chosen.digest) has \(current.document.bytes.count) bytes, and not \(chosen.size) as its index says")
                }
            }
        }
        throw RegistryError(.malformedAnswer, "\(reference.familiar): indexes in indexes, more than 3 deep")
    }

    /// Pushes a manifest or an index, and when it is about another manifest (`subject`) and the registry does not keep such lists, adds it to the list
    /// that is kept under a tag (distribution-spec, "Pushing Manifests", "Pushing Manifests with Subject").
    /// - Parameters:
    ///   - document: what is pushed.
    ///   - reference: with a tag or a digest.
    /// - Returns: the manifest's digest.
    @discardableResult
    public func push(_ document: ManifestDocument, to reference: Reference) async throws -> Digest {
        let endpoint = try pushEndpoint(reference)
        let digest = Digest(of: document.bytes, reference.digest?.algorithm ?? .sha256)
        if let expected = reference.digest, expected != digest { throw RegistryError(.wrongContent, "\(reference): the manifest to push has the digest \(digest)") }
        // A tag is what is pushed to; the digest then is only what it must be.
        let name = reference.tag ?? digest.description
        var request = RegistryRequest(.PUT, endpoint, "/manifests/\(name)", scopes: [.push(endpoint)], accepted: [201, 200, 202])
        request.headers.add(name: "Content-Type", value: document.mediaType.rawValue)
        request.body = { .bytes(document.bytes) }
        let answer = try await perform(request)
        await answer.drain(limits: limits)
        if let other = try Self.contentDigest(of: answer), other.algorithm == digest.algorithm, other != digest {
            throw RegistryError(.wrongContent, request: answer.request, "the registry has taken the manifest as \(other), but it is \(digest)")
        }
        let subject: Descriptor? =
            switch document.content {
            case .manifest(let manifest): manifest.subject
            case .index(let index): index.subject
            }
        if let subject, answer.header("oci-subject") == nil { try await addToReferrersTag(document, digest, about: subject.digest, in: reference) }
        return digest
    }

    /// What the request names: the digest, or the tag.
    private static func name(of reference: Reference) throws -> String {
        guard let name = reference.digest?.description ?? reference.tag else { throw RegistryError(.configuration, "\(reference) has neither a tag nor a digest") }
        return name
    }

    private static var acceptedManifests: HTTPHeaders { HTTPHeaders(MediaType.manifests.map { ("Accept", $0.rawValue) }) }

    /// What the answer says it is; nil when it says nothing of use.
    private static func mediaType(of answer: Answer) -> MediaType? {
        guard let text = answer.header("content-type")?.split(separator: ";").first else { return nil }
        let type = MediaType(text.filter { $0 != " " }.lowercased())
        return type.isManifest || type.isIndex ? type : nil
    }

    static func contentDigest(of answer: Answer) throws -> Digest? {
        guard let text = answer.header("docker-content-digest") else { return nil }
        do throws(DigestError) { return try Digest(text) } catch { throw RegistryError(.malformedAnswer, request: answer.request, "Docker-Content-Digest: \(error)") }
    }

    /// The digest of what came, which is the one that was asked for, or the one that the registry says.
    private static func check(_ bytes: [UInt8], of answer: Answer, against asked: Digest?) throws -> Digest {
        let said = try contentDigest(of: answer)
        let digest = Digest(of: bytes, asked?.algorithm ?? .sha256)
        if let asked, asked != digest { throw RegistryError(.wrongContent, request: answer.request, "the manifest has the digest \(digest)") }
        if let said, said.algorithm == digest.algorithm, said != digest {
            throw RegistryError(.wrongContent, request: answer.request, "the manifest has the digest \(digest), but the registry says \(said)")
        }
        return digest
    }
}
