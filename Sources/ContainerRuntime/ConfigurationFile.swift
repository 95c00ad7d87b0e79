internal import Glibc
internal import LinuxSystem
internal import TOMLText

/// /etc/nacelle/config.toml: what an administrator sets for all containers of a machine. Flags, annotations and the `vm` section of
/// config.json come first; defaults come after it.
public struct ConfigurationFile: Equatable, Sendable {
    public static let defaultPath = "/etc/nacelle/config.toml"

    /// Where it was read; nil when there is none.
    public private(set) var path: String?

    public internal(set) var root: String?
    public internal(set) var isolation: IsolationChoice?
    public internal(set) var debug: Bool?
    public internal(set) var log: String?
    public internal(set) var logFormat: RuntimeLog.Format?
    /// MiB
    var memory: UInt64?
    var vcpus: Int?
    /// Seconds
    var bootTimeout: Int64?
    var monitor: String?
    var initProgram: String?
    var kernel: String?
    var image: String?
    public internal(set) var engine = EngineSettings()

    /// What `nacelle` goes by, and nacelle-oci does not look at.
    public struct EngineSettings: Equatable, Sendable {
        public internal(set) var root: String?
        /// A name or an absolute path.
        public internal(set) var runtime: String?
        /// Bytes of one log file.
        public internal(set) var logSize: Int64?
        public internal(set) var logFiles: Int?
        public internal(set) var storageDriver: String?
    }

    public init() {}

    /// Reads the file that is named by a flag or by NACELLE_CONFIG, which must exist, or the machine's, which need not.
    public static func load(_ named: String?) throws(RuntimeError) -> ConfigurationFile {
        let wanted = named ?? environment("NACELLE_CONFIG")
        let path = wanted ?? defaultPath
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try readFile(path, limit: TOMLReader.largestFile) } catch {
            if wanted == nil && (error.errno == .noSuchFile || error.errno == .notDirectory) { return ConfigurationFile() }
            throw RuntimeError("cannot read the configuration file", error)
        }
        return try ConfigurationFile(parsing: bytes, path: path)
    }

    private static func environment(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        let text = unsafe String(cString: value)
        return text.isEmpty ? nil : text
    }

    init(parsing bytes: [UInt8], path: String) throws(RuntimeError) {
        self.path = path
        do throws(TOMLReader.Problem) {
            for entry in try TOMLReader.entries(bytes) { try set(entry) }
        } catch { throw RuntimeError("\(path):\(error.line): \(error.text)") }
    }

    private static let names = [
        "root", "isolation", "debug", "log", "log_format", "machine.memory", "machine.vcpus", "machine.boot_timeout",
        "paths.vmm", "paths.init", "paths.kernel", "paths.guest_image", "engine.root", "engine.runtime", "engine.log_size", "engine.log_files",
        "engine.storage_driver",
    ]

    private mutating func set(_ entry: TOMLReader.Entry) throws(TOMLReader.Problem) {
        switch entry.name {
        case "root": root = try entry.path()
        case "isolation": isolation = try entry.word(IsolationChoice.self)
        case "debug": debug = try entry.boolean()
        case "log": log = try entry.path()
        case "log_format": logFormat = try entry.word(RuntimeLog.Format.self)
        case "machine.memory": memory = try entry.memory()
        case "machine.vcpus": vcpus = Int(try entry.integer(1...Int64(MachineSettings.maximumVCPUs)))
        case "machine.boot_timeout": bootTimeout = try entry.integer(MachineSettings.bootTimeouts)
        case "paths.vmm": monitor = try entry.path()
        case "paths.init": initProgram = try entry.path()
        case "paths.kernel": kernel = try entry.path()
        case "paths.guest_image": image = try entry.path()
        case "engine.root": engine.root = try entry.path()
        case "engine.runtime": engine.runtime = try entry.program()
        case "engine.log_size": engine.logSize = try entry.bytes(4096)
        case "engine.storage_driver": engine.storageDriver = try entry.string("a driver's name")
        case "engine.log_files": engine.logFiles = Int(try entry.integer(1...100))
        // The registries are for those who fetch images (RegistryClient reads them).
        case _ where entry.name.hasPrefix("registry["): break
        default: throw entry.problem("there is no such setting; there are \(Self.names.joined(separator: ", "))")
        }
    }
}

extension TOMLReader.Entry {
    fileprivate func problem(_ text: String) -> TOMLReader.Problem { TOMLReader.Problem(line: line, text: "\(name): \(text)") }

    fileprivate func string(_ what: String) throws(TOMLReader.Problem) -> String {
        guard case .string(let text) = value else { throw problem("\(what) in quotes is expected") }
        return text
    }

    fileprivate func path() throws(TOMLReader.Problem) -> String {
        let text = try string("a path")
        guard text.hasPrefix("/"), !text.utf8.contains(0) else { throw problem("\"\(text)\" is not an absolute path") }
        return text
    }

    fileprivate func word<Word: RawRepresentable & CaseIterable>(_ type: Word.Type) throws(TOMLReader.Problem) -> Word where Word.RawValue == String {
        let words = Word.allCases.map(\.rawValue).joined(separator: ", ")
        let text = try string("one of \(words),")
        guard let word = Word(rawValue: text) else { throw problem("\"\(text)\" is not one of \(words)") }
        return word
    }

    fileprivate func boolean() throws(TOMLReader.Problem) -> Bool {
        guard case .boolean(let value) = value else { throw problem("true or false is expected") }
        return value
    }

    fileprivate func integer(_ range: ClosedRange<Int64>) throws(TOMLReader.Problem) -> Int64 {
        guard case .integer(let number) = value, range.contains(number) else {
            throw problem("a number from \(range.lowerBound) to \(range.upperBound) is expected")
        }
        return number
    }

    /// A program's name, or where it is.
    fileprivate func program() throws(TOMLReader.Problem) -> String {
        let text = try string("a program's name or path")
        guard !text.isEmpty, !text.utf8.contains(0), text.hasPrefix("/") || !text.contains("/") else { throw problem("\"\(text)\" is neither a name nor an absolute path") }
        return text
    }

    /// A number of bytes, or a string with a unit.
    fileprivate func bytes(_ least: Int64) throws(TOMLReader.Problem) -> Int64 {
        let size: Int64? = switch value {
        case .integer(let number): number
        case .string(let text): Quantity.bytes(text)
        case .boolean: nil
        }
        guard let size, size >= least else { throw problem("a size of \(least) bytes or more is expected: bytes as a number, or a string such as \"10m\"") }
        return size
    }

    /// MiB as a number, or as an annotation has it.
    fileprivate func memory() throws(TOMLReader.Problem) -> UInt64 {
        let size: UInt64? = switch value {
        case .integer(let number): UInt64(exactly: number)
        case .string(let text): MachineSettings.mebibytes(text)
        case .boolean: nil
        }
        guard let size, (MachineSettings.minimumMemory...(1 << 24)).contains(size) else {
            throw problem("a size of \(MachineSettings.minimumMemory) MiB or more is expected: MiB as a number, or a string such as \"2G\"")
        }
        return size
    }
}
