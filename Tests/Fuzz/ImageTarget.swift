import JSONText
import OCIImage

/// What registries and layouts say of images: manifests, indexes and configurations; and what people write: references, digests, platforms.
struct ImageTarget: FuzzTarget {
    static let name = "images"
    private let documents: [JSONValue]
    private let words: [String]

    init() {
        let digest = Digest(.sha256, hash: (0..<32).map { UInt8($0) })
        let text = digest?.description ?? ""
        documents = [
            #"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"a/b","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"D","size":2,"data":"e30="},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","digest":"D","size":9,"urls":["https://h/"],"annotations":{"a":"b"}}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"D","size":3,"artifactType":"c/d"},"annotations":{"x":"y"}}"#,
            #"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","digest":"D","size":7,"platform":{"architecture":"arm64","os":"linux","variant":"v8","os.version":"1","os.features":["f"]}},{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"D","size":7}]}"#,
            #"{"created":"2026","author":"a","architecture":"amd64","os":"linux","config":{"User":"u:g","ExposedPorts":{"80/tcp":{}},"Env":["A=b"],"Entrypoint":["e"],"Cmd":["c"],"Volumes":{"/v":{}},"WorkingDir":"/","Labels":{"l":"m"},"StopSignal":"9","Memory":1,"MemorySwap":-1,"CpuShares":2,"Healthcheck":{"Test":["NONE"],"Interval":1,"Retries":3},"Shell":["sh"],"OnBuild":["RUN x"],"StopTimeout":1,"Tty":true},"rootfs":{"type":"layers","diff_ids":["D"]},"history":[{"created_by":"x","empty_layer":true,"comment":"c"}]}"#,
        ].map { (try? JSONValue(parsing: Array($0.replacing("\"D\"", with: "\"\(text)\"").utf8))) ?? .null }
        words = [
            "docker.io", "localhost", "localhost:5000", "[::1]:5000", "EXAMPLE.com", "library", "busybox", "a_b", "a__b", "a--b", "latest", "v1.0", text, "sha512:", "sha256", "linux", "amd64", "arm64", "v8.2",
            "v9", "arm", "v7", "x86_64", "386", "/", "/", "/", ":", "@", ".", "-", "_", "..", "0", String(repeating: "f", count: 64), String(repeating: "a", count: 250), "ü", "\u{1B}[2J", " ", "\u{0}",
        ]
    }

    mutating func run(_ random: inout Random) -> Verdict {
        if random.once(in: 2) { return readText((0..<(1 + random.below(9))).map { _ in random.pick(words) }.joined()) }
        var mutation = JSONMutation(documents: documents, random: random)
        let text = mutation.makeText()
        random = mutation.random
        return readDocuments(text)
    }

    private func readDocuments(_ text: [UInt8]) -> Verdict {
        var isAccepted = false
        do throws(DocumentError) {
            let configuration = try ImageConfiguration(parsing: text)
            if let why = Self.difference(configuration) { return .failed(why) }
            _ = ImageConfiguration.chainIDs(of: configuration.diffIDs) { _ in configuration.diffIDs[0] }
            isAccepted = true
        } catch { if let why = Self.problem(error) { return .failed(why) } }
        do throws(DocumentError) {
            let document = try ManifestDocument(text, mediaType: nil)
            guard document.bytes == text else { return .failed("a manifest's bytes are not kept") }
            isAccepted = true
            switch document.content {
            case .manifest(let manifest): if let why = Self.difference(manifest) { return .failed(why) }
            case .index(let index):
                if let why = Self.difference(index) { return .failed(why) }
                let chosen = index.descriptors(for: .current)
                guard Set(chosen).isSubset(of: index.manifests), chosen.count <= index.manifests.count else { return .failed("an index has what it does not list") }
            }
        } catch { if let why = Self.problem(error) { return .failed(why) } }
        return isAccepted ? .accepted : .refused
    }

    /// How a document differs from what is written of it.
    private static func difference<Document: ImageDocument>(_ document: Document) -> String? {
        guard let again = try? Document(parsing: document.bytes, limit: 16 << 20) else { return "a document is written that cannot be read" }
        guard again == document else { return "a document is not read back as it was written" }
        return again.bytes == document.bytes ? nil : "a document is written differently the second time"
    }

    private static func problem(_ error: DocumentError) -> String? {
        guard ConfigurationTarget.isFit("\(error)") else { return "a message that is not fit to be shown: \("\(error)".prefix(300))" }
        if case .shape(let shape) = error, shape.path.isEmpty, !shape.problem.hasPrefix("expected an object") { return "an error without a path: \(error)" }
        return nil
    }

    private func readText(_ text: String) -> Verdict {
        var isAccepted = false
        do throws(ReferenceError) {
            let reference = try Reference(text)
            isAccepted = true
            for other in [reference.description, reference.familiar] {
                guard (try? Reference(other)) == reference else { return .failed("\(quoted(text)) is \(quoted(other)), which is another reference") }
            }
            guard reference.path.utf8.count <= Reference.longestPath, reference.description.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { return .failed("\(quoted(text)) is taken") }
        } catch { if !ConfigurationTarget.isFit("\(error)") { return .failed("a message that is not fit to be shown: \("\(error)".prefix(300))") } }
        do throws(PlatformError) {
            let platform = try Platform(text)
            isAccepted = true
            guard platform.rank(of: platform) == 0, platform.compatible.count <= 40, (try? Platform("\(platform)")) == platform else { return .failed("the platform \(quoted(text)) does not run its own images") }
        } catch { if !ConfigurationTarget.isFit("\(error)") { return .failed("a message that is not fit to be shown") } }
        do throws(DigestError) {
            let digest = try Digest(text)
            isAccepted = true
            guard digest.description == text, Digest(digest.algorithm, hash: digest.hash) == digest else { return .failed("the digest \(quoted(text)) is not the same") }
        } catch { if !ConfigurationTarget.isFit("\(error)") { return .failed("a message that is not fit to be shown") } }
        return isAccepted ? .accepted : .refused
    }
}
