import Glibc
import JSONText
import LinuxSystem

/// A program `docker-credential-NAME` that keeps credentials (github.com/docker/docker-credential-helpers).
struct CredentialHelper: Sendable {
    let name: String
    /// Directories in which programs are, separated by colons.
    let searchPath: String
    let environment: [String: String]
    let timeout: Duration
    /// Of what the program prints, in bytes.
    private static let outputLimit = 64 << 10

    /// - Throws: when the name could lead out of the directories of programs.
    init(_ name: String, environment: [String: String], timeout: Duration) throws(RegistryError) {
        let isPlain = !name.isEmpty && name.utf8.count <= 100 && name.utf8.allSatisfy { byte in
            Character(Unicode.Scalar(byte)).isLetter && byte < 0x80 || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || Array("._-".utf8).contains(byte)
        }
        guard isPlain else { throw RegistryError(.credentials, "\(quoted(name)) is not the name of a credential helper") }
        self.name = name
        self.environment = environment
        self.timeout = timeout
        searchPath = environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
    }

    private var program: String { "docker-credential-\(name)" }

    /// The credential for a server; nil when the helper has none.
    func get(_ server: String) async throws -> Credential? {
        let (status, output) = try await run("get", Array(server.utf8))
        guard status == .exited(0) else {
            let text = String(decoding: output, as: UTF8.self).trimmed
            // The words that all helpers share for this.
            if text == "credentials not found in native keychain" { return nil }
            throw failure("cannot get the credentials for \(server): \(text.isEmpty ? Self.text(status) : quoted(text))")
        }
        do {
            let members = try JSONCursor(JSONValue(parsing: output)).object()
            let (user, secret) = (try members.required("Username").string(), try members.required("Secret").string())
            guard !secret.isEmpty else { return nil }
            return user == "<token>" ? .identityToken(secret) : .password(user: user, password: secret)
        } catch { throw failure("its answer: \(error)") }
    }

    func store(_ credential: Credential, for server: String) async throws {
        let (user, secret): (String, String) =
            switch credential {
            case .password(let user, let password): (user, password)
            case .identityToken(let token): ("<token>", token)
            case .registryToken: throw failure("does not keep registry tokens")
            }
        var object = JSONObject()
        object["ServerURL"] = .string(server)
        object["Username"] = .string(user)
        object["Secret"] = .string(secret)
        try await expectSuccess("store", JSONValue.object(object).bytes())
    }

    func erase(_ server: String) async throws { try await expectSuccess("erase", Array(server.utf8)) }

    private func expectSuccess(_ action: String, _ input: [UInt8]) async throws {
        let (status, output) = try await run(action, input)
        guard status == .exited(0) else {
            let text = String(decoding: output, as: UTF8.self).trimmed
            throw failure("\(action): \(text.isEmpty ? Self.text(status) : quoted(text))")
        }
    }

    private func failure(_ problem: String) -> RegistryError { RegistryError(.credentials, "the credential helper \(program): \(problem)") }

    private static func text(_ status: ExitStatus) -> String {
        switch status {
        case .exited(let code): "exit status \(code)"
        case .signaled(let signal): "was killed by signal \(signal)"
        }
    }

    /// Runs the program on a thread of its own, for waiting would block the tasks of everybody else.
    private func run(_ action: String, _ input: [UInt8]) async throws -> (ExitStatus, [UInt8]) {
        try await withCheckedThrowingContinuation { continuation in
            do throws(SystemError) {
                try startThread(name: "credentials") {
                    do throws(RegistryError) { continuation.resume(returning: try runAndWait(action, input)) } catch { continuation.resume(throwing: error) }
                }
            } catch { continuation.resume(throwing: failure("\(error)")) }
        }
    }

    private func runAndWait(_ action: String, _ input: [UInt8]) throws(RegistryError) -> (ExitStatus, [UInt8]) {
        var output: [UInt8] = []
        var problem: String?
        var status = ExitStatus.exited(0)
        do throws(SystemError) {
            let (pid, readEnd) = try start(action, input)
            let process = try ProcessDescriptor(pid)
            let deadline = ContinuousClock.now + timeout
            func left() -> Int32 { Int32(clamping: max(0, (deadline - .now).components.seconds * 1000 + (deadline - .now).components.attoseconds / 1_000_000_000_000_000)) }
            var buffer = [UInt8](repeating: 0, count: 4096)
            while problem == nil {
                // Both: it may close its output without ending, or leave it open to a child when it ends.
                guard try waitReadable(readEnd.rawValue, milliseconds: min(left(), 100)) else {
                    if try waitReadable(process.descriptor.rawValue, milliseconds: 0) { break }
                    if left() == 0 { problem = "has not answered in \(timeout)" }
                    continue
                }
                let count = try readEnd.with { (end: borrowing OwnedDescriptor) throws(SystemError) in try end.read(into: &buffer) }
                if count == 0 { break }
                output += buffer[..<count]
                if output.count > Self.outputLimit { problem = "prints more than \(Self.outputLimit) bytes" }
            }
            if problem == nil, try !waitReadable(process.descriptor.rawValue, milliseconds: left()) { problem = "has not ended in \(timeout)" }
            // With what it has started: it leads a group of its own, whose number nobody else gets before it is waited for.
            if problem != nil { try sendSignal(SIGKILL, to: -pid) }
            status = try waitForProcess(pid)?.status ?? status
        } catch { throw failure("\(error)") }
        if let problem { throw failure(problem) }
        return (status, output)
    }

    /// The process, and what it prints. The pipe's other end is the process's alone, so that it ends when that does.
    private func start(_ action: String, _ input: [UInt8]) throws(SystemError) -> (pid: Int32, output: SharedDescriptor) {
        let (readEnd, writeEnd) = try Pipe().split()
        let request = try MemoryFile.make("credential-request", input)
        let variables = environment.map { "\($0.key)=\($0.value)" }
        for directory in searchPath.split(separator: ":") where directory.hasPrefix("/") {
            let path = "\(directory)/\(program)"
            var attempt = 0
            while true {
                do throws(SystemError) {
                    return (try ProgramStart.start(path, arguments: [action], environment: variables, descriptors: [request, writeEnd], newSession: true), readEnd)
                } catch {
                    if [.noSuchFile, .notDirectory, .permissionDenied].contains(error.errno) { break }
                    // It has just been installed, and somebody still has it open for writing, if only between fork and exec.
                    guard error.errno.rawValue == ETXTBSY, attempt < 50 else { throw error }
                    attempt += 1
                    _ = try waitReadable(readEnd.rawValue, milliseconds: 10)
                }
            }
        }
        throw SystemError(.noSuchFile, "exec", path: "\(program) (looked for in \(searchPath))")
    }
}

extension String {
    /// Without blanks and line ends around it.
    var trimmed: String {
        var rest = self[...]
        while rest.first?.isWhitespace == true { rest = rest.dropFirst() }
        while rest.last?.isWhitespace == true { rest = rest.dropLast() }
        return String(rest)
    }
}
