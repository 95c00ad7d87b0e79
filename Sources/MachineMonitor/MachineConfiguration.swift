/// What one machine is made of.
public struct MachineConfiguration: Sendable {
    /// Bytes of RAM, a multiple of 4 KiB.
    public var memory: UInt64
    public var vcpus: Int
    /// An uncompressed Linux kernel.
    public var kernelPath: String
    /// The guest's root file system (EROFS), shared read-only by all machines.
    public var imagePath: String
    /// Words added to the kernel's command line.
    public var extraCommandLine: String
    /// Whether a console was asked for: it slows the boot.
    public var hasConsole: Bool

    public init(memory: UInt64, vcpus: Int, kernelPath: String, imagePath: String, extraCommandLine: String = "", hasConsole: Bool = false) {
        self.memory = memory
        self.vcpus = vcpus
        self.kernelPath = kernelPath
        self.imagePath = imagePath
        self.extraCommandLine = extraCommandLine
        self.hasConsole = hasConsole
    }

    /// The most vCPUs that a machine may have: what the guest kernel is configured for.
    public static let maximumVCPUs = 64

    /// The kernel's command line.
    public var commandLine: String {
        var words = [
            "root=/dev/pmem0 rootfstype=erofs ro rootflags=dax=always rootwait init=/sbin/nacelle-agent",
            // A panic or a reboot ends in a triple fault, which the VMM sees at once: there is no firmware to reset by.
            "panic=-1 reboot=t",
            // The clock is KVM's; its stability needs no watchdog. Grace periods are short: nobody pays the power bill here.
            "tsc=reliable rcupdate.rcu_expedited=1 no_timer_check random.trust_cpu=on",
        ]
        words.append(hasConsole ? "earlyprintk=serial,0x3f8,115200 console=hvc0 loglevel=7" : "quiet loglevel=3")
        if !extraCommandLine.isEmpty { words.append(extraCommandLine) }
        return words.joined(separator: " ")
    }
}
