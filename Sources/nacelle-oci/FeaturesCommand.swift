import ArgumentParser
import ContainerRuntime
import JSONText
import OCISpec

struct FeaturesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "features", abstract: "Print what is supported, as the specification's features document.")

    func run() throws { print(JSONValue.object(Self.document()).text(indent: "    ")) }

    private static func strings(_ values: [String]) -> JSONValue { .array(values.map { .string($0) }) }

    private static func object(_ members: [(String, JSONValue)]) -> JSONValue {
        var object = JSONObject()
        for (key, value) in members { object[key] = value }
        return .object(object)
    }

    /// features.md and features-linux.md of runtime-spec 1.3.0.
    private static func document() -> JSONObject {
        var document = JSONObject()
        document["ociVersionMin"] = .string(RuntimeSpec.minimumVersion)
        document["ociVersionMax"] = .string(RuntimeSpec.version)
        document["hooks"] = strings(["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"])
        document["mountOptions"] = strings(MountOption.table.map(\.name).sorted())
        document["linux"] = object([
            ("namespaces", strings(NamespaceSpec.Kind.allCases.map(\.rawValue).sorted())),
            ("capabilities", strings(Capability.all.map(\.name))),
            ("cgroup", object([
                ("v1", .bool(true)), ("v2", .bool(true)), ("systemd", .bool(true)), ("systemdUser", .bool(true)), ("rdma", .bool(true)),
            ])),
            ("seccomp", object([
                ("enabled", .bool(true)),
                ("actions", strings(SeccompSpec.Action.allCases.map(\.rawValue))),
                ("operators", strings(SeccompSpec.Operator.allCases.map(\.rawValue))),
                ("archs", strings(SeccompSpec.Architecture.allCases.map(\.rawValue))),
                ("knownFlags", strings(SeccompSpec.Flag.allCases.map(\.rawValue))),
                ("supportedFlags", strings(SeccompSpec.Flag.allCases.map(\.rawValue))),
            ])),
            // What is compiled in, as runc has it; docs/oci.md says which isolation does what.
            ("apparmor", object([("enabled", .bool(true))])),
            ("selinux", object([("enabled", .bool(true))])),
            ("intelRdt", object([("enabled", .bool(true)), ("schemata", .bool(true)), ("monitoring", .bool(true))])),
            ("memoryPolicy", object([
                ("modes", strings(MemoryPolicySpec.Mode.allCases.map(\.rawValue))), ("flags", strings(MemoryPolicySpec.Flag.allCases.map(\.rawValue))),
            ])),
            ("mountExtensions", object([("idmap", object([("enabled", .bool(true))]))])),
            ("netDevices", object([("enabled", .bool(true))])),
        ])
        document["annotations"] = object([("dev.nacelle.version", .string(ProgramVersion.number)), ("dev.nacelle.isolation", .string("microvm,namespace"))])
        document["potentiallyUnsafeConfigAnnotations"] = strings(["dev.nacelle."])
        return document
    }
}
