internal import CLinux
internal import Glibc
internal import LinuxSystem

/// The other programs and files of one installation, and what is set for it: beside this program, in ../libexec/nacelle, or named by the
/// environment or the configuration file.
public struct Components: Equatable, Sendable {
    public var monitor: String
    public var kernel: String
    public var image: String
    /// nacelle-init, for containers without a machine.
    public var initProgram = ""
    public var configuration = ConfigurationFile()

    /// Names the places; whether anything is there shows when it is used (or by `doctor`).
    public static func locate(_ configuration: ConfigurationFile = ConfigurationFile()) -> Components {
        let folder = programFolder()
        let folders = [folder, folder + "/../libexec/nacelle", "/usr/libexec/nacelle", "/usr/local/libexec/nacelle"]
        func find(_ variable: String, _ configured: String?, _ name: String) -> String {
            if let value = unsafe getenv(variable) {
                let path = unsafe String(cString: value)
                if !path.isEmpty { return path }
            }
            return configured ?? folders.map { $0 + "/" + name }.first { unsafe access($0, F_OK) == 0 } ?? folder + "/" + name
        }
        return Components(
            monitor: find("NACELLE_VMM", configuration.monitor, "nacelle-vmm"), kernel: find("NACELLE_KERNEL", configuration.kernel, "guest/vmlinux"),
            image: find("NACELLE_GUEST_IMAGE", configuration.image, "guest/root.erofs"), initProgram: find("NACELLE_INIT", configuration.initProgram, "nacelle-init"),
            configuration: configuration)
    }

    static func programFolder() -> String {
        let path = programPath()
        return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    }

    /// This program's own file.
    public static func programPath() -> String {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = unsafe clinux_readlinkat(AT_FDCWD, "/proc/self/exe", &buffer, 4095)
        return count > 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : "/usr/bin/nacelle-oci"
    }

    /// - Throws: when nacelle-init is missing, with what to do.
    func checkInitProgram() throws(RuntimeError) {
        guard unsafe access(initProgram, X_OK) != 0 else { return }
        throw RuntimeError("nacelle-init \(initProgram): \(Errno(rawValue: errno)): install Nacelle whole, or name it by NACELLE_INIT")
    }

    /// - Throws: when a file is missing, with what to do.
    func check() throws(RuntimeError) {
        for (what, path, variable) in [
            ("the machine monitor", monitor, "NACELLE_VMM"), ("the guest image", image, "NACELLE_GUEST_IMAGE"),
        ] where unsafe access(path, R_OK) != 0 {
            throw RuntimeError("\(what) \(path): \(Errno(rawValue: errno)): install Nacelle whole, or name it by \(variable)")
        }
    }
}
