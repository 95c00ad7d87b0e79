import NIOHTTP1
import OCIImage

/// Requests to one endpoint's registry and to where it sends this client: redirects, and what may go where.
struct Exchange: Sendable {
    let connections: Connections
    let configuration: ClientConfiguration
    let endpoint: Endpoint

    /// The host that credentials and a missing verification are for.
    private var ownHost: String? { (try? endpoint.address(isSecure: true, path: "/"))?.host }

    /// Sends one request.
    func send(_ request: Request) async throws -> Answer {
        let isOwn = request.address.host == ownHost
        // Docker Hub's certificates are kept by the name that people use.
        let defaultPort = request.address.isSecure ? 443 : 80
        let name = isOwn && endpoint.domain == Reference.defaultDomain ? endpoint.domain : request.address.host + (request.address.port == defaultPort ? "" : ":\(request.address.port)")
        return try await connections.send(request, certificates: name, verifies: !(isOwn && endpoint.transport == .insecure))
    }

    /// Sends a request and follows redirects. The Authorization header stays with the origin that it is for.
    func follow(_ first: Request) async throws -> Answer {
        var request = first
        var seen: Set<HTTPAddress> = [first.address]
        while true {
            let answer = try await send(request)
            guard [301, 302, 303, 307, 308].contains(answer.status) else { return answer }
            guard let location = answer.header("location") else { throw RegistryError(.malformedAnswer, request: answer.request, "a redirect (\(answer.status)) without a Location") }
            guard [.GET, .HEAD].contains(first.method) else { throw RegistryError(.redirect, request: answer.request, "a redirect (\(answer.status)) of a request that changes something is not followed") }
            await answer.drain(limits: configuration.limits)
            let target: HTTPAddress
            do { target = try HTTPAddress(location, relativeTo: request.address) } catch { throw RegistryError(.malformedAnswer, request: answer.request, "a redirect to what cannot be asked: \(error)") }
            guard target.isSecure || !request.address.isSecure else { throw RegistryError(.redirect, request: answer.request, "a redirect to \(target), without encryption, is not followed") }
            guard seen.insert(target).inserted, seen.count <= configuration.limits.redirects + 1 else {
                throw RegistryError(.redirect, request: first.description, "redirects lead in a circle, or more than \(configuration.limits.redirects) times further (to \(target))")
            }
            if target.origin != first.address.origin { request.headers.remove(name: "Authorization") }
            request.address = target
        }
    }

    /// A token server's answer of success.
    func tokenAnswer(_ request: Request) async throws -> Answer {
        try await retrying(configuration) {
            let answer = try await follow(request)
            guard answer.status == 200 else { throw try await refusal(of: answer, by: "the token server") }
            return answer
        }
    }

    /// The error that an answer is.
    /// - Parameter who: when it is not the registry.
    func refusal(of answer: Answer, by who: String? = nil) async throws -> RegistryError {
        let body: ErrorBody
        do {
            body = ErrorBody(try await answer.collect(limit: 65536, limits: configuration.limits))
        } catch let error as RegistryError where error.code != .connection {
            // The status says enough.
            body = ErrorBody([])
        }
        let code: RegistryError.Code =
            switch answer.status {
            case 401: .unauthorized
            case 403: .denied
            case 404: .notFound
            case 405, 501: .unsupported
            case 429: .tooManyRequests
            default: body.codes.contains("UNSUPPORTED") ? .unsupported : .status(answer.status)
            }
        let reason = HTTPResponseStatus(statusCode: answer.status).reasonPhrase
        var error = RegistryError(code, request: answer.request, (who.map { "\($0) answers " } ?? "") + "\(answer.status) \(reason)" + (body.text.map { ": \($0)" } ?? ""))
        error.registryCodes = body.codes
        error.retryAfter = answer.header("retry-after").flatMap { Backoff.retryAfter($0, now: answer.header("date").flatMap(HTTPDate.seconds)) }
        return error
    }
}

/// Makes a request again while it fails for reasons that may pass.
func retrying<Value: Sendable>(_ configuration: ClientConfiguration, _ body: () async throws -> Value) async throws -> Value {
    var attempt = 0
    while true {
        do { return try await body() } catch let error as RegistryError {
            try await pause(configuration, after: error, attempt: attempt)
            attempt += 1
        }
    }
}

/// Waits before the next attempt, or throws the error when there shall be none.
/// - Parameter attempt: how many attempts failed before this one.
func pause(_ configuration: ClientConfiguration, after error: RegistryError, attempt: Int) async throws {
    let limits = configuration.limits
    // Where nobody listens, nobody will in a second, either; but a server may just be restarting.
    guard error.isTransient, attempt + 1 < (error.isUnreachable ? min(limits.attempts, 2) : limits.attempts) else { throw error }
    var delay = limits.backoff.delay(attempt: attempt)
    if let asked = error.retryAfter {
        guard asked <= limits.longestRetryAfter else {
            throw RegistryError(error.code, request: error.request, "\(error.problem) (try again in \(asked.components.seconds) s, as it asks)")
        }
        delay = max(delay, asked)
    }
    configuration.onRetry?(error, delay)
    try await Task.sleep(for: delay)
}
