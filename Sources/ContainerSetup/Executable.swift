internal import AgentProtocol
internal import Glibc
internal import LinuxSystem
internal import OCISpec

/// Finds the program, in the container and as its user, with runc's words when it is not to be found: engines match on them.
enum Executable {
    static func find(_ process: InitProcess) throws(SetupError) {
        guard let name = process.process.args.first else { throw SetupError("args must not be empty") }
        let path = process.environment.first { $0.hasPrefix("PATH=") }.map { String($0.dropFirst(5)) } ?? ""
        process.executable = try find(name, path: path)
    }

    static func find(_ name: String, path: String) throws(SetupError) -> String {
        if name.utf8.contains(UInt8(ascii: "/")) {
            if let problem = problem(with: name) { throw error(name, problem, stat: name) }
            return name
        }
        var denied = false
        for directory in path.split(separator: ":", omittingEmptySubsequences: false) where !path.isEmpty && !name.isEmpty {
            let candidate = (directory.isEmpty ? "." : String(directory)) + "/" + name
            switch problem(with: candidate) {
            case nil: return candidate
            case .permissionDenied?: denied = true
            default: break
            }
        }
        // A file that may not be executed is worth its own word only when nothing else was found.
        if denied { throw error(name, .permissionDenied, stat: nil) }
        throw SetupError(.executableNotFound, "exec: \"\(name)\": executable file not found in $PATH")
    }

    private static func problem(with path: String) -> Errno? {
        let status: FileStatus
        do throws(SystemError) { status = try FileStatus(path: path) } catch { return error.errno }
        if status.isDirectory { return .isDirectory }
        if status.permissions & 0o111 == 0 { return .permissionDenied }
        if unsafe faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 { return nil }
        let problem = Errno(rawValue: errno)
        // The container's own filter may be at work already and not know this call, which is newer than many a filter: `execve` decides.
        return problem == .notPermitted || problem == .notImplemented ? nil : problem
    }

    private static func error(_ name: String, _ problem: Errno, stat: String?) -> SetupError {
        switch problem {
        case .noSuchFile, .notDirectory:
            SetupError(.executableNotFound, "exec: \"\(name)\": " + (stat.map { "stat \($0): \(problem)" } ?? "\(problem)"))
        case .permissionDenied: SetupError(.permissionDenied, "exec: \"\(name)\": permission denied")
        // Newer runcs say the first, older ones the second, which is what podman and Docker look for to end with 126.
        case .isDirectory: SetupError(.permissionDenied, "exec: \"\(name)\": is a directory: permission denied")
        default: SetupError("exec: \"\(name)\": \(problem)")
        }
    }

    /// Becomes the program. Returns only on failure.
    static func execute(_ process: InitProcess) -> SetupError {
        let error = OwnProcess.execute(process.executable, arguments: process.process.args, environment: process.environment)
        // A script whose interpreter is missing, or a program whose loader is, says "no such file" here.
        let message = "exec \(process.executable): \(error.errno)"
        switch error.errno {
        case .permissionDenied: return SetupError(.permissionDenied, message)
        case .noSuchFile: return SetupError(.executableNotFound, message)
        default: return SetupError(message)
        }
    }
}
