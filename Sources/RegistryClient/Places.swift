import OCIImage

extension RegistryClient {
    /// Asks the places where a repository may be, the mirrors first, until one answers. What only the last one cannot do is told.
    /// - Parameter mirrors: whether they are asked.
    func firstAnswer<Value>(for reference: Reference, mirrors: Bool = true, _ body: (Endpoint) async throws -> Value) async throws -> Value {
        let endpoints = try configuration.registries.endpoints(for: reference, mirrors: mirrors)
        var problems: [String] = []
        for (index, endpoint) in endpoints.enumerated() {
            do { return try await body(endpoint) } catch let error as RegistryError {
                guard index < endpoints.count - 1 else {
                    guard !problems.isEmpty else { throw error }
                    var all = RegistryError(error.code, request: error.request, "\(error.problem) (before that, mirrors failed: \(problems.joined(separator: "; ")))")
                    all.registryCodes = error.registryCodes
                    throw all
                }
                problems.append("\(error)")
            }
        }
        throw RegistryError(.configuration, "\(reference) is nowhere")
    }

    /// Where pushes and deletions go: never to a mirror.
    func pushEndpoint(_ reference: Reference) throws -> Endpoint {
        guard let endpoint = try configuration.registries.endpoints(for: reference, mirrors: false).last else { throw RegistryError(.configuration, "\(reference) is nowhere") }
        return endpoint
    }
}
