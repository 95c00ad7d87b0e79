import Foundation
import Glibc
import Testing

private let environment = ProcessInfo.processInfo.environment
private let stage = environment["NACELLE_STAGE"] ?? FileManager.default.currentDirectoryPath + "/.build/nacelle"
private let needs = [stage + "/nacelle", stage + "/nacelle-oci", stage + "/nacelle-init", "/bin/busybox", "/usr/bin/docker-registry"]
private let canRun = geteuid() == 0 && needs.allSatisfy(FileManager.default.isExecutableFile)

/// A store of `nacelle`'s own, a registry, and an image of six layers.
private final class Workshop {
    let folder = "/tmp/nacelle-image-kill-\(UUID().uuidString)"
    private let registry = Process()
    private(set) var image = ""
    /// What it is, as `inspect` says.
    private(set) var digest = "", id = ""

    init() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        // In memory: how long a busy disk takes is not what is tried.
        try shell("mount -t tmpfs -o size=512M,mode=700 tmpfs \(folder)")
        try shell(
            """
            mkdir -p root/bin root/etc && cp /bin/busybox root/bin/ && for n in sh cat; do ln -s busybox root/bin/$n; done
            for layer in 1 2 3 4 5; do mkdir -p files$layer; for f in $(seq 40); do echo $layer $f > files$layer/$f; done; head -c 150000 /dev/urandom > files$layer/random; done
            printf 'version: 0.1\\nlog:\\n  level: info\\nstorage:\\n  filesystem:\\n    rootdirectory: %s/registry\\nhttp:\\n  addr: 127.0.0.1:0\\n' "$PWD" > config.yml; touch registry.log
            """)
        // It goes when this process is gone, however that ended.
        registry.executableURL = URL(fileURLWithPath: "/bin/sh")
        registry.arguments = [
            "-c", #"trap 'kill $pid' TERM; docker-registry serve "$0/config.yml" > "$0/registry.log" 2>&1 & pid=$!; while kill -0 "$1" 2>/dev/null && kill -0 $pid 2>/dev/null; do sleep 0.2; done; kill $pid 2>/dev/null; wait $pid"#,
            folder, "\(ProcessInfo.processInfo.processIdentifier)",
        ]
        try registry.run()
        var port = ""
        while port.isEmpty {
            usleep(20_000)
            try #require(registry.isRunning, "docker-registry ended")
            port = try shell(#"sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' registry.log"#)
        }
        image = "localhost:\(port)/app:1"
        try shell(
            """
            n() { \(stage)/nacelle --root data "$@"; }
            n create --name x --rootfs root true; n export x | n import - stage0; n rm x
            for layer in 1 2 3 4 5; do n create --name x stage$((layer - 1)) true; n cp files$layer x:/; n commit x stage$layer; n rm x; done
            n tag stage5 \(image); n push -q --tls-verify false \(image); n save -o app.tar \(image); n create --name c stage5 true; n cp files1 c:/etc
            """)
        digest = try nacelle("data", "inspect --format '{{.Digest}}' \(image)")
        id = try nacelle("data", "inspect --format '{{.Id}}' \(image)")
    }

    deinit {
        if registry.isRunning {
            registry.terminate()
            registry.waitUntilExit()
        }
        _ = try? shell("\(stage)/nacelle --root data rm -fa; cd /; umount -l \(folder); rmdir \(folder)")
    }

    @discardableResult
    func shell(_ script: String) throws -> String {
        let (output, status) = try bash(["-euo", "pipefail", "-c", script], in: folder)
        try #require(status == 0, "\(script): \(output)")
        return output.hasSuffix("\n") ? String(output.dropLast()) : output
    }

    func nacelle(_ data: String, _ arguments: String) throws -> String { try shell("\(stage)/nacelle --root \(data) \(arguments)") }

