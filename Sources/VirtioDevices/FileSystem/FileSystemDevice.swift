public import LinuxSystem
public import Virtio

/// virtio-fs (VIRTIO 1.2, 5.11): directories and files of the host, shared with the guest by the FUSE protocol.
///
/// The file system's root is a read-only directory of our own with one entry for each share. The guest sees every shared directory
/// as a mount of its own, and so every file system that the host has mounted below one.
public final class FileSystemDevice: VirtioDevice {
    /// Threads that serve requests. Two, so that one fsync does not make everybody wait; each costs some tens of KiB.
    public static let workerCount = 2
    private static let tagLength = 36
    /// 512 entries leave room for the largest request (256 pages) in a single chain.
    private static let queueSizes: [UInt16] = [128, 512]

    private let server: FileServer
    private let workers: WorkerPool
    public let configuration: [UInt8]

    /// Must run where /proc is mounted, in the process that serves: it opens /proc/self/fd.
    /// - Parameters:
    ///   - tag: what the guest mounts by; 1 to 36 bytes.
    ///   - writeback: let the guest's kernel hold written data back. Only for shares that nobody else touches meanwhile.
    ///   - log: gets lines for the person who runs the machine.
    /// - Throws: `EINVAL` for a bad tag or two shares of one name.
    public convenience init(
        tag: String, shares: [Share], writeback: Bool = false, log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(SystemError) {
        try self.init(tag: tag, shares: shares, writeback: writeback, descriptorLimit: LinuxSystem.descriptorLimit(), log: log)
    }

    init(
        tag: String, shares: [Share], writeback: Bool = false, descriptorLimit: Int, log: @escaping @Sendable (String) -> Void = { _ in }
    ) throws(SystemError) {
        let bytes = Array(tag.utf8)
        guard (1...Self.tagLength).contains(bytes.count), Set(shares.map(\.name)).count == shares.count else {
            throw SystemError(.invalidArgument, "virtio-fs", path: tag)
        }
        // struct virtio_fs_config: the tag, padded with zeros, and the number of request queues.
        configuration = bytes + [UInt8](repeating: 0, count: Self.tagLength - bytes.count) + [1, 0, 0, 0]
        server = try FileServer(shares: shares, writeback: writeback, descriptorLimit: descriptorLimit, log: log)
        workers = try WorkerPool(server)
    }

    deinit { workers.stop() }

    /// Starts the device's threads: after the process has left its mount namespace and dropped its capabilities, which a thread takes
    /// over from its creator, and before the creator's seccomp filter. Otherwise they start with the driver, on a vCPU's thread.
    ///
    /// `prepare` runs once on each, after it has left the process's working directory: the place to bind it to `systemCalls`.
    /// - Throws: `EAGAIN` when the system allows no more threads.
    public func startWorkers(prepare: @escaping @Sendable () -> Void = {}) throws(SystemError) {
        try workers.start(count: Self.workerCount, prepare: prepare)
    }

    public var type: DeviceType { .fileSystem }
    public var features: UInt64 { 0 }
    public var queueSizes: [UInt16] { Self.queueSizes }
    public func writeConfiguration(_ bytes: [UInt8], at offset: Int) {}

    public func activate(_ context: ActivationContext) { workers.activate(context, threads: Self.workerCount) }
    public func process(queue: Int) { workers.wake() }
    /// A request wakes a worker at once, without a detour by the machine's thread.
    public var notification: Int32? { workers.notification }

    /// Returns when no thread touches guest memory any more and all that the guest had open is closed.
    public func reset() {
        workers.deactivate()
        server.endSession()
    }

    /// Nodes and open files that the guest holds.
    var openCount: Int { server.nodes.count }
    /// Of these nodes, how many are open now, besides the shares' roots.
    var openNodeCount: Int { server.nodes.openNodeCount }
}

extension FileSystemDevice {
    /// Capabilities (CAP_…) that the worker threads use: to give files to other users and groups (CHOWN), to reach what a guest's
    /// user may reach (DAC_OVERRIDE), to change modes and times of others' files (FOWNER), to keep set-group-ID bits (FSETID), for device
    /// nodes (MKNOD) and file capabilities (SETFCAP). Without one, the guest gets EPERM or EACCES for what it allows.
    public static let capabilities = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"]

    /// System calls of a worker thread after its `prepare`, beside those of the Swift runtime (memory, futex).
    public static let systemCalls = [
        "read", "write",  // the events that wake threads and interrupt the guest
        "openat", "close", "fcntl",  // entries of open directories; /proc/self/fd
        "statx", "fstatfs", "getdents64", "lseek", "readlinkat",
        "preadv", "pwritev", "pwritev2", "readv", "writev",
        "ftruncate", "truncate", "fallocate", "copy_file_range", "fsync", "fdatasync", "syncfs",
        "mkdirat", "mknodat", "symlinkat", "linkat", "unlinkat", "renameat2",
        "fchmodat", "fchownat", "utimensat", "umask",
        "getxattr", "setxattr", "listxattr", "removexattr",
        "clock_gettime", "exit", "futex",
    ]
}
