/// Names that the runtime, the VMM and the guest must agree on.
public enum WellKnown {
    /// The host's vsock port that the agent's control connection goes to.
    public static let controlPort: UInt32 = 1024
    /// The first of the host's vsock ports that standard streams use.
    public static let firstStreamPort: UInt32 = 0x1_0000
    /// The virtio-fs tag of the file system that holds the container's rootfs and volumes.
    public static let shareTag = "nacelle"
    /// Where the guest mounts it. `rootfs` beneath it is the bundle's rootfs; `volume-N` the N-th bind mount's source.
    public static let shareMountPoint = "/run/nacelle/share"
    public static let rootfsShare = "rootfs"
    /// The name in the share of the N-th bind mount.
    public static func volumeShare(_ index: Int) -> String { "volume-\(index)" }
    /// Where the guest puts the container's root together when it is made of images, and where it mounts them: `0` beneath is the topmost.
    public static let rootMountPoint = "/run/nacelle/root"
    public static let imageMountPoint = "/run/nacelle/images"
    /// Where it mounts the file system of the upper layer when that is not shared.
    public static let upperMountPoint = "/run/nacelle/upper"
    /// The plan's annotation that says of which images (`RootLayout`).
    public static let rootAnnotation = "dev.nacelle.root"
    /// The plan's annotation with the container's state as the host knows it, for hooks in the guest. A plan has no others.
    public static let stateAnnotation = "dev.nacelle.state"
    /// nacelle-init, in the guest's root image.
    public static let guestInitPath = "/sbin/nacelle-init"
}
