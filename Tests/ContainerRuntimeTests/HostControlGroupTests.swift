import Foundation
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

@Suite("A machine's process in a control group of the host")
struct HostControlGroupTests {
    @Test("a memory limit leaves room for the whole machine", arguments: [(256, 256 + 64 + 4), (4096, 4096 + 64 + 64)] as [(UInt64, Int64)])
    func memory(_ size: UInt64, _ expected: Int64) throws {
        var resources = ResourcesSpec()
        var memory = ResourcesSpec.MemorySpec()
        (memory.limit, memory.swap, memory.swappiness) = (100 << 20, 150 << 20, 10)
        resources.memory = memory
        let result = MachineResources.onHost(resources, size).memory
        #expect(result?.limit == expected << 20 && result?.swap == (expected + 50) << 20 && result?.swappiness == nil)
        memory.swap = -1
        resources.memory = memory
        #expect(MachineResources.onHost(resources, size).memory?.swap == -1)
        memory.limit = -1
        resources.memory = memory
        let none = MachineResources.onHost(resources, size).memory
        #expect(none?.limit == nil && none?.swap == -1)
        #expect(MachineResources.onHost(ResourcesSpec(), size).memory == nil)
    }

    @Test("pids and devices are the guest's, processor time is not")
    func rest() throws {
        var resources = ResourcesSpec()
        var cpu = ResourcesSpec.CPUSpec()
        (cpu.quota, cpu.period, cpu.shares) = (50_000, 100_000, 512)
        var pids = ResourcesSpec.PidsSpec()
        pids.limit = 1
        (resources.cpu, resources.pids, resources.unified) = (cpu, pids, ["memory.high": "1"])
        resources.devices = [ResourcesSpec.DeviceRuleSpec()]
        let result = MachineResources.onHost(resources, 256)
        #expect(result.cpu == cpu && result.pids == nil && result.unified.isEmpty && result.devices.isEmpty && result.memory == nil)
    }

    @Test("what names the host's CPUs and disks holds on the host alone")
    func ofHostAlone() throws {
        var resources = ResourcesSpec()
        var cpu = ResourcesSpec.CPUSpec()
        (cpu.quota, cpu.cpus, cpu.mems) = (50_000, "0-1", "")
        resources.cpu = cpu
        resources.blockIO = ResourcesSpec.BlockIOSpec()
        let first = MachineResources.ofHostAlone(resources)
        #expect(first.field == "linux.resources.cpu.cpus" && first.resources.cpu?.cpus == "0-1" && first.resources.cpu?.quota == nil && first.resources.blockIO == nil)
        let rest = MachineResources.onHost(resources, 256).cpu
        #expect(rest?.cpus == nil && rest?.quota == 50_000)
        resources.cpu?.cpus = nil
        resources.blockIO?.weight = 100
        let second = MachineResources.ofHostAlone(resources)
        #expect(second.field == "linux.resources.blockIO" && second.resources.blockIO?.weight == 100 && second.resources.cpu == nil)
        #expect(MachineResources.ofHostAlone(nil).field == nil)
        var spec = RuntimeSpec.example()
        spec.linux?.resources = resources
        spec.linux?.resources?.cpu?.mems = "0"
        let guest = try GuestPlan(spec, bundle: "/b").spec.linux?.resources
        #expect(guest?.blockIO == nil && guest?.cpu?.mems == nil && guest?.cpu?.quota == 50_000)
    }

    @Test("without a group for it they are refused", .requiresNamespaces)
    func ofHostAloneWithoutAGroup() throws {
        let fixture = try Fixture()
        fixture.spec.linux?.cgroupsPath = "system.slice:podman:c"
        fixture.spec.linux?.resources?.cpu = .init()
        fixture.spec.linux?.resources?.cpu?.cpus = "0"
        let text = message { () throws(RuntimeError) in try fixture.create() }
        #expect(text?.hasPrefix("config.json: linux.resources.cpu.cpus: only the host's control group can do this for a machine: cgroup: ") == true, "\(text ?? "accepted")")
        // No machine has as many CPUs.
        fixture.spec.linux?.cgroupsPath = "/nacelle-tests-\(UUID().uuidString)"
        fixture.spec.linux?.resources?.cpu?.cpus = "4000"
        #expect(message { () throws(RuntimeError) in try fixture.create() }?.contains("linux.resources.cpu.cpus") == true)
        fixture.expectNothingLeft()
    }

    @Test("the process is in the group from its start, and delete removes it", .requiresNamespaces)
    func membership() throws {
        let fixture = try Fixture()
        let path = "/nacelle-tests-\(UUID().uuidString)"
        fixture.spec.linux?.cgroupsPath = path
        var memory = ResourcesSpec.MemorySpec()
        memory.limit = 64 << 20
        fixture.spec.linux?.resources?.memory = memory
        let pid = try fixture.create()
        let own = try String(contentsOfFile: "/proc/\(pid)/cgroup", encoding: .utf8)
        #expect(own.split(separator: "\n").allSatisfy { $0.hasSuffix(":" + path) }, "\(own)")
        let directories = try fixture.container().record().controlGroups
        #expect(!directories.isEmpty && directories.allSatisfy { FileManager.default.fileExists(atPath: $0) })
        let limits = directories.flatMap { [$0 + "/memory.limit_in_bytes", $0 + "/memory.max"] }.compactMap { try? String(contentsOfFile: $0, encoding: .utf8) }
        // 64 MiB and 48 for the guest make a machine of 112 MiB.
        #expect(limits == ["\((112 + 64 + 1) << 20)\n"])
        try fixture.container().delete(force: true)
        #expect(directories.allSatisfy { !FileManager.default.fileExists(atPath: $0) })
        _ = try waitForProcess(pid)
        fixture.expectNothingLeft()
    }

    @Test("without a place for a group the machine runs in its caller's, and the log says so", .requiresNamespaces)
    func systemdPath() throws {
        let fixture = try Fixture()
        fixture.spec.linux?.cgroupsPath = "system.slice:podman:c"
        try fixture.create()
        #expect(try fixture.container().record().controlGroups == [])
        #expect(fixture.logText().contains("level=warning msg=\"the machine stays in its caller's control group: cgroup: "))
        try fixture.container().delete(force: true)
    }
}
