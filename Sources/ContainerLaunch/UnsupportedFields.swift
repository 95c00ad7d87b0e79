public import OCISpec

extension ContainerLauncher {
    /// What container set-up cannot honour of a valid configuration, by JSON paths: a runtime refuses it.
    ///
    /// Of hooks, `prestart`, `createRuntime`, `poststart` and `poststop` are the runtime's own to run, and so is `linux.intelRdt`.
    public static func unsupportedFields(of spec: RuntimeSpec) -> [ConfigurationError.Problem] {
        guard spec.linux?.namespace(.mount) == nil else { return [] }
        return [.init("linux.namespaces", "no mount namespace is listed, and without one the mounts would be the host's: add {\"type\": \"mount\"}")]
    }
}
