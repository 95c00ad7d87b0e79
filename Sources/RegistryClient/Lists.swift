import JSONText
import NIOHTTP1
public import OCIImage

extension RegistryClient {
    /// The tags of a repository, in the registry's order (distribution-spec, "Listing Tags").
    /// - Throws: `RegistryError`; with the code `tooLarge` when there are more than `ClientLimits.listLength`.
    public func tags(of reference: Reference) async throws -> [String] {
        let endpoint = try pushEndpoint(reference)
        var tags: [String] = []
        try await pages(endpoint, "/tags/list", [("n", "1000")], Set([200])) { answer, bytes in
            let page: [String]
            do { page = try JSONCursor(JSONValue(parsing: bytes)).object()["tags"]?.strings() ?? [] } catch {
                throw RegistryError(.malformedAnswer, request: answer.request, "the list of tags: \(error)")
            }
            tags += page
            guard tags.count <= limits.listLength else { throw RegistryError(.tooLarge, request: answer.request, "there are more than \(limits.listLength) tags") }
        }
        return tags
    }

    /// The manifests that are about another one: signatures, attestations (distribution-spec, "Listing Referrers"), also of registries that keep them under a tag.
    /// - Parameters:
    ///   - digest: of the manifest that they are about.
    ///   - reference: the repository; its tag and digest mean nothing here.
    ///   - artifactType: only those of this type.
    public func referrers(of digest: Digest, in reference: Reference, artifactType: MediaType? = nil) async throws -> [Descriptor] {
        let endpoint = try pushEndpoint(reference)
        var found: [Descriptor] = []
        var isThere = true
        let parameters = artifactType.map { [(name: "artifactType", value: $0.rawValue)] } ?? []
        try await pages(endpoint, "/referrers/\(digest)", parameters, Set([200, 404, 405, 400])) { answer, bytes in
            // 400 too: some older registries take the digest for a malformed name.
            guard answer.status == 200 else { return isThere = false }
            found += try Self.index(bytes, answer).manifests
            guard found.count <= limits.listLength else { throw RegistryError(.tooLarge, request: answer.request, "there are more than \(limits.listLength) referrers") }
        }
        if !isThere { found = try await referrersTag(of: digest, in: reference)?.manifests ?? [] }
        return artifactType == nil ? found : found.filter { $0.artifactType == artifactType }
    }

    /// Deletes a manifest by its digest, or a tag (distribution-spec, "Content Management"). Many registries do not do the latter, or none of it.
    /// - Throws: `RegistryError` with the code `unsupported` when the registry does not.
    public func deleteManifest(_ reference: Reference) async throws {
        guard let name = reference.digest?.description ?? reference.tag else { throw RegistryError(.configuration, "\(reference) has neither a tag nor a digest") }
        try await delete("/manifests/\(name)", in: reference)
    }

    /// Deletes a blob (distribution-spec, "Deleting Blobs").
    public func deleteBlob(_ digest: Digest, in reference: Reference) async throws { try await delete("/blobs/\(digest)", in: reference) }

    private func delete(_ suffix: String, in reference: Reference) async throws {
        let endpoint = try pushEndpoint(reference)
        let answer = try await perform(RegistryRequest(.DELETE, endpoint, suffix, scopes: [.delete(endpoint), .push(endpoint)], accepted: [202, 200, 204]))
        await answer.drain(limits: limits)
    }

    /// All pages of a list, each of which says where the next one is (RFC 8288).
    private func pages(
        _ endpoint: Endpoint, _ suffix: String, _ parameters: [(name: String, value: String)], _ accepted: Set<Int>, _ take: (Answer, [UInt8]) throws -> Void
    ) async throws {
        var request = RegistryRequest(.GET, endpoint, suffix, scopes: [.pull(endpoint)], accepted: accepted)
        request.parameters = parameters
        var seen: Set<HTTPAddress> = []
        while true {
            let prepared = request
            let (answer, bytes) = try await retrying(configuration) {
                let answer = try await performOnce(prepared)
                return (answer, try await answer.collect(limit: limits.manifestSize, limits: limits))
            }
            try take(answer, bytes)
            guard answer.status == 200, let link = answer.headers["link"].lazy.compactMap(Self.next).first else { return }
            let next: HTTPAddress
            do { next = try HTTPAddress(link, relativeTo: answer.address) } catch { throw RegistryError(.malformedAnswer, request: answer.request, "Link: \(error)") }
            guard next.origin == answer.address.origin, seen.insert(next).inserted, seen.count <= limits.pages else {
                throw RegistryError(.malformedAnswer, request: answer.request, "the list's next page is at another host or was there before, or there are more than \(limits.pages): \(next)")
            }
            request.address = next
            request.parameters = []
        }
    }

