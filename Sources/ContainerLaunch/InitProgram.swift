internal import CLinux
internal import Glibc
internal import LinuxSystem

/// nacelle-init, opened so that no container can change the file that the next one is made from.
///
/// A process of a container can reach the program that it was made by (/proc/PID/exe) and could write to it once nobody executes
/// it (CVE-2019-5736). What is executed is therefore a detached read-only mount of the file, or where that is not permitted (a
/// rootless launcher) a sealed copy in memory.
enum InitProgram {
    static func open(_ path: String) throws(SystemError) -> OwnedDescriptor {
        let file = try OwnedDescriptor(opening: path, flags: O_PATH)
        do throws(SystemError) {
            let mount = try MountDescriptor(cloning: file, recursive: false)
            try mount.setAttributes([.readOnly, .noDevices])
            return try mount.descriptor.duplicate()
        } catch {
            return try sealedCopy(path)
        }
    }

    private static func sealedCopy(_ path: String) throws(SystemError) -> OwnedDescriptor {
        let bytes = try readFile(path, limit: 256 << 20)
        let raw = try checked(unsafe clinux_memfd_create("nacelle-init", UInt32(MFD_CLOEXEC) | UInt32(MFD_ALLOW_SEALING)), "memfd_create")
        let copy = OwnedDescriptor(owning: Int32(raw))
        try copy.writeAll(bytes)
        try checked(clinux_fcntl(copy.rawValue, F_ADD_SEALS, Int(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)), "fcntl(F_ADD_SEALS)")
        return copy
    }
}
