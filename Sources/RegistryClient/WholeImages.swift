public import OCIImage

/// What takes a whole image: a content store.
public protocol ContentReceiver: Sendable {
    /// Whether the content is there already: then it is not fetched.
    func contains(_ descriptor: Descriptor) async throws -> Bool
    /// Where a blob goes that is about to come.
    func sink(for descriptor: Descriptor) async throws -> any BlobSink
}

/// What has a whole image.
public protocol ContentProvider: Sendable {
    /// What has one of its blobs.
    func source(of descriptor: Descriptor) async throws -> any BlobSource
}

/// What happens while an image is pulled or pushed, for people who wait.
public enum TransferEvent: Sendable, Hashable {
    /// Of a pull: which image it is; what it consists of comes now.
    case found(FetchedImage)
    /// It is about to come or go.
    case started(Descriptor)
    /// Bytes of the blob that have come or gone.
    case progress(Descriptor, bytes: Int64)
    /// It is there; `wasThere` when it did not have to be sent.
    case finished(Descriptor, wasThere: Bool)
}

extension RegistryClient {
    /// Fetches an image for a platform: its manifest (and the index that it was chosen from), its configuration and its layers, several at once. What
    /// `receiver` has already is not fetched. Manifests come last, so that whoever finds one finds all it names.
    /// - Parameters:
    ///   - reference: with a tag, a digest or both; of both, the digest counts.
    ///   - platform: which of an index's images is meant.
    ///   - receiver: what takes it.
    ///   - events: is called from several tasks.
    /// - Throws: `RegistryError`, or what `receiver` throws. Blobs that were complete by then stay.
    public func pull(_ reference: Reference, platform: Platform, into receiver: any ContentReceiver, events: (@Sendable (TransferEvent) -> Void)? = nil) async throws -> FetchedImage {
        let image = try await image(reference, platform: platform)
        events?(.found(image))
        var seen: Set<Digest> = []
        let blobs = ([image.content.config] + image.content.layers).filter { seen.insert($0.digest).inserted }
        try await inParallel(blobs, limits.parallelBlobs) { descriptor in
            if try await receiver.contains(descriptor) { events?(.finished(descriptor, wasThere: true)); return }
            events?(.started(descriptor))
            let progress: @Sendable (Int64) -> Void = { events?(.progress(descriptor, bytes: $0)) }
            do { try await self.blob(descriptor, in: reference, to: try await receiver.sink(for: descriptor), progress: progress) } catch let error as RegistryError {
                // What a mirror sends that is not the blob is no reason not to ask the registry.
                guard [.wrongContent, .tooLarge].contains(error.code), try self.configuration.registries.endpoints(for: reference, mirrors: true).count > 1 else { throw error }
                try await self.blob(descriptor, in: reference, mirrors: false, to: try await receiver.sink(for: descriptor), progress: progress)
            }
            events?(.finished(descriptor, wasThere: false))
        }
        var documents = [image.manifest]
        if image.root != image.manifest { documents.append(image.root) }
        for fetched in documents where try await !receiver.contains(fetched.descriptor) {
            let sink = try await receiver.sink(for: fetched.descriptor)
            do {
                try await sink.write(fetched.document.bytes)
                try await sink.finish()
            } catch {
                await sink.abandon()
                throw error
            }
        }
        return image
    }

    /// Pushes an image: its layers and its configuration, several at once, then its manifest.
    /// - Parameters:
    ///   - document: an image's manifest.
    ///   - provider: what has its blobs.
    ///   - reference: with a tag or a digest.
    ///   - other: a repository that may have some of the blobs.
    ///   - events: is called from several tasks.
    /// - Returns: the manifest's digest.
    @discardableResult
    public func push(
        _ document: ManifestDocument, from provider: any ContentProvider, to reference: Reference, mountingFrom other: Reference? = nil,
        events: (@Sendable (TransferEvent) -> Void)? = nil
    ) async throws -> Digest {
        guard case .manifest(let manifest) = document.content else { throw RegistryError(.unsupported, "an index is pushed after its manifests, as a document of its own") }
        var seen: Set<Digest> = []
        // Layers that are elsewhere and not to be distributed are not uploaded (image-spec, layer.md, "Non-Distributable Layers").
        let blobs = (manifest.layers + [manifest.config]).filter { seen.insert($0.digest).inserted && !($0.mediaType.isNondistributable && !$0.urls.isEmpty) }
        try await inParallel(blobs, limits.parallelBlobs) { descriptor in
            events?(.started(descriptor))
            let pushed = try await self.push(descriptor, from: try await provider.source(of: descriptor), to: reference, mountingFrom: other) {
                events?(.progress(descriptor, bytes: $0))
            }
            events?(.finished(descriptor, wasThere: pushed != .uploaded))
        }
        return try await push(document, to: reference)
    }

    /// Does something with each element, for at most `width` of them at once; the first failure ends all.
    private func inParallel<Element: Sendable>(_ elements: [Element], _ width: Int, _ body: @escaping @Sendable (Element) async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, element) in elements.enumerated() {
                if index >= max(1, width) { try await group.next() }
                group.addTask { try await body(element) }
            }
            try await group.waitForAll()
        }
    }
}
