public import OCISpec

extension ContainerLauncher {
    /// What container set-up cannot honour of a valid configuration, by JSON paths: a runtime refuses it.
    ///
    /// Of hooks, `prestart`, `createRuntime`, `poststart` and `poststop` are the runtime's own to run, and so is `linux.intelRdt`.
    public static func unsupportedFields(of spec: RuntimeSpec) -> [ConfigurationError.Problem] {
        guard let linux = spec.linux else { return [.init("linux", "is missing: a mount namespace is required")] }
        guard let index = linux.namespaces.firstIndex(where: { $0.type == .mount }) else {
            return [.init("linux.namespaces", "a mount namespace is required")]
        }
        guard (linux.namespaces[index].path ?? "").isEmpty else {
            return [.init("linux.namespaces[\(index)].path", "joining a mount namespace is not supported: the container's root is made in a new one")]
        }
        return []
    }
}
