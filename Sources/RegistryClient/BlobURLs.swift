import NIOHTTP1
import OCIImage

/// Blobs that a registry need not have: their descriptors say where else they are (image-spec, descriptor.md, `urls`; layer.md, "Non-Distributable Layers").
extension BlobDownload {
    /// More are a game.
    private static let mostURLs = 8

    /// Fetches what is missing from the first of the descriptor's URLs that has it.
    /// - Parameters:
    ///   - missing: what the registry said.
    ///   - endpoint: the repository.
    mutating func fetchFromURLs(after missing: RegistryError, for endpoint: Endpoint) async throws {
        var problems: [String] = []
        for text in descriptor.urls.prefix(Self.mostURLs) {
            do { return try await fetch(from: .address(try client.address(ofBlob: text), endpoint)) } catch let error as RegistryError { problems.append("\(error)") }
        }
        throw RegistryError(.notFound, request: missing.request, "\(missing.problem); and it does not come from where its manifest says it is, either: \(problems.joined(separator: "; "))")
    }
}

extension RegistryClient {
    /// A manifest's author chooses these: over TLS, unless the configuration lets the host be asked without, and nothing that it blocks.
    fileprivate func address(ofBlob text: String) throws(RegistryError) -> HTTPAddress {
        let address: HTTPAddress
        do throws(AddressError) { address = try HTTPAddress(text) } catch { throw RegistryError(.malformedAnswer, "\(error)") }
        let transport = try configuration.registries.transport(of: address)
        guard address.isSecure || transport != .tls else { throw RegistryError(.configuration, "\(address) is not asked without encryption, unless the configuration says so of the host") }
        return address
    }

    /// Asks for a blob that is at no registry. No credentials go there, whoever wants some.
    func open(_ address: HTTPAddress, _ headers: HTTPHeaders, for endpoint: Endpoint) async throws -> Answer {
        let exchange = Exchange(connections: connections, configuration: configuration, endpoint: endpoint)
        let answer = try await exchange.follow(Request(method: .GET, address: address, headers: headers))
        guard answer.status == 200 || answer.status == 206 else { throw try await exchange.refusal(of: answer) }
        return answer
    }
}
