import LinuxSystem
import OCISpec
import Testing

@testable import ControlGroups

/// What `linux.resources` comes to in files, in both versions.
@Suite struct ResourceWritesTests {
    /// The `linux.resources` that a JSON text says.
    static func resources(_ json: String) throws -> ResourcesSpec {
        let text = #"{"ociVersion":"1.0.2","root":{"path":"r"},"linux":{"resources":\#(json)}}"#
        return try #require(try RuntimeSpec.parse(Array(text.utf8)).spec.linux?.resources)
    }

    /// "file = value", with a question mark when the file may be missing, and what is written instead of it after a bar.
    static func line(_ write: ResourceWrite) -> String {
        (write.optional ? "?" : "") + "\(write.file) = \(write.value)" + (write.otherwise.map { " | \($0.file) = \($0.value)" } ?? "")
    }

    /// A controller's name is what its files begin with, in both versions.
    private static func expectControllers(_ writes: [ResourceWrite]) {
        for write in writes { #expect(write.file.hasPrefix(write.controller + "."), "\(write)") }
    }

    // MARK: Version 2

    static let version2: [(String, [String])] = [
        ("{}", []),
        // cpu
        (#"{"cpu":{"shares":2}}"#, ["cpu.weight = 1"]),
        (#"{"cpu":{"shares":1024}}"#, ["cpu.weight = 39"]),
        (#"{"cpu":{"shares":262144}}"#, ["cpu.weight = 10000"]),
        (#"{"cpu":{"shares":0}}"#, []),
        (#"{"cpu":{"shares":1}}"#, ["cpu.weight = 1"]),
        (#"{"cpu":{"shares":18446744073709551615}}"#, ["cpu.weight = 10000"]),
        (#"{"cpu":{"quota":50000,"period":100000}}"#, ["cpu.max = 50000 100000"]),
        (#"{"cpu":{"quota":-1}}"#, ["cpu.max = max"]),
        (#"{"cpu":{"quota":-1,"period":1000}}"#, ["cpu.max = max 1000"]),
        (#"{"cpu":{"quota":5000}}"#, ["cpu.max = 5000"]),
        (#"{"cpu":{"period":250000}}"#, ["cpu.max = max 250000"]),
        (#"{"cpu":{"quota":0,"period":0}}"#, []),
        (#"{"cpu":{"quota":0,"period":7000}}"#, ["cpu.max = max 7000"]),
        (#"{"cpu":{"quota":9223372036854775807,"period":18446744073709551615}}"#, ["cpu.max = 9223372036854775807 18446744073709551615"]),
        (#"{"cpu":{"quota":5000,"burst":1000}}"#, ["cpu.max = 5000", "cpu.max.burst = 1000"]),
        (#"{"cpu":{"burst":0}}"#, ["cpu.max.burst = 0"]),
        (#"{"cpu":{"idle":1,"shares":1024}}"#, ["cpu.idle = 1"]),
        (#"{"cpu":{"idle":0,"shares":1024}}"#, ["cpu.idle = 0", "cpu.weight = 39"]),
        (#"{"cpu":{"cpus":"0-1,3","mems":"0"}}"#, ["cpuset.cpus = 0-1,3", "cpuset.mems = 0"]),
        (#"{"cpu":{"cpus":"","mems":""}}"#, []),
        (#"{"cpu":{"realtimeRuntime":0,"realtimePeriod":0}}"#, []),
        // memory
        (#"{"memory":{"limit":1048576}}"#, ["memory.max = 1048576"]),
        (#"{"memory":{"limit":0,"swap":0,"reservation":0}}"#, []),
        (#"{"memory":{"limit":-1}}"#, ["?memory.swap.max = max", "memory.max = max"]),
        (#"{"memory":{"limit":100,"swap":300}}"#, ["memory.swap.max = 200", "memory.max = 100"]),
        (#"{"memory":{"limit":100,"swap":100}}"#, ["?memory.swap.max = 0", "memory.max = 100"]),
        (#"{"memory":{"limit":100,"swap":-1}}"#, ["?memory.swap.max = max", "memory.max = 100"]),
        (#"{"memory":{"swap":-1}}"#, ["?memory.swap.max = max"]),
        (#"{"memory":{"limit":1,"swap":9223372036854775807}}"#, ["memory.swap.max = 9223372036854775806", "memory.max = 1"]),
        (#"{"memory":{"reservation":4096}}"#, ["memory.low = 4096"]),
        (#"{"memory":{"reservation":-1}}"#, ["memory.low = max"]),
        (#"{"memory":{"kernel":-1,"kernelTCP":0,"useHierarchy":true,"checkBeforeUpdate":true,"disableOOMKiller":false}}"#, []),
        // pids
        (#"{"pids":{"limit":10}}"#, ["pids.max = 10"]),
        (#"{"pids":{"limit":-1}}"#, ["pids.max = max"]),
        (#"{"pids":{"limit":0}}"#, []),
        (#"{"pids":{}}"#, []),
        // blockIO
        (#"{"blockIO":{"weight":10}}"#, ["io.bfq.weight = 10 | io.weight = default 1"]),
        (#"{"blockIO":{"weight":500}}"#, ["io.bfq.weight = 500 | io.weight = default 4950"]),
        (#"{"blockIO":{"weight":1000}}"#, ["io.bfq.weight = 1000 | io.weight = default 10000"]),
        (#"{"blockIO":{"weight":65535}}"#, ["io.bfq.weight = 65535 | io.weight = default 10000"]),
        (#"{"blockIO":{"weight":0,"leafWeight":0}}"#, []),
        (#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":10},{"major":8,"minor":16,"weight":0},{"major":9,"minor":1}]}}"#,
            ["io.bfq.weight = 8:0 10 | io.weight = 8:0 1"]),
        (#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}],"throttleWriteBpsDevice":[{"major":8,"minor":0,"rate":2}],"throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":3}],"throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":4},{"major":9,"minor":1,"rate":0}]}}"#,
            ["io.max = 8:0 rbps=1", "io.max = 8:0 wbps=2", "io.max = 8:0 riops=3", "io.max = 8:0 wiops=4", "io.max = 9:1 wiops=max"]),
        // hugepageLimits
        (#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304},{"pageSize":"1GB","limit":0}]}"#,
            ["hugetlb.2MB.max = 4194304", "?hugetlb.2MB.rsvd.max = 4194304", "hugetlb.1GB.max = 0", "?hugetlb.1GB.rsvd.max = 0"]),
        (#"{"hugepageLimits":[{"pageSize":"64KB","limit":18446744073709551615}]}"#,
            ["hugetlb.64KB.max = 18446744073709551615", "?hugetlb.64KB.rsvd.max = 18446744073709551615"]),
        // rdma
        (#"{"rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":4},"mlx4_0":{"hcaObjects":0}}}"#,
            ["rdma.max = mlx4_0 hca_object=0", "rdma.max = mlx5_1 hca_handle=3 hca_object=4"]),
        // network
        (#"{"network":{"classID":0}}"#, []),
        (#"{"network":{}}"#, []),
        // unified: by name, after all others, a line at a time
        (#"{"unified":{"memory.high":"1000","io.max":"8:0 rbps=1\n8:16 wbps=2\n","cpu.weight":"7"},"pids":{"limit":3}}"#,
            ["pids.max = 3", "cpu.weight = 7", "io.max = 8:0 rbps=1", "io.max = 8:16 wbps=2", "memory.high = 1000"]),
        (#"{"unified":{"cpu.weight":""}}"#, []),
        // All sections have their place.
        (#"{"unified":{"misc.max":"x 1"},"rdma":{"a":{"hcaHandles":1}},"hugepageLimits":[{"pageSize":"2MB","limit":1}],"blockIO":{"weight":10},"pids":{"limit":1},"cpu":{"shares":2},"memory":{"limit":1}}"#,
            ["memory.max = 1", "cpu.weight = 1", "pids.max = 1", "io.bfq.weight = 10 | io.weight = default 1", "hugetlb.2MB.max = 1", "?hugetlb.2MB.rsvd.max = 1",
             "rdma.max = a hca_handle=1", "misc.max = x 1"]),
    ]

    @Test(arguments: version2) func linesOfVersion2(json: String, expected: [String]) throws {
        let writes = try version2Writes(try Self.resources(json))
        #expect(writes.map(Self.line) == expected)
        Self.expectControllers(writes)
    }

    @Test(arguments: [
        (#"{"memory":{"swap":10}}"#, "memory.swap: unable to set swap limit without memory limit"),
        (#"{"memory":{"limit":-1,"swap":10}}"#, "memory.swap: unable to set swap limit without memory limit"),
        (#"{"memory":{"limit":0,"swap":10}}"#, "memory.swap: unable to set swap limit without memory limit"),
        (#"{"memory":{"limit":100,"swap":99}}"#, "memory.swap: memory+swap limit must be at least the memory limit"),
        (#"{"memory":{"swappiness":0}}"#, "memory.swappiness: cgroup v2 has no swappiness per group"),
        (#"{"memory":{"disableOOMKiller":true}}"#, "memory.disableOOMKiller: cgroup v2 cannot disable the OOM killer"),
        (#"{"memory":{"kernelTCP":1}}"#, "memory.kernelTCP: cgroup v2 counts TCP memory as memory"),
        (#"{"cpu":{"realtimeRuntime":1}}"#, "cpu.realtimeRuntime: cgroup v2 has no realtime limits"),
        (#"{"cpu":{"realtimePeriod":1}}"#, "cpu.realtimeRuntime: cgroup v2 has no realtime limits"),
        (#"{"blockIO":{"leafWeight":1}}"#, "blockIO.leafWeight: cgroup v2 has no leaf weight"),
        (#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"leafWeight":1}]}}"#, "blockIO.weightDevice.leafWeight: cgroup v2 has no leaf weight"),
        (#"{"hugepageLimits":[{"pageSize":"2MiB","limit":1}]}"#, "hugepageLimits: invalid page size 2MiB"),
        (#"{"hugepageLimits":[{"pageSize":"","limit":1}]}"#, "hugepageLimits: invalid page size "),
        (#"{"hugepageLimits":[{"pageSize":"../x/2MB","limit":1}]}"#, "hugepageLimits: invalid page size ../x/2MB"),
        (#"{"hugepageLimits":[{"pageSize":"+2MB","limit":1}]}"#, "hugepageLimits: invalid page size +2MB"),
        (#"{"hugepageLimits":[{"pageSize":"0MB","limit":1}]}"#, "hugepageLimits: invalid page size 0MB"),
        (#"{"hugepageLimits":[{"pageSize":"MB","limit":1}]}"#, "hugepageLimits: invalid page size MB"),
        (#"{"hugepageLimits":[{"pageSize":"99999999999999999999GB","limit":1}]}"#, "hugepageLimits: invalid page size 99999999999999999999GB"),
        (#"{"memory":{"kernel":1}}"#, "memory.kernel: cgroup v2 counts kernel memory as memory"),
        (#"{"memory":{"useHierarchy":false}}"#, "memory.useHierarchy: cgroup v2 is always hierarchical"),
        (#"{"network":{"classID":1}}"#, "network.classID: cgroup v2 has no net_cls controller"),
        (#"{"network":{"priorities":[{"name":"eth0","priority":1}]}}"#, "network.priorities: cgroup v2 has no net_prio controller"),
        (#"{"rdma":{"mlx":{}}}"#, #"rdma: device "mlx" has no limit or an invalid name"#),
        (#"{"rdma":{"a b":{"hcaHandles":1}}}"#, #"rdma: device "a b" has no limit or an invalid name"#),
        (#"{"rdma":{"":{"hcaHandles":1}}}"#, #"rdma: device "" has no limit or an invalid name"#),
        (#"{"unified":{"":"1"}}"#, #"unified: "" must be the name of a file without slashes"#),
        (#"{"unified":{"memory":"1"}}"#, #"unified: "memory" must be"#),
        (#"{"unified":{"../memory.max":"1"}}"#, #"unified: "../memory.max" must be"#),
        (#"{"unified":{"a/memory.max":"1"}}"#, #"unified: "a/memory.max" must be"#),
        (#"{"unified":{"..":"1"}}"#, #"unified: ".." must be"#),
        (#"{"unified":{".x":"1"}}"#, #"unified: ".x" must be"#),
        (#"{"unified":{"memory.max\u0000":"1"}}"#, "must be the name of a file"),
    ])
    func refusalsOfVersion2(json: String, expected: String) throws {
        let resources = try Self.resources(json)
        do throws(ControlGroupError) {
            Issue.record("accepted: \(try version2Writes(resources).map(Self.line))")
        } catch {
            #expect("\(error)".hasPrefix("cgroup: linux.resources."))
            #expect("\(error)".contains(expected), "\(error)")
        }
    }

    // MARK: Version 1

    static let version1: [(String, [String])] = [
        ("{}", []),
        (#"{"cpu":{"shares":1024,"quota":50000,"period":100000,"burst":10,"idle":0}}"#,
            ["cpu.shares = 1024", "cpu.cfs_period_us = 100000", "cpu.cfs_quota_us = 50000", "cpu.cfs_burst_us = 10", "cpu.idle = 0"]),
        (#"{"cpu":{"quota":-1}}"#, ["cpu.cfs_quota_us = -1"]),
        (#"{"cpu":{"shares":0,"quota":0,"period":0,"realtimePeriod":0,"realtimeRuntime":0}}"#, []),
        // A period that is shorter than the runtime is refused, so the period goes first.
        (#"{"cpu":{"realtimeRuntime":950000,"realtimePeriod":1000000}}"#, ["cpu.rt_period_us = 1000000", "cpu.rt_runtime_us = 950000"]),
        (#"{"cpu":{"cpus":"0","mems":"0-1"}}"#, ["cpuset.cpus = 0", "cpuset.mems = 0-1"]),
        (#"{"cpu":{"cpus":"","mems":""}}"#, []),
        (#"{"memory":{"limit":100,"swap":300,"reservation":50,"kernelTCP":7,"swappiness":0,"disableOOMKiller":true}}"#,
            ["memory.limit_in_bytes = 100", "memory.memsw.limit_in_bytes = 300", "memory.soft_limit_in_bytes = 50", "memory.kmem.tcp.limit_in_bytes = 7",
             "memory.swappiness = 0", "memory.oom_control = 1"]),
        (#"{"memory":{"limit":-1}}"#, ["?memory.memsw.limit_in_bytes = -1", "memory.limit_in_bytes = -1"]),
        (#"{"memory":{"limit":-1,"swap":-1}}"#, ["memory.limit_in_bytes = -1", "?memory.memsw.limit_in_bytes = -1"]),
        (#"{"memory":{"limit":0,"swap":0,"reservation":0,"kernelTCP":0,"disableOOMKiller":false,"kernel":0}}"#, []),
        (#"{"memory":{"kernel":9,"useHierarchy":true}}"#, ["memory.kmem.limit_in_bytes = 9", "?memory.use_hierarchy = 1"]),
        (#"{"memory":{"useHierarchy":false}}"#, ["memory.use_hierarchy = 0"]),
        (#"{"pids":{"limit":-1}}"#, ["pids.max = max"]),
        (#"{"pids":{"limit":10}}"#, ["pids.max = 10"]),
        (#"{"blockIO":{"weight":500,"leafWeight":300}}"#, ["blkio.weight = 500 | blkio.bfq.weight = 500", "blkio.leaf_weight = 300"]),
        (#"{"blockIO":{"weight":0,"leafWeight":0,"weightDevice":[{"major":8,"minor":0,"weight":0,"leafWeight":0}]}}"#, []),
        (#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":10,"leafWeight":20}]}}"#,
            ["blkio.weight_device = 8:0 10 | blkio.bfq.weight_device = 8:0 10", "blkio.leaf_weight_device = 8:0 20"]),
        (#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}],"throttleWriteBpsDevice":[{"major":8,"minor":0,"rate":2}],"throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":3}],"throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":0}]}}"#,
            ["blkio.throttle.read_bps_device = 8:0 1", "blkio.throttle.write_bps_device = 8:0 2", "blkio.throttle.read_iops_device = 8:0 3", "blkio.throttle.write_iops_device = 8:0 0"]),
        (#"{"hugepageLimits":[{"pageSize":"2MB","limit":5}]}"#, ["hugetlb.2MB.limit_in_bytes = 5", "?hugetlb.2MB.rsvd.limit_in_bytes = 5"]),
        (#"{"network":{"classID":1048577}}"#, ["net_cls.classid = 1048577"]),
        (#"{"network":{"classID":0}}"#, []),
        (#"{"network":{"priorities":[{"name":"eth0","priority":5},{"name":"eth1","priority":0}]}}"#, ["net_prio.ifpriomap = eth0 5", "net_prio.ifpriomap = eth1 0"]),
        (#"{"rdma":{"mlx5_1":{"hcaHandles":3}}}"#, ["rdma.max = mlx5_1 hca_handle=3"]),
    ]

    @Test(arguments: version1) func linesOfVersion1(json: String, expected: [String]) throws {
        let writes = try version1Writes(try Self.resources(json)).filter { $0.controller != "devices" }
        #expect(writes.map(Self.line) == expected)
        Self.expectControllers(writes)
    }

    @Test(arguments: [
        (#"{"unified":{"memory.max":"1"}}"#, "unified: this machine limits by cgroup v1"),
        (#"{"hugepageLimits":[{"pageSize":"2M","limit":1}]}"#, "hugepageLimits: invalid page size 2M"),
        (#"{"network":{"priorities":[{"name":"a b","priority":1}]}}"#, #"network.priorities: "a b" is not the name of a network device"#),
        (#"{"rdma":{"mlx":{}}}"#, #"rdma: device "mlx" has no limit or an invalid name"#),
    ])
    func refusalsOfVersion1(json: String, expected: String) throws {
        let resources = try Self.resources(json)
        do throws(ControlGroupError) {
            Issue.record("accepted: \(try version1Writes(resources).map(Self.line))")
        } catch { #expect("\(error)" == "cgroup: linux.resources." + expected) }
    }

    // MARK: Conversions

    @Test func weightsGrowWithSharesAndStayInBounds() {
        var last: UInt64 = 0
        for shares in stride(from: UInt64(1), through: 262_200, by: 61) {
            let weight = Conversions.cpuWeight(shares: shares)
            #expect((1...10_000).contains(weight) && weight >= last)
            last = weight
        }
        #expect(Conversions.cpuWeight(shares: 0) == 0)
        var lastIO: UInt64 = 0
        for weight in UInt16(0)...1010 {
            let converted = Conversions.ioWeight(blockIOWeight: weight)
            #expect((1...10_000).contains(converted) && converted >= lastIO)
            lastIO = converted
        }
    }

    @Test(arguments: [
        (.system(SystemError(.noSuchFile, "open", path: "/x")), "cgroup: open /x: no such file or directory"),
        (.notMounted, "cgroup: no cgroup file system is mounted"),
        (.invalidPath("/.."), #"cgroup: invalid linux.cgroupsPath "/..""#),
        (.notEmpty(path: "/c/x"), "cgroup: container's cgroup is not empty: /c/x"),
        (.missingController("rdma", file: "rdma.max"), "cgroup: controller rdma is not available (no file rdma.max)"),
        (.freezer(path: "/c/x", frozen: true), "cgroup: processes of /c/x did not stop in time, and go on"),
        (.freezer(path: "/c/x", frozen: false), "cgroup: processes of /c/x did not go on in time"),
        (.stillBusy(path: "/c/x"), "cgroup: processes of /c/x do not end"),
    ] as [(ControlGroupError, String)])
    func errorsSayWhatAndWhere(error: ControlGroupError, text: String) { #expect("\(error)" == text) }
}
