import JSONText
import LinuxSystem
import TOMLText

extension RegistryRules {
    /// Reads the registries of a configuration file, which are written as in containers-registries.conf(5). What else is in the file is for others.
    ///
    ///     [[registry]]
    ///     prefix = "docker.io"                 # or "*.example.com"; without it: the location
    ///     location = "registry.example.com/hub"
    ///     insecure = false                     # any certificate, or plain HTTP where nothing speaks TLS
    ///     plain-http = false                   # nothing but plain HTTP
    ///     blocked = false
    ///
    ///     [[registry.mirror]]
    ///     location = "mirror.example.com"
    ///     pull-from-mirror = "all"             # "digest-only", "tag-only"
    /// - Parameters:
    ///   - path: of the file.
    ///   - optional: whether it may be missing.
    /// - Throws: `RegistryError` with the code `configuration`, which names the file and the line.
    public init(file path: String, optional: Bool = false) throws(RegistryError) {
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try readFile(path, limit: TOMLReader.largestFile) } catch {
            guard optional, error.errno == .noSuchFile || error.errno == .notDirectory else { throw RegistryError(.configuration, "\(error)") }
            self.init()
            return
        }
        try self.init(parsing: bytes, path: path)
    }

    /// - Parameter path: for messages.
    init(parsing bytes: [UInt8], path: String) throws(RegistryError) {
        do throws(TOMLReader.Problem) {
            var tables: [Table] = []
            for entry in try TOMLReader.entries(bytes) where entry.name.hasPrefix("registry[") { try Table.add(entry, to: &tables) }
            self.init(try tables.map { (table) throws(TOMLReader.Problem) in try table.rule() })
        } catch { throw RegistryError(.configuration, "\(path):\(error.line): \(error.text)") }
    }

    /// A registry or a mirror as it is written.
    private struct Table {
        var line: Int
        var prefix: String?
        var location: String?
        var insecure = false
        var plain = false
        var blocked = false
        var pulls = RegistryMirror.Pulls.all
        var mirrors: [Table] = []

        static func add(_ entry: TOMLReader.Entry, to tables: inout [Table]) throws(TOMLReader.Problem) {
            let parts = entry.name.split(separator: ".").map(String.init)
            let isMirror = parts.count > 1 && parts[1].hasPrefix("mirror[")
            switch parts.count {
            case 1: tables.append(Table(line: entry.line))
            case 2 where isMirror: tables[tables.count - 1].mirrors.append(Table(line: entry.line))
            case 2 where !parts[1].contains("["): try tables[tables.count - 1].set(entry, parts[1], ["prefix", "location", "insecure", "plain-http", "blocked"])
            case 3 where isMirror && !parts[2].contains("["):
                let last = tables[tables.count - 1].mirrors.count - 1
                try tables[tables.count - 1].mirrors[last].set(entry, parts[2], ["location", "insecure", "plain-http", "pull-from-mirror"])
            default: throw Self.problem(entry, "there is no such setting; there are [[registry]] and [[registry.mirror]]")
            }
        }

        private static func problem(_ entry: TOMLReader.Entry, _ text: String) -> TOMLReader.Problem { TOMLReader.Problem(line: entry.line, text: "\(entry.name): \(text)") }

        private mutating func set(_ entry: TOMLReader.Entry, _ name: String, _ names: [String]) throws(TOMLReader.Problem) {
            guard names.contains(name) else { throw Self.problem(entry, "there is no such setting; there are \(names.joined(separator: ", "))") }
            switch (name, entry.value) {
            case ("prefix", .string(let text)): prefix = text
            case ("location", .string(let text)): location = text
            case ("insecure", .boolean(let value)): insecure = value
            case ("plain-http", .boolean(let value)): plain = value
            case ("blocked", .boolean(let value)): blocked = value
            case ("pull-from-mirror", .string(let text)):
                guard let word = RegistryMirror.Pulls(rawValue: text) else { throw Self.problem(entry, "\(quoted(text)) is not one of all, digest-only, tag-only") }
                pulls = word
            default: throw Self.problem(entry, ["insecure", "plain-http", "blocked"].contains(name) ? "true or false is expected" : "a text in quotes is expected")
            }
        }

        private var transport: RegistryTransport { plain ? .plain : insecure ? .insecure : .tls }

        /// A location is looked at here and not when it is used, so that the message has its line.
        private func check(_ location: String) throws(TOMLReader.Problem) {
            do throws(RegistryError) { _ = try Endpoint(location.contains("/") ? location : location + "/name", transport: transport) } catch {
                throw TOMLReader.Problem(line: line, text: error.problem)
            }
        }

        func rule() throws(TOMLReader.Problem) -> RegistryRule {
            guard let prefix = prefix ?? location else { throw TOMLReader.Problem(line: line, text: "[[registry]]: neither a prefix nor a location") }
            try check(prefix.hasPrefix("*.") ? "x" + prefix.dropFirst() : prefix)
            guard !prefix.hasPrefix("*.") || !prefix.contains("/") else { throw TOMLReader.Problem(line: line, text: "[[registry]]: the prefix \(quoted(prefix)) has a star and a path") }
            if let location { try check(location) }
            var found: [RegistryMirror] = []
            for mirror in mirrors {
                guard let location = mirror.location else { throw TOMLReader.Problem(line: mirror.line, text: "[[registry.mirror]]: the location is missing") }
                try mirror.check(location)
                found.append(RegistryMirror(location: location, transport: mirror.transport, pulls: mirror.pulls))
            }
            return RegistryRule(prefix: prefix, location: location == prefix ? nil : location, transport: transport, isBlocked: blocked, mirrors: found)
        }
    }
}
