public import OCISpec

extension ContainerLauncher {
    /// What container set-up cannot honour of a valid configuration, by JSON paths: a runtime refuses it.
    ///
    /// Of hooks, `prestart`, `createRuntime`, `poststart` and `poststop` are the runtime's own to run, and so is `linux.intelRdt`.
    public static func unsupportedFields(of spec: RuntimeSpec) -> [ConfigurationError.Problem] {
        guard let linux = spec.linux else { return [.init("linux", "is missing: a mount namespace is required")] }
        return linux.namespaces.contains { $0.type == .mount } ? [] : [.init("linux.namespaces", "a mount namespace is required")]
    }
}
