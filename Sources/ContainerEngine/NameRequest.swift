internal import JSONText
internal import LinuxSystem

/// `--add-host`, `--dns`, `--dns-search`, `--dns-option`: what a container's /etc/hosts and /etc/resolv.conf say.
public struct NameRequest: Equatable, Sendable {
    /// An address and a name.
    public var hosts: [(address: String, name: String)] = []
    public var servers: [String] = []
    public var searched: [String] = []
    public var options: [String] = []
    public init() {}

    public static func == (left: NameRequest, right: NameRequest) -> Bool {
        left.hosts.elementsEqual(right.hosts, by: ==) && left.servers == right.servers && left.searched == right.searched && left.options == right.options
    }

    /// `--add-host NAME:ADDRESS`
    public mutating func addHost(_ text: String) throws(EngineError) {
        let separator = text.firstIndex { $0 == ":" || $0 == "=" }
        let name = String(text[..<(separator ?? text.endIndex)])
        let address = separator.map { String(text[text.index(after: $0)...]) } ?? ""
        guard Self.isAddress(address), (try? FlagValues.hostname(name)) != nil else { throw EngineError("--add-host \(quoted(text)): NAME:ADDRESS is expected, such as db:10.0.0.2") }
        hosts.append((address, name))
    }

    /// `--dns ADDRESS`
    public mutating func addServer(_ text: String) throws(EngineError) {
        guard Self.isAddress(text) else { throw EngineError("--dns \(quoted(text)): an address is expected, such as 10.0.0.1") }
        servers.append(text)
    }

    /// `--dns-search DOMAIN`, `--dns-option WORD`
    static func word(_ text: String, flag: String) throws(EngineError) -> String {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { throw EngineError("\(flag) \(quoted(text)): one word is expected") }
        return text
    }
    public mutating func addSearched(_ text: String) throws(EngineError) { searched.append(try Self.word(text, flag: "--dns-search")) }
    public mutating func addOption(_ text: String) throws(EngineError) { options.append(try Self.word(text, flag: "--dns-option")) }

    /// As far as its letters go; whoever reads the file knows the rest.
    private static func isAddress(_ text: String) -> Bool {
        text.contains { $0 == "." || $0 == ":" } && text.utf8.count <= 45 && text.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x3A, UInt8(ascii: "."), UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): true
            default: false
            }
        }
    }

    /// Files in /etc that the container gets for itself. Without a network there are no servers of names.
    func files(_ network: ContainerOptions.Network) -> [String] { ["hosts", "hostname"] + (network == .host || !servers.isEmpty || !searched.isEmpty || !options.isEmpty ? ["resolv.conf"] : []) }

    /// With the host's network there are the host's names.
    func contents(of file: String, hostname: String, _ network: ContainerOptions.Network) -> [UInt8] {
        switch file {
        case "hosts":
            let own = "127.0.0.1\tlocalhost \(hostname)\n::1\tlocalhost ip6-localhost ip6-loopback \(hostname)\n"
            let usual = network == .host ? (try? readFile("/etc/hosts", limit: 4 << 20)).map { String(decoding: $0, as: UTF8.self) } ?? own : own
            return Array((usual + (usual.hasSuffix("\n") ? "" : "\n") + hosts.map { "\($0.address)\t\($0.name)\n" }.joined()).utf8)
        case "resolv.conf": return Array(resolver(network).utf8)
        default: return Array((hostname + "\n").utf8)
        }
    }

    private func resolver(_ network: ContainerOptions.Network) -> String {
        let usual = network == .host ? (try? readFile("/etc/resolv.conf", limit: 1 << 20)).map { String(decoding: $0, as: UTF8.self) } ?? "" : ""
        let replaced = Set((servers.isEmpty ? [] : ["nameserver"]) + (searched.isEmpty ? [] : ["search", "domain"]) + (options.isEmpty ? [] : ["options"]))
        let kept = usual.split(separator: "\n").filter { line in !replaced.contains(String(line.prefix { $0 != " " && $0 != "\t" })) }.map(String.init)
        let own = servers.map { "nameserver \($0)" } + (searched.isEmpty ? [] : ["search " + searched.joined(separator: " ")]) + (options.isEmpty ? [] : ["options " + options.joined(separator: " ")])
        return (kept + own).map { $0 + "\n" }.joined()
    }
}
