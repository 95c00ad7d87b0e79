import JSONText
import Testing

@testable import OCISpec

/// What runc 1.1.5 prints, byte for byte.
@Suite struct StatisticsSpecTests {
    private static let nothing =
        #"{"type":"stats","id":"c","data":{"cpu":{"usage":{"kernel":0,"user":0},"throttling":{}},"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"#
        + #""memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},"#
        + #""memory":{"usage":{"limit":0,"failcnt":0},"swap":{"limit":0,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0}},"pids":{},"#
        + #""blkio":{},"hugetlb":{},"intel_rdt":{},"network_interfaces":null}}"#

    private static let much =
        #"{"type":"stats","id":"c","data":{"cpu":{"usage":{"total":9,"percpu":[8,1],"percpu_kernel":[0,0],"percpu_user":[0,0],"kernel":2,"user":7},"throttling":{"periods":1,"throttledPeriods":2,"throttledTime":3},"#
        + #""psi":{"some":{"avg10":0,"avg60":1.25,"avg300":3,"total":4},"full":{"avg10":0,"avg60":0,"avg300":0,"total":0}}},"#
        + #""cpuset":{"cpus":[0,1],"cpu_exclusive":0,"mems":[0],"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"#
        + #""memory_pressure":0,"sched_load_balance":1,"sched_relax_domain_level":-1},"#
        + #""memory":{"cache":5,"usage":{"limit":18446744073709551615,"usage":6,"max":7,"failcnt":8},"swap":{"limit":0,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0},"#
        + #""raw":{"a":1,"b":2}},"pids":{"current":1,"limit":2},"blkio":{"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":9}]},"#
        + #""hugetlb":{"2MB":{"usage":1,"failcnt":0}},"intel_rdt":{},"network_interfaces":null}}"#

    private var everything: StatisticsSpec {
        var figures = StatisticsSpec()
        (figures.cpu.usage.total, figures.cpu.usage.percpu, figures.cpu.usage.percpuKernel, figures.cpu.usage.percpuUser) = (9, [8, 1], [0, 0], [0, 0])
        (figures.cpu.usage.kernel, figures.cpu.usage.user) = (2, 7)
        (figures.cpu.throttling.periods, figures.cpu.throttling.throttledPeriods, figures.cpu.throttling.throttledTime) = (1, 2, 3)
        var pressure = StatisticsSpec.Pressure()
        (pressure.some.average60, pressure.some.average300, pressure.some.total) = (1.25, 3, 4)
        figures.cpu.psi = pressure
        (figures.cpuset.cpus, figures.cpuset.mems, figures.cpuset.schedLoadBalance, figures.cpuset.schedRelaxDomainLevel) = ([0, 1], [0], 1, -1)
        (figures.memory.cache, figures.memory.raw) = (5, ["b": 2, "a": 1])
        (figures.memory.usage.limit, figures.memory.usage.usage, figures.memory.usage.max, figures.memory.usage.failcnt) = (.max, 6, 7, 8)
        (figures.pids.current, figures.pids.limit, figures.blkio.serviceBytes) = (1, 2, [.init(8, 0, "Read", 9)])
        var pages = StatisticsSpec.HugePages()
        pages.usage = 1
        figures.hugetlb = ["2MB": pages]
        return figures
    }

    @Test func runcsWords() {
        #expect(StatisticsSpec().event(id: "c").text() == Self.nothing)
        #expect(everything.event(id: "c").text() == Self.much)
    }

    /// A guest's figures are read, never passed on as they are.
    @Test func roundTripDropsWhatIsNotKnown() throws {
        #expect(try StatisticsSpec.parse(everything.json.bytes()) == everything)
        guard case .object(var object) = everything.json else { return }
        object["evil"] = .string("x")
        #expect(try StatisticsSpec.parse(JSONValue.object(object).bytes()) == everything)
    }

    @Test(arguments: ["", "{}", "[]", "7", #"{"cpu":7}"#, "{\"cpu\":{}", "nonsense"]) func garbage(text: String) {
        #expect(throws: ConfigurationError.self) { try StatisticsSpec.parse(Array(text.utf8)) }
    }
}

@Suite struct ResourcesUpdateTests {
    private func resources(_ json: String) throws -> ResourcesSpec { try ResourcesSpec.parse(Array(json.utf8)).resources }