    /// The target of `<target>; rel="next"`, of which a header may have several, separated by commas.
    static func next(_ header: String) -> String? {
        var rest = header.prefix(16384)
        while let open = rest.firstIndex(of: "<"), let close = rest[open...].firstIndex(of: ">") {
            let target = rest[rest.index(after: open)..<close]
            var isQuoted = false
            let parameters = rest[rest.index(after: close)...].prefix { character in
                if character == "\"" { isQuoted.toggle() }
                return isQuoted || character != ","
            }
            for parameter in parameters.split(separator: ";") {
                let parts = parameter.split(separator: "=", maxSplits: 1).map { $0.filter { $0 != "\"" }.lowercased().trimmed }
                if parts.count == 2, parts[0] == "rel", parts[1].split(separator: " ").contains("next") { return String(target) }
            }
            rest = rest[parameters.endIndex...]
        }
        return nil
    }

    private static func index(_ bytes: [UInt8], _ answer: Answer) throws -> Index {
        do throws(DocumentError) { return try Index(parsing: bytes) } catch { throw RegistryError(.malformedAnswer, request: answer.request, "the list of referrers: \(error)") }
    }

    // The referrers tag schema: the list is an index with a tag of its own.

    private static func referrersTag(for digest: Digest) -> String { "\(digest.algorithm.rawValue)-\(digest.hex.prefix(64))" }

    private func referrersTag(of digest: Digest, in reference: Reference) async throws -> Index? {
        do {
            // Of the registry itself: a mirror's list may be an old one, and what is missing in it would be lost when it is written again.
            let fetched = try await manifest(try reference.repository.with(tag: Self.referrersTag(for: digest)), at: try pushEndpoint(reference))
            guard case .index(let index) = fetched.document.content else { throw RegistryError(.malformedAnswer, "\(reference.name): the tag \(Self.referrersTag(for: digest)) is no list of referrers") }
            return index
        } catch let error as RegistryError where error.code == .notFound { return nil }
    }

    func addToReferrersTag(_ document: ManifestDocument, _ digest: Digest, about subject: Digest, in reference: Reference) async throws {
        var entry = document.descriptor(digest: digest)
        switch document.content {
        case .manifest(let manifest):
            entry.artifactType = manifest.artifactType ?? manifest.config.mediaType
            entry.annotations = manifest.annotations
        case .index(let index):
            entry.artifactType = index.artifactType
            entry.annotations = index.annotations
        }
        // Another program may write the list between our reading and our writing: then its entry or ours is missing, of which ours we see.
        for attempt in 0..<max(2, limits.attempts) {
            var list = try await referrersTag(of: subject, in: reference) ?? Index(manifests: [])
            guard !list.manifests.contains(where: { $0.digest == digest }) else { return }
            if attempt > 0 { try await Task.sleep(for: limits.backoff.delay(attempt: attempt)) }
            list.manifests.append(entry)
            let made: ManifestDocument
            do throws(DocumentError) { made = try ManifestDocument(list.bytes, mediaType: list.mediaType ?? .imageIndex) } catch {
                throw RegistryError(.tooLarge, "\(reference.name): the list of what is about \(subject) \(error)")
            }
            try await push(made, to: try reference.repository.with(tag: Self.referrersTag(for: subject)))
        }
        guard try await referrersTag(of: subject, in: reference)?.manifests.contains(where: { $0.digest == digest }) == true else {
            throw RegistryError(.malformedAnswer, "\(reference.name): the list of what is about \(subject) does not keep what is added to it")
        }
    }
}
