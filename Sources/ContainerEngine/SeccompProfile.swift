internal import JSONText
internal import OCISpec

/// A profile in Docker's form: the specification's rules, some of which stand under conditions (capabilities, architecture, kernel).
public struct SeccompProfile: Equatable, Sendable {
    struct Rule: Equatable, Sendable {
        var rule: SeccompSpec.SystemCallRule
        /// Capabilities of which the container must have all, or may have none.
        var neededCapabilities: Set<String> = []
        var refusedCapabilities: Set<String> = []
        /// Go's names of architectures, one of which it must be; empty is any.
        var architectures: Set<String> = []
        var refusedArchitectures: Set<String> = []
        /// Major and minor of the oldest kernel.
        var kernel: (major: Int, minor: Int)? = nil

        static func == (left: Rule, right: Rule) -> Bool {
            left.rule == right.rule && left.neededCapabilities == right.neededCapabilities && left.refusedCapabilities == right.refusedCapabilities
                && left.architectures == right.architectures && left.refusedArchitectures == right.refusedArchitectures && left.kernel ?? (0, 0) == right.kernel ?? (0, 0)
        }
    }

    var base: SeccompSpec
    var rules: [Rule]

    /// What is in force for a container with these capabilities, on x86-64.
    ///
    /// Kernels' versions are those of hosts that Nacelle runs on (5.12 or newer) and of its guests (6.1), so that a rule for a kernel of up to 5.12 holds.
    func spec(capabilities: Set<String>) -> SeccompSpec {
        var result = base
        result.syscalls += rules.filter { rule in
            rule.neededCapabilities.isSubset(of: capabilities) && rule.refusedCapabilities.isDisjoint(with: capabilities)
                && (rule.architectures.isEmpty || !rule.architectures.isDisjoint(with: Self.ownArchitectures)) && rule.refusedArchitectures.isDisjoint(with: Self.ownArchitectures)
                && (rule.kernel ?? (0, 0)) <= Self.oldestKernel
        }.map(\.rule)
        return result
    }

    private static let ownArchitectures: Set<String> = ["amd64", "x86", "x32"]
    private static let oldestKernel = (5, 12)

    // MARK: Reading

    static let largestFile = 1 << 20

    /// Reads a profile of `--security-opt seccomp=FILE`: Docker's form, or the specification's own object.
    static func parse(_ bytes: [UInt8], path: String) throws(EngineError) -> SeccompProfile {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(parsing: bytes) } catch { throw EngineError("seccomp profile \(path): is not JSON: \(error)") }
        do throws(JSONShapeError) { return try profile(JSONCursor(value)) } catch { throw EngineError("seccomp profile \(path): \(error)") }
    }

    private static func profile(_ cursor: JSONCursor) throws(JSONShapeError) -> SeccompProfile {
        var object = JSONObject()
        let members = try cursor.object()
        for key in members.keys where key != "syscalls" && key != "archMap" { object[key] = members[key]?.value }
        var unknown: [String] = []
        var base = try SeccompSpec(JSONCursor(.object(object)), unknown: &unknown)
        if let first = unknown.first { throw JSONShapeError(path: first, problem: "there is no such field") }
        if let map = members["archMap"] {
            for architecture in try map.array({ (entry) throws(JSONShapeError) in try names(entry.object()) }).flatMap({ $0 }) where !base.architectures.contains(architecture) {
                base.architectures.append(architecture)
            }
        }
        let rules = try members["syscalls"]?.array { (entry) throws(JSONShapeError) in try rule(entry) } ?? []
        return SeccompProfile(base: base, rules: rules)
    }

    /// An entry of archMap, if it is of this architecture.
    private static func names(_ members: JSONMembers) throws(JSONShapeError) -> [SeccompSpec.Architecture] {
        var unknown: [String] = []
        let own = try SeccompSpec.Architecture(members.required("architecture"), unknown: &unknown)
        guard own == .x86_64 else { return [] }
        return [own] + (try members["subArchitectures"]?.array { (name) throws(JSONShapeError) in try SeccompSpec.Architecture(name, unknown: &unknown) } ?? [])
    }

    private static func rule(_ cursor: JSONCursor) throws(JSONShapeError) -> Rule {
        let members = try cursor.object()
        var object = JSONObject()
        for key in members.keys where !["name", "comment", "includes", "excludes"].contains(key) { object[key] = members[key]?.value }
        // Docker's older form has one name.
        if let name = members["name"] { object["names"] = .array([.string(try name.string())]) }
        var unknown: [String] = []
        var result = Rule(rule: try SeccompSpec.SystemCallRule(JSONCursor(.object(object), path: cursor.path), unknown: &unknown))
        if let includes = try members["includes"]?.object() {
            result.neededCapabilities = Set(try includes["caps"]?.strings() ?? [])
            result.architectures = Set(try includes["arches"]?.strings() ?? [])
            if let version = try includes["minKernel"]?.string() {
                let parts = version.split(separator: ".").map { Int($0) }
                guard parts.count == 2, let major = parts[0], let minor = parts[1] else { throw JSONShapeError(path: includes.path + ".minKernel", problem: "\(quoted(version)) is no version such as 4.8") }
                result.kernel = (major, minor)
            }
            includes.addUnknown(besides: ["caps", "arches", "minKernel"], to: &unknown)
        }
        if let excludes = try members["excludes"]?.object() {
            result.refusedCapabilities = Set(try excludes["caps"]?.strings() ?? [])
            result.refusedArchitectures = Set(try excludes["arches"]?.strings() ?? [])
            excludes.addUnknown(besides: ["caps", "arches"], to: &unknown)
        }
        if let first = unknown.first { throw JSONShapeError(path: first, problem: "there is no such field") }
        return result
    }
}
