import LinuxSystem
import MachineMonitor

/// What `nacelle-vmm` is to build, as the runtime writes it to descriptor 4: lines of `key=value`.
struct MachineDescription {
    /// A directory or file that the guest may see.
    struct Share {
        var name: String
        var descriptor: Int32
        var isReadOnly: Bool
    }

    /// A file that is a disk of the guest.
    struct Disk {
        var descriptor: Int32
        var isReadOnly: Bool
    }

    struct Invalid: Error, CustomStringConvertible {
        let description: String
    }

    var id = ""
    var kernel = ""
    var image = ""
    var memoryMiB: UInt64 = 0
    var vcpus = 1
    var commandLine = ""
    var console: String?
    /// Seconds until the agent must have answered.
    var bootTimeout: Int64 = 60
    /// A file for time stamps of the start's phases.
    var trace: String?
    /// The AppArmor profile that this process enters.
    var appArmorProfile: String?
    /// Whether to find out first if KVM can run a guest at all.
    var needsProbe = false
    var shares: [Share] = []
    /// Descriptors of read-only images beside the guest's root, which the guest has as persistent memory.
    var images: [Int32] = []
    /// In the order in which the guest names them: `vda` …
    var disks: [Disk] = []

    init(_ text: String) throws(Invalid) {
        for line in text.split(separator: "\n") {
            guard let equals = line.firstIndex(of: "=") else { throw Invalid(description: "machine description: a line without `=`: \(line)") }
            let key = line[..<equals]
            let value = String(line[line.index(after: equals)...])
            func number<N: FixedWidthInteger>(_ range: ClosedRange<N>) throws(Invalid) -> N {
                guard let number = N(value), range.contains(number) else {
                    throw Invalid(description: "machine description: \(key)=\(value) is not a number from \(range.lowerBound) to \(range.upperBound)")
                }
                return number
            }
            switch key {
            case "id": id = value
            case "kernel": kernel = value
            case "image": image = value
            case "memory": memoryMiB = try number(16...(1 << 24))
            case "vcpus": vcpus = try number(1...MachineConfiguration.maximumVCPUs)
            case "cmdline": commandLine = value
            case "console": console = value.isEmpty ? nil : value
            case "boot_timeout": bootTimeout = try number(1...86400)
            case "trace": trace = value.isEmpty ? nil : value
            case "apparmor": appArmorProfile = value
            case "probe": needsProbe = value == "1"
            case _ where key.hasPrefix("share."): shares.append(try Self.share(value))
            case _ where key.hasPrefix("image."): images.append(try number(6...Int32.max))
            case _ where key.hasPrefix("disk."): disks.append(try Self.disk(value))
            default: throw Invalid(description: "machine description: unknown key `\(key)`: runtime and VMM must come from one build")
            }
        }
        guard !kernel.isEmpty, !image.isEmpty, memoryMiB > 0 else { throw Invalid(description: "machine description: kernel, image and memory are needed") }
    }

    /// `DESCRIPTOR:ro|rw`
    private static func disk(_ text: String) throws(Invalid) -> Disk {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let descriptor = Int32(parts[0]), descriptor > 5, parts[1] == "ro" || parts[1] == "rw" else {
            throw Invalid(description: "machine description: malformed disk `\(text)`")
        }
        return Disk(descriptor: descriptor, isReadOnly: parts[1] == "ro")
    }

    /// `NAME:DESCRIPTOR:ro|rw`
    private static func share(_ text: String) throws(Invalid) -> Share {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[0].isEmpty, let descriptor = Int32(parts[1]), descriptor > 5, parts[2] == "ro" || parts[2] == "rw" else {
            throw Invalid(description: "machine description: malformed share `\(text)`")
        }
        return Share(name: String(parts[0]), descriptor: descriptor, isReadOnly: parts[2] == "ro")
    }
}
