import Glibc
import OCISpec
import Testing

@testable import ContainerRuntime

@Suite("The machine that a container gets")
struct MachineSettingsTests {
    private let components = Components(monitor: "/m", kernel: "/k", image: "/i")

    private func settings(_ change: (inout RuntimeSpec) -> Void) throws(RuntimeError) -> MachineSettings {
        var spec = RuntimeSpec()
        change(&spec)
        return try MachineSettings(spec, components: components)
    }

    private static func memoryLimit(_ spec: inout RuntimeSpec, _ limit: Int64) {
        spec.linux = LinuxSpec()
        spec.linux?.resources = ResourcesSpec()
        spec.linux?.resources?.memory = .init()
        spec.linux?.resources?.memory?.limit = limit
    }

    private static func hardware(_ spec: inout RuntimeSpec, memory: UInt64? = nil, vcpus: UInt32? = nil) {
        spec.vm = VMSpec()
        spec.vm?.hwConfig = .init()
        spec.vm?.hwConfig?.memory = memory
        spec.vm?.hwConfig?.vcpus = vcpus
    }

    @Test("defaults")
    func defaults() throws {
        let settings = try settings { _ in }
        #expect(settings.memory == MachineSettings.defaultMemory && settings.vcpus == 1)
        #expect(settings.kernel == "/k" && settings.image == "/i" && settings.console == nil)
    }