    /// Before, the change, and what both come to.
    @Test(arguments: [
        ("{}", "{}", "{}"),
        (#"{"memory":{"limit":5}}"#, #"{"cpu":{"shares":7}}"#, #"{"memory":{"limit":5},"cpu":{"shares":7}}"#),
        (#"{"memory":{"limit":5,"reservation":3}}"#, #"{"memory":{"limit":6}}"#, #"{"memory":{"limit":6,"reservation":3}}"#),
        // Zeros say nothing, but for those that mean something.
        (#"{"memory":{"limit":5,"swap":9},"cpu":{"shares":2,"quota":3,"period":4,"cpus":"1","mems":"0"},"pids":{"limit":8},"blockIO":{"weight":10}}"#,
            #"{"memory":{"limit":0,"swap":0,"reservation":0,"kernel":4},"cpu":{"shares":0,"quota":0,"period":0,"cpus":"","mems":""},"pids":{"limit":0},"blockIO":{"weight":0}}"#,
            #"{"memory":{"limit":5,"swap":9},"cpu":{"shares":2,"quota":3,"period":4,"cpus":"1","mems":"0"},"pids":{"limit":8},"blockIO":{"weight":10}}"#),
        (#"{"cpu":{"burst":5,"idle":1}}"#, #"{"cpu":{"burst":0,"idle":0}}"#, #"{"cpu":{"burst":0,"idle":0}}"#),
        // No limit of memory is none with swap either.
        (#"{"memory":{"limit":5,"swap":9}}"#, #"{"memory":{"limit":-1}}"#, #"{"memory":{"limit":-1}}"#),
        (#"{"memory":{"limit":5,"swap":9}}"#, #"{"memory":{"limit":-1,"swap":-1}}"#, #"{"memory":{"limit":-1,"swap":-1}}"#),
        // Device rules stay.
        (#"{"devices":[{"allow":false,"access":"rwm"}]}"#, #"{"devices":[{"allow":true}]}"#, #"{"devices":[{"allow":false,"access":"rwm"}]}"#),
        // Lists by what an element is for.
        (#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1},{"major":8,"minor":16,"rate":2}]}}"#,
            #"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":16,"rate":3},{"major":9,"minor":0,"rate":4}]}}"#,
            #"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1},{"major":8,"minor":16,"rate":3},{"major":9,"minor":0,"rate":4}]}}"#),
        (#"{"hugepageLimits":[{"pageSize":"2MB","limit":1}]}"#, #"{"hugepageLimits":[{"pageSize":"2MB","limit":2},{"pageSize":"1GB","limit":3}]}"#,
            #"{"hugepageLimits":[{"pageSize":"2MB","limit":2},{"pageSize":"1GB","limit":3}]}"#),
        (#"{"unified":{"a.b":"1","c.d":"2"}}"#, #"{"unified":{"c.d":"3"}}"#, #"{"unified":{"a.b":"1","c.d":"3"}}"#),
    ]) func whole(before: String, change: String, after: String) throws {
        #expect(try resources(before).updated(by: try resources(change).asChange) == resources(after))
    }

    @Test func whatTheKernelWantsAtOnce() throws {
        let whole = try resources(#"{"memory":{"limit":5,"swap":9,"reservation":2},"cpu":{"quota":3,"period":4,"shares":6}}"#)
        #expect(try resources(#"{"cpu":{"quota":3}}"#).completed(from: whole) == resources(#"{"cpu":{"quota":3,"period":4}}"#))
        #expect(try resources(#"{"memory":{"swap":9}}"#).completed(from: whole) == resources(#"{"memory":{"limit":5,"swap":9}}"#))
        #expect(try resources(#"{"cpu":{"shares":6},"memory":{"reservation":2}}"#).completed(from: whole) == resources(#"{"cpu":{"shares":6},"memory":{"reservation":2}}"#))
    }
}
