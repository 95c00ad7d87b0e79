internal import JSONText
internal import OCIImage

/// A change to an image's configuration, as a line of a Dockerfile says it (`--change`).
public enum ImageChange: Equatable, Sendable {
    case command([String]), entrypoint([String]), environment(String), workingDirectory(String), user(String), label(String, String), volume(String), port(String), stopSignal(String)

    public static func all(_ texts: [String]) throws(EngineError) -> [ImageChange] {
        var result: [ImageChange] = []
        for text in texts { result.append(try ImageChange(text)) }
        return result
    }

    public init(_ text: String) throws(EngineError) {
        // `CMD=…`, too, as podman takes it.
        let word = text.prefix { $0.isLetter }
        let rest = String(text.dropFirst(word.count).drop { $0 == " " || $0 == "\t" || $0 == "=" })
        func wrong(_ why: String) -> EngineError { EngineError("--change \(quoted(text)): \(why)") }
        guard !rest.isEmpty else { throw wrong("an instruction and its value are expected, such as CMD /bin/sh") }
        switch word.uppercased() {
        case "CMD": self = .command(try Self.words(rest, text))
        case "ENTRYPOINT": self = .entrypoint(try Self.words(rest, text))
        case "ENV":
            guard let equals = rest.firstIndex(of: "="), equals != rest.startIndex else { throw wrong("NAME=VALUE is expected") }
            self = .environment(rest)
        case "WORKDIR":
            guard rest.hasPrefix("/") else { throw wrong("an absolute path is expected") }
            self = .workingDirectory(rest)
        case "USER": self = .user(rest)
        case "LABEL":
            let (name, value) = try FlagValues.pair(rest, flag: "--change LABEL", valueNeeded: true)
            self = .label(name, value)
        case "VOLUME":
            guard rest.hasPrefix("/") else { throw wrong("an absolute path is expected") }
            self = .volume(rest)
        case "EXPOSE":
            let parts = rest.split(separator: "/", omittingEmptySubsequences: false)
            guard (1...2).contains(parts.count), UInt16(parts[0]) != nil, parts.count == 1 || ["tcp", "udp", "sctp"].contains(String(parts[1])) else { throw wrong("PORT or PORT/tcp is expected") }
            self = .port(rest)
        case "STOPSIGNAL":
            _ = try FlagValues.signal(rest, flag: "--change STOPSIGNAL")
            self = .stopSignal(rest)
        default: throw wrong("there are CMD, ENTRYPOINT, ENV, WORKDIR, USER, LABEL, VOLUME, EXPOSE and STOPSIGNAL")
        }
    }

    /// A JSON array, or a line for a shell.
    private static func words(_ text: String, _ whole: String) throws(EngineError) -> [String] {
        guard text.hasPrefix("[") else { return ["/bin/sh", "-c", text] }
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: Array(text.utf8)) } catch { throw EngineError("--change \(quoted(whole)): is not JSON: \(error)") }
        do throws(JSONShapeError) { return try JSONCursor(value).strings() } catch { throw EngineError("--change \(quoted(whole)): \(error)") }
    }

    func apply(to config: inout ExecutionParameters) {
        switch self {
        case .command(let words): config.cmd = words
        case .entrypoint(let words): config.entrypoint = words
        case .environment(let entry):
            let name = entry.prefix { $0 != "=" } + "="
            config.env.removeAll { $0.hasPrefix(name) }
            config.env.append(entry)
        case .workingDirectory(let path): config.workingDir = path
        case .user(let user): config.user = user
        case .label(let name, let value): config.labels[name] = value
        case .volume(let path): config.volumes.insert(path)
        case .port(let port): config.exposedPorts.insert(port.contains("/") ? port : port + "/tcp")
        case .stopSignal(let signal): config.stopSignal = signal
        }
    }
}
