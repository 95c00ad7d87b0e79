internal import Glibc
internal import JSONText
internal import LinuxSystem

/// The disk for what a container in a machine writes: a sparse file with an ext4 file system.
///
/// It is made here and never looked into again: a guest writes it, and no kernel of the host's is to read what a guest has written as a file system.
enum UpperDisk {
    static let fileName = "disk.ext4"
    private static let programs = ["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4", "/usr/bin/mkfs.ext4"]

    /// Without what of mkfs.ext4's work a sparse file does not need: a tenth of a second up to 1 TiB.
    private static let options = ["-q", "-F", "-b", "4096", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0"]

    static func make(_ path: String, size: Int64) throws(EngineError) {
        guard let program = programs.first(where: { (try? OwnedDescriptor(opening: $0, flags: O_PATH)) != nil }) else {
            throw EngineError("--storage-opt: there is no mkfs.ext4 to make a disk with: apt install e2fsprogs, or use upper=tmpfs")
        }
        do throws(SystemError) {
            try OwnedDescriptor(opening: path, flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600).truncate(to: size)
            let words = try MemoryFile.make("errors", [])
            let pid = try ProgramStart.start(program, arguments: options + [path], environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], descriptors: [nil, nil, words])
            if try waitForProcess(pid)?.status == .exited(0) { return }
            let text = String(decoding: try readFile("/proc/self/fd/\(words.rawValue)", limit: 1 << 16), as: UTF8.self)
            throw SystemError(.ioError, text.split(separator: "\n").last.map(String.init) ?? "it did not say why", path: program)
        } catch { throw EngineError("cannot make the container's disk \(path)", error) }
    }
}
