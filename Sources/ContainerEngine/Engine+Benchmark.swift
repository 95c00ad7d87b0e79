internal import ContainerRuntime
internal import Glibc
public import JSONText
internal import LinuxSystem
internal import OCISpec

extension Engine {
    /// Measures what each isolation and runtime costs, and leaves nothing behind.
    /// - Parameters:
    ///   - source: an image or directory that has `true` and `sleep`; nil is a root of one program that is made for this.
    ///   - runtimes: besides nacelle-oci in its isolations.
    public func benchmark(_ source: RootSource?, runtimes: [String], rounds: Int) throws(EngineError) -> BenchReport {
        let name = try ContainerNames.newID().prefix(16)
        let folder = "/tmp/nacelle-bench-\(name)"
        try doing("cannot make \(folder)") { () throws(SystemError) in try makeFolders(folder) }
        defer { removeBenchFolder(folder) }
        var programs = Benchmark.Programs(once: ["true"], idle: ["sleep", "86400"])
        var root: RootSource
        if let source { root = source } else {
            programs = Benchmark.Programs(once: ["/bin/true"], idle: ["/bin/true", "idle"])
            root = RootSource(name: "a program of \(BenchProgram.file.count) bytes")
            root.directory = folder + "/root"
            try doing("cannot make \(folder)/root") { () throws(SystemError) in
                try makeFolders(folder + "/root/bin")
                try writeFile(folder + "/root/bin/true", BenchProgram.file, mode: 0o755)
            }
        }
        let benchmark = try Benchmark(programs, folder: folder)
        var options = ContainerOptions()
        (options.name, options.command, options.log.isKept) = ("nacelle-bench-\(name)", programs.once, false)
        (options.runtime, options.isolation) = (OCIRuntime.ownName, "namespace")
        let container = try create(root, options, roots: roots(isDirectory: !root.directory.isEmpty))
        defer { try? remove(container, force: true) }
        var spec = try container.configuration()
        let record = try container.record()
        spec.root?.path = try roots(of: record).mount(record)
        let (subjects, kvm, missing) = try subjects(runtimes)
        let results = try benchmark.run(subjects, spec, self, rounds: rounds)
        return BenchReport(image: root.name, rounds: rounds, facts: Self.facts(kvm: kvm), results: results, omissions: missing + benchmark.omissions)
    }

    private func removeBenchFolder(_ folder: String) {
        guard let parent = try? OwnedDescriptor(opening: "/tmp", flags: O_RDONLY | O_DIRECTORY), let name = try? EntryName(String(folder.dropFirst("/tmp/".count))) else { return }
        try? parent.removeTree(name)
    }

    /// What there is to measure here; whether KVM can run a guest, in words; and what there is not.
    private func subjects(_ runtimes: [String]) throws(EngineError) -> ([Benchmark.Subject], String, [Benchmark.Omission]) {
        let own = OCIRuntime.ownName
        let doctor = try OCIRuntime(own, folders: store.folders, surroundings).run(["doctor", "--kvm"])
        let isUsable = doctor.status == .exited(0)
        let failed = String(decoding: doctor.output, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("FAIL") }
        let words = failed.map { String($0.dropFirst(4).drop { $0 == " " }) } ?? "KVM cannot run a guest here (nacelle doctor)"
        var subjects = isUsable ? [Benchmark.Subject(runtime: own, isolation: "microvm")] : []
        var missing = isUsable ? [] : [Benchmark.Omission(name: "\(own) (microvm)", reason: words)]
        subjects.append(Benchmark.Subject(runtime: own, isolation: "namespace"))
        for name in runtimes.isEmpty ? ["runc", "crun", "runsc"] : runtimes {
            if surroundings.find(program: name) != nil { subjects.append(Benchmark.Subject(runtime: name)) } else { missing.append(Benchmark.Omission(name: name, reason: "is not there")) }
        }
        return (subjects, isUsable ? "usable" : words, missing)
    }

    private static func facts(kvm: String) -> [(String, String)] {
        let text = (try? readFile("/proc/cpuinfo", limit: 4 << 20)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        let model = text.split(separator: "\n").first { $0.hasPrefix("model name") }?.split(separator: ":", maxSplits: 1).last.map { $0.drop { $0 == " " } }
        return [("CPU", "\(sysconf(Int32(_SC_NPROCESSORS_ONLN))) of \(model.map(String.init) ?? "an unknown kind")"), ("Kernel", (try? GuestSystem.kernelRelease()) ?? "unknown"), ("KVM", kvm)]
    }
}

/// What was measured.
public struct BenchReport: Sendable {
    public var image: String
    public var rounds: Int
    /// Of this machine: names and values.
    public var facts: [(String, String)]
    public var results: [Benchmark.Result]
    public var omissions: [Benchmark.Omission]

    /// The middle value; of an even number the mean of the two.
    static func median(_ values: [Int64]) -> Int64 {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        return sorted.count % 2 == 1 ? sorted[sorted.count / 2] : (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2
    }

    /// A row for each result under a header: median, the least and the most, and the ratio to the first row.
    public var table: [[String]] {
        func cell(_ values: (Benchmark.Result) -> [Int64], _ result: Benchmark.Result) -> [String] {
            let own = values(result)
            guard let least = own.min(), let most = own.max() else { return ["-", ""] }
            func text(_ value: Int64) -> String { HumanText.decimal(Double(value) / 1e6, 1) }
            return ["\(text(Self.median(own))) ms (\(text(least))-\(text(most)))", ratio(Double(Self.median(own)), results.first.map { Double(Self.median(values($0))) })]
        }
        let header = ["RUNTIME", "FIRST BYTE", "", "CREATE TO DELETE", "", "EXEC", "", "MEMORY", ""]
        return [header] + results.map { result in
            [result.subject.name] + cell(\.firstByte, result) + cell(\.life, result) + cell(\.exec, result)
                + [HumanText.bytes(UInt64(max(0, result.memory))), ratio(Double(result.memory), results.first.map { Double($0.memory) })]
        }
    }

    private func ratio(_ value: Double, _ first: Double?) -> String {
        guard let first, first > 0 else { return "" }
        return "x" + HumanText.decimal(value / first, 2)
    }

    public var json: JSONValue {
        func figures(_ values: [Int64]) -> JSONValue {
            guard let least = values.min(), let most = values.max() else { return .null }
            return Engine.object([("median", .integer(Self.median(values))), ("min", .integer(least)), ("max", .integer(most)), ("samples", .array(values.map { .integer($0) }))])
        }
        return Engine.object([
            ("image", .string(image)), ("rounds", .integer(Int64(rounds))), ("machine", Engine.object(facts.map { ($0.0.lowercased(), .string($0.1)) })),
            ("results", .array(results.map { result in
                Engine.object([
                    ("runtime", .string(result.subject.runtime)), ("isolation", .string(result.subject.isolation ?? "")), ("firstByteNanoseconds", figures(result.firstByte)),
                    ("lifeNanoseconds", figures(result.life)), ("execNanoseconds", figures(result.exec)), ("memoryBytes", .integer(result.memory)),
                ])
            })),
            ("omitted", .array(omissions.map { Engine.object([("name", .string($0.name)), ("reason", .string($0.reason))]) })),
        ])
    }
}
