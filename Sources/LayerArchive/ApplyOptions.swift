internal import LinuxSystem

/// How what removes entries of lower layers is written down.
public enum WhiteoutStyle: Sendable, Hashable {
    /// The directory holds the lower layers' files: what a whiteout names is removed from it.
    case removing
    /// The directory is one layer of an overlay: whiteouts are character devices 0:0, and opaque directories have an attribute.
    /// - Parameter user: it is `user.overlay.opaque`, of mounts with `userxattr`, and not `trusted.overlay.opaque`.
    case overlay(user: Bool)

    /// Of an opaque directory.
    static func opaqueAttribute(user: Bool) -> String { user ? "user.overlay.opaque" : "trusted.overlay.opaque" }
}

/// What of a layer this process makes.
public struct ApplyOptions: Sendable {
    /// How much of a layer is accepted.
    public var limits = LayerLimits()
    /// Files get the user and group of their entries; else they are the caller's.
    public var keepsOwners: Bool
    /// Device nodes are made; else they are left out.
    public var makesDevices: Bool
    /// Attributes `trusted.*` and `security.*` are set; else those that this process may not set are left out.
    public var requiresPrivilegedAttributes: Bool

    /// Options of the caller's own; `forThisProcess` has those that fit.
    public init(keepsOwners: Bool, makesDevices: Bool, requiresPrivilegedAttributes: Bool) {
        (self.keepsOwners, self.makesDevices, self.requiresPrivilegedAttributes) = (keepsOwners, makesDevices, requiresPrivilegedAttributes)
    }

    /// All of it for root of the machine; no devices for root of a user namespace; for other users no owners either.
    public static func forThisProcess() -> ApplyOptions {
        let isRoot = isMachineRoot()
        return ApplyOptions(keepsOwners: effectiveUser() == 0, makesDevices: isRoot, requiresPrivilegedAttributes: isRoot)
    }

    /// Attributes that belong to the host's policy, by which overlayfs is told what to do, or which XFS keeps access control lists in, beside the usual ones.
    static func isHosts(_ name: AttributeName) -> Bool {
        ["security.selinux", "security.ima", "security.evm"].contains { name.bytes.elementsEqual($0.utf8) }
            || ["trusted.overlay.", "user.overlay.", "trusted.SGI_ACL_"].contains { name.bytes.starts(with: $0.utf8) }
    }
}
