// Feeds parsers of hostile input with what a seeded generator makes: `fuzz [--target NAME] [--count N] [--seed S] [--from N]`.
//
// Each target runs in a process of its own, which writes down the number of the input that it works on: a crash, a hang and memory that
// grows are told with the number that makes the input again.

import Glibc
import LinuxSystem

/// What the two processes share, in 64-bit words.
private enum Word: Int { case input, accepted, longest, longestInput, memoryEarly, memoryLate }

private struct Progress {
    private let mapping: Mapping
    init(_ descriptor: Int32) throws(SystemError) { mapping = try Mapping(descriptor, count: 4096, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED) }
    subscript(word: Word) -> UInt64 {
        get { unsafe mapping.base.load(fromByteOffset: word.rawValue * 8, as: UInt64.self) }
        nonmutating set { unsafe mapping.base.storeBytes(of: newValue, toByteOffset: word.rawValue * 8, as: UInt64.self) }
    }
}

private enum Bounds {
    /// Nanoseconds of processor time that one input may take.
    static let time: UInt64 = 4_000_000_000
    /// Seconds of processor time after which an input that does not end is a hang.
    static let hang: UInt64 = 30
    /// Bytes: address space of the child.
    static let memory: UInt64 = 4 << 30
    /// MiB between a tenth of the inputs and all of them.
    static let growth: UInt64 = 64
}

private func complain(_ text: String) { try? OwnedDescriptor(duplicating: 2).writeAll(Array((text + "\n").utf8)) }

private func processorTime() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Seconds of processor time that a process has had.
private func processorTime(of pid: Int32) -> UInt64 {
    let text = String(decoding: (try? readFile("/proc/\(pid)/stat")) ?? [], as: UTF8.self)
    let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
    return fields.count > 12 ? ((UInt64(fields[11]) ?? 0) + (UInt64(fields[12]) ?? 0)) / UInt64(max(1, sysconf(Int32(_SC_CLK_TCK)))) : 0
}

/// MiB
private func residentMemory() -> UInt64 {
    let fields = String(decoding: (try? readFile("/proc/self/statm")) ?? [], as: UTF8.self).split(separator: " ")
    return fields.count > 1 ? (UInt64(fields[1]) ?? 0) * 4 / 1024 : 0
}

// MARK: The child

private func feed(_ type: any FuzzTarget.Type, _ options: Options) throws -> Never {
    var limit = rlimit(rlim_cur: rlim_t(Bounds.memory), rlim_max: rlim_t(Bounds.memory))
    unsafe setrlimit(__rlimit_resource_t(9), &limit)  // RLIMIT_AS
    let progress = try Progress(3)
    var target = type.init()
    var failures = 0
    for number in options.from..<(options.from + options.count) {
        progress[.input] = number
        var random = Random(seed: options.seed, input: number)
        let start = processorTime()
        switch target.run(&random) {
        case .accepted: progress[.accepted] += 1
        case .refused: break
        case .failed(let why):
            complain("\(type.name): input \(number): \(why)")
            failures += 1
        }
        let time = processorTime() - start
        if time > progress[.longest] { (progress[.longest], progress[.longestInput]) = (time, number) }
        if number - options.from == options.count / 10 { progress[.memoryEarly] = residentMemory() }
        if failures >= 10 { break }
    }
    progress[.memoryLate] = residentMemory()
    exit(failures == 0 ? 0 : 1)
}

// MARK: The parent

private struct Options {
    var target: String?
    var count: UInt64 = 10_000
    var seed: UInt64 = 1
    var from: UInt64 = 0
}

/// True when everything held.
private func watch(_ type: any FuzzTarget.Type, _ options: Options) throws -> Bool {
    let shared = try MemoryFile.make("fuzz", [UInt8](repeating: 0, count: 4096))
    let progress = try Progress(shared.rawValue)
    let output = SharedDescriptor(try OwnedDescriptor(duplicating: 2))
    var clock = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &clock)
    let start = clock.tv_sec
    let pid = try ProgramStart.start(
        "/proc/self/exe", arguments: ["--child", type.name, "\(options.count)", "\(options.seed)", "\(options.from)"],
        descriptors: [nil, output, output, shared], newSession: false)
    let process = try ProcessDescriptor(pid)
    var (last, since) = (UInt64.max, UInt64(0))
    var isHung = false
    while try !waitReadable(process.descriptor.rawValue, milliseconds: 1000) {
        let time = processorTime(of: pid)
        if progress[.input] != last { (last, since) = (progress[.input], time) }
        if time >= since + Bounds.hang {
            isHung = true
            try process.signal(SIGKILL)
        }
    }
    let status = try waitForProcess(pid)?.status
    unsafe clock_gettime(CLOCK_MONOTONIC, &clock)
    var problems: [String] = []
    let again = "fuzz --target \(type.name) --seed \(options.seed) --count 1 --from"
    switch status {
    case .exited(0): break
    case .exited: problems.append("a property does not hold (\(again) N)")
    default: problems.append(isHung ? "input \(progress[.input]) does not end (\(again) \(progress[.input]))" : "input \(progress[.input]) crashes it: \(status.map { "\($0)" } ?? "") (\(again) \(progress[.input]))")
    }
    if progress[.longest] > Bounds.time { problems.append("input \(progress[.longestInput]) takes \(progress[.longest] / 1_000_000) ms (\(again) \(progress[.longestInput]))") }
    if options.count >= 1000, progress[.memoryLate] > progress[.memoryEarly] + Bounds.growth { problems.append("memory grows from \(progress[.memoryEarly]) to \(progress[.memoryLate]) MiB") }
    print("\(problems.isEmpty ? "ok  " : "FAIL") \(type.name): \(options.count) inputs, seed \(options.seed), \(progress[.accepted]) of them accepted; \(clock.tv_sec - start) s,"
        + " the longest \(progress[.longest] / 1000) µs; memory \(progress[.memoryEarly]) MiB, in the end \(progress[.memoryLate]) MiB")
    for problem in problems { print("     \(problem)") }
    return problems.isEmpty
}

private func fail(_ text: String) -> Never {
    complain("fuzz: \(text)")
    exit(2)
}

private func parse(_ words: [String]) -> Options {
    var options = Options()
    var index = 0
    while index < words.count {
        guard index + 1 < words.count else { fail("\(words[index]): a value is missing") }
        let value = words[index + 1]
        switch words[index] {
        case "--target": options.target = value
        case "--count", "--seed", "--from":
            guard let number = UInt64(value) else { fail("\(words[index]): \(value) is no number") }
            switch words[index] {
            case "--count": options.count = number
            case "--seed": options.seed = number
            default: options.from = number
            }
        default: fail("\(words[index]): there are --target, --count, --seed and --from")
        }
        index += 2
    }
    if let target = options.target, !targets.contains(where: { $0.name == target }) { fail("\(target): there are \(targets.map { $0.name }.joined(separator: ", "))") }
    return options
}

let words = Array(CommandLine.arguments.dropFirst())
if words.count == 5, words[0] == "--child", let type = targets.first(where: { $0.name == words[1] }), let count = UInt64(words[2]), let seed = UInt64(words[3]), let from = UInt64(words[4]) {
    try feed(type, Options(target: nil, count: count, seed: seed, from: from))
}
private let options = parse(words)
var failed = 0
for type in targets where options.target == nil || type.name == options.target { if try !watch(type, options) { failed += 1 } }
print("\(targets.count(where: { options.target == nil || $0.name == options.target }) - failed) passed, \(failed) failed")
exit(failed == 0 ? 0 : 1)
