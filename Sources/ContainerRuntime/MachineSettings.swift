internal import Glibc
internal import JSONText
internal import LinuxSystem
public import OCISpec

/// The machine that a container gets: the `vm` section first, then annotations, then what the limits suggest, then the configuration
/// file, then defaults.
public struct MachineSettings: Equatable, Sendable {
    /// MiB
    public var memory: UInt64
    public var vcpus: Int
    public var kernel: String
    public var image: String
    /// Words for the kernel's command line.
    public var commandLine: String
    /// A file for the guest's console.
    public var console: String?
    /// Seconds
    public var bootTimeout: Int64
    public var trace: String?
    /// The AppArmor profile of its process.
    public var appArmorProfile: String?

    public static let defaultMemory: UInt64 = 256
    public static let minimumMemory: UInt64 = 64
    /// What the guest's kernel and agent take beside a container's limit.
    public static let overhead: UInt64 = 48
    public static let maximumVCPUs = 64
    static let defaultBootTimeout: Int64 = 60
    static let bootTimeouts: ClosedRange<Int64> = 1...86400

    public enum Annotation {
        public static let memory = "dev.nacelle.memory"
        public static let vcpus = "dev.nacelle.vcpus"
        public static let kernel = "dev.nacelle.kernel"
        public static let commandLine = "dev.nacelle.cmdline"
        public static let console = "dev.nacelle.console"
        public static let bootTimeout = "dev.nacelle.boot_timeout"
        public static let trace = "dev.nacelle.trace"
        public static let isolation = "dev.nacelle.isolation"
        public static let all = [memory, vcpus, kernel, commandLine, console, bootTimeout, trace, isolation]
    }

    public init(_ spec: RuntimeSpec, components: Components) throws(RuntimeError) {
        let notes = spec.annotations
        for key in notes.keys.sorted() where key.hasPrefix("dev.nacelle.") && !Annotation.all.contains(key) {
            throw RuntimeError("config.json: \(memberPath("annotations", key)): there is no such setting; there are \(Annotation.all.joined(separator: ", "))")
        }
        func number<N: FixedWidthInteger>(_ key: String, _ range: ClosedRange<N>) throws(RuntimeError) -> N? {
            guard let text = notes[key] else { return nil }
            guard let value = N(text), range.contains(value) else {
                throw RuntimeError("config.json: annotations.\(key): \(quoted(text)) is not a number from \(range.lowerBound) to \(range.upperBound)")
            }
            return value
        }
        let hardware = spec.vm?.hwConfig
        let notedMemory = try notes[Annotation.memory].map { (text) throws(RuntimeError) in
            guard let size = Self.mebibytes(text) else {
                throw RuntimeError("config.json: annotations.\(Annotation.memory): \(quoted(text)) is not a size: MiB are expected, or a number with M or G")
            }
            return size
        }
        let notedVCPUs: Int? = try number(Annotation.vcpus, 1...Self.maximumVCPUs)
        memory = hardware?.memory.map { $0 >> 20 + ($0 & 0xFFFFF == 0 ? 0 : 1) } ?? notedMemory ?? Self.memory(for: spec) ?? components.configuration.memory ?? Self.defaultMemory
        vcpus = hardware?.vcpus.map(Int.init) ?? notedVCPUs ?? [Self.vcpus(for: spec), Self.listedCPUs(spec)].compactMap { $0 }.min() ?? components.configuration.vcpus ?? 1
        kernel = spec.vm?.kernel?.path ?? notes[Annotation.kernel] ?? components.kernel
        image = components.image
        // One with blanks in it is one all the same.
        let parameters = (spec.vm?.kernel?.parameters ?? []).map { $0.contains { $0.isWhitespace } ? "\"\($0)\"" : $0 }
        commandLine = (parameters + [notes[Annotation.commandLine] ?? ""]).filter { !$0.isEmpty }.joined(separator: " ")
        console = notes[Annotation.console]
        let notedTimeout: Int64? = try number(Annotation.bootTimeout, Self.bootTimeouts)
        bootTimeout = notedTimeout ?? components.configuration.bootTimeout ?? Self.defaultBootTimeout
        trace = notes[Annotation.trace]
        appArmorProfile = spec.process?.apparmorProfile.flatMap { $0.isEmpty || !AppArmor.isEnabled ? nil : $0 }
        let file = components.configuration
        let memoryField: String? =
            if hardware?.memory != nil { "config.json: vm.hwConfig.memory" }
            else if notedMemory != nil { "config.json: annotations.\(Annotation.memory)" }
            else if Self.memory(for: spec) == nil, file.memory != nil { file.path.map { "\($0): machine.memory" } }
            else { nil }
        let kernelField: String? =
            if spec.vm?.kernel != nil { "config.json: vm.kernel.path" } else if notes[Annotation.kernel] != nil { "config.json: annotations.\(Annotation.kernel)" } else { nil }
        try check(memoryField: memoryField, kernelField: kernelField)
    }

