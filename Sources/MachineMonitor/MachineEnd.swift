/// Why a machine has stopped by itself.
public enum MachineEnd: Error, Equatable, Sendable, CustomStringConvertible {
    /// The guest restarted or powered off (a triple fault: it has no other way).
    case reset
    /// The guest's kernel reported a panic.
    case panicked
    /// A vCPU cannot go on; `address` is its instruction pointer.
    case failed(String, address: UInt64?)

    public var description: String {
        switch self {
        case .reset: "the guest has reset itself (a triple fault: a reboot, or a crash of its kernel)"
        case .panicked: "the guest's kernel has panicked (its messages go to the file named by --console or annotation dev.nacelle.console)"
        case .failed(let what, let address):
            "the virtual CPU cannot go on: \(what)" + (address.map { " at 0x" + String($0, radix: 16) } ?? "")
        }
    }
}
