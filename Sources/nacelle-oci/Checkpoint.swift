import ArgumentParser
import ContainerRuntime

/// What both verbs are told of a checkpoint's files and processes.
struct CheckpointOptions: ParsableArguments {
    @Option(help: "Folder of the checkpoint's files.") var imagePath: String?
    @Option(help: "Folder for work files and logs.") var workPath: String?
    @Flag(help: "Allow open TCP connections.") var tcpEstablished = false
    @Flag(help: "Allow Unix sockets that lead outside.") var extUnixSk = false
    @Flag(help: "Allow jobs of a shell.") var shellJob = false
    @Flag(help: "Restore memory as it is touched.") var lazyPages = false
    @Flag(help: "Handle file locks.") var fileLocks = false
    @Option(help: "How control groups are handled: soft, full, strict or ignore.") var manageCgroupsMode: String?
    @Option(help: "A namespace whose content is left out; repeatable.") var emptyNs: [String] = []
    @Flag(help: "Deduplicate images of memory.") var autoDedup = false
}

struct Checkpoint: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "checkpoint", abstract: "Refused: checkpoints are not supported yet.")
    @ParentCommand var parent: NacelleOCI
    @OptionGroup var options: CheckpointOptions
    @Option(help: "Folder of an earlier pre-dump.") var parentPath: String?
    @Flag(help: "Let the container go on.") var leaveRunning = false
    @Flag(help: "Skip TCP connections that are being made.") var tcpSkipInFlight = false
    @Flag(help: "Link deleted files back.") var linkRemap = false
    @Option(parsing: .unconditional, help: "Descriptor that is told when lazy pages can be served.") var statusFd = -1
    @Option(help: "ADDRESS:PORT of a page server.") var pageServer: String?
    @Flag(help: "Write the memory only and let the container go on.") var preDump = false
    @Argument(help: "The container's name.") var id: String

    func run() throws {
        _ = try parent.container(id).record()
        throw RuntimeError("checkpoint is not supported yet: container \(id) goes on as it is")
    }
}

struct Restore: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "restore", abstract: "Refused: checkpoints are not supported yet.")
    @ParentCommand var parent: NacelleOCI
    @OptionGroup var options: CheckpointOptions
    @Option(name: [.short, .long], help: "The bundle's folder.") var bundle = "."
    @Option(help: "Unix socket that gets the terminal's master end.") var consoleSocket: String?
    @Option(help: "File for the pid of the process that stands for the container.") var pidFile: String?
    @Flag(name: [.short, .long], help: "Do not wait.") var detach = false
    @Flag(help: "Take no orphans over.") var noSubreaper = false
    @Flag(help: "Do not pivot to the root.") var noPivot = false
    @Option(help: "Security profile, as TYPE:NAME.") var lsmProfile: String?
    @Option(help: "SELinux context of mounts.") var lsmMountContext: String?
    @Argument(help: "The container's name.") var id: String

    func run() throws {
        throw RuntimeError("restore is not supported yet: container \(id) was not made")
    }
}