    /// A size in MiB, or with a unit: `512`, `512M`, `512MiB`, `2G`, `2GiB`.
    static func mebibytes(_ text: String) -> UInt64? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let scale: UInt64
        switch text[digits.endIndex...].lowercased() {
        case "", "m", "mi", "mib": scale = 1
        case "g", "gi", "gib": scale = 1024
        default: return nil
        }
        guard let number = UInt64(digits), number > 0 else { return nil }
        let (size, overflow) = number.multipliedReportingOverflow(by: scale)
        return overflow || size > 1 << 40 ? nil : size
    }

    /// The fields are those that a value comes from, when it is one field.
    private func check(memoryField: String?, kernelField: String?) throws(RuntimeError) {
        func refuse(_ field: String?, _ why: String) -> RuntimeError { RuntimeError(field.map { "\($0): \(why)" } ?? why) }
        guard memory >= Self.minimumMemory else {
            throw refuse(memoryField, "a machine's memory of \(memory) MiB is too small: a guest needs \(Self.minimumMemory) MiB at least")
        }
        let host = Self.hostMemory()
        guard memory <= host else { throw refuse(memoryField, "a machine's memory of \(memory) MiB is larger than the host's \(host) MiB") }
        // What an annotation, a limit or the file says is in range.
        guard (1...Self.maximumVCPUs).contains(vcpus) else {
            throw refuse("config.json: vm.hwConfig.vcpus", "\(vcpus) vCPUs are not possible: 1 to \(Self.maximumVCPUs) are")
        }
        let texts = [
            (kernelField ?? "the machine's kernel", kernel), ("config.json: annotations.\(Annotation.commandLine)", commandLine),
            ("config.json: annotations.\(Annotation.console)", console ?? ""), ("config.json: annotations.\(Annotation.trace)", trace ?? ""),
            ("config.json: process.apparmorProfile", appArmorProfile ?? ""),
        ]
        for (field, text) in texts where text.contains(where: \.isNewline) || text.utf8.contains(0) { throw refuse(field, "must be one line without NUL bytes") }
    }

    /// From the memory limit, with room for the guest's own; a limit beyond the host's memory is none.
    private static func memory(for spec: RuntimeSpec) -> UInt64? {
        guard let limit = spec.linux?.resources?.memory?.limit, limit > 0 else { return nil }
        let wanted = (UInt64(limit) + 0xFFFFF) >> 20 + overhead
        return wanted > hostMemory() ? max(hostMemory() / 2, minimumMemory) : max(wanted, minimumMemory)
    }

    /// From the CPU quota, rounded up.
    static func vcpus(for spec: RuntimeSpec) -> Int? {
        guard let quota = spec.linux?.resources?.cpu?.quota, quota > 0 else { return nil }
        let period = Int64(clamping: spec.linux?.resources?.cpu?.period ?? 100_000)
        guard period > 0 else { return nil }
        return bounded(Int(clamping: (quota - 1) / period + 1))
    }

    /// As many as the list of CPUs lets run at once.
    private static func listedCPUs(_ spec: RuntimeSpec) -> Int? {
        spec.linux?.resources?.cpu?.cpus.flatMap { NumberList.parse($0) }.map { bounded($0.count) }
    }

    private static func bounded(_ count: Int) -> Int {
        let online = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        return min(max(1, count), min(online, maximumVCPUs))
    }

    /// MiB
    public static func hostMemory() -> UInt64 {
        (UInt64(max(0, sysconf(Int32(_SC_PHYS_PAGES)))) * UInt64(max(0, sysconf(Int32(_SC_PAGESIZE))))) >> 20
    }

    /// What nacelle-vmm reads.
    func description(id: String, shares: [(share: GuestPlan.Share, descriptor: Int32)]) -> String {
        var lines = ["id=\(id)", "kernel=\(kernel)", "image=\(image)", "memory=\(memory)", "vcpus=\(vcpus)", "boot_timeout=\(bootTimeout)"]
        if !commandLine.isEmpty { lines.append("cmdline=\(commandLine)") }
        if let console { lines.append("console=\(console)") }
        if let trace { lines.append("trace=\(trace)") }
        if let appArmorProfile { lines.append("apparmor=\(appArmorProfile)") }
        for (index, entry) in shares.enumerated() {
            lines.append("share.\(index)=\(entry.share.name):\(entry.descriptor):\(entry.share.isReadOnly ? "ro" : "rw")")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