    @Test("memory: the vm section before annotations before the limit")
    func memory() throws {
        #expect(try settings { Self.memoryLimit(&$0, 100 << 20) }.memory == 100 + MachineSettings.overhead)
        #expect(try settings { Self.memoryLimit(&$0, (100 << 20) + 1) }.memory == 101 + MachineSettings.overhead)
        #expect(try settings { Self.memoryLimit(&$0, 1) }.memory == MachineSettings.minimumMemory)
        #expect(try settings { Self.memoryLimit(&$0, -1) }.memory == MachineSettings.defaultMemory)
        // A limit that no host has is no wish for so much memory.
        #expect(try settings { Self.memoryLimit(&$0, .max) }.memory <= MachineSettings.hostMemory())
        #expect(try settings {
            Self.memoryLimit(&$0, 100 << 20)
            $0.annotations["dev.nacelle.memory"] = "200"
        }.memory == 200)
        #expect(try settings {
            Self.memoryLimit(&$0, 100 << 20)
            $0.annotations["dev.nacelle.memory"] = "200"
            Self.hardware(&$0, memory: (300 << 20) - 5)
        }.memory == 300)
    }

    @Test("sizes", arguments: [
        ("512", 512), ("512M", 512), ("512m", 512), ("512Mi", 512), ("512MiB", 512), ("2G", 2048), ("2GiB", 2048), ("0", nil), ("", nil), ("-1", nil), ("M", nil),
        ("5T", nil), ("5 M", nil), ("1.5G", nil), ("99999999999999999999", nil), ("18446744073709551615G", nil), ("٥", nil),
    ] as [(String, UInt64?)])
    func sizes(_ text: String, _ expected: UInt64?) {
        #expect(MachineSettings.mebibytes(text) == expected)
    }

    @Test("vCPUs: the vm section before annotations before the quota")
    func vcpus() throws {
        func quota(_ spec: inout RuntimeSpec, _ quota: Int64, _ period: UInt64?) {
            spec.linux = LinuxSpec()
            spec.linux?.resources = ResourcesSpec()
            spec.linux?.resources?.cpu = .init()
            spec.linux?.resources?.cpu?.quota = quota
            spec.linux?.resources?.cpu?.period = period
        }
        #expect(try settings { quota(&$0, 50_000, 100_000) }.vcpus == 1)
        #expect(try settings { quota(&$0, 100_000, nil) }.vcpus == 1)
        #expect(try settings { quota(&$0, -1, 100_000) }.vcpus == 1)
        #expect(try settings { quota(&$0, 1, 0) }.vcpus == 1)
        #expect((1...MachineSettings.maximumVCPUs).contains(try settings { quota(&$0, .max, 1) }.vcpus))
        // As many as the list has, but no more than the quota lets run.
        for (list, microseconds, expected) in [("0-1", Int64?.none, 2), ("1", nil, 1), ("0-1", 50_000, 1), ("0-1", 900_000, 2)] {
            let settings = try settings {
                $0.linux = LinuxSpec()
                $0.linux?.resources = ResourcesSpec()
                $0.linux?.resources?.cpu = .init()
                $0.linux?.resources?.cpu?.cpus = list
                $0.linux?.resources?.cpu?.quota = microseconds
            }
            #expect(settings.vcpus == min(expected, max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))), "\(list) \(microseconds ?? 0)")
        }
        #expect(try settings { $0.annotations["dev.nacelle.vcpus"] = "3" }.vcpus == 3)
        #expect(try settings {
            $0.annotations["dev.nacelle.vcpus"] = "3"
            Self.hardware(&$0, vcpus: 2)
        }.vcpus == 2)
    }

    @Test("kernel and command line")
    func kernel() throws {
        #expect(try settings { $0.annotations["dev.nacelle.kernel"] = "/a" }.kernel == "/a")
        let both = try settings {
            $0.annotations = ["dev.nacelle.kernel": "/a", "dev.nacelle.cmdline": "c d"]
            $0.vm = VMSpec()
            $0.vm?.kernel = .init()
            $0.vm?.kernel?.path = "/v"
            $0.vm?.kernel?.parameters = ["a", "b=of several words"]
        }
        #expect(both.kernel == "/v" && both.commandLine == "a \"b=of several words\" c d")
    }

    @Test("what cannot be is refused, with the value and what would do", arguments: [
        ("dev.nacelle.memory", "20", "too small"),
        ("dev.nacelle.memory", "900000000", "larger than the host's"),
        ("dev.nacelle.memory", "much", "is not a size"),
        ("dev.nacelle.vcpus", "0", "from 1 to 64"),
        ("dev.nacelle.vcpus", "65", "from 1 to 64"),
        ("dev.nacelle.vcpus", "two", "from 1 to 64"),
        ("dev.nacelle.boot_timeout", "0", "from 1 to"),
        ("dev.nacelle.cmdline", "a\nshare.9=x:3:rw", "one line"),
        ("dev.nacelle.kernel", "/k\nimage=/x", "one line"),
        ("dev.nacelle.console", "/c\nimage=/x", "one line"),
        ("dev.nacelle.memroy", "512", "there is no such setting"),
    ])
    func refused(_ key: String, _ value: String, _ expected: String) {
        let text = message { () throws(RuntimeError) in try settings { $0.annotations[key] = value } }
        #expect(text?.contains(expected) == true, "\(text ?? "accepted")")
    }

    @Test("of the vm section", arguments: [
        (UInt64(0), UInt32(1), "config.json: vm.hwConfig.memory: a machine's memory of 0 MiB is too small"), (.max, 1, "config.json: vm.hwConfig.memory: "),
        (256 << 20, 0, "config.json: vm.hwConfig.vcpus: 0 vCPUs"), (256 << 20, .max, "config.json: vm.hwConfig.vcpus: 4294967295 vCPUs"),
    ])
    func refusedHardware(_ memory: UInt64, _ vcpus: UInt32, _ expected: String) {
        let text = message { () throws(RuntimeError) in try settings { Self.hardware(&$0, memory: memory, vcpus: vcpus) } }
        #expect(text?.contains(expected) == true, "\(text ?? "accepted")")
    }

    @Test("annotations of others do not concern us")
    func foreignAnnotations() throws {
        #expect(try settings { $0.annotations = ["io.container.manager": "x", "dev.nacellex": "y"] }.memory == MachineSettings.defaultMemory)
    }

    @Test("the description that the machine's process reads")
    func description() throws {
        let settings = try settings { $0.annotations = ["dev.nacelle.cmdline": "quiet", "dev.nacelle.console": "/tmp/console"] }
        let text = settings.description(
            id: "c",
            shares: [
                (GuestPlan.Share(name: "rootfs", path: "/r", isReadOnly: false, field: ""), 6), (GuestPlan.Share(name: "volume-0", path: "/v", isReadOnly: true, field: ""), 7),
            ])
        #expect(text == """
            id=c
            kernel=/k
            image=/i
            memory=\(MachineSettings.defaultMemory)
            vcpus=1
            boot_timeout=60
            cmdline=quiet
            console=/tmp/console
            share.0=rootfs:6:rw
            share.1=volume-0:7:ro

            """)
    }
}
