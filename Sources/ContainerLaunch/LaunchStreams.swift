public import LinuxSystem

/// The descriptors that a new process inherits.
public struct LaunchStreams {
    /// What becomes its descriptors 0, 1 and 2. nil for a process with a terminal.
    public var standard: (input: SharedDescriptor, output: SharedDescriptor, error: SharedDescriptor)?
    /// What becomes its descriptors 3, 4 … (runc's `--preserve-fds`).
    public var preserved: [SharedDescriptor]

    /// Streams of a process without a terminal.
    public init(input: SharedDescriptor, output: SharedDescriptor, error: SharedDescriptor, preserved: [SharedDescriptor] = []) {
        standard = (input, output, error)
        self.preserved = preserved
    }

    private init(preserved: [SharedDescriptor]) {
        standard = nil
        self.preserved = preserved
    }

    /// For a process with `process.terminal`: its streams are the terminal, whose master end comes back with the process.
    public static func terminal(preserved: [SharedDescriptor] = []) -> LaunchStreams { LaunchStreams(preserved: preserved) }
}
