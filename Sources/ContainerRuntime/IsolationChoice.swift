internal import JSONText
public import OCISpec

/// What a user or an engine may ask for (`--isolation`, the annotation, the program's name).
public enum IsolationChoice: String, Sendable, CaseIterable {
    case microvm, namespace
    /// A machine where this host's KVM can run one, else namespaces.
    case auto

    /// The isolation of a new container. Never weaker than asked for without a word: `auto` must itself be asked for, and a
    /// configuration that asks for a machine does not get less by a flag.
    ///
    /// - Parameters:
    ///   - flag: `--isolation`; it comes first, then the annotation, then the name that the program was called by, then the configuration
    ///     file; else it is a machine.
    ///   - whyNoMachine: asked for `auto` only: nil when KVM can run a guest here, else the reason.
    public static func resolve(
        flag: IsolationChoice?, _ spec: RuntimeSpec, programName: String, configured: IsolationChoice? = nil, log: RuntimeLog, whyNoMachine: () -> String?
    ) throws(RuntimeError) -> Isolation {
        let field = "annotations.\(MachineSettings.Annotation.isolation)"
        let annotation = try spec.annotations[MachineSettings.Annotation.isolation].map { (text) throws(RuntimeError) in
            guard let choice = IsolationChoice(rawValue: text) else {
                throw RuntimeError("config.json: \(field): \(quoted(text)) is no isolation: there are microvm, namespace and auto")
            }
            return choice
        }
        if let flag, let annotation, annotation == .microvm, flag != .microvm {
            throw RuntimeError("config.json: \(field): asks for microvm, and --isolation for \(flag.rawValue)")
        }
        switch flag ?? annotation ?? (programName.hasSuffix("-namespace") ? .namespace : configured ?? .microvm) {
        case .microvm: return .microVM
        case .namespace: return .namespace
        case .auto:
            guard let reason = whyNoMachine() else { return .microVM }
            log.warning("isolation auto: namespace, for KVM cannot run a guest here: \(reason)")
            return .namespace
        }
    }
}
