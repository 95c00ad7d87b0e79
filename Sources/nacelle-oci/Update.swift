import ArgumentParser
import ContainerRuntime
import LinuxSystem
import OCISpec

struct Update: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update", abstract: "Change a container's limits.",
        discussion: """
            Of a container in a machine: the guest's limits, and those of the machine's process. A machine that runs gets neither more memory nor more \
            processors than it has. Sizes are bytes or have a unit (64k, 512m, 1g). With --resources all other options are ignored; the format is \
            linux.resources of config.json, and what it leaves out stays. Access to devices is not changed.
            """)
    @ParentCommand var parent: NacelleOCI
    @Option(name: [.short, .long], help: "A file with the limits as JSON, or - for standard input.") var resources: String?
    @Option(help: "Weight for block devices, 10 to 1000.") var blkioWeight: String?
    @Option(help: "Period of the processor quota in microseconds.") var cpuPeriod: String?
    @Option(parsing: .unconditional, help: "Microseconds of processor time in a period; -1 is no limit.") var cpuQuota: String?
    @Option(help: "Microseconds by which the quota may be exceeded when it was not used before.") var cpuBurst: String?
    @Option(help: "Weight beside other containers.") var cpuShare: String?
    @Option(help: "Period of realtime processes in microseconds (cgroup v1).") var cpuRtPeriod: String?
    @Option(parsing: .unconditional, help: "Microseconds for realtime processes in a period (cgroup v1).") var cpuRtRuntime: String?
    @Option(help: "1: only when nothing else wants the processor. 0: not so.") var cpuIdle: String?
    @Option(help: "The processors to use, as 0-2,7.") var cpusetCpus: String?
    @Option(help: "The memory nodes to use.") var cpusetMems: String?
    @Option(parsing: .unconditional, help: "Limit of memory; -1 is none.") var memory: String?
    @Option(parsing: .unconditional, help: "Memory that is reclaimed last (soft limit).") var memoryReservation: String?
    @Option(parsing: .unconditional, help: "Limit of memory and swap together; -1 is none.") var memorySwap: String?
    @Option(parsing: .unconditional, help: "Limit of processes and threads; -1 is none.") var pidsLimit: String?
    @Option(parsing: .unconditional, help: ArgumentHelp("Ignored, as by runc.", visibility: .hidden)) var kernelMemory: String?
    @Option(parsing: .unconditional, help: ArgumentHelp("Ignored, as by runc.", visibility: .hidden)) var kernelMemoryTcp: String?
    @Option(help: "Refused: Intel RDT is not supported.") var l3CacheSchema: String?
    @Option(help: "Refused: Intel RDT is not supported.") var memBwSchema: String?
    @Argument(help: "The container's name.") var id: String

    func run() throws {
        let container = try parent.container(id)
        _ = try container.record()
        if l3CacheSchema != nil { throw RuntimeError("Intel RDT/CAT: l3 cache schema is not enabled") }
        if memBwSchema != nil { throw RuntimeError("Intel RDT/MBA: memory bandwidth schema is not enabled") }
        let log = try parent.makeLog()
        let wanted = try resources.map { (path) throws in try Self.read(path, log) } ?? described()
        if wanted.memory?.kernel ?? 0 != 0 || wanted.memory?.kernelTCP ?? 0 != 0 { log.warning("Kernel memory settings are ignored and will be removed") }
        try container.update(wanted)
    }

    private static func read(_ path: String, _ log: RuntimeLog) throws(RuntimeError) -> ResourcesSpec {
        let text: [UInt8]
        do throws(SystemError) {
            text = try path == "-" ? OwnedDescriptor(duplicating: 0).readAll(limit: 1 << 20) : readFile(absolutePath(path), limit: 1 << 20)
        } catch { throw RuntimeError("cannot read the resources", error) }
        do throws(ConfigurationError) {
            let (resources, unknown) = try ResourcesSpec.parse(text)
            for field in unknown { log.warning("resources: \(field): unknown field, ignored") }
            return resources
        } catch { throw RuntimeError("resources: \(error)") }
    }

    /// What the options say.
    private func described() throws(RuntimeError) -> ResourcesSpec {
        var result = ResourcesSpec()
        var cpu = ResourcesSpec.CPUSpec()
        (cpu.period, cpu.quota) = (try number("cpu-period", cpuPeriod), try number("cpu-quota", cpuQuota))
        (cpu.burst, cpu.shares, cpu.idle) = (try number("cpu-burst", cpuBurst), try number("cpu-share", cpuShare), try number("cpu-idle", cpuIdle))
        (cpu.realtimePeriod, cpu.realtimeRuntime) = (try number("cpu-rt-period", cpuRtPeriod), try number("cpu-rt-runtime", cpuRtRuntime))
        (cpu.cpus, cpu.mems) = (cpusetCpus, cpusetMems)
        var memory = ResourcesSpec.MemorySpec()
        (memory.limit, memory.reservation) = (try size("memory", self.memory), try size("memory-reservation", memoryReservation))
        (memory.swap, memory.kernel) = (try size("memory-swap", memorySwap), try size("kernel-memory", kernelMemory))
        memory.kernelTCP = try size("kernel-memory-tcp", kernelMemoryTcp)
        if cpu != ResourcesSpec.CPUSpec() { result.cpu = cpu }
        if memory != ResourcesSpec.MemorySpec() { result.memory = memory }
        if let weight: UInt16 = try number("blkio-weight", blkioWeight) {
            result.blockIO = ResourcesSpec.BlockIOSpec()
            result.blockIO?.weight = weight
        }
        if let limit: Int64 = try number("pids-limit", pidsLimit) {
            result.pids = ResourcesSpec.PidsSpec()
            result.pids?.limit = limit
        }
        return result
    }

    private func number<N: FixedWidthInteger>(_ name: String, _ text: String?) throws(RuntimeError) -> N? {
        guard let text, !text.isEmpty else { return nil }
        guard let value = N(text) else { throw RuntimeError("invalid value for \(name): \"\(text)\" is not a number from \(N.min) to \(N.max)") }
        return value
    }

    private func size(_ name: String, _ text: String?) throws(RuntimeError) -> Int64? {
        guard let text, !text.isEmpty else { return nil }
        if text == "-1" { return -1 }
        guard let value = Quantity.bytes(text) else { throw RuntimeError("invalid value for \(name): invalid size: '\(text)'") }
        return value
    }
}
