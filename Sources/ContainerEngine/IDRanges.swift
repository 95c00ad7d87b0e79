internal import LinuxSystem
internal import OCISpec

/// The ids that an ordinary user's containers have: the user's own as root's, and what /etc/subuid and /etc/subgid give.
enum IDRanges {
    static func add(to conversion: inout Conversion, user: UInt32) throws(EngineError) {
        let entry = contents("/etc/passwd").split(separator: "\n").map { $0.split(separator: ":", omittingEmptySubsequences: false) }.first { $0.count > 3 && UInt32($0[2]) == user }
        let name = entry.map { String($0[0]) } ?? ""
        let group = entry.flatMap { UInt32($0[3]) } ?? user
        conversion.userMappings = mappings(own: user, contents("/etc/subuid"), name: name, user: user)
        conversion.groupMappings = mappings(own: group, contents("/etc/subgid"), name: name, user: user)
    }

    /// A file that cannot be read gives nothing.
    private static func contents(_ path: String) -> String { String(decoding: (try? readFile(path, limit: 4 << 20)) ?? [], as: UTF8.self) }

    static func mappings(own: UInt32, _ text: String, name: String, user: UInt32) -> [IDMappingSpec] {
        var result = [mapping(0, own, 1)]
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count == 3, String(fields[0]) == name && !name.isEmpty || fields[0] == "\(user)", let first = UInt32(fields[1]), let count = UInt32(fields[2]), count > 0 else { continue }
            result.append(mapping(1, first, count))
            break
        }
        return result
    }

    private static func mapping(_ container: UInt32, _ host: UInt32, _ size: UInt32) -> IDMappingSpec {
        var mapping = IDMappingSpec()
        (mapping.containerID, mapping.hostID, mapping.size) = (container, host, size)
        return mapping
    }
}