    /// Runs a command, and kills it after some seconds, if any are said.
    /// - Returns: how long it took.
    @discardableResult
    func run(_ data: String, _ arguments: [String], killedAfter delay: Double? = nil) throws -> Double {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: stage + "/nacelle")
        process.arguments = ["--root", data] + arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        (process.standardInput, process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice, FileHandle.nullDevice)
        try process.run()
        let start = ContinuousClock.now
        if let delay {
            usleep(UInt32(delay * 1_000_000))
            kill(process.processIdentifier, SIGKILL)
        }
        process.waitUntilExit()
        try #require(delay != nil || process.terminationStatus == 0)
        return (ContinuousClock.now - start) / .seconds(1)
    }
}

/// SplitMix64: a seed gives the same moments again.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// SIGKILL at random moments; whatever was being done, what is left is whole, and the next one comes to the end.
@Suite("nacelle, killed while it makes images", .serialized, .enabled(if: canRun, "needs root, /bin/busybox, docker-registry and a built nacelle (make build, or NACELLE_STAGE)"))
struct ImageKillTests {
    /// How often in all.
    static let count = environment["NACELLE_KILL_TIMES"].flatMap { Int($0) } ?? 100

    @Test("pull, load and commit")
    func killed() throws {
        let workshop = try Workshop()
        let seed = environment["NACELLE_KILL_SEED"].flatMap { UInt64($0) } ?? .random(in: 0 ... .max)
        print("NACELLE_KILL_SEED=\(seed)")
        var generator = SeededGenerator(state: seed)
        let cases = [
            (share: 2, data: "pulled", words: ["pull", "-q", "--tls-verify", "false", workshop.image], made: workshop.image),
            (share: 1, data: "loaded", words: ["load", "-q", "-i", "app.tar"], made: workshop.image),
            (share: 1, data: "data", words: ["commit", "c", "derived"], made: "derived"),
        ]
        for (share, data, words, made) in cases {
            let line = words.joined(separator: " ")
            func startAgain() throws {
                _ = try workshop.nacelle(data, "rmi -f \(made)")
                // It would remove the container that is committed; rmi collects as well.
                if data != "data" { _ = try workshop.nacelle(data, "prune -f") }
                #expect(try workshop.shell("cd \(data)/store; find ingest leases trash images -maxdepth 1 -mindepth 1 ! -path 'images/[^.]*'; find locks -name 'layer-*'") == "", "\(line), seed \(seed)")
            }
            // The first one finds nothing in memory, and others may be held up by whatever this machine does.
            var duration = Double.infinity
            for _ in 0..<4 {
                duration = min(duration, try workshop.run(data, words))
                try startAgain()
            }
            let rounds = Self.count * share / 4
            var complete = 0
            for round in 0..<rounds {
                let delay = Double.random(in: 0...duration, using: &generator)
                try workshop.run(data, words, killedAfter: delay)
                let problems = try workshop.shell("\(stage)/nacelle --root \(data) fsck --layers || true")
                #expect(problems == "", "\(line), killed after \(delay) s of \(duration), round \(round) of seed \(seed)")
                // Some go on with what others left, and some begin from nothing.
                let isComplete = try workshop.nacelle(data, "images --format '{{.Repository}}:{{.Tag}}'").split(separator: "\n").contains { $0.hasPrefix(made) }
                if isComplete { complete += 1 }
                if isComplete || round % 3 == 2 { try startAgain() }
            }
            print("\(line): killed \(rounds) times within \(duration) s, \(complete) had come to the end")
            _ = try workshop.nacelle(data, line)
            #expect(try workshop.nacelle(data, "fsck --layers") == "")
            if made == workshop.image { #expect(try workshop.nacelle(data, "inspect --format '{{.Id}}' \(made)") == workshop.id) }
            if words[0] == "pull" { #expect(try workshop.nacelle(data, "inspect --format '{{.Digest}}' \(made)") == workshop.digest) }
            #expect(try workshop.nacelle(data, "run --rm --isolation namespace \(made) cat /files5/40 /files1/1") == "5 40\n1 1")
            try startAgain()
        }
        #expect(try workshop.nacelle("data", "diff c").split(separator: "\n").contains("A /etc/files1"))
    }
}
